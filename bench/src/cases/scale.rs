//! Many strategies on several markets, by one worker and by two, through the program with its ledger.

use super::tide;
use crate::{
    contest::{Done, Entry, Setup},
    inputs,
    table::{Comparison, Verdict, number},
};
use serde_json::{Value, json};
use springtide_io::{DataStore, ImportOptions};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Copies of each shipped strategy, told apart by a comment: other texts, so each is checked and kept for itself.
const COPIES: usize = 16;
const MARKETS: u64 = 4;
const ONE: &str = "tide backtest -j1";
const TWO: &str = "tide backtest -j2";

/// Ours beside ours.
pub fn compare(setup: &Setup) -> Result<Vec<Comparison>, String> {
    let (scripts, count) = scripts(setup.scratch.path())?;
    let markets = markets(setup.scratch.path())?;
    let runs = count * markets.len();
    let one = measure(ONE, &scripts, &markets, "1").check(|r| is_complete(r, runs));
    let sum = one.outcome.as_ref().ok().map(|m| m.result.clone());
    let two = measure(TWO, &scripts, &markets, "2").check(|r| {
        sum.as_ref().map_or(Ok(()), |s| if s == r { Ok(()) } else { Err("other equities".into()) })
    });
    let mut comparison = Comparison {
        title: format!("Batch: {count} strategies on {} markets of 31,066 bars", markets.len()),
        note: "The whole program: scripts read and checked, bars mapped, every run recorded on disk (fsync) and \
               printed as JSON. Checked: all runs succeed, and both give the same equities."
            .into(),
        rate: Some(("runs/s", runs as f64)),
        unit: ("ms", 1e3),
        entries: vec![one.into_base(), two],
        verdicts: Vec::new(),
    };
    let gain = comparison.ratio(ONE, TWO).map(|r| (format!("{}x", number(r)), r >= 1.8));
    comparison.verdicts = vec![Verdict::new("two workers do at least 1.8 times as much", gain)];
    Ok(vec![comparison])
}

/// A folder of scripts, and how many there are.
fn scripts(scratch: &Path) -> Result<(PathBuf, usize), String> {
    let folder = scratch.join("strategies");
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../strategies");
    let mut count = 0;
    for entry in fs::read_dir(&shipped).map_err(|e| format!("{}: {e}", shipped.display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for copy in 0..COPIES {
            let target = folder.join(format!("{stem}_{copy}.pine"));
            fs::write(target, format!("{text}\n// Copy {copy}.\n")).map_err(|e| e.to_string())?;
            count += 1;
        }
    }
    Ok((folder, count))
}

/// Bar files of seeded walks.
fn markets(scratch: &Path) -> Result<Vec<PathBuf>, String> {
    let mut places = Vec::new();
    let store = DataStore::new(scratch.join("data"));
    for seed in 0..MARKETS {
        let source = inputs::walk(scratch, seed)?;
        let symbol = Some(format!("WALK{seed}-USD"));
        let options = ImportOptions { symbol, ..ImportOptions::default() };
        store.import(&[source], &options).remove(0).map_err(|e| e.to_string())?;
    }
    let listing = store.ls().map_err(|e| e.to_string())?;
    places.extend(listing.entries.into_iter().map(|e| e.path));
    Ok(places)
}

fn measure(name: &str, scripts: &Path, markets: &[PathBuf], workers: &str) -> Entry {
    let scripts = scripts.to_string_lossy();
    let markets: Vec<String> = markets.iter().map(|m| m.to_string_lossy().into_owned()).collect();
    let mut arguments = vec!["-q", "backtest", &scripts, "-j", workers, "--json", "--data"];
    arguments.extend(markets.iter().map(String::as_str));
    tide::measure(name, &arguments, read)
}

/// Runs that succeeded, and the bits of their equities in an order of their own.
fn read(done: &Done) -> Result<Value, String> {
    let mut runs: Vec<(String, u64)> = Vec::new();
    for line in done.stdout.lines() {
        let run: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
        if run["status"] != "ok" {
            return Err(format!("WRONG RESULT: {} on {}: {}", run["strategy"], run["data"], run["error"]));
        }
        let equity = run["metrics"]["equity_final"].as_f64().unwrap_or(f64::NAN);
        runs.push((run["run"].to_string(), equity.to_bits()));
    }
    runs.sort();
    let mix = runs.iter().fold(0u64, |mix, (_, bits)| mix.rotate_left(7) ^ bits);
    Ok(json!({ "runs": runs.len(), "equities": mix }))
}

fn is_complete(result: &Value, runs: usize) -> Result<(), String> {
    if result["runs"] == runs { Ok(()) } else { Err(format!("{} runs of {runs}", result["runs"])) }
}
