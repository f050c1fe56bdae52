//! Strategies written for backtesting.py, on our package and on the original.

use crate::{
    contest::Setup,
    table::{Comparison, Verdict, number},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

const OURS: &str = "springtide";
const ORIGINAL: &str = "backtesting.py";

/// The same script with both, in turn.
pub fn compare(setup: &Setup) -> Result<Vec<Comparison>, String> {
    let package = package(setup.scratch.path())?;
    let data = setup.data.to_str().ok_or("the data's path is no text")?;
    let bars = super::market::load(data)?.bars.len();
    let cases = [
        ("cross", "a Python `next` with two `crossover`", 15.0),
        ("vectors", "`SignalStrategy`, whose `next` is never needed", 100.0),
    ];
    let mut comparisons = Vec::new();
    for (strategy, what, times) in cases {
        for (part, note) in [
            ("simulation", "Indicators and simulation, statistics left out."),
            ("whole", "All of `run()`: indicators, simulation, statistics, tables."),
        ] {
            let arguments = ["compare", data, strategy, part];
            let ours = setup.rival(OURS, "strategies.py", &arguments, Some(&package));
            let original = setup.rival(ORIGINAL, "strategies.py", &arguments, None);
            let (Some(ours), Some(original)) = (ours, original) else { return Ok(comparisons) };
            let known = original.outcome.as_ref().ok().map(|m| m.result.clone());
            let entries = vec![
                ours.check(|result| match &known {
                    Some(known) => is_same(result, known),
                    None => Ok(()),
                })
                .into_base(),
                original,
            ];
            let mut comparison = Comparison {
                title: format!("backtesting.py's interface: {what}, {bars} bars, {part}"),
                note: format!("{note} Checked: final equity and trades are the original's."),
                rate: Some(("M bars/s", bars as f64 / 1e6)),
                unit: ("ms", 1e3),
                entries,
                verdicts: Vec::new(),
            };
            if part == "simulation" {
                let speeds = comparison.speed(OURS).zip(comparison.speed(ORIGINAL));
                let times_as_fast = speeds.map(|(ours, original)| ours / original);
                let reached = times_as_fast.map(|x| (format!("{}x", number(x)), x >= times));
                comparison.verdicts =
                    vec![Verdict::new(&format!("at least {times} times the original"), reached)];
            }
            comparisons.push(comparison);
        }
    }
    Ok(comparisons)
}

fn is_same(ours: &Value, original: &Value) -> Result<(), String> {
    if ours == original { Ok(()) } else { Err(format!("{ours}, the original {original}")) }
}

/// The package with the library of this build, in a folder for Python's path.
fn package(scratch: &Path) -> Result<PathBuf, String> {
    let name = format!("{}backtesting_native{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = std::env::current_exe().map_err(|e| e.to_string())?.with_file_name(&name);
    if !library.exists() {
        return Err(format!(
            "{} is not there: build it with `cargo build --release -p springtide-backtesting`",
            library.display()
        ));
    }
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/backtesting/python/backtesting");
    let folder = scratch.join("python");
    let to = folder.join("backtesting");
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            let path = entry?.path();
            if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|e| e == "py")) {
                fs::copy(&path, to.join(name))?;
            }
        }
        fs::copy(&library, to.join("_native.abi3.so")).map(|_| ())
    };
    copy().map_err(|e| format!("{}: {e}", from.display()))?;
    Ok(folder)
}
