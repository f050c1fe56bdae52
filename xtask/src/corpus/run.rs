//! `cargo xtask corpus-run`: checks and runs every collected script over one month of real bars.

use super::extract::{self, Sample};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A script that needs longer for a month of bars has a defect, or we have.
const TIMEOUT: &str = "20s";
/// Address space of the whole program, KiB; beyond it allocations fail and the run is not finished.
const MEMORY_KIB: u64 = 4 << 20;

/// What became of the scripts of one version.
#[derive(Default)]
struct Row {
    scripts: u64,
    checked: u64,
    strategies: u64,
    ran: u64,
    traded: u64,
}

/// Runs it and prints a table by version and the reasons of failure.
///
/// # Errors
/// When `tide` ends otherwise than with "partly done", that is by a panic, a hang or for want of memory, and
/// when a single script panics or is stopped by the time limit.
pub fn run(root: &Path, tide: &Path) -> Result<(), String> {
    let (corpora, data) = (root.join("corpora"), root.join("../shared/data/BTC-USD-15m.csv"));
    let samples = extract::scripts(&corpora);
    if samples.is_empty() || !data.exists() {
        println!("SKIPPED: no scripts below {} or no {}", corpora.display(), data.display());
        return Ok(());
    }
    let folder = tempfile::tempdir().map_err(|e| format!("temporary folder: {e}"))?;
    let names = write(&samples, folder.path())?;
    let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
    let mut versions = BTreeMap::new();
    for line in lines(tide, folder.path(), &["check", "--json", "scripts"])? {
        let version = line["version"].as_u64().unwrap_or(0);
        let row = rows.entry(version).or_default();
        row.scripts += 1;
        row.checked += u64::from(line["ok"] == true);
        versions.insert(text(&line["file"]), version);
    }
    let data = fs::canonicalize(&data).map_err(|e| format!("{}: {e}", data.display()))?;
    let data = data.to_string_lossy();
    let arguments = [
        "backtest",
        "scripts",
        "--data",
        &data,
        "--from",
        "2023-03-01",
        "--to",
        "2023-04-01",
        "--timeout",
        TIMEOUT,
        "--json",
        "-q",
    ];
    let mut reasons: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut broken = 0;
    for line in lines(tide, folder.path(), &arguments)? {
        let file = text(&line["source"]);
        let row = rows.entry(versions.get(&file).copied().unwrap_or(0)).or_default();
        let sample = names.get(&file).map(|at| &samples[*at]);
        row.strategies += u64::from(sample.is_some_and(|s| extract::is_strategy(&s.source)));
        if line["status"] == "ok" {
            row.ran += 1;
            row.traded += u64::from(line["metrics"]["trades"].as_f64().is_some_and(|n| n > 0.0));
            continue;
        }
        let error = text(&line["error"]);
        if line["status"] == "timeout" || error.starts_with("internal error") {
            broken += 1;
            println!("{}: {error}", sample.map_or_else(|| file.clone(), |s| s.origin.display().to_string()));
        }
        let origin = sample.map_or_else(PathBuf::new, |s| s.origin.clone());
        reasons.entry(kind_of(&error)).or_default().push(origin);
    }
    print(&rows, &reasons);
    if broken > 0 {
        return Err(format!("{broken} scripts panicked or did not end within {TIMEOUT}"));
    }
    Ok(())
}

/// Writes every script into a file of its own; which sample each is, by the name that `tide` will call it.
fn write(samples: &[Sample], folder: &Path) -> Result<BTreeMap<String, usize>, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    fs::create_dir(folder.join("scripts")).map_err(fail)?;
    let mut names = BTreeMap::new();
    for (at, sample) in samples.iter().enumerate() {
        let name = format!("scripts/{at:05}.pine");
        fs::write(folder.join(&name), &sample.source).map_err(fail)?;
        names.insert(name, at);
    }
    Ok(names)
}

/// The JSON lines of a command that may be partly done.
fn lines(tide: &Path, folder: &Path, arguments: &[&str]) -> Result<Vec<serde_json::Value>, String> {
    let out = folder.join("out.jsonl");
    let file = fs::File::create(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\""))
        .arg(tide)
        .args(arguments)
        .current_dir(folder)
        .stdout(file)
        .stderr(Stdio::inherit())
        .status()
        .map_err(|e| format!("{}: {e}", tide.display()))?;
    if !matches!(status.code(), Some(0 | 1 | 4)) {
        return Err(format!("tide {}: {status}", arguments[0]));
    }
    let read = fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    read.lines().map(|l| serde_json::from_str(l).map_err(|e| format!("{e}: {l}"))).collect()
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// An error without its place and without the names in it, so that equal reasons count together.
fn kind_of(error: &str) -> String {
    let message = match error.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((_, message)) => message,
        None => error,
    };
    let message = message.split(" (and ").next().unwrap_or(message);
    let mut kind = String::new();
    for (at, part) in message.split('`').enumerate() {
        kind.push_str(if at % 2 == 0 { part } else { "`…`" });
    }
    kind.chars().take(110).collect()
}

fn print(rows: &BTreeMap<u64, Row>, reasons: &BTreeMap<String, Vec<PathBuf>>) {
    println!("version  scripts  checked  strategies   run          trade");
    let mut all = Row::default();
    for (version, row) in rows {
        println!("{}", line(&format!("v{version}"), row));
        // The language starts at version 4; what is older is counted but not promised.
        if (4..=6).contains(version) {
            all.scripts += row.scripts;
            all.checked += row.checked;
            all.strategies += row.strategies;
            all.ran += row.ran;
            all.traded += row.traded;
        }
    }
    println!("{}", line("v4-v6", &all));
    let mut sorted: Vec<_> = reasons.iter().collect();
    sorted.sort_by_key(|(_, files)| std::cmp::Reverse(files.len()));
    for (reason, files) in sorted.iter().take(25) {
        let example = files[0].file_name().unwrap_or_default().to_string_lossy();
        println!("{:>5}  {reason}  [{example}]", files.len());
    }
}

fn line(name: &str, row: &Row) -> String {
    let share = 100.0 * row.ran as f64 / row.strategies.max(1) as f64;
    format!(
        "{name:7} {:8} {:8} {:11} {:5} ({share:5.1} %) {:6}",
        row.scripts, row.checked, row.strategies, row.ran, row.traded
    )
}

#[cfg(test)]
mod tests {
    use super::kind_of;

    #[test]
    fn equal_reasons_count_together() {
        let one = kind_of("line 3:14: there is no function `ta.foo` (and 2 more; `tide check` shows all)");
        assert_eq!(one, "there is no function `…`");
        assert_eq!(one, kind_of("line 9:1: there is no function `bar`"));
        assert_eq!(kind_of("an indicator, not a strategy"), "an indicator, not a strategy");
    }
}
