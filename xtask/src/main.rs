//! Checks and chores of this repository: `cargo xtask COMMAND`.

mod ci;
mod corpus;
mod package;
mod pages;
mod parity;
mod python;
mod tidy;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const HELP: &str = "\
cargo xtask COMMAND
  ci       everything that must hold before a change lands
  tidy     the rooms' promises: dependencies, purity, file sizes
  parity [NAME]
           our trades beside exported TradingView lists in corpora/; of one probe, what differs
  python-parity SCRIPTS DATA.csv PYTHON [OPTIONS of crates/backtesting/tests/parity/corpus.py]
           scripts with our package `backtesting` and with the original that PYTHON has, compared;
           `--rules backtesting_py_0_3` where that is version 0.3.3
  python-fuzz PYTHON [FIRST:END [OPTIONS of fuzz.py]]
           random accounts and orders through both, compared; `--rules` likewise
  python-package
           our `backtesting` package beside the release build, where `tide` finds it
  pages    the demo's report in a real browser
  corpus-check [--list]
           which share of the scripts below corpora/ can be read
  corpus-run
           checks and runs every script below corpora/ (release build)
  crash-loop [ROUNDS]
           kills a batch at random moments and resumes it, 200 rounds (release build)
  soak [--minutes N]
           batches, tasks, children and channels over and over, 10 minutes: memory, descriptors and threads
           must stay level (release build)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("ci") => ci::run(&root()),
        Some("tidy") => tidy::check(&root()).and_then(|broken| match broken.len() {
            0 => Ok(()),
            n => Err(format!("{}\n{n} broken promises", broken.join("\n"))),
        }),
        Some("parity") => parity::report(&root(), arguments.get(1).map(String::as_str)),
        Some("python-parity") => python::corpus(&root(), &arguments[1..]),
        Some("python-fuzz") => python::fuzz(&root(), &arguments[1..]),
        Some("python-package") => package::lay_out(&root()).map(|folder| println!("{}", folder.display())),
        Some("pages") => pages::check(&root()),
        Some("corpus-run") => release(&root()).and_then(|tide| corpus::run::run(&root(), &tide)),
        Some("crash-loop") => crash_loop(&root(), arguments.get(1).map_or("200", String::as_str)),
        Some("soak") => soak(&root(), &arguments[1..]),
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

/// Builds the program as a person uses it; its path.
fn release(root: &Path) -> Result<PathBuf, String> {
    cargo(root, &["build", "--release", "--locked", "--package", "springtide-cli", "--bin", "tide"], &[])?;
    let here = std::env::current_exe().map_err(|e| format!("own path: {e}"))?;
    let target = here.ancestors().nth(2).ok_or("own path has no target folder")?;
    Ok(target.join("release/tide"))
}

fn crash_loop(root: &Path, rounds: &str) -> Result<(), String> {
    let arguments = [
        "test",
        "--release",
        "--locked",
        "--package",
        "springtide-cli",
        "--test",
        "crash",
        "--",
        "--nocapture",
    ];
    cargo(root, &arguments, &[("TIDE_CRASH_ROUNDS", rounds)])
}

fn soak(root: &Path, options: &[String]) -> Result<(), String> {
    let mut arguments =
        vec!["run", "--release", "--locked", "--package", "springtide-lab", "--example", "soak", "--"];
    arguments.extend(options.iter().map(String::as_str));
    cargo(root, &arguments, &[])
}

fn cargo(root: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<(), String> {
    let status = Command::new("cargo")
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(root)
        .status()
        .map_err(|e| format!("cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {}: {status}", arguments[0])) }
}

/// The repository's folder: the parent of this crate's.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
