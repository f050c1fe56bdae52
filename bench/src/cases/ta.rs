//! Indicator kernels over whole columns, beside TA-Lib's official Rust port.

use super::market;
use crate::{
    contest::{Entry, Measured, ROUNDS, Setup},
    table::Comparison,
};
use serde_json::Value;
use springtide_domain::BarsView;
use springtide_engine::ta::{
    ColumnArg, ParamKind, Sums, TaFunc, run_column_with,
    talib::{TalibFunc, run},
};
use std::{hint::black_box, time::Instant};

/// Ours, its lengths, theirs, and their parameters.
type Pair = (&'static str, TaFunc, &'static [f64], TalibFunc, &'static [f64]);

const PAIRS: [Pair; 6] = [
    ("SMA 30", TaFunc::Sma, &[30.0], TalibFunc::Sma, &[30.0]),
    ("EMA 30", TaFunc::Ema, &[30.0], TalibFunc::Ema, &[30.0]),
    ("RSI 14", TaFunc::Rsi, &[14.0], TalibFunc::Rsi, &[14.0]),
    ("ATR 14", TaFunc::Atr, &[14.0], TalibFunc::Atr, &[14.0]),
    ("Bollinger bands 20", TaFunc::Bb, &[20.0, 2.0], TalibFunc::Bbands, &[20.0, 2.0, 2.0, 0.0]),
    ("MACD 12 26 9", TaFunc::Macd, &[12.0, 26.0, 9.0], TalibFunc::Macd, &[12.0, 26.0, 9.0]),
];
/// Runs in one round, so that the clock's steps do not show.
const RUNS: u32 = 40;

/// Each kernel in turn, on the bars' closes.
pub fn compare(setup: &Setup) -> Result<Vec<Comparison>, String> {
    let loaded = market::load(setup.data.to_str().ok_or("the data's path is no text")?)?;
    let bars = loaded.bars.view();
    let entries = PAIRS.iter().flat_map(|pair| {
        let (name, ours, theirs) = (
            pair.0,
            time(&bars, |b, o| our_column(pair, b, o)),
            time(&bars, |b, o| their_column(pair, b, o)),
        );
        let entry = |who: &str, seconds: Vec<f64>| Entry {
            name: format!("{name}, {who}"),
            ours: who == "springtide",
            base: who == "springtide",
            outcome: Ok(Measured { version: String::new(), seconds, peak_kb: 0, result: Value::Null }),
        };
        [entry("springtide", ours), entry("TA-Lib", theirs)]
    });
    Ok(vec![Comparison {
        title: format!("Indicators over {} bars", bars.len()),
        note: "One column of closes (of all prices for ATR) on one thread. The definitions differ in how they start; \
               that both agree where they mean the same is tested in the engine. Not all of ours is the same work: \
               ours sums without drift."
            .into(),
        rate: Some(("M bars/s", bars.len() as f64 / 1e6)),
        unit: ("µs", 1e6),
        entries: entries.collect(),
        verdicts: Vec::new(),
    }])
}

fn time(bars: &BarsView<'_>, work: impl Fn(&BarsView<'_>, &mut Vec<Vec<f64>>)) -> Vec<f64> {
    let mut outs = Vec::new();
    let mut round = || {
        let start = Instant::now();
        for _ in 0..RUNS {
            work(bars, &mut outs);
            black_box(&outs);
        }
        start.elapsed().as_secs_f64() / f64::from(RUNS)
    };
    round();
    (0..ROUNDS).map(|_| round()).collect()
}

fn our_column((_, func, lengths, ..): &Pair, bars: &BarsView<'_>, outs: &mut Vec<Vec<f64>>) {
    outs.resize_with(func.outputs(), Vec::new);
    let mut numbers = lengths.iter();
    let mut fixed = Vec::new();
    let mut arguments = Vec::new();
    for param in func.params() {
        if matches!(param.kind, ParamKind::Source | ParamKind::Condition) {
            fixed.push(None);
            arguments.push(ColumnArg::Col(bars.close));
        } else {
            let value = numbers.next().copied().or(param.default).unwrap_or(0.0);
            fixed.push(Some(value));
            arguments.push(ColumnArg::Const(value));
        }
    }
    run_column_with(*func, Sums::Exact, &fixed, bars, &arguments, outs);
}

fn their_column((_, _, _, func, params): &Pair, bars: &BarsView<'_>, outs: &mut Vec<Vec<f64>>) {
    outs.resize_with(func.outputs(), Vec::new);
    // The parameters above are valid; if they were not, the outputs would stay empty.
    let _ = run(*func, bars, bars.close, params, outs);
}
