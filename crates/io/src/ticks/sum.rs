//! Trades to bars, piece by piece, and the pieces joined.

use super::{SymbolBars, TickBars, TickLayout};
use crate::separated::{Field, Row, Rows, decimal, whole};
use springtide_domain::{
    OwnedBars,
    resample::{Period, Periods},
};
use std::collections::{BTreeMap, HashMap};

/// A bar in the making.
#[derive(Clone, Copy, Debug)]
struct Bar {
    period: Period,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    trades: u64,
}

/// A symbol's bar in the making, and what its last trade's time was.
#[derive(Clone, Copy, Debug)]
struct Current {
    bar: Bar,
    first: i64,
    last: i64,
}

/// The bars of one piece.
#[derive(Debug)]
pub(super) struct Piece {
    names: Names,
    current: Vec<Current>,
    done: Vec<(u32, Bar)>,
    periods: Periods,
    rows: u64,
    out_of_order: u64,
}

impl Piece {
    pub(super) fn new(periods: Periods) -> Self {
        Self { names: Names::new(), current: Vec::new(), done: Vec::new(), periods, rows: 0, out_of_order: 0 }
    }

    /// Adds the trades of a block; on error the line within it, from 1, and what is wrong.
    pub(super) fn add(&mut self, rows: Rows<'_>, layout: &TickLayout) -> Result<(), (usize, String)> {
        for (number, row) in rows.iter().enumerate() {
            if self.row(row, layout).is_none() {
                return Err((number + 1, complaint(row, layout)));
            }
        }
        self.rows += rows.len() as u64;
        Ok(())
    }

    #[inline(always)]
    fn row(&mut self, row: Row<'_>, layout: &TickLayout) -> Option<()> {
        let time = time_ms(row, layout)?;
        let price = decimal(row.field(layout.price)).filter(|p| *p > 0.0)?;
        let quantity = match layout.quantity {
            Some(column) => decimal(row.field(column)).filter(|q| *q >= 0.0)?,
            None => f64::NAN,
        };
        let id = match layout.symbol {
            Some(column) => self.names.id(row.field(column)),
            None => self.names.only(),
        };
        match self.current.get_mut(id as usize) {
            Some(current) if current.bar.period.contains(time) => {
                self.out_of_order += u64::from(time < current.last);
                current.last = time;
                current.bar.trade(price, quantity);
            }
            _ => self.begin(id, time, price, quantity),
        }
        Some(())
    }

    /// A trade outside its symbol's current period.
    #[cold]
    fn begin(&mut self, id: u32, time: i64, price: f64, quantity: f64) {
        let period = self.periods.at(time);
        let bar =
            Bar { period, open: price, high: price, low: price, close: price, volume: quantity, trades: 1 };
        match self.current.get_mut(id as usize) {
            Some(current) => {
                self.out_of_order += u64::from(time < current.last);
                self.done.push((id, current.bar));
                (current.bar, current.last) = (bar, time);
            }
            // Ids are given in order, each with its first trade.
            None => self.current.push(Current { bar, first: time, last: time }),
        }
    }

    /// No more trades.
    pub(super) fn close(mut self) -> Self {
        self.done.extend((0u32..).zip(self.current.iter().map(|c| c.bar)));
        self
    }
}

impl Bar {
    #[inline(always)]
    fn trade(&mut self, price: f64, quantity: f64) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
        self.volume += quantity;
        self.trades += 1;
    }

    /// Joins the trades of the same period that come later in the file.
    fn join(&mut self, later: &Self) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume += later.volume;
        self.trades += later.trades;
    }
}

/// Times past this many milliseconds, either way, are none of a trade; the calendar ends before.
const TIME_MAX_MS: u64 = 8_000_000_000_000_000;

#[inline(always)]
fn time_ms(row: Row<'_>, layout: &TickLayout) -> Option<i64> {
    layout.unit.to_ms(whole(row.field(layout.time))?).filter(|ms| ms.unsigned_abs() < TIME_MAX_MS)
}

fn complaint(row: Row<'_>, layout: &TickLayout) -> String {
    let text = |column: usize| String::from_utf8_lossy(row.field(column).bytes()).trim_end().to_owned();
    if time_ms(row, layout).is_none() {
        return format!("the time `{}` is no whole number of {}", text(layout.time), layout.unit.name());
    }
    if decimal(row.field(layout.price)).is_none_or(|p| p <= 0.0) {
        return format!("the price `{}` is no number above zero", text(layout.price));
    }
    let quantity = layout.quantity.map(text).unwrap_or_default();
    format!("the quantity `{quantity}` is no number from zero up")
}

/// Symbols by their bytes, numbered as they come. Most are short: up to sixteen bytes are one number.
#[derive(Debug)]
struct Names {
    /// Keys and ids plus one, zero being empty; a power of two, at most half full.
    slots: Vec<(u128, u32)>,
    long: HashMap<Vec<u8>, u32>,
    names: Vec<Vec<u8>>,
}

impl Names {
    fn new() -> Self {
        Self { slots: vec![(0, 0); 256], long: HashMap::new(), names: Vec::new() }
    }

    /// The one symbol of a file without a column for it.
    fn only(&mut self) -> u32 {
        if self.names.is_empty() {
            self.names.push(Vec::new());
        }
        0
    }

    #[inline(always)]
    fn id(&mut self, field: Field<'_>) -> u32 {
        let Some(key) = field.key() else { return self.long_id(field.bytes()) };
        let mask = self.slots.len() - 1;
        let mut at = spread(key) as usize & mask;
        loop {
            match self.slots[at] {
                (found, id) if id > 0 && found == key => return id - 1,
                (_, 0) => return self.insert(key, field.bytes()),
                _ => at = (at + 1) & mask,
            }
        }
    }

    #[cold]
    fn insert(&mut self, key: u128, name: &[u8]) -> u32 {
        let id = self.names.len() as u32;
        self.names.push(name.to_vec());
        if self.names.len() * 2 > self.slots.len() {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![(0, 0); old.len() * 2];
            old.into_iter().filter(|slot| slot.1 > 0).for_each(|slot| self.place(slot));
        }
        self.place((key, id + 1));
        id
    }

    fn place(&mut self, slot: (u128, u32)) {
        let mask = self.slots.len() - 1;
        let mut at = spread(slot.0) as usize & mask;
        while self.slots[at].1 > 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    #[cold]
    fn long_id(&mut self, name: &[u8]) -> u32 {
        if let Some(id) = self.long.get(name) {
            return *id;
        }
        let id = self.names.len() as u32;
        self.names.push(name.to_vec());
        self.long.insert(name.to_vec(), id);
        id
    }
}

/// Mixes a key's bits (the multiplier is the golden ratio's).
#[inline(always)]
fn spread(key: u128) -> u64 {
    let folded = (key as u64) ^ ((key >> 64) as u64).rotate_left(32);
    folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
}

/// Bars by symbol and period.
#[derive(Debug, Default)]
pub(super) struct Joined {
    symbols: BTreeMap<Vec<u8>, Symbol>,
    rows: u64,
    out_of_order: u64,
}

#[derive(Debug)]
struct Symbol {
    bars: BTreeMap<i64, Bar>,
    last: i64,
}

impl Joined {
    /// Adds the next piece of the file.
    pub(super) fn add(&mut self, piece: Piece) {
        self.rows += piece.rows;
        self.out_of_order += piece.out_of_order;
        for (name, current) in piece.names.names.iter().zip(&piece.current) {
            let fresh = || Symbol { bars: BTreeMap::new(), last: i64::MIN };
            let symbol = self.symbols.entry(name.clone()).or_insert_with(fresh);
            self.out_of_order += u64::from(current.first < symbol.last);
            symbol.last = current.last;
        }
        for (id, bar) in piece.done {
            // The entry was made above.
            if let Some(symbol) = self.symbols.get_mut(&piece.names.names[id as usize]) {
                let joined = symbol.bars.entry(bar.period.start_ms);
                joined.and_modify(|earlier| earlier.join(&bar)).or_insert(bar);
            }
        }
    }

    pub(super) fn finish(self, bytes: u64) -> TickBars {
        let symbol = |(name, symbol): (Vec<u8>, Symbol)| {
            let mut out = SymbolBars {
                symbol: String::from_utf8_lossy(&name).into_owned(),
                bars: OwnedBars::default(),
                trades: Vec::with_capacity(symbol.bars.len()),
            };
            for (start, bar) in symbol.bars {
                out.bars.push(start, bar.open, bar.high, bar.low, bar.close, bar.volume);
                out.trades.push(bar.trades);
            }
            out
        };
        TickBars {
            symbols: self.symbols.into_iter().map(symbol).collect(),
            rows: self.rows,
            out_of_order: self.out_of_order,
            bytes,
        }
    }
}
