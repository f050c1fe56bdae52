//! The one writer: collects finished runs, commits them together, then announces each.

use super::{Ledger, RunRecord};
use crate::LabError;
use springtide_io::db::sqlx::{self, QueryBuilder, Sqlite, SqliteConnection};
use springtide_runtime::channel::{ChannelConfig, Receiver, Sender};
use std::thread::JoinHandle;

/// Rows in one transaction. Larger gains little (an fsync is shared by 256 already) and delays the
/// announcement.
const BATCH: usize = 256;
/// Rows that may wait before the workers are held back, and their bytes: what scripts printed can be long.
const QUEUE: usize = 4096;
const QUEUE_BYTES: usize = 32 << 20;
/// SQLite takes 32,766 bound values in a statement; a row binds 21.
const ROWS_PER_STATEMENT: usize = 128;

/// Called on the writer's thread for each run once it is on disk, in commit order.
pub type Acknowledge = Box<dyn FnMut(RunRecord) + Send>;

/// A thread that owns the writing side for the length of a batch.
#[derive(Debug)]
pub struct LedgerWriter {
    queue: Option<Sender<RunRecord>>,
    thread: Option<JoinHandle<Result<u64, LabError>>>,
}

impl LedgerWriter {
    /// Starts the writer.
    pub fn start(ledger: Ledger, mut announce: Acknowledge) -> Result<Self, LabError> {
        let config = ChannelConfig::new("ledger").items(QUEUE).bytes(QUEUE_BYTES);
        // One that outweighs the whole queue goes through it alone.
        let (queue, mut receiver) = config.weigh(|run| bytes(run).min(QUEUE_BYTES)).open();
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || {
                let _end = End(&ledger);
                write_all(&ledger, &mut receiver, &mut announce)
            })
            .map_err(LabError::Thread)?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands over a finished run; waits when the disk is behind. Errors when the writer has stopped:
    /// [`finish`](Self::finish) then says why.
    pub fn record(&self, run: RunRecord) -> Result<(), LabError> {
        self.queue.as_ref().and_then(|q| q.send_blocking(run).ok().map(|_| ())).ok_or(LabError::WriterStopped)
    }

    /// Waits until everything handed over is on disk and announced; returns the number of runs.
    pub fn finish(mut self) -> Result<u64, LabError> {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(LabError::WriterStopped),
        }
    }
}

impl Drop for LedgerWriter {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // Only reached when the batch itself failed; its error is the one to tell.
            let _ = thread.join();
        }
    }
}

/// A writer that panicked never writes again: nothing that runs from then on is recorded.
struct End<'l>(&'l Ledger);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.database().tell_dead("the ledger's writer panicked");
        }
    }
}

fn write_all(
    ledger: &Ledger,
    receiver: &mut Receiver<RunRecord>,
    announce: &mut Acknowledge,
) -> Result<u64, LabError> {
    let mut total = 0;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = receiver.recv_blocking() {
        batch.push(first);
        receiver.try_recv_many(&mut batch, BATCH - 1);
        ledger.commit(&batch)?;
        total += batch.len() as u64;
        // What was printed is on disk and of no use to whoever is told.
        batch.drain(..).map(|run| RunRecord { log: None, ..run }).for_each(&mut *announce);
    }
    Ok(total)
}

/// What a waiting run holds, by its parts that may be long.
fn bytes(run: &RunRecord) -> usize {
    let log = run.log.as_ref().map_or(0, |log| log.stdout.len() + log.stderr.len());
    let texts = run.diagnostics.iter().map(|diagnostic| diagnostic.message.len() + size_of_val(diagnostic));
    size_of_val(run) + log + texts.sum::<usize>() + run.error.as_ref().map_or(0, String::len)
}

impl Ledger {
    /// Writes runs in one transaction.
    pub fn commit(&self, runs: &[RunRecord]) -> Result<(), LabError> {
        self.db.write(async |connection| {
            for rows in runs.chunks(ROWS_PER_STATEMENT) {
                insert(connection, rows).await?;
            }
            for run in runs {
                keep_log(connection, run).await?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

async fn insert(connection: &mut SqliteConnection, rows: &[RunRecord]) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT OR REPLACE INTO runs (id, job, finished_ms, strategy, source, strategy_hash, data, data_hash, \
         symbol, timeframe, setup, rules, params, status, error, diagnostics, bars, elapsed_us, metrics, \
         trades_hash, python) ",
    );
    query.push_values(rows, |mut row, run| {
        row.push_bind(run.id.as_str())
            .push_bind(run.job)
            .push_bind(run.finished_ms)
            .push_bind(&run.strategy)
            .push_bind(&run.source)
            .push_bind(&run.strategy_hash)
            .push_bind(&run.data)
            .push_bind(&run.data_hash)
            .push_bind(&run.symbol)
            .push_bind(&run.timeframe)
            .push_bind(json(&run.setup))
            .push_bind(json(&run.rules))
            .push_bind(json(&run.params))
            .push_bind(run.status.as_str())
            .push_bind(&run.error)
            .push_bind(json(&run.diagnostics))
            .push_bind(run.bars as i64)
            .push_bind(run.elapsed_us as i64)
            .push_bind(run.metrics.as_ref().map(json))
            .push_bind(&run.trades_hash)
            .push_bind(run.python.as_ref().map(json));
    });
    query.build().persistent(rows.len() == ROWS_PER_STATEMENT).execute(connection).await?;
    Ok(())
}

/// The log of a run; a repetition's takes the place of the earlier one.
async fn keep_log(connection: &mut SqliteConnection, run: &RunRecord) -> Result<(), sqlx::Error> {
    let Some(log) = &run.log else {
        if run.python.is_some() {
            let statement = sqlx::query("DELETE FROM logs WHERE run = ?").bind(run.id.as_str());
            statement.execute(connection).await?;
        }
        return Ok(());
    };
    sqlx::query("INSERT OR REPLACE INTO logs (run, stdout, stderr) VALUES (?, ?, ?)")
        .bind(run.id.as_str())
        .bind(&log.stdout)
        .bind(&log.stderr)
        .execute(connection)
        .await?;
    Ok(())
}

/// These types hold only strings, finite numbers and maps with string keys; they always serialise.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"unwritable\":\"{error}\"}}"))
}
