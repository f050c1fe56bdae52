//! Takes a run's results apart. They come from a process in which a script had its way: everything in them is a
//! claim, and what does not hold is an error.

use crate::{
    message::{FailedRun, Fault, OpenPosition, ScriptEnd, ScriptRun, ScriptTrade, Shape},
    stats::Stats,
};
use serde::Deserialize;
use serde_json::Value;
use springtide_domain::OwnedBars;
use std::collections::BTreeMap;

/// Longest head and longest columns of one frame.
const HEAD_MAX: usize = 16 << 20;
const BLOB_MAX: usize = 256 << 20;
const ROWS_MAX: usize = 8 << 20;
const TRADES_MAX: usize = 1_000_000;
/// Size, entry and exit bar, two prices, stop, target, profit, commission.
const TRADE_COLUMNS: usize = 9;

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A backtest.
    Run(Box<ScriptRun>),
    /// A backtest that raised.
    Failed(Box<FailedRun>),
    /// Of a module with several strategies, which comes next.
    Begins {
        /// Its class.
        strategy: String,
        /// Its place among them, from 0.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// What there is to know so far.
    Notes(Vec<String>),
    /// A page of a plot, of the run of this number.
    Plot(usize, Vec<u8>),
    /// A script's shape or why it has none.
    Shape(Result<Shape, Box<Fault>>),
    /// Modules that a module may import, or why it is none.
    Imports(Result<Vec<String>, Box<Fault>>),
    /// The script reads, or imports, this file of those beside it.
    Reads(String),
    /// The script asks for a file beside it that it was not given. Nothing comes after it; the run is to be made again
    /// with that file.
    Needs(String),
    /// The last one.
    End(Box<ScriptEnd>),
}

/// Cuts a stream into frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, String> {
        let Some((head, blob)) = self.lengths()? else { return Ok(None) };
        if self.bytes.len() < 8 + head + blob {
            return Ok(None);
        }
        let rest = self.bytes.split_off(8 + head + blob);
        let frame = std::mem::replace(&mut self.bytes, rest);
        decode(&frame[8..8 + head], &frame[8 + head..]).map(Some)
    }

    fn lengths(&self) -> Result<Option<(usize, usize)>, String> {
        let Some(start) = self.bytes.first_chunk::<8>() else { return Ok(None) };
        let [a, b, c, d, e, f, g, h] = *start;
        let head = u32::from_le_bytes([a, b, c, d]) as usize;
        let blob = u32::from_le_bytes([e, f, g, h]) as usize;
        if head > HEAD_MAX || blob > BLOB_MAX {
            return Err(format!("a frame of {head} and {blob} bytes"));
        }
        Ok(Some((head, blob)))
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Head {
    Run(RunHead),
    Failed(FailedRun),
    Begins {
        strategy: String,
        number: usize,
        count: usize,
    },
    Notes {
        notes: Vec<String>,
    },
    Plot {
        run: usize,
    },
    Shape {
        fault: Option<Box<Fault>>,
        #[serde(flatten)]
        shape: Value,
    },
    Imports {
        fault: Option<Box<Fault>>,
        names: Vec<String>,
    },
    Reads {
        file: String,
    },
    Needs {
        file: String,
    },
    End(ScriptEnd),
}

#[derive(Deserialize)]
struct RunHead {
    strategy: String,
    params: BTreeMap<String, Value>,
    rows: usize,
    trades: usize,
    elapsed_us: u64,
    account: BTreeMap<String, Value>,
    stats: Stats,
    open: Vec<(f64, u32, f64, Option<f64>, String)>,
    tags: Vec<String>,
    own_bars: bool,
    #[serde(default)]
    dated: bool,
    #[serde(default)]
    from_given: bool,
    tried: Option<u64>,
    no_trade: Option<String>,
}

fn decode(head: &[u8], blob: &[u8]) -> Result<Message, String> {
    let head: Head = serde_json::from_slice(head).map_err(|e| format!("a head that is no message: {e}"))?;
    Ok(match head {
        Head::Run(head) => Message::Run(Box::new(run(head, blob)?)),
        Head::Failed(run) => Message::Failed(Box::new(run)),
        Head::Begins { strategy, number, count } => Message::Begins { strategy, number, count },
        Head::Notes { notes } => Message::Notes(notes),
        Head::Plot { run } => Message::Plot(run, blob.to_vec()),
        Head::Shape { fault: Some(fault), .. } => Message::Shape(Err(fault)),
        Head::Shape { fault: None, shape } => {
            Message::Shape(Ok(serde_json::from_value(shape).map_err(|e| format!("a shape: {e}"))?))
        }
        Head::Imports { fault: Some(fault), .. } => Message::Imports(Err(fault)),
        Head::Imports { fault: None, names } => Message::Imports(Ok(names)),
        Head::Reads { file } => Message::Reads(file),
        Head::Needs { file } => Message::Needs(file),
        Head::End(end) => Message::End(Box::new(end)),
    })
}

/// The columns of a frame, one after the other.
struct Columns<'a>(&'a [u8]);

impl Columns<'_> {
    fn take(&mut self, bytes: usize) -> Result<&[u8], String> {
        let (first, rest) = self.0.split_at_checked(bytes).ok_or("columns that are too short")?;
        self.0 = rest;
        Ok(first)
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<f64>, String> {
        let (words, _) = self.take(count * 8)?.as_chunks::<8>();
        Ok(words.iter().map(|w| f64::from_le_bytes(*w)).collect())
    }

    fn whole(&mut self, count: usize) -> Result<Vec<i64>, String> {
        let (words, _) = self.take(count * 8)?.as_chunks::<8>();
        Ok(words.iter().map(|w| i64::from_le_bytes(*w)).collect())
    }

    fn codes(&mut self, count: usize) -> Result<Vec<i32>, String> {
        let (words, _) = self.take(count * 4)?.as_chunks::<4>();
        Ok(words.iter().map(|w| i32::from_le_bytes(*w)).collect())
    }
}

fn run(head: RunHead, blob: &[u8]) -> Result<ScriptRun, String> {
    let (rows, count) = (head.rows, head.trades);
    if rows == 0 || rows > ROWS_MAX || count > TRADES_MAX {
        return Err(format!("{rows} bars and {count} trades"));
    }
    let mut columns = Columns(blob);
    let equity = columns.numbers(rows)?;
    if !equity.iter().all(|x| x.is_finite()) {
        return Err("an equity that is no number".into());
    }
    let trades = trades(&mut columns, count, rows, &head.tags)?;
    let bars = if head.own_bars { Some(bars(&mut columns, rows, head.dated)?) } else { None };
    if !columns.0.is_empty() {
        return Err("columns that are too long".into());
    }
    let open = head.open.into_iter().map(|(size, bar, price, pl, tag)| {
        let pl = pl.unwrap_or(0.0);
        let sound = size.is_finite() && size != 0.0 && price.is_finite() && (bar as usize) < rows;
        sound.then_some(OpenPosition { size, entry_bar: bar, entry_price: price, pl, tag })
    });
    Ok(ScriptRun {
        strategy: head.strategy,
        params: head.params,
        account: head.account,
        equity,
        trades,
        open: open.collect::<Option<_>>().ok_or("an open trade that cannot be")?,
        stats: head.stats,
        bars,
        dated: !head.own_bars || head.dated,
        from_given: head.from_given,
        tried: head.tried,
        no_trade: head.no_trade,
        elapsed_us: head.elapsed_us,
    })
}

fn trades(
    columns: &mut Columns<'_>,
    count: usize,
    rows: usize,
    tags: &[String],
) -> Result<Vec<ScriptTrade>, String> {
    let parts: Vec<Vec<f64>> =
        (0..TRADE_COLUMNS).map(|_| columns.numbers(count)).collect::<Result<_, _>>()?;
    let codes = columns.codes(count)?;
    let bar = |x: f64| (x >= 0.0 && x < rows as f64 && x.fract() == 0.0).then_some(x as u32);
    let price = |x: f64| x.is_finite().then_some(x);
    let one = |k: usize| -> Option<ScriptTrade> {
        let [size, entry_bar, exit_bar, entry_price, exit_price, sl, tp, pnl, commission] =
            std::array::from_fn(|c| parts[c][k]);
        let tag = match tags {
            [] => String::new(),
            tags => tags.get(usize::try_from(codes[k]).ok()?)?.clone(),
        };
        Some(ScriptTrade {
            size: price(size).filter(|x| *x != 0.0)?,
            entry_bar: bar(entry_bar)?,
            exit_bar: bar(exit_bar)?,
            entry_price: price(entry_price)?,
            exit_price: price(exit_price)?,
            sl: price(sl),
            tp: price(tp),
            pnl: price(pnl)?,
            // Older libraries do not tell.
            commission: price(commission).unwrap_or(0.0),
            tag,
        })
    };
    (0..count).map(|k| one(k).ok_or_else(|| format!("a trade that cannot be, number {}", k + 1))).collect()
}

fn bars(columns: &mut Columns<'_>, rows: usize, dated: bool) -> Result<OwnedBars, String> {
    let time = match dated {
        true => columns.whole(rows)?.into_iter().map(|ns| ns.div_euclid(1_000_000)).collect(),
        false => Vec::new(),
    };
    if !time.is_sorted() {
        return Err("bars out of order".into());
    }
    let mut prices = [const { Vec::new() }; 5];
    for column in &mut prices {
        *column = columns.numbers(rows)?;
    }
    let [open, high, low, close, volume] = prices;
    let sound = [&open, &high, &low, &close].iter().all(|c| c.iter().all(|x| x.is_finite()));
    if !sound {
        return Err("a price that is no number".into());
    }
    Ok(OwnedBars { time, open, high, low, close, volume })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn frame(head: &Value, blob: &[u8]) -> Vec<u8> {
        let text = head.to_string();
        let mut out = (text.len() as u32).to_le_bytes().to_vec();
        out.extend((blob.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
        out.extend(blob);
        out
    }

    fn head(trades: usize) -> Value {
        json!({ "kind": "run", "strategy": "S", "params": {}, "rows": 3, "trades": trades, "elapsed_us": 1,
                "account": {}, "stats": {}, "open": [], "tags": [], "own_bars": false, "no_trade": null })
    }

    fn blob(equity: [f64; 3], trade: [f64; 9]) -> Vec<u8> {
        let mut out: Vec<u8> = equity.iter().chain(&trade).flat_map(|x| x.to_le_bytes()).collect();
        out.extend(0_i32.to_le_bytes());
        out
    }

    fn read(bytes: &[u8]) -> Result<Option<Message>, String> {
        let mut frames = Frames::default();
        frames.push(bytes);
        frames.next()
    }

    const TRADE: [f64; 9] = [2.0, 0.0, 2.0, 10.0, 11.0, f64::NAN, 12.0, 2.0, 0.0];

    #[test]
    fn frames_are_whole_or_awaited() {
        let bytes = frame(&head(1), &blob([1.0, 2.0, 3.0], TRADE));
        let mut frames = Frames::default();
        for part in bytes.chunks(7) {
            assert_eq!(frames.next(), Ok(None));
            frames.push(part);
        }
        let Ok(Some(Message::Run(run))) = frames.next() else { panic!("a run") };
        assert_eq!(run.equity, [1.0, 2.0, 3.0]);
        assert_eq!((run.trades[0].exit_bar, run.trades[0].sl, run.trades[0].tp), (2, None, Some(12.0)));
        assert_eq!(frames.next(), Ok(None));
    }

    #[test]
    fn claims_that_cannot_be_are_refused() {
        let good = blob([1.0; 3], TRADE);
        assert!(read(&frame(&head(1), &good)).is_ok());
        assert!(read(&frame(&head(2), &good)).is_err(), "more trades than columns");
        assert!(read(&frame(&head(0), &good)).is_err(), "columns left over");
        assert!(read(&frame(&head(1), &blob([1.0, f64::NAN, 1.0], TRADE))).is_err());
        for (place, value) in [(0, 0.0), (1, 3.0), (1, -1.0), (2, 1.5), (3, f64::INFINITY), (7, f64::NAN)] {
            let mut trade = TRADE;
            trade[place] = value;
            assert!(read(&frame(&head(1), &blob([1.0; 3], trade))).is_err(), "{place} {value}");
        }
        let mut huge = head(1);
        huge["rows"] = json!(u64::MAX);
        assert!(read(&frame(&huge, &good)).is_err());
        let mut open = head(1);
        open["open"] = json!([[1.0, 9, 10.0, 0.0, ""]]);
        assert!(read(&frame(&open, &good)).is_err(), "an entry after the last bar");
        assert!(read(&frame(&json!({ "kind": "pwned" }), b"")).is_err());
        assert!(read(&[0xff; 16]).is_err(), "a length beyond all bounds");
        assert!(read(b"\x02\0\0\0\0\0\0\0{]").is_err());
    }
}
