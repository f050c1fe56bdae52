//! Columns of functions that add up their whole window anew on each bar.
//!
//! One lane per bar, several bars at a time. Each lane adds its terms in the order of the
//! streaming step, so the bits agree while the additions of neighbouring bars overlap.

use super::core::is_na;

const LANES: usize = 8;

/// Number of leading na values, when there is no other na in the column.
pub(super) fn lead(x: &[f64]) -> Option<usize> {
    let lead = x.iter().position(|v| !is_na(*v)).unwrap_or(x.len());
    x[lead..].iter().all(|v| !is_na(*v)).then_some(lead)
}

/// For every complete window of `n` values ending at bar `i`: `K` sums of `term(k, i, value)`,
/// with k = 0 for the oldest value, then `out[i] = done(i, sums)`. Other bars are left alone.
#[inline(always)]
pub(super) fn windows<const K: usize, const NEWEST_FIRST: bool>(
    x: &[f64],
    n: usize,
    out: &mut [f64],
    term: impl Fn(usize, usize, f64) -> [f64; K],
    done: impl Fn(usize, [f64; K], f64) -> f64,
) {
    if n == 0 || n > x.len() {
        return;
    }
    let order = |step: usize| if NEWEST_FIRST { n - 1 - step } else { step };
    let mut i = n - 1;
    while i + LANES <= x.len() {
        let span = &x[i + 1 - n..i + LANES];
        let mut sums = [[0.0; LANES]; K];
        for k in (0..n).map(order) {
            let run = &span[k..k + LANES];
            for lane in 0..LANES {
                let terms = term(k, i + lane, run[lane]);
                for (sum, t) in sums.iter_mut().zip(terms) {
                    sum[lane] += t;
                }
            }
        }
        for lane in 0..LANES {
            out[i + lane] = done(i + lane, sums.map(|s| s[lane]), x[i + lane]);
        }
        i += LANES;
    }
    for i in i..x.len() {
        let mut sums = [0.0; K];
        for k in (0..n).map(order) {
            for (sum, t) in sums.iter_mut().zip(term(k, i, x[i + 1 - n + k])) {
                *sum += t;
            }
        }
        out[i] = done(i, sums, x[i]);
    }
}
