//! `calc_on_order_fills`: the script runs again where an order fills.

use super::*;

fn script(body: &str) -> String {
    let head = "strategy(\"t\", calc_on_order_fills=true, margin_long=0, margin_short=0)";
    format!("//@version=6\n{head}\n{body}")
}

fn prices(out: &Outcome) -> Vec<(u32, f64, u32, f64)> {
    let trades = &out.simulation.trades;
    trades.iter().map(|t| (t.entry_bar, t.entry_price, t.exit_bar, t.exit_price)).collect()
}

/// Each bar nears its high first: open 100, high 102, low 95, close 101.
fn bars() -> OwnedBars {
    hours(&[[100.0, 102.0, 95.0, 101.0]; 4])
}

#[test]
fn variables_are_taken_back_and_varip_ones_are_not() {
    let source = script(
        "var int runs = 0\nvarip int all = 0\nvarip seen = array.new_int()\nvar own = array.new_int()\n\
         runs += 1\nall += 1\nseen.push(all)\nown.push(runs)\n\
         if strategy.position_size == 0\n    strategy.entry(\"L\", strategy.long)\n\
         plot(runs, \"runs\")\nplot(all, \"all\")\nplot(seen.size(), \"seen\")\nplot(own.size(), \"own\")",
    );
    let out = outcome(&source, &bars());
    assert_eq!(plot(&out, "runs"), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(plot(&out, "own"), [1.0, 2.0, 3.0, 4.0]);
    // One more calculation on bar 1, where the entry fills.
    assert_eq!(plot(&out, "all"), [1.0, 3.0, 4.0, 5.0]);
    assert_eq!(plot(&out, "seen"), [1.0, 3.0, 4.0, 5.0]);
    assert!(out.warnings.iter().any(|w| w.contains("calc_on_order_fills")), "{:?}", out.warnings);
}

/// The four fills of a bar stand at open, open, nearer extreme, farther extreme.
#[test]
fn a_bar_has_four_moments() {
    let source = script(
        "varip int all = 0\nall += 1\nif strategy.position_size == 0\n    strategy.entry(\"L\", strategy.long)\n\
         else\n    strategy.close(\"L\")\nplot(all, \"all\")",
    );
    let out = outcome(&source, &bars());
    assert_eq!(
        prices(&out)[..4],
        [(1, 100.0, 1, 100.0), (1, 102.0, 1, 95.0), (2, 100.0, 2, 100.0), (2, 102.0, 2, 95.0)]
    );
    assert_eq!(plot(&out, "all"), [1.0, 5.0, 9.0, 13.0]);
}

/// An entry by a stop leaves the script at the end of the leg that filled it.
#[test]
fn after_a_stop_the_script_stands_at_the_extreme() {
    let body = |stop: f64, side: &str| {
        script(&format!(
            "varip int all = 0\nall += 1\nif bar_index == 0\n    strategy.entry(\"E\", strategy.{side}, stop={stop})\n\
             if strategy.position_size != 0\n    strategy.close(\"E\")\n\
             plot(all, \"all\")\nplot(strategy.opentrades, \"open\")"
        ))
    };
    // On the first leg, up to the high: the close fills there, and one more calculation at the low.
    let up = outcome(&body(101.0, "long"), &bars());
    assert_eq!(prices(&up), [(1, 101.0, 1, 102.0)]);
    assert_eq!(plot(&up, "all"), [1.0, 4.0, 5.0, 6.0]);
    // On the second, down to the low: none is left.
    let down = outcome(&body(98.0, "short"), &bars());
    assert_eq!(prices(&down), [(1, 98.0, 1, 95.0)]);
    assert_eq!(plot(&down, "all"), [1.0, 3.0, 4.0, 5.0]);
}

#[test]
fn an_exit_given_after_the_fill_works_on_the_same_bar() {
    let source = script(
        "if bar_index == 0\n    strategy.entry(\"L\", strategy.long)\n\
         if strategy.position_size > 0\n    strategy.exit(\"X\", \"L\", limit=strategy.position_avg_price + 1.5, \
         stop=strategy.position_avg_price - 3)",
    );
    assert_eq!(prices(&outcome(&source, &bars())), [(1, 100.0, 1, 101.5)]);
    // Without the setting the exit is there from the bar's close on.
    let without = source.replace("calc_on_order_fills=true", "calc_on_order_fills=false");
    assert_eq!(prices(&outcome(&without, &bars())), [(1, 100.0, 2, 101.5)]);
}

/// A stop that the price has already passed when it is given fills where the price stands.
#[test]
fn a_level_already_passed_fills_at_once() {
    let source = script(
        "if bar_index == 0\n    strategy.entry(\"S\", strategy.short, stop=98)\n\
         if strategy.position_size < 0\n    strategy.exit(\"X\", \"S\", limit=96)",
    );
    assert_eq!(prices(&outcome(&source, &bars())), [(1, 98.0, 1, 95.0)]);
}

/// Orders are sized, and the account is marked, at the price where the script stands.
#[test]
fn the_account_stands_at_the_price_of_the_fill() {
    let source = script(
        "varip float equity = na\nif strategy.position_size > 0 and na(equity)\n    equity := strategy.equity\n\
         if bar_index == 0\n    strategy.entry(\"L\", strategy.long, qty=2, limit=97)\n\
         plot(equity, \"equity\")\nplot(strategy.equity, \"at close\")",
    );
    let out = outcome(&source, &bars());
    assert_eq!(plot(&out, "equity")[1], 1_000_000.0 + 2.0 * (95.0 - 97.0));
    assert_eq!(plot(&out, "at close")[1], 1_000_000.0 + 2.0 * (101.0 - 97.0));
}

#[test]
fn orders_at_the_close_leave_nothing_to_run_again_for() {
    let source =
        script("varip int all = 0\nall += 1\nstrategy.entry(\"L\", strategy.long)\nplot(all, \"all\")")
            .replace("calc_on_order_fills", "process_orders_on_close=true, calc_on_order_fills");
    assert_eq!(plot(&outcome(&source, &bars()), "all"), [1.0, 2.0, 3.0, 4.0]);
}

/// Indicators and their memory are taken back too.
#[test]
fn indicators_count_a_bar_once() {
    let body = |extra: &str| {
        format!(
            "//@version=6\nstrategy(\"t\"{extra})\nx = close + nz(strategy.position_size) * 0\nm = ta.ema(x, 3)\n\
             c = ta.cum(1 + strategy.closedtrades * 0)\nif ta.change(x) > 0\n    strategy.entry(\"L\", strategy.long)\n\
             else\n    strategy.close(\"L\")\nplot(m, \"m\")\nplot(c, \"c\")"
        )
    };
    let with = outcome(&body(", calc_on_order_fills=true"), &waves(50));
    let without = outcome(&body(""), &waves(50));
    assert!(!with.simulation.trades.is_empty());
    assert_eq!(plot(&with, "c"), plot(&without, "c"));
    assert_eq!(plot(&with, "m")[2..], plot(&without, "m")[2..]);
}
