//! How the program ends: messages and exit codes, in one place.

use crate::{out, term::printable};
use springtide_lab::LabError;
use std::process::ExitCode;

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything asked for was done.
    Ok,
    /// It ran, and what it looked at is not in order (check, rerun).
    Failed,
    /// Some runs failed, the others are there.
    Partly,
    /// The person interrupted it.
    Interrupted,
}

/// A command's result.
pub type CommandResult = Result<Ending, LabError>;

/// Prints an error and picks the exit code. What could not be printed is an error, too.
pub fn finish(result: CommandResult) -> ExitCode {
    match result.and_then(|ending| out::check().map(|()| ending)) {
        Ok(Ending::Ok) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::from(1),
        Ok(Ending::Partly) => ExitCode::from(4),
        Ok(Ending::Interrupted) => ExitCode::from(130),
        Err(error) => {
            eprintln!("tide: {}", printable(&error.to_string()));
            ExitCode::from(if is_usage(&error) { 2 } else { 1 })
        }
    }
}

fn is_usage(error: &LabError) -> bool {
    matches!(
        error,
        LabError::Usage(_) | LabError::BadSweep { .. } | LabError::Filter(_) | LabError::AmbiguousRun { .. }
    )
}

/// Lets `tide board | head` end quietly: Rust ignores SIGPIPE and would report a broken pipe instead.
pub fn restore_sigpipe() {
    // SAFETY: called first thing in main, before any thread exists; SIG_DFL is a valid handler.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
