//! The SMA cross sweep and the single run, from Pine source text to metrics.

use springtide_domain::{Bars, OwnedBars, ParamValue, Params, SymbolInfo, Timeframe};
use springtide_engine::{
    Account, Rules,
    metrics::{self, Calendar, MetricsInput},
};
use springtide_pine::{
    ir::Program,
    vm::{self, ColumnStore, DataContext, Plan, Scratch},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

const SOURCE: &str = include_str!("../../../strategies/sma_cross.pine");

fn bars() -> OwnedBars {
    let path = std::env::args().nth(1).unwrap_or_else(|| "../shared/data/BTC-USD-15m.csv".into());
    let text = std::fs::read_to_string(path).expect("the path of BTC-USD-15m.csv as first argument");
    let mut bars = OwnedBars::default();
    for (i, line) in text.lines().skip(1).enumerate() {
        let v: Vec<f64> = line.split(',').skip(1).filter_map(|x| x.trim().parse().ok()).collect();
        bars.push(1_672_531_200_000 + i as i64 * 900_000, v[0], v[1], v[2], v[3], v[4]);
    }
    bars
}

fn run(
    program: &Program,
    params: &Params,
    bars: &Bars,
    calendar: &Calendar,
    store: &ColumnStore,
    rules: &Rules,
    account: &Account,
    symbol: &SymbolInfo,
    scratch: &mut Scratch,
) -> (f64, usize) {
    let plan = Plan::prepare(program, params).expect("inputs");
    let data = DataContext {
        bars: bars.view(),
        timeframe: Timeframe::Minutes(15),
        symbol,
        columns: store,
        others: None,
    };
    let out = vm::run(&plan, &data, rules, account, scratch, &|| false).expect("runs");
    let input = MetricsInput {
        commission_paid: out.simulation.commission_paid,
        ..MetricsInput::new(account.initial_capital)
    };
    let m =
        metrics::compute(&bars.view(), calendar, &out.simulation.trades, &out.simulation.segments, &input);
    (m.equity_final, out.simulation.trades.len() + out.simulation.open.len())
}

fn main() {
    let bars: Bars = bars().into();
    let n = bars.len();
    let symbol = SymbolInfo::default();
    let source = SOURCE
        .replace("minval = 5, maxval = 50, step = 5", "minval = 1")
        .replace("minval = 20, maxval = 200, step = 20", "minval = 1");
    for _ in 0..3 {
        let t = Instant::now();
        let compiled = springtide_pine::compile(&source);
        let program = compiled.program.expect("compiles");
        let parsed = t.elapsed();
        let t = Instant::now();
        let store = ColumnStore::new(96 << 20);
        let calendar = Calendar::new(&bars.view());
        let rules = Rules::preset("vectorbt").expect("preset");
        let (equity, trades) = run(
            &program,
            &Params::new(),
            &bars,
            &calendar,
            &store,
            &rules,
            &program.account,
            &symbol,
            &mut Scratch::default(),
        );
        println!(
            "one run: source to program {parsed:?}, program to metrics {:?}; equity {equity:.2} trades {trades}",
            t.elapsed()
        );
    }
    let program = springtide_pine::compile(&source).program.expect("compiles");
    for preset in ["vectorbt", "tradingview"] {
        for threads in [1, 2] {
            let store = ColumnStore::new(96 << 20);
            let calendar = Calendar::new(&bars.view());
            let rules = Rules::preset(preset).expect("preset");
            let combos: Vec<(i64, i64)> =
                (5..=50).flat_map(|f| (55..=200).step_by(5).map(move |s| (f, s))).collect();
            let next = AtomicUsize::new(0);
            let t = Instant::now();
            let sum: f64 = std::thread::scope(|scope| {
                let work = || {
                    let mut scratch = Scratch::default();
                    let mut sum = 0.0;
                    loop {
                        let k = next.fetch_add(1, Ordering::Relaxed);
                        let Some((f, s)) = combos.get(k) else { return sum };
                        let params = Params::from([
                            ("Fast".into(), ParamValue::Int(*f)),
                            ("Slow".into(), ParamValue::Int(*s)),
                        ]);
                        sum += run(
                            &program,
                            &params,
                            &bars,
                            &calendar,
                            &store,
                            &rules,
                            &program.account,
                            &symbol,
                            &mut scratch,
                        )
                        .0;
                    }
                };
                let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                handles.into_iter().map(|h| h.join().unwrap_or(0.0)).sum()
            });
            let time = t.elapsed();
            println!(
                "{preset}, {threads} threads: {} runs in {time:?}, {:.0} million bar-combinations/s, sum of equities {sum:.4}",
                combos.len(),
                (combos.len() * n) as f64 / time.as_secs_f64() / 1e6
            );
        }
    }
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", peak.lines().find(|l| l.starts_with("VmHWM")).unwrap_or(""));
}
