//! The I/O scenarios of `tide bench`: the same work done one item after another and concurrently, each result
//! checked before its time counts.
//!
//! A [`Scenario`] makes its own input ([`Scenario::prepare`]) and does the work in one of several [`Case`]s
//! ([`Scenario::run`]), which gives [`Figures`]. [`run::measure`] runs every case, and the rival programs that
//! are there, in turn, each in a process of its own, so that memory and CPU time are that case's alone, and
//! makes a [`Report`] of the medians. [`page::html`] draws it.
//!
//! What the figures mean is written at their fields. Input is made from seeds and equal on every machine.

pub mod bigdata;
mod claims;
pub mod compare;
mod error;
mod figures;
pub mod files;
pub mod http;
mod meter;
pub mod page;
mod place;
pub mod process;
mod report;
mod rng;
pub mod run;
pub mod sched;
mod statement;
pub mod stream;

pub use claims::Claim;
pub use compare::{Programs, Rival};
pub use error::ScenarioError;
pub use figures::{Figures, Latency};
pub use meter::{Latencies, Meter, cores};
pub use place::Place;
pub use report::{ClaimRow, Machine, Report, Row, Skipped, Verdict};
pub use rng::Rng;
pub use statement::statement;

/// How a contestant goes about its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One item after another.
    Sequential,
    /// Many at once.
    Concurrent,
    /// A program written for this one job, which shows what the machine allows.
    Limit,
}

/// One of our own ways to do a scenario's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Name within the scenario: `concurrent`, `sequential-cold`.
    pub name: &'static str,
    /// One after another, or many at once.
    pub mode: Mode,
    /// The page cache is emptied of the input before each run.
    pub cold: bool,
}

/// What one of our cases must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// One of the scenario's cases.
    pub case: &'static str,
    /// What is asked of it.
    pub bound: Bound,
}

/// A bound on one figure, absolute or against another contestant of the same run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Throughput at least so many times that of a rival.
    Faster {
        /// The rival's name.
        than: &'static str,
        /// Least ratio, ours over theirs.
        times: f64,
    },
    /// 99th percentile of the latency at most this share of a rival's.
    P99Share {
        /// The rival's name.
        of: &'static str,
        /// Greatest ratio, ours over theirs.
        share: f64,
    },
    /// 99th percentile of the latency at most this, milliseconds.
    P99Max(f64),
    /// Peak memory at most this, bytes.
    MemoryMax(u64),
}

impl Target {
    /// Throughput at least `times` that of a rival.
    pub const fn faster(case: &'static str, than: &'static str, times: f64) -> Self {
        Self { case, bound: Bound::Faster { than, times } }
    }

    /// 99th percentile of the latency at most a `share` of a rival's.
    pub const fn p99_share(case: &'static str, of: &'static str, share: f64) -> Self {
        Self { case, bound: Bound::P99Share { of, share } }
    }

    /// 99th percentile of the latency at most `ms`.
    pub const fn p99_max(case: &'static str, ms: f64) -> Self {
        Self { case, bound: Bound::P99Max(ms) }
    }

    /// Peak memory at most `bytes`.
    pub const fn memory_max(case: &'static str, bytes: u64) -> Self {
        Self { case, bound: Bound::MemoryMax(bytes) }
    }
}

/// What a scenario is, apart from doing it.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The word on the command line.
    pub name: &'static str,
    /// A heading.
    pub title: &'static str,
    /// The work in a sentence.
    pub work: &'static str,
    /// How a result is checked.
    pub check: &'static str,
    /// What throughput counts: `files`, `MB`, `requests`.
    pub unit: &'static str,
    /// What one latency is the time of; empty where there is none.
    pub latency_of: &'static str,
    /// Our cases, plain ones first.
    pub cases: &'static [Case],
    /// What must be reached.
    pub targets: &'static [Target],
    /// What has been claimed elsewhere for this kind of work.
    pub claims: &'static [Claim],
    /// It needs a server, which [`Scenario::serve`] is.
    pub serves: bool,
}

/// A piece of work in several forms.
pub trait Scenario: Sync {
    /// What it is.
    fn about(&self) -> &'static About;

    /// Makes the input, unless it is there.
    ///
    /// # Errors
    /// When it cannot be written.
    fn prepare(&self, place: &Place) -> Result<(), ScenarioError>;

    /// Does the work once, checks the result, tells the figures.
    ///
    /// # Errors
    /// When the work fails or its result is wrong, and for a case that is not one of its own.
    fn run(&self, case: &str, place: &Place) -> Result<Figures, ScenarioError>;

    /// Drops the input from the page cache.
    ///
    /// # Errors
    /// When a file cannot be opened.
    fn chill(&self, _place: &Place) -> Result<(), ScenarioError> {
        Ok(())
    }

    /// Serves what the cases ask for, on an address that it hands to `announce`, until `stop` returns.
    ///
    /// # Errors
    /// When it cannot listen.
    fn serve(
        &self,
        _place: &Place,
        _announce: &mut dyn FnMut(&str),
        _stop: &mut dyn FnMut(),
    ) -> Result<(), ScenarioError> {
        Ok(())
    }

    /// Programs to run beside our cases.
    fn rivals(&self, place: &Place, programs: &Programs) -> Vec<Rival>;
}

/// All scenarios, in the order in which they are shown.
pub fn all() -> &'static [&'static dyn Scenario] {
    &[&files::Files, &http::Http, &bigdata::BigData, &stream::Stream, &process::Processes, &sched::Scheduling]
}

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static dyn Scenario> {
    all().iter().copied().find(|s| s.about().name == name)
}
