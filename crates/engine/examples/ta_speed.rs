//! Nanoseconds per bar of the indicator kernels on synthetic bars, beside the `ta-lib` crate's
//! where both have the function. The best of many short rounds, so that other load on the machine
//! does not show.
//!
//! `cargo run --release -p springtide-engine --features talib --example ta_speed`

use springtide_domain::OwnedBars;
use springtide_engine::ta::{ColumnArg, ParamKind, Sums, TaFunc, TaState, run_column_with};
use std::hint::black_box;
use std::time::Instant;

const BARS: usize = 100_000;
const ROUNDS: usize = 100;

/// A random walk on a grid of cents, from a fixed seed.
fn walk() -> OwnedBars {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as f64 / (1_u64 << 53) as f64
    };
    let cents = |x: f64| (x * 100.0).round() / 100.0;
    let mut bars = OwnedBars::default();
    let mut open = 20_000.0;
    for i in 0..BARS {
        let close = cents((open + (random() - 0.5) * 40.0).max(1_000.0));
        let high = cents(f64::max(open, close) + random() * 10.0);
        let low = cents(f64::min(open, close) - random() * 10.0);
        bars.push(i as i64 * 900_000, open, high, low, close, random() * 1_000.0);
        open = close;
    }
    bars
}

/// Best of some rounds, in nanoseconds per bar.
fn time(mut work: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_nanos() as f64 / BARS as f64
        })
        .fold(f64::INFINITY, f64::min)
}

fn source<'a>(bars: &'a OwnedBars, name: &str) -> &'a [f64] {
    match name {
        "high" => &bars.high,
        "low" | "source2" | "y" => &bars.low,
        "volume" => &bars.volume,
        _ => &bars.close,
    }
}

fn value(name: &str, length: f64) -> f64 {
    match name {
        "mult" | "factor" => 2.0,
        "offset" => 0.85,
        "sigma" => 6.0,
        "start" | "inc" => 0.02,
        "max" => 0.2,
        "percentage" => 75.0,
        "fastlen" | "siglen" => (length / 2.0).floor().max(1.0),
        _ => length,
    }
}

fn measure(func: TaFunc, sums: Sums, bars: &OwnedBars, length: f64) -> (f64, f64) {
    let varies = |kind| matches!(kind, ParamKind::Source | ParamKind::Condition);
    let plain = |k: usize| {
        let param = func.params()[k];
        param.default.unwrap_or_else(|| match param.kind {
            ParamKind::Index => 1.0,
            _ => value(param.name, length),
        })
    };
    let n = func.arity();
    let fixed: Vec<Option<f64>> =
        (0..n).map(|k| (!varies(func.params()[k].kind)).then(|| plain(k))).collect();
    let columns: Vec<Option<&[f64]>> =
        (0..n).map(|k| varies(func.params()[k].kind).then(|| source(bars, func.params()[k].name))).collect();
    let args: Vec<ColumnArg<'_>> =
        (0..n).map(|k| columns[k].map_or_else(|| ColumnArg::Const(plain(k)), ColumnArg::Col)).collect();
    let view = bars.view();
    let mut outs = vec![Vec::with_capacity(BARS); func.outputs()];
    let column = time(|| {
        run_column_with(func, sums, &fixed, &view, &args, &mut outs);
        black_box(&outs);
    });
    let mut state = TaState::with_sums(func, sums, &fixed);
    let mut out = vec![0.0; func.outputs()];
    let mut now: Vec<f64> =
        (0..n).map(|k| if varies(func.params()[k].kind) { 0.0 } else { plain(k) }).collect();
    let step = time(|| {
        state.reset();
        for i in 0..BARS {
            for (to, col) in now.iter_mut().zip(&columns) {
                if let Some(col) = col {
                    *to = col[i];
                }
            }
            state.step(&view, i, &now, &mut out);
            black_box(&out);
        }
    });
    (column, step)
}

/// The same function by the `ta-lib` crate, where it has one of that meaning.
#[cfg(feature = "talib")]
fn rival(func: TaFunc, bars: &OwnedBars, length: f64) -> Option<f64> {
    use springtide_engine::ta::talib::{TalibFunc, run};
    let (theirs, params): (_, &[f64]) = match func {
        TaFunc::Sma => (TalibFunc::Sma, &[length]),
        TaFunc::Ema => (TalibFunc::Ema, &[length]),
        TaFunc::Rsi => (TalibFunc::Rsi, &[length]),
        TaFunc::Macd => (TalibFunc::Macd, &[10.0, length, 10.0]),
        TaFunc::Stdev => (TalibFunc::Stddev, &[length, 1.0]),
        TaFunc::Bb => (TalibFunc::Bbands, &[length, 2.0, 2.0, 0.0]),
        TaFunc::Atr => (TalibFunc::Atr, &[length]),
        TaFunc::Cci => (TalibFunc::Cci, &[length]),
        TaFunc::Linreg => (TalibFunc::LinearReg, &[length]),
        TaFunc::Dmi => (TalibFunc::Adx, &[length]),
        TaFunc::Wpr => (TalibFunc::Willr, &[length]),
        TaFunc::Mfi => (TalibFunc::Mfi, &[length]),
        TaFunc::Sar => (TalibFunc::Sar, &[0.02, 0.2]),
        _ => return None,
    };
    let view = bars.view();
    let mut outs = vec![Vec::with_capacity(BARS); theirs.outputs()];
    Some(time(|| {
        run(theirs, &view, &bars.close, params, &mut outs).expect("valid parameters");
        black_box(&outs);
    }))
}

#[cfg(not(feature = "talib"))]
fn rival(_: TaFunc, _: &OwnedBars, _: f64) -> Option<f64> {
    None
}

fn main() {
    let bars = walk();
    println!("{:36} {:>10} {:>10} {:>10}  ns per bar, length 20", "function", "column", "step", "ta-lib");
    for func in TaFunc::ALL {
        let (column, step) = measure(*func, Sums::Exact, &bars, 20.0);
        let theirs = rival(*func, &bars, 20.0).map_or(String::new(), |ns| format!("{ns:10.2}"));
        println!("{:36} {column:10.2} {step:10.2} {theirs}", format!("{func:?}"));
    }
    for func in [TaFunc::Sma, TaFunc::Stdev, TaFunc::Bb] {
        let (column, step) = measure(func, Sums::TradingView, &bars, 20.0);
        println!("{:36} {column:10.2} {step:10.2}", format!("{func:?}, TradingView's sums"));
    }
}
