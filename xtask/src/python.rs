//! Our Python package `backtesting` beside the original: `crates/backtesting/tests/parity` drives both.

use super::package;
use std::{path::Path, process::Command};

/// Scripts with both: the folder of the scripts, the bars they read, the Python that has the original.
pub fn corpus(root: &Path, arguments: &[String]) -> Result<(), String> {
    let [scripts, data, python, options @ ..] = arguments else {
        return Err("cargo xtask python-parity SCRIPTS DATA.csv PYTHON [OPTIONS]".into());
    };
    let mut all = vec![scripts.as_str(), "--data", data];
    all.extend(options.iter().map(String::as_str));
    drive(root, "corpus.py", python, &all)
}

/// Random orders through both.
pub fn fuzz(root: &Path, arguments: &[String]) -> Result<(), String> {
    let [python, rest @ ..] = arguments else {
        return Err("cargo xtask python-fuzz PYTHON [FIRST:END [OPTIONS]]".into());
    };
    let (seeds, options) = rest.split_first().map_or(("0:200", rest), |(seeds, more)| (seeds.as_str(), more));
    let all: Vec<&str> = ["--seeds", seeds].into_iter().chain(options.iter().map(String::as_str)).collect();
    drive(root, "fuzz.py", python, &all)
}

fn drive(root: &Path, script: &str, python: &str, arguments: &[&str]) -> Result<(), String> {
    let package = package::lay_out(root)?;
    let status = Command::new(python)
        .arg(root.join("crates/backtesting/tests/parity").join(script))
        .args(arguments)
        .arg("--ours")
        .arg(package)
        .status()
        .map_err(|e| format!("{python}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{script}: {status}")) }
}
