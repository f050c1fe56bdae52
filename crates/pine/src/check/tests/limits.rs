//! Sources that would grow or nest without end.

use super::{check, compiled};

#[test]
fn functions_that_double_end_in_a_diagnostic() {
    let mut body = "f0(x) => ta.sma(x, 2) + 1\n".to_owned();
    for i in 1..40 {
        body += &format!("f{i}(x) => f{0}(x) + f{0}(x)\n", i - 1);
    }
    body += "y = f39(close)\nplot(y)";
    let codes: Vec<_> = compiled(5, &body).diagnostics.iter().map(|d| d.code.clone()).collect();
    assert!(
        codes.contains(&"program-too-large".to_owned()) || codes.contains(&"too-deep".to_owned()),
        "{codes:?}"
    );
}

#[test]
fn long_chains_of_functions_end_in_a_diagnostic() {
    let mut body = "f0(x) => x\n".to_owned();
    for i in 1..400 {
        body += &format!("f{i}(x) => f{}(x + 1)\n", i - 1);
    }
    body += "y = f399(close)\nplot(y)";
    assert!(compiled(5, &body).diagnostics.iter().any(|d| d.code == "too-deep"));
}

#[test]
fn deep_expressions_are_walked() {
    let body = format!(
        "x = {}close{}\nif x > 0\n    strategy.entry(\"L\", strategy.long)",
        "(1 + ".repeat(80),
        ")".repeat(80)
    );
    check(5, &body, &[]);
}

#[test]
fn equal_sources_give_equal_programs() {
    let body =
        "f(x) => ta.ema(x, 3)\na = f(close)\nb = f(open)\nif a > b\n    strategy.entry(\"L\", strategy.long)";
    let (a, b) = (compiled(5, body), compiled(5, body));
    assert_eq!(format!("{a:?}"), format!("{b:?}"));
}
