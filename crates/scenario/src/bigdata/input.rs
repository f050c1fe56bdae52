//! Makes the file of ticks, and checks what came of it.

use crate::{Rng, ScenarioError};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

const SYMBOLS: [&str; 20] = [
    "BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "ADAUSDT", "DOGEUSDT", "AVAXUSDT", "DOTUSDT",
    "LINKUSDT", "LTCUSDT", "BCHUSDT", "UNIUSDT", "ATOMUSDT", "ETCUSDT", "FILUSDT", "APTUSDT", "ARBUSDT",
    "OPUSDT", "NEARUSDT",
];
pub(super) const HOUR_MS: u64 = 3_600_000;
const HEAD: &str = "ts_ms,symbol,price,qty,side\n";

/// One bar in whole numbers: prices in hundredths, volume in hundred-thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub volume: u64,
    pub trades: u64,
}

/// Bars by symbol and hour, ms since 1970.
pub(super) type Bars = BTreeMap<(String, u64), Bar>;

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub bytes: u64,
    pub rows: u64,
    pub bars: Bars,
}

fn list_path(path: &Path) -> PathBuf {
    path.with_extension("list.csv")
}

/// Writes at least so many bytes of ticks, and beside them what bars they make, unless that is there.
pub(super) fn prepare(path: &Path, bytes: u64) -> Result<(), ScenarioError> {
    let length = |path: &Path| std::fs::metadata(path).map(|m| m.len()).ok();
    if expected(path)
        .is_ok_and(|e| e.bytes >= bytes && e.bytes < bytes + 100 && length(path) == Some(e.bytes))
    {
        return Ok(());
    }
    let made = write(path, bytes).map_err(ScenarioError::at(path))?;
    let mut list = format!("{},{}\n", made.bytes, made.rows);
    for ((symbol, hour), bar) in &made.bars {
        let Bar { open, high, low, close, volume, trades } = bar;
        let _ = writeln!(list, "{symbol},{hour},{open},{high},{low},{close},{volume},{trades}");
    }
    let path = list_path(path);
    std::fs::write(&path, list).map_err(ScenarioError::at(&path))
}

fn write(path: &Path, bytes: u64) -> std::io::Result<Expected> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(HEAD.as_bytes())?;
    let mut made = Expected { bytes: HEAD.len() as u64, rows: 0, bars: Bars::new() };
    let mut random = Rng(42);
    let mut prices: Vec<i64> = (0..SYMBOLS.len()).map(|n| 6_000_000 >> (n / 2)).collect();
    let mut current: Vec<Option<(u64, Bar)>> = vec![None; SYMBOLS.len()];
    let mut time = 1_704_067_200_000_u64;
    let mut line = String::new();
    while made.bytes < bytes {
        time += random.below(200);
        // The first symbols are traded most.
        let n = (random.below(20) * random.below(20) / 20) as usize;
        let step = (prices[n] / 2_000).max(2) as u64;
        prices[n] = (prices[n] + random.below(2 * step + 1) as i64 - step as i64).max(1_000);
        let (price, quantity) = (prices[n], 1 + random.below(500_000));
        let side = if random.next_bits() & 1 == 0 { 'b' } else { 's' };
        line.clear();
        let _ = writeln!(
            line,
            "{time},{},{}.{:02},{}.{:05},{side}",
            SYMBOLS[n],
            price / 100,
            price % 100,
            quantity / 100_000,
            quantity % 100_000
        );
        file.write_all(line.as_bytes())?;
        made.bytes += line.len() as u64;
        made.rows += 1;
        let hour = time / HOUR_MS * HOUR_MS;
        match &mut current[n] {
            Some((of, bar)) if *of == hour => {
                bar.high = bar.high.max(price);
                bar.low = bar.low.min(price);
                bar.close = price;
                bar.volume += quantity;
                bar.trades += 1;
            }
            other => {
                let bar =
                    Bar { open: price, high: price, low: price, close: price, volume: quantity, trades: 1 };
                if let Some((of, done)) = other.replace((hour, bar)) {
                    made.bars.insert((SYMBOLS[n].into(), of), done);
                }
            }
        }
    }
    for (symbol, last) in SYMBOLS.iter().zip(current) {
        made.bars.extend(last.map(|(hour, bar)| (((*symbol).to_owned(), hour), bar)));
    }
    // On disk now, so that the page cache can be emptied of it later.
    file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
    Ok(made)
}

/// What the file at `path` holds.
pub(super) fn expected(path: &Path) -> Result<Expected, ScenarioError> {
    let path = list_path(path);
    let text = std::fs::read_to_string(&path).map_err(ScenarioError::at(&path))?;
    let read = || {
        let mut lines = text.lines();
        let (bytes, rows) = lines.next()?.split_once(',')?;
        let mut bars = Bars::new();
        for line in lines {
            let mut fields = line.split(',');
            let symbol = fields.next()?.to_owned();
            let mut next = || fields.next()?.parse::<i64>().ok();
            let hour = next()? as u64;
            let [open, high, low, close] = [next()?, next()?, next()?, next()?];
            let (volume, trades) = (next()? as u64, next()? as u64);
            bars.insert((symbol, hour), Bar { open, high, low, close, volume, trades });
        }
        Some(Expected { bytes: bytes.parse().ok()?, rows: rows.parse().ok()?, bars })
    };
    read().ok_or_else(|| {
        ScenarioError::work(format!("{}: not the list of this scenario's input", path.display()))
    })
}
