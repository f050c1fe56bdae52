//! Building blocks: growing rings, exact running sums, lengths.
//!
//! # Summation
//! A window's sum depends on the order of its additions, and where two averages meet, its last
//! bit decides a trade. There are three orders, chosen by [`Sums`]:
//!
//! **Exact.** The sum is held as an unevaluated pair `s + r` of doubles. A value `x` that pushes
//! `x₀` out changes it by `d + d' = x − x₀` (`x₀` = 0 while the window fills), exactly, with one
//! [`two_sum`]; a second one adds `d` to `s`; `r` collects `d'` and the error of the second. What
//! is shown is `s + r`, rounded once. For data whose values lie within some fifty binary orders of
//! magnitude of their sum every step but that last rounding is exact, so a sum is the correctly
//! rounded sum of its window whatever came before it and does not drift; equal windows give equal
//! sums. When the length changes, the pair is built anew, oldest value first.
//!
//! **TradingView.** The accumulator that TradingView's exported values reveal: a sum `s` with a
//! compensation `c`. A value `x` that pushes the entry `d` (stored n values ago; 0 at first) out
//! is taken in by `y = −d − c; t = s + y; e = (t − s) − y; z = x − e; s' = t + z;
//! c' = (s' − t) − z`, and `z`, not `x`, is stored as the entry. When adding `|c|` to `x` rounds
//! down (`|c| − ((x + |c|) − x) > 0`) the machine starts afresh instead: `s'` is the plain sum of
//! the window, newest first, `c'` is 0 and `x` is the entry; a changed length does the same with
//! all entries. This is no better a sum, but it is theirs: windows that have returned to zero
//! keep a dust of 1e-15 that decides, for one, the crossings of a smoothed stochastic at 0 and 100.
//!
//! **Rolling.** The textbook loop: the oldest value is taken off the sum, then the newest is added,
//! each rounded. Its error is that of everything that ever went through it. Engines that compute
//! averages this way share their last bits, and with them the crossings that are ties. When the
//! length changes, the sum is built anew, oldest value first.

use super::Sums;
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

    /// The order of summation that goes with it.
    pub(super) fn sums(self) -> Sums {
        self.sums
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
    sum: f64,
    /// The sum's rounding errors, or its compensation.
    rest: f64,
    past: Ring<f64>,
    /// What TradingView's accumulator stored for each value.
    entries: Ring<f64>,
    /// Length that `sum` describes; 0 when it describes none.
    n: usize,
}

impl WinSum {
    /// For windows up to `len`.
    pub(super) fn new(len: Len) -> Self {
        let ring = || Ring::new(len.reach());
        Self { sums: len.sums, sum: 0.0, rest: 0.0, past: ring(), entries: ring(), n: 0 }
    }

    /// Takes `x` in unless it is na, and returns the sum of the last `n` values: NaN while there
    /// are fewer, or for `n` = 0. On na the sum of before is repeated.
    #[inline(always)]
    pub(super) fn next(&mut self, x: f64, n: usize) -> f64 {
        let na = is_na(x);
        if n == 0 || n != self.n && (n == 1 || self.past.count() > 0) {
            if !na {
                self.push(x, x);
            }
            self.rebase(n);
        } else if !na {
            self.n = n;
            match self.sums {
                Sums::Exact => self.add_exact(x, n),
                Sums::TradingView => self.add_compensated(x, n),
                Sums::Rolling => self.add_rolling(x, n),
            }
        }
        if n == 0 || self.past.count() < n {
            return f64::NAN;
        }
        match self.sums {
            Sums::Exact => self.sum + self.rest,
            Sums::TradingView | Sums::Rolling => self.sum,
        }
    }

    /// As [`WinSum::next`], divided by `n`.
    #[inline(always)]
    pub(super) fn mean(&mut self, x: f64, n: usize) -> f64 {
        self.next(x, n) / n as f64
    }

    #[inline(always)]
    fn add_exact(&mut self, x: f64, n: usize) {
        let gone = if self.past.count() >= n { self.past.back(n - 1) } else { 0.0 };
        (self.sum, self.rest) = slide(self.sum, self.rest, x, gone);
        self.past.push(x);
    }

    #[inline(always)]
    fn add_rolling(&mut self, x: f64, n: usize) {
        if self.past.count() >= n {
            self.sum -= self.past.back(n - 1);
        }
        self.sum += x;
        self.past.push(x);
    }

    #[inline(always)]
    fn add_compensated(&mut self, x: f64, n: usize) {
        if starts_afresh(x, self.rest) {
            self.push(x, x);
            let held = n.min(self.past.count());
            (self.sum, self.rest) = (newest_first(&self.past, held), 0.0);
            return;
        }
        let gone = if self.past.count() >= n { self.entries.back(n - 1) } else { 0.0 };
        let entry;
        (self.sum, self.rest, entry) = compensate(self.sum, self.rest, x, gone);
        self.push(x, entry);
    }

    #[inline(always)]
    fn push(&mut self, value: f64, entry: f64) {
        self.past.push(value);
        if self.sums == Sums::TradingView {
            self.entries.push(entry);
        }
    }

    /// Describes the last `n` values anew. TradingView's accumulator takes a window of one for
    /// the value itself, which leaves nothing to go on from.
    #[cold]
    #[inline(never)]
    fn rebase(&mut self, n: usize) {
        let held = n.min(self.past.count());
        self.n = if n == 1 && self.sums == Sums::TradingView { 0 } else { n };
        match self.sums {
            Sums::Exact => (self.sum, self.rest) = oldest_first(&self.past, held),
            Sums::TradingView => {
                (self.sum, self.rest) = (newest_first(&self.past, held), 0.0);
                for back in 0..held {
                    *self.entries.back_mut(back) = self.past.back(back);
                }
            }
            Sums::Rolling => (self.sum, self.rest) = (self.past.oldest_first(held).sum(), 0.0),
        }
    }

    pub(super) fn reset(&mut self) {
        (self.sum, self.rest, self.n) = (0.0, 0.0, 0);
        self.past.reset();
        self.entries.reset();
    }
}

/// Moves an exact sum on by one value.
#[inline(always)]
pub(super) fn slide(sum: f64, rest: f64, x: f64, gone: f64) -> (f64, f64) {
    let (d, e) = two_sum(x, -gone);
    let (s, f) = two_sum(sum, d);
    (s, rest + (e + f))
}

/// TradingView's accumulator gives up its compensation `c` before taking `x` in.
#[inline(always)]
pub(super) fn starts_afresh(x: f64, c: f64) -> bool {
    // Never for a `c`, an `x` or a sum of 0: then the difference is 0.
    c.abs() - ((x + c.abs()) - x) > 0.0
}

/// One step of TradingView's accumulator: sum, compensation and the entry for `x`.
#[inline(always)]
pub(super) fn compensate(s: f64, c: f64, x: f64, gone: f64) -> (f64, f64, f64) {
    let y = -gone - c;
    let t = s + y;
    let e = (t - s) - y;
    let z = x - e;
    let sum = t + z;
    (sum, (sum - t) - z, z)
}

fn oldest_first(values: &Ring<f64>, held: usize) -> (f64, f64) {
    values.oldest_first(held).fold((0.0, 0.0), |(s, r), x| {
        let (s, e) = two_sum(s, x);
        (s, r + e)
    })
}

/// The newest value starts the sum: adding it to 0 would turn −0 round.
fn newest_first(values: &Ring<f64>, held: usize) -> f64 {
    values.newest_first(held).reduce(|sum, x| x + sum).unwrap_or(0.0)
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
