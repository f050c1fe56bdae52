//! Measures a piece of work from within its process.

use crate::{Figures, Latency};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Processors this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Times of single items.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    nanos: Vec<u64>,
}

impl Latencies {
    /// Room for so many without growing.
    pub fn with_capacity(items: usize) -> Self {
        Self { nanos: Vec::with_capacity(items) }
    }

    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.nanos.push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds another thread's.
    pub fn append(&mut self, mut other: Self) {
        self.nanos.append(&mut other.nanos);
    }

    /// Percentiles by nearest rank; none without items.
    pub fn summary(mut self) -> Option<Latency> {
        self.nanos.sort_unstable();
        let last = *self.nanos.last()?;
        let count = self.nanos.len();
        let ms = |nanos: u64| nanos as f64 / 1e6;
        let at = |share: f64| {
            let rank = (count as f64 * share).ceil() as usize;
            ms(self.nanos[rank.clamp(1, count) - 1])
        };
        let sum: u128 = self.nanos.iter().map(|n| u128::from(*n)).sum();
        let mean_ms = sum as f64 / count as f64 / 1e6;
        let (max_ms, mean_ms) = (Some(ms(last)), Some(mean_ms));
        Some(Latency { p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), max_ms, mean_ms })
    }
}

/// A running measurement of this process.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    cpu: Duration,
    stalled_us: Option<u64>,
    cores: usize,
}

impl Meter {
    /// Starts; `cores` is how many the work may use: one when it goes one after another.
    pub fn start(cores: usize) -> Self {
        Self { stalled_us: disk_stall_us(), cpu: process_cpu(), cores, started: Instant::now() }
    }

    /// Ends, with what was done in the scenario's unit.
    pub fn stop(self, items: f64, latencies: Latencies) -> Figures {
        let wall = self.started.elapsed();
        let cpu = process_cpu().saturating_sub(self.cpu);
        let stalled = disk_stall_us().zip(self.stalled_us).map(|(now, then)| now.saturating_sub(then));
        let mut figures = Figures {
            work_s: wall.as_secs_f64(),
            items,
            latency: latencies.summary(),
            cpu_s: cpu.as_secs_f64(),
            disk_stall_pct: stalled.map(|us| (us as f64 / wall.as_micros().max(1) as f64 * 100.0).min(100.0)),
            peak_memory: peak_memory(),
            ..Figures::default()
        };
        figures.derive(self.cores);
        figures
    }
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Most resident memory so far. `ru_maxrss` would survive exec and show the parent's; `VmHWM` does not.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn disk_stall_us() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/pressure/io").ok()?;
    let line = text.lines().find(|l| l.starts_with("some"))?;
    line.rsplit_once("total=")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut times = Latencies::default();
        (1..=200).rev().for_each(|ms| times.push(Duration::from_millis(ms)));
        let found = times.summary().unwrap();
        assert_eq!((found.p50_ms, found.p95_ms, found.p99_ms), (100.0, 190.0, 198.0));
        assert_eq!((found.max_ms, found.mean_ms), (Some(200.0), Some(100.5)));
        assert_eq!(Latencies::default().summary(), None);
    }

    #[test]
    fn a_meter_sees_work_and_waiting() {
        let meter = Meter::start(1);
        let mut sum = 0u64;
        while meter.started.elapsed() < Duration::from_millis(30) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        std::thread::sleep(Duration::from_millis(30));
        let figures = meter.stop(6.0, Latencies::default());
        assert!(
            figures.work_s >= 0.06 && figures.cpu_s > 0.0 && figures.peak_memory > 1 << 20,
            "{figures:?}"
        );
        assert!(figures.waiting_pct > 5.0 && figures.cpu_pct < 100.0, "{figures:?}");
        assert!((figures.per_s - 6.0 / figures.work_s).abs() < 1e-9);
    }
}
