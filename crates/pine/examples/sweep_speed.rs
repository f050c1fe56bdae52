//! The SMA cross sweep and the single run, from Pine source text to metrics.
//!
//! `sweep_speed BTC-USD-15m.csv` measures, with `--preset NAME` that one alone; `--values PRESET` prints
//! `fast,slow,equity,entries` of 10/30 and of every combination instead, for `bench/vectorbt_sma_cross.py`.

use springtide_domain::{Bars, OwnedBars, ParamValue, Params, SymbolInfo, Timeframe};
use springtide_engine::{
    Rules,
    metrics::{self, Calendar, MetricsInput},
};
use springtide_pine::{
    ir::Program,
    vm::{self, ColumnStore, DataContext, Plan, Scratch},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
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

/// What all runs of a measurement share.
struct Setting<'a> {
    program: &'a Program,
    bars: &'a Bars,
    calendar: Calendar,
    store: ColumnStore,
    rules: Rules,
    symbol: SymbolInfo,
}

impl<'a> Setting<'a> {
    fn new(program: &'a Program, bars: &'a Bars, preset: &str) -> Self {
        Self {
            program,
            bars,
            calendar: Calendar::new(&bars.view()),
            store: ColumnStore::new(96 << 20),
            rules: Rules::preset(preset).expect("the preset exists"),
            symbol: SymbolInfo::default(),
        }
    }

    /// Final equity and number of entries.
    fn run(&self, params: &Params, scratch: &mut Scratch) -> (f64, usize) {
        let plan = Plan::prepare(self.program, params).expect("inputs");
        let data = DataContext {
            bars: self.bars.view(),
            timeframe: Timeframe::Minutes(15),
            symbol: &self.symbol,
            columns: &self.store,
            others: None,
        };
        let account = &self.program.account;
        let out = vm::run(&plan, &data, &self.rules, account, scratch, &|| false).expect("runs");
        let simulation = &out.simulation;
        let input = MetricsInput {
            commission_paid: simulation.commission_paid,
            open_trades: simulation.open.len() as u32,
            open_profit: simulation.open_profit,
            ..MetricsInput::new(account.initial_capital)
        };
        let view = self.bars.view();
        let m = metrics::compute(&view, &self.calendar, &simulation.trades, &simulation.segments, &input);
        (m.equity_final, simulation.trades.len() + simulation.open.len())
    }

    /// Runs all combinations on so many threads; the sum of their final equities.
    fn sweep(&self, combos: &[(i64, i64)], threads: usize) -> f64 {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut scratch = Scratch::default();
            let mut sum = 0.0;
            while let Some(combo) = combos.get(next.fetch_add(1, Ordering::Relaxed)) {
                sum += self.run(&lengths(*combo), &mut scratch).0;
            }
            sum
        };
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            handles.into_iter().map(|h| h.join().expect("no run panics")).sum()
        })
    }
}

fn lengths((fast, slow): (i64, i64)) -> Params {
    Params::from([("Fast".into(), ParamValue::Int(fast)), ("Slow".into(), ParamValue::Int(slow))])
}

fn combos() -> Vec<(i64, i64)> {
    (5..=50).flat_map(|f| (55..=200).step_by(5).map(move |s| (f, s))).collect()
}

/// From source text and from the checked program to metrics, the best of many.
fn one_run(source: &str, bars: &Bars, preset: &str) {
    let (mut compile, mut first, mut result) = (Duration::MAX, Duration::MAX, (0.0, 0));
    for _ in 0..50 {
        let t = Instant::now();
        let program = springtide_pine::compile(source).program.expect("compiles");
        compile = compile.min(t.elapsed());
        let t = Instant::now();
        // With an empty store, so that the columns are computed too.
        result = Setting::new(&program, bars, preset).run(&Params::new(), &mut Scratch::default());
        first = first.min(t.elapsed());
    }
    let (equity, trades) = result;
    println!(
        "{preset}, one run: source to program {compile:?}, program to metrics {first:?}; equity {equity:.2} trades {trades}"
    );
}

fn main() {
    let bars: Bars = bars().into();
    let source = SOURCE
        .replace("minval = 5, maxval = 50, step = 5", "minval = 1")
        .replace("minval = 20, maxval = 200, step = 20", "minval = 1");
    let program = springtide_pine::compile(&source).program.expect("compiles");
    let args: Vec<String> = std::env::args().skip(2).collect();
    if let [flag, preset] = args.as_slice()
        && flag == "--values"
    {
        let setting = Setting::new(&program, &bars, preset);
        for combo in std::iter::once((10, 30)).chain(combos()) {
            let (equity, entries) = setting.run(&lengths(combo), &mut Scratch::default());
            println!("{},{},{equity:?},{entries}", combo.0, combo.1);
        }
        return;
    }
    let presets = match args.as_slice() {
        [flag, preset] if flag == "--preset" => vec![preset.as_str()],
        _ => vec!["vectorbt", "tradingview"],
    };
    presets.iter().for_each(|preset| one_run(&source, &bars, preset));
    let combos = combos();
    for preset in presets {
        for threads in [1, 2] {
            // The best of three, each with an empty store.
            let (mut best, mut sum) = (Duration::MAX, 0.0);
            for _ in 0..3 {
                let setting = Setting::new(&program, &bars, preset);
                let t = Instant::now();
                sum = setting.sweep(&combos, threads);
                best = best.min(t.elapsed());
            }
            println!(
                "{preset}, {threads} threads: {} runs in {best:?}, {:.0} million bar-combinations/s, sum of equities {sum:.4}",
                combos.len(),
                (combos.len() * bars.len()) as f64 / best.as_secs_f64() / 1e6
            );
        }
    }
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", peak.lines().find(|l| l.starts_with("VmHWM")).unwrap_or(""));
}
