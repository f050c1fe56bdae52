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
        Sums::Exact => {
            let (mut s, mut r) = ([0.0; L], [0.0; L]);
            each_bar(x, n, outs, done, |x, gone| {
                for k in 0..L {
                    (s[k], r[k]) = slide(s[k], r[k], x, gone[k]);
                }
                from_fn(|k| s[k] + r[k])
            });
        }
        Sums::Rolling => {
            let mut s = [0.0; L];
            each_bar(x, n, outs, done, |x, gone| {
                for k in 0..L {
                    s[k] = (s[k] - gone[k]) + x;
                }
                s
            });
        }
        Sums::TradingView => compensated(x, n, outs, done),
    }
}

/// Calls `step(value, values that leave)` on every bar; 0 leaves while a window fills.
#[inline(always)]
fn each_bar<const L: usize>(
    x: &[f64],
    n: [usize; L],
    mut outs: [&mut [f64]; L],
    done: impl Fn(f64, f64) -> f64,
    mut step: impl FnMut(f64, [f64; L]) -> [f64; L],
) {
    let longest = n.iter().copied().max().unwrap_or(0);
    let (first, rest) = x.split_at(longest);
    for (i, v) in first.iter().enumerate() {
        let sums = step(*v, from_fn(|k| if i >= n[k] { x[i - n[k]] } else { 0.0 }));
        for k in 0..L {
            if i + 1 >= n[k] {
                outs[k][i] = done(sums[k], n[k] as f64);
            }
        }
    }
    let gone: [&[f64]; L] = from_fn(|k| &x[longest - n[k]..][..rest.len()]);
    let outs = outs.each_mut().map(|out| &mut out[longest..][..rest.len()]);
    for (i, v) in rest.iter().enumerate() {
        let sums = step(*v, from_fn(|k| gone[k][i]));
        for k in 0..L {
            outs[k][i] = done(sums[k], n[k] as f64);
        }
    }
}

/// TradingView's accumulator. What it stored for the values of its window stands in a ring that the lanes share.
#[inline(always)]
fn compensated<const L: usize>(
    x: &[f64],
    n: [usize; L],
    mut outs: [&mut [f64]; L],
    done: impl Fn(f64, f64) -> f64,
) {
    let longest = n.iter().copied().max().unwrap_or(0);
    let mut entries = vec![[0.0; L]; longest.next_power_of_two()];
    let mask = entries.len() - 1;
    let (mut s, mut c) = ([0.0; L], [0.0; L]);
    let outs = outs.each_mut().map(|out| &mut out[..x.len()]);
    for (i, v) in x.iter().enumerate() {
        // Slots that nothing was stored in yet hold 0.
        let gone: [f64; L] = from_fn(|k| entries[i.wrapping_sub(n[k]) & mask][k]);
        let mut entry = [0.0; L];
        let afresh = (0..L).fold(false, |any, k| any | starts_afresh(*v, c[k]));
        if afresh {
            for k in 0..L {
                (s[k], c[k], entry[k]) = if starts_afresh(*v, c[k]) {
                    (newest_first(&x[(i + 1).saturating_sub(n[k])..=i]), 0.0, *v)
                } else {
                    compensate(s[k], c[k], *v, gone[k])
                };
            }
        } else {
            for k in 0..L {
                (s[k], c[k], entry[k]) = compensate(s[k], c[k], *v, gone[k]);
            }
        }
        entries[i & mask] = entry;
        for k in 0..L {
            if i + 1 >= n[k] {
                outs[k][i] = done(s[k], n[k] as f64);
            }
        }
    }
}

/// The newest value starts the sum: adding it to 0 would turn −0 round.
#[cold]
#[inline(never)]
fn newest_first(window: &[f64]) -> f64 {
    window.iter().rev().copied().reduce(|sum, x| x + sum).unwrap_or(0.0)
}
