//! The ledger: every run that finished, with what it takes to repeat it.
//!
//! Trades are not stored: a run is deterministic and takes about a millisecond, so they are computed
//! again on demand and their hash is compared with the recorded one.

mod query;
mod writer;

use crate::{LabError, python::PythonFacts, strategy::StrategySource};
use serde::{Deserialize, Serialize};
use springtide_domain::{Diagnostic, Params, RunId, RunStatus};
use springtide_engine::{Account, Rules, metrics::Metrics};
use springtide_io::db::{Database, sqlx};
use springtide_python::Log;
use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

pub use query::{BoardQuery, Durations, GroupBy};
pub use writer::{Acknowledge, LedgerWriter};

const MIGRATIONS: &[&str] = &[include_str!("schema.sql"), include_str!("schema_2.sql")];

/// Everything beside source and parameters that decides a run's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The account after command line overrides.
    pub account: Account,
    /// Path of the data as given, to find it again.
    pub data_path: String,
    /// Resampled to this timeframe before the run; none when taken as it is.
    pub resample: Option<springtide_domain::Timeframe>,
    /// Bars before this time (epoch ms) were cut off.
    pub from_ms: Option<i64>,
    /// Bars at and after this time (epoch ms) were cut off.
    pub to_ms: Option<i64>,
    /// Version of the engine that produced it.
    pub engine: String,
    /// Bars beside the market's own that the script asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherUse>,
}

/// What a script's request for other bars was answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherUse {
    /// As the script writes it.
    pub symbol: String,
    /// Bar length it asked for.
    pub timeframe: springtide_domain::Timeframe,
    /// The instrument whose bars were taken; none when there were none.
    pub source: Option<springtide_domain::SymbolInfo>,
    /// The file they came from.
    pub path: String,
    /// Content hash of the whole file's bars.
    pub hash: String,
}

/// One finished run as recorded and announced.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct RunRecord {
    pub id: RunId,
    pub job: i64,
    pub finished_ms: i64,
    /// Strategy name: its title, else its file name.
    pub strategy: String,
    /// Path it came from.
    pub source: String,
    pub strategy_hash: String,
    /// Data set name.
    pub data: String,
    pub data_hash: String,
    pub symbol: String,
    pub timeframe: String,
    pub setup: Setup,
    pub rules: Rules,
    pub params: Params,
    pub status: RunStatus,
    pub error: Option<String>,
    pub diagnostics: Vec<Diagnostic>,
    pub bars: u64,
    pub elapsed_us: u64,
    pub metrics: Option<Metrics>,
    /// Hash of all trades, to prove a repetition equal.
    pub trades_hash: Option<String>,
    /// Of a Python strategy: how it came about, and what its library says.
    pub python: Option<Box<PythonFacts>>,
    /// What the script printed, on its way to the ledger; [`Ledger::log`] has it afterwards.
    pub log: Option<Arc<Log>>,
}

impl RunRecord {
    /// The parameters that it was asked to run with; a Python script's own calls may add to them.
    pub fn asked(&self) -> &Params {
        self.python.as_ref().and_then(|facts| facts.set.as_ref()).unwrap_or(&self.params)
    }

    /// The market as people are shown it: `BTC-USD 15`, and what a script has made of it.
    pub fn market(&self) -> String {
        let mark = self.python.as_ref().map_or("", |facts| facts.bars.mark());
        format!("{} {}{mark}", self.symbol, self.timeframe)
    }
}

/// One command's batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct JobRow {
    pub id: i64,
    pub started_ms: i64,
    pub finished_ms: Option<i64>,
    pub command: String,
    pub planned: u64,
    pub outcome: Option<String>,
}

/// An open ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    db: Arc<Database>,
}

impl Ledger {
    /// Opens or creates the ledger file.
    pub fn open(path: &Path) -> Result<Self, LabError> {
        Ok(Self { db: Arc::new(Database::open(path, MIGRATIONS)?) })
    }

    /// Opens the ledger file for who only reads, also where nothing can be written.
    pub fn open_to_read(path: &Path) -> Result<Self, LabError> {
        Ok(Self { db: Arc::new(Database::open_to_read(path, MIGRATIONS)?) })
    }

    /// The database beneath, for health checks.
    pub fn database(&self) -> &Database {
        &self.db
    }

    /// Records that a batch begins; its id goes into every run.
    pub fn begin_job(&self, command: &str, planned: u64) -> Result<i64, LabError> {
        let planned = planned as i64;
        Ok(self.db.write(async |c| {
            sqlx::query_scalar(
                "INSERT INTO jobs (started_ms, command, planned) VALUES (?, ?, ?) RETURNING id",
            )
            .bind(now_ms())
            .bind(command)
            .bind(planned)
            .fetch_one(c)
            .await
        })?)
    }

    /// Records how a batch ended: `done`, `interrupted`, `stopped at the first failure`.
    pub fn end_job(&self, id: i64, outcome: &str) -> Result<(), LabError> {
        self.db.write(async |c| {
            sqlx::query("UPDATE jobs SET finished_ms = ?, outcome = ? WHERE id = ?")
                .bind(now_ms())
                .bind(outcome)
                .bind(id)
                .execute(c)
                .await
        })?;
        Ok(())
    }

    /// Keeps the texts of strategies under their hashes, all in one transaction.
    pub fn keep_strategies<'s>(
        &self,
        sources: impl Iterator<Item = &'s StrategySource>,
    ) -> Result<(), LabError> {
        self.db.write(async |c| {
            for source in sources {
                sqlx::query("INSERT OR IGNORE INTO strategies (hash, kind, text) VALUES (?, ?, ?)")
                    .bind(source.hash.to_string())
                    .bind(source.kind.as_str())
                    .bind(&source.text)
                    .execute(&mut *c)
                    .await?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// What a run's script printed.
    pub fn log(&self, run: &RunId) -> Result<Option<Log>, LabError> {
        let found: Option<(String, String)> = self.db.read(async |c| {
            sqlx::query_as("SELECT stdout, stderr FROM logs WHERE run = ?")
                .bind(run.as_str())
                .fetch_optional(c)
                .await
        })?;
        Ok(found.map(|(stdout, stderr)| Log { stdout, stderr }))
    }

    /// The text of a strategy that ran.
    pub fn strategy_text(&self, hash: &str) -> Result<Option<String>, LabError> {
        Ok(self.db.read(async |c| {
            sqlx::query_scalar("SELECT text FROM strategies WHERE hash = ?")
                .bind(hash)
                .fetch_optional(c)
                .await
        })?)
    }
}

/// Wall-clock time, milliseconds since the epoch.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}
