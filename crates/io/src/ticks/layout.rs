//! Which column of a file of trades is what.

use super::TickError;
use crate::{
    csv::EpochUnit,
    files::{LineFile, SizeBounds},
    report::excerpt,
    separated::{Field, whole},
};
use std::ops::Range;

/// Columns of a file of trades, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickLayout {
    /// Where the first trade begins, past the byte order mark and the head line.
    pub first_byte: u64,
    /// Whether there is a head line.
    pub head_line: bool,
    /// Between fields.
    pub delimiter: u8,
    /// Of the fields in each line.
    pub names: Vec<String>,
    /// Time, a whole number since the epoch.
    pub time: usize,
    /// What the time counts.
    pub unit: EpochUnit,
    /// Times that trades of this unit can have, epoch milliseconds.
    pub times: Range<i64>,
    /// Symbol; none in a file of one symbol.
    pub symbol: Option<usize>,
    /// Price.
    pub price: usize,
    /// Quantity.
    pub quantity: Option<usize>,
}

// Where a file has several columns of a kind, the name that stands first here is taken.
const TIME: &[&str] = &[
    "ts_ms",
    "timestamp_ms",
    "ts",
    "timestamp",
    "time",
    "trade_time",
    "transact_time",
    "t",
    "epoch",
    "date",
];
const SYMBOL: &[&str] = &["symbol", "ticker", "pair", "instrument", "product_id", "market", "s"];
const PRICE: &[&str] = &["price", "trade_price", "px", "p", "last"];
/// Quantities of what is traded stand before what may be amounts of money.
const QUANTITY: &[&str] = &["qty", "quantity", "size", "base_qty", "volume", "vol", "amount", "q"];

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl TickLayout {
    /// Reads the head line and the first trades; of a file without a head line the caller names the columns.
    ///
    /// # Errors
    /// When no column has a name for time or price, or times are no whole numbers.
    pub fn detect(file: &LineFile, columns: Option<&[String]>) -> Result<Self, TickError> {
        let wrong = |problem: String| TickError::Layout { path: file.path().to_owned(), problem };
        let line = file.first_line()?;
        let head = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line);
        let delimiter = delimiter_of(head);
        let fields = names_in(head, delimiter);
        let names: Vec<String> = match columns {
            Some(given) => given.iter().map(|name| name.trim().to_owned()).collect(),
            None => fields.clone(),
        };
        if names.len() != fields.len() {
            return Err(wrong(format!(
                "{} columns were named, and the first line has {} fields: `{}`",
                names.len(),
                fields.len(),
                excerpt(head)
            )));
        }
        let column = |known: &[&str]| {
            known.iter().find_map(|known| names.iter().position(|name| name.eq_ignore_ascii_case(known)))
        };
        let missing = |what: &str, known: &[&str]| {
            let place = match columns {
                Some(given) => format!("`{}` names", given.join(",")),
                None => format!("the head line `{}` has", excerpt(head)),
            };
            wrong(format!(
                "{place} no column for the {what} (one of {}): pass --columns with all names from left to right",
                known.join(", ")
            ))
        };
        let time = column(TIME).ok_or_else(|| missing("time", TIME))?;
        let price = column(PRICE).ok_or_else(|| missing("price", PRICE))?;
        // Columns may be named for a file that has a head line, too: it says the same.
        let head_line = [time, price].iter().all(|at| fields[*at].eq_ignore_ascii_case(&names[*at]));
        let first_byte = if head_line { line.len() } else { line.len() - head.len() } as u64;
        let unit = unit_of(file, first_byte, u64::from(head_line), |line| {
            line.split(|b| *b == delimiter).nth(time).unwrap_or_default()
        })?;
        let (symbol, quantity, times) = (column(SYMBOL), column(QUANTITY), unit.range_ms());
        Ok(Self { first_byte, head_line, delimiter, names, time, unit, times, symbol, price, quantity })
    }

    /// (what it is, name) of the columns read, and the names of the others.
    pub(super) fn describe(&self) -> (Vec<(String, String)>, Vec<String>) {
        let read = [
            ("time", Some(self.time)),
            ("symbol", self.symbol),
            ("price", Some(self.price)),
            ("quantity", self.quantity),
        ];
        let used =
            read.iter().filter_map(|(what, at)| Some(((*what).to_owned(), self.names[(*at)?].clone())));
        let is_read = |at: usize| read.iter().any(|(_, used)| *used == Some(at));
        let ignored = (0..).zip(&self.names).filter(|(at, name)| !is_read(*at) && !name.is_empty());
        (used.collect(), ignored.map(|(_, name)| name.clone()).collect())
    }
}

/// The separator that the line has most of.
fn delimiter_of(line: &[u8]) -> u8 {
    let count = |d: &u8| (line.iter().filter(|b| *b == d).count(), *d == b',');
    [b',', b';', b'\t', b'|'].into_iter().max_by_key(count).unwrap_or(b',')
}

fn names_in(head: &[u8], delimiter: u8) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    text.trim_end_matches(['\r', '\n'])
        .split(char::from(delimiter))
        .map(|name| name.trim().trim_matches('"').to_owned())
        .collect()
}

/// What the first time counts that is a whole number. Lines before it that are no trades are refused, or left out,
/// when they are read.
fn unit_of(
    file: &LineFile,
    first_byte: u64,
    lines_before: u64,
    time: impl Fn(&[u8]) -> &[u8],
) -> Result<EpochUnit, TickError> {
    let mut blocks = file.blocks(first_byte..file.bytes(), SizeBounds { least: 4096, most: 4096 });
    let block = blocks.next_block()?.map(|b| b.bytes().to_vec()).unwrap_or_default();
    let lines =
        || (lines_before + 1..).zip(block.split(|b| *b == b'\n')).filter(|(_, l)| !l.trim_ascii().is_empty());
    if let Some(count) = lines().find_map(|(_, line)| whole(Field::of(time(line)))) {
        return Ok(EpochUnit::of(count.unsigned_abs() as f64));
    }
    match lines().next() {
        None => Ok(EpochUnit::Millis),
        Some((line, text)) => {
            let problem = format!("the time `{}` is no whole number since the epoch", excerpt(time(text)));
            Err(TickError::Line { path: file.path().to_owned(), line, problem })
        }
    }
}
