//! The work itself.

use crate::{Figures, Latencies, Meter, ScenarioError, cores};
use springtide_runtime::{GroupOptions, Outcome, Pool, PoolConfig, TaskCtx};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Threads beyond the cores, so that some can wait for the disk.
const THREADS: usize = 8;

pub(super) fn one_by_one(files: &[PathBuf], out: &Path) -> Result<Figures, ScenarioError> {
    let meter = Meter::start(1);
    let mut times = Latencies::with_capacity(files.len());
    for path in files {
        times.push(summarise(path, out)?);
    }
    Ok(meter.stop(files.len() as f64, times))
}

pub(super) fn many_at_once(files: Vec<PathBuf>, out: &Path) -> Result<Figures, ScenarioError> {
    let count = files.len();
    let out: Arc<Path> = Arc::from(out);
    let meter = Meter::start(cores());
    let config = PoolConfig { workers: THREADS, name: "files".into(), ..PoolConfig::default() };
    let pool = Pool::new(config).map_err(ScenarioError::work)?;
    let group = pool.group(GroupOptions::default());
    let jobs = files.into_iter().map(|path| {
        let out = Arc::clone(&out);
        ("file", move |_: &TaskCtx<'_>| summarise(&path, &out))
    });
    let mut times = Latencies::with_capacity(count);
    let mut failure = None;
    group.feed(jobs, |_, outcome| match outcome {
        Outcome::Done(Ok(time)) => times.push(time),
        Outcome::Done(Err(error)) => failure = Some(error),
        other => failure = Some(ScenarioError::work(format!("{other:?}"))),
    });
    let mut figures = meter.stop(count as f64, times);
    figures.connections = Some(THREADS.min(count) as u64);
    failure.map_or(Ok(figures), Err)
}

/// Reads a file of bars and writes its summary; how long that took.
fn summarise(path: &Path, out: &Path) -> Result<Duration, ScenarioError> {
    let started = Instant::now();
    let text = fs::read_to_string(path).map_err(ScenarioError::at(path))?;
    let (mut rows, mut low, mut high, mut volume) = (0u64, f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for line in text.lines().skip(1) {
        let mut fields = line.split(',').skip(4).map(|f| f.parse::<f64>().map_err(ScenarioError::work));
        let close = fields.next().unwrap_or(Ok(f64::NAN))?;
        low = low.min(close);
        high = high.max(close);
        volume += fields.next().unwrap_or(Ok(f64::NAN))?;
        rows += 1;
    }
    let name = path.file_name().unwrap_or_default();
    let summary = serde_json::json!({
        "file": name.to_string_lossy(),
        "rows": rows,
        "min_close": low,
        "max_close": high,
        "mean_volume": volume / rows as f64,
    });
    let target = out.join(name).with_extension("json");
    fs::write(&target, summary.to_string()).map_err(ScenarioError::at(&target))?;
    Ok(started.elapsed())
}
