//! `tide show`: one run: metrics, trades, a chart of its equity.

use super::Context;
use crate::{
    args::ShowArgs,
    chart::braille,
    exit::{CommandResult, Ending},
    output::{group, metric_text, run_json},
    table::{Cell, Column, blocks, render},
    term::{Paint, Term, printable, printed},
};
use springtide_domain::{RunStatus, Severity};
use springtide_engine::metrics::METRICS;
use springtide_lab::{
    ledger::RunRecord,
    replay::{self, Replay},
    report::{RunDetail, detail::TradeRow, export::iso},
};
use std::io::IsTerminal;

mod head;
mod python;

const CHART_HEIGHT: usize = 10;

/// Prints the run; its trades and equity are computed again and compared with the record.
pub fn run(context: &Context, args: &ShowArgs) -> CommandResult {
    let ledger = context.workspace.existing_ledger()?;
    let record = ledger.find(&args.run)?;
    if args.printed {
        return log(context, &ledger, &record);
    }
    let (store, cache) = (context.workspace.data(), context.workspace.cache());
    let python: replay::StartPython<'_> =
        &|facts, rules| crate::python::again(&args.interpreter, facts, rules);
    let replay =
        (record.status == RunStatus::Ok).then(|| replay::run(&ledger, &record, &store, &cache, python));
    let (replay, missing) = match replay {
        Some(Ok(replay)) => (Some(replay), None),
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    let detail = replay.as_ref().map(|r| r.detail(&record, false));
    if args.json {
        let mut object = run_json(&record, true);
        object["setup"] = serde_json::to_value(&record.setup).unwrap_or_default();
        object["detail"] = serde_json::to_value(&detail).unwrap_or_default();
        println!("{object}");
        return Ok(Ending::Ok);
    }
    let paint = context.term.out();
    println!("{}", head::head(&record, paint));
    if let Some(error) = record.error.as_ref().filter(|_| !told_below(&record)) {
        println!("{}\n", paint.red(error));
    }
    if let Some(text) = diagnostics(&ledger, &record, context.term.color_out)? {
        print!("{text}");
    }
    // Of a script that never began there is nothing but its diagnostics.
    if let Some(facts) = record.python.as_ref().filter(|_| !has_errors(&record)) {
        print!("{}", python::facts(facts, context.term.width, paint));
    }
    if record.metrics.is_some() {
        print!("{}", metrics(&record, context.term.width, paint));
    }
    match (&detail, &missing) {
        (Some(detail), _) => {
            print!("{}", body(context.term, detail, args.trades));
            // A Python run's are in the record and told above; what it printed, `--log` shows.
            if record.python.is_none() {
                print!("{}", remarks(detail, paint));
            }
        }
        (None, Some(error)) => {
            println!("{}", paint.yellow(format!("Trades and equity cannot be shown: {error}")))
        }
        (None, None) => {}
    }
    if record.python.is_some() && ledger.log(&record.id)?.is_some() {
        context.term.note(&format!("`tide show {} --log` shows what it printed.", record.id.short()));
    }
    if let Some(warning) = replay.as_ref().and_then(Replay::difference) {
        println!("{}", paint.red(warning));
        return Ok(Ending::Failed);
    }
    if detail.is_some() {
        context.term.note(&format!("`tide export {} --format html` writes the report.", record.id.short()));
    }
    Ok(Ending::Ok)
}

/// True when the error is but the first line of what is shown of it anyway: a diagnostic or a script's fault.
fn told_below(run: &RunRecord) -> bool {
    let failed = run.python.as_ref().is_some_and(|facts| facts.fault.is_some());
    run.status == RunStatus::Failed && (has_errors(run) || failed)
}

fn has_errors(run: &RunRecord) -> bool {
    run.diagnostics.iter().any(|d| d.severity != Severity::Warning)
}

/// What the script printed: its standard output here, its standard error there.
fn log(context: &Context, ledger: &springtide_lab::Ledger, record: &RunRecord) -> CommandResult {
    match ledger.log(&record.id)? {
        Some(log) => {
            // To a file or a pipe it goes as it is.
            match std::io::stdout().is_terminal() {
                true => print!("{}", printed(&log.stdout, context.term.color_out)),
                false => print!("{}", log.stdout),
            }
            match std::io::stderr().is_terminal() {
                true => eprint!("{}", printed(&log.stderr, context.term.color_err)),
                false => eprint!("{}", log.stderr),
            }
        }
        None => context.term.note("It printed nothing."),
    }
    Ok(Ending::Ok)
}

fn diagnostics(
    ledger: &springtide_lab::Ledger,
    run: &RunRecord,
    color: bool,
) -> Result<Option<String>, springtide_lab::LabError> {
    if run.diagnostics.is_empty() {
        return Ok(None);
    }
    let text = ledger.strategy_text(&run.strategy_hash)?.unwrap_or_default();
    Ok(Some(springtide_pine::render::render(&run.diagnostics, &text, &run.source, color)))
}

fn metrics(run: &RunRecord, width: usize, paint: Paint) -> String {
    let Some(values) = &run.metrics else { return String::new() };
    let cells: Vec<(String, String)> =
        METRICS.iter().map(|m| (m.title.to_owned(), metric_text(m.name, values.get(m.name)))).collect();
    blocks(&cells, 4, width, paint)
}

fn body(term: Term, detail: &RunDetail, trades: usize) -> String {
    format!("\n{}{}", chart(detail, term.width, term.out()), trade_table(term, &detail.trades, trades))
}

/// Notes and log of a run that was computed again.
fn remarks(detail: &RunDetail, paint: Paint) -> String {
    let notes = detail.notes.iter().map(|note| format!("{} {}\n", paint.yellow("note:"), printable(note)));
    let logs = detail.logs.iter().take(20).map(|line| format!("{} {}\n", paint.dim("log:"), printable(line)));
    notes.chain(logs).collect()
}

/// The equity as a curve, or in one line where it never moves.
fn chart(detail: &RunDetail, width: usize, paint: Paint) -> String {
    let mut out = String::new();
    let equity = &detail.curve.equity;
    let axis = 16;
    let lines = braille(equity, width.saturating_sub(axis).clamp(20, 160), CHART_HEIGHT);
    let high = equity.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = equity.iter().copied().fold(f64::INFINITY, f64::min);
    if high == low {
        return format!("equity {} at every bar's close\n", group(high, 2));
    }
    for (i, line) in lines.iter().enumerate() {
        let label = match i {
            0 => group(high, 0),
            i if i + 1 == lines.len() => group(low, 0),
            _ => String::new(),
        };
        out.push_str(&format!("{label:>14}  {}\n", paint.cyan(line)));
    }
    if let (Some(first), Some(last)) = (detail.curve.t.first(), detail.curve.t.last()) {
        out.push_str(&paint.dim(format!(
            "{:>16}{} to {}, equity at bar closes\n",
            "",
            &iso(*first)[..10],
            &iso(*last)[..10]
        )));
    }
    out
}

fn trade_table(term: Term, trades: &[TradeRow], count: usize) -> String {
    if trades.is_empty() || count == 0 {
        return if trades.is_empty() { "No trade.\n".into() } else { String::new() };
    }
    let columns = [
        Column::right("#"),
        Column::left("side"),
        Column::left("entry"),
        Column::right("price"),
        Column::left("exit"),
        Column::right("price"),
        Column::right("qty"),
        Column::right("profit"),
        Column::right("%"),
        Column::text("signals"),
    ];
    let short = |ms: i64| iso(ms)[..16].replace('T', " ");
    let shown = &trades[trades.len().saturating_sub(count)..];
    let rows: Vec<Vec<Cell>> = shown
        .iter()
        .map(|t| {
            vec![
                t.n.to_string().into(),
                t.side.into(),
                short(t.entry_ms).into(),
                format!("{}", t.entry_price).into(),
                t.exit_ms.map_or_else(|| "open".to_owned(), short).into(),
                t.exit_price.map_or_else(|| "–".to_owned(), |p| p.to_string()).into(),
                format!("{:.6}", t.qty).trim_end_matches('0').trim_end_matches('.').to_owned().into(),
                Cell::signed(group(t.profit, 2), t.profit),
                t.profit_pct.map(|p| group(p, 2)).unwrap_or_default().into(),
                format!("{} / {}", t.entry, t.exit).into(),
            ]
        })
        .collect();
    let title = if trades.len() > shown.len() {
        format!("\nThe last {} of {} trades (--trades N shows more)\n", shown.len(), trades.len())
    } else {
        format!("\n{} trades\n", trades.len())
    };
    format!("{}{}", term.out().bold(title), render(&columns, &rows, term.table, term.color_out))
}
