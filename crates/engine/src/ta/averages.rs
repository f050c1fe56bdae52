//! Moving averages and regressions.

use super::Sums;
use super::core::{Args, Fixed, Kernel, Len, Outs, Ring, WinSum, is_na, truth};
use super::lanes::window_sums;
use super::state::LANES;
use super::sweep;
use springtide_domain::BarsView;

/// Simple average.
#[derive(Clone)]
pub(super) struct Sma {
    len: Len,
    sum: WinSum,
}

impl Sma {
    pub(super) fn with(len: Len) -> Self {
        Self { len, sum: WinSum::new(len) }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, x: f64, length: f64) -> f64 {
        let n = self.len.get(length);
        self.sum.mean(x, n)
    }

    pub(super) fn reset(&mut self) {
        self.sum.reset();
    }
}

impl Kernel for Sma {
    fn new(f: Fixed<'_>) -> Self {
        Self::with(f.len(1))
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = self.next(a[0], a[1]);
    }
    fn column(&mut self, _: &BarsView<'_>, _: &Args, args: &[Option<&[f64]>], out: &mut [f64]) -> bool {
        sum_column(self.len, args[0], out, |sum, n| sum / n)
    }
    fn reset(&mut self) {
        self.sum.reset();
    }
}

/// The column form of [`Sma`] and [`Sum`].
#[inline(always)]
fn sum_column(len: Len, x: Option<&[f64]>, out: &mut [f64], done: impl Fn(f64, f64) -> f64) -> bool {
    let (Some(x), Some(n)) = (x, len.known()) else { return false };
    let (Some(lead), true) = (sweep::lead(x), n > 1) else { return false };
    let x = &x[lead..];
    if n <= x.len() {
        window_sums(len.sums(), x, [n], [&mut out[lead..]], done);
    }
    true
}

/// [`Sma`] or [`Sum`] for several lengths of one source, each as its own column form gives it. `None` where that has
/// no form for these values and lengths.
pub(super) fn sum_columns(mean: bool, sums: Sums, x: &[f64], lengths: &[f64]) -> Option<Vec<Vec<f64>>> {
    let lead = sweep::lead(x)?;
    let n: Vec<usize> = lengths.iter().map(|l| Len::of(*l)).collect();
    let values = &x[lead..];
    if n.iter().any(|n| *n < 2 || *n > values.len()) {
        return None;
    }
    let mut outs = vec![vec![f64::NAN; x.len()]; n.len()];
    let (mut n, mut left) = (n.as_slice(), outs.as_mut_slice());
    while !n.is_empty() {
        // One instance for each of some numbers of lanes.
        let (count, sum): (usize, LaneSums) = match n.len() {
            LANES.. => (LANES, lane_sums::<LANES>),
            4.. => (4, lane_sums::<4>),
            2.. => (2, lane_sums::<2>),
            _ => (1, lane_sums::<1>),
        };
        let ((now, later), (here, there)) = (n.split_at(count), left.split_at_mut(count));
        sum((mean, sums), values, now, here);
        (n, left) = (later, there);
    }
    Some(outs)
}

type LaneSums = fn((bool, Sums), &[f64], &[usize], &mut [Vec<f64>]);

/// Sums or means of the last `x.len()` bars of `outs`.
fn lane_sums<const L: usize>((mean, sums): (bool, Sums), x: &[f64], n: &[usize], outs: &mut [Vec<f64>]) {
    let (Ok(n), Ok(outs)) = (<[usize; L]>::try_from(n), <&mut [Vec<f64>; L]>::try_from(outs)) else {
        unreachable!("as many lengths and columns as lanes")
    };
    let outs = outs.each_mut().map(|out| {
        let lead = out.len() - x.len();
        &mut out[lead..]
    });
    if mean {
        window_sums(sums, x, n, outs, |sum, n| sum / n);
    } else {
        window_sums(sums, x, n, outs, |sum, _| sum);
    }
}

/// Rolling sum.
#[derive(Clone)]
pub(super) struct Sum {
    len: Len,
    sum: WinSum,
}

impl Kernel for Sum {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, sum: WinSum::new(len) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = self.sum.next(a[0], self.len.get(a[1]));
    }
    fn column(&mut self, _: &BarsView<'_>, _: &Args, args: &[Option<&[f64]>], out: &mut [f64]) -> bool {
        sum_column(self.len, args[0], out, |sum, _| sum)
    }
    fn reset(&mut self) {
        self.sum.reset();
    }
}

/// Recursive averages: `WILDER` has weight 1/n, else 2/(n+1). The seed is the plain mean of the
/// first n non-na values; na gives na and leaves the state.
///
/// The step's form is part of the definition, since the algebraically equal ones round
/// differently: `e + α(x − e)` and `(r(n − 1) + x)/n`.
#[derive(Clone)]
pub(super) struct Recursive<const WILDER: bool> {
    len: Len,
    seed: WinSum,
    value: f64,
}

/// Exponential average.
pub(super) type Ema = Recursive<false>;
/// Wilder's average.
pub(super) type Rma = Recursive<true>;

impl<const WILDER: bool> Recursive<WILDER> {
    pub(super) fn with(len: Len) -> Self {
        Self { len, seed: WinSum::new(len), value: f64::NAN }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, x: f64, length: f64) -> f64 {
        let n = self.len.get(length);
        if is_na(x) || n == 0 {
            return f64::NAN;
        }
        if self.value.is_nan() {
            self.value = self.seed.mean(x, n);
        } else if WILDER {
            self.value = (self.value * (n as f64 - 1.0) + x) / n as f64;
        } else {
            self.value += 2.0 / (n as f64 + 1.0) * (x - self.value);
        }
        self.value
    }

    pub(super) fn reset(&mut self) {
        self.seed.reset();
        self.value = f64::NAN;
    }
}

impl<const WILDER: bool> Kernel for Recursive<WILDER> {
    fn new(f: Fixed<'_>) -> Self {
        Self::with(f.len(1))
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = self.next(a[0], a[1]);
    }
    fn reset(&mut self) {
        Recursive::reset(self);
    }
}

/// Linearly weighted average over a window whose na values repeat the value before them. Summed
/// anew at each call, oldest first, weights 1..n.
#[derive(Clone)]
pub(super) struct Wma {
    len: Len,
    filled: Ring<f64>,
    last: f64,
}

impl Wma {
    pub(super) fn with(len: Len) -> Self {
        Self { len, filled: Ring::new(len.reach()), last: f64::NAN }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, x: f64, n: usize) -> f64 {
        let na = is_na(x);
        if !na {
            self.last = x;
        }
        self.filled.push(self.last);
        if na || n == 0 || n > self.filled.count() {
            return f64::NAN;
        }
        let mut total = 0.0;
        for (k, v) in self.filled.oldest_first(n).enumerate() {
            total += v * (k + 1) as f64;
        }
        total / Self::weights(n)
    }

    /// 1 + 2 + … + n.
    #[inline(always)]
    fn weights(n: usize) -> f64 {
        let n = n as f64;
        n * (n + 1.0) / 2.0
    }

    /// Fills `out` and returns true when `x` has no na but at its start.
    fn whole(x: &[f64], n: usize, out: &mut [f64]) -> bool {
        let (Some(lead), true) = (sweep::lead(x), n > 0) else { return false };
        out.fill(f64::NAN);
        let weights = Self::weights(n);
        let term = |k: usize, _: usize, v: f64| [v * (k + 1) as f64];
        sweep::windows::<1, false>(&x[lead..], n, &mut out[lead..], term, |_, [total], _| total / weights);
        true
    }

    pub(super) fn reset(&mut self) {
        self.filled.reset();
        self.last = f64::NAN;
    }
}

impl Kernel for Wma {
    fn new(f: Fixed<'_>) -> Self {
        Self::with(f.len(1))
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        out[0] = self.next(a[0], n);
    }
    fn reset(&mut self) {
        Wma::reset(self);
    }
    fn column(&mut self, _: &BarsView<'_>, _: &Args, args: &[Option<&[f64]>], out: &mut [f64]) -> bool {
        match (args[0], self.len.known()) {
            (Some(x), Some(n)) => Self::whole(x, n, out),
            _ => false,
        }
    }
}

/// Hull's average.
#[derive(Clone)]
pub(super) struct Hma {
    len: Len,
    half: Wma,
    full: Wma,
    smooth: Wma,
}

/// floor(√n), exact for every length.
fn root(n: usize) -> usize {
    n.isqrt()
}

impl Kernel for Hma {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        // All three share the longest reach: a series length may grow.
        Self { len, half: Wma::with(len), full: Wma::with(len), smooth: Wma::with(len) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        let half = self.half.next(a[0], n / 2);
        let full = self.full.next(a[0], n);
        let raw = 2.0 * half - full;
        // Before both exist there is no value to smooth: those bars are no part of its window.
        out[0] = if is_na(raw) { f64::NAN } else { self.smooth.next(raw, root(n)) };
    }
    fn reset(&mut self) {
        self.half.reset();
        self.full.reset();
        self.smooth.reset();
    }
    fn column(&mut self, _: &BarsView<'_>, _: &Args, args: &[Option<&[f64]>], out: &mut [f64]) -> bool {
        let (Some(x), Some(n)) = (args[0], self.len.known()) else { return false };
        if n < 2 {
            return false;
        }
        let mut half = vec![f64::NAN; x.len()];
        let mut raw = vec![f64::NAN; x.len()];
        if !Wma::whole(x, n / 2, &mut half) || !Wma::whole(x, n, &mut raw) {
            return false;
        }
        for (r, h) in raw.iter_mut().zip(&half) {
            *r = 2.0 * h - *r;
        }
        Wma::whole(&raw, root(n), out)
    }
}

/// Volume weighted average.
#[derive(Clone)]
pub(super) struct Vwma {
    priced: Sma,
    volume: Sma,
}

impl Kernel for Vwma {
    fn new(f: Fixed<'_>) -> Self {
        Self { priced: Sma::with(f.len(1)), volume: Sma::with(f.len(1)) }
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        let v = bars.volume[i];
        out[0] = self.priced.next(a[0] * v, a[1]) / self.volume.next(v, a[1]);
    }
    fn reset(&mut self) {
        self.priced.reset();
        self.volume.reset();
    }
}

/// Symmetrically weighted average.
#[derive(Clone)]
pub(super) struct Swma {
    past: Ring<f64>,
}

impl Kernel for Swma {
    fn new(_: Fixed<'_>) -> Self {
        Self { past: Ring::new(4) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        self.past.push(a[0]);
        out[0] = if self.past.count() < 4 {
            f64::NAN
        } else {
            let x = |k| self.past.back(k);
            (x(0) + 2.0 * x(1) + 2.0 * x(2) + x(3)) / 6.0
        };
    }
    fn reset(&mut self) {
        self.past.reset();
    }
}

/// Arnaud Legoux' average: Gaussian weights, normed first, then applied oldest first. They are
/// kept until an argument that shapes them changes.
#[derive(Clone)]
pub(super) struct Alma {
    len: Len,
    past: Ring<f64>,
    shape: [f64; 4],
    /// Oldest first.
    weights: Vec<f64>,
}

impl Alma {
    fn shape_to(&mut self, n: usize, offset: f64, sigma: f64, floor: f64) {
        let shape = [n as f64, offset, sigma, floor];
        if shape.map(f64::to_bits) == self.shape.map(f64::to_bits) {
            return;
        }
        self.shape = shape;
        let centre = offset * (n as f64 - 1.0);
        let centre = if truth(floor) { centre.floor() } else { centre };
        let width = n as f64 / sigma;
        self.weights.clear();
        self.weights.extend((0..n).map(|k| {
            let off = k as f64 - centre;
            (-(off * off) / (2.0 * width * width)).exp()
        }));
        let norm: f64 = self.weights.iter().sum();
        self.weights.iter_mut().for_each(|w| *w /= norm);
    }
}

impl Kernel for Alma {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, past: Ring::new(len.reach()), shape: [f64::NAN; 4], weights: Vec::new() }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        self.past.push(a[0]);
        out[0] = f64::NAN;
        if n == 0 || n > self.past.count() || is_na(a[0]) {
            return;
        }
        self.shape_to(n, a[2], a[3], a[4]);
        let mut total = 0.0;
        for (v, w) in self.past.oldest_first(n).zip(&self.weights) {
            total += v * w;
        }
        out[0] = total;
    }
    fn column(&mut self, _: &BarsView<'_>, a: &Args, args: &[Option<&[f64]>], out: &mut [f64]) -> bool {
        let (Some(x), Some(n)) = (args[0], self.len.known()) else { return false };
        let Some(lead) = sweep::lead(x) else { return false };
        if n == 0 || n > x.len() || args[1..].iter().any(Option::is_some) {
            return false;
        }
        self.shape_to(n, a[2], a[3], a[4]);
        let term = |k: usize, _: usize, v: f64| [v * self.weights[k]];
        sweep::windows::<1, false>(&x[lead..], n, &mut out[lead..], term, |_, [total], _| total);
        true
    }
    fn reset(&mut self) {
        self.past.reset();
    }
}

/// Least squares line over the last n non-na values; an na bar repeats the last full result.
/// Both sums are taken anew at each call, oldest first; the line's form is TradingView's.
#[derive(Clone)]
pub(super) struct Linreg {
    len: Len,
    past: Ring<f64>,
    last: f64,
}

impl Linreg {
    #[inline(always)]
    fn fit(&self, n: usize, offset: f64) -> f64 {
        if n == 1 {
            return self.past.back(0);
        }
        let (mut sum_y, mut sum_xy) = (0.0, 0.0);
        for (k, y) in self.past.oldest_first(n).enumerate() {
            sum_y += y;
            sum_xy += y * (k + 1) as f64;
        }
        Self::line(n, offset, sum_y, sum_xy)
    }

    #[inline(always)]
    fn line(n: usize, offset: f64, sum_y: f64, sum_xy: f64) -> f64 {
        let len = n as f64;
        let sum_x = len * (len + 1.0) / 2.0;
        let sum_xx = len * (len + 1.0) * (2.0 * len + 1.0) / 6.0;
        let slope = (len * sum_xy - sum_x * sum_y) / (len * sum_xx - sum_x * sum_x);
        let start = sum_y / len - slope * sum_x / len + slope;
        start + slope * (len - 1.0 - offset)
    }
}

impl Kernel for Linreg {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, past: Ring::new(len.reach()), last: f64::NAN }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        if !is_na(a[0]) {
            self.past.push(a[0]);
            let full = n > 0 && n <= self.past.count();
            self.last = if full { self.fit(n, a[2].trunc()) } else { f64::NAN };
        }
        out[0] = self.last;
    }
    fn column(&mut self, _: &BarsView<'_>, a: &Args, args: &[Option<&[f64]>], out: &mut [f64]) -> bool {
        let (Some(x), Some(n), None) = (args[0], self.len.known(), args[2]) else { return false };
        let (Some(lead), true) = (sweep::lead(x), n > 1) else { return false };
        let offset = a[2].trunc();
        let term = |k: usize, _: usize, v: f64| [v, v * (k + 1) as f64];
        sweep::windows::<2, false>(&x[lead..], n, &mut out[lead..], term, |_, [y, xy], _| {
            Self::line(n, offset, y, xy)
        });
        true
    }
    fn reset(&mut self) {
        self.past.reset();
        self.last = f64::NAN;
    }
}

/// Centre of gravity over the last n non-na values, weights 1..n newest first, over the rolling
/// sum; an na bar repeats the last result.
#[derive(Clone)]
pub(super) struct Cog {
    len: Len,
    sum: WinSum,
    past: Ring<f64>,
    last: f64,
}

impl Kernel for Cog {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, sum: WinSum::new(len), past: Ring::new(len.reach()), last: f64::NAN }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        if !is_na(a[0]) {
            self.past.push(a[0]);
            let sum = self.sum.next(a[0], n);
            self.last = f64::NAN;
            if n > 0 && n <= self.past.count() {
                let mut weighted = 0.0;
                for (k, v) in self.past.newest_first(n).enumerate() {
                    weighted += v * (k + 1) as f64;
                }
                self.last = -weighted / sum;
            }
        }
        out[0] = self.last;
    }
    fn reset(&mut self) {
        self.sum.reset();
        self.past.reset();
        self.last = f64::NAN;
    }
}
