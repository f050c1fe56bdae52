//! What an import found: counts, samples with their lines, and why a file was refused.

use crate::ticks::TickError;
use serde::{Deserialize, Serialize};
use springtide_domain::Timeframe;
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Samples kept of each kind of trouble.
pub(crate) const SAMPLES: usize = 10;
/// Bytes kept of an offending line.
const SAMPLE_BYTES: usize = 160;

/// Which number of `03/04/2024` is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    /// Year, month, day.
    Ymd,
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
}

/// How to read a file of bars; the default guesses all it can and refuses what is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportOptions {
    /// Ticker, instead of the one in the file's name. `EXCHANGE:TICKER` sets the exchange too.
    pub symbol: Option<String>,
    /// Bar length, instead of the most common step between bars.
    pub timeframe: Option<Timeframe>,
    /// Zone of times written without one, IANA name or `UTC+3`; UTC when none.
    pub timezone: Option<String>,
    /// Which number is the day, where the file does not tell.
    pub date_order: Option<DateOrder>,
    /// Smallest price step, instead of the one seen in the prices.
    pub mintick: Option<f64>,
    /// Leave bad rows out and count them; otherwise the first one refuses the file.
    pub skip_bad: bool,
    /// Put disordered rows in order; otherwise disorder refuses the file. Sorting holds all rows in memory.
    pub sort: bool,
    /// Threads that parse; 0 = as many as the machine has, at most four.
    pub threads: usize,
    /// Bytes of a CSV file parsed at a time; 0 = 1 MiB. Results never depend on it.
    pub chunk_bytes: usize,
}

impl ImportOptions {
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().min(4)),
            n => n.min(64),
        }
    }

    pub(crate) fn chunk_bytes(&self) -> usize {
        if self.chunk_bytes == 0 { 1 << 20 } else { self.chunk_bytes.min(64 << 20) }
    }
}

/// Kind of source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceFormat {
    /// Delimited text.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC file or stream (Feather v2).
    Arrow,
}

impl fmt::Display for SourceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        })
    }
}

/// One offending row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowSample {
    /// One-based line of a text file, one-based row of a column file.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
    /// The row as it stands in the file, shortened.
    pub text: String,
}

/// How often something was found, and the first cases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowIssues {
    /// All cases.
    pub count: u64,
    /// The first cases by their lines, at most ten.
    pub samples: Vec<RowSample>,
}

impl RowIssues {
    /// Counts a case; `sample` is asked for only when it is kept. Cases come in any order: what a row is next to is
    /// known later than what is wrong with it alone.
    pub(crate) fn add(&mut self, line: u64, sample: impl FnOnce() -> RowSample) {
        self.count += 1;
        let at = self.samples.partition_point(|s| s.line <= line);
        if at < SAMPLES {
            self.samples.truncate(SAMPLES - 1);
            self.samples.insert(at, sample());
        }
    }

    /// Takes in what a later part of the file held, its lines counted from `line_base`.
    pub(crate) fn absorb(&mut self, later: RowIssues, line_base: u64) {
        let unseen = later.count - later.samples.len() as u64;
        for sample in later.samples {
            let line = sample.line + line_base;
            self.add(line, || RowSample { line, ..sample });
        }
        self.count += unseen;
    }
}

/// The text of a line fit for a message: valid UTF-8, no line end, shortened.
pub(crate) fn excerpt(line: &[u8]) -> String {
    let line = line.trim_ascii();
    let text = String::from_utf8_lossy(&line[..line.len().min(SAMPLE_BYTES)]);
    if line.len() > SAMPLE_BYTES { format!("{text}…") } else { text.into_owned() }
}

/// A stretch without bars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Open time of the last bar before, epoch milliseconds.
    pub after_ms: i64,
    /// Open time of the first bar behind, epoch milliseconds.
    pub until_ms: i64,
    /// Bars that would fit between.
    pub missing: u64,
}

/// Where bars are missing. Pauses that come back (nights, weekends) are told from holes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapReport {
    /// Pauses that come back at the same time of day or week with the same length, and weekends.
    pub session_pauses: u64,
    /// All other gaps.
    pub holes: u64,
    /// Bars missing in the holes.
    pub missing_bars: u64,
    /// The longest holes, longest first, at most ten.
    pub longest: Vec<Gap>,
    /// Bars that follow sooner than one timeframe after the bar before.
    pub short_steps: u64,
}

/// How a text file is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// Between fields: `,`, `;`, `|` or a tab.
    pub delimiter: char,
    /// Line of the header, one-based; none when columns go by position.
    pub header_line: Option<u64>,
    /// How times are written.
    pub time_format: String,
}

/// What was read from one file and what was wrong with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportReport {
    /// The file.
    pub source: String,
    /// Its kind.
    pub format: SourceFormat,
    /// Of text files, how it is written.
    pub dialect: Option<Dialect>,
    /// Where each column came from: (`open`, `Open Price`), in the order of the bar columns; of trades (`price`, `px`).
    pub columns: Vec<(String, String)>,
    /// Columns of the file that were not used.
    pub ignored_columns: Vec<String>,
    /// Ticker, given or guessed from the file's name.
    pub symbol: String,
    /// Bar length.
    pub timeframe: Timeframe,
    /// Smallest price step, given or seen in the prices.
    pub mintick: f64,
    /// Rows in the file, without header and blank lines.
    pub rows: u64,
    /// Bars imported.
    pub bars: u64,
    /// Open time of the first bar, epoch milliseconds.
    pub from_ms: i64,
    /// Open time of the last bar, epoch milliseconds.
    pub to_ms: i64,
    /// Content hash of the bars, 64 hexadecimal digits.
    pub hash: String,
    /// Rows left out because they are wrong (only with `skip_bad`). Of trades, those of the whole file: a line that is
    /// wrong belongs to no symbol.
    pub bad_rows: RowIssues,
    /// Rows left out because the row before is the same.
    pub duplicates: RowIssues,
    /// Rows that go back in time (only with `sort`).
    pub out_of_order: RowIssues,
    /// The file ran from the latest bar to the earliest and was turned round.
    pub reversed: bool,
    /// The rows were put in order.
    pub sorted: bool,
    /// Bars without a volume (NaN).
    pub missing_volume: u64,
    /// Where bars are missing.
    pub gaps: GapReport,
    /// Anything else worth knowing, one sentence each.
    pub notes: Vec<String>,
}

/// Why a file of bars was refused. Every message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// What is made of it cannot be written.
    #[error("cannot write {path}: {source}{}", remedy(.source))]
    Store {
        /// The bar file, or the folder in which it grows.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Nothing in it.
    #[error("{path}: holds no bars: {hint}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was there instead.
        hint: String,
    },
    /// The columns cannot be made out.
    #[error("{path}: {problem}; {hint}")]
    Columns {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// Rows that are no bars.
    #[error("{path}: {}", bad_rows_text(.issues))]
    BadRows {
        /// The file.
        path: PathBuf,
        /// How many, and the first ones.
        issues: RowIssues,
    },
    /// Rows that go back in time.
    #[error("{path}: {} rows go back in time, first at line {line} ({text}): put the file in order or pass --sort", .issues.count)]
    Disorder {
        /// The file.
        path: PathBuf,
        /// First line that goes back.
        line: u64,
        /// That line.
        text: String,
        /// How many, and the first ones.
        issues: RowIssues,
    },
    /// Symbol or timeframe missing or impossible.
    #[error("{path}: {problem}")]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to pass.
        problem: String,
    },
    /// A damaged or foreign column file.
    #[error("{path}: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of single trades that cannot be read.
    #[error(transparent)]
    Trades(#[from] TickError),
}

impl ImportError {
    /// The file that was refused.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Io { path, .. }
            | Self::Store { path, .. }
            | Self::Empty { path, .. }
            | Self::Columns { path, .. }
            | Self::BadRows { path, .. }
            | Self::Disorder { path, .. }
            | Self::Identity { path, .. }
            | Self::Damaged { path, .. } => path,
            Self::Trades(error) => error.path(),
        }
    }
}

/// What a person can do about a place that takes nothing.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space there, or name a workspace on another disk (--workspace)"
        }
        _ if is_refused(error) => "; make it writable, or name another workspace (--workspace)",
        _ => "",
    }
}

/// Whether a place may not be written at all.
pub(crate) fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// An error of what is written, on its way through those who read: they know of one file only, theirs.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub(crate) struct Unwritten {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl Unwritten {
    pub(crate) fn at(path: &Path, source: io::Error) -> io::Error {
        io::Error::new(source.kind(), Self { path: path.to_owned(), source })
    }
}

fn bad_rows_text(issues: &RowIssues) -> String {
    let rows = if issues.count == 1 { "1 bad row".to_owned() } else { format!("{} bad rows", issues.count) };
    let lines: String =
        issues.samples.iter().map(|s| format!("\n  line {}: {}: {}", s.line, s.reason, s.text)).collect();
    let rest = issues.count.saturating_sub(issues.samples.len() as u64);
    let more = if rest > 0 { format!("\n  and {rest} more") } else { String::new() };
    format!("{rows}: mend the file or pass --skip-bad to leave them out{lines}{more}")
}
