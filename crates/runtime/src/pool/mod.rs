//! Threads that run tasks in the policy's order.

mod central;
mod group;
mod outside;
mod reactor;
mod shared;
mod task;
mod worker;

pub use group::{Group, GroupOptions, Results};
pub use outside::OutsideWait;
pub(crate) use shared::Shared;
pub use shared::Unreported;
pub(crate) use task::Ran;
pub use task::{Outcome, TaskCtx};
pub(crate) use worker::{Seat, current_cell, is_on};

use crate::sync::{
    driver,
    thread::{self, JoinHandle},
};
use crate::{
    capture, listed,
    policy::{Policy, PolicyConfig},
    priority::{BadWeight, Weights},
    registry::{Registry, Snapshot},
};
use central::Ticket;
use crossbeam_deque::Worker as Deque;
use std::{fmt, io, sync::Arc, time::Duration};

/// Most workers of a pool. Far more threads than processors only wait for each other, and beyond what the system
/// gives a process it is not refused in order: it aborts.
pub const WORKERS_MAX: usize = 1_024;

/// Settings of a [`Pool`].
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Number of worker threads, at least one and at most [`WORKERS_MAX`].
    pub workers: usize,
    /// Shares of the classes under load.
    pub weights: Weights,
    /// Worker time that critical work may take beyond its share before it is held to it, per worker.
    pub critical_burst: Duration,
    /// Prefix of the threads' names, and where it is shown.
    pub name: String,
}

impl Default for PoolConfig {
    /// One worker per available processor, weights 0.4/0.3/0.2/0.1, a critical burst of 200 ms per worker.
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            weights: Weights::default(),
            critical_burst: Duration::from_millis(200),
            name: "pool".into(),
        }
    }
}

/// Why a pool could not be created.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// `workers` is zero.
    #[error("a pool needs at least one worker")]
    NoWorkers,
    /// `workers` is beyond [`WORKERS_MAX`].
    #[error("{workers} workers are more than a pool can have: at most {WORKERS_MAX}")]
    TooMany {
        /// Workers asked for.
        workers: usize,
    },
    /// A weight is unusable.
    #[error(transparent)]
    Weight(#[from] BadWeight),
    /// The system refused a thread.
    #[error(
        "cannot start thread {number} of {workers}: lower the number of workers or raise the limit on threads"
    )]
    Thread {
        /// Which thread, from 1.
        number: usize,
        /// Workers asked for.
        workers: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// Worker threads with shared queues. Dropping it cancels what is queued or running and joins all threads;
/// groups that are still open then report their remaining tasks as cancelled.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts the threads: the workers, and one that watches deadlines (asleep unless some task has one).
    ///
    /// # Errors
    /// When there are no workers, a weight is unusable, or the system refuses a thread.
    pub fn new(config: PoolConfig) -> Result<Self, PoolError> {
        Self::build(config, None)
    }

    /// As [`Pool::new`], with a thread more that turns tokio's driver and runs steps.
    pub(crate) fn with_reactor(
        config: PoolConfig,
        tokio: driver::Runtime,
        spin: Duration,
    ) -> Result<Self, PoolError> {
        Self::build(config, Some((tokio, spin)))
    }

    fn build(config: PoolConfig, reactor: Option<(driver::Runtime, Duration)>) -> Result<Self, PoolError> {
        let workers = config.workers;
        if workers == 0 {
            return Err(PoolError::NoWorkers);
        }
        if workers > WORKERS_MAX {
            return Err(PoolError::TooMany { workers });
        }
        let burst = config.critical_burst.saturating_mul(workers.try_into().unwrap_or(u32::MAX));
        let policy = Policy::new(PolicyConfig {
            weights: config.weights,
            critical_burst: u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX),
            ..PolicyConfig::default()
        })?;
        capture::install_hook();
        let desks = workers + usize::from(reactor.is_some());
        let mut deques: Vec<Deque<Ticket>> = (0..desks).map(|_| Deque::new_fifo()).collect();
        let stealers = deques.iter().map(Deque::stealer).collect();
        let tokio = reactor.as_ref().map(|(tokio, _)| tokio.handle().clone());
        let shared = Arc::new(Shared::new(config.name.clone().into(), policy, workers, stealers, tokio));
        let weak = Arc::downgrade(&shared);
        listed::list(weak);
        // From here on dropping `pool` ends the threads already started.
        let mut pool = Self { shared, threads: Vec::with_capacity(desks + 1) };
        if let Some((tokio, spin)) = reactor {
            let deque = deques.pop().expect("the reactor's");
            let shared = Arc::clone(&pool.shared);
            let name = format!("{}-reactor", config.name);
            pool.start(&config, name, move || reactor::react(shared, workers, deque, tokio, spin))?;
        }
        for (index, deque) in deques.into_iter().enumerate() {
            let shared = Arc::clone(&pool.shared);
            pool.start(&config, format!("{}-{index}", config.name), move || {
                worker::work(shared, index, deque)
            })?;
        }
        let shared = Arc::clone(&pool.shared);
        pool.start(&config, format!("{}-watch", config.name), move || shared.watch_deadlines())?;
        Ok(pool)
    }

    fn start(
        &mut self,
        config: &PoolConfig,
        name: String,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), PoolError> {
        let error =
            |source| PoolError::Thread { number: self.threads.len() + 1, workers: config.workers, source };
        let thread = thread::Builder::new().name(name).spawn(run).map_err(error)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Opens a group of tasks that return `T`.
    pub fn group<T: Send + 'static>(&self, options: GroupOptions) -> Group<T> {
        Group::open(&self.shared, options, None)
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.shared.workers()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reader of the live state, to hand to a display.
    pub fn registry(&self) -> Registry {
        Registry { board: Arc::clone(self.shared.board()) }
    }

    /// The live state now.
    pub fn snapshot(&self) -> Snapshot {
        self.registry().snapshot()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.shut_down();
        let me = thread::current().id();
        for thread in self.threads.drain(..) {
            // A pool dropped by one of its own tasks cannot wait for that task; the thread ends after it.
            if thread.thread().id() != me && thread.join().is_err() {
                debug_assert!(std::thread::panicking(), "a worker thread panicked outside of a task");
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers()).finish_non_exhaustive()
    }
}
