//! The outcome of measuring one scenario.

use crate::{About, Bound, Claim, Figures, Mode, Target};
use serde::Serialize;

/// All rows of one scenario, in one session on one machine.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's word.
    pub scenario: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// The work in a sentence.
    pub work: &'static str,
    /// How results were checked.
    pub check: &'static str,
    /// What throughput counts.
    pub unit: &'static str,
    /// What a latency is the time of.
    pub latency_of: &'static str,
    /// Share of the described work that was done, 1 for all of it.
    pub scale: f64,
    /// Where it was measured.
    pub machine: Machine,
    /// One per contestant, in the order in which they are shown.
    pub rows: Vec<Row>,
    /// Contestants without figures, and why.
    pub skipped: Vec<Skipped>,
    /// What had to be reached. Only contestants that ran are judged.
    pub verdicts: Vec<Verdict>,
    /// What has been claimed elsewhere.
    pub claims: Vec<ClaimRow>,
}

/// One contestant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Our case's name, or the rival's.
    pub name: String,
    /// True for our cases.
    pub ours: bool,
    /// One after another, many at once, or a limit.
    pub mode: Mode,
    /// The page cache was emptied of the input first.
    pub cold: bool,
    /// How often it ran.
    pub runs: u32,
    /// The run with the median throughput.
    pub median: Figures,
    /// Throughput of the slowest and of the fastest run.
    pub range: (f64, f64),
}

impl Row {
    /// The row of several runs; none without any.
    pub(crate) fn of(
        name: String,
        ours: bool,
        mode: Mode,
        cold: bool,
        mut runs: Vec<Figures>,
    ) -> Option<Self> {
        runs.sort_by(|a, b| a.per_s.total_cmp(&b.per_s));
        let range = (runs.first()?.per_s, runs.last()?.per_s);
        let count = runs.len() as u32;
        // Of an even number the slower of the two in the middle.
        let median = runs.swap_remove((runs.len() - 1) / 2);
        Some(Self { name, ours, mode, cold, runs: count, median, range })
    }
}

/// A contestant that did not run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// What was missing, or went wrong.
    pub reason: String,
}

/// One requirement and what was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// In words: `concurrent against python, processes`.
    pub what: String,
    /// The bound.
    pub wanted: f64,
    /// It is a least figure (else a greatest one).
    pub at_least: bool,
    /// What it is.
    pub found: f64,
    /// Unit of both: `×`, `ms` or `MB`.
    pub unit: &'static str,
    /// Reached.
    pub met: bool,
}

/// A claim and our figures in its unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClaimRow {
    /// The claim.
    #[serde(flatten)]
    pub claim: Claim,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// Ours, one after another.
    pub ours_sequential: Option<f64>,
    /// Ours, concurrently.
    pub ours_concurrent: Option<f64>,
    /// A plain program in Python, one after another, and its name, where it ran.
    pub plain: Option<(String, f64)>,
}

/// What it was measured on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Processors available.
    pub cores: usize,
    /// Kernel name and release.
    pub system: String,
    /// Physical memory, bytes; 0 when unknown.
    pub memory: u64,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let uname = rustix::system::uname();
        let system = format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
        let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = info.lines().find_map(|l| l.strip_prefix("MemTotal:"));
        let kib = total.and_then(|l| l.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
        Self { cores: crate::cores(), system, memory: kib * 1024 }
    }
}

impl Report {
    /// Judges and sets beside the claims what was measured.
    pub(crate) fn new(about: &'static About, scale: f64, rows: Vec<Row>, skipped: Vec<Skipped>) -> Self {
        Self {
            scenario: about.name,
            title: about.title,
            work: about.work,
            check: about.check,
            unit: about.unit,
            latency_of: about.latency_of,
            scale,
            machine: Machine::here(),
            verdicts: verdicts(about, &rows),
            claims: about.claims.iter().map(|c| claim_row(*c, &rows)).collect(),
            rows,
            skipped,
        }
    }

    /// Our cases and the rivals that ran.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|r| r.name == name)
    }
}

fn verdicts(about: &About, rows: &[Row]) -> Vec<Verdict> {
    about.targets.iter().filter_map(|target| verdict(target, rows)).collect()
}

/// None where one of the contestants did not run or did not tell the figure.
fn verdict(target: &Target, rows: &[Row]) -> Option<Verdict> {
    let row = |name: &str| rows.iter().find(|r| r.name == name).map(|r| &r.median);
    let p99 = |figures: &Figures| figures.latency.map(|l| l.p99_ms);
    let (case, ours) = (target.case, row(target.case)?);
    let (what, wanted, at_least, found, unit) = match target.bound {
        Bound::Faster { than, times } => {
            (format!("{case} against {than}"), times, true, ours.per_s / row(than)?.per_s, "×")
        }
        Bound::P99Share { of, share } => {
            (format!("p99 of {case} against {of}"), share, false, p99(ours)? / p99(row(of)?)?, "×")
        }
        Bound::P99Max(ms) => (format!("p99 of {case}"), ms, false, p99(ours)?, "ms"),
        Bound::MemoryMax(bytes) => {
            let mb = |bytes: u64| bytes as f64 / 1e6;
            (format!("peak memory of {case}"), mb(bytes), false, mb(ours.peak_memory), "MB")
        }
    };
    let met = if at_least { found >= wanted } else { found <= wanted };
    Some(Verdict { what, wanted, at_least, found, unit, met })
}

fn claim_row(claim: Claim, rows: &[Row]) -> ClaimRow {
    let read = |row: &Row| claim.figure.of(&row.median).map(|x| x * claim.factor);
    let of = |ours: bool, mode: Mode| rows.iter().find(|r| r.ours == ours && r.mode == mode && !r.cold);
    let plain = of(false, Mode::Sequential);
    ClaimRow {
        claim,
        higher_is_better: claim.figure.higher_is_better(),
        ours_sequential: of(true, Mode::Sequential).and_then(read),
        ours_concurrent: of(true, Mode::Concurrent).and_then(read),
        plain: plain.and_then(|r| Some((r.name.clone(), read(r)?))),
    }
}
