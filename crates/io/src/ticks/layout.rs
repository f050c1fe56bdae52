//! Which column of a file of trades is what.

use super::TickError;
use crate::{
    files::{LineFile, SizeBounds},
    separated::{Field, whole},
};

/// What a time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeStep {
    /// Seconds since the epoch.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl TimeStep {
    /// The step that makes a time one of this century.
    fn of(time: i64) -> Self {
        match time.unsigned_abs() {
            0..100_000_000_000 => Self::Seconds,
            100_000_000_000..100_000_000_000_000 => Self::Millis,
            100_000_000_000_000..100_000_000_000_000_000 => Self::Micros,
            _ => Self::Nanos,
        }
    }

    /// Milliseconds since the epoch.
    #[inline(always)]
    pub(super) fn millis(self, time: i64) -> i64 {
        match self {
            Self::Seconds => time.saturating_mul(1_000),
            Self::Millis => time,
            Self::Micros => time.div_euclid(1_000),
            Self::Nanos => time.div_euclid(1_000_000),
        }
    }
}

/// Columns of a file of trades, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickLayout {
    /// Where the first trade begins, past the head line.
    pub first_byte: u64,
    /// Between fields.
    pub delimiter: u8,
    /// Fields in each line.
    pub fields: usize,
    /// Time, a whole number since the epoch.
    pub time: usize,
    /// What the time counts.
    pub step: TimeStep,
    /// Symbol; none in a file of one symbol.
    pub symbol: Option<usize>,
    /// Price.
    pub price: usize,
    /// Quantity.
    pub quantity: Option<usize>,
}

const TIME: &[&str] = &[
    "ts_ms",
    "ts",
    "time",
    "timestamp",
    "t",
    "trade_time",
    "transact_time",
    "timestamp_ms",
    "epoch",
    "date",
];
const SYMBOL: &[&str] = &["symbol", "s", "ticker", "pair", "instrument", "market", "product_id"];
const PRICE: &[&str] = &["price", "p", "px", "trade_price", "last"];
const QUANTITY: &[&str] = &["qty", "quantity", "size", "amount", "volume", "vol", "q", "base_qty"];

impl TickLayout {
    /// Reads the head line and the first trade.
    ///
    /// # Errors
    /// When there is no head line with names for time and price, or times are no whole numbers.
    pub fn detect(file: &LineFile) -> Result<Self, TickError> {
        let wrong = |problem: String| TickError::Layout { path: file.path().to_owned(), problem };
        let head = file.first_line()?;
        let text = String::from_utf8_lossy(&head).to_lowercase();
        let delimiter = [b',', b';', b'\t', b'|']
            .into_iter()
            .max_by_key(|d| (head.iter().filter(|b| *b == d).count(), *d == b','));
        let delimiter = delimiter.unwrap_or(b',');
        let names: Vec<&str> =
            text.trim_end().split(char::from(delimiter)).map(|n| n.trim().trim_matches('"')).collect();
        let column = |known: &[&str]| names.iter().position(|n| known.contains(n));
        let missing = |what: &str, known: &[&str]| {
            wrong(format!(
                "the head line `{}` has no column for the {what} (one of {}): name the columns",
                text.trim_end(),
                known.join(", ")
            ))
        };
        let time = column(TIME).ok_or_else(|| missing("time", TIME))?;
        let price = column(PRICE).ok_or_else(|| missing("price", PRICE))?;
        let first_byte = head.len() as u64;
        let mut blocks = file.blocks(first_byte..file.bytes(), SizeBounds { least: 4096, most: 4096 });
        let block = blocks.next_block()?.map(|b| b.bytes().to_vec()).unwrap_or_default();
        let first = block.split(|b| *b == b'\n').next().unwrap_or_default();
        let first = first.strip_suffix(b"\r").unwrap_or(first);
        let field = first.split(|b| *b == delimiter).nth(time).unwrap_or_default();
        let step = match whole(Field::of(field)) {
            Some(time) => TimeStep::of(time),
            None if first.is_empty() => TimeStep::Millis,
            None => {
                let text = String::from_utf8_lossy(field).into_owned();
                return Err(wrong(format!("the time `{text}` is no whole number since the epoch")));
            }
        };
        let (symbol, quantity) = (column(SYMBOL), column(QUANTITY));
        Ok(Self { first_byte, delimiter, fields: names.len(), time, step, symbol, price, quantity })
    }
}
