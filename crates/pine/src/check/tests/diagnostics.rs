//! What is said about scripts.

use super::{check, compiled};

#[test]
fn sound_scripts_pass_in_silence() {
    check(
        4,
        "x = sma(close, 10)\nplot(x, color=color.red, transp=50)\nstrategy.entry(\"L\", strategy.long, when=x > close)",
        &[],
    );
    check(
        5,
        "var x = 0\nx := close > open ? x + 1 : 0\nif x > 3\n    strategy.entry(\"L\", strategy.long)",
        &[],
    );
    check(
        6,
        "enum Side\n    up = \"Up\"\n    down\ns = input.enum(Side.up, \"Side\")\nif s == Side.up\n    strategy.entry(\"L\", strategy.long)",
        &[],
    );
    check(
        6,
        "m = matrix.new<float>(2, 2, 0.0)\nm.set(0, 0, close)\nd = map.new<string, float>()\nd.put(\"a\", m.get(0, 0))\nfor [k, v] in d\n    if v > 1\n        strategy.entry(k, strategy.long)",
        &[],
    );
}

#[test]
fn unknown_names() {
    check(5, "x = clos", &["error unknown-name 1"]);
    check(5, "x = sma(close, 10)", &["error unknown-function 1"]);
    check(5, "x = ta.smaa(close, 10)", &["error unknown-function 1"]);
    check(5, "x = tr", &["error unknown-name 1"]);
    check(5, "x = strategy.possition_size", &["error unknown-name 1"]);
    check(5, "y := 3", &["error unknown-name 1"]);
    check(5, "x = foo.bar(1)", &["error unknown-name 1"]);
    check(6, "array<flot> a = na", &["error unknown-type 1"]);
    let hint = |body: &str| compiled(5, body).diagnostics[0].hint.clone();
    assert_eq!(hint("x = clos"), "did you mean `close`?");
    assert_eq!(hint("x = sma(close, 10)"), "it is `ta.sma` since version 5");
    assert_eq!(hint("x = ta.crossovr(close, open)"), "did you mean `ta.crossover`?");
    assert_eq!(hint("x = ta.sma(close, lenght=3)"), "did you mean `length`?");
    assert_eq!(hint("x = strategy.entry"), "call it: `strategy.entry(...)`");
}

#[test]
fn arguments() {
    check(5, "x = ta.sma(close)", &["error argument-missing 1"]);
    check(5, "x = ta.sma(close, 10, 3)", &["error argument-count 1"]);
    check(5, "x = ta.sma(close, len=10)", &["error unknown-argument 1"]);
    check(5, "x = ta.sma(\"close\", 10)", &["error type-mismatch 1"]);
    check(5, "x = ta.sma(close, 0)", &["error argument-value 1"]);
    check(5, "x = ta.ema(close, bar_index)", &["error qualifier-mismatch 1"]);
    check(5, "x = ta.sma(close, bar_index + 1)", &[]);
    check(5, "x = math.max(1)\ny = math.max(1, close, 2, 3)", &[]);
    check(6, "x = ta.sma(source=close, source=open, length=3)", &["error duplicate-argument 1"]);
    check(5, "x = ta.sma(source=close, source=open, length=3)", &["warning duplicate-argument 1"]);
    check(
        5,
        "f(a, b = 2) => a + b\nx = f(1)\ny = f(1, 2, 3)\nz = f(b = 1, a = 2)\nw = f(1, c = 2)",
        &["error argument-count 3", "error unknown-argument 5"],
    );
}

#[test]
fn types() {
    check(5, "x = close + \"a\"", &["error type-mismatch 1"]);
    check(5, "x = close > 1 ? 1 : \"a\"", &["error type-mismatch 1"]);
    check(5, "var int x = 1.5", &["error type-mismatch 1"]);
    check(5, "x = close > open\nx := \"a\"", &["error type-mismatch 2"]);
    check(5, "x = plot(close)\ny = x + 1", &["error type-mismatch 2"]);
    check(5, "x = strategy.close(\"a\")", &["error no-value 1"]);
    check(5, "x = ta.macd(close, 1, 2, 3)", &["error tuple-value 1"]);
    check(5, "[a, b] = ta.macd(close, 1, 2, 3)", &["error tuple-length 1"]);
    check(
        5,
        "type P\n    float x\np = P.new(1.0)\nq = p.y\np.x := \"a\"",
        &["error unknown-field 4", "error type-mismatch 5"],
    );
    check(
        6,
        "a = array.new<int>(1, 0)\na.push(1.5)\na.pushh(1)",
        &["error type-mismatch 2", "error unknown-method 3"],
    );
}

#[test]
fn bools_by_version() {
    let counted = "if bar_index\n    strategy.entry(\"L\", strategy.long)";
    check(5, counted, &[]);
    check(6, counted, &["error type-mismatch 1"]);
    check(5, "bool b = na\nx = na(b)", &[]);
    check(6, "bool b = na", &["error na-bool 1"]);
    check(6, "b = close > open\nx = na(b)", &["error na-bool 2"]);
    check(5, "x = close == na", &["warning comparison-with-na 1"]);
}

#[test]
fn orders_by_version() {
    let when = "strategy.entry(\"L\", strategy.long, when=close > open)";
    check(4, when, &[]);
    check(5, when, &[]);
    check(6, when, &["error unknown-argument 1"]);
    assert!(compiled(6, when).diagnostics[0].hint.contains("since version 6"));
}

#[test]
fn scopes() {
    check(5, "x = 1\nx = 2", &["error already-defined 2"]);
    check(5, "x = 1\nif close > open\n    x = 2", &[]);
    check(5, "x = 1\nf() =>\n    x := 2\n    x\ny = f()", &["error global-assignment 3"]);
    check(5, "f(a) =>\n    a := 2\n    a\ny = f(1)", &["error assign-parameter 2"]);
    check(5, "close := 2", &["error assign-builtin 1"]);
    check(5, "if close > open\n    y = 1\nz = y", &["error unknown-name 3"]);
    check(5, "f(n) => n <= 1 ? 1 : n * f(n - 1)\nx = f(3)", &["error recursion 1"]);
    check(5, "break", &["error outside-loop 1"]);
    check(6, "x = 3[1]", &["error history-of-literal 1"]);
    check(5, "x = close[-1]", &["error negative-offset 1"]);
}

/// Functions are looked at even when nobody calls them.
#[test]
fn unused_functions_are_checked() {
    check(5, "f(a) => ta.smaa(a, 3)", &["error unknown-function 1"]);
    check(5, "f(a) => a.whatever(3) + a", &[]);
    check(5, "f(a) => request.financial(a, \"X\", \"FQ\")", &[]);
}

#[test]
fn unsupported_features_are_named_only_when_they_matter() {
    let read = "v = request.financial(syminfo.tickerid, \"EPS\", \"FQ\")\n";
    check(5, &format!("{read}plot(v)"), &[]);
    check(
        5,
        &format!("{read}if v > 0\n    strategy.entry(\"L\", strategy.long)"),
        &["unsupported unsupported-feature 1"],
    );
    let drawn = "l = line.new(0, low, 1, high)\n";
    check(5, &format!("{drawn}line.set_y2(l, line.get_y1(l))"), &[]);
    let crossed =
        format!("{drawn}if close > line.get_price(l, bar_index)\n    strategy.entry(\"L\", strategy.long)");
    check(5, &crossed, &["unsupported unsupported-feature 2"]);
    assert_eq!(compiled(5, &crossed).diagnostics[0].feature, "line.get_price");
    check(
        6,
        "import a/b/1 as lib\nx = lib.f(close)\nif x > lib.g()\n    strategy.entry(\"L\", strategy.long)",
        &["unsupported unsupported-feature 1"],
    );
}

#[test]
fn looking_ahead_is_said() {
    let ask = |e: &str| {
        format!("x = request.security(syminfo.tickerid, \"D\", {e}, lookahead=barmerge.lookahead_on)")
    };
    check(5, &ask("close"), &["warning look-ahead-bias 1"]);
    check(5, &ask("close[1]"), &[]);
    check(5, &ask("open"), &[]);
    check(5, &ask("ta.sma(close[1], 5)"), &[]);
    check(5, &ask("ta.atr(5)"), &["warning look-ahead-bias 1"]);
    check(5, &ask("[high[1], low]").replace("x =", "[x, y] ="), &["warning look-ahead-bias 1"]);
    check(5, "x = request.security(syminfo.tickerid, \"D\", close)", &[]);
}

#[test]
fn everything_is_said_at_once() {
    check(
        5,
        "a = smaa(close, 3)\nb = clos + a\nc = ta.sma(close)\nd = ta.ema(close, bar_index)\nif \"x\"\n    strategy.entry(\"L\")",
        &[
            "error unknown-function 1",
            "error unknown-name 2",
            "error argument-missing 3",
            "error qualifier-mismatch 4",
            "error type-mismatch 5",
            "error argument-missing 6",
        ],
    );
}
