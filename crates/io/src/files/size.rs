//! How large the next block should be: a pure policy.

use std::time::Duration;

/// Blocks are whole pages.
const PAGE: usize = 4096;
/// A read should take at least this long, so that its fixed cost (a call, a wake-up: tens of µs at worst)
/// does not show ...
const WORTH: Duration = Duration::from_micros(400);
/// ... and at most this long, so that the taker sees progress and a cancellation is noticed.
const LONG: Duration = Duration::from_millis(50);
/// A larger block that is not faster by this much is not worth its memory.
const GAIN: f64 = 1.05;

/// Bounds of block sizes, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeBounds {
    /// Smallest, and the first: the first block comes soon.
    pub least: usize,
    /// Largest.
    pub most: usize,
}

impl Default for SizeBounds {
    /// 64 KiB to 1 MiB: beyond, a block no longer fits the processor's cache and reading becomes slower.
    fn default() -> Self {
        Self { least: 64 << 10, most: 1 << 20 }
    }
}

/// Decides block sizes from how the last reads went. It doubles while reads are short and doubling makes
/// them faster per byte, halves when reads take long, and stays where neither helps.
///
/// ```
/// use springtide_io::files::{BlockSize, SizeBounds};
/// use std::time::Duration;
///
/// let mut size = BlockSize::new(SizeBounds::default());
/// assert_eq!(size.bytes(), 64 << 10);
/// size.observe(64 << 10, Duration::from_micros(30)); // fast: try a larger one
/// assert_eq!(size.bytes(), 128 << 10);
/// size.observe(128 << 10, Duration::from_secs(1)); // the disk stalls
/// assert_eq!(size.bytes(), 64 << 10);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BlockSize {
    bounds: SizeBounds,
    bytes: usize,
    /// Bytes per second at the size before the last doubling.
    before: Option<f64>,
    /// Largest size that was found worth it; none was refused yet.
    settled: bool,
}

impl BlockSize {
    /// Starts with the least.
    pub fn new(bounds: SizeBounds) -> Self {
        let least = bounds.least.max(PAGE).next_multiple_of(PAGE);
        let bounds = SizeBounds { least, most: bounds.most.max(least).next_multiple_of(PAGE) };
        Self { bounds, bytes: least, before: None, settled: false }
    }

    /// Size of the next block.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A read of `bytes` took `time`. Reads that were cut short (the end, a pipe) tell nothing.
    pub fn observe(&mut self, bytes: usize, time: Duration) {
        if bytes < self.bytes {
            return;
        }
        let speed = bytes as f64 / time.as_secs_f64().max(1e-9);
        if time > LONG {
            self.resize(self.bytes / 2);
            // What was learnt on a quick disk does not hold on a slow one.
            (self.before, self.settled) = (None, false);
        } else if self.settled {
            // Stays until reads take long.
        } else if self.before.is_some_and(|before| speed < before * GAIN) && time >= WORTH / 8 {
            self.resize(self.bytes / 2);
            self.settled = true;
        } else if time < WORTH {
            self.before = Some(speed);
            self.resize(self.bytes * 2);
        } else {
            self.settled = true;
        }
    }

    fn resize(&mut self, bytes: usize) {
        self.bytes = bytes.next_multiple_of(PAGE).clamp(self.bounds.least, self.bounds.most);
        self.settled |= self.bytes == self.bounds.most;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A disk with a fixed cost for each read and a speed.
    fn time(bytes: usize, fixed_us: f64, bytes_per_us: f64) -> Duration {
        Duration::from_nanos(((fixed_us + bytes as f64 / bytes_per_us) * 1e3) as u64)
    }

    fn settle(size: &mut BlockSize, fixed_us: f64, speed: f64) -> usize {
        for _ in 0..40 {
            size.observe(size.bytes(), time(size.bytes(), fixed_us, speed));
        }
        size.bytes()
    }

    #[test]
    fn quick_disks_get_large_blocks_and_slow_ones_small() {
        let new = || BlockSize::new(SizeBounds { least: 64 << 10, most: 8 << 20 });
        // 4 GB/s with 20 µs a call: half a MiB and more hides the call.
        assert!(settle(&mut new(), 20.0, 4_000.0) >= 512 << 10);
        // 20 MB/s: 64 KiB take 3 ms already.
        assert_eq!(settle(&mut new(), 100.0, 20.0), 64 << 10);
        // A stall shrinks, and a quick disk afterwards grows again.
        let mut size = new();
        let large = settle(&mut size, 20.0, 4_000.0);
        size.observe(size.bytes(), Duration::from_secs(2));
        assert!(size.bytes() < large);
        assert_eq!(settle(&mut size, 20.0, 4_000.0), large);
    }

    #[test]
    fn short_reads_tell_nothing() {
        let mut size = BlockSize::new(SizeBounds::default());
        size.observe(100, Duration::from_secs(9));
        assert_eq!(size, BlockSize::new(SizeBounds::default()));
    }

    proptest! {
        #[test]
        fn sizes_stay_within_bounds_and_settle(
            least in 1usize..1 << 20,
            most in 1usize..1 << 24,
            fixed_us in 0.5f64..500.0,
            speed in 1.0f64..10_000.0,
            stalls in proptest::collection::vec(0u64..200_000, 0..30),
        ) {
            let mut size = BlockSize::new(SizeBounds { least, most });
            let bounds = size.bounds;
            for stall in stalls {
                size.observe(size.bytes(), Duration::from_micros(stall));
                prop_assert!(size.bytes().is_multiple_of(PAGE));
                prop_assert!((bounds.least..=bounds.most).contains(&size.bytes()));
            }
            let settled = settle(&mut size, fixed_us, speed);
            // Under equal conditions it does not go to and fro.
            prop_assert_eq!(settle(&mut size, fixed_us, speed), settled);
            // No read is longer than what is long, unless the least block is.
            let longest = time(settled, fixed_us, speed);
            prop_assert!(longest <= LONG * 2 || settled == bounds.least);
        }
    }
}
