//! What can go wrong with the database.

use super::sqlx;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// What can go wrong with the database; each names the file.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The file or its folder cannot be opened or made.
    #[error("cannot open the ledger {path}: {source}")]
    Open {
        /// The database file.
        path: PathBuf,
        /// The cause.
        source: sqlx::Error,
    },
    /// No space left to make the file or to open it; an empty one was removed.
    #[error(
        "cannot open the ledger {path}: its disk is full. Free some space there, or keep the ledger elsewhere with \
         --workspace DIR"
    )]
    NoRoom {
        /// The database file.
        path: PathBuf,
    },
    /// The file is no database, or a damaged one.
    #[error(
        "cannot open the ledger {path}: it is damaged, or no ledger ({source}). Put a backup in its place (`tide ledger \
         backup` makes them), or move the file away"
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// A statement failed; nothing of its transaction was kept.
    #[error("ledger {path}: {source}")]
    Statement {
        /// The database file.
        path: PathBuf,
        /// The cause.
        source: sqlx::Error,
    },
    /// No space left; nothing of the transaction was kept.
    #[error(
        "ledger {path}: the disk is full. What was committed before is safe, nothing of this change was kept: free some space and \
         repeat"
    )]
    Full {
        /// The database file.
        path: PathBuf,
    },
    /// Another program held the ledger for too long.
    #[error("ledger {path}: another program has been writing for {} s: end it, or repeat later", waited.as_secs())]
    Busy {
        /// The database file.
        path: PathBuf,
        /// How long this one waited.
        waited: Duration,
    },
    /// The file was written by a newer version.
    #[error(
        "the ledger {path} has schema {found}, this program knows {known}: use a newer tide, or another --workspace"
    )]
    TooNew {
        /// The database file.
        path: PathBuf,
        /// Schema number in the file.
        found: i64,
        /// Newest schema this program knows.
        known: i64,
    },
    /// A backup's target is something else.
    #[error("{path} is there and is no database: a backup does not replace it; choose another name")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A backup's target is a database in use.
    #[error(
        "{path} is a database in use (it has a log beside it): a backup does not replace it; choose another name"
    )]
    TargetInUse {
        /// The file.
        path: PathBuf,
    },
    /// A copy did not pass its check; it was removed.
    #[error("the copy of {path} is not sound ({problem}): check the ledger with `tide ledger check`")]
    BadCopy {
        /// The database file.
        path: PathBuf,
        /// What the check said.
        problem: String,
    },
    /// A file beside the database.
    #[error(transparent)]
    File(#[from] crate::files::FileError),
    /// The asynchronous driver could not start.
    #[error("cannot start the database driver: {0}")]
    Driver(#[from] std::io::Error),
}

/// SQLite's primary result code, when that is what failed.
fn code(error: &sqlx::Error) -> Option<u32> {
    let text = error.as_database_error()?.code()?;
    Some(text.parse::<u32>().ok()? & 0xff)
}

/// Somebody else is writing.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: u32 = 5;
    code(error) == Some(BUSY)
}

const FULL: u32 = 13;
/// A call to the system failed; a full disk may be behind it, which is not always told.
const IO: u32 = 10;
const CORRUPT: u32 = 11;
const NOT_A_DATABASE: u32 = 26;
/// SQLite needs that much to open a database: its first pages, those of its log, and what readers share.
const ROOM_TO_OPEN: u64 = 128 << 10;

impl DbError {
    /// The error of opening a file: a full disk and a damaged file told apart.
    pub(super) fn open(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        let is_full = || {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            crate::machine::disk_space(folder).is_ok_and(|(free, _)| free < ROOM_TO_OPEN)
        };
        match code(&source) {
            Some(FULL) => Self::NoRoom { path },
            Some(IO) if is_full() => Self::NoRoom { path },
            Some(CORRUPT | NOT_A_DATABASE) => Self::Damaged { path, source },
            _ => Self::Open { path, source },
        }
    }

    /// The error of a statement, a full disk told apart.
    pub(super) fn statement(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        match code(&source) {
            Some(FULL) => Self::Full { path },
            _ => Self::Statement { path, source },
        }
    }
}
