//! The ledger's database: SQLite in WAL mode with one writer and a pool of readers.
//!
//! Every write runs inside `BEGIN IMMEDIATE ... COMMIT` on the one writing connection with
//! `synchronous = FULL`, so what was acknowledged survives a kill or a power cut, and two processes on
//! one ledger wait for each other instead of failing half way; the waits are counted ([`Database::counts`]).
//! Readers see the last commit and never block the writer. [`Database::backup`] copies it while it is in use.

mod backup;
mod error;

pub use backup::Backup;
pub use error::DbError;

use springtide_runtime::{
    locks::{Mutex, lock},
    observe::{Component, Condition},
};
use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use sqlx;

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// A waiting writer looks again after so long, then twice as long, up to the longest pause.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(40);
/// A wait for another program that is worth telling.
const LONG_WAIT: Duration = Duration::from_secs(1);
const READERS: u32 = 4;

/// What an open database did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DbCounts {
    /// Transactions on disk.
    pub commits: u64,
    /// Transactions of which nothing was kept.
    pub failures: u64,
    /// Times that another process's transaction was met.
    pub busy_retries: u64,
    /// Time spent waiting for it.
    pub busy_wait: Duration,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    failures: AtomicU64,
    busy_retries: AtomicU64,
    busy_wait_us: AtomicU64,
}

/// An open database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    counters: Counters,
    health: OnceLock<Component>,
    options: SqliteConnectOptions,
    /// None after a transaction that failed, which can leave it open, until the next write.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
    read_only: bool,
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
        let is_new = !path.exists();
        let opened = runtime.block_on(connect(&options, Some(migrations), path));
        let writer = match opened {
            Ok(writer) => writer,
            Err(error) => {
                if is_new {
                    remove_empty(path);
                }
                return Err(error);
            }
        };
        let readers = runtime.block_on(async {
            SqlitePoolOptions::new()
                .max_connections(READERS)
                .connect_lazy_with(options.clone().read_only(true))
        });
        Ok(Self {
            path: path.to_owned(),
            counters: Counters::default(),
            health: OnceLock::new(),
            options: options.create_if_missing(false),
            writer: Mutex::new(Some(writer)),
            readers,
            read_only: false,
            runtime,
        })
    }

    /// As [`Database::open`] for who only reads: where nothing can be written it opens all the same, if the file's schema
    /// is up to date. Every write then fails.
    pub fn open_to_read(path: &Path, migrations: &[&'static str]) -> Result<Self, DbError> {
        match Self::open(path, migrations) {
            Err(DbError::ReadOnly { .. }) => Self::open_read_only(path, migrations.len() as i64),
            opened => opened,
        }
    }

    fn open_read_only(path: &Path, known: i64) -> Result<Self, DbError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        // With a log beside it the file is not all there is; without one nobody writes it now.
        let has_log =
            beside(path, "-wal").metadata().is_ok_and(|meta| meta.len() > 0) || beside(path, "-shm").exists();
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .immutable(!has_log)
            .busy_timeout(BUSY_TIMEOUT);
        let readers = runtime.block_on(async {
            SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.clone())
        });
        let counters = Counters::default();
        let path = path.to_owned();
        let health = OnceLock::new();
        let db = Self {
            path,
            counters,
            health,
            options,
            writer: Mutex::new(None),
            readers,
            read_only: true,
            runtime,
        };
        let version = db.ask(async |c| sqlx::query_scalar("PRAGMA user_version").fetch_one(c).await);
        match version.map_err(|source| DbError::open(&db.path, source))? {
            found if found > known => Err(DbError::TooNew { path: db.path.clone(), found, known }),
            found if found < known => Err(DbError::ReadOnly { path: db.path.clone() }),
            _ => Ok(db),
        }
    }

    /// Whether nothing can be written to it.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells through `component` from now on whether it can be written: failed from a failed transaction to the
    /// next that succeeds, degraded while another program is waited for. Only the first call counts.
    pub fn watch(&self, component: Component) {
        component.ok();
        // A second one would have to share the word with the first.
        let _ = self.health.set(component);
    }

    /// Runs `work` in one transaction on the writing connection. On return the commit is on disk; on
    /// error nothing of it is.
    pub fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbError> {
        let mut slot = lock(&self.writer);
        // A panic or an error takes the connection with it, unless it is known to have no transaction open.
        let mut writer = slot.take();
        let result = self.runtime.block_on(async {
            let mut connection = match writer.take() {
                Some(connection) => connection,
                None => connect(&self.options, None, &self.path).await?,
            };
            let result = self.transaction(&mut connection, work).await;
            match result {
                Err(DbError::Statement { .. } | DbError::Full { .. }) => drop(connection.close().await),
                _ => writer = Some(connection),
            }
            result
        });
        *slot = writer;
        match (&result, self.health.get()) {
            (Ok(_), Some(component)) => component.ok(),
            (Err(error), Some(component)) => component.set(Condition::Failed, error.to_string()),
            (_, None) => {}
        }
        if let Err(error) = &result {
            tracing::error!(file = %self.path.display(), %error, "transaction failed");
        }
        let counter = if result.is_ok() { &self.counters.commits } else { &self.counters.failures };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    async fn transaction<T>(
        &self,
        writer: &mut SqliteConnection,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbError> {
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        let mut transaction = loop {
            match writer.begin_with("BEGIN IMMEDIATE").await {
                Ok(transaction) => break transaction,
                Err(e) if error::is_busy(&e) => {
                    let wait = self.pause(started, pause)?;
                    self.tell_wait(started.elapsed());
                    tokio::time::sleep(wait).await;
                    self.counters.busy_wait_us.fetch_add(wait.as_micros() as u64, Ordering::Relaxed);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(e) => return Err(DbError::statement(&self.path, e)),
            }
        };
        let value = work(&mut transaction).await.map_err(|e| DbError::statement(&self.path, e))?;
        transaction.commit().await.map_err(|e| DbError::statement(&self.path, e))?;
        Ok(value)
    }

    /// Notes a wait for another process and gives the next pause; an error when it has lasted too long.
    fn pause(&self, started: Instant, pause: Duration) -> Result<Duration, DbError> {
        let waited = started.elapsed();
        if waited >= BUSY_TIMEOUT {
            return Err(DbError::Busy { path: self.path.clone(), waited });
        }
        self.counters.busy_retries.fetch_add(1, Ordering::Relaxed);
        // Not all who wait should look again at the same moment.
        Ok(pause + Duration::from_micros(u64::from(waited.subsec_nanos()) % 1_000))
    }

    /// Tells whoever [watches](Self::watch) that nothing will be written any more.
    pub fn tell_dead(&self, why: &str) {
        if let Some(component) = self.health.get() {
            component.set(Condition::Dead, why);
        }
    }

    fn tell_wait(&self, waited: Duration) {
        if let Some(component) = self.health.get().filter(|_| waited >= LONG_WAIT) {
            component.set(
                Condition::Degraded,
                format!("waits for another program's transaction since {waited:.0?}"),
            );
        }
    }

    /// What it did so far.
    pub fn counts(&self) -> DbCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DbCounts {
            commits: read(&self.counters.commits),
            failures: read(&self.counters.failures),
            busy_retries: read(&self.counters.busy_retries),
            busy_wait: Duration::from_micros(read(&self.counters.busy_wait_us)),
        }
    }

    /// Runs `work` on a reading connection.
    pub fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbError> {
        self.ask(work).map_err(|source| DbError::statement(&self.path, source))
    }

    fn ask<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        self.runtime.block_on(async {
            let mut connection = self.readers.acquire().await?;
            work(&mut connection).await
        })
    }

    /// SQLite's own integrity check: empty when sound, else what it found.
    pub fn check(&self) -> Result<Vec<String>, DbError> {
        self.read(async |connection| integrity(connection).await)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.runtime.block_on(self.readers.close());
        // The writer closes last and before this returns: it moves the log into the file and removes it.
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // What was committed is safe in the log even when this fails.
            let _ = self.runtime.block_on(writer.close());
        }
    }
}

/// A writing connection, the schema brought up to date where there are migrations, which may wait for others who do
/// the same.
async fn connect(
    options: &SqliteConnectOptions,
    migrations: Option<&[&'static str]>,
    path: &Path,
) -> Result<SqliteConnection, DbError> {
    let failed = |source| DbError::open(path, source);
    let mut writer = SqliteConnection::connect_with(options).await.map_err(failed)?;
    if let Some(migrations) = migrations {
        migrate(&mut writer, migrations, path).await?;
    }
    // From here on waits are ours, so that they are counted.
    sqlx::raw_sql("PRAGMA busy_timeout = 0").execute(&mut writer).await.map_err(failed)?;
    Ok(writer)
}

/// A file of SQLite's beside the database.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Removes what opening a new database left without a byte in it, as a full disk does.
fn remove_empty(path: &Path) {
    let is_empty = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0);
    if !is_empty(&path.to_owned()) {
        return;
    }
    let others = ["-journal", "-wal", "-shm"].map(|ending| beside(path, ending));
    for file in [path.to_owned()].into_iter().chain(others) {
        // What cannot be removed is told of by `tide doctor`.
        let _ = std::fs::remove_file(file);
    }
}

async fn integrity(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut problems: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check(20)").fetch_all(&mut *connection).await?;
    problems.retain(|line| line != "ok");
    let orphans = sqlx::query("PRAGMA foreign_key_check").fetch_all(connection).await?.len();
    if orphans > 0 {
        problems.push(format!("{orphans} rows refer to rows that are not there"));
    }
    Ok(problems)
}

async fn migrate(
    connection: &mut SqliteConnection,
    migrations: &[&'static str],
    path: &Path,
) -> Result<(), DbError> {
    let statement = |source| DbError::open(path, source);
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

    #[test]
    fn writers_of_several_processes_wait_and_the_waits_are_counted() {
        let (folder, db) = open();
        let other = Database::open(&folder.path().join("x.db"), &[SCHEMA]).unwrap();
        let insert = |db: &Database, k: i64| {
            db.write(async |c| sqlx::query("INSERT INTO t VALUES (?, '')").bind(k).execute(c).await)
                .map(|_| ())
        };
        // The first holds its transaction until the second has met it.
        let held = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let wait = async |c: &mut SqliteConnection| {
                    sqlx::query("INSERT INTO t VALUES (-1, '')").execute(c).await?;
                    held.wait();
                    while other.counts().busy_retries == 0 {
                        std::thread::yield_now();
                    }
                    Ok(())
                };
                db.write(wait).unwrap();
            });
            held.wait();
            insert(&other, -2).unwrap();
        });
        let counts = other.counts();
        assert!(
            counts.commits == 1 && counts.busy_retries > 0 && counts.busy_wait > Duration::ZERO,
            "{counts:?}"
        );
        std::thread::scope(|scope| {
            scope.spawn(|| (0..60).for_each(|k| insert(&db, k).unwrap()));
            scope.spawn(|| (100..160).for_each(|k| insert(&other, k).unwrap()));
        });
        assert_eq!((db.counts().failures, other.counts().failures), (0, 0));
        let count: i64 =
            db.read(async |c| sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(c).await).unwrap();
        assert_eq!(count, 122);
    }

    #[test]
    fn a_backup_is_one_moment_of_a_database_in_use() {
        let (folder, db) = open();
        let insert = |k: i64| {
            let sql = "INSERT INTO t VALUES (?, hex(zeroblob(200)))";
            db.write(async |c| sqlx::query(sql).bind(k).execute(c).await).unwrap();
        };
        (0..300).for_each(insert);
        let target = folder.path().join("safe/copy.db");
        std::thread::scope(|scope| {
            scope.spawn(|| (300..500).for_each(insert));
            for _ in 0..3 {
                let backup = db.backup(&target).unwrap();
                assert_eq!(backup.bytes, std::fs::metadata(&target).unwrap().len());
                let copy = Database::open(&target, &[SCHEMA]).unwrap();
                let (count, last): (i64, i64) = copy
                    .read(async |c| sqlx::query_as("SELECT count(*), max(k) FROM t").fetch_one(c).await)
                    .unwrap();
                assert!(count >= 300 && count == last + 1, "{count} rows up to {last}");
                assert!(copy.check().unwrap().is_empty());
            }
        });
        drop(Database::open(&target, &[SCHEMA]).unwrap());
        let names: Vec<_> =
            std::fs::read_dir(target.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["copy.db"], "nothing is left beside it");
        let letter = folder.path().join("letter.txt");
        std::fs::write(&letter, "not a database").unwrap();
        assert!(matches!(db.backup(&letter), Err(DbError::Foreign { .. })));
        assert_eq!(std::fs::read(&letter).unwrap(), b"not a database");
        // A database with a log beside it is in use, this one first of all.
        let error = db.backup(db.path()).unwrap_err();
        assert!(matches!(error, DbError::TargetInUse { .. }), "{error}");
    }
}
