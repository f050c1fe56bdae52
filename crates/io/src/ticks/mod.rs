//! Files of single trades, of any size, to bars.
//!
//! The file is cut into pieces between lines; each piece is read in blocks, by as many threads as the pool has,
//! and summed up to bars; the pieces' bars are joined in the file's order. Memory is a few blocks per thread
//! and the bars, whatever the file's size. The cut does not depend on the number of threads, so neither do the
//! bars.

mod import;
mod layout;
mod sum;

pub use crate::csv::EpochUnit;
pub use layout::TickLayout;

use crate::{
    files::{FileError, FilePool, LineFile, SizeBounds},
    separated::{FieldIndex, ShapeError},
};
use springtide_domain::{
    OwnedBars, Timeframe,
    resample::{Periods, Session},
};
use springtide_runtime::{GroupOptions, Outcome, TaskCtx};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use sum::{Joined, Piece};

/// Bytes of a piece: thousands of blocks' worth of work between two visits to the queue, and many pieces in a
/// file that is worth sharing out.
const PIECE: u64 = 16 << 20;

/// Bars of one symbol.
#[derive(Clone, Debug, PartialEq)]
pub struct SymbolBars {
    /// As the file writes it; empty when the file has no column for it.
    pub symbol: String,
    /// One bar for each period with a trade. Open and close are the first and the last price in the file's
    /// order, volume is the sum of quantities (NaN without a column for them).
    pub bars: OwnedBars,
    /// Trades in each bar.
    pub trades: Vec<u64>,
}

/// What a file of trades came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TickBars {
    /// By name.
    pub symbols: Vec<SymbolBars>,
    /// Trades read.
    pub rows: u64,
    /// Trades earlier than the one before of the same symbol. They count for their own period; within it
    /// open and close follow the file.
    pub out_of_order: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// Why a file of trades cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its columns are not known.
    #[error("{path}: {problem}")]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is missing and what to do.
        problem: String,
    },
    /// A line that is no trade.
    #[error("{path}, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The work ended before the file did.
    #[error("{path}: {problem}")]
    Ended {
        /// The file.
        path: PathBuf,
        /// Cancelled, or what a task said.
        problem: String,
    },
}

impl TickError {
    /// The file that was refused.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(error) => error.path(),
            Self::Layout { path, .. } | Self::Line { path, .. } | Self::Ended { path, .. } => path,
        }
    }
}

/// Settings of [`bars_from_ticks`].
#[derive(Clone, Debug, Default)]
pub struct TickOptions {
    /// Names of the columns from left to right, of a file that has no head line with them.
    pub columns: Option<Vec<String>>,
    /// Class, owner and cancellation of the work.
    pub group: GroupOptions,
}

/// Sums a file of trades up to bars of `timeframe`; days and longer are UTC's.
///
/// # Errors
/// When the file cannot be read, its columns cannot be told, or a line is no trade.
pub fn bars_from_ticks(
    pool: &FilePool,
    path: &Path,
    timeframe: Timeframe,
    options: TickOptions,
) -> Result<TickBars, TickError> {
    let file = LineFile::open(path)?;
    let layout = TickLayout::detect(&file, options.columns.as_deref())?;
    let pieces = file.pieces(layout.first_byte..file.bytes(), PIECE)?;
    let periods = Periods::new(timeframe, jiff::tz::TimeZone::UTC, Session::ALWAYS);
    let group = pool.group(GroupOptions { max_queued: 4 * pool.threads(), ..options.group });
    let shared = Arc::new((file, layout, periods));
    let jobs = pieces.into_iter().map(|piece| {
        let shared = Arc::clone(&shared);
        ("ticks", move |_: &TaskCtx<'_>| read_piece(&shared.0, &shared.1, &shared.2, piece))
    });
    // Pieces come as they are done and are joined in order.
    let (mut early, mut next) = (BTreeMap::new(), 0);
    let mut joined = Joined::default();
    let mut failure: Option<TickError> = None;
    group.feed(jobs, |index, outcome| match outcome {
        Outcome::Done(Ok(piece)) => {
            early.insert(index, piece);
            while let Some(piece) = early.remove(&next) {
                joined.add(piece);
                next += 1;
            }
        }
        Outcome::Done(Err(error)) => {
            group.cancel();
            // The first line that is wrong is the one to name, not the one that was met first.
            if failure.as_ref().is_none_or(|f| line_of(&error) < line_of(f)) {
                failure = Some(error);
            }
        }
        other => {
            let problem = format!("{other:?}");
            failure.get_or_insert(TickError::Ended { path: path.to_owned(), problem });
        }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(joined.finish(shared.0.bytes())),
    }
}

fn line_of(error: &TickError) -> u64 {
    match error {
        TickError::Line { line, .. } => *line,
        TickError::Ended { .. } => u64::MAX,
        _ => 0,
    }
}

/// Sums up the lines of one piece.
fn read_piece(
    file: &LineFile,
    layout: &TickLayout,
    periods: &Periods,
    range: Range<u64>,
) -> Result<Piece, TickError> {
    let mut blocks = file.blocks(range.clone(), SizeBounds::default());
    let mut index = FieldIndex::default();
    let mut piece = Piece::new(periods.clone());
    let mut at = range.start;
    while let Some(block) = blocks.next_block()? {
        let bytes = block.bytes();
        let ended;
        // A file's last line may lack its end.
        let (buffer, start) = if bytes.ends_with(b"\n") {
            (block.with_front(), crate::files::FRONT)
        } else {
            ended = [block.with_front(), b"\n"].concat();
            (&ended[..], crate::files::FRONT)
        };
        let wrong = |(line, problem): (usize, String)| {
            let line = lines_before(file, at).unwrap_or(0) + line as u64;
            TickError::Line { path: file.path().to_owned(), line, problem }
        };
        let rows = index.rows_from(buffer, start, layout.delimiter, layout.fields);
        let rows = rows.map_err(|e| wrong((shape_line(&e), shape_problem(&e))))?;
        piece.add(rows, layout).map_err(wrong)?;
        at += bytes.len() as u64;
    }
    Ok(piece.close())
}

fn shape_line(error: &ShapeError) -> usize {
    match error {
        ShapeError::Quote { line } | ShapeError::Fields { line, .. } => *line,
        ShapeError::Block { .. } => 1,
    }
}

fn shape_problem(error: &ShapeError) -> String {
    match error {
        ShapeError::Quote { .. } => "a quotation mark: files of trades must be plain".into(),
        ShapeError::Fields { found, expected, text, .. } => {
            format!("{found} fields where {expected} were expected: `{text}`")
        }
        ShapeError::Block { .. } => error.to_string(),
    }
}

/// Line ends before `end`: only for naming a line that is wrong.
fn lines_before(file: &LineFile, end: u64) -> Result<u64, FileError> {
    let mut blocks = file.blocks(0..end, SizeBounds::default());
    let mut lines = 0;
    while let Some(block) = blocks.next_block()? {
        lines += memchr::memchr_iter(b'\n', block.bytes()).count() as u64;
    }
    Ok(lines)
}
