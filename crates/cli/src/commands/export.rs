//! `tide export`: one run's report or trades as a file.

use super::Context;
use crate::{
    args::{ExportArgs, ExportFormat},
    exit::{CommandResult, Ending},
    out,
    output::run_json,
};
use springtide_lab::{
    LabError,
    ledger::{RunRecord, now_ms},
    replay::{self, Replay},
    report::{
        Page,
        detail::trade_rows,
        export::{self, TradeOwner, iso},
    },
};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Writes the file and names it.
pub fn run(context: &Context, args: &ExportArgs) -> CommandResult {
    let ledger = context.workspace.existing_ledger()?;
    let record = ledger.find(&args.run)?;
    let format = args.format.or_else(|| args.out.as_deref().and_then(by_ending)).ok_or_else(|| {
        LabError::Usage("say --format html, csv, parquet or json, or name --out with such an ending".into())
    })?;
    if record.metrics.is_none() {
        return Err(LabError::Usage(format!(
            "run {} has nothing to export, it did not come to its end ({}); `tide show {}` shows why",
            record.id.short(),
            record.status.as_str(),
            record.id.short()
        )));
    }
    let (store, cache) = (context.workspace.data(), context.workspace.cache());
    let python: replay::StartPython<'_> =
        &|facts, rules| crate::python::again(&args.interpreter, facts, rules);
    let replay = replay::run(&ledger, &record, &store, &cache, python)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.{}", record.id.short(), ending(format))));
    if out == Path::new("-") {
        let mut stdout = std::io::stdout().lock();
        return match write(&mut stdout, format, &record, &replay) {
            Ok(()) => Ok(Ending::Ok),
            Err(source) => Err(out::unwritten(&source)),
        };
    }
    export::write_file(&out, |file| write(file, format, &record, &replay))?;
    context.term.note(&format!("wrote {}", out.display()));
    Ok(Ending::Ok)
}

fn by_ending(path: &Path) -> Option<ExportFormat> {
    match path.extension()?.to_str()? {
        "html" | "htm" => Some(ExportFormat::Html),
        "csv" => Some(ExportFormat::Csv),
        "parquet" => Some(ExportFormat::Parquet),
        "json" => Some(ExportFormat::Json),
        _ => None,
    }
}

fn ending(format: ExportFormat) -> &'static str {
    match format {
        ExportFormat::Html => "html",
        ExportFormat::Csv => "csv",
        ExportFormat::Parquet => "parquet",
        ExportFormat::Json => "json",
    }
}

fn write(
    out: &mut dyn Write,
    format: ExportFormat,
    record: &RunRecord,
    replay: &Replay,
) -> std::io::Result<()> {
    let owner = TradeOwner {
        run: record.id.to_string(),
        strategy: record.strategy.clone(),
        symbol: record.symbol.clone(),
        timeframe: record.timeframe.clone(),
    };
    let trades = || trade_rows(&replay.data, &replay.output);
    match format {
        ExportFormat::Html => {
            let title = format!("{} on {} {}", record.strategy, record.symbol, record.timeframe);
            let command = format!("tide export {}", record.id.short());
            let mut page =
                Page::new(&title, &command, iso(now_ms()), std::slice::from_ref(record), "return_pct", true);
            page.details = vec![replay.detail(record, true)];
            out.write_all(page.html().as_bytes())
        }
        ExportFormat::Csv => {
            export::csv_header(out)?;
            export::csv_rows(out, &owner, &trades())
        }
        ExportFormat::Parquet => {
            out.write_all(&export::parquet(&[(owner, trades())]).map_err(std::io::Error::other)?)
        }
        ExportFormat::Json => {
            let mut object = run_json(record, true);
            object["setup"] = serde_json::to_value(&record.setup)?;
            object["detail"] = serde_json::to_value(replay.detail(record, false))?;
            writeln!(out, "{object}")
        }
    }
}
