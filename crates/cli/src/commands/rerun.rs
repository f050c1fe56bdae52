//! `tide rerun`: repeats recorded runs and compares every number.

use super::Context;
use crate::{
    args::RerunArgs,
    exit::{CommandResult, Ending},
    term::printable,
};
use springtide_lab::replay;

/// 1 when any run differs from its record.
pub fn run(context: &Context, args: &RerunArgs) -> CommandResult {
    let ledger = context.workspace.existing_ledger()?;
    let paint = context.term.out();
    let mut differing = 0;
    for id in &args.runs {
        let record = ledger.find(id)?;
        let name =
            format!("{}  {} on {} {}", record.id.short(), record.strategy, record.symbol, record.timeframe);
        let name = printable(&name);
        if record.metrics.is_none() {
            let error = record.error.unwrap_or_default();
            println!("{name}: {} then: {}", record.status.as_str(), printable(&error));
            differing += 1;
            continue;
        }
        let (store, cache) = (context.workspace.data(), context.workspace.cache());
        let python: replay::StartPython<'_> =
            &|facts, rules| crate::python::again(&args.interpreter, facts, rules);
        let replay = replay::run(&ledger, &record, &store, &cache, python)?;
        match replay.difference() {
            None => println!(
                "{name}: {}",
                paint.green(format!(
                    "equal, all metrics and {} trades bit for bit",
                    replay.output.simulation.trades.len()
                ))
            ),
            Some(difference) => {
                differing += 1;
                println!("{name}: {}", paint.red(difference));
            }
        }
    }
    Ok(if differing == 0 { Ending::Ok } else { Ending::Failed })
}
