//! Times counted in buckets whose bounds double.

use crate::registry::add_alone;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Buckets: up to 1.024 µs, to twice that, and so on to 68.7 s, and one for all above.
const BUCKETS: usize = 28;
/// Binary logarithm of the first bound in nanoseconds.
const FIRST: u32 = 10;

/// How many times fell into each bucket. Bounds are 2¹⁰ ns, 2¹¹ ns, …, 2³⁶ ns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum_ns: u64,
}

#[inline]
fn bucket(ns: u64) -> usize {
    // A time on a bound belongs below it.
    let above = u64::BITS - (ns.saturating_sub(1) >> FIRST).leading_zeros();
    (above as usize).min(BUCKETS - 1)
}

impl Histogram {
    /// Counts a time.
    pub fn record(&mut self, time: Duration) {
        let ns = time.as_nanos() as u64;
        self.counts[bucket(ns)] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// Times counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// Upper bounds in seconds, the last infinite, and how many times fell into each bucket.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bound = |at: usize| match at + 1 < BUCKETS {
            true => (1_u64 << (FIRST as usize + at)) as f64 / 1e9,
            false => f64::INFINITY,
        };
        self.counts.iter().enumerate().map(move |(at, count)| (bound(at), *count))
    }

    /// The upper bound of the bucket in which the given share of all times ends: at most twice the quantile.
    /// `None` without times; the last finite bound stands for everything above it.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let (mut below, total) = (0, self.count());
        let at = self.counts.iter().position(|count| {
            below += count;
            below > 0 && below as f64 >= share * total as f64
        })?;
        Some(Duration::from_nanos(1 << (FIRST as usize + at.min(BUCKETS - 2))))
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }
}

/// A histogram with one writer.
#[derive(Default)]
pub(crate) struct SharedHistogram {
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl SharedHistogram {
    /// Counts a time; only the owner calls this.
    #[inline]
    pub(crate) fn record(&self, ns: u64) {
        add_alone(&self.counts[bucket(ns)], 1);
        add_alone(&self.sum_ns, ns);
    }

    pub(crate) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }

    pub(crate) fn read(&self) -> Histogram {
        Histogram {
            counts: self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_falls_into_the_bucket_of_its_bound() {
        for (ns, want) in [(0, 0), (1, 0), (1_024, 0), (1_025, 1), (2_048, 1), (2_049, 2), (1 << 36, 26)] {
            assert_eq!(bucket(ns), want, "{ns}");
        }
        assert_eq!((bucket((1 << 36) + 1), bucket(u64::MAX)), (27, 27));
        let mut times = Histogram::default();
        assert_eq!(times.quantile(0.5), None);
        (0..99).for_each(|_| times.record(Duration::from_micros(3)));
        times.record(Duration::from_secs(1));
        assert_eq!(times.quantile(0.5), Some(Duration::from_nanos(4_096)));
        assert_eq!(times.quantile(1.0), Some(Duration::from_nanos(1 << 30)));
        assert_eq!((times.count(), times.sum()), (100, Duration::from_micros(1_000_297)));
        let in_buckets: u64 = times.buckets().map(|(_, count)| count).sum();
        assert_eq!(in_buckets, 100);
        let bounds: Vec<f64> = times.buckets().map(|(bound, _)| bound).collect();
        assert!(bounds.windows(2).all(|w| w[0] < w[1]) && bounds[0] == 1.024e-6);
    }
}
