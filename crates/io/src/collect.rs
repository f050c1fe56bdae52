//! Rows put together to bars: order, duplicates, and what is wrong with a row.

use crate::{
    header::Role,
    report::{RowIssues, RowSample},
};
use jiff::Timestamp;
use springtide_domain::{BarsView, OwnedBars};
use std::{fmt, io};

/// Why a row is no bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Problem {
    TooFewFields { found: usize, needed: usize },
    TooManyFields { found: usize, expected: usize },
    BadTime,
    BadNumber(Role),
    NoValue(Role),
    NotPositive(Role),
    NotFinite(Role),
    HighBelow(Role),
    LowAbove(Role),
    NegativeVolume,
    OtherValues,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewFields { found, needed } => {
                write!(f, "{found} fields where at least {needed} are needed")
            }
            Self::TooManyFields { found, expected } => {
                write!(f, "{found} fields where {expected} are expected")
            }
            Self::BadTime => write!(f, "the time cannot be read in this file's format"),
            Self::BadNumber(role) => write!(f, "{} is no number with a decimal point", role.name()),
            Self::NoValue(role) => write!(f, "{} is empty", role.name()),
            Self::NotPositive(role) => write!(f, "{} is not above zero", role.name()),
            Self::NotFinite(role) => write!(f, "{} is not finite", role.name()),
            Self::HighBelow(role) => write!(f, "high is below {}", role.name()),
            Self::LowAbove(role) => write!(f, "low is above {}", role.name()),
            Self::NegativeVolume => write!(f, "volume is negative"),
            Self::OtherValues => write!(f, "another bar with this time and other values came before"),
        }
    }
}

/// One bar as read.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(crate) struct Row {
    pub time: i64,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    /// NaN when unknown.
    pub volume: f64,
}

impl Row {
    /// True for a bar that can be: prices above zero and finite, high and low around open and close.
    #[inline(always)]
    pub(crate) fn is_possible(&self) -> bool {
        // Comparisons with NaN are false, so this also refuses NaN prices.
        (self.high >= self.open)
            & (self.high >= self.close)
            & (self.low <= self.open)
            & (self.low <= self.close)
            & (self.low > 0.0)
            & (self.high < f64::INFINITY)
            & !((self.volume < 0.0) | (self.volume == f64::INFINITY))
    }

    /// The first reason why [`Self::is_possible`] says no.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let prices = [
            (Role::Open, self.open),
            (Role::High, self.high),
            (Role::Low, self.low),
            (Role::Close, self.close),
        ];
        for (role, price) in prices {
            if price.is_nan() {
                return Some(Problem::NoValue(role));
            }
            if price.is_infinite() {
                return Some(Problem::NotFinite(role));
            }
            if price <= 0.0 {
                return Some(Problem::NotPositive(role));
            }
        }
        match () {
            () if self.high < self.low => Some(Problem::HighBelow(Role::Low)),
            () if self.high < self.open => Some(Problem::HighBelow(Role::Open)),
            () if self.high < self.close => Some(Problem::HighBelow(Role::Close)),
            () if self.low > self.open => Some(Problem::LowAbove(Role::Open)),
            () if self.low > self.close => Some(Problem::LowAbove(Role::Close)),
            () if self.volume < 0.0 => Some(Problem::NegativeVolume),
            () if self.volume.is_infinite() => Some(Problem::NotFinite(Role::Volume)),
            () => None,
        }
    }

    fn same_bits(&self, other: &Row) -> bool {
        let bits = |r: &Row| [r.open, r.high, r.low, r.close, r.volume].map(f64::to_bits);
        self.time == other.time && bits(self) == bits(other)
    }

    /// A bar of a view.
    pub(crate) fn at(view: &BarsView<'_>, i: usize) -> Self {
        Self {
            time: view.time[i],
            open: view.open[i],
            high: view.high[i],
            low: view.low[i],
            close: view.close[i],
            volume: view.volume[i],
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { time, open, high, low, close, volume } = self;
        match Timestamp::from_millisecond(*time) {
            Ok(instant) => write!(f, "{instant}")?,
            Err(_) => write!(f, "{time} ms")?,
        }
        write!(f, " o {open} h {high} l {low} c {close} v {volume}")
    }
}

/// Rows of one part of a file, in the file's order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub bars: OwnedBars,
    /// Lines the part spans, blank and bad ones too.
    pub lines: u64,
    /// Rows that are not blank.
    pub rows: u64,
    /// Lines count from 1 within the part.
    pub bad: RowIssues,
    pub missing_volume: u64,
    descends: bool,
    /// (row, its line) wherever the line is not the one after the row before.
    jumps: Vec<(usize, u64)>,
    next_line: u64,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        let mut bars = std::mem::take(&mut self.bars);
        bars.time.clear();
        for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close, &mut bars.volume] {
            column.clear();
        }
        let jumps = std::mem::take(&mut self.jumps);
        *self = Self { bars, jumps, ..Self::default() };
        self.jumps.clear();
    }

    /// Makes room for more rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.bars.time.reserve(rows);
        let bars = &mut self.bars;
        for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close, &mut bars.volume] {
            column.reserve(rows);
        }
    }

    /// Adds a good row that stands on `line` (from 1 within the part).
    pub(crate) fn push(&mut self, row: &Row, line: u64) {
        let mut block = Block::default();
        block.push(row);
        self.push_rows(&mut block, line);
    }

    /// Adds good rows that stand on the lines up to the present one, and leaves the block empty.
    pub(crate) fn push_block(&mut self, block: &mut Block) {
        self.push_rows(block, self.lines + 1 - block.count as u64);
    }

    /// Adds good rows that stand on the lines before the present one, and leaves the block empty.
    pub(crate) fn push_block_before(&mut self, block: &mut Block) {
        self.push_rows(block, self.lines - block.count as u64);
    }

    fn push_rows(&mut self, block: &mut Block, first_line: u64) {
        let count = std::mem::take(&mut block.count);
        let time = &block.time[..count];
        let [open, high, low, close, volume] = block.numbers.each_ref().map(|column| &column[..count]);
        let Some(first) = time.first() else { return };
        if first_line != self.next_line {
            self.jumps.push((self.bars.time.len(), first_line));
        }
        self.next_line = first_line + count as u64;
        self.descends |= self.bars.time.last().is_some_and(|t| *t >= *first);
        self.descends |= time.windows(2).any(|w| w[0] >= w[1]);
        self.missing_volume += volume.iter().filter(|v| v.is_nan()).count() as u64;
        self.rows += count as u64;
        let bars = BarsView { time, open, high, low, close, volume };
        // Appending to vectors cannot fail.
        let _ = self.bars.append(&bars);
    }

    pub(crate) fn reject(&mut self, line: u64, problem: Problem, text: impl FnOnce() -> String) {
        self.rows += 1;
        self.bad.add(line, || RowSample { line, reason: problem.to_string(), text: text() });
    }

    fn line_of(&self, row: usize) -> u64 {
        let jump = self.jumps.partition_point(|(r, _)| *r <= row);
        let (first, line) = self.jumps[jump - 1];
        line + (row - first) as u64
    }
}

/// A few rows on consecutive lines, column by column.
#[derive(Debug)]
pub(crate) struct Block {
    count: usize,
    time: [i64; Self::ROWS],
    /// Open, high, low, close, volume.
    numbers: [[f64; Self::ROWS]; 5],
}

impl Default for Block {
    fn default() -> Self {
        Self { count: 0, time: [0; Self::ROWS], numbers: [[0.0; Self::ROWS]; 5] }
    }
}

impl Block {
    const ROWS: usize = 32;

    /// Adds a row; true when the block is full.
    #[inline(always)]
    pub(crate) fn push(&mut self, row: &Row) -> bool {
        let at = self.count % Self::ROWS;
        self.time[at] = row.time;
        let numbers = [row.open, row.high, row.low, row.close, row.volume];
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column[at] = number;
        }
        self.count = at + 1;
        self.count == Self::ROWS
    }
}

/// Takes bars in the order in which they are found.
pub(crate) trait Sink {
    /// Appends bars. Errors when they cannot be written.
    fn append(&mut self, bars: &BarsView<'_>) -> io::Result<()>;
    /// Turns the order of all bars round.
    fn reverse(&mut self) -> io::Result<()>;
    /// Bars so far.
    fn rows(&self) -> u64;
    /// Times of some bars.
    fn times(&mut self, range: std::ops::Range<u64>) -> io::Result<Vec<i64>>;
    /// A copy of some bars.
    fn block(&mut self, range: std::ops::Range<u64>) -> io::Result<OwnedBars>;
    /// All bars, leaving none.
    fn take(&mut self) -> io::Result<OwnedBars>;
}

impl Sink for OwnedBars {
    fn append(&mut self, bars: &BarsView<'_>) -> io::Result<()> {
        self.time.extend_from_slice(bars.time);
        self.open.extend_from_slice(bars.open);
        self.high.extend_from_slice(bars.high);
        self.low.extend_from_slice(bars.low);
        self.close.extend_from_slice(bars.close);
        self.volume.extend_from_slice(bars.volume);
        Ok(())
    }

    fn reverse(&mut self) -> io::Result<()> {
        self.time.reverse();
        for column in [&mut self.open, &mut self.high, &mut self.low, &mut self.close, &mut self.volume] {
            column.reverse();
        }
        Ok(())
    }

    fn rows(&self) -> u64 {
        self.time.len() as u64
    }

    fn times(&mut self, range: std::ops::Range<u64>) -> io::Result<Vec<i64>> {
        Ok(self.time[range.start as usize..range.end as usize].to_vec())
    }

    fn block(&mut self, range: std::ops::Range<u64>) -> io::Result<OwnedBars> {
        Ok(self.view().slice(range.start as usize..range.end as usize).to_owned())
    }

    fn take(&mut self) -> io::Result<OwnedBars> {
        Ok(std::mem::take(self))
    }
}

/// Puts the parts of a file together in its order and passes kept rows on.
pub(crate) struct Collector<'a, S: Sink> {
    pub sink: &'a mut S,
    /// Lines of the file before the next part.
    pub line_base: u64,
    pub rows: u64,
    pub bars: u64,
    pub bad: RowIssues,
    pub duplicates: RowIssues,
    pub out_of_order: RowIssues,
    pub missing_volume: u64,
    pub reversed: bool,
    pub sorted: bool,
    sort: bool,
    last: Option<Row>,
    ascended: bool,
    /// Line of every kept row, while sorting may need it.
    lines: Vec<u64>,
}

impl<'a, S: Sink> Collector<'a, S> {
    pub(crate) fn new(sink: &'a mut S, line_base: u64, sort: bool) -> Self {
        Self {
            sink,
            line_base,
            rows: 0,
            bars: 0,
            bad: RowIssues::default(),
            duplicates: RowIssues::default(),
            out_of_order: RowIssues::default(),
            missing_volume: 0,
            reversed: false,
            sorted: false,
            sort,
            last: None,
            ascended: false,
            lines: Vec::new(),
        }
    }

    /// Adds the next part.
    pub(crate) fn accept(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.bad.absorb(std::mem::take(&mut batch.bad), self.line_base);
        self.rows += batch.rows;
        self.missing_volume += batch.missing_volume;
        let first = batch.bars.time.first().copied();
        let follows = first.is_some_and(|t| self.last.is_none_or(|last| last.time < t));
        if follows && !batch.descends && !self.is_mixed_without_sort() {
            self.accept_ascending(batch)?;
        } else {
            self.accept_row_by_row(batch)?;
        }
        self.line_base += batch.lines;
        Ok(())
    }

    fn accept_ascending(&mut self, batch: &Batch) -> io::Result<()> {
        let view = batch.bars.view();
        self.ascended |= self.last.is_some() || view.len() > 1;
        self.last = Some(Row::at(&view, view.len() - 1));
        self.keep(batch, 0..view.len())
    }

    fn accept_row_by_row(&mut self, batch: &Batch) -> io::Result<()> {
        let view = batch.bars.view();
        let mut run = 0;
        for i in 0..view.len() {
            let row = Row::at(&view, i);
            if self.admit(&row, self.line_base + batch.line_of(i)) {
                self.last = Some(row);
            } else {
                self.keep(batch, run..i)?;
                run = i + 1;
            }
        }
        self.keep(batch, run..view.len())
    }

    /// Whether a row is kept; counts what it is if not, and which way the file runs.
    fn admit(&mut self, row: &Row, line: u64) -> bool {
        let Some(last) = self.last else { return true };
        let sample = |reason: String| RowSample { line, reason, text: row.to_string() };
        if row.time > last.time {
            self.ascended = true;
            return true;
        }
        if row.time < last.time {
            self.out_of_order.add(line, || sample("earlier than the row before".into()));
            return true;
        }
        if row.same_bits(&last) {
            self.duplicates.add(line, || sample("same as the row before".into()));
        } else {
            self.bad.add(line, || sample(Problem::OtherValues.to_string()));
        }
        self.missing_volume -= u64::from(row.volume.is_nan());
        false
    }

    fn is_mixed_without_sort(&self) -> bool {
        self.ascended && self.out_of_order.count > 0 && !self.sort
    }

    fn keep(&mut self, batch: &Batch, range: std::ops::Range<usize>) -> io::Result<()> {
        if range.is_empty() || self.is_mixed_without_sort() {
            return Ok(());
        }
        if self.sort {
            self.lines.extend(range.clone().map(|i| self.line_base + batch.line_of(i)));
        }
        self.bars += range.len() as u64;
        self.sink.append(&batch.bars.view().slice(range))
    }

    /// Brings the rows into ascending order if they are not. False when the file is in disorder and
    /// sorting was not asked for.
    pub(crate) fn arrange(&mut self) -> io::Result<bool> {
        if self.out_of_order.count == 0 {
            return Ok(true);
        }
        if !self.ascended {
            self.out_of_order = RowIssues::default();
            self.reversed = true;
            return self.sink.reverse().map(|()| true);
        }
        if self.sort {
            self.sorted = true;
            return self.put_in_order().map(|()| true);
        }
        Ok(false)
    }

    fn put_in_order(&mut self) -> io::Result<()> {
        let bars = self.sink.take()?;
        let view = bars.view();
        let mut order: Vec<usize> = (0..view.len()).collect();
        order.sort_by_key(|i| view.time[*i]);
        let mut sorted = OwnedBars::default();
        self.last = None;
        for i in order {
            let row = Row::at(&view, i);
            if self.admit(&row, self.lines[i]) {
                sorted.push(row.time, row.open, row.high, row.low, row.close, row.volume);
                self.last = Some(row);
            }
        }
        self.bars = sorted.time.len() as u64;
        self.sink.append(&sorted.view())
    }
}
