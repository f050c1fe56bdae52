//! The file to which `tide backtest --log-runs` appends a line for every run.

use springtide_io::files::{AppendOptions, Appender, Durability, FileError};
use springtide_lab::LabError;
use springtide_runtime::locks::{Mutex, lock};
use std::{path::Path, time::Duration};

/// How much of the log a power cut may take. The ledger, which loses nothing, has the same runs.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// A growing file of this process alone.
#[derive(Debug)]
pub struct RunLog {
    file: Appender,
    failure: Mutex<Option<FileError>>,
}

impl RunLog {
    /// Opens or makes the file; a last line that a kill left unfinished is cut off.
    pub fn open(path: &Path) -> Result<Self, LabError> {
        let options =
            AppendOptions { durability: Durability::Within(SYNC_EVERY), ..AppendOptions::default() };
        let file = Appender::open(path, options).map_err(|e| LabError::Data(e.to_string()))?;
        Ok(Self { file, failure: Mutex::default() })
    }

    /// Appends a line. Runs go on when that fails; [`RunLog::finish`] tells.
    pub fn append(&self, line: &impl std::fmt::Display) {
        if let Err(error) = self.file.append(line.to_string().as_bytes()) {
            lock(&self.failure).get_or_insert(error);
        }
    }

    /// Forces it to the disk; the first line that could not be written is the error.
    pub fn finish(&self) -> Result<(), LabError> {
        let failure = lock(&self.failure).take();
        let ended = failure.map_or_else(|| self.file.sync(), Err);
        ended.map_err(|e| LabError::Data(format!("the log of runs is not complete: {e}")))
    }
}
