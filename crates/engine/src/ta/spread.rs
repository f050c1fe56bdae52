//! Dispersion, and the bands and oscillators built on it.

use super::averages::{Ema, Rma};
use super::core::{Args, EPS, Fixed, Kernel, Len, Outs, Ring, WinSum, is_na, truth};
use super::sweep;
use springtide_domain::BarsView;

/// Variance as `E[x²] − m²` from two exact sums, floored at 0; `ROOT` gives its square root.
#[derive(Clone)]
pub(super) struct Moments<const ROOT: bool> {
    len: Len,
    sum: WinSum,
    squares: WinSum,
}

/// Variance.
pub(super) type Variance = Moments<false>;
/// Standard deviation.
pub(super) type Stdev = Moments<true>;

impl<const ROOT: bool> Moments<ROOT> {
    pub(super) fn with(len: Len) -> Self {
        Self { len, sum: WinSum::new(len), squares: WinSum::new(len) }
    }

    /// Mean and variance (or deviation) of the last n non-na values.
    #[inline(always)]
    pub(super) fn next(&mut self, x: f64, length: f64, biased: bool) -> (f64, f64) {
        let n = self.len.get(length);
        let p = self.sum.next(x, n);
        let q = self.squares.next(x * x, n);
        let len = n as f64;
        let m = p / len;
        let v = if biased {
            q / len - m * m
        } else if n > 1 {
            q / (len - 1.0) - p * m / (len - 1.0)
        } else {
            f64::NAN
        };
        // `max` would turn na into 0.
        let v = if v < 0.0 { 0.0 } else { v };
        (m, if ROOT { v.sqrt() } else { v })
    }

    pub(super) fn reset(&mut self) {
        self.sum.reset();
        self.squares.reset();
    }
}

impl<const ROOT: bool> Kernel for Moments<ROOT> {
    fn new(f: Fixed<'_>) -> Self {
        Self::with(f.len(1))
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = self.next(a[0], a[1], truth(a[2])).1;
    }
    fn reset(&mut self) {
        Moments::reset(self);
    }
}

/// Mean absolute deviation: a fresh sum, newest first, around the exact mean.
#[derive(Clone)]
pub(super) struct Dev {
    len: Len,
    sum: WinSum,
    past: Ring<f64>,
}

impl Dev {
    fn with(len: Len) -> Self {
        Self { len, sum: WinSum::new(len), past: Ring::new(len.reach()) }
    }

    /// Mean and mean absolute deviation.
    #[inline(always)]
    fn next(&mut self, x: f64, length: f64) -> (f64, f64) {
        let n = self.len.get(length);
        let mean = self.sum.mean(x, n);
        if !is_na(x) {
            self.past.push(x);
        }
        if is_na(x) || is_na(mean) {
            return (f64::NAN, f64::NAN);
        }
        let mut total = 0.0;
        for v in self.past.newest_first(n) {
            total += (v - mean).abs();
        }
        (mean, total / n as f64)
    }

    /// A column of `done(value, mean, deviation)`; see [`Kernel::column`].
    fn whole(
        &mut self,
        args: &[Option<&[f64]>],
        out: &mut [f64],
        done: impl Fn(f64, f64, f64) -> f64,
    ) -> bool {
        let (Some(x), Some(n)) = (args[0], self.len.known()) else { return false };
        let Some(lead) = sweep::lead(x) else { return false };
        let x = &x[lead..];
        let mut sum = WinSum::new(self.len);
        let means: Vec<f64> = x.iter().map(|v| sum.mean(*v, n)).collect();
        if n == 0 || means[(n - 1).min(x.len())..].iter().any(|m| is_na(*m)) {
            return false;
        }
        let term = |_: usize, i: usize, v: f64| [(v - means[i]).abs()];
        sweep::windows::<1, true>(x, n, &mut out[lead..], term, |i, [total], v| {
            done(v, means[i], total / n as f64)
        });
        true
    }
}

impl Kernel for Dev {
    fn new(f: Fixed<'_>) -> Self {
        Self::with(f.len(1))
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = self.next(a[0], a[1]).1;
    }
    fn column(&mut self, _: &BarsView<'_>, _: &Args, args: &[Option<&[f64]>], out: &mut [f64]) -> bool {
        self.whole(args, out, |_, _, dev| dev)
    }
    fn reset(&mut self) {
        self.sum.reset();
        self.past.reset();
    }
}

/// Commodity channel index.
#[derive(Clone)]
pub(super) struct Cci(Dev);

#[inline(always)]
fn channel(x: f64, mean: f64, dev: f64) -> f64 {
    (x - mean) / (0.015 * dev)
}

impl Kernel for Cci {
    fn new(f: Fixed<'_>) -> Self {
        Self(Dev::with(f.len(1)))
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let (mean, dev) = self.0.next(a[0], a[1]);
        out[0] = channel(a[0], mean, dev);
    }
    fn column(&mut self, _: &BarsView<'_>, _: &Args, args: &[Option<&[f64]>], out: &mut [f64]) -> bool {
        self.0.whole(args, out, channel)
    }
    fn reset(&mut self) {
        Kernel::reset(&mut self.0);
    }
}

/// Bollinger bands; `WIDTH` gives the relative width in percent instead.
#[derive(Clone)]
pub(super) struct Bollinger<const WIDTH: bool>(Stdev);

impl<const WIDTH: bool> Kernel for Bollinger<WIDTH> {
    fn new(f: Fixed<'_>) -> Self {
        Self(Stdev::with(f.len(1)))
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let (middle, dev) = self.0.next(a[0], a[1], true);
        let half = a[2] * dev;
        if WIDTH {
            out[0] = ((middle + half) - (middle - half)) / middle * 100.0;
        } else {
            (out[0], out[1], out[2]) = (middle, middle + half, middle - half);
        }
    }
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// True range against the chart's own previous close, which advances on every bar whether or not
/// this call runs on it.
#[inline(always)]
pub(super) fn true_range(bars: &BarsView<'_>, i: usize, handle_na: bool) -> f64 {
    let (high, low) = (bars.high[i], bars.low[i]);
    let before = if i > 0 { bars.close[i - 1] } else { f64::NAN };
    if before.is_nan() {
        return if handle_na { high - low } else { f64::NAN };
    }
    (high - low).max((high - before).abs()).max((low - before).abs())
}

/// True range.
#[derive(Clone)]
pub(super) struct Tr;

impl Kernel for Tr {
    fn new(_: Fixed<'_>) -> Self {
        Self
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        out[0] = true_range(bars, i, truth(a[0]));
    }
    fn reset(&mut self) {}
}

/// Average true range.
#[derive(Clone)]
pub(super) struct Atr(Rma);

impl Atr {
    pub(super) fn with(len: Len) -> Self {
        Self(Rma::with(len))
    }
    #[inline(always)]
    pub(super) fn next(&mut self, bars: &BarsView<'_>, i: usize, length: f64) -> f64 {
        self.0.next(true_range(bars, i, true), length)
    }
}

impl Kernel for Atr {
    fn new(f: Fixed<'_>) -> Self {
        Self::with(f.len(0))
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        out[0] = self.next(bars, i, a[0]);
    }
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// Keltner channels; `WIDTH` gives the relative width instead.
#[derive(Clone)]
pub(super) struct Keltner<const WIDTH: bool> {
    middle: Ema,
    range: Ema,
}

impl<const WIDTH: bool> Kernel for Keltner<WIDTH> {
    fn new(f: Fixed<'_>) -> Self {
        Self { middle: Ema::with(f.len(1)), range: Ema::with(f.len(1)) }
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        let span = if truth(a[3]) { true_range(bars, i, false) } else { bars.high[i] - bars.low[i] };
        let middle = self.middle.next(a[0], a[1]);
        let half = self.range.next(span, a[1]) * a[2];
        if WIDTH {
            out[0] = ((middle + half) - (middle - half)) / middle;
        } else {
            (out[0], out[1], out[2]) = (middle, middle + half, middle - half);
        }
    }
    fn reset(&mut self) {
        self.middle.reset();
        self.range.reset();
    }
}

/// Covariance over a window; `NORMED` divides by both deviations. The five sums each skip na on
/// their own, as TradingView's do, so gaps in one source can carry the result beyond ±1.
#[derive(Clone)]
pub(super) struct Joint<const NORMED: bool> {
    len: Len,
    sums: [WinSum; 5],
}

/// Pearson's correlation.
pub(super) type Correlation = Joint<true>;
/// Population covariance.
pub(super) type Covariance = Joint<false>;

impl<const NORMED: bool> Kernel for Joint<NORMED> {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(2);
        Self { len, sums: std::array::from_fn(|_| WinSum::new(len)) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, args: &Args, out: &mut Outs) {
        let n = self.len.get(args[2]);
        let (a, b) = (args[0], args[1]);
        let [sa, sb, sab, saa, sbb] = &mut self.sums;
        let ma = sa.mean(a, n);
        let mb = sb.mean(b, n);
        let cov = sab.mean(a * b, n) - ma * mb;
        if !NORMED {
            out[0] = cov;
            return;
        }
        let clamp = |v: f64| if v < 0.0 { 0.0 } else { v };
        let va = clamp(saa.mean(a * a, n) - ma * ma);
        let vb = clamp(sbb.mean(b * b, n) - mb * mb);
        out[0] = if is_na(cov) || is_na(va) || is_na(vb) {
            f64::NAN
        } else if cov.abs() <= EPS {
            0.0
        } else {
            cov / (va * vb).sqrt()
        };
    }
    fn reset(&mut self) {
        self.sums.iter_mut().for_each(WinSum::reset);
    }
}
