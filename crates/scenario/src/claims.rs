//! What has been claimed for this kind of work, to be stated beside what is measured.

use serde::Serialize;

/// A figure that a description of the same optimisation gives, without its machine or method.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// What it is a figure of.
    pub what: &'static str,
    /// Its unit, as claimed: `files/min`.
    pub unit: &'static str,
    /// One after another.
    pub sequential: f64,
    /// Concurrently.
    pub concurrent: f64,
    /// Our figure in the claim's unit is this times ...
    pub factor: f64,
    /// ... this figure of ours.
    pub figure: ClaimFigure,
}

/// Which of our figures a claim speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimFigure {
    /// Items per second.
    PerSecond,
    /// 99th percentile of the latency, ms.
    P99,
    /// 95th percentile of the latency, ms.
    P95,
    /// Mean latency, ms.
    Mean,
    /// Connections at once.
    Connections,
    /// Share of the time spent waiting, percent.
    Waiting,
}

impl ClaimFigure {
    /// Reads it off.
    pub fn of(self, figures: &crate::Figures) -> Option<f64> {
        match self {
            Self::PerSecond => Some(figures.per_s),
            Self::P99 => figures.latency.map(|l| l.p99_ms),
            Self::P95 => figures.latency.map(|l| l.p95_ms),
            Self::Mean => figures.latency.and_then(|l| l.mean_ms),
            Self::Connections => figures.connections.map(|n| n as f64),
            Self::Waiting => Some(figures.waiting_pct),
        }
    }

    /// More is better (else less).
    pub fn higher_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::Connections)
    }
}
