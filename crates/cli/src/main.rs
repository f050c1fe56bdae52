//! `tide`: turns trading ideas into tested strategies.

mod args;
mod chart;
mod commands;
mod exit;
mod interrupt;
mod log;
mod observe;
mod otlp;
mod output;
mod progress;
mod python;
mod run_log;
mod table;
mod term;
mod watch;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    // This program started by itself, to watch over child processes.
    if let Some(code) = springtide_runtime::process::enter(std::env::args_os()) {
        return code;
    }
    // Or to confine a program, which it then becomes.
    springtide_sandbox::enter(std::env::args_os());
    exit::restore_sigpipe();
    match args::parse() {
        Ok(cli) => match log::start(&cli) {
            // The log ends after the command's last word.
            Ok(_log) => exit::finish(commands::run(cli)),
            Err(error) => exit::finish(Err(error)),
        },
        Err(code) => code,
    }
}
