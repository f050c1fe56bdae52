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
    files::{FRONT, FileError, FilePool, LineFile, SizeBounds},
    report::RowIssues,
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
use sum::{Joined, Piece, Refused};

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
    /// Lines left out because they are no trades (only with `skip_bad`).
    pub bad: RowIssues,
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
    /// A bar that has no volume because its quantities are beyond all numbers.
    #[error(
        "{path}: the quantities of the bar at {time_ms} ms sum up to more than a number can hold: correct them"
    )]
    Overflow {
        /// The file.
        path: PathBuf,
        /// When the bar begins, epoch milliseconds.
        time_ms: i64,
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
            Self::Layout { path, .. }
            | Self::Line { path, .. }
            | Self::Overflow { path, .. }
            | Self::Ended { path, .. } => path,
        }
    }
}

/// Settings of [`bars_from_ticks`].
#[derive(Clone, Debug, Default)]
pub struct TickOptions {
    /// Names of the columns from left to right, of a file that has no head line with them.
    pub columns: Option<Vec<String>>,
    /// Leave lines that are no trades out and count them; otherwise the first one refuses the file.
    pub skip_bad: bool,
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
    read_file(pool, path, timeframe, options).map(|(_, bars)| bars)
}

/// As [`bars_from_ticks`], with the columns that were found.
fn read_file(
    pool: &FilePool,
    path: &Path,
    timeframe: Timeframe,
    options: TickOptions,
) -> Result<(TickLayout, TickBars), TickError> {
    let file = LineFile::open(path)?;
    let layout = TickLayout::detect(&file, options.columns.as_deref())?;
    let pieces = file.pieces(layout.first_byte..file.bytes(), PIECE)?;
    let periods = Periods::new(timeframe, jiff::tz::TimeZone::UTC, Session::ALWAYS);
    let group = pool.group(GroupOptions { max_queued: 4 * pool.threads(), ..options.group });
    let skip_bad = options.skip_bad;
    let mut joined = Joined::after(u64::from(layout.head_line));
    let shared = Arc::new((file, layout, periods));
    let jobs = pieces.into_iter().map(|range| {
        let shared = Arc::clone(&shared);
        let piece = move |_: &TaskCtx<'_>| {
            read_piece(&shared.0, &shared.1, Piece::new(shared.2.clone(), skip_bad), range)
        };
        ("ticks", piece)
    });
    // Pieces come as they are done and are joined in order.
    let (mut early, mut next) = (BTreeMap::new(), 0);
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
    if let Some(error) = failure {
        return Err(error);
    }
    let bars = joined.finish(shared.0.bytes());
    match bars.symbols.iter().find_map(overflow) {
        Some(time_ms) => Err(TickError::Overflow { path: path.to_owned(), time_ms }),
        None => Ok((shared.1.clone(), bars)),
    }
}

/// The first bar whose volume is no number, though quantities are: without them it is NaN.
fn overflow(symbol: &SymbolBars) -> Option<i64> {
    let at = symbol.bars.volume.iter().position(|volume| volume.is_infinite())?;
    Some(symbol.bars.time[at])
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
    mut piece: Piece,
    range: Range<u64>,
) -> Result<Piece, TickError> {
    let mut blocks = file.blocks(range.clone(), SizeBounds::default());
    let mut index = FieldIndex::default();
    while let Some(block) = blocks.next_block()? {
        let ended;
        // A file's last line may lack its end.
        let buffer = if block.bytes().ends_with(b"\n") {
            block.with_front()
        } else {
            ended = [block.with_front(), b"\n"].concat();
            &ended[..]
        };
        read_block(buffer, &mut index, layout, &mut piece).map_err(|r| refusal(file, range.start, r))?;
    }
    Ok(piece.close())
}

/// Adds the lines behind a buffer's front.
fn read_block(
    buffer: &[u8],
    index: &mut FieldIndex,
    layout: &TickLayout,
    piece: &mut Piece,
) -> Result<(), Refused> {
    match index.rows_from(buffer, FRONT, layout.delimiter, layout.names.len()) {
        Ok(rows) => piece.add(rows, layout),
        Err(_) => read_lines(buffer, index, layout, piece),
    }
}

/// The lines of a block that is not regular, one by one: blank ones are none, the others are judged each for itself.
#[cold]
fn read_lines(
    buffer: &[u8],
    index: &mut FieldIndex,
    layout: &TickLayout,
    piece: &mut Piece,
) -> Result<(), Refused> {
    let mut start = FRONT;
    for end in memchr::memchr_iter(b'\n', &buffer[FRONT..]).map(|at| FRONT + at + 1) {
        let line = &buffer[start..end];
        if line.trim_ascii().is_empty() {
            piece.add_blank();
        } else {
            match index.rows_from(&buffer[..end], start, layout.delimiter, layout.names.len()) {
                Ok(rows) => piece.add(rows, layout)?,
                Err(error) => piece.add_misshapen(line, shape_problem(&error))?,
            }
        }
        start = end;
    }
    Ok(())
}

fn shape_problem(error: &ShapeError) -> String {
    match error {
        ShapeError::Quote { .. } => "a quotation mark: files of trades must be plain".into(),
        ShapeError::Fields { found, expected, text, .. } => {
            format!("{found} fields where {expected} were expected: `{}`", text.trim_end())
        }
        ShapeError::Block { .. } => error.to_string(),
    }
}

/// The error for a line of the piece that begins at `start`.
fn refusal(file: &LineFile, start: u64, refused: Refused) -> TickError {
    let line = lines_before(file, start).unwrap_or(0) + refused.line;
    let remedy = match line {
        // Only where columns are named is a first line read as a trade.
        1 => "correct it; where it is a head line, pass its own names with --columns, or none",
        _ => "correct it, or pass --skip-bad to leave such lines out",
    };
    let problem = format!("{}; {remedy}", refused.problem);
    TickError::Line { path: file.path().to_owned(), line, problem }
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
