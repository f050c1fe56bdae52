//! `tide ledger`: the database behind runs and boards.

use super::Context;
use crate::{
    args::LedgerCommand,
    exit::{CommandResult, Ending},
    output::{group, si},
    term::printable,
};
use springtide_lab::LabError;

/// Backs it up or checks it.
pub fn run(context: &Context, command: &LedgerCommand) -> CommandResult {
    let ledger = context.workspace.existing_ledger()?;
    match command {
        LedgerCommand::Backup { file } => {
            let made = ledger.database().backup(file).map_err(LabError::from)?;
            let took = made.took.as_secs_f64() * 1e3;
            println!("{}: {}B, checked, in {took:.0} ms", file.display(), si(made.bytes as f64));
            Ok(Ending::Ok)
        }
        LedgerCommand::Check => {
            let problems = ledger.database().check().map_err(LabError::from)?;
            for problem in &problems {
                println!("{}", printable(problem));
            }
            if !problems.is_empty() {
                return Ok(Ending::Failed);
            }
            let counts = ledger.counts()?;
            let runs: Vec<String> =
                counts.iter().map(|(s, n)| format!("{} {s}", group(*n as f64, 0))).collect();
            println!("{}: sound; {}", ledger.database().path().display(), runs.join(", "));
            Ok(Ending::Ok)
        }
    }
}
