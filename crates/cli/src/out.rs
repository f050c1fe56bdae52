//! What goes to stdout and stderr: `print!` and its kin as everywhere in this program, in place of the standard library's.
//!
//! Those panic where nothing can be written. Here the first failure on stdout is kept, nothing more is written there, and the
//! command goes on: what it does beside printing counts (a batch's runs lie in the ledger). At its end the failure is told, and
//! is the program's exit code. Who cannot be told on stderr cannot be told at all.

use springtide_lab::LabError;
use std::{
    fmt,
    io::{self, Write},
    sync::OnceLock,
};

/// The first failure on stdout.
static LOST: OnceLock<io::Error> = OnceLock::new();

macro_rules! print {
    ($($text:tt)*) => { $crate::out::to_stdout(format_args!($($text)*)) };
}

macro_rules! println {
    ($($text:tt)*) => { $crate::out::to_stdout(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::out::to_stderr(format_args!($($text)*)) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::out::to_stderr(format_args!("{}\n", format_args!($($text)*))) };
}

pub fn to_stdout(text: fmt::Arguments<'_>) {
    keep_failure(|out| out.write_fmt(text));
}

pub fn to_stderr(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Hands on what waits for the end of its line.
pub fn flush() {
    keep_failure(|out| out.flush());
}

fn keep_failure(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    if LOST.get().is_none()
        && let Err(error) = write(&mut io::stdout().lock())
    {
        // Of two threads that fail at once, one tells.
        let _ = LOST.set(error);
    }
}

/// An error when anything that was to be printed was not.
pub fn check() -> Result<(), LabError> {
    flush();
    LOST.get().map_or(Ok(()), |error| Err(unwritten(error)))
}

/// The error of a stdout that cannot be written.
pub fn unwritten(error: &io::Error) -> LabError {
    LabError::Data(format!("cannot write to stdout: {error}"))
}
