//! A batch: strategies x markets x parameters x rules, run at once, recorded as they finish.

mod jobs;
mod order;

use crate::{
    LabError, Ledger,
    compiled::CompiledStrategy,
    dataset::DataSet,
    execute::{AccountOverrides, ENGINE_VERSION, RunFailure, RunOutput, RunSpec},
    ledger::{Acknowledge, LedgerWriter, RunRecord, Setup, now_ms},
    library::Library,
    python::{PythonFacts, PythonLab, Recorded},
    strategy::StrategyKind,
    sweep::Grid,
};
use jobs::Jobs;
use springtide_domain::{ContentHash, Params, RunId, RunStatus};
use springtide_engine::Rules;
use springtide_pine::vm::Scratch;
use springtide_python::Fault;
use springtide_runtime::locks::{Mutex, lock};
use springtide_runtime::{CancelToken, GroupOptions, Outcome, Pool, Priority, TaskCtx};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A market that could or could not be loaded.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Market {
    Ready(Arc<DataSet>),
    /// Recorded as one failed run per strategy.
    Broken {
        name: String,
        path: String,
        error: String,
    },
}

/// What to run.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Plan {
    /// Each with its own grid.
    pub strategies: Vec<(Arc<CompiledStrategy>, Grid)>,
    pub markets: Vec<Market>,
    /// Of the strategies in Pine.
    pub rules: Vec<Arc<Rules>>,
    /// Of those in Python, as the lab has them.
    pub library_rules: Vec<Arc<Rules>>,
    pub overrides: AccountOverrides,
    /// Bars that scripts may ask for beside their market's own.
    pub library: Arc<Library>,
    /// Runs the Python strategies, where there are any.
    pub python: Option<Arc<PythonLab>>,
}

impl Plan {
    /// Number of runs, counting one for each pair that cannot run at all.
    pub fn count(&self) -> Result<u64, LabError> {
        let mut total = 0u64;
        for (strategy, grid) in &self.strategies {
            for market in &self.markets {
                let runs = match (strategy.runnable(), market) {
                    (Ok(_), Market::Ready(_)) => {
                        grid.count()?.saturating_mul(self.rules_of(strategy).len() as u64)
                    }
                    _ => 1,
                };
                total = total.saturating_add(runs);
            }
        }
        Ok(total)
    }

    /// The rules a strategy runs under: Python's are those of its library.
    fn rules_of(&self, strategy: &CompiledStrategy) -> &[Arc<Rules>] {
        if strategy.source.kind == StrategyKind::Python { &self.library_rules } else { &self.rules }
    }

    /// True when there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.strategies.is_empty() || self.markets.is_empty()
    }
}

/// How to run it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct BatchOptions {
    pub priority: Priority,
    pub timeout: Duration,
    pub resume: bool,
    pub fail_fast: bool,
    /// Text of the command, for the ledger.
    pub command: String,
}

/// Counts kept while a batch runs; a display reads them at any time.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Progress {
    pub planned: AtomicU64,
    pub ok: AtomicU64,
    pub failed: AtomicU64,
    pub reused: AtomicU64,
    /// Among the failed: those that took no time, for their strategy or market cannot be used. They say nothing of
    /// how long the rest will take.
    pub unusable: AtomicU64,
    pub bars: AtomicU64,
}

impl Progress {
    /// Runs that are over, reused ones included.
    pub fn done(&self) -> u64 {
        [&self.ok, &self.failed, &self.reused].iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    fn count(&self, run: &RunRecord) {
        let slot = if run.status == RunStatus::Ok { &self.ok } else { &self.failed };
        slot.fetch_add(1, Ordering::Relaxed);
        let unusable = run.status != RunStatus::Ok && run.elapsed_us == 0;
        self.unusable.fetch_add(u64::from(unusable), Ordering::Relaxed);
        self.bars.fetch_add(run.bars, Ordering::Relaxed);
    }
}

/// What a batch came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct BatchSummary {
    pub job: i64,
    pub planned: u64,
    pub ok: u64,
    pub failed: u64,
    /// Found in the ledger and not repeated.
    pub reused: u64,
    pub interrupted: bool,
    pub stopped_early: bool,
}

/// Called for every run once it is on disk; `reused` says that it came from the ledger.
pub type OnRun = Box<dyn FnMut(&RunRecord, bool) + Send>;
/// Called on a worker with a finished run's trades and equity, before they are dropped.
pub type OnOutput = Arc<dyn Fn(&RunRecord, &DataSet, &RunOutput) + Send + Sync>;

/// Runs handed to the pool ahead of the workers; bounds memory however large the grid is.
const QUEUE_AHEAD: usize = 2_048;
/// Runs the plan. `cancel` stops it: runs under way end as soon as they notice, finished ones are kept.
pub fn run(
    plan: &Plan,
    options: &BatchOptions,
    pool: &Pool,
    ledger: &Ledger,
    cancel: &CancelToken,
    progress: &Arc<Progress>,
    on_run: OnRun,
    on_output: Option<OnOutput>,
) -> Result<BatchSummary, LabError> {
    let planned = plan.count()?;
    progress.planned.store(planned, Ordering::Relaxed);
    ledger.keep_strategies(plan.strategies.iter().map(|(strategy, _)| &strategy.source))?;
    let job = ledger.begin_job(&options.command, planned)?;
    tracing::info!(job, planned, command = options.command, "job begins");
    let told = Arc::new(Mutex::new(on_run));
    let writer = LedgerWriter::start(ledger.clone(), announcer(progress, &told))?;
    let stop = cancel.child();
    let group = pool.group(GroupOptions {
        priority: options.priority,
        owner: job as u64,
        cancel: stop.clone(),
        deadline: Some(options.timeout),
        max_queued: QUEUE_AHEAD,
    });
    let batch = Batch {
        options,
        ledger,
        job,
        progress,
        told: &told,
        writer: &writer,
        stop: &stop,
        pending: RefCell::default(),
        error: RefCell::default(),
        failed_fast: Cell::new(false),
    };
    let jobs = Jobs::new(plan, &batch, on_output);
    group.feed(jobs, |index, outcome| batch.over(index, outcome));
    drop(group);
    let (error, stopped_early) = (batch.error.take(), batch.failed_fast.get());
    drop(batch);
    let written = writer.finish();
    if let Some(error) = error {
        // When the writer gave up, its own reason is the one to tell.
        return Err(written.err().unwrap_or(error));
    }
    written?;
    let interrupted = cancel.is_cancelled();
    ledger.end_job(job, outcome_word(interrupted, stopped_early))?;
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let (ok, failed, reused) = (count(&progress.ok), count(&progress.failed), count(&progress.reused));
    tracing::info!(job, ok, failed, reused, outcome = outcome_word(interrupted, stopped_early), "job ends");
    Ok(BatchSummary { job, planned, ok, failed, reused, interrupted, stopped_early })
}

fn outcome_word(interrupted: bool, stopped_early: bool) -> &'static str {
    match (interrupted, stopped_early) {
        (true, _) => "interrupted",
        (_, true) => "stopped at the first failure",
        _ => "done",
    }
}

/// Tells of a run that is on disk.
fn announcer(progress: &Arc<Progress>, told: &Arc<Mutex<OnRun>>) -> Acknowledge {
    let (progress, told) = (Arc::clone(progress), Arc::clone(told));
    Box::new(move |run: RunRecord| {
        progress.count(&run);
        log(&run);
        let mut tell = lock(&told);
        tell(&run, false);
    })
}

fn log(run: &RunRecord) {
    let (id, status) = (run.id.as_str(), run.status.as_str());
    match &run.error {
        Some(error) => {
            tracing::warn!(run = id, status, strategy = run.strategy, data = run.data, error, "run failed")
        }
        None => {
            tracing::debug!(
                run = id,
                status,
                strategy = run.strategy,
                data = run.data,
                elapsed_us = run.elapsed_us,
                "run recorded"
            );
        }
    }
}

thread_local! {
    /// Buffers that a worker reuses from run to run.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// One run on its way to a worker.
#[derive(Clone)]
struct Task {
    strategy: Arc<CompiledStrategy>,
    data: Arc<DataSet>,
    rules: Arc<Rules>,
    overrides: AccountOverrides,
    library: Arc<Library>,
    python: Option<Arc<PythonLab>>,
    params: Params,
    job: i64,
    timeout: Duration,
    cancel: CancelToken,
}

impl Task {
    fn spec(&self) -> RunSpec<'_> {
        RunSpec {
            strategy: &self.strategy,
            data: &self.data,
            params: self.params.clone(),
            rules: &self.rules,
            overrides: &self.overrides,
            library: &self.library,
            python: self.python.as_deref(),
        }
    }

    fn label(&self) -> String {
        let inputs: String = self.params.iter().map(|(k, v)| format!(" {k}={v}")).collect();
        format!("{} on {}{inputs}", self.strategy.name, self.data.name)
    }

    fn run(&self, context: &TaskCtx<'_>, on_output: Option<&OnOutput>) -> Vec<RunRecord> {
        SCRATCH.with_borrow_mut(|scratch| {
            let stop = || context.should_stop().is_some();
            let cancelled = || self.cancel.is_cancelled();
            let all = self.spec().record_all(self.job, scratch, self.timeout, &stop, &cancelled);
            let tell = |one: Recorded| {
                if let (Some(tell), Some(output)) = (on_output, &one.output) {
                    tell(&one.record, one.data.as_ref().unwrap_or(&self.data), output);
                }
                one.record
            };
            all.into_iter().map(tell).collect()
        })
    }

    fn failed(&self, failure: &RunFailure) -> RunRecord {
        self.spec().blank(self.job, failure.status(), Some(failure.to_string()))
    }
}

/// What the feeding side and the receiving side of a batch share; both are on one thread.
struct Batch<'a> {
    options: &'a BatchOptions,
    ledger: &'a Ledger,
    job: i64,
    progress: &'a Progress,
    told: &'a Mutex<OnRun>,
    writer: &'a LedgerWriter,
    stop: &'a CancelToken,
    /// Runs handed to the pool and not back yet.
    pending: RefCell<HashMap<u64, Task>>,
    error: RefCell<Option<LabError>>,
    failed_fast: Cell<bool>,
}

impl Batch<'_> {
    /// A run is back from the pool.
    fn over(&self, index: u64, outcome: Outcome<Vec<RunRecord>>) {
        let Some(task) = self.pending.borrow_mut().remove(&index) else { return };
        let records = match outcome {
            Outcome::Done(records) => records,
            Outcome::Panicked(message) => vec![task.failed(&RunFailure::Panic(message))],
            Outcome::TimedOut => vec![task.failed(&RunFailure::Timeout(self.options.timeout))],
            Outcome::Cancelled => return,
        };
        // Scripts make as many runs as they like; how many is known only now.
        self.progress.planned.fetch_add(records.len().saturating_sub(1) as u64, Ordering::Relaxed);
        records.into_iter().for_each(|record| self.hand_over(record));
    }

    fn hand_over(&self, record: RunRecord) {
        let bad = matches!(record.status, RunStatus::Failed | RunStatus::Timeout);
        if record.status == RunStatus::Cancelled {
            return;
        }
        if let Err(error) = self.writer.record(record) {
            self.fail(error);
        }
        if bad && self.options.fail_fast && !self.failed_fast.replace(true) {
            self.stop.cancel();
        }
    }

    /// The batch itself cannot go on.
    fn fail(&self, error: LabError) {
        self.error.borrow_mut().get_or_insert(error);
        self.stop.cancel();
    }

    /// Tells of what a run left earlier, and of the further runs of its script.
    fn reuse(&self, first: &RunRecord, others: &[RunRecord]) {
        self.progress.planned.fetch_add(others.len() as u64, Ordering::Relaxed);
        self.progress.reused.fetch_add(1 + others.len() as u64, Ordering::Relaxed);
        let mut tell = lock(self.told);
        [first].into_iter().chain(others).for_each(|record| tell(record, true));
    }
}

/// The record of a strategy and a market that cannot run together at all.
fn failed_pair(
    plan: &Plan,
    job: i64,
    strategy: &CompiledStrategy,
    data: &str,
    path: &str,
    why: &str,
) -> RunRecord {
    let rules = plan.rules_of(strategy).first().map(|r| (**r).clone()).unwrap_or_default();
    let account = strategy.program().map_or_else(Default::default, |p| p.account.clone());
    let place = ContentHash::of(path.as_bytes());
    RunRecord {
        id: RunId::compute(strategy.source.hash, &Params::new(), place, ENGINE_VERSION, "", why),
        job,
        finished_ms: now_ms(),
        strategy: strategy.name.clone(),
        source: strategy.source.path.display().to_string(),
        strategy_hash: strategy.source.hash.to_string(),
        data: data.into(),
        data_hash: String::new(),
        symbol: String::new(),
        timeframe: String::new(),
        setup: Setup {
            account: plan.overrides.apply(&account),
            data_path: path.into(),
            resample: None,
            from_ms: None,
            to_ms: None,
            engine: ENGINE_VERSION.into(),
            others: Vec::new(),
        },
        rules,
        params: Params::new(),
        status: RunStatus::Failed,
        error: Some(why.into()),
        diagnostics: strategy.diagnostics.clone(),
        bars: 0,
        elapsed_us: 0,
        metrics: None,
        trades_hash: None,
        python: strategy.fault.as_ref().map(|fault| Box::new(no_script(plan, fault))),
        log: None,
    }
}

/// What is kept of a script that is none.
fn no_script(plan: &Plan, fault: &Fault) -> PythonFacts {
    let engine = plan.python.as_ref().and_then(|lab| lab.engines.first());
    PythonFacts {
        engine: engine.map_or_else(String::new, |engine| engine.name.clone()),
        environment: engine.map_or_else(String::new, |engine| engine.identity.clone()),
        fault: Some(fault.clone()),
        ..PythonFacts::default()
    }
}
