//! Measures springtide beside its rivals in one run: `cargo run --release -p springtide-bench -- [CASE]`.
//!
//! Every contestant, ours included, works in a process of its own, so that peak memory is its own and nothing is
//! warm from the one before. No time is shown for a result that was not checked. See `README.md` beside this crate.

mod args;
mod cases;
mod contest;
mod inputs;
mod table;

use args::{Args, Case, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.command {
        Some(Command::Own { case, arguments }) => cases::own(&case, &arguments).map(|()| true),
        None => compare(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the cases asked for; false when a result was wrong or one of ours failed.
fn compare(args: &Args) -> Result<bool, String> {
    let setup = contest::Setup::find(args)?;
    setup.tell();
    let mut sound = true;
    let mut markdown = String::new();
    for case in args.case.unwrap_or(Case::All).each() {
        for comparison in cases::run(case, &setup)? {
            print!("{}", comparison.text());
            sound &= comparison.is_sound();
            markdown.push_str(&comparison.markdown());
        }
    }
    if let Some(path) = &args.markdown {
        std::fs::write(path, markdown).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(sound)
}
