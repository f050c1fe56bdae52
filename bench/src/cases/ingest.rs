//! A large CSV file with dates, to columns in memory and to a bar file.

use super::{argument, count, market, tide};
use crate::{
    contest::{Done, Entry, Measured, Setup},
    inputs,
    table::{Comparison, Verdict, number},
};
use serde_json::{Value, json};
use springtide_domain::BarsView;
use springtide_io::{BarFile, DataStore, ImportOptions, read_bars};
use std::path::{Path, PathBuf};

const READ: &str = "springtide, to memory, two threads";
const IMPORT: &str = "springtide, to a bar file, two threads";
const TIDE: &str = "tide data import";
/// How many times larger the second file is, for the memory.
const LARGER: u64 = 5;

/// Beside pyarrow, duckdb, polars and pandas; then memory alone with a larger file.
pub fn compare(setup: &Setup) -> Result<Vec<Comparison>, String> {
    let file = setup.scratch.path().join("BIG-USD_15m.csv");
    let bytes = inputs::repeat(&setup.data, &file, setup.megabytes * 1_000_000)?;
    let path = file.to_str().ok_or("the file's path is no text")?;
    let own = |name: &str, what: &str, threads: &str| setup.own(name, "ingest", &[path, what, threads]);
    let first = own(READ, "read", "2");
    let truth = first.outcome.as_ref().ok().map(|m| m.result.clone());
    let equal = |entry: Entry| entry.check(|r| truth.as_ref().map_or(Ok(()), |t| is_equal(r, t)));
    let mut entries = vec![
        first.into_base(),
        equal(own("springtide, to memory, one thread", "read", "1")),
        equal(own(IMPORT, "import", "2")),
        equal(own("springtide, to a bar file, one thread", "import", "1")),
        program(path, &truth),
    ];
    for name in ["pyarrow", "duckdb", "polars", "pandas"] {
        entries.extend(setup.rival(name, "ingest.py", &[name, path, "2"], None).map(equal));
    }
    let mut comparison = Comparison {
        title: format!("Ingest: {} MB of CSV with dates", bytes / 1_000_000),
        note: "The file is in the system's cache. The rivals read to memory and use two threads (pandas one); ours \
               also checks order, duplicates, impossible bars and gaps and hashes every column. A bar file is \
               durable (fsync) when the time ends. Checked: rows, first and last time, sums of close and volume."
            .into(),
        rate: Some(("MB/s", bytes as f64 / 1e6)),
        unit: ("ms", 1e3),
        entries,
        verdicts: Vec::new(),
    };
    let speed = |name: &str| comparison.speed(name).map(|s| (format!("{} MB/s", number(s)), s >= 800.0));
    let verdicts = vec![
        Verdict::new("at least 800 MB/s to memory on two threads", speed(READ)),
        Verdict::new("at least 800 MB/s to a bar file on two threads", speed(IMPORT)),
        Verdict::new("at least 800 MB/s by `tide data import`", speed(TIDE)),
        constant_memory(setup, &comparison)?,
    ];
    comparison.verdicts = verdicts;
    Ok(vec![comparison])
}

/// A larger file through the program must not take more memory.
fn constant_memory(setup: &Setup, small: &Comparison) -> Result<Verdict, String> {
    let larger = setup.scratch.path().join("LARGER-USD_15m.csv");
    let bytes = inputs::repeat(&setup.data, &larger, LARGER * setup.megabytes * 1_000_000)?;
    let large = program(larger.to_str().ok_or("the file's path is no text")?, &None);
    std::fs::remove_file(&larger).map_err(|e| e.to_string())?;
    let peaks = small.measured(TIDE).zip(large.outcome.as_ref().ok()).map(|(a, b)| {
        let mb = |m: &Measured| m.peak_kb as f64 / 1024.0;
        let text = format!(
            "{} MB for {} MB, {} MB for {} MB",
            number(mb(a)),
            setup.megabytes,
            number(mb(b)),
            bytes / 1_000_000
        );
        (text, mb(b) < mb(a) * 1.2 + 1.0)
    });
    Ok(Verdict::new("the same memory for any size", peaks))
}

/// Through the program.
fn program(path: &str, truth: &Option<Value>) -> Entry {
    let wanted = truth.clone();
    tide::measure(TIDE, &["data", "import", path, "--json"], move |done: &Done| {
        let report: Value = serde_json::from_str(done.stdout.trim()).map_err(|e| e.to_string())?;
        if let Some(truth) = &wanted {
            for (of_report, of_truth) in [("bars", "rows"), ("from_ms", "first_ms"), ("to_ms", "last_ms")] {
                if report[of_report] != truth[of_truth] {
                    return Err(format!("WRONG RESULT: {of_report} {}", report[of_report]));
                }
            }
        }
        Ok(Value::Null)
    })
}

fn is_equal(result: &Value, truth: &Value) -> Result<(), String> {
    for name in ["rows", "first_ms", "last_ms"] {
        if result[name] != truth[name] {
            return Err(format!("{name} {} instead of {}", result[name], truth[name]));
        }
    }
    for name in ["close_sum", "volume_sum"] {
        let value = |v: &Value| v[name].as_f64().unwrap_or(f64::NAN);
        if !market::near(value(result), value(truth)) {
            return Err(format!("{name} {} instead of {}", result[name], truth[name]));
        }
    }
    Ok(())
}

/// Ours: `FILE read|import THREADS`.
pub fn own(arguments: &[&str]) -> Result<Measured, String> {
    let path = PathBuf::from(argument(arguments, 0)?);
    let to_memory = argument(arguments, 1)? == "read";
    let options = ImportOptions { threads: count(argument(arguments, 2)?)?, ..ImportOptions::default() };
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let store = DataStore::new(folder.path());
    if to_memory {
        // The sums belong to the check, not to the work: they are made after the time is taken.
        let mut last = None;
        let mut measured = Measured::of(|| {
            drop(last.take());
            last = Some(read_bars(&path, &options).map_err(|e| e.to_string())?.0);
            Ok(Value::Null)
        })?;
        measured.result = last.map_or(Value::Null, |bars| facts(&bars.view()));
        return Ok(measured);
    }
    let mut measured = Measured::of(|| {
        let report =
            store.import(std::slice::from_ref(&path), &options).remove(0).map_err(|e| e.to_string())?;
        Ok(json!({ "symbol": report.symbol }))
    })?;
    measured.result = facts(&stored(&store)?.view());
    Ok(measured)
}

fn stored(store: &DataStore) -> Result<BarFile, String> {
    let listing = store.ls().map_err(|e| e.to_string())?;
    let entry = listing.entries.first().ok_or("nothing was imported")?;
    BarFile::open(Path::new(&entry.path)).map_err(|e| e.to_string())
}

fn facts(bars: &BarsView<'_>) -> Value {
    json!({
        "rows": bars.len(),
        "first_ms": bars.time.first(),
        "last_ms": bars.time.last(),
        "close_sum": bars.close.iter().sum::<f64>(),
        "volume_sum": bars.volume.iter().sum::<f64>(),
    })
}
