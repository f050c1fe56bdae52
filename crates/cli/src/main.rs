//! `tide`: turns trading ideas into tested strategies.

mod args;
mod chart;
mod commands;
mod exit;
mod interrupt;
mod output;
mod progress;
mod table;
mod term;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    exit::restore_sigpipe();
    match args::parse() {
        Ok(command) => exit::finish(commands::run(command)),
        Err(code) => code,
    }
}
