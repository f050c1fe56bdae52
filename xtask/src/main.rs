//! Checks and chores of this repository: `cargo xtask COMMAND`.

mod ci;
mod corpus;
mod pages;
mod parity;
mod tidy;

use std::{path::PathBuf, process::ExitCode};

const HELP: &str = "\
cargo xtask COMMAND
  ci       everything that must hold before a change lands
  tidy     the rooms' promises: dependencies, purity, file sizes
  parity   our trades beside exported TradingView lists in corpora/
  pages    the demo's report in a real browser
  corpus-check [--list]
           which share of the scripts below corpora/ can be read
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("ci") => ci::run(&root()),
        Some("tidy") => tidy::check(&root()).and_then(|broken| match broken.len() {
            0 => Ok(()),
            n => Err(format!("{}\n{n} broken promises", broken.join("\n"))),
        }),
        Some("parity") => parity::report(&root()),
        Some("pages") => pages::check(&root()),
        Some("corpus-check") => corpus::check(&root(), arguments.iter().any(|a| a == "--list")),
        _ => Err(HELP.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's folder: the parent of this crate's.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
