//! `tide`: turns trading ideas into tested strategies.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic on a full disk: use those of `out`")]

// First, so that its macros are seen by all that follow.
#[macro_use]
mod out;

mod args;
mod chart;
mod commands;
mod exit;
mod interrupt;
mod log;
mod net;
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

use springtide_lab::LabError;
use springtide_runtime::observe::Observatory;
use std::process::ExitCode;

/// Room for so many descriptors from the start, 32 KiB: connections, children and files of a large batch.
const DESCRIPTORS: u64 = 4_096;

fn main() -> ExitCode {
    // This program started by itself, to watch over child processes.
    if let Some(code) = springtide_runtime::process::enter(std::env::args_os()) {
        return code;
    }
    // Or to confine a program, which it then becomes.
    springtide_sandbox::enter(std::env::args_os());
    exit::restore_sigpipe();
    springtide_io::machine::make_room_for_descriptors(DESCRIPTORS);
    // Before anything else takes time: an unheard signal would end the process.
    let seen = Observatory::new(args::command_line());
    let signals = match interrupt::Signals::listen(&seen) {
        Ok(signals) => signals,
        Err(source) => {
            return exit::finish(Err(LabError::File { path: "signal handler".into(), source }));
        }
    };
    match args::parse() {
        Ok(cli) => match log::start(&cli, seen.health()) {
            // The log ends after the command's last word.
            Ok(_log) => exit::finish(commands::run(cli, seen, signals)),
            Err(error) => exit::finish(Err(error)),
        },
        Err(code) => code,
    }
}
