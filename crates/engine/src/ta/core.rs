//! Building blocks: growing rings, exact running sums, lengths.
//!
//! # Summation
//! A window's sum is the difference of two running totals, each held as an unevaluated pair
//! `hi + lo` of doubles. Values are added oldest first, one [`two_sum`] each: `hi` takes the
//! rounded sum and `lo` collects the rounding errors. The window's sum is
//! `(hi_now − hi_then)` taken exactly, plus `(lo_now − lo_then)`, rounded once at the end. For
//! data whose values lie within some fifty binary orders of magnitude of their total every step
//! but that last rounding is exact, so a sum is the correctly rounded sum of its window whatever
//! came before it, does not drift, and does not depend on how often the length changed. Equal
//! windows give equal sums, which is what a comparison of two averages needs at a tie.

use springtide_domain::BarsView;

/// Absolute tolerance of the language's own comparisons.
pub(super) const EPS: f64 = 1e-10;
/// Largest number of arguments of any function.
pub(super) const MAX_ARGS: usize = 8;
/// Largest number of outputs of any function.
pub(super) const MAX_OUTS: usize = 11;
/// Arguments of one step, the unused ones NaN.
pub(super) type Args = [f64; MAX_ARGS];
/// Outputs of one step.
pub(super) type Outs = [f64; MAX_OUTS];

/// True for na. A non-finite number (a division by zero) counts as na.
#[inline(always)]
pub(super) fn is_na(x: f64) -> bool {
    !x.is_finite()
}

/// Truth of a condition: na is false.
#[inline(always)]
pub(super) fn truth(x: f64) -> bool {
    x != 0.0 && !x.is_nan()
}

/// A truth value as a number.
#[inline(always)]
pub(super) fn flag(x: bool) -> f64 {
    f64::from(u8::from(x))
}

/// Sum and its rounding error, exactly (Knuth).
#[inline(always)]
pub(super) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let bb = s - a;
    (s, (a - (s - bb)) + (b - bb))
}

/// A length argument: known before bar 0, or read at each call. 0 stands for an invalid one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Len(usize);

const SERIES: usize = usize::MAX;

impl Len {
    /// Truncates toward zero; 0 for na and for values below 1.
    #[inline(always)]
    pub(super) fn of(value: f64) -> usize {
        // The cap keeps arithmetic on lengths free of overflow; no series is that long.
        if value >= 1.0 { (value as usize).min(1 << 48) } else { 0 }
    }

    /// The length in force at this call.
    #[inline(always)]
    pub(super) fn get(self, arg: f64) -> usize {
        if self.0 == SERIES { Self::of(arg) } else { self.0 }
    }

    /// The length, when it is known before bar 0.
    pub(super) fn known(self) -> Option<usize> {
        (self.0 != SERIES).then_some(self.0)
    }

    /// How many values a window of this length must remember.
    pub(super) fn reach(self) -> usize {
        self.0
    }
}

/// The arguments known before bar 0.
#[derive(Clone, Copy)]
pub(super) struct Fixed<'a>(pub(super) &'a [Option<f64>]);

impl Fixed<'_> {
    /// Argument `k` as a length.
    pub(super) fn len(self, k: usize) -> Len {
        Len(self.0.get(k).copied().flatten().map_or(SERIES, Len::of))
    }
}

/// The most recent values, at least `limit` of them; storage doubles until it holds that many.
#[derive(Clone, Debug)]
pub(super) struct Ring<T> {
    buf: Vec<T>,
    mask: usize,
    count: usize,
    limit: usize,
}

/// Doubles a buffer. By value, so that the owner's other fields may stay in registers.
#[cold]
#[inline(never)]
fn doubled<T: Copy + Default>(mut buf: Vec<T>) -> Vec<T> {
    buf.resize(buf.len() * 2, T::default());
    buf
}

impl<T: Copy + Default> Ring<T> {
    /// A ring that remembers at least the last `limit` values.
    pub(super) fn new(limit: usize) -> Self {
        let cap = limit.clamp(1, 64).next_power_of_two();
        Self { buf: vec![T::default(); cap], mask: cap - 1, count: 0, limit }
    }

    /// Number of values ever pushed.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Appends a value.
    #[inline(always)]
    pub(super) fn push(&mut self, value: T) {
        let at = self.count & self.mask;
        self.buf[at] = value;
        self.count += 1;
        if self.count == self.buf.len() && self.count < self.limit {
            self.buf = doubled(std::mem::take(&mut self.buf));
            self.mask = self.buf.len() - 1;
        }
    }

    /// The value `back` pushes before the newest; the caller knows that it exists.
    #[inline(always)]
    pub(super) fn back(&self, back: usize) -> T {
        self.buf[(self.count - 1 - back) & self.mask]
    }

    /// The last `n` values, oldest first, as two runs.
    #[inline(always)]
    pub(super) fn window(&self, n: usize) -> (&[T], &[T]) {
        let end = self.count & self.mask;
        if n <= end {
            (&self.buf[end - n..end], &[])
        } else {
            (&self.buf[self.buf.len() - (n - end)..], &self.buf[..end])
        }
    }

    /// The last `n` values, oldest first.
    #[inline(always)]
    pub(super) fn oldest_first(&self, n: usize) -> impl Iterator<Item = T> + '_ {
        let (a, b) = self.window(n);
        a.iter().chain(b).copied()
    }

    /// The last `n` values, newest first.
    #[inline(always)]
    pub(super) fn newest_first(&self, n: usize) -> impl Iterator<Item = T> + '_ {
        let (a, b) = self.window(n);
        b.iter().rev().chain(a.iter().rev()).copied()
    }

    /// Forgets all values, keeps the storage.
    pub(super) fn reset(&mut self) {
        self.count = 0;
    }
}

/// Sums of the last n values for any n, exact but for one rounding. See the module's text.
#[derive(Clone, Debug)]
pub(super) struct WinSum {
    hi: f64,
    lo: f64,
    totals: Ring<(f64, f64)>,
}

impl WinSum {
    /// For windows up to `len`.
    pub(super) fn new(len: Len) -> Self {
        let mut sum = Self { hi: 0.0, lo: 0.0, totals: Ring::new(len.reach().saturating_add(1)) };
        sum.totals.push((0.0, 0.0));
        sum
    }

    /// Number of values added.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.totals.count() - 1
    }

    /// Adds a value, which is not na.
    #[inline(always)]
    pub(super) fn push(&mut self, x: f64) {
        let (s, e) = two_sum(self.hi, x);
        self.hi = s;
        self.lo += e;
        self.totals.push((self.hi, self.lo));
    }

    /// Sum of the last `n` values; NaN while there are fewer, or for `n` = 0.
    #[inline(always)]
    pub(super) fn sum(&self, n: usize) -> f64 {
        if n == 0 || n > self.count() {
            return f64::NAN;
        }
        let (hi, lo) = self.totals.back(n);
        let (d, e) = two_sum(self.hi, -hi);
        d + (e + (self.lo - lo))
    }

    /// Adds `x` unless it is na, which gives na; else the sum of the last `n`.
    #[inline(always)]
    pub(super) fn next(&mut self, x: f64, n: usize) -> f64 {
        if is_na(x) {
            return f64::NAN;
        }
        self.push(x);
        self.sum(n)
    }

    /// As [`WinSum::next`], divided by `n`.
    #[inline(always)]
    pub(super) fn mean(&mut self, x: f64, n: usize) -> f64 {
        self.next(x, n) / n as f64
    }

    pub(super) fn reset(&mut self) {
        (self.hi, self.lo) = (0.0, 0.0);
        self.totals.reset();
        self.totals.push((0.0, 0.0));
    }
}

/// A value per call and the value of the call before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prev(f64);

impl Prev {
    pub(super) const fn new() -> Self {
        Self(f64::NAN)
    }

    /// Stores `x` and returns what was stored before it.
    #[inline(always)]
    pub(super) fn swap(&mut self, x: f64) -> f64 {
        std::mem::replace(&mut self.0, x)
    }
}

/// One indicator: the only definition of its step, for both drivers.
pub(super) trait Kernel: Sized {
    /// A state before its first call.
    fn new(fixed: Fixed<'_>) -> Self;
    /// One call on chart bar `i`; writes the outputs.
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs);
    /// Back to before the first call, keeping storage.
    fn reset(&mut self);
    /// A whole column at once where that is faster and gives the same bits; `true` when done.
    /// `args[k]` is the column of argument `k`, or `None` when it is constant.
    fn column(&mut self, _bars: &BarsView<'_>, _args: &[Option<&[f64]>], _out: &mut [f64]) -> bool {
        false
    }
}
