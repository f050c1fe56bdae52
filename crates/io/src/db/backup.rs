//! A copy of the database, made while it is in use.

use super::{Database, DbError, beside, sqlx};
use crate::{
    atomic::{AtomicFile, folder_of},
    files::FileError,
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A finished backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Size of the copy.
    pub bytes: u64,
    /// How long it took, the check included.
    pub took: Duration,
}

const SQLITE_HEAD: &[u8; 16] = b"SQLite format 3\0";

impl Database {
    /// Copies the database as it is at this moment into one file, compacted and checked, and puts it in
    /// `target`'s place. Writers and readers go on meanwhile. An older backup is replaced; another kind of file
    /// is not.
    ///
    /// # Errors
    /// When the copy cannot be written or is not sound; `target` is then as it was.
    pub fn backup(&self, target: &Path) -> Result<Backup, DbError> {
        let started = Instant::now();
        if target.exists() && !is_database(target) {
            return Err(DbError::Foreign { path: target.to_owned() });
        }
        // A log left beside another file of its name would be played into the new one.
        if beside(target, "-wal").exists() {
            return Err(DbError::TargetInUse { path: target.to_owned() });
        }
        let file = |action| FileError::at(action, target);
        // SQLite fills an empty file.
        let copy = AtomicFile::create_in(folder_of(target)).map_err(file("write"))?;
        let name = copy.path().to_string_lossy().into_owned();
        let _journal = Journal::beside(copy.path());
        let copied = self.ask(async |connection| {
            sqlx::query("VACUUM INTO ?").bind(name).execute(connection).await.map(|_| ())
        });
        copied.map_err(|source| DbError::copy(&self.path, target, source))?;
        let problems = self.runtime.block_on(check_file(copy.path()));
        match problems {
            Ok(problems) if problems.is_empty() => {}
            Ok(problems) => {
                return Err(DbError::BadCopy { path: self.path.clone(), problem: problems.join("; ") });
            }
            Err(source) => return Err(DbError::statement(copy.path(), source)),
        }
        let bytes = copy.file.metadata().map_err(file("write"))?.len();
        // The copy was written by SQLite, which leaves syncing it to us.
        copy.commit(target).map_err(file("write"))?;
        Ok(Backup { bytes, took: started.elapsed() })
    }
}

/// SQLite's journal of a copy, which stays when the copy fails.
struct Journal(PathBuf);

impl Journal {
    fn beside(copy: &Path) -> Self {
        Self(beside(copy, "-journal"))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Mostly there is none.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn is_database(path: &Path) -> bool {
    let mut head = [0; 16];
    let read = File::open(path).and_then(|mut f| f.read_exact(&mut head));
    // An empty file may be an older backup that was cut off, or somebody's `touch`: nothing is lost with it.
    read.is_ok_and(|()| &head == SQLITE_HEAD) || path.metadata().is_ok_and(|m| m.is_file() && m.len() == 0)
}

/// SQLite's own check of a file that nobody else uses.
async fn check_file(path: &Path) -> Result<Vec<String>, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let lines = super::integrity(&mut connection).await?;
    connection.close().await?;
    Ok(lines)
}
