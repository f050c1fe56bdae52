//! Makes the input, and checks what came of it.

use crate::{Rng, ScenarioError};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Open time of every file's first bar, epoch seconds.
const FIRST_BAR_S: i64 = 1_704_067_200;
const BAR_S: i64 = 900;

/// What a file holds, in whole numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub file: String,
    pub rows: u64,
    /// In hundredths.
    pub close_min: i64,
    pub close_max: i64,
    /// In ten-thousandths.
    pub volume_sum: u64,
}

/// Writes `count` files and the list of what they hold beside their folder, unless it is all there.
pub(super) fn prepare(folder: &Path, count: u64) -> Result<(), ScenarioError> {
    if manifest(folder).is_ok_and(|m| m.len() as u64 == count) {
        return Ok(());
    }
    let mut list = String::from("file,rows,min_close_e2,max_close_e2,sum_volume_e4\n");
    let mut text = String::new();
    for number in 0..count {
        let e = bars(number, &mut text);
        let path = folder.join(&e.file);
        // On disk now, so that the page cache can be emptied of it later.
        let written = fs::write(&path, &text).and_then(|()| fs::File::open(&path)?.sync_all());
        written.map_err(ScenarioError::at(&path))?;
        let _ = writeln!(list, "{},{},{},{},{}", e.file, e.rows, e.close_min, e.close_max, e.volume_sum);
    }
    let path = list_path(folder);
    fs::write(&path, list).map_err(ScenarioError::at(&path))
}

/// A random walk of 15-minute bars.
fn bars(number: u64, text: &mut String) -> Expected {
    let mut random = Rng(1_000_003 * number + 7);
    let rows = 800 + random.below(750);
    let mut price = 1_000_000 + random.below(6_000_000) as i64;
    let mut found = Expected {
        file: format!("bars_{number:05}.csv"),
        rows,
        close_min: i64::MAX,
        close_max: i64::MIN,
        volume_sum: 0,
    };
    text.clear();
    text.push_str("timestamp,open,high,low,close,volume\n");
    for row in 0..rows as i64 {
        let open = price;
        let close = (price + random.below(40_001) as i64 - 20_000).max(100_000);
        let high = open.max(close) + random.below(5_000) as i64;
        let low = (open.min(close) - random.below(5_000) as i64).max(50_000);
        let volume = 1 + random.below(9_000_000);
        push_time(text, FIRST_BAR_S + row * BAR_S);
        for hundredths in [open, high, low, close] {
            let _ = write!(text, ",{}.{:02}", hundredths / 100, hundredths % 100);
        }
        let _ = writeln!(text, ",{}.{:04}", volume / 10_000, volume % 10_000);
        found.close_min = found.close_min.min(close);
        found.close_max = found.close_max.max(close);
        found.volume_sum += volume;
        price = close;
    }
    found
}

/// `2024-01-01 00:15:00`; all bars lie in January 2024.
fn push_time(text: &mut String, seconds: i64) {
    let since = seconds - FIRST_BAR_S;
    let (day, of_day) = (1 + since / 86_400, since % 86_400);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let _ = write!(text, "2024-01-{day:02} {hour:02}:{minute:02}:{second:02}");
}

fn list_path(folder: &Path) -> PathBuf {
    folder.with_file_name("manifest.csv")
}

/// What the files of a folder hold.
pub(super) fn manifest(folder: &Path) -> Result<Vec<Expected>, ScenarioError> {
    let path = list_path(folder);
    let text = fs::read_to_string(&path).map_err(ScenarioError::at(&path))?;
    let read = |line: &str| {
        let mut fields = line.split(',');
        Some(Expected {
            file: fields.next()?.to_owned(),
            rows: fields.next()?.parse().ok()?,
            close_min: fields.next()?.parse().ok()?,
            close_max: fields.next()?.parse().ok()?,
            volume_sum: fields.next()?.parse().ok()?,
        })
    };
    let lines: Option<Vec<Expected>> = text.lines().skip(1).map(read).collect();
    lines.ok_or_else(|| {
        ScenarioError::work(format!("{}: not the list of this scenario's input", path.display()))
    })
}

/// Compares every result in `out` with what its file holds.
pub(super) fn verify(manifest: &[Expected], out: &Path) -> Result<(), ScenarioError> {
    for expected in manifest {
        let path = out.join(&expected.file).with_extension("json");
        let text = fs::read_to_string(&path).map_err(ScenarioError::at(&path))?;
        let found: serde_json::Value = serde_json::from_str(&text)
            .map_err(|e| ScenarioError::work(format!("{}: {e}", path.display())))?;
        let hundredths = |key: &str| found[key].as_f64().map(|x| (x * 100.0).round() as i64);
        let what = |field: &str| format!("{field} in {}", path.display());
        ScenarioError::check(&what("rows"), Some(expected.rows), found["rows"].as_u64())?;
        ScenarioError::check(&what("min_close"), Some(expected.close_min), hundredths("min_close"))?;
        ScenarioError::check(&what("max_close"), Some(expected.close_max), hundredths("max_close"))?;
        let mean = expected.volume_sum as f64 / 1e4 / expected.rows as f64;
        let found = found["mean_volume"].as_f64().unwrap_or(f64::NAN);
        let near = (found - mean).abs() <= 1e-9 * mean;
        if !near {
            ScenarioError::check(&what("mean_volume"), mean, found)?;
        }
    }
    let written = fs::read_dir(out).map_err(ScenarioError::at(out))?.count();
    ScenarioError::check("number of result files", manifest.len(), written)
}

/// The folder below `parent` that was made last.
pub(super) fn newest_folder(parent: &Path) -> Result<PathBuf, ScenarioError> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for entry in fs::read_dir(parent).map_err(ScenarioError::at(parent))? {
        let entry = entry.map_err(ScenarioError::at(parent))?;
        let time = entry.metadata().and_then(|m| m.modified()).map_err(ScenarioError::at(&entry.path()))?;
        if newest.as_ref().is_none_or(|(t, _)| time > *t) {
            newest = Some((time, entry.path()));
        }
    }
    newest
        .map(|n| n.1)
        .ok_or_else(|| ScenarioError::work(format!("{}: nothing was written", parent.display())))
}
