//! Which column of a file of trades is what.

use super::TickError;
use crate::{
    csv::EpochUnit,
    files::{LineFile, SizeBounds},
    separated::{Field, whole},
};

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
    pub unit: EpochUnit,
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
    /// Reads the head line and the first trade; of a file without a head line the caller names the columns.
    ///
    /// # Errors
    /// When no column has a name for time or price, or times are no whole numbers.
    pub fn detect(file: &LineFile, columns: Option<&[String]>) -> Result<Self, TickError> {
        let wrong = |problem: String| TickError::Layout { path: file.path().to_owned(), problem };
        let head = file.first_line()?;
        let text = String::from_utf8_lossy(&head).to_lowercase();
        let delimiter = [b',', b';', b'\t', b'|']
            .into_iter()
            .max_by_key(|d| (head.iter().filter(|b| *b == d).count(), *d == b','));
        let delimiter = delimiter.unwrap_or(b',');
        let fields: Vec<&str> =
            text.trim_end().split(char::from(delimiter)).map(|n| n.trim().trim_matches('"')).collect();
        let given: Option<Vec<String>> =
            columns.map(|names| names.iter().map(|n| n.trim().to_lowercase()).collect());
        let names: Vec<&str> = match &given {
            Some(given) => given.iter().map(String::as_str).collect(),
            None => fields.clone(),
        };
        if names.len() != fields.len() {
            return Err(wrong(format!(
                "{} columns were named, and the first line has {} fields: `{}`",
                names.len(),
                fields.len(),
                text.trim_end()
            )));
        }
        let column = |known: &[&str]| names.iter().position(|n| known.contains(n));
        let missing = |what: &str, known: &[&str]| {
            let place = match &given {
                Some(given) => format!("`{}` names", given.join(",")),
                None => format!("the head line `{}` has", text.trim_end()),
            };
            wrong(format!(
                "{place} no column for the {what} (one of {}): pass --columns with all names from left to right",
                known.join(", ")
            ))
        };
        let time = column(TIME).ok_or_else(|| missing("time", TIME))?;
        let price = column(PRICE).ok_or_else(|| missing("price", PRICE))?;
        // Columns may be named for a file that has a head line, too: its time is no number.
        let headless = given.is_some() && fields[time].parse::<i64>().is_ok();
        let first_byte = if headless { 0 } else { head.len() as u64 };
        let mut blocks = file.blocks(first_byte..file.bytes(), SizeBounds { least: 4096, most: 4096 });
        let block = blocks.next_block()?.map(|b| b.bytes().to_vec()).unwrap_or_default();
        let first = block.split(|b| *b == b'\n').next().unwrap_or_default();
        let first = first.strip_suffix(b"\r").unwrap_or(first);
        let field = first.split(|b| *b == delimiter).nth(time).unwrap_or_default();
        let unit = match whole(Field::of(field)) {
            Some(time) => EpochUnit::of(time.unsigned_abs() as f64),
            None if first.is_empty() => EpochUnit::Millis,
            None => {
                let text = String::from_utf8_lossy(field).into_owned();
                return Err(wrong(format!("the time `{text}` is no whole number since the epoch")));
            }
        };
        let (symbol, quantity) = (column(SYMBOL), column(QUANTITY));
        Ok(Self { first_byte, delimiter, fields: names.len(), time, unit, symbol, price, quantity })
    }
}
