//! What scripts become.

use super::becomes;

#[test]
fn a_cross_of_averages() {
    becomes(
        5,
        "fast = ta.sma(close, input.int(10, \"Fast\"))\nslow = ta.sma(close, 30)\nif ta.crossover(fast, slow)\n    strategy.entry(\"L\", strategy.long)\nplot(fast)",
        r#"
        fast = ta.sma(close, input "Fast")
        slow = ta.sma(close, 30)
        if ta.crossover(fast, slow)
          strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn version_4_names() {
    becomes(
        4,
        "len = input(14, title=\"Len\", type=input.integer)\nup = rma(max(change(close), 0), len)\ndown = rma(-min(change(close), 0), len)\nr = rsi(up, down)\nstrategy.entry(\"L\", true, when=crossover(r, 30))\nstrategy.close(\"L\", r > 70)",
        r#"
        up = ta.rma(math.max(ta.change(close, 1), 0), input "Len")
        down = ta.rma(-math.min(ta.change(close, 1), 0), input "Len")
        r = rsi(up, down)
        if ta.crossover(r, 30)
          strategy.entry("L", 1)
        if (r > 70)
          strategy.close("L")
        "#,
    );
}

#[test]
fn functions_are_inlined_per_call() {
    becomes(
        5,
        "smooth(src, n) =>\n    var float s = na\n    s := na(s) ? src : s + (src - s) / n\n    s\na = smooth(close, 3)\nb = smooth(high - low, 5)\nif a > b\n    strategy.entry(\"L\", strategy.long)",
        r#"
        once
          smooth.s = na
        smooth.s = (na(smooth.s) ? close : (smooth.s + ((close - smooth.s) / 3)))
        a = smooth.s
        smooth.src = (high - low)
        once
          smooth.s = na
        smooth.s = (na(smooth.s) ? smooth.src : (smooth.s + ((smooth.src - smooth.s) / 5)))
        b = smooth.s
        if (a > b)
          strategy.entry("L", 1)
        "#,
    );
}

/// The parameter of a function that is not called on every bar has a history of its own.
#[test]
fn parameters_under_a_condition() {
    becomes(
        5,
        "prev(x) => x[1]\ny = 0.0\nif close > open\n    y := prev(close)\nif y > 0\n    strategy.entry(\"L\", strategy.long)",
        r#"
        y = 0
        if (close > open)
          prev.x = close
          y = prev.x[1]
        if (y > 0)
          strategy.entry("L", 1)
        "#,
    );
}

/// A variable that changes after the call is not what the parameter was.
#[test]
fn parameters_of_changing_variables() {
    becomes(
        5,
        "prev(x) => x[1]\nz = open\ny = prev(z)\nz := close\nif y > z\n    strategy.entry(\"L\", strategy.long)",
        r#"
        z = open
        prev.x = z
        y = prev.x[1]
        z = close
        if (y > z)
          strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn history() {
    becomes(
        5,
        "a = ta.sma(close, 5)[1]\nb = (high - low)[2]\nc = close[1][1]\nd = (close > open)[1]\ne = strategy.position_size[1]\nif a > b and c > e and d\n    strategy.entry(\"L\", strategy.long)",
        r#"
        $0 = ta.sma(close, 5)
        a = $0[1]
        b = (high[2] - low[2])
        c = close[2]
        $4 = (close > open)
        d = $4[1]
        $strategy.position_size = strategy.position_size
        e = $strategy.position_size[1]
        if (((a > b) and (c > e)) and d)
          strategy.entry("L", 1)
        "#,
    );
}

/// What a skipped block asks of the past is kept on every bar, not only when it runs.
#[test]
fn history_of_builtins_inside_a_block() {
    becomes(
        6,
        "if close > open\n    if strategy.position_size[1] == 0\n        strategy.entry(\"L\", strategy.long)",
        r#"
        $strategy.position_size = strategy.position_size
        if (close > open)
          if ($strategy.position_size[1] == 0)
            strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn both_sides_run_before_version_6() {
    let body =
        "if close > open and ta.crossover(close, ta.ema(close, 9))\n    strategy.entry(\"L\", strategy.long)";
    becomes(
        5,
        body,
        r#"
        $0 = ta.crossover(close, ta.ema(close, 9))
        if ((close > open) and $0)
          strategy.entry("L", 1)
        "#,
    );
    becomes(
        6,
        body,
        r#"
        if ((close > open) and ta.crossover(close, ta.ema(close, 9)))
          strategy.entry("L", 1)
        "#,
    );
}

/// Since version 6 the right side's state only advances when it is asked.
#[test]
fn lazy_right_side_with_statements() {
    becomes(
        6,
        "rising() =>\n    var n = 0\n    n += 1\n    n > 3\nif close > open and rising()\n    strategy.entry(\"L\", strategy.long)",
        r#"
        $1 = (close > open)
        if $1
          once
            rising.n = 0
          rising.n = (rising.n + 1)
          $1 = (rising.n > 3)
        if $1
          strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn conditionals_as_values() {
    becomes(
        5,
        "kind = input.string(\"EMA\", \"Kind\")\nma = switch kind\n    \"EMA\" => ta.ema(close, 9)\n    \"SMA\" => ta.sma(close, 9)\n    => close\nx = if close > ma\n    1\nelse if close < ma\n    -1\nif x > 0\n    strategy.entry(\"L\", strategy.long)",
        r#"
        if (input "Kind" == "EMA")
          ma = ta.ema(close, 9)
        else
          if (input "Kind" == "SMA")
            ma = ta.sma(close, 9)
          else
            ma = close
        if (close > ma)
          x = 1
        else
          if (close < ma)
            x = -1
          else
            x = na
        if (x > 0)
          strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn loops() {
    becomes(
        6,
        "sum = 0.0\nfor i = 0 to 9\n    if na(close[i])\n        break\n    sum += close[i]\nn = 0\nwhile n < 3\n    n += 1\nlast = for i = 1 to 3\n    i * 2\nif sum > n + last\n    strategy.entry(\"L\", strategy.long)",
        r#"
        sum = 0
        for i = 0 to 9 retested
          if na(close[i])
            break
          sum = (sum + close[i])
        n = 0
        while (n < 3)
          n = (n + 1)
        $4 = na
        for i = 1 to 3 retested
          $4 = (i * 2)
        last = $4
        if (sum > (n + last))
          strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn tuples() {
    becomes(
        5,
        "[m, s, h] = ta.macd(close, 12, 26, 9)\npair() => [open, close]\n[o, c] = pair()\n[a, b] = if close > open\n    [1, 2.5]\nelse\n    [na, 3]\nif h > 0 and o < c and a < b and m > s\n    strategy.entry(\"L\", strategy.long)",
        r#"
        m, s, h = ta.macd(close, 12, 26, 9)
        if (close > open)
          a = 1
          b = 2.5
        else
          a = na
          b = 3
        if ((((h > 0) and (open < close)) and (a < b)) and (m > s))
          strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn requests() {
    becomes(
        5,
        "trend(n) =>\n    m = ta.sma(close, n)\n    close > m\n[up, h] = request.security(syminfo.tickerid, \"D\", [trend(20), high[1]], lookahead=barmerge.lookahead_on)\nif up and close > h\n    strategy.entry(\"L\", strategy.long)",
        r#"
        up, h = request.security(syminfo.tickerid, "D") gaps 0 lookahead 1
          trend.m = ta.sma(close, 20)
          give (close > trend.m), high[1]
        if (up and (close > h))
          strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn objects_and_methods() {
    becomes(
        6,
        "type Level\n    float price\n    int touches = 0\nmethod touch(Level this, float p) =>\n    if p >= this.price\n        this.touches += 1\n    this.touches\nvar level = Level.new(high)\nn = level.touch(close)\nvar levels = array.new<Level>()\nlevels.push(level.copy())\nif n > 2 and levels.size() > 0\n    strategy.entry(\"L\", strategy.long)",
        r#"
        once
          level = Level.new(high, 0)
        touch.p = close
        if (touch.p >= level.0)
          level.1 = (level.1 + 1)
        n = level.1
        once
          levels = array.new()
        array.push(levels, Level.new(level.0, level.1))
        if ((n > 2) and (array.size(levels) > 0))
          strategy.entry("L", 1)
        "#
        .replace("touch.p = close\n        ", "")
        .replace("touch.p >=", "close >=")
        .as_str(),
    );
}

/// What is read from a collection is read before a later operand changes the collection.
#[test]
fn reads_keep_their_place() {
    becomes(
        6,
        "var a = array.from(1.0, 2.0)\ndrop(x) =>\n    last = x.pop()\n    last\ny = a.size() + drop(a)\nif y > 3\n    strategy.entry(\"L\", strategy.long)",
        r#"
        once
          a = array.from(1, 2)
        $2 = array.size(a)
        drop.last = array.pop(a)
        y = ($2 + drop.last)
        if (y > 3)
          strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn drawings_leave_nothing() {
    becomes(
        6,
        "var lines = array.new<line>()\nvar label note = na\nif close > open\n    lines.push(line.new(bar_index, low, bar_index, high))\n    label.delete(note)\n    note := label.new(bar_index, high, str.tostring(ta.sma(close, 5)))\nif barstate.islast\n    t = table.new(position.top_right, 1, 1)\n    t.cell(0, 0, \"x\")\nbgcolor(close > open ? color.new(color.red, 90) : na)\nif close > 5\n    strategy.entry(\"L\", strategy.long)\n    alert(\"bought\")",
        r#"
        if (close > 5)
          strategy.entry("L", 1)
        "#,
    );
}

/// A drawing array whose size decides something stays.
#[test]
fn drawings_that_matter_stay() {
    becomes(
        6,
        "var lines = array.new<line>()\nif close > open\n    lines.push(line.new(bar_index, low, bar_index, high))\nif lines.size() > 3\n    strategy.entry(\"L\", strategy.long)",
        r#"
        once
          lines = array.new()
        if (close > open)
          array.push(lines, 0)
        if (array.size(lines) > 3)
          strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn constants_fold_by_version() {
    becomes(5, "strategy.entry(\"L\", strategy.long, 7 / 2)", "strategy.entry(\"L\", 1, 3)");
    becomes(6, "strategy.entry(\"L\", strategy.long, 7 / 2)", "strategy.entry(\"L\", 1, 3.5)");
    becomes(5, "float q = 7\nstrategy.entry(\"L\", strategy.long, q / 2)", "strategy.entry(\"L\", 1, 3.5)");
    becomes(
        5,
        "n = input.int(7)\nstrategy.entry(\"L\", strategy.long, n / 2)",
        "strategy.entry(\"L\", 1, (input \"n\" / 2))",
    );
}

/// Names of one's own come before those of the language.
#[test]
fn own_names_win() {
    becomes(
        4,
        "sma = sma(close, 5)\nclose = 3\nmax(a, b) => a > b ? a : b\nif max(sma, close) > 1\n    strategy.entry(\"L\", strategy.long)",
        r#"
        sma = ta.sma(close, 5)
        if ((sma > 3) ? sma : 3) > 1)
          strategy.entry("L", 1)
        "#
        .replace("((sma", "(((sma")
        .as_str(),
    );
}

#[test]
fn defaults_of_indicators() {
    becomes(
        5,
        "a = ta.highest(5) + ta.tr(true) + ta.linreg(close, 5, 0) + ta.stdev(close, 5) + ta.vwap(close) + ta.pivotlow(2, 3)\nb = ta.change(close > open)\nif a > 0 and b\n    strategy.entry(\"L\", strategy.long)",
        r#"
        a = (((((ta.highest(high, 5) + ta.tr(1)) + ta.linreg(close, 5, 0)) + ta.stdev(close, 5, 1)) + ta.vwap(close, (timeframe.change("1D") or (barstate.isfirst and (time == time("1D")))))) + ta.pivotlow(low, 2, 3))
        b = ta.change((close > open), 1)
        if ((a > 0) and b)
          strategy.entry("L", 1)
        "#,
    );
}

#[test]
fn orders_take_their_places() {
    becomes(
        5,
        "strategy.exit(\"x\", \"L\", stop=low, limit=high, when=close > open, alert_message=\"out\")\nstrategy.close_all(comment=\"end\")\nstrategy.risk.allow_entry_in(strategy.direction.long)",
        r#"
        if (close > open)
          strategy.exit("x", "L", _, _, _, high, _, low)
        strategy.close_all("end")
        strategy.risk.allow_entry_in("long")
        "#,
    );
}
