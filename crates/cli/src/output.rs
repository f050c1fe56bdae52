//! How runs and numbers look on the terminal and in JSON lines.

use crate::table::Cell;
use springtide_engine::metrics::{METRICS, Unit};
use springtide_lab::ledger::RunRecord;

/// One run as a JSON object; field names are documented in `docs/formats.md` and stable.
pub fn run_json(run: &RunRecord, reused: bool) -> serde_json::Value {
    serde_json::json!({
        "run": run.id,
        "strategy": run.strategy,
        "source": run.source,
        "data": run.data,
        "symbol": run.symbol,
        "timeframe": run.timeframe,
        "params": run.params,
        "rules": run.rules,
        "status": run.status,
        "error": run.error,
        "diagnostics": run.diagnostics,
        "bars": run.bars,
        "elapsed_us": run.elapsed_us,
        "reused": reused,
        "metrics": run.metrics,
        "python": run.python,
    })
}

/// A column head that is short enough for a terminal.
pub fn short_title(metric: &str) -> &'static str {
    match metric {
        "return_pct" => "return",
        "max_drawdown_pct" => "max dd",
        "profit_factor" => "pf",
        "win_rate_pct" => "win",
        "sharpe" => "sharpe",
        "trades" => "trades",
        _ => METRICS.iter().find(|m| m.name == metric).map_or("", |m| m.title),
    }
}

/// A metric's value in its unit.
pub fn metric_text(name: &str, value: Option<f64>) -> String {
    let Some(x) = value else { return "–".into() };
    let unit = METRICS.iter().find(|m| m.name == name).map_or(Unit::Ratio, |m| m.unit);
    match unit {
        Unit::Money => group(x, 2),
        Unit::Percent => format!("{} %", group(x, 2)),
        Unit::Ratio => group(x, 2),
        Unit::Count | Unit::Bars => group(x, 0),
        Unit::Milliseconds => duration(x),
    }
}

/// The same, coloured where a sign matters.
pub fn metric_cell(name: &str, value: Option<f64>) -> Cell {
    let text = metric_text(name, value);
    match value {
        Some(x) if name.contains("return") || name.contains("profit_") || name.ends_with("_profit") => {
            if name == "profit_factor" { text.into() } else { Cell::signed(text, x) }
        }
        _ => text.into(),
    }
}

/// `1 market`, `2 markets`, `1,200 runs`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", group(n as f64, 0), if n == 1 { one } else { many })
}

/// `1,234,567.89`.
pub fn group(x: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", x.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(c);
    }
    let zero = text.bytes().all(|b| matches!(b, b'0' | b'.'));
    let sign = if x < 0.0 && !zero { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

/// `12.5 d`, `3.2 h`, `45 min` from milliseconds.
pub fn duration(ms: f64) -> String {
    let days = ms / 86_400_000.0;
    if days >= 2.0 {
        format!("{days:.1} d")
    } else if days * 24.0 >= 2.0 {
        format!("{:.1} h", days * 24.0)
    } else {
        format!("{:.0} min", days * 1_440.0)
    }
}

/// 1.2 k, 3.4 M, 5.6 G.
pub fn si(x: f64) -> String {
    let (value, unit) = match x {
        x if x >= 1e9 => (x / 1e9, " G"),
        x if x >= 1e6 => (x / 1e6, " M"),
        x if x >= 1e4 => (x / 1e3, " k"),
        x => (x, ""),
    };
    if unit.is_empty() { format!("{value:.0}") } else { format!("{value:.1}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(group(1_234_567.891, 2), "1,234,567.89");
        assert_eq!(group(-999.5, 0), "-1,000");
        assert_eq!(group(-0.001, 2), "0.00");
        assert_eq!(si(15_300.0), "15.3 k");
    }
}
