//! Window sums of one column for several lengths at once.
//!
//! Each sum is one chain of additions that wait for each other; the chains of several lengths do not. A lane per
//! length does what a single column does, operation by operation, so the bits are the same, and several lanes take
//! hardly longer than one.

use super::Sums;
use super::core::{compensate, slide, starts_afresh};
use std::array::from_fn;

/// `outs[k][i] = done(sum of the n[k] values up to i, n[k])` on every bar with a full window, as
/// [`super::core::WinSum`] gives it for a column without na; other bars are left alone. Lengths are 2 to the column's.
#[inline(always)]
pub(super) fn window_sums<const L: usize>(
    sums: Sums,
    x: &[f64],
    n: [usize; L],
    outs: [&mut [f64]; L],
    done: impl Fn(f64, f64) -> f64,
) {
    match sums {
        Sums::Exact => each_bar(Exact { sum: [0.0; L], rest: [0.0; L] }, x, n, outs, done),
        Sums::Rolling => each_bar(Rolling { sum: [0.0; L] }, x, n, outs, done),
        Sums::TradingView => {
            let longest = n.iter().copied().max().unwrap_or(0);
            let entries = vec![[0.0; L]; longest.next_power_of_two()];
            each_bar(Compensated { n, sum: [0.0; L], rest: [0.0; L], entries }, x, n, outs, done);
        }
    }
}

/// Sums of several windows that move on together.
trait Accumulator<const L: usize> {
    /// The sums with `x[i]` taken in; of `gone`, the values that leave, those of windows that are not yet full are 0.
    fn step(&mut self, x: &[f64], i: usize, gone: [f64; L]) -> [f64; L];
}

/// Puts `done` of each full window's sum and length into `outs`.
#[inline(always)]
fn each_bar<const L: usize>(
    mut sums: impl Accumulator<L>,
    x: &[f64],
    n: [usize; L],
    mut outs: [&mut [f64]; L],
    done: impl Fn(f64, f64) -> f64,
) {
    let longest = n.iter().copied().max().unwrap_or(0).min(x.len());
    for i in 0..longest {
        let sums = sums.step(x, i, from_fn(|k| if i >= n[k] { x[i - n[k]] } else { 0.0 }));
        for k in 0..L {
            if i + 1 >= n[k] {
                outs[k][i] = done(sums[k], n[k] as f64);
            }
        }
    }
    let rest = x.len() - longest;
    let gone: [&[f64]; L] = from_fn(|k| &x[longest - n[k]..][..rest]);
    let outs = outs.each_mut().map(|out| &mut out[longest..][..rest]);
    for i in 0..rest {
        let sums = sums.step(x, longest + i, from_fn(|k| gone[k][i]));
        for k in 0..L {
            outs[k][i] = done(sums[k], n[k] as f64);
        }
    }
}

struct Exact<const L: usize> {
    sum: [f64; L],
    rest: [f64; L],
}

impl<const L: usize> Accumulator<L> for Exact<L> {
    #[inline(always)]
    fn step(&mut self, x: &[f64], i: usize, gone: [f64; L]) -> [f64; L] {
        for (k, gone) in gone.into_iter().enumerate() {
            (self.sum[k], self.rest[k]) = slide(self.sum[k], self.rest[k], x[i], gone);
        }
        from_fn(|k| self.sum[k] + self.rest[k])
    }
}

struct Rolling<const L: usize> {
    sum: [f64; L],
}

impl<const L: usize> Accumulator<L> for Rolling<L> {
    #[inline(always)]
    fn step(&mut self, x: &[f64], i: usize, gone: [f64; L]) -> [f64; L] {
        for (sum, gone) in self.sum.iter_mut().zip(gone) {
            *sum = (*sum - gone) + x[i];
        }
        self.sum
    }
}

/// TradingView's accumulator.
struct Compensated<const L: usize> {
    n: [usize; L],
    sum: [f64; L],
    rest: [f64; L],
    /// What was stored for the values of the windows, which is what leaves: a ring that the lanes share. Slots that
    /// nothing was stored in yet hold 0.
    entries: Vec<[f64; L]>,
}

impl<const L: usize> Accumulator<L> for Compensated<L> {
    #[inline(always)]
    fn step(&mut self, x: &[f64], i: usize, _: [f64; L]) -> [f64; L] {
        let (mask, value) = (self.entries.len() - 1, x[i]);
        let gone: [f64; L] = from_fn(|k| self.entries[i.wrapping_sub(self.n[k]) & mask][k]);
        let afresh: [bool; L] = from_fn(|k| starts_afresh(value, self.rest[k]));
        let mut entry = [0.0; L];
        for k in 0..L {
            (self.sum[k], self.rest[k], entry[k]) = compensate(self.sum[k], self.rest[k], value, gone[k]);
        }
        if afresh.iter().fold(false, |any, a| any | a) {
            for k in (0..L).filter(|k| afresh[*k]) {
                let window = &x[(i + 1).saturating_sub(self.n[k])..=i];
                (self.sum[k], self.rest[k], entry[k]) = (newest_first(window), 0.0, value);
            }
        }
        self.entries[i & mask] = entry;
        self.sum
    }
}

/// The newest value starts the sum: adding it to 0 would turn −0 round.
#[cold]
#[inline(never)]
fn newest_first(window: &[f64]) -> f64 {
    window.iter().rev().copied().reduce(|sum, x| x + sum).unwrap_or(0.0)
}
