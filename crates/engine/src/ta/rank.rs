//! Order statistics over windows.

use super::core::{Args, EPS, Fixed, Kernel, Len, Outs, Ring, is_na};
use springtide_domain::BarsView;

/// The last n values (na included or not) and the numbers among them in ascending order. Kept up
/// by one insertion and one removal; rebuilt when the length changes.
#[derive(Clone)]
struct Sorted {
    past: Ring<f64>,
    order: Vec<f64>,
    n: usize,
}

impl Sorted {
    fn new(len: Len) -> Self {
        Self { past: Ring::new(len.reach().saturating_add(1)), order: Vec::new(), n: 0 }
    }

    /// How many values lie below `x`. Counting all of a short window beats searching it, since
    /// no branch depends on the values.
    fn place(&self, x: f64) -> usize {
        if self.order.len() <= 128 {
            return self.order.iter().map(|v| usize::from(*v < x)).sum();
        }
        self.order.partition_point(|v| *v < x)
    }

    /// Takes `gone` out and `x` in, either of which may be na, moving only what lies between.
    fn replace(&mut self, gone: f64, x: f64) {
        match (is_na(gone), is_na(x)) {
            (true, true) => {}
            (true, false) => self.order.insert(self.place(x), x),
            (false, true) => {
                self.order.remove(self.place(gone));
            }
            (false, false) => {
                let (from, to) = (self.place(gone), self.place(x));
                if from < to {
                    self.order.copy_within(from + 1..to, from);
                    self.order[to - 1] = x;
                } else {
                    self.order.copy_within(to..from, to + 1);
                    self.order[to] = x;
                }
            }
        }
    }

    fn rebuild(&mut self, n: usize) {
        self.n = n;
        let held = n.min(self.past.count());
        self.order.clear();
        self.order.extend(self.past.oldest_first(held).filter(|v| !is_na(*v)));
        self.order.sort_unstable_by(f64::total_cmp);
    }

    /// Appends `x` and shapes the window to the last `n`; false while it is not full.
    #[inline(always)]
    fn push(&mut self, x: f64, n: usize) -> bool {
        // −0 and 0 are one value, and must have one place in the order.
        let x = x + 0.0;
        self.past.push(x);
        if n == 0 {
            self.n = 0;
            return false;
        }
        if n != self.n {
            self.rebuild(n);
            return self.past.count() >= n;
        }
        let gone = if self.past.count() > n { self.past.back(n) } else { f64::NAN };
        self.replace(gone, x);
        self.past.count() >= n
    }

    fn reset(&mut self) {
        self.past.reset();
        self.order.clear();
        self.n = 0;
    }
}

/// A percentile of the window; its na elements sort to the end. `LINEAR` interpolates at
/// position n·p/100 + ½, otherwise the rank ⌈n·p/100⌉ is taken.
#[derive(Clone)]
pub(super) struct Percentile<const LINEAR: bool> {
    len: Len,
    window: Sorted,
}

impl<const LINEAR: bool> Percentile<LINEAR> {
    /// The 1-based rank among all n.
    fn at(&self, rank: usize) -> f64 {
        self.window.order.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    fn nearest(&self, n: usize, percentage: f64) -> f64 {
        let p = if percentage.is_nan() { 0.0 } else { percentage };
        let rank = (p * n as f64 / 100.0).ceil();
        self.at((rank.max(1.0) as usize).min(n))
    }

    fn linear(&self, n: usize, percentage: f64) -> f64 {
        if percentage.is_nan() {
            return f64::NAN;
        }
        let pos = n as f64 * percentage / 100.0 + 0.5;
        if pos <= 1.0 {
            return self.at(1);
        }
        let whole = self.window.order.len() == n;
        let below = pos.floor();
        if pos >= n as f64 || pos == below {
            return if pos > n as f64 && !whole { f64::NAN } else { self.at((below as usize).min(n)) };
        }
        // Between two ranks nothing is known once the window has gaps.
        if !whole {
            return f64::NAN;
        }
        let (low, high) = (self.at(below as usize), self.at(below as usize + 1));
        low + (pos - below) * (high - low)
    }
}

impl<const LINEAR: bool> Kernel for Percentile<LINEAR> {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, window: Sorted::new(len) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        let full = self.window.push(a[0], n);
        out[0] = if !full || is_na(a[0]) {
            f64::NAN
        } else if LINEAR {
            self.linear(n, a[2])
        } else {
            self.nearest(n, a[2])
        };
    }
    fn reset(&mut self) {
        self.window.reset();
    }
}

/// Median of the last n non-na values.
#[derive(Clone)]
pub(super) struct Median {
    len: Len,
    window: Sorted,
}

impl Kernel for Median {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, window: Sorted::new(len) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        out[0] = f64::NAN;
        if is_na(a[0]) || !self.window.push(a[0], n) {
            return;
        }
        let order = &self.window.order;
        out[0] = if n % 2 == 1 { order[n / 2] } else { (order[n / 2 - 1] + order[n / 2]) / 2.0 };
    }
    fn reset(&mut self) {
        self.window.reset();
    }
}

/// Most frequent value of the window, the smallest of equals.
#[derive(Clone)]
pub(super) struct Mode {
    len: Len,
    window: Sorted,
}

impl Kernel for Mode {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, window: Sorted::new(len) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        let full = self.window.push(a[0], n);
        out[0] = f64::NAN;
        if !full || is_na(a[0]) {
            return;
        }
        let mut most = 0;
        for run in self.window.order.chunk_by(|x, y| x == y) {
            if run.len() > most {
                (most, out[0]) = (run.len(), run[0]);
            }
        }
    }
    fn reset(&mut self) {
        self.window.reset();
    }
}

/// Share of the previous n values that do not exceed the current one, tolerantly compared.
#[derive(Clone)]
pub(super) struct PercentRank {
    len: Len,
    past: Ring<f64>,
}

impl Kernel for PercentRank {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, past: Ring::new(len.reach().saturating_add(1)) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        let x = a[0];
        out[0] = if n == 0 || self.past.count() < n || is_na(x) {
            f64::NAN
        } else {
            let (old, new) = self.past.window(n);
            let below = |run: &[f64]| run.iter().filter(|v| **v - x <= EPS).count();
            (below(old) + below(new)) as f64 * 100.0 / n as f64
        };
        self.past.push(x);
    }
    fn reset(&mut self) {
        self.past.reset();
    }
}

/// Rank correlation of value and time. Values within the tolerance of the smallest of their
/// group share its average rank.
#[derive(Clone)]
pub(super) struct Rci {
    len: Len,
    past: Ring<f64>,
    order: Vec<(f64, usize)>,
    ranks: Vec<f64>,
}

impl Rci {
    /// Ranks by descending value, 0-based, one per slot counted from the newest.
    fn rank(&mut self, n: usize) {
        self.order.clear();
        self.order.extend(self.past.newest_first(n).enumerate().map(|(k, v)| (v, k)));
        self.order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        self.ranks.clear();
        self.ranks.resize(n, 0.0);
        let mut start = 0;
        while start < n {
            let floor = self.order[start].0;
            let mut end = start + 1;
            while end < n && self.order[end].0 - floor < EPS {
                end += 1;
            }
            let shared = (n - 1) as f64 - (start + end - 1) as f64 / 2.0;
            for &(_, k) in &self.order[start..end] {
                self.ranks[k] = shared;
            }
            start = end;
        }
    }

    fn correlate(&self, n: usize) -> f64 {
        let len = n as f64;
        let (mut sum, mut squares, mut times, mut time_squares) = (0.0, 0.0, 0.0, 0.0);
        for (k, r) in self.ranks.iter().enumerate() {
            let t = k as f64;
            sum += r;
            squares += r * r;
            times += t;
            time_squares += t * t;
        }
        let (mean, time_mean) = (sum / len, times / len);
        let spread = squares / len - mean * mean;
        let time_spread = time_squares / len - time_mean * time_mean;
        if spread <= 0.0 || time_spread <= 0.0 {
            return f64::NAN;
        }
        let joint: f64 =
            self.ranks.iter().enumerate().map(|(k, r)| (k as f64 - time_mean) * (r - mean)).sum();
        100.0 * (joint / len) / (time_spread.sqrt() * spread.sqrt())
    }
}

impl Kernel for Rci {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, past: Ring::new(len.reach()), order: Vec::new(), ranks: Vec::new() }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        self.past.push(a[0]);
        out[0] = f64::NAN;
        // TradingView gives the first value one bar after the window is full.
        if n == 0 || n >= self.past.count() || self.past.newest_first(n).any(is_na) {
            return;
        }
        self.rank(n);
        out[0] = self.correlate(n);
    }
    fn reset(&mut self) {
        self.past.reset();
    }
}
