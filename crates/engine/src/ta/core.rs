//! Building blocks: growing rings, exact running sums, lengths.
//!
//! # Summation
//! A window's sum depends on the order of its additions, and where two averages meet, its last
//! bit decides a trade. There are two orders, chosen by [`Sums`]:
//!
//! **Exact.** A window's sum is the difference of two running totals, each held as an unevaluated
//! pair `hi + lo` of doubles. Values are added oldest first, one [`two_sum`] each: `hi` takes the
//! rounded sum and `lo` collects the rounding errors. The window's sum is
//! `(hi_now − hi_then)` taken exactly, plus `(lo_now − lo_then)`, rounded once at the end. For
//! data whose values lie within some fifty binary orders of magnitude of their total every step
//! but that last rounding is exact, so a sum is the correctly rounded sum of its window whatever
//! came before it, does not drift, and does not depend on how often the length changed. Equal
//! windows give equal sums.
//!
//! **TradingView.** The accumulator that TradingView's exported values reveal: a sum `s` with a
//! compensation `c`. A value `x` that pushes the entry `d` (stored n values ago; 0 at first) out
//! is taken in by `y = −d − c; t = s + y; e = (t − s) − y; z = x − e; s' = t + z;
//! c' = (s' − t) − z`, and `z`, not `x`, is stored as the entry. When adding `|c|` to `x` rounds
//! down (`|c| − ((x + |c|) − x) > 0`) the machine starts afresh instead: `s'` is the plain sum of
//! the window, newest first, `c'` is 0 and `x` is the entry; a changed length does the same with
//! all entries. This is no better a sum, but it is theirs: windows that have returned to zero
//! keep a dust of 1e-15 that decides, for one, the crossings of a smoothed stochastic at 0 and 100.

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

/// How windows are summed. The two differ in the last bits of averages and of what is built on
/// them; see the text of the module that defines this for both definitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sums {
    /// Correctly rounded: two averages compare as their exact means do.
    #[default]
    Exact,
    /// The accumulator of TradingView, bit for bit.
    TradingView,
}

/// A length argument: known before bar 0, or read at each call. 0 stands for an invalid one.
/// It carries the order of summation for what is made from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Len {
    n: usize,
    sums: Sums,
}

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
        if self.n == SERIES { Self::of(arg) } else { self.n }
    }

    /// The length, when it is known before bar 0.
    pub(super) fn known(self) -> Option<usize> {
        (self.n != SERIES).then_some(self.n)
    }

    /// How many values a window of this length must remember.
    pub(super) fn reach(self) -> usize {
        self.n
    }
}

/// What is known before bar 0: arguments, and the order of summation.
#[derive(Clone, Copy)]
pub(super) struct Fixed<'a> {
    pub(super) args: &'a [Option<f64>],
    pub(super) sums: Sums,
}

impl Fixed<'_> {
    /// Argument `k`, if known.
    pub(super) fn arg(self, k: usize) -> Option<f64> {
        self.args.get(k).copied().flatten()
    }

    /// Argument `k` as a length.
    pub(super) fn len(self, k: usize) -> Len {
        Len { n: self.arg(k).map_or(SERIES, Len::of), sums: self.sums }
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

    /// As [`Ring::back`], to write to.
    #[inline(always)]
    pub(super) fn back_mut(&mut self, back: usize) -> &mut T {
        &mut self.buf[(self.count - 1 - back) & self.mask]
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

/// Sums of the last n non-na values; see the module's text for the two orders of summation.
#[derive(Clone, Debug)]
pub(super) struct WinSum {
    sums: Sums,
    /// Running total, or sum of the window.
    sum: f64,
    /// The total's rounding errors, or the sum's compensation.
    rest: f64,
    /// Totals after each value (the first one before any), or values with their entries.
    past: Ring<(f64, f64)>,
    /// Length the accumulator of TradingView's kind describes; 0 when it describes none.
    n: usize,
}

impl WinSum {
    /// For windows up to `len`.
    pub(super) fn new(len: Len) -> Self {
        let past = Ring::new(len.reach().saturating_add(1));
        let mut sum = Self { sums: len.sums, sum: 0.0, rest: 0.0, past, n: 0 };
        sum.reset();
        sum
    }

    /// Takes `x` in unless it is na, and returns the sum of the last `n` values: NaN while there
    /// are fewer, or for `n` = 0. On na the sum of before is repeated.
    #[inline(always)]
    pub(super) fn next(&mut self, x: f64, n: usize) -> f64 {
        match self.sums {
            Sums::Exact => self.next_exact(x, n),
            Sums::TradingView => self.next_compensated(x, n),
        }
    }

    /// As [`WinSum::next`], divided by `n`.
    #[inline(always)]
    pub(super) fn mean(&mut self, x: f64, n: usize) -> f64 {
        self.next(x, n) / n as f64
    }

    #[inline(always)]
    fn next_exact(&mut self, x: f64, n: usize) -> f64 {
        if !is_na(x) {
            let (s, e) = two_sum(self.sum, x);
            let rest = self.rest + e;
            (self.sum, self.rest) = (s, rest);
            self.past.push((s, rest));
        }
        if n == 0 || n >= self.past.count() {
            return f64::NAN;
        }
        let (hi, lo) = self.past.back(n);
        let (d, e) = two_sum(self.sum, -hi);
        d + (e + (self.rest - lo))
    }

    #[inline(always)]
    fn next_compensated(&mut self, x: f64, n: usize) -> f64 {
        let na = is_na(x);
        if n == 0 {
            self.n = 0;
            if !na {
                self.past.push((x, x));
            }
            return f64::NAN;
        }
        if n != self.n {
            // A window of one is the value itself and leaves no accumulator to go on from.
            let fresh = self.past.count() == 0;
            self.n = if n == 1 { 0 } else { n };
            if !na && (!fresh || n == 1) {
                self.past.push((x, x));
            }
            if !fresh || n == 1 {
                self.rebase(n, true);
                return self.shown(n);
            }
        }
        if na {
            return self.shown(n);
        }
        let (s, c) = (self.sum, self.rest);
        let shift = x + c.abs();
        let fires = c != 0.0 && x != 0.0 && shift != 0.0 && c.abs() - (shift - x) > 0.0;
        let gone = if self.past.count() >= n { self.past.back(n - 1).1 } else { 0.0 };
        if fires {
            self.past.push((x, x));
            self.rebase(n, false);
        } else {
            let y = -gone - c;
            let t = s + y;
            let e = (t - s) - y;
            let z = x - e;
            let sum = t + z;
            (self.sum, self.rest) = (sum, (sum - t) - z);
            self.past.push((x, z));
        }
        self.shown(n)
    }

    #[inline(always)]
    fn shown(&self, n: usize) -> f64 {
        if self.past.count() < n { f64::NAN } else { self.sum }
    }

    /// The plain sum of the window, newest first; entries become the values if `all` of them are
    /// to be stored anew.
    #[inline(always)]
    fn rebase(&mut self, n: usize, all: bool) {
        let held = n.min(self.past.count());
        (self.sum, self.rest) = (rebased(&mut self.past, held, all), 0.0);
    }

    pub(super) fn reset(&mut self) {
        (self.sum, self.rest) = (0.0, 0.0);
        self.n = 0;
        self.past.reset();
        if self.sums == Sums::Exact {
            self.past.push((0.0, 0.0));
        }
    }
}

fn rebased(past: &mut Ring<(f64, f64)>, held: usize, all: bool) -> f64 {
    let mut sum = 0.0;
    for back in 0..held {
        let entry = past.back_mut(back);
        // The newest value starts the sum; adding it to 0 would only turn a −0 round.
        sum = if back == 0 { entry.0 } else { entry.0 + sum };
        if all {
            entry.1 = entry.0;
        }
    }
    sum
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
    /// `args[k]` is the column of argument `k`, or `None` when it is constant, its value in `a`;
    /// `out` is NaN everywhere.
    fn column(
        &mut self,
        _bars: &BarsView<'_>,
        _a: &Args,
        _args: &[Option<&[f64]>],
        _out: &mut [f64],
    ) -> bool {
        false
    }
}
