//! Any program that compiles runs to an end within its limits, alike by columns and bar by bar, and its account adds up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use springtide_domain::{ContentHash, OwnedBars, Params, SymbolInfo, Timeframe, synth::SplitMix64};
use springtide_engine::{Rules, broker::Simulation, rules::PRESETS};
use springtide_pine::vm::{ColumnStore, DataContext, ExecOptions, Plan, Scratch, run};
use std::cell::Cell;

/// Questions whether to stop that are answered with no: loops without end must not hold the fuzzer up.
const PATIENCE: u32 = 40;

fuzz_target!(|data: &[u8]| {
    let source = String::from_utf8_lossy(data);
    let Some(program) = springtide_pine::compile(&source).program else { return };
    let Ok(plan) = Plan::prepare(&program, &Params::new()) else { return };
    // The market and the rules come from the source, so that scripts alone are seeds.
    let mut random = SplitMix64::new(u64::from(ContentHash::of(data).0[0]));
    let bars = bars(&mut random);
    let rules = Rules::preset(PRESETS[random.next_u64() as usize % PRESETS.len()]).expect("a preset");
    let symbol = SymbolInfo::default();
    let go = |hoist: bool| {
        let store = ColumnStore::new(1 << 20);
        let market = DataContext {
            bars: bars.view(),
            timeframe: Timeframe::Minutes(60),
            symbol: &symbol,
            columns: &store,
            others: None,
        };
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > PATIENCE
        };
        run(&plan, &market, &rules, &program.account, &mut Scratch { options: ExecOptions { hoist } }, &stop)
    };
    // A script's own mistakes may show on one bar or another, so only whole runs are compared.
    if let (Ok(a), Ok(b)) = (go(true), go(false)) {
        let shown = |s: &Simulation| format!("{s:?}");
        assert_eq!(shown(&a.simulation), shown(&b.simulation), "columns change the result");
        books(&a.simulation);
    }
});

fn books(s: &Simulation) {
    let paid: f64 = s.trades.iter().map(|t| t.commission).chain(s.open.iter().map(|t| t.commission)).sum();
    // Amounts that overflow or cancel say nothing.
    let size = s.trades.iter().map(|t| t.commission.abs()).sum::<f64>() + s.commission_paid.abs();
    if size.is_finite() {
        assert!(
            (paid - s.commission_paid).abs() <= 1e-6 * size.max(1.0),
            "{paid} of {} paid",
            s.commission_paid
        );
    }
    for t in &s.trades {
        assert!(t.qty > 0.0 && t.entry_bar <= t.exit_bar, "{t:?}");
    }
}

fn bars(random: &mut SplitMix64) -> OwnedBars {
    let mut bars = OwnedBars::default();
    let (mut time, mut close) = (1_704_067_200_000, 100.0);
    for _ in 0..1 + random.next_u64() % 120 {
        let quarters = |random: &mut SplitMix64, most: u64| {
            (random.next_u64() % (2 * most + 1)) as f64 / 4.0 - most as f64 / 4.0
        };
        let gap = if random.chance(0.1) { quarters(random, 12) } else { 0.0 };
        let open = f64::max(close + gap, 1.0);
        close = f64::max(open + quarters(random, 6), 1.0);
        let high = f64::max(open, close) + quarters(random, 4).abs();
        let low = f64::max(f64::min(open, close) - quarters(random, 4).abs(), 0.25);
        let volume = if random.chance(0.05) { f64::NAN } else { (random.next_u64() % 50) as f64 };
        bars.push(time, open, high, low, close, volume);
        time += 3_600_000 * if random.chance(0.03) { 40 } else { 1 };
    }
    bars
}
