//! `tide data`: import, list and check bars.

use super::{Context, fetch};
use crate::{
    args::{DataCommand, DateOrderArg, ImportArgs},
    exit::{CommandResult, Ending},
    output::group,
    table::{Cell, Column, render},
    term::printable,
};
use springtide_lab::{
    LabError,
    market::{self, DateOrder, Finding, ImportError, ImportOptions, ImportReport, Trades, is_bar_file},
    paths::expand,
    report::export::iso,
};
use springtide_runtime::{CancelToken, Priority};
use std::{collections::BTreeSet, fmt::Display, path::PathBuf};

/// Dispatches the three.
pub fn run(context: &Context, command: &DataCommand) -> CommandResult {
    match command {
        DataCommand::Import(args) => import(context, args),
        DataCommand::Ls { json } => list(context, *json),
        DataCommand::Check { json } => check(context, *json),
    }
}

fn import(context: &Context, args: &ImportArgs) -> CommandResult {
    let (urls, local): (Vec<&String>, Vec<&String>) = args.files.iter().partition(|a| fetch::is_url(a));
    let urls: BTreeSet<&str> = urls.into_iter().map(String::as_str).collect();
    let local: Vec<String> = local.into_iter().cloned().collect();
    let mut files = expand(&local, &is_bar_file)?;
    if args.symbol.is_some() && files.len() + urls.len() > 1 {
        return Err(LabError::Usage("--symbol names one market: import its file alone".into()));
    }
    let fetched = fetch::fetch(context, &urls, args)?;
    if fetched.interrupted {
        context.term.note("Interrupted; nothing was imported. The same command goes on with what was begun.");
        return Ok(Ending::Interrupted);
    }
    for (url, why) in &fetched.failed {
        tell_failure(context, args, url, why);
    }
    files.extend(fetched.files.iter().cloned());
    let options = ImportOptions {
        symbol: args.symbol.clone(),
        timeframe: args.timeframe,
        skip_bad: args.skip_bad,
        sort: args.sort,
        timezone: args.timezone.clone(),
        mintick: args.mintick,
        date_order: args.date_order.map(|order| match order {
            DateOrderArg::Ymd => DateOrder::Ymd,
            DateOrderArg::Dmy => DateOrder::Dmy,
            DateOrderArg::Mdy => DateOrder::Mdy,
        }),
        ..ImportOptions::default()
    };
    let mut failed = fetched.failed.len();
    let cancel = CancelToken::new();
    let cancels = context.signals.cancels(&cancel)?;
    let results = read(context, args, &files, &options, &cancel)?;
    drop(cancels);
    let mut imported = 0;
    for (file, result) in files.iter().zip(results) {
        match result {
            Ok(reports) => {
                imported += 1;
                fetched.used(file);
                for mut report in reports {
                    report.source = fetched.by_address(&report.source);
                    match args.json {
                        true => println!("{}", serde_json::to_string(&report).unwrap_or_default()),
                        false => print!("{}", printable(&summary(&report))),
                    }
                }
            }
            // What was under way or to come; what was fetched for it stays for the next time.
            Err(_) if cancel.is_cancelled() => {}
            Err(error) => {
                failed += 1;
                fetched.refused(file, &error);
                let name = |text: &dyn Display| fetched.by_address(&text.to_string());
                tell_failure(context, args, &name(&file.display()), &name(&error));
            }
        }
    }
    if !urls.is_empty() {
        fetched.keep_to_room(context);
    }
    if cancel.is_cancelled() {
        context.term.note(&format!("Interrupted; {imported} of {} files were imported.", files.len()));
        return Ok(Ending::Interrupted);
    }
    Ok(match (failed, files.len() + fetched.failed.len()) {
        (0, _) => Ending::Ok,
        (f, n) if f == n => Ending::Failed,
        _ => Ending::Partly,
    })
}

/// What each file held: one set of bars, or of trades one per symbol.
fn read(
    context: &Context,
    args: &ImportArgs,
    files: &[PathBuf],
    options: &ImportOptions,
    cancel: &CancelToken,
) -> Result<Vec<Result<Vec<ImportReport>, ImportError>>, LabError> {
    let store = context.workspace.data();
    let Some(timeframe) = args.trades else {
        let one = |result: Result<ImportReport, ImportError>| result.map(|report| vec![report]);
        return Ok(market::import(files, &store, options, cancel).into_iter().map(one).collect());
    };
    let trades = Trades { timeframe, columns: args.columns.clone(), priority: Priority::Low };
    market::import_trades(files, &store, options, trades, cancel)
}

fn tell_failure(context: &Context, args: &ImportArgs, source: &str, why: &str) {
    if args.json {
        println!("{}", serde_json::json!({"source": source, "error": why}));
    }
    eprintln!("{} {}", context.term.err().red("tide:"), printable(why));
}

/// What was imported, and everything that was wrong or odd, a line each.
fn summary(r: &ImportReport) -> String {
    let mut out = format!(
        "{} {}: {} bars from {} to {} ({})\n",
        r.symbol,
        r.timeframe,
        group(r.bars as f64, 0),
        iso(r.from_ms),
        iso(r.to_ms),
        r.source
    );
    let mut line = |count: u64, what: &str| {
        if count > 0 {
            out.push_str(&format!("  {} {what}\n", group(count as f64, 0)));
        }
    };
    line(r.bad_rows.count, "bad rows left out");
    line(r.duplicates.count, "repeated rows left out");
    line(r.out_of_order.count, "rows put in order");
    line(r.missing_volume, "bars without volume");
    line(r.gaps.missing_bars, "bars missing in gaps");
    if r.reversed {
        out.push_str("  turned round: the file ran from the latest bar to the earliest\n");
    }
    if !r.ignored_columns.is_empty() {
        out.push_str(&format!("  columns not used: {}\n", r.ignored_columns.join(", ")));
    }
    for note in &r.notes {
        out.push_str(&format!("  {note}\n"));
    }
    out
}

fn list(context: &Context, json: bool) -> CommandResult {
    let listing = market::list(&context.workspace.data())?;
    let entries = &listing.entries;
    for finding in &listing.unreadable {
        context.term.note_as(&context.term.err().red("unreadable"), &text(finding));
    }
    if json {
        for entry in entries {
            println!("{}", serde_json::to_string(entry).unwrap_or_default());
        }
        return Ok(Ending::Ok);
    }
    if entries.is_empty() {
        context.term.note("No bars imported yet: `tide data import FILE.csv`.");
        return Ok(Ending::Ok);
    }
    let columns = [
        Column::left("symbol"),
        Column::left("timeframe"),
        Column::right("bars"),
        Column::left("from"),
        Column::left("to"),
        Column::right("missing"),
        Column::right("kB"),
        Column::left("hash"),
    ];
    let rows: Vec<Vec<Cell>> = entries
        .iter()
        .map(|e| {
            vec![
                e.symbol.ticker.clone().into(),
                e.timeframe.to_string().into(),
                group(e.bars as f64, 0).into(),
                iso(e.from_ms)[..10].to_owned().into(),
                iso(e.to_ms)[..10].to_owned().into(),
                group(e.gaps.missing_bars as f64, 0).into(),
                group(e.bytes as f64 / 1e3, 0).into(),
                e.hash.chars().take(12).collect::<String>().into(),
            ]
        })
        .collect();
    print!("{}", render(&columns, &rows, context.term.table, context.term.color_out));
    Ok(Ending::Ok)
}

fn check(context: &Context, json: bool) -> CommandResult {
    let findings = market::check(&context.workspace.data())?;
    for finding in &findings {
        if json {
            println!("{}", serde_json::to_string(finding).unwrap_or_default());
        } else {
            println!("{}", printable(&text(finding)));
        }
    }
    let bad = findings.iter().any(market::is_error);
    if !json && findings.is_empty() {
        context.term.note("All imported bars are sound.");
    }
    Ok(if bad { Ending::Failed } else { Ending::Ok })
}

fn text(finding: &Finding) -> String {
    let hint = if finding.hint.is_empty() { String::new() } else { format!(" ({})", finding.hint) };
    format!("{}: {}: {}{hint}", finding.path.display(), finding.code, finding.message)
}
