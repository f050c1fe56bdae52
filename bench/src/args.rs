//! The command line.

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Measures springtide beside its rivals in one run.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// What to compare.
    pub case: Option<Case>,
    /// 15-minute bars to work on (`time, open, high, low, close, volume`). Without it a seeded walk of 31,066 bars.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Python environment with the rivals, made by `bench/setup`.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv"))]
    pub venv: PathBuf,
    /// Leave the rivals out.
    #[arg(long)]
    pub alone: bool,
    /// Size of the CSV file for `ingest`.
    #[arg(long, value_name = "MB", default_value_t = 200)]
    pub megabytes: u64,
    /// Writes the tables as Markdown too.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// How contestants of ours are started; not for people.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Does one piece of work and prints a line of JSON.
    #[command(hide = true)]
    Own { case: String, arguments: Vec<String> },
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// 1,380 SMA crosses from a script, with statistics.
    Sweep,
    /// One SMA cross with statistics.
    Single,
    /// Strategies written for backtesting.py, on our Python package and on the original.
    Python,
    /// CSV with dates to columns.
    Ingest,
    /// Batch throughput of one worker and of two.
    Scale,
    /// Cost of a task in the scheduler, beside rayon.
    Sched,
    /// Indicator kernels, beside TA-Lib.
    Ta,
    /// All of them.
    All,
}

impl Case {
    /// Itself, or all that there are.
    pub fn each(self) -> Vec<Self> {
        let all = [Self::Sweep, Self::Single, Self::Python, Self::Ingest, Self::Scale, Self::Sched, Self::Ta];
        if self == Self::All { all.to_vec() } else { vec![self] }
    }
}
