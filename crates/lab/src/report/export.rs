//! Trades as CSV and JSON.

use super::detail::TradeRow;
use crate::LabError;
use springtide_io::table::{TableColumn, parquet_bytes};
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

/// Columns of a trade list file, in order; documented in `docs/formats.md`.
pub const TRADE_COLUMNS: &[&str] = &[
    "run",
    "strategy",
    "symbol",
    "timeframe",
    "n",
    "side",
    "qty",
    "entry_time",
    "entry_price",
    "entry_signal",
    "exit_time",
    "exit_price",
    "exit_signal",
    "commission",
    "profit",
    "profit_pct",
    "max_runup",
    "max_drawdown",
];

/// Whose trades they are.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct TradeOwner {
    pub run: String,
    pub strategy: String,
    pub symbol: String,
    pub timeframe: String,
}

/// Writes the header line.
pub fn csv_header(out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{}", TRADE_COLUMNS.join(","))
}

/// Writes one line per trade. Times are ISO 8601 UTC, numbers in their shortest exact form, absent values
/// empty.
pub fn csv_rows(out: &mut dyn Write, owner: &TradeOwner, trades: &[TradeRow]) -> std::io::Result<()> {
    for t in trades {
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
            owner.run,
            quoted(&owner.strategy),
            quoted(&owner.symbol),
            owner.timeframe,
            t.n,
            t.side,
            t.qty,
            iso(t.entry_ms),
            t.entry_price,
            quoted(&t.entry),
            t.exit_ms.map(iso).unwrap_or_default(),
            option(t.exit_price),
            quoted(&t.exit),
            t.commission,
            t.profit,
            option(t.profit_pct),
            t.max_runup,
            t.max_drawdown
        )?;
    }
    Ok(())
}

/// All trades of several runs as the bytes of a Parquet file; columns as in [`TRADE_COLUMNS`].
pub fn parquet(runs: &[(TradeOwner, Vec<TradeRow>)]) -> Result<Vec<u8>, LabError> {
    let rows = || runs.iter().flat_map(|(owner, trades)| trades.iter().map(move |t| (owner, t)));
    let text =
        |f: fn(&TradeOwner, &TradeRow) -> String| TableColumn::Text(rows().map(|(o, t)| f(o, t)).collect());
    let number = |f: fn(&TradeRow) -> Option<f64>| TableColumn::Float(rows().map(|(_, t)| f(t)).collect());
    let time = |f: fn(&TradeRow) -> Option<i64>| TableColumn::Time(rows().map(|(_, t)| f(t)).collect());
    let columns = vec![
        text(|o, _| o.run.clone()),
        text(|o, _| o.strategy.clone()),
        text(|o, _| o.symbol.clone()),
        text(|o, _| o.timeframe.clone()),
        TableColumn::Int(rows().map(|(_, t)| Some(t.n as i64)).collect()),
        text(|_, t| t.side.to_owned()),
        number(|t| Some(t.qty)),
        time(|t| Some(t.entry_ms)),
        number(|t| Some(t.entry_price)),
        text(|_, t| t.entry.clone()),
        time(|t| t.exit_ms),
        number(|t| t.exit_price),
        text(|_, t| t.exit.clone()),
        number(|t| Some(t.commission)),
        number(|t| Some(t.profit)),
        number(|t| t.profit_pct),
        number(|t| Some(t.max_runup)),
        number(|t| Some(t.max_drawdown)),
    ];
    parquet_bytes(TRADE_COLUMNS.iter().copied().zip(columns).collect())
        .map_err(|error| LabError::Data(format!("cannot write Parquet: {error}")))
}

fn option(x: Option<f64>) -> String {
    x.map(|x| x.to_string()).unwrap_or_default()
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// `2023-01-31T12:00:00Z`, with milliseconds only where there are any.
pub fn iso(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |t| t.to_string())
}

/// Refuses a place that [`write_file`] could not write to, before the work whose result is to go there.
pub fn check_place(path: &Path) -> Result<(), LabError> {
    let file_error = |source| LabError::File { path: path.to_owned(), source };
    if path.is_dir() {
        return Err(file_error(std::io::ErrorKind::IsADirectory.into()));
    }
    let (temporary, _) = begin(path).map_err(file_error)?;
    std::fs::remove_file(temporary).map_err(file_error)
}

/// An empty file beside `path`, whose folder is made.
fn begin(path: &Path) -> std::io::Result<(PathBuf, File)> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = folder.join(format!(".{name}.{}.part", std::process::id()));
    let file = File::create(&temporary)?;
    Ok((temporary, file))
}

/// Writes a file beside its final name, then renames it: a reader never sees half of it.
pub fn write_file(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), LabError> {
    let file_error = |source| LabError::File { path: path.to_owned(), source };
    let (temporary, file) = begin(path).map_err(file_error)?;
    let write = || -> std::io::Result<()> {
        let mut out = std::io::BufWriter::new(file);
        fill(&mut out)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        let _ = std::fs::remove_file(&temporary);
        file_error(source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(iso(1_672_531_200_000), "2023-01-01T00:00:00Z");
    }
}
