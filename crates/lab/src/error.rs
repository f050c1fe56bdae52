//! What can go wrong in the lab.

use crate::filter::FilterError;
use springtide_io::db::{DbError, sqlx};
use std::path::PathBuf;

/// Errors of jobs, the ledger and reports. A run that fails is no error: it is a result.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum LabError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("the ledger holds a row that cannot be read: {0}; `tide doctor` checks the file")]
    BadRow(String),
    #[error("cannot start the ledger's writer: {0}")]
    Thread(std::io::Error),
    #[error("the ledger's writer stopped early")]
    WriterStopped,
    #[error("no run `{0}` in the ledger; `tide board` lists them")]
    NoSuchRun(String),
    #[error("`{prefix}` is the start of several runs: {}", candidates.join(", "))]
    AmbiguousRun { prefix: String, candidates: Vec<String> },
    #[error("cannot read `{text}` as a sweep: {why}")]
    BadSweep { text: String, why: String },
    #[error("{0}")]
    Filter(#[from] FilterError),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Data(String),
}

impl LabError {
    pub(crate) fn row(error: sqlx::Error) -> Self {
        Self::BadRow(error.to_string())
    }
}
