//! Tests that need no reference data: values worked out by hand or measured on TradingView and
//! quoted, and the agreement of the drivers on random series.

use super::{
    ColumnArg, ParamKind, Sums, TaFunc, TaState, run_column, run_column_with, run_lengths, validate,
};
use proptest::prelude::*;
use springtide_domain::OwnedBars;

const NA: f64 = f64::NAN;

fn flat_bars(closes: &[f64]) -> OwnedBars {
    let mut bars = OwnedBars::default();
    for (i, c) in closes.iter().enumerate() {
        bars.push(i as i64 * 60_000, *c, *c, *c, *c, 1.0);
    }
    bars
}

/// First output of a call whose leading arguments are columns and whose others are constants.
fn column(func: TaFunc, sums: Sums, bars: &OwnedBars, cols: &[&[f64]], rest: &[f64]) -> Vec<f64> {
    let args: Vec<ColumnArg<'_>> =
        cols.iter().map(|c| ColumnArg::Col(c)).chain(rest.iter().map(|v| ColumnArg::Const(*v))).collect();
    let fixed: Vec<Option<f64>> = cols.iter().map(|_| None).chain(rest.iter().map(|v| Some(*v))).collect();
    let mut outs = vec![Vec::new(); func.outputs()];
    run_column_with(func, sums, &fixed, &bars.view(), &args, &mut outs);
    outs.remove(0)
}

fn on(func: TaFunc, xs: &[f64], rest: &[f64]) -> Vec<f64> {
    column(func, Sums::TradingView, &flat_bars(xs), &[xs], rest)
}

fn on_two(func: TaFunc, xs: &[f64], ys: &[f64], rest: &[f64]) -> Vec<f64> {
    column(func, Sums::TradingView, &flat_bars(xs), &[xs, ys], rest)
}

#[track_caller]
fn same(got: &[f64], want: &[f64]) {
    let equal =
        got.len() == want.len() && got.iter().zip(want).all(|(g, w)| g == w || (g.is_nan() && w.is_nan()));
    assert!(equal, "got {got:?}, want {want:?}");
}

fn series(n: usize, f: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..n).map(f).collect()
}

#[test]
fn averages_by_hand() {
    let x = [1.0, 2.0, 4.0, 8.0, 16.0];
    same(&on(TaFunc::Sma, &x, &[2.0]), &[NA, 1.5, 3.0, 6.0, 12.0]);
    same(&on(TaFunc::Sum, &x, &[3.0]), &[NA, NA, 7.0, 14.0, 28.0]);
    same(&on(TaFunc::Ema, &[1.0, 2.0, 3.0, 8.0, 16.0], &[3.0]), &[NA, NA, 2.0, 5.0, 10.5]);
    same(&on(TaFunc::Rma, &x, &[2.0]), &[NA, 1.5, 2.75, 5.375, 10.6875]);
    same(&on(TaFunc::Wma, &x, &[2.0]), &[NA, 5.0 / 3.0, 10.0 / 3.0, 20.0 / 3.0, 40.0 / 3.0]);
    same(&on(TaFunc::Swma, &x, &[]), &[NA, NA, NA, 21.0 / 6.0, 7.0]);
    same(&on(TaFunc::Linreg, &[1.0, 3.0, 5.0, 7.0], &[3.0, 0.0]), &[NA, NA, 5.0, 7.0]);
    same(&on(TaFunc::Linreg, &[1.0, 3.0, 5.0, 7.0], &[3.0, 1.0]), &[NA, NA, 3.0, 5.0]);
}

#[test]
fn na_is_skipped_as_each_function_does() {
    let x = [1.0, 3.0, NA, 5.0, 9.0];
    same(&on(TaFunc::Sma, &x, &[2.0]), &[NA, 2.0, 2.0, 4.0, 7.0]);
    same(&on(TaFunc::Ema, &x, &[2.0]), &[NA, 2.0, NA, 4.0, 4.0 + 2.0 / 3.0 * 5.0]);
    same(&on(TaFunc::Wma, &x, &[2.0]), &[NA, 7.0 / 3.0, NA, 13.0 / 3.0, 23.0 / 3.0]);
    same(&on(TaFunc::Highest, &x, &[2.0]), &[NA, 3.0, 3.0, 5.0, 9.0]);
    same(&on(TaFunc::Cum, &x, &[]), &[1.0, 4.0, NA, 9.0, 18.0]);
    same(&on(TaFunc::FixNan, &x, &[]), &[1.0, 3.0, 3.0, 5.0, 9.0]);
    same(&on(TaFunc::Median, &x, &[3.0]), &[NA, NA, NA, 3.0, 5.0]);
    // An infinite value is na, and leaves no trace in the sums after it.
    let y = [1.0, f64::INFINITY, 3.0, 5.0];
    same(&on(TaFunc::Sma, &y, &[2.0]), &[NA, NA, 2.0, 4.0]);
}

#[test]
fn extremes_by_hand() {
    let x = [3.0, 1.0, 4.0, 4.0, 2.0, 0.0];
    same(&on(TaFunc::Highest, &x, &[3.0]), &[NA, NA, 4.0, 4.0, 4.0, 4.0]);
    same(&on(TaFunc::HighestBars, &x, &[3.0]), &[NA, NA, 0.0, -1.0, -2.0, -2.0]);
    same(&on(TaFunc::Lowest, &x, &[2.0]), &[NA, 1.0, 1.0, 4.0, 2.0, 0.0]);
    same(&on(TaFunc::PivotHigh, &x, &[1.0, 1.0]), &[NA, NA, NA, NA, 4.0, NA]);
    same(&on(TaFunc::PivotLow, &x, &[1.0, 1.0]), &[NA, NA, 1.0, NA, NA, NA]);
    same(&on(TaFunc::Range, &x, &[2.0]), &[NA, 2.0, 3.0, 0.0, 2.0, 2.0]);
}

#[test]
fn memory_by_hand() {
    let cond = [0.0, 1.0, 0.0, NA, 1.0, 0.0];
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    same(&on(TaFunc::BarsSince, &cond, &[]), &[NA, 0.0, 1.0, 2.0, 0.0, 1.0]);
    same(&on_two(TaFunc::ValueWhen, &cond, &x, &[0.0]), &[NA, 2.0, 2.0, 2.0, 5.0, 5.0]);
    same(&on_two(TaFunc::ValueWhen, &cond, &x, &[1.0]), &[NA, NA, NA, NA, 2.0, 2.0]);
    same(&on(TaFunc::Change, &x, &[2.0]), &[NA, NA, 2.0, 2.0, 2.0, 2.0]);
    same(&on(TaFunc::Roc, &[1.0, 2.0, 3.0], &[1.0]), &[NA, 100.0, 50.0]);
    same(&on(TaFunc::ChangeBool, &[1.0, 1.0, 0.0, 1.0], &[1.0]), &[0.0, 0.0, 1.0, 1.0]);
    same(&on(TaFunc::Rising, &[1.0, 2.0, 3.0, 3.0], &[2.0]), &[0.0, 0.0, 1.0, 0.0]);
    same(&on(TaFunc::PercentRank, &[1.0, 2.0, 3.0, 2.0], &[2.0]), &[NA, NA, 100.0, 50.0]);
}

#[test]
fn rsi_without_losses_is_a_hundred() {
    let x = series(6, |i| i as f64);
    same(&on(TaFunc::Rsi, &x, &[3.0])[3..], &[100.0, 100.0, 100.0]);
    same(&on_two(TaFunc::RsiRatio, &[1.0], &[3.0], &[]), &[25.0]);
}

/// A source that changes side on every bar crosses on every bar.
#[test]
fn crossings_on_adjacent_bars() {
    let a = series(6, |i| if i % 2 == 0 { 1.0 } else { -1.0 });
    let zero = [0.0; 6];
    same(&on_two(TaFunc::Cross, &a, &zero, &[]), &[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    same(&on_two(TaFunc::Crossover, &a, &zero, &[]), &[0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    same(&on_two(TaFunc::Crossunder, &a, &zero, &[]), &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
}

/// After a run of equal values `crossover` fires from either side, `cross` only when the strict
/// order before the run was the opposite one.
#[test]
fn crossings_after_a_plateau() {
    let ones = [1.0; 8];
    let path = |before: f64, after: f64| {
        series(8, |i| {
            if i < 3 {
                before
            } else if i < 6 {
                1.0
            } else {
                after
            }
        })
    };
    let at = |func, x: &[f64]| on_two(func, x, &ones, &[]).iter().position(|v| *v == 1.0);
    for (x, cross, over, under) in [
        (path(1.0, 2.0), None, Some(6), None),
        (path(1.0, 0.0), None, None, Some(6)),
        (path(0.0, 2.0), Some(6), Some(6), None),
        (path(2.0, 0.0), Some(6), None, Some(6)),
    ] {
        assert_eq!(at(TaFunc::Cross, &x), cross);
        assert_eq!(at(TaFunc::Crossover, &x), over);
        assert_eq!(at(TaFunc::Crossunder, &x), under);
    }
    // From above, level, above again: an upward cross by the last step, no turn of the order.
    assert_eq!(at(TaFunc::Crossover, &path(2.0, 2.0)), Some(6));
    assert_eq!(at(TaFunc::Cross, &path(2.0, 2.0)), None);
}

/// Which functions see a step of 1e-12, and which one of 1e-8 (measured on TradingView).
#[test]
fn tolerance_where_the_language_has_it() {
    let tiny = series(20, |i| if i % 2 == 0 { 100.0 } else { 100.0 + 1e-12 });
    let small = series(20, |i| if i % 2 == 0 { 100.0 } else { 100.0 + 1e-8 });
    let third = |by: f64| series(20, move |i| if i % 3 == 1 { 100.0 + by } else { 100.0 });
    assert_eq!(on(TaFunc::Rising, &tiny, &[1.0])[13], 0.0);
    assert_eq!(on(TaFunc::Rising, &small, &[1.0])[13], 1.0);
    assert_eq!(on(TaFunc::Falling, &small, &[1.0])[14], 1.0);
    same(&on(TaFunc::PercentRank, &third(1e-12), &[5.0])[12..15], &[100.0; 3]);
    same(&on(TaFunc::PercentRank, &third(1e-8), &[5.0])[12..15], &[60.0, 100.0, 60.0]);
    assert!(on(TaFunc::Cmo, &tiny, &[4.0])[15].is_nan());
    assert_eq!(on(TaFunc::Mfi, &tiny, &[4.0])[15], 100.0);
    same(&on(TaFunc::HighestBars, &third(1e-12), &[3.0])[12..15], &[-2.0, 0.0, -1.0]);
    let base = [100.0; 20];
    assert_eq!(on_two(TaFunc::Crossover, &third(1e-12), &base, &[])[13], 1.0);
}

/// Percentiles of {0, 1, 2, 3} and the exactness of `change` (measured on TradingView).
#[test]
fn percentiles_walk_the_ranks() {
    let ramp = series(9, |i| (i % 4) as f64);
    for (p, want) in [(0.0, 0.0), (12.5, 0.0), (25.0, 0.5), (37.5, 1.0), (50.0, 1.5), (100.0, 3.0)] {
        assert_eq!(on(TaFunc::PercentileLinear, &ramp, &[4.0, p])[8], want);
    }
    for (p, want) in [(0.0, 0.0), (25.0, 0.0), (26.0, 1.0), (50.0, 1.0), (51.0, 2.0), (100.0, 3.0)] {
        assert_eq!(on(TaFunc::PercentileNearest, &ramp, &[4.0, p])[8], want);
    }
    assert_eq!(on(TaFunc::PercentileNearest, &ramp, &[4.0, NA])[8], 0.0);
    assert!(on(TaFunc::PercentileLinear, &ramp, &[4.0, NA])[8].is_nan());
    let step = on(TaFunc::Change, &[0.001, 0.001 + 1e-15], &[1.0])[1];
    assert!(step > 0.9e-15 && step < 1.1e-15);
}

/// Last bits of variance and deviation (measured on TradingView; three decimals after scaling).
#[test]
fn spread_rounds_as_measured() {
    let c = series(9, |i| 100.0 + (i % 4) as f64);
    let at = |func, x: &[f64], rest: &[f64]| on(func, x, rest)[8];
    assert_eq!(at(TaFunc::Variance, &c, &[4.0, 1.0]), 1.25);
    let near = |got: f64, want: f64| assert!((got - want).abs() < 5e-4, "{got} is not {want}");
    near((at(TaFunc::Variance, &c, &[4.0, 0.0]) * 3.0 - 5.0) * 1e16, -18189.894);
    let s = at(TaFunc::Stdev, &c, &[4.0, 1.0]);
    near((s * s - 1.25) * 1e16, 2.22);
    let su = at(TaFunc::Stdev, &c, &[4.0, 0.0]);
    near((su * su * 3.0 - 5.0) * 1e16, -18181.012);
    assert_eq!(at(TaFunc::Dev, &c, &[4.0]), 1.0);
    let cc = series(9, |i| 1e8 + (i % 2) as f64 * 0.001);
    assert_eq!(at(TaFunc::Variance, &cc, &[4.0, 1.0]), 2.0);
}

/// Last bits of averages over thirds, with and without gaps (measured on TradingView).
#[test]
fn averages_round_as_measured() {
    let a = series(12, |i| 100.0 + (i % 7) as f64 / 3.0);
    let g = series(12, |i| if i % 3 == 0 { NA } else { 100.0 + (i % 7) as f64 / 3.0 });
    for (func, x, n, want) in [
        (TaFunc::Ema, &a, 3.0, [100.8125, 101.07291666666666]),
        (TaFunc::Ema, &a, 5.0, [100.79423868312757, 100.97393689986282]),
        (TaFunc::Rma, &a, 3.0, [100.80724483056444, 100.98260766482075]),
        (TaFunc::Rma, &a, 5.0, [100.79716266666667, 100.9043968]),
        (TaFunc::Ema, &g, 4.0, [100.696, 100.95093333333332]),
        (TaFunc::Rma, &g, 4.0, [100.734375, 100.88411458333333]),
        (TaFunc::Ema, &a, 1.0, [101.0, 101.33333333333333]),
        (TaFunc::Wma, &a, 3.0, [100.77777777777779, 101.11111111111113]),
        (TaFunc::Wma, &a, 5.0, [100.71111111111112, 100.88888888888889]),
        (TaFunc::Wma, &g, 4.0, [100.56666666666666, 100.93333333333332]),
        (TaFunc::Wma, &a, 1.0, [101.0, 101.33333333333333]),
        (TaFunc::Hma, &a, 4.0, [100.92222222222223, 101.33333333333333]),
    ] {
        same(&on(func, x, &[n])[10..], &want);
    }
}

/// Correlation, its zero below the tolerance, and its gaps (measured on TradingView).
#[test]
fn correlation_rounds_as_measured() {
    let a = series(10, |i| 100.0 + (i % 4) as f64);
    let b = series(10, |i| i as f64);
    let g = series(10, |i| if i % 3 == 0 { NA } else { 100.0 + (i % 4) as f64 });
    let corr = |x: &[f64], y: &[f64], n: f64| on_two(TaFunc::Correlation, x, y, &[n]);
    same(&corr(&a, &b, 4.0)[8..], &[-0.2, -0.6]);
    same(&corr(&a, &[100.0; 10], 4.0)[8..], &[0.0, 0.0]);
    same(&corr(&a, &b, 1.0)[8..], &[0.0, 0.0]);
    for (scale, want) in [(5e-6, 0.0), (1e-5, 1.0)] {
        let x = series(10, |i| scale * (i % 4) as f64);
        let y: Vec<f64> = x.iter().map(|v| v * 2.0).collect();
        let got = corr(&x, &y, 4.0)[8];
        assert!((got - want).abs() < 1e-9, "{got}");
    }
    for (got, want) in corr(&g, &b, 4.0)[8..].iter().zip([-36.51483716701107, -110.27480824437345]) {
        assert!((got - want).abs() < 1e-13, "{got} is not {want}");
    }
}

/// Calls on some bars only: true range sees the bar before, its average the calls before; an
/// extreme ages in bars; a parabolic that missed the start never begins.
#[test]
fn conditional_calls() {
    let closes = [0.0, 10.0, 30.0, 60.0, 100.0, 150.0, 210.0, 280.0];
    let bars = flat_bars(&closes);
    let even = |func, fixed: &[Option<f64>], args: &[f64]| -> Vec<f64> {
        let mut state = TaState::new(func, fixed);
        let mut out = [0.0];
        (0..8)
            .step_by(2)
            .map(|i| {
                state.step(&bars.view(), i, args, &mut out);
                out[0]
            })
            .collect()
    };
    same(&even(TaFunc::Tr, &[Some(1.0)], &[1.0]), &[0.0, 20.0, 40.0, 60.0]);
    same(&even(TaFunc::Atr, &[Some(3.0)], &[3.0]), &[NA, NA, 20.0, 100.0 / 3.0]);
    let sar = [Some(0.02), Some(0.02), Some(0.2)];
    same(&even(TaFunc::Sar, &sar, &[0.02, 0.02, 0.2]), &[NA; 4]);
    same(&even(TaFunc::Highest, &[None, Some(3.0)], &[5.0, 3.0]), &[NA, 5.0, 5.0, 5.0]);
}

/// A length that changes reads the last n stored values, whatever it was before.
#[test]
fn changing_lengths_look_back_again() {
    let x = series(24, |i| (i + 1) as f64);
    let bars = flat_bars(&x);
    let lengths = series(24, |i| [5.0, 2.0, NA, 3.0, 1.0, 4.9][i % 6]);
    for func in [TaFunc::Sma, TaFunc::Highest, TaFunc::Median, TaFunc::PercentileLinear, TaFunc::Wma] {
        let fixed = [None; 3];
        let args = [ColumnArg::Col(&x[..]), ColumnArg::Col(&lengths), ColumnArg::Const(50.0)];
        let mut outs = [Vec::new()];
        run_column(func, &fixed, &bars.view(), &args[..func.arity()], &mut outs);
        for i in 6..24 {
            let n = lengths[i].trunc();
            let now = (i + 1) as f64;
            let want = match func {
                TaFunc::Highest => now + 0.0 * n,
                TaFunc::Wma => now - (n - 1.0) / 3.0,
                _ => now - (n - 1.0) / 2.0,
            };
            let near = (outs[0][i] - want).abs() < 1e-12 || (want.is_nan() && outs[0][i].is_nan());
            assert!(near, "{} bar {i}: {} is not {want}", func.name(), outs[0][i]);
        }
    }
}

#[test]
fn exact_sums_do_not_drift() {
    // Large values come and go; the window after them is as exact as if they had not been.
    let x = series(4000, |i| if i < 2000 { 1e9 + i as f64 * 0.37 } else { 0.1 * (i % 7) as f64 });
    let got = column(TaFunc::Sum, Sums::Exact, &flat_bars(&x), &[&x], &[7.0]);
    let alone = column(TaFunc::Sum, Sums::Exact, &flat_bars(&x[2000..]), &[&x[2000..]], &[7.0]);
    same(&got[2006..], &alone[6..]);
    // The three windows hold the same values in another order: equal sums.
    assert_eq!(got[2010], got[2011]);
}

#[test]
fn early_lengths_are_checked() {
    assert_eq!(validate(TaFunc::Sma, &[None, Some(14.0)]), Ok(()));
    assert_eq!(
        validate(TaFunc::Sma, &[None, Some(0.5)]).unwrap_err(),
        "Invalid value of the 'length' argument (0) in the 'sma' function. It must be > 0"
    );
    assert!(validate(TaFunc::Macd, &[None, Some(12.0), Some(NA), Some(9.0)]).unwrap_err().contains("(na)"));
    assert!(validate(TaFunc::ValueWhen, &[None, None, Some(-1.0)]).is_err());
    same(&on(TaFunc::Sma, &[1.0, 2.0], &[0.0]), &[NA, NA]);
    // A huge constant length allocates nothing by itself and never has a value.
    same(&on(TaFunc::Highest, &[1.0, 2.0], &[1e300]), &[NA, NA]);
    same(&on(TaFunc::Sma, &[1.0, 2.0], &[1e300]), &[NA, NA]);
}

/// Values that repeat, jump, tie within the tolerance, and are missing now and then.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0_i32..40).prop_map(|v| 100.0 + f64::from(v) / 3.0),
        2 => -1e3..1e3,
        1 => Just(100.0 + 1e-12),
        1 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => -1e-9..1e-9,
    ]
}

fn bars_strategy() -> impl Strategy<Value = OwnedBars> {
    proptest::collection::vec((50.0..150.0, 0.0..5.0, 0.0..5.0, 0.0..1.0, 0.0..1e4), 1..90).prop_map(|rows| {
        let mut bars = OwnedBars::default();
        let mut open = 100.0;
        for (i, (mid, up, down, place, volume)) in rows.into_iter().enumerate() {
            let (high, low) = (f64::max(open, mid) + up, f64::min(open, mid) - down);
            let close = low + place * (high - low);
            bars.push(i as i64 * 60_000, open, high, low, close, volume);
            open = close;
        }
        bars
    })
}

fn constant(kind: ParamKind) -> BoxedStrategy<f64> {
    match kind {
        ParamKind::Length => (1_u32..20).prop_map(f64::from).boxed(),
        ParamKind::Index => (0_u32..6).prop_map(f64::from).boxed(),
        ParamKind::Flag => prop_oneof![Just(0.0), Just(1.0)].boxed(),
        _ => (0.01..60.0).boxed(),
    }
}

fn bits(v: f64) -> u64 {
    if v.is_nan() { u64::MAX } else { v.to_bits() }
}

fn equal_columns(a: &[Vec<f64>], b: &[Vec<f64>]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| bits(*x) == bits(*y)))
}

#[derive(Debug)]
struct Case {
    bars: OwnedBars,
    columns: Vec<Vec<f64>>,
    constants: Vec<f64>,
    sums: Sums,
}

fn case(func: TaFunc) -> impl Strategy<Value = Case> {
    bars_strategy().prop_flat_map(move |bars| {
        let len = bars.time.len();
        // Half of the columns have na at their start only: that is where the column driver takes
        // its short cuts.
        let clean = (0..12_usize, proptest::collection::vec(-40_i32..40, len)).prop_map(|(lead, xs)| {
            let number = |(i, x): (usize, i32)| if i < lead { NA } else { f64::from(x) / 3.0 };
            xs.into_iter().enumerate().map(number).collect::<Vec<f64>>()
        });
        let column = prop_oneof![clean, proptest::collection::vec(value(), len)];
        let columns = proptest::collection::vec(column, func.params().len());
        let constants: Vec<_> = func.params().iter().map(|p| constant(p.kind)).collect();
        let sums = prop_oneof![Just(Sums::Exact), Just(Sums::TradingView), Just(Sums::Rolling)];
        (Just(bars), columns, constants, sums).prop_map(|(bars, columns, constants, sums)| Case {
            bars,
            columns,
            constants,
            sums,
        })
    })
}

/// The column driver, the streaming driver, a reset state, and the path for varying arguments
/// fed with constants: all four must agree in every bit.
fn drivers_agree(func: TaFunc, case: &Case) -> Result<(), TestCaseError> {
    let varies = |k: usize| matches!(func.params()[k].kind, ParamKind::Source | ParamKind::Condition);
    let n = func.arity();
    let bars = case.bars.view();
    let fixed: Vec<Option<f64>> = (0..n).map(|k| (!varies(k)).then_some(case.constants[k])).collect();
    let args: Vec<ColumnArg<'_>> =
        (0..n)
            .map(|k| {
                if varies(k) { ColumnArg::Col(&case.columns[k]) } else { ColumnArg::Const(case.constants[k]) }
            })
            .collect();
    let mut whole = vec![Vec::new(); func.outputs()];
    run_column_with(func, case.sums, &fixed, &bars, &args, &mut whole);

    let spread: Vec<Vec<f64>> = (0..n)
        .map(|k| if varies(k) { case.columns[k].clone() } else { vec![case.constants[k]; bars.len()] })
        .collect();
    let args: Vec<ColumnArg<'_>> = spread.iter().map(|c| ColumnArg::Col(c)).collect();
    let mut varying = vec![Vec::new(); func.outputs()];
    run_column_with(func, case.sums, &vec![None; n], &bars, &args, &mut varying);
    prop_assert!(equal_columns(&whole, &varying), "{}: fixed and varying arguments differ", func.name());

    let mut state = TaState::with_sums(func, case.sums, &fixed);
    for pass in 0..2 {
        let mut stepped = vec![Vec::new(); func.outputs()];
        let mut out = vec![0.0; func.outputs()];
        for i in 0..bars.len() {
            let now: Vec<f64> = spread.iter().map(|c| c[i]).collect();
            state.step(&bars, i, &now, &mut out);
            for (col, v) in stepped.iter_mut().zip(&out) {
                col.push(*v);
            }
        }
        prop_assert!(equal_columns(&whole, &stepped), "{}: pass {pass} differs", func.name());
        state.reset();
    }
    Ok(())
}

#[test]
fn drivers_agree_for_every_function() {
    for func in TaFunc::ALL {
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(
            proptest::test_runner::Config { cases: 24, failure_persistence: None, ..Default::default() },
            proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
        );
        if let Err(error) = runner.run(&case(*func), |case| drivers_agree(*func, &case)) {
            panic!("{func:?}: {error}");
        }
    }
}

/// Several lengths at once are what each is alone; lengths beyond the column are refused, not computed wrongly.
#[test]
fn lengths_agree_together_and_alone() {
    for func in [TaFunc::Sma, TaFunc::Sum] {
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(
            proptest::test_runner::Config { cases: 300, failure_persistence: None, ..Default::default() },
            proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
        );
        let lengths = proptest::collection::vec(2_u32..24, 1..8);
        let outcome = runner.run(&(case(func), lengths), |(case, lengths)| {
            let lengths: Vec<f64> = lengths.into_iter().map(f64::from).collect();
            let Some(found) = run_lengths(func, case.sums, &case.columns[0], &lengths) else { return Ok(()) };
            for (length, found) in lengths.iter().zip(&found) {
                let alone = column(func, case.sums, &case.bars, &[&case.columns[0]], &[*length]);
                prop_assert!(equal_columns(&[alone], std::slice::from_ref(found)), "{length} of {lengths:?}");
            }
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{func:?}: {error}"));
    }
    assert!(run_lengths(TaFunc::Sma, Sums::Exact, &[1.0, 2.0], &[2.0, 3.0]).is_none());
    assert!(run_lengths(TaFunc::Ema, Sums::Exact, &[1.0, 2.0], &[2.0]).is_none());
}
