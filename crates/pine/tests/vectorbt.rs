//! The SMA cross from a Pine script under the preset `vectorbt` gives vectorbt's own figures, all 1,381 of them.
//!
//! Recorded with vectorbt 1.2.0 by `bench/vectorbt_sma_cross.py`, which prints every combination.

use springtide_domain::{Bars, OwnedBars, ParamValue, Params, SymbolInfo, Timeframe};
use springtide_engine::Rules;
use springtide_pine::vm::{self, ColumnStore, DataContext, Plan, Scratch};

const SOURCE: &str = r#"//@version=6
strategy("SMA cross", initial_capital = 100000, default_qty_type = strategy.percent_of_equity,
     default_qty_value = 100, commission_type = strategy.commission.percent, commission_value = 0.1)
fast = ta.sma(close, input.int(10, "Fast"))
slow = ta.sma(close, input.int(30, "Slow"))
if ta.crossover(fast, slow)
    strategy.entry("Long", strategy.long)
if ta.crossunder(fast, slow)
    strategy.close("Long")
"#;

/// Fast, slow, final equity, entries.
const RECORDED: [(i64, i64, f64, usize); 7] = [
    (10, 30, 36322.732974024155, 684),
    (5, 55, 44776.16952287748, 594),
    (5, 200, 108598.61816534148, 269),
    (20, 100, 118764.24222336324, 228),
    (37, 145, 144631.75410972536, 149),
    (50, 55, 49092.74836785372, 647),
    (50, 200, 162100.8139645559, 100),
];

/// Over 5..=50 x 55..=200 step 5 in this order: the sums of equities and entries, plain and weighted by position.
const EQUITIES: (f64, f64) = (178275948.2014184, 131275429114.10207);
const ENTRIES: (usize, usize) = (296_827, 183_059_786);

fn btc() -> Option<Bars> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/BTC-USD-15m.csv");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: {path} is not there");
        return None;
    };
    let mut bars = OwnedBars::default();
    for (i, line) in text.lines().skip(1).enumerate() {
        let v: Vec<f64> = line.split(',').skip(1).filter_map(|x| x.trim().parse().ok()).collect();
        bars.push(1_672_531_200_000 + i as i64 * 900_000, v[0], v[1], v[2], v[3], v[4]);
    }
    Some(bars.into())
}

fn close_to(got: f64, want: f64) -> bool {
    (got - want).abs() <= 1e-12 * want.abs()
}

#[test]
fn the_sma_cross_sweep_equals_vectorbt() {
    let Some(bars) = btc() else { return };
    let program = springtide_pine::compile(SOURCE).program.unwrap();
    let (rules, symbol) = (Rules::preset("vectorbt").unwrap(), SymbolInfo::default());
    let columns = ColumnStore::new(64 << 20);
    let run = |fast: i64, slow: i64| {
        let params =
            Params::from([("Fast".into(), ParamValue::Int(fast)), ("Slow".into(), ParamValue::Int(slow))]);
        let plan = Plan::prepare(&program, &params).unwrap();
        let data = DataContext {
            bars: bars.view(),
            timeframe: Timeframe::Minutes(15),
            symbol: &symbol,
            columns: &columns,
            others: None,
        };
        let out =
            vm::run(&plan, &data, &rules, &program.account, &mut Scratch::default(), &|| false).unwrap();
        let last = out.simulation.segments.last().unwrap();
        let equity = last.base + last.slope * bars.view().close[bars.len() - 1];
        (equity, out.simulation.trades.len() + out.simulation.open.len())
    };
    for (fast, slow, equity, entries) in RECORDED {
        let got = run(fast, slow);
        assert!(
            close_to(got.0, equity) && got.1 == entries,
            "{fast}/{slow}: {got:?}, not {equity} {entries}"
        );
    }
    let (mut equities, mut counts) = ((0.0, 0.0), (0, 0));
    let combos = (5..=50).flat_map(|f| (55..=200).step_by(5).map(move |s| (f, s)));
    for (k, (fast, slow)) in combos.enumerate() {
        let (equity, entries) = run(fast, slow);
        equities = (equities.0 + equity, equities.1 + (k + 1) as f64 * equity);
        counts = (counts.0 + entries, counts.1 + (k + 1) * entries);
    }
    assert_eq!(counts, ENTRIES);
    assert!(close_to(equities.0, EQUITIES.0) && close_to(equities.1, EQUITIES.1), "{equities:?}");
}
