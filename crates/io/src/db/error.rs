//! What can go wrong with the database.

use super::sqlx;
use crate::atomic::folder_of;
use rustix::fs::{Access, access};
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
    /// The file, or the folder that its log has to lie in, cannot be written.
    #[error(
        "the ledger {path} cannot be written: its folder is read-only, or another user's. Make it writable, or keep the \
         ledger elsewhere with --workspace DIR"
    )]
    ReadOnly {
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
    /// A backup cannot be written.
    #[error("cannot write the backup {path}: {problem}. The ledger is as it was")]
    Unwritten {
        /// The backup's place.
        path: PathBuf,
        /// Why, and what to do.
        problem: String,
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
    code(error) == Some(BUSY)
}

const BUSY: u32 = 5;
const FULL: u32 = 13;
/// A call to the system failed; a full disk may be behind it, which is not always told.
const IO: u32 = 10;
const CORRUPT: u32 = 11;
const READ_ONLY: u32 = 8;
const CANNOT_OPEN: u32 = 14;
const NOT_A_DATABASE: u32 = 26;
/// SQLite needs that much to open a database: its first pages, those of its log, and what readers share.
const ROOM_TO_OPEN: u64 = 128 << 10;

/// Whether a database at `path` could be written: the file, and others beside it.
fn is_writable(path: &Path) -> bool {
    let may_write = |path: &Path| access(path, Access::WRITE_OK).is_ok();
    may_write(folder_of(path)) && (may_write(path) || !path.exists())
}

impl DbError {
    /// The error of opening a file: a full disk, one that is read-only and a damaged file told apart.
    pub(super) fn open(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        let is_full =
            || crate::machine::disk_space(folder_of(&path)).is_ok_and(|(free, _)| free < ROOM_TO_OPEN);
        match code(&source) {
            Some(FULL) => Self::NoRoom { path },
            Some(IO) if is_full() => Self::NoRoom { path },
            Some(READ_ONLY) => Self::ReadOnly { path },
            Some(CANNOT_OPEN) if !is_writable(&path) => Self::ReadOnly { path },
            Some(CORRUPT | NOT_A_DATABASE) => Self::Damaged { path, source },
            _ => Self::Open { path, source },
        }
    }

    /// The error of copying `path` to `target`. What is wrong with the ledger itself is told of it; all else is about the
    /// copy, of which alone something is written.
    pub(super) fn copy(path: &Path, target: &Path, source: sqlx::Error) -> Self {
        let problem = match code(&source) {
            Some(CORRUPT | NOT_A_DATABASE | BUSY) | None => return Self::statement(path, source),
            Some(FULL) => "its disk is full. Free some space there, or choose another place".to_owned(),
            Some(_) => source.to_string(),
        };
        Self::Unwritten { path: target.to_owned(), problem }
    }

    /// The error of a statement, a full disk told apart.
    pub(super) fn statement(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        match code(&source) {
            Some(FULL) => Self::Full { path },
            Some(READ_ONLY) => Self::ReadOnly { path },
            _ => Self::Statement { path, source },
        }
    }
}
