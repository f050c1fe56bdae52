//! Requests for other symbols and shorter bars, and fills that follow shorter bars.

use super::*;
use crate::vm::{Need, OtherBars, needs};
use springtide_domain::Bars;
use std::sync::Mutex;

const MIDNIGHT: i64 = 1_704_067_200_000;
const MINUTE: i64 = 60_000;

/// Bars by ticker and timeframe, and what was asked for.
#[derive(Default)]
struct Shelf {
    bars: Vec<(SymbolInfo, Timeframe, OwnedBars)>,
    asked: Mutex<Vec<Need>>,
}

impl Shelf {
    fn with(mut self, ticker: &str, minutes: u32, bars: OwnedBars) -> Self {
        let symbol = SymbolInfo { ticker: ticker.into(), mintick: 0.5, ..SymbolInfo::default() };
        self.bars.push((symbol, Timeframe::Minutes(minutes), bars));
        self
    }
}

impl OtherData for Shelf {
    fn find(&self, symbol: &str, timeframe: Timeframe, _: &SymbolInfo) -> Option<OtherBars> {
        self.asked.lock().unwrap().push(Need { symbol: symbol.into(), timeframe });
        let found = self.bars.iter().find(|(s, tf, _)| symbol.ends_with(&s.ticker) && *tf == timeframe)?;
        Some(OtherBars { bars: Bars::from(found.2.clone()), symbol: found.0.clone() })
    }

    fn finest(&self, symbol: &str, _: &SymbolInfo) -> Option<Timeframe> {
        let own = self.bars.iter().filter(|(s, ..)| symbol.ends_with(&s.ticker));
        own.map(|(_, tf, _)| *tf).min_by_key(|tf| tf.nominal_ms())
    }
}

/// Bars of so many minutes whose close is their number, one after the other.
fn counted(minutes: i64, n: usize) -> OwnedBars {
    let mut out = OwnedBars::default();
    for i in 0..n {
        let x = i as f64;
        out.push(MIDNIGHT + i as i64 * minutes * MINUTE, x, x + 0.5, x - 0.5, x, 1.0);
    }
    out
}

fn strategy(body: &str) -> String {
    format!("//@version=6\nstrategy(\"t\")\n{body}")
}

fn shown(body: &str, bars: &OwnedBars, others: &Shelf) -> Vec<f64> {
    plot(&outcome_with(&strategy(&format!("plot({body}, \"x\")")), bars, Some(others)), "x")
}

#[test]
fn another_symbol_is_joined_by_time() {
    let others = Shelf::default().with("OTHER", 60, counted(60, 6)).with("OTHER", 120, counted(120, 3));
    let chart = hours(&[[1.0; 4]; 6]);
    assert_eq!(
        shown("request.security(\"OTHER\", \"60\", close)", &chart, &others),
        [0., 1., 2., 3., 4., 5.]
    );
    assert_eq!(
        shown("request.security(\"X:OTHER\", \"\", close[1])", &chart, &others)[1..],
        [0., 1., 2., 3., 4.]
    );
    let long = shown("request.security(\"OTHER\", \"120\", close)", &chart, &others);
    assert!(long[0].is_nan());
    assert_eq!(long[1..], [0., 0., 1., 1., 2.]);
    let early = "request.security(\"OTHER\", \"120\", close, lookahead=barmerge.lookahead_on)";
    assert_eq!(shown(early, &chart, &others), [0., 0., 1., 1., 2., 2.]);
    // Indicators count the other's bars.
    let sum = shown("request.security(\"OTHER\", \"120\", ta.cum(close + 1))", &chart, &others);
    assert_eq!(sum[1..], [1., 1., 3., 3., 6.]);
}

#[test]
fn within_a_request_the_symbol_is_the_requested_one() {
    let others = Shelf::default().with("OTHER", 120, counted(120, 3));
    let chart = hours(&[[1.0; 4]; 6]);
    let expression = "request.security(\"OTHER\", \"120\", syminfo.mintick == 0.5 and syminfo.ticker == \"OTHER\" \
                      and timeframe.period == \"120\" and timeframe.main_period == \"60\" \
                      and syminfo.main_tickerid == \"TEST\" ? 1 : 0)";
    assert_eq!(shown(expression, &chart, &others)[1..], [1.0; 5]);
}

#[test]
fn shorter_bars_give_their_last_value_or_all() {
    let others = Shelf::default().with("TEST", 15, counted(15, 10));
    let chart = hours(&[[1.0; 4]; 4]);
    // The third hour has two quarters, the fourth none.
    assert_eq!(shown("request.security(syminfo.tickerid, \"15\", close)", &chart, &others), [3., 7., 9., 9.]);
    let first = "request.security(syminfo.tickerid, \"15\", close, lookahead=barmerge.lookahead_on)";
    assert_eq!(shown(first, &chart, &others), [0., 4., 8., 9.]);
    let lower = "request.security_lower_tf(syminfo.tickerid, \"15\", close)";
    assert_eq!(shown(&format!("{lower}.size()"), &chart, &others), [4., 4., 2., 0.]);
    assert_eq!(shown(&format!("{lower}.sum()"), &chart, &others)[..3], [6., 22., 17.]);
    let body = "[h, up] = request.security_lower_tf(syminfo.tickerid, \"15\", [high, close > close[1]])\n\
                var n = 0\nfor x in up\n    n += x ? 1 : 0\nplot(h.size() > 0 ? h.max() : na, \"h\")\nplot(n, \"n\")";
    let out = outcome_with(&strategy(body), &chart, Some(&others));
    assert_eq!(plot(&out, "h")[..3], [3.5, 7.5, 9.5]);
    assert_eq!(plot(&out, "n"), [3., 7., 9., 9.]);
    // The chart's own timeframe needs nothing else.
    let own =
        shown("request.security_lower_tf(syminfo.tickerid, \"\", close).get(0)", &chart, &Shelf::default());
    assert_eq!(own, [1.0; 4]);
}

#[test]
fn what_is_missing_is_named_with_the_remedy() {
    let chart = hours(&[[1.0; 4]; 4]);
    for (body, part) in [
        ("request.security(\"BINANCE:ETHUSDT\", \"60\", close)", "BINANCE:ETHUSDT at 60"),
        ("request.security(syminfo.tickerid, \"5\", close)", "TEST at 5"),
        ("request.security_lower_tf(syminfo.tickerid, \"1\", close).size()", "TEST at 1"),
        ("request.security(ticker.new(\"A\", \"B\"), \"D\", close)", "A:B at 1D"),
    ] {
        for others in [None, Some(&Shelf::default() as &dyn OtherData)] {
            let source = strategy(&format!("plot({body})"));
            let error = execute_with(&source, &chart, ExecOptions::default(), others).unwrap_err();
            assert!(matches!(error, RunError::NoData { .. }), "{body}: {error}");
            let text = error.to_string();
            assert!(text.contains(part) && text.contains("tide data import"), "{text}");
        }
    }
    let longer = strategy("plot(request.security_lower_tf(syminfo.tickerid, \"240\", close).size())");
    let error = execute(&longer, &chart, ExecOptions::default()).unwrap_err().to_string();
    assert!(error.contains("takes a timeframe up to the chart's 60, not 240"), "{error}");
    let nested = strategy("plot(request.security(syminfo.tickerid, \"D\", array.from(close)).size())");
    let error = execute(&nested, &chart, ExecOptions::default()).unwrap_err().to_string();
    assert!(error.contains("of a collection"), "{error}");
}

/// A request in a loop whose turns depend on what it gives.
#[test]
fn a_request_cannot_wait_for_itself() {
    let body = "f(i) => request.security(syminfo.tickerid, \"D\", high[i])\nvar k = 2\nwhile k >= 0\n    \
                if close > f(k)\n        break\n    k -= 1\nplot(k)";
    let error = execute(&strategy(body), &waves(40), ExecOptions::default()).unwrap_err().to_string();
    assert!(error.contains("depends on its own result"), "{error}");
}

#[test]
fn what_a_run_will_ask_for_is_known_before() {
    let others = Shelf::default()
        .with("OTHER", 120, counted(120, 3))
        .with("THIRD", 240, counted(240, 3))
        .with("TEST", 15, counted(15, 16))
        .with("TEST", 10, counted(10, 24));
    let head = "//@version=6\nstrategy(\"t\", use_bar_magnifier=true)\n";
    let body = "s = input.string(\"OTHER\")\ninner() => request.security(\"THIRD\", \"240\", close)\n\
                a = request.security(s, \"120\", close + nz(inner()))\n\
                b = request.security(syminfo.tickerid, \"15\", close)\n\
                c = request.security(syminfo.tickerid, \"D\", close)\n\
                unused = request.security(\"NOBODY\", \"1\", close)\n\
                if a + b + c > 0\n    strategy.entry(\"L\", strategy.long)";
    let program = crate::compile(&format!("{head}{body}")).program.unwrap();
    let plan = Plan::prepare(&program, &Default::default()).unwrap();
    let (store, symbol, bars) = (ColumnStore::new(1 << 20), symbol(), waves(4));
    let data = DataContext {
        bars: bars.view(),
        timeframe: Timeframe::Minutes(60),
        symbol: &symbol,
        columns: &store,
        others: Some(&others),
    };
    let wanted = needs(&plan, &data);
    let named: Vec<_> = wanted.iter().map(|n| format!("{} {}", n.symbol, n.timeframe)).collect();
    assert_eq!(named, ["OTHER 120", "THIRD 240", "TEST 15", "TEST 10"]);
    others.asked.lock().unwrap().clear();
    run(&plan, &data, &Rules::default(), &program.account, &mut Scratch::default(), &|| false).unwrap();
    let mut asked = others.asked.lock().unwrap().clone();
    asked.sort_by_key(|n| wanted.iter().position(|w| w == n));
    assert_eq!(asked, wanted);
}

// ---- the bar magnifier --------------------------------------------------------------------------

/// Chart bars of an hour, and quarters that go down before they go up.
fn magnified() -> (OwnedBars, Shelf) {
    let chart =
        hours(&[[100.0, 100.0, 100.0, 100.0], [100.0, 104.0, 97.0, 103.0], [103.0, 103.5, 102.5, 103.0]]);
    let mut fine = OwnedBars::default();
    let quarters: [[f64; 4]; 12] = [
        [100.0, 100.0, 100.0, 100.0],
        [100.0, 100.0, 100.0, 100.0],
        [100.0, 100.0, 100.0, 100.0],
        [100.0, 100.0, 100.0, 100.0],
        [100.0, 100.5, 98.0, 98.5],
        // It opens below where the last one closed.
        [97.5, 99.0, 97.0, 99.0],
        [99.0, 104.0, 99.0, 103.5],
        [103.5, 103.5, 103.0, 103.0],
        [103.0, 103.5, 102.5, 103.0],
        [103.0, 103.0, 103.0, 103.0],
        [103.0, 103.0, 103.0, 103.0],
        [103.0, 103.0, 103.0, 103.0],
    ];
    for (i, [o, h, l, c]) in quarters.into_iter().enumerate() {
        fine.push(MIDNIGHT + i as i64 * 15 * MINUTE, o, h, l, c, 1.0);
    }
    (chart, Shelf::default().with("TEST", 15, fine))
}

/// Bars and prices of entry and exit.
type Fill = (u32, f64, u32, f64);

fn fills(source: &str, bars: &OwnedBars, others: Option<&dyn OtherData>) -> (Vec<Fill>, Vec<String>) {
    let out = outcome_with(source, bars, others);
    let trades = out.simulation.trades.iter();
    (trades.map(|t| (t.entry_bar, t.entry_price, t.exit_bar, t.exit_price)).collect(), out.warnings)
}

#[test]
fn fills_follow_the_shorter_bars() {
    let (chart, others) = magnified();
    let bracket = |limit: f64, stop: f64| {
        format!(
            "//@version=6\nstrategy(\"t\", use_bar_magnifier=true)\nif bar_index == 0\n    strategy.entry(\"L\", strategy.long)\n    \
             strategy.exit(\"X\", \"L\", limit={limit}, stop={stop})"
        )
    };
    // The hour's own path goes down first too, but it does not know the jump from 98.5 to 97.5.
    let (with, said) = fills(&bracket(103.0, 97.8), &chart, Some(&others));
    assert_eq!(with, [(1, 100.0, 1, 97.5)]);
    assert!(said.iter().any(|w| w.contains("fills follow the 15 bars of TEST")), "{said:?}");
    let (without, said) = fills(&bracket(103.0, 97.8), &chart, None);
    assert_eq!(without, [(1, 100.0, 1, 97.8)]);
    assert!(said.iter().any(|w| w.contains("no bars of TEST shorter than 60")), "{said:?}");
    // On the way to the first low there is a high of 100.5, which the hour's path meets only later.
    let (with, _) = fills(&bracket(100.4, 99.0), &chart, Some(&others));
    assert_eq!(with, [(1, 100.0, 1, 100.4)]);
    let (without, _) = fills(&bracket(100.4, 99.0), &chart, None);
    assert_eq!(without, [(1, 100.0, 1, 99.0)]);
}

/// An order that fills in one of the shorter bars lets the script run again there.
#[test]
fn scripts_run_again_within_shorter_bars() {
    let (chart, others) = magnified();
    let source = "//@version=6\nstrategy(\"t\", use_bar_magnifier=true, calc_on_order_fills=true)\n\
                  if bar_index == 0\n    strategy.entry(\"L\", strategy.long, limit=99)\n\
                  if strategy.position_size > 0\n    strategy.exit(\"X\", \"L\", limit=strategy.position_avg_price + 3)\n\
                  if strategy.closedtrades == 1\n    strategy.entry(\"S\", strategy.short)";
    let (trades, _) = fills(source, &chart, Some(&others));
    assert_eq!(trades[0], (1, 99.0, 1, 102.0));
    let out = outcome_with(source, &chart, Some(&others));
    // It stands at the quarter's high then.
    assert_eq!((out.simulation.open[0].entry_bar, out.simulation.open[0].entry_price), (1, 104.0));
}

#[test]
fn bars_without_shorter_ones_follow_the_assumed_path() {
    let (chart, mut others) = magnified();
    let fine = &mut others.bars[0].2;
    for column in [&mut fine.open, &mut fine.high, &mut fine.low, &mut fine.close, &mut fine.volume] {
        column.truncate(4);
    }
    fine.time.truncate(4);
    let source = "//@version=6\nstrategy(\"t\", use_bar_magnifier=true)\nif bar_index == 0\n    \
                  strategy.entry(\"L\", strategy.long)\n    strategy.exit(\"X\", \"L\", limit=103, stop=97.8)";
    let (trades, said) = fills(source, &chart, Some(&others));
    assert_eq!(trades, [(1, 100.0, 1, 97.8)]);
    assert!(said.iter().any(|w| w.contains("cover 1 of 3 bars")), "{said:?}");
}
