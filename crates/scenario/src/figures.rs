//! What is measured of one run.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Times of single items, milliseconds, nearest rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the items took at most this.
    pub p50_ms: f64,
    /// 95 of 100.
    pub p95_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The slowest; none where a program does not tell it.
    pub max_ms: Option<f64>,
    /// Sum over count; none where a program does not tell it.
    pub mean_ms: Option<f64>,
}

/// One run of one contestant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Wall time of the work, seconds; start-up and making the input are not in it.
    pub work_s: f64,
    /// How much was done, in the scenario's unit.
    pub items: f64,
    /// Items per second of wall time.
    pub per_s: f64,
    /// Times of single items, where the contestant tells them.
    pub latency: Option<Latency>,
    /// Processor time of the process (and of its children where it has some), seconds.
    pub cpu_s: f64,
    /// Processor time over wall time, percent of one core.
    pub cpu_pct: f64,
    /// Share of the time of the cores it may use (one when it works one after another) in which it did not
    /// compute, percent: it waited for disk, network, locks or work.
    pub waiting_pct: f64,
    /// Share of the wall time in which at least one task of the machine was stalled by the disk, percent
    /// (`/proc/pressure/io`, `some`); none where the system does not tell.
    pub disk_stall_pct: Option<f64>,
    /// Most resident memory of the process, bytes.
    pub peak_memory: u64,
    /// Most connections (or files, or children) open at once.
    pub connections: Option<u64>,
    /// Further figures of this scenario, by name with unit: `retries`, `dropped`, `hourly_bars`.
    #[serde(default)]
    pub extra: BTreeMap<String, f64>,
}

impl Figures {
    /// Fills what follows from the rest; `cores` is how many the contestant may use.
    pub(crate) fn derive(&mut self, cores: usize) {
        let wall = self.work_s.max(1e-9);
        self.per_s = self.items / wall;
        self.cpu_pct = self.cpu_s / wall * 100.0;
        self.waiting_pct = (100.0 - self.cpu_pct / cores.max(1) as f64).max(0.0);
    }
}
