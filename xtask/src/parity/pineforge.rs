//! PineForge's probes: a folder each, with a script, TradingView's list and perhaps inputs.
//!
//! A chart's first bar is not part of an export, so each probe is run from every start seen in the corpus and the
//! best match counts; the report says which it was.

use super::{Chart, Tally, probe, tape::Format};
use serde_json::Value;
use springtide_domain::{OwnedBars, ParamValue, Params, SymbolInfo, Timeframe};
use std::{fs, path::Path};

/// Chart starts seen in the exports, epoch ms; 0 is all bars there are.
const STARTS: &[i64] = &[1_743_379_200_000, 1_743_811_200_000, 0];
/// Families that stay unread: they are the acceptance test.
const UNREAD: &[&str] = &["composite-", "special-validation", "symbol-specified"];
/// The exports show times of a chart in UTC+8. Their accounts are in dollars, the market in USDT: sizes depend on a rate
/// that the corpus lacks.
const FORMAT: Format = Format { ahead_minutes: 480, mintick: 0.01, quantities: false };

pub fn report(corpus: &Path, only: Option<&str>) -> Result<(), String> {
    let Ok(folders) = fs::read_dir(corpus.join("validation")) else {
        println!("SKIPPED: {} is not there", corpus.display());
        return Ok(());
    };
    let bars = read_bars(&corpus.join("data/ohlcv_ETH-USDT-USDT_15m_warmup6m.csv"))?;
    let symbol = SymbolInfo {
        ticker: "ETHUSDT.P".into(),
        currency: "USDT".into(),
        base_currency: "ETH".into(),
        min_qty: 1e-4,
        ..SymbolInfo::default()
    };
    let chart = Chart { timeframe: Timeframe::Minutes(15), symbol: &symbol, others: None, format: FORMAT };
    let mut tally = Tally { detailed: only.is_some(), ..Tally::default() };
    let mut folders: Vec<_> = folders.flatten().map(|f| f.path()).collect();
    folders.sort();
    for folder in folders {
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if UNREAD.iter().any(|u| name.starts_with(u)) || only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let Ok(source) = fs::read_to_string(folder.join("strategy.pine")) else { continue };
        let inputs = inputs(&folder, &source);
        let starts: Vec<i64> = inputs.start.map_or_else(|| STARTS.to_vec(), |s| vec![s]);
        let starts: Vec<_> = starts
            .into_iter()
            .map(|start| {
                let from = bars.time.partition_point(|t| *t < start);
                (start, bars.view().slice(from..bars.time.len()))
            })
            .collect();
        let family = name.split('-').next().unwrap_or_default().to_owned();
        let Ok(tape) = fs::read_to_string(folder.join(&inputs.list)) else { continue };
        let name = if inputs.anomaly {
            format!("{name} (an anomaly of TradingView's, says the corpus)")
        } else {
            name
        };
        tally.note(&family, &name, probe(&source, &inputs.params, &FORMAT.read(&tape), &chart, &starts));
    }
    tally.print("PineForge");
    Ok(())
}

/// What a probe's `inputs.json` says.
struct Inputs {
    /// Values of the script's inputs.
    params: Params,
    /// Where the chart starts, epoch ms.
    start: Option<i64>,
    /// The file of the list.
    list: String,
    /// The corpus itself holds the list for one that cannot be reproduced.
    anomaly: bool,
}

fn inputs(folder: &Path, source: &str) -> Inputs {
    let text = fs::read_to_string(folder.join("inputs.json")).unwrap_or_default();
    let entries = serde_json::from_str::<serde_json::Map<String, Value>>(&text).unwrap_or_default();
    let known = springtide_pine::compile(source).program.map(|p| p.inputs).unwrap_or_default();
    let value = |v: &Value| match v {
        Value::Bool(b) => Some(ParamValue::Bool(*b)),
        Value::Number(n) => n.as_i64().map(ParamValue::Int).or_else(|| n.as_f64().map(ParamValue::Float)),
        Value::String(s) => Some(ParamValue::Str(s.clone())),
        _ => None,
    };
    // Beside inputs the file has words to the corpus's own runner.
    let named = entries.iter().filter(|(name, _)| known.iter().any(|i| i.key == **name));
    Inputs {
        params: named.filter_map(|(name, v)| Some((name.clone(), value(v)?))).collect(),
        start: entries.get("ohlcv_start_ms").and_then(Value::as_i64),
        list: entries.get("tv_trades_csv").and_then(Value::as_str).unwrap_or("tv_trades.csv").to_owned(),
        anomaly: entries.get("expected_tier").and_then(Value::as_str) == Some("anomaly"),
    }
}

fn read_bars(path: &Path) -> Result<OwnedBars, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut bars = OwnedBars::default();
    for line in text.lines().skip(1) {
        let v: Vec<f64> = line.split(',').filter_map(|x| x.trim().parse().ok()).collect();
        if let [t, o, h, l, c, volume] = v[..] {
            bars.push(t as i64, o, h, l, c, volume);
        }
    }
    Ok(bars)
}
