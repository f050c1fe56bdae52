//! The work itself: ticks to hourly bars, bars to a Parquet file; and that file read again.

use super::input::{Bar, Bars, HOUR_MS};
use crate::{Figures, Latencies, Meter, ScenarioError, cores};
use springtide_domain::{OwnedBars, Timeframe};
use springtide_io::{
    files::{FilePool, PoolOptions},
    table::{TableColumn, parquet_bytes, parquet_columns},
    ticks::{SymbolBars, TickBars, TickOptions, bars_from_ticks},
};
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

/// What a run read and wrote.
pub(super) struct Counts {
    pub rows: u64,
    pub bars: u64,
}

/// Line after line on one thread, as one would write it without this library.
pub(super) fn one_by_one(input: &Path, output: &Path) -> Result<(Figures, Counts), ScenarioError> {
    let meter = Meter::start(1);
    let file = File::open(input).map_err(ScenarioError::at(input))?;
    let bytes = file.metadata().map_err(ScenarioError::at(input))?.len();
    let mut lines = BufReader::with_capacity(1 << 20, file);
    let mut read = TickBars { bytes, ..TickBars::default() };
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut line = String::new();
    let mut next = |line: &mut String| -> Result<bool, ScenarioError> {
        line.clear();
        Ok(lines.read_line(line).map_err(ScenarioError::at(input))? > 0)
    };
    next(&mut line)?;
    while next(&mut line)? {
        let mut fields = line.trim_end().split(',');
        let mut field = || fields.next().ok_or_else(|| ScenarioError::work("a line with too few fields"));
        let time: i64 = field()?.parse().map_err(ScenarioError::work)?;
        let symbol = field()?;
        let price: f64 = field()?.parse().map_err(ScenarioError::work)?;
        let quantity: f64 = field()?.parse().map_err(ScenarioError::work)?;
        let place = match places.get(symbol) {
            Some(place) => *place,
            None => {
                places.insert(symbol.to_owned(), read.symbols.len());
                let (symbol, bars) = (symbol.to_owned(), OwnedBars::default());
                read.symbols.push(SymbolBars { symbol, bars, trades: Vec::new() });
                read.symbols.len() - 1
            }
        };
        add(&mut read.symbols[place], time, price, quantity);
        read.rows += 1;
    }
    finish(meter, &read, output)
}

fn add(of: &mut SymbolBars, time: i64, price: f64, quantity: f64) {
    let hour = time - time.rem_euclid(HOUR_MS as i64);
    let bars = &mut of.bars;
    if bars.time.last() != Some(&hour) {
        bars.push(hour, price, price, price, price, quantity);
        of.trades.push(1);
        return;
    }
    let last = bars.time.len() - 1;
    bars.high[last] = bars.high[last].max(price);
    bars.low[last] = bars.low[last].min(price);
    bars.close[last] = price;
    bars.volume[last] += quantity;
    of.trades[last] += 1;
}

/// In blocks on all cores.
pub(super) fn many_at_once(input: &Path, output: &Path) -> Result<(Figures, Counts), ScenarioError> {
    let meter = Meter::start(cores());
    let pool = FilePool::new(PoolOptions { threads: Some(cores()) }).map_err(ScenarioError::work)?;
    let read = bars_from_ticks(&pool, input, Timeframe::Minutes(60), TickOptions::default());
    finish(meter, &read.map_err(ScenarioError::work)?, output)
}

fn finish(meter: Meter, read: &TickBars, output: &Path) -> Result<(Figures, Counts), ScenarioError> {
    std::fs::write(output, parquet(&read.symbols)?).map_err(ScenarioError::at(output))?;
    let bars = read.symbols.iter().map(|s| s.bars.time.len() as u64).sum();
    let mut figures = meter.stop(read.bytes as f64 / 1e6, Latencies::default());
    figures.extra.insert("million rows/s".into(), read.rows as f64 / 1e6 / figures.work_s);
    Ok((figures, Counts { rows: read.rows, bars }))
}

/// In the columns that the Python programs write, too.
fn parquet(symbols: &[SymbolBars]) -> Result<Vec<u8>, ScenarioError> {
    let names = symbols.iter().flat_map(|s| std::iter::repeat_n(s.symbol.clone(), s.bars.time.len()));
    let floats = |of: fn(&OwnedBars) -> &Vec<f64>| {
        TableColumn::Float(symbols.iter().flat_map(|s| of(&s.bars)).map(|x| Some(*x)).collect())
    };
    let hours = symbols.iter().flat_map(|s| &s.bars.time).map(|t| Some(*t)).collect();
    let trades = symbols.iter().flat_map(|s| &s.trades).map(|n| Some(*n as i64)).collect();
    parquet_bytes(vec![
        ("symbol", TableColumn::Text(names.collect())),
        ("hour_ms", TableColumn::Int(hours)),
        ("open", floats(|b| &b.open)),
        ("high", floats(|b| &b.high)),
        ("low", floats(|b| &b.low)),
        ("close", floats(|b| &b.close)),
        ("volume", floats(|b| &b.volume)),
        ("trades", TableColumn::Int(trades)),
    ])
    .map_err(ScenarioError::work)
}

/// The bars of a Parquet file as whole numbers, whoever wrote it.
pub(super) fn bars_of(path: &Path) -> Result<Bars, ScenarioError> {
    let bytes = std::fs::read(path).map_err(ScenarioError::at(path))?;
    let names = ["symbol", "hour_ms", "open", "high", "low", "close", "volume", "trades"];
    let columns = parquet_columns(bytes, &names)
        .map_err(|e| ScenarioError::work(format!("{}: {e}", path.display())))?;
    let number = |column: &TableColumn, row: usize, times: f64| match column {
        TableColumn::Float(values) => values.get(row).copied().flatten().map(|x| (x * times).round() as i64),
        TableColumn::Int(values) => values.get(row).copied().flatten(),
        _ => None,
    };
    let TableColumn::Text(symbols) = &columns[0] else {
        return Err(ScenarioError::work("the column `symbol` is no text"));
    };
    let mut bars = Bars::new();
    for (row, symbol) in symbols.iter().enumerate() {
        let at = |column: usize, times| {
            number(&columns[column], row, times)
                .ok_or_else(|| ScenarioError::work(format!("`{}`, row {row}: no number", names[column])))
        };
        let hour = at(1, 1.0)? as u64;
        let [open, high, low, close] = [at(2, 1e2)?, at(3, 1e2)?, at(4, 1e2)?, at(5, 1e2)?];
        let (volume, trades) = (at(6, 1e5)? as u64, at(7, 1.0)? as u64);
        bars.insert((symbol.clone(), hour), Bar { open, high, low, close, volume, trades });
    }
    ScenarioError::check("bars of different symbols or hours", symbols.len(), bars.len())?;
    Ok(bars)
}
