//! PyneCore's trade lists: TradingView's built-in strategies and tests of slippage, a futures contract and the bar
//! magnifier. Their scripts are in `xtask/parity`, written for this comparison.

use super::{
    Chart, Tally, probe,
    tape::{Format, minutes},
};
use springtide_domain::{Bars, OwnedBars, Params, SymbolInfo, Timeframe, resample::resample};
use springtide_pine::vm::{OtherBars, OtherData};
use std::{fs, path::Path};

/// A list, its bars and the script.
struct Case {
    trades: &'static str,
    bars: &'static str,
    market: Market,
}

#[derive(Clone, Copy, PartialEq)]
enum Market {
    /// EURUSD, hourly.
    Forex,
    /// E-mini crude oil, hourly.
    Oil,
    /// BTCUSDT, daily, with hourly bars for the magnifier.
    Bitcoin,
}

const fn case(trades: &'static str, bars: &'static str, market: Market) -> Case {
    Case { trades, bars, market }
}

const CASES: &[Case] = &[
    case("barupdn", "ohlcv.csv", Market::Forex),
    case("bollinger", "ohlcv.csv", Market::Forex),
    case("channelbreakout", "ohlcv.csv", Market::Forex),
    case("keltnerchannel", "ohlcv.csv", Market::Forex),
    case("rsi", "ohlcv.csv", Market::Forex),
    case("macd", "ohlcv.csv", Market::Forex),
    case("supertrend", "ohlcv.csv", Market::Forex),
    case("slippage_basic", "slippage_basic_ohlcv.csv", Market::Forex),
    case("slippage_direction", "slippage_direction_ohlcv.csv", Market::Forex),
    case("slippage_limit", "slippage_limit_ohlcv.csv", Market::Forex),
    case("slippage_pyramiding", "slippage_pyramiding_ohlcv.csv", Market::Forex),
    case("futures_pnl", "futures_pnl_ohlcv.csv", Market::Oil),
    case("bar_magnifier_tv", "bar_magnifier_60m.ohlcv", Market::Bitcoin),
];

pub fn report(corpus: &Path, scripts: &Path, only: Option<&str>) -> Result<(), String> {
    let data = corpus.join("tests/t01_lib/t30_strategy/data");
    if !data.is_dir() {
        println!("SKIPPED: {} is not there", data.display());
        return Ok(());
    }
    let mut tally = Tally { detailed: only.is_some(), ..Tally::default() };
    for case in CASES.iter().filter(|c| only.is_none_or(|only| c.trades.contains(only))) {
        let read = |path: &Path| fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
        let source = read(&scripts.join(format!("{}.pine", case.trades)))?;
        let tape = read(&data.join(format!("{}_trades.csv", case.trades)))?;
        let symbol = symbol(case.market);
        let format = Format { ahead_minutes: 0, mintick: symbol.mintick, quantities: true };
        let path = data.join(case.bars);
        let (bars, timeframe, hours) = match case.market {
            Market::Forex | Market::Oil => (text_bars(&read(&path)?), Timeframe::Minutes(60), None),
            Market::Bitcoin => {
                let hours = binary_bars(&fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?);
                (
                    resample(&hours.view(), Timeframe::Days(1), "UTC", "24x7").map_err(|e| e.to_string())?,
                    Timeframe::Days(1),
                    Some(Hours(hours, symbol.clone())),
                )
            }
        };
        let others = hours.as_ref().map(|h| h as &dyn OtherData);
        let chart = Chart { timeframe, symbol: &symbol, others, format };
        let verdict = probe(&source, &Params::new(), &format.read(&tape), &chart, &[(0, bars.view())]);
        tally.note("lists", case.trades, verdict);
    }
    tally.print("PyneCore");
    Ok(())
}

fn symbol(market: Market) -> SymbolInfo {
    let new_york = "America/New_York".to_owned();
    match market {
        Market::Forex => SymbolInfo {
            ticker: "EURUSD".into(),
            mintick: 1e-5,
            min_qty: 0.1,
            timezone: new_york,
            session: "1700-1700".into(),
            ..SymbolInfo::default()
        },
        Market::Oil => SymbolInfo {
            ticker: "QM1!".into(),
            mintick: 0.025,
            point_value: 500.0,
            min_qty: 1.0,
            timezone: new_york,
            session: "1800-1700".into(),
            ..SymbolInfo::default()
        },
        Market::Bitcoin => SymbolInfo {
            ticker: "BTCUSDT".into(),
            currency: "USDT".into(),
            base_currency: "BTC".into(),
            mintick: 0.01,
            min_qty: 1e-5,
            ..SymbolInfo::default()
        },
    }
}

/// The magnifier's bars.
struct Hours(OwnedBars, SymbolInfo);

impl OtherData for Hours {
    fn find(&self, _: &str, timeframe: Timeframe, _: &SymbolInfo) -> Option<OtherBars> {
        let bars = (timeframe == Timeframe::Minutes(60)).then(|| Bars::from(self.0.clone()))?;
        Some(OtherBars { bars, symbol: self.1.clone() })
    }

    fn finest(&self, _: &str, _: &SymbolInfo) -> Option<Timeframe> {
        Some(Timeframe::Minutes(60))
    }
}

/// Columns by the names in the header: `time,open,high,low,close,…,Volume`.
fn text_bars(text: &str) -> OwnedBars {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let place = |name: &str| header.iter().position(|h| h.eq_ignore_ascii_case(name));
    let places = ["open", "high", "low", "close", "volume"].map(place);
    let mut bars = OwnedBars::default();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |at: Option<usize>| cells.get(at?)?.parse::<f64>().ok();
        let time = cells.first().and_then(|t| minutes(t, 0));
        if let (Some(time), [Some(o), Some(h), Some(l), Some(c), Some(v)]) = (time, places.map(number)) {
            bars.push(time * 60_000, o, h, l, c, v);
        }
    }
    bars
}

/// Records of 24 bytes, little-endian: seconds, then five numbers in single precision, which hold cents of such prices
/// once they are rounded to them again.
fn binary_bars(bytes: &[u8]) -> OwnedBars {
    let mut bars = OwnedBars::default();
    for record in bytes.as_chunks::<24>().0 {
        let (words, _) = record.as_chunks::<4>();
        let number = |k: usize| f64::from(f32::from_le_bytes(words[k]));
        let price = |k: usize| (number(k) * 100.0).round() / 100.0;
        let time = i64::from(u32::from_le_bytes(words[0])) * 1_000;
        bars.push(time, price(1), price(2), price(3), price(4), number(5));
    }
    bars
}
