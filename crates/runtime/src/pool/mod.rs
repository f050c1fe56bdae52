//! Threads that run tasks in the policy's order.

mod central;
mod group;
mod task;
mod worker;

pub use group::{Group, GroupOptions, Results};
pub use task::{Outcome, TaskCtx};

use crate::{
    capture, lock,
    policy::{Policy, PolicyConfig},
    priority::{BadWeight, Weights},
    registry::{Board, Registry, Snapshot},
    watch::Watch,
};
use central::{Central, SIGNAL_SHUTDOWN, Ticket};
use crossbeam_deque::{Stealer, Worker as Deque};
use std::{
    fmt, io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Settings of a [`Pool`].
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Number of worker threads, at least one.
    pub workers: usize,
    /// Shares of the classes under load.
    pub weights: Weights,
    /// Worker time that critical work may take beyond its share before it is held to it, per worker.
    pub critical_burst: Duration,
    /// Prefix of the threads' names.
    pub name: String,
}

impl Default for PoolConfig {
    /// One worker per available processor, weights 0.4/0.3/0.2/0.1, a critical burst of 200 ms per worker.
    fn default() -> Self {
        Self {
            workers: thread::available_parallelism().map_or(1, usize::from),
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
        let workers = config.workers;
        if workers == 0 {
            return Err(PoolError::NoWorkers);
        }
        let burst = config.critical_burst.saturating_mul(workers.try_into().unwrap_or(u32::MAX));
        let policy = Policy::new(PolicyConfig {
            weights: config.weights,
            critical_burst: u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX),
            ..PolicyConfig::default()
        })?;
        capture::install_hook();
        let deques: Vec<Deque<Ticket>> = (0..workers).map(|_| Deque::new_fifo()).collect();
        let shared = Arc::new(Shared {
            central: Mutex::new(Central::new(policy)),
            work: Condvar::new(),
            signal: AtomicU8::new(0),
            board: Arc::new(Board::new(workers)),
            stealers: deques.iter().map(Deque::stealer).collect(),
            watch: Watch::default(),
            group_ids: AtomicU64::new(0),
        });
        // From here on dropping `pool` ends the threads already started.
        let mut pool = Self { shared, threads: Vec::with_capacity(workers + 1) };
        for (index, deque) in deques.into_iter().enumerate() {
            let shared = Arc::clone(&pool.shared);
            pool.start(&config, format!("{}-{index}", config.name), move || {
                worker::work(shared, index, deque)
            })?;
        }
        let shared = Arc::clone(&pool.shared);
        pool.start(&config, format!("{}-watch", config.name), move || shared.watch.run(&shared.board))?;
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
        self.shared.stealers.len()
    }

    /// Reader of the live state, to hand to a display.
    pub fn registry(&self) -> Registry {
        Registry { board: Arc::clone(&self.shared.board) }
    }

    /// The live state now.
    pub fn snapshot(&self) -> Snapshot {
        self.registry().snapshot()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let shared = &self.shared;
        let left = {
            let mut central = lock(&shared.central);
            central.shutdown = true;
            shared.signal.fetch_or(SIGNAL_SHUTDOWN, Ordering::Relaxed);
            let left = central.drain_all();
            shared.publish(&central);
            left
        };
        shared.work.notify_all();
        shared.board.cancel_running(None);
        shared.watch.shut_down();
        left.into_iter().for_each(|task| task.abandon());
        let me = thread::current().id();
        for thread in self.threads.drain(..) {
            // A pool dropped by one of its own tasks cannot wait for that task; the thread ends after it.
            if thread.thread().id() != me && thread.join().is_err() {
                debug_assert!(thread::panicking(), "a worker thread panicked outside of a task");
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers()).finish_non_exhaustive()
    }
}

/// What workers, groups and the pool share.
pub(crate) struct Shared {
    central: Mutex<Central>,
    /// Idle workers sleep here, with `central`.
    work: Condvar,
    /// `SIGNAL_*` bits, read by workers before each task in hand.
    signal: AtomicU8,
    board: Arc<Board>,
    stealers: Vec<Stealer<Ticket>>,
    watch: Watch,
    group_ids: AtomicU64,
}
