//! What a batch says of its runs when it is done, besides their numbers: which failed, which took no trade, and which
//! were on other bars than those named.

use crate::{commands::Context, output::count};
use springtide_lab::{ledger::RunRecord, python::BarsOf};
use std::collections::{BTreeMap, BTreeSet};

/// Failed runs, each reason once with how many runs share it.
pub fn failures(context: &Context, runs: &[RunRecord]) {
    let mut reasons: BTreeMap<(String, String), u64> = BTreeMap::new();
    for run in runs.iter().filter(|r| r.error.is_some()) {
        let what = format!("{} on {}", run.strategy, run.data);
        *reasons.entry((run.error.clone().unwrap_or_default(), what)).or_default() += 1;
    }
    let paint = context.term.err();
    for ((error, what), count) in reasons.iter().take(10) {
        let times = if *count > 1 { format!(" ({count} runs)") } else { String::new() };
        context.term.note(&format!("{} {what}{times}: {error}", paint.red("failed")));
    }
    if reasons.len() > 10 {
        context.term.note(&format!(
            "... and {} more; `tide board --where 'status != ok'` lists them",
            reasons.len() - 10
        ));
    }
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
            let paint = context.term.err();
            let runs = count(found.len() as u64, "run", "runs");
            context.term.note(&format!("{} {runs} {what}: {}", paint.yellow("note:"), first_few(names)));
        }
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
    let (paint, runs) = (context.term.err(), count(total, "run", "runs"));
    context.term.note(&format!("{} {runs} took no trade. {}{more}", paint.yellow("note:"), told.join("; ")));
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
