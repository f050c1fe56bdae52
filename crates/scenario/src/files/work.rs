//! The work itself.

use crate::{Figures, Latencies, Meter, ScenarioError, cores};
use serde::Serialize;
use springtide_io::{
    files::{BatchOptions, FRONT, FilePool, Loaded, PoolOptions},
    separated::{FieldIndex, decimal},
};
use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Fields of a line, and the two that are wanted.
const FIELDS: usize = 6;
const CLOSE: usize = 4;
const VOLUME: usize = 5;

pub(super) fn one_by_one(files: &[PathBuf], out: &Path) -> Result<Figures, ScenarioError> {
    let meter = Meter::start(1);
    let mut times = Latencies::with_capacity(files.len());
    for path in files {
        times.push(plainly(path, out)?);
    }
    Ok(meter.stop(files.len() as f64, times))
}

/// On `threads` threads, each with a file at a time.
pub(super) fn many_at_once(
    files: Vec<PathBuf>,
    out: &Path,
    threads: usize,
) -> Result<Figures, ScenarioError> {
    let count = files.len();
    let out: Arc<Path> = Arc::from(out);
    let meter = Meter::start(cores());
    let pool = FilePool::new(PoolOptions { threads: Some(threads) }).map_err(ScenarioError::work)?;
    let batch = pool.read(files, BatchOptions::default(), move |file| in_columns(file, &out));
    let mut times = Latencies::with_capacity(count);
    for item in batch.blocking() {
        times.push(item.result.map_err(ScenarioError::work)??);
    }
    let mut figures = meter.stop(count as f64, times);
    figures.connections = Some(threads.min(count) as u64);
    Ok(figures)
}

/// What is said of a file.
#[derive(Serialize)]
struct Summary<'a> {
    file: &'a str,
    rows: u64,
    min_close: f64,
    max_close: f64,
    mean_volume: f64,
}

impl<'a> Summary<'a> {
    fn new(path: &'a Path) -> Self {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Self { file, rows: 0, min_close: f64::INFINITY, max_close: f64::NEG_INFINITY, mean_volume: 0.0 }
    }

    /// Adds a row; the volume is a sum until the end.
    #[inline]
    fn add(&mut self, close: f64, volume: f64) {
        self.rows += 1;
        self.min_close = self.min_close.min(close);
        self.max_close = self.max_close.max(close);
        self.mean_volume += volume;
    }

    fn write(mut self, out: &Path) -> Result<(), ScenarioError> {
        self.mean_volume /= self.rows as f64;
        let target = out.join(self.file).with_extension("json");
        let text = serde_json::to_vec(&self).map_err(ScenarioError::work)?;
        fs::write(&target, text).map_err(ScenarioError::at(&target))
    }
}

/// Line by line, as one would write it without this library; how long that took.
fn plainly(path: &Path, out: &Path) -> Result<Duration, ScenarioError> {
    let started = Instant::now();
    let text = fs::read_to_string(path).map_err(ScenarioError::at(path))?;
    let mut summary = Summary::new(path);
    for line in text.lines().skip(1) {
        let mut fields = line.split(',').skip(CLOSE).map(|f| f.parse::<f64>().map_err(ScenarioError::work));
        let mut next = || fields.next().unwrap_or_else(|| Err(short(path)));
        summary.add(next()?, next()?);
    }
    summary.write(out)?;
    Ok(started.elapsed())
}

/// By columns, the two wanted ones only.
fn in_columns(file: Loaded<'_>, out: &Path) -> Result<Duration, ScenarioError> {
    thread_local! {
        static INDEX: RefCell<FieldIndex> = RefCell::default();
    }
    let path = file.path();
    let head = file.bytes().iter().position(|b| *b == b'\n').map_or(0, |end| end + 1);
    let mut summary = Summary::new(path);
    INDEX.with_borrow_mut(|index| {
        let rows = index.rows_from(file.with_front(), FRONT + head, b',', FIELDS);
        for row in rows.map_err(|e| ScenarioError::work(format!("{}: {e}", path.display())))?.iter() {
            let field = |number| decimal(row.field(number)).ok_or_else(|| short(path));
            summary.add(field(CLOSE)?, field(VOLUME)?);
        }
        Ok(())
    })?;
    summary.write(out)?;
    Ok(file.began().elapsed())
}

fn short(path: &Path) -> ScenarioError {
    ScenarioError::work(format!("{}: a line without close and volume", path.display()))
}
