//! Our Python package `backtesting` beside the original: `crates/backtesting/tests/parity` drives both.

use super::cargo;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

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
    let [python, seeds @ ..] = arguments else {
        return Err("cargo xtask python-fuzz PYTHON [FIRST:END]".into());
    };
    let seeds = seeds.first().map_or("0:200", String::as_str);
    drive(root, "fuzz.py", python, &["--seeds", seeds])
}

fn drive(root: &Path, script: &str, python: &str, arguments: &[&str]) -> Result<(), String> {
    let package = package(root)?;
    let status = Command::new(python)
        .arg(root.join("crates/backtesting/tests/parity").join(script))
        .args(arguments)
        .arg("--ours")
        .arg(package)
        .status()
        .map_err(|e| format!("{python}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{script}: {status}")) }
}

/// Builds the package as a person uses it; the folder to put on Python's path.
fn package(root: &Path) -> Result<PathBuf, String> {
    cargo(root, &["build", "--release", "--locked", "--package", "springtide-backtesting"], &[])?;
    let here = std::env::current_exe().map_err(|e| format!("own path: {e}"))?;
    let target = here.ancestors().nth(2).ok_or("own path has no target folder")?;
    let name = format!("{}backtesting_native{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let folder = root.join("crates/backtesting/python");
    let (from, to) = (target.join("release").join(name), folder.join("backtesting/_native.abi3.so"));
    fs::copy(&from, &to).map_err(|e| format!("{} to {}: {e}", from.display(), to.display()))?;
    Ok(folder)
}
