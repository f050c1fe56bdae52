//! One file per command.

mod backtest;
mod bench;
mod board;
mod check;
mod data;
mod demo;
mod doctor;
mod export;
mod fetch;
mod helpers;
mod ledger;
pub mod money;
mod python;
mod rerun;
mod rules;
mod show;
mod tasks;
mod top;

use crate::{
    args::{Cli, Command},
    exit::CommandResult,
    interrupt::Signals,
    term::Term,
    workspace::Workspace,
};
use springtide_runtime::observe::Observatory;

/// What every command needs.
#[derive(Clone, Debug)]
pub struct Context {
    pub term: Term,
    pub workspace: Workspace,
    /// What this process shows of itself.
    pub seen: Observatory,
    pub signals: Signals,
}

/// Runs the command that was asked for.
pub fn run(cli: Cli, seen: Observatory, signals: Signals) -> CommandResult {
    let term = Term::detect(&cli);
    let workspace = Workspace::locate(cli.workspace.as_deref())?;
    let context = Context { term, workspace, seen, signals };
    match cli.command {
        Command::Demo(args) => demo::run(&context, &args),
        Command::Backtest(args) => backtest::run(&context, &args),
        Command::Check(args) => check::run(&context, &args),
        Command::Python(command) => python::run(&context, &command),
        Command::Data(command) => data::run(&context, &command),
        Command::Board(args) => board::run(&context, &args),
        Command::Show(args) => show::run(&context, &args),
        Command::Rerun(args) => rerun::run(&context, &args),
        Command::Export(args) => export::run(&context, &args),
        Command::Rules(args) => rules::run(&context, &args),
        Command::Bench(args) => bench::run(&context, &args),
        Command::Top(args) => top::run(&context, &args),
        Command::Tasks(args) => tasks::run(&context, &args),
        Command::Doctor(args) => doctor::run(&context, &args),
        Command::Ledger(command) => ledger::run(&context, &command),
    }
}
