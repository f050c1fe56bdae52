//! Trades to bars, piece by piece, and the pieces joined.

use super::{SymbolBars, TickBars, TickLayout};
use crate::{
    report::{RowIssues, RowSample, excerpt},
    separated::{Field, Row, Rows, decimal, whole},
};
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
    /// Where the latest of the symbol's periods ends.
    furthest: i64,
    /// The bar began before `furthest`: an earlier part of it may be done.
    returned: bool,
}

/// The bars of one piece.
#[derive(Debug)]
pub(super) struct Piece {
    names: Names,
    current: Vec<Current>,
    /// One bar for each period of a symbol.
    done: Vec<(u32, Bar)>,
    /// Where the first `found` of them stand, by symbol and period. Asked for, and so filled, only when a symbol
    /// returns to an earlier period.
    places: HashMap<(u32, i64), usize>,
    found: usize,
    periods: Periods,
    /// Lines so far, blank and refused ones too.
    lines: u64,
    rows: u64,
    out_of_order: u64,
    skip_bad: bool,
    /// Lines left out, numbered within the piece.
    bad: RowIssues,
}

/// A line that is no trade and was not to be left out.
#[derive(Debug)]
pub(super) struct Refused {
    /// Within the piece, from 1.
    pub(super) line: u64,
    pub(super) problem: String,
}

impl Piece {
    pub(super) fn new(periods: Periods, skip_bad: bool) -> Self {
        Self {
            names: Names::new(),
            current: Vec::new(),
            done: Vec::new(),
            places: HashMap::new(),
            found: 0,
            periods,
            lines: 0,
            rows: 0,
            out_of_order: 0,
            skip_bad,
            bad: RowIssues::default(),
        }
    }

    /// Adds the trades of regular lines.
    pub(super) fn add(&mut self, rows: Rows<'_>, layout: &TickLayout) -> Result<(), Refused> {
        let bad_before = self.bad.count;
        for (number, row) in rows.iter().enumerate() {
            if self.row(row, layout).is_none() {
                let line = self.lines + number as u64 + 1;
                self.refuse(line, row.bytes(), || complaint(row, layout))?;
            }
        }
        self.lines += rows.len() as u64;
        self.rows += rows.len() as u64 - (self.bad.count - bad_before);
        Ok(())
    }

    /// Passes over a blank line.
    pub(super) fn add_blank(&mut self) {
        self.lines += 1;
    }

    /// A line that has not the fields of a trade.
    pub(super) fn add_misshapen(&mut self, text: &[u8], problem: String) -> Result<(), Refused> {
        self.lines += 1;
        self.refuse(self.lines, text, || problem)
    }

    #[cold]
    fn refuse(&mut self, line: u64, text: &[u8], problem: impl FnOnce() -> String) -> Result<(), Refused> {
        if !self.skip_bad {
            return Err(Refused { line, problem: problem() });
        }
        self.bad.add(line, || RowSample { line, reason: problem(), text: excerpt(text) });
        Ok(())
    }

    #[inline(always)]
    fn row(&mut self, row: Row<'_>, layout: &TickLayout) -> Option<()> {
        let time = whole(row.field(layout.time))?;
        let time = layout.unit.to_ms(time).filter(|ms| layout.times.contains(ms))?;
        let price = decimal(row.field(layout.price)).filter(|p| is_price(*p))?;
        let quantity = match layout.quantity {
            Some(column) => decimal(row.field(column)).filter(|q| is_quantity(*q))?,
            None => f64::NAN,
        };
        let id = match layout.symbol {
            Some(column) if column + 1 == layout.names.len() => {
                self.names.id(row.field(column).without_return())
            }
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
        let Some(current) = self.current.get_mut(id as usize) else {
            // Ids are given in order, each with its first trade.
            let furthest = period.end_ms;
            self.current.push(Current { bar, first: time, last: time, furthest, returned: false });
            return;
        };
        self.out_of_order += u64::from(time < current.last);
        let before = *current;
        current.bar = bar;
        current.last = time;
        current.furthest = before.furthest.max(period.end_ms);
        current.returned = period.start_ms < before.furthest;
        self.put(id, before);
    }

    /// Puts a bar with those that are done; when its symbol has been there before, with the one of its period.
    fn put(&mut self, id: u32, current: Current) {
        let key = |(id, bar): &(u32, Bar)| (*id, bar.period.start_ms);
        if current.returned {
            let unknown = self.done[self.found..].iter().map(key).zip(self.found..);
            self.places.extend(unknown);
            self.found = self.done.len();
            if let Some(at) = self.places.get(&key(&(id, current.bar))) {
                self.done[*at].1.join(&current.bar);
                return;
            }
        }
        self.done.push((id, current.bar));
    }

    /// No more trades.
    pub(super) fn close(mut self) -> Self {
        for (id, current) in (0u32..).zip(self.current.clone()) {
            self.put(id, current);
        }
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

#[inline(always)]
fn is_price(price: f64) -> bool {
    price > 0.0 && price < f64::INFINITY
}

#[inline(always)]
fn is_quantity(quantity: f64) -> bool {
    (0.0..f64::INFINITY).contains(&quantity)
}

fn complaint(row: Row<'_>, layout: &TickLayout) -> String {
    let text = |column: usize| excerpt(row.field(column).bytes());
    let (time, unit) = (text(layout.time), layout.unit.name());
    let Some(count) = whole(row.field(layout.time)) else {
        return format!("the time `{time}` is no whole number of {unit}");
    };
    if !layout.unit.to_ms(count).is_some_and(|ms| layout.times.contains(&ms)) {
        let first = if layout.times.start == 0 { 1970 } else { 1973 };
        return format!(
            "the time `{time}` lies outside the years {first} to 2199 in {unit}, which the file begins with: its unit seems to differ"
        );
    }
    if !decimal(row.field(layout.price)).is_some_and(is_price) {
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
    lines: u64,
    rows: u64,
    out_of_order: u64,
    bad: RowIssues,
}

#[derive(Debug)]
struct Symbol {
    bars: BTreeMap<i64, Bar>,
    last: i64,
}

impl Joined {
    /// Nothing yet, so many lines into the file.
    pub(super) fn after(lines: u64) -> Self {
        Self { lines, ..Self::default() }
    }

    /// Adds the next piece of the file.
    pub(super) fn add(&mut self, piece: Piece) {
        self.bad.absorb(piece.bad, self.lines);
        self.lines += piece.lines;
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
            bad: self.bad,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{csv::EpochUnit, separated::FieldIndex};
    use springtide_domain::{Timeframe, resample::Session};

    #[test]
    fn a_symbol_that_returns_to_a_period_goes_on_with_its_bar() {
        let layout = TickLayout {
            first_byte: 0,
            head_line: false,
            delimiter: b',',
            names: vec!["time".into(), "price".into(), "qty".into()],
            time: 0,
            unit: EpochUnit::Seconds,
            times: EpochUnit::Seconds.range_ms(),
            symbol: None,
            price: 1,
            quantity: Some(2),
        };
        let periods = Periods::new(Timeframe::Minutes(1), jiff::tz::TimeZone::UTC, Session::ALWAYS);
        let mut piece = Piece::new(periods, false);
        // Three minutes in order, then over and over the second, the first and a fourth that is nowhere yet.
        let times = [0, 60, 120].into_iter().chain([70, 10, 200].into_iter().cycle().take(3_000));
        let text: String = times.zip(1..).map(|(time, price)| format!("{time},{price},1\n")).collect();
        let mut index = FieldIndex::default();
        piece.add(index.rows(text.as_bytes(), b',', 3).unwrap(), &layout).unwrap();
        let piece = piece.close();
        assert_eq!(piece.done.len(), 4, "a bar for each minute");
        let mut joined = Joined::after(0);
        joined.add(piece);
        let found = joined.finish(0);
        let SymbolBars { bars, trades, .. } = &found.symbols[0];
        assert_eq!(*trades, [1_001, 1_001, 1, 1_000]);
        assert_eq!(bars.time, [0, 60_000, 120_000, 180_000]);
        assert_eq!(bars.open, [1.0, 2.0, 3.0, 6.0]);
        assert_eq!(bars.close, [3_002.0, 3_001.0, 3.0, 3_003.0]);
        assert_eq!((bars.high[0], bars.low[0], bars.volume[0]), (3_002.0, 1.0, 1_001.0));
    }
}
