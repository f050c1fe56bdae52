//! What a batch says of its runs when it is done, besides their numbers: which failed, which took no trade, which were
//! on other bars than those named, and how many were the same as another.

use crate::{
    commands::Context,
    output::count,
    term::{cut, printable},
};
use springtide_lab::{ledger::RunRecord, python::BarsOf};
use std::collections::{BTreeMap, BTreeSet};

/// Columns of an error that are printed; the record keeps more.
const ERROR_MOST: usize = 300;

/// Failed runs, each reason once with how many runs share it.
pub fn failures(context: &Context, runs: &[RunRecord]) {
    let mut reasons: BTreeMap<(&str, String), Vec<&RunRecord>> = BTreeMap::new();
    for run in runs {
        let Some(error) = run.error.as_deref() else { continue };
        let what = format!("{} on {}", run.strategy, run.data);
        reasons.entry((error, what)).or_default().push(run);
    }
    let failed = context.term.err().red("failed");
    for ((error, what), runs) in reasons.iter().take(10) {
        let times = if runs.len() > 1 { format!(" ({} runs)", runs.len()) } else { String::new() };
        context.term.note_as(&failed, &format!("{what}{times}: {}", error_text(error, runs[0])));
    }
    if reasons.len() > 10 {
        context.term.note(&format!(
            "... and {} more; `tide board --where 'status != ok'` lists them",
            reasons.len() - 10
        ));
    }
}

/// The error, or how it begins and where all of it is.
fn error_text(error: &str, run: &RunRecord) -> String {
    let clean = printable(error);
    let text = cut(&clean, ERROR_MOST);
    if text.len() == clean.len() {
        return text.into_owned();
    }
    format!("{text} (`tide show {}` shows more)", run.id.short())
}

/// Runs whose bars are not those that were named, in one line for each kind.
pub fn other_bars(context: &Context, runs: &[RunRecord]) {
    for (kind, what) in [
        (BarsOf::Own, "on data that the script brings along, not on that of --data"),
        (BarsOf::Changed, "on bars that the script has made of those of --data"),
    ] {
        let is_of = |run: &&RunRecord| run.python.as_ref().is_some_and(|facts| facts.bars == kind);
        let found: Vec<&RunRecord> = runs.iter().filter(is_of).collect();
        if !found.is_empty() {
            let names = found.iter().map(|run| format!("{} ({})", run.strategy, run.market()));
            let runs = count(found.len() as u64, "run", "runs");
            note(context, &format!("{runs} {what}: {}", first_few(names)));
        }
    }
}

/// Runs that are the same as another and therefore share its row and its record.
pub fn equal(context: &Context, runs: &[RunRecord]) {
    let different: BTreeSet<_> = runs.iter().map(|run| &run.id).collect();
    let more = (runs.len() - different.len()) as u64;
    if more > 0 {
        let text = count(more, "run is", "runs are");
        note(context, &format!("{text} the same as another: equal script, data and settings"));
    }
}

/// Runs without a trade and why, in one line.
pub fn idle(context: &Context, runs: &[RunRecord]) {
    let mut reasons: Vec<(&str, Vec<&RunRecord>)> = Vec::new();
    let mut total = 0;
    for run in runs {
        let Some(why) = run.python.as_ref().and_then(|facts| facts.no_trade.as_deref()) else { continue };
        total += 1;
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, runs)) => runs.push(run),
            None => reasons.push((why, vec![run])),
        }
    }
    if total == 0 {
        return;
    }
    let told: Vec<String> = reasons
        .iter()
        .take(FEW)
        .map(|(why, runs)| {
            format!(
                "{}: {why}",
                first_few(runs.iter().map(|run| format!("{} on {}", run.strategy, run.data)))
            )
        })
        .collect();
    let more = match reasons.len().saturating_sub(FEW) {
        0 => String::new(),
        1 => "; 1 more reason, which `tide show RUN` tells".into(),
        n => format!("; {n} more reasons, which `tide show RUN` tells"),
    };
    let runs = count(total, "run", "runs");
    note(context, &format!("{runs} took no trade. {}{more}", told.join("; ")));
}

fn note(context: &Context, text: &str) {
    context.term.note_as(&context.term.err().yellow("note:"), text);
}

/// How many are named of what many runs share.
const FEW: usize = 3;

/// The first of some names, each once, and how many there are besides.
fn first_few(names: impl Iterator<Item = String>) -> String {
    let all: BTreeSet<String> = names.collect();
    let more = match all.len().saturating_sub(FEW) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{}{more}", all.into_iter().take(FEW).collect::<Vec<_>>().join(", "))
}
