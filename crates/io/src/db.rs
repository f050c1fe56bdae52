//! The ledger's database: SQLite in WAL mode with one writer and a pool of readers.
//!
//! Every write runs inside `BEGIN IMMEDIATE ... COMMIT` on the one writing connection with
//! `synchronous = FULL`, so what was acknowledged survives a kill or a power cut, and two processes on
//! one ledger wait for each other instead of failing half way. Readers see the last commit and never
//! block the writer.

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub use sqlx;

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
const READERS: u32 = 4;

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
    /// A statement failed; nothing of its transaction was kept.
    #[error("ledger {path}: {source}")]
    Statement {
        /// The database file.
        path: PathBuf,
        /// The cause.
        source: sqlx::Error,
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
    /// The asynchronous driver could not start.
    #[error("cannot start the database driver: {0}")]
    Driver(#[from] std::io::Error),
}

/// An open database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    // Declared before the runtime: connections close while it still runs.
    writer: Mutex<SqliteConnection>,
    readers: SqlitePool,
    runtime: tokio::runtime::Runtime,
}

impl Database {
    /// Opens or creates the database and brings its schema up to date. `migrations[k]` takes schema `k`
    /// to `k + 1`; each runs in a transaction of its own.
    pub fn open(path: &Path, migrations: &[&'static str]) -> Result<Self, DbError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let open = |source| DbError::Open { path: path.to_owned(), source };
        let mut writer = runtime.block_on(SqliteConnection::connect_with(&options)).map_err(open)?;
        runtime.block_on(migrate(&mut writer, migrations, path))?;
        let readers = runtime.block_on(async {
            SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.read_only(true))
        });
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers, runtime })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` in one transaction on the writing connection. On return the commit is on disk; on
    /// error nothing of it is.
    pub fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbError> {
        // A panic while holding the lock leaves at worst an open transaction, which the next BEGIN reports.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.runtime.block_on(async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            let value = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(value)
        });
        result.map_err(|source| DbError::Statement { path: self.path.clone(), source })
    }

    /// Runs `work` on a reading connection.
    pub fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbError> {
        let result = self.runtime.block_on(async {
            let mut connection = self.readers.acquire().await?;
            work(&mut connection).await
        });
        result.map_err(|source| DbError::Statement { path: self.path.clone(), source })
    }

    /// SQLite's own integrity check: empty when sound, else what it found.
    pub fn check(&self) -> Result<Vec<String>, DbError> {
        let lines: Vec<String> = self.read(async |connection| {
            sqlx::query_scalar("PRAGMA integrity_check(20)").fetch_all(connection).await
        })?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.runtime.block_on(self.readers.close());
    }
}

async fn migrate(
    connection: &mut SqliteConnection,
    migrations: &[&'static str],
    path: &Path,
) -> Result<(), DbError> {
    let statement = |source| DbError::Statement { path: path.to_owned(), source };
    let known = migrations.len() as i64;
    // Two processes may open a new ledger at once: the version is read again under the write lock.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(statement)?;
    let found: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await.map_err(statement)?;
    if found > known {
        return Err(DbError::TooNew { path: path.to_owned(), found, known });
    }
    for (version, sql) in migrations.iter().enumerate().skip(found as usize) {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await.map_err(statement)?;
        let bump = format!("PRAGMA user_version = {}", version + 1);
        sqlx::raw_sql(sqlx::AssertSqlSafe(bump)).execute(&mut *transaction).await.map_err(statement)?;
    }
    transaction.commit().await.map_err(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT NOT NULL);";

    fn open() -> (tempfile::TempDir, Database) {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::open(&folder.path().join("x.db"), &[SCHEMA]).unwrap();
        (folder, db)
    }

    #[test]
    fn a_failed_transaction_leaves_nothing() {
        let (_folder, db) = open();
        let result = db.write(async |c| {
            sqlx::query("INSERT INTO t VALUES (1, 'a')").execute(&mut *c).await?;
            sqlx::query("INSERT INTO t VALUES (1, 'b')").execute(&mut *c).await
        });
        assert!(matches!(result, Err(DbError::Statement { .. })));
        let count: i64 =
            db.read(async |c| sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(c).await).unwrap();
        assert_eq!(count, 0);
    }

    #[test]
    fn readers_and_a_second_handle_see_the_commit() {
        let (folder, db) = open();
        db.write(async |c| sqlx::query("INSERT INTO t VALUES (1, 'a')").execute(c).await).unwrap();
        let other = Database::open(&folder.path().join("x.db"), &[SCHEMA]).unwrap();
        let value: String =
            other.read(async |c| sqlx::query_scalar("SELECT v FROM t").fetch_one(c).await).unwrap();
        assert_eq!(value, "a");
        assert!(db.check().unwrap().is_empty());
    }

    #[test]
    fn a_newer_schema_is_refused_with_its_number() {
        let (folder, db) = open();
        drop(db);
        let error = Database::open(&folder.path().join("x.db"), &[]).unwrap_err();
        assert!(matches!(error, DbError::TooNew { found: 1, known: 0, .. }), "{error}");
    }
}
