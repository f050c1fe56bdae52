//! The runtime: a pool of workers, a reactor, and the outermost scope.

use super::{
    scope::{Core, Failure, Scope},
    tree::Tree,
};
use crate::{
    cancel::{CancelHook, CancelToken},
    label::Label,
    listed::{self, Entry, Listed},
    pool::{self, Outcome, Pool, PoolConfig, PoolError, Unreported},
    priority::{Priority, Weights},
    registry::{Registry, Snapshot},
    sync::{block_on, driver},
};
use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    sync::Arc,
    time::Duration,
};

/// Most tasks shown to others.
const SHOWN_TASKS: usize = 1_000;

/// Settings of a [`Runtime`].
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeConfig {
    /// Number of worker threads, at least one. The reactor is a thread more.
    pub workers: usize,
    /// Shares of the classes under load.
    pub weights: Weights,
    /// Worker time that critical work may take beyond its share before it is held to it, per worker.
    pub critical_burst: Duration,
    /// How long the reactor looks for events again and again before it sleeps. Waking a sleeping thread takes
    /// tens of microseconds: where that matters more than a processor's time, give it some.
    pub spin: Duration,
    /// Prefix of the threads' names.
    pub name: String,
}

impl Default for RuntimeConfig {
    /// One worker per available processor, weights 0.4/0.3/0.2/0.1, a critical burst of 200 ms per worker, no
    /// spinning.
    fn default() -> Self {
        let PoolConfig { workers, weights, critical_burst, .. } = PoolConfig::default();
        Self { workers, weights, critical_burst, spin: Duration::ZERO, name: "runtime".into() }
    }
}

/// Why a runtime could not be created, or a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The threads could not be started.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The system refused what the reactor needs.
    #[error("cannot start the reactor: {0}; raise the limit on open files")]
    Reactor(#[source] io::Error),
    /// A task of the run failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The run itself panicked.
    #[error("`{label}` panicked: {report}")]
    Panicked {
        /// Its name.
        label: Label,
        /// Message and place.
        report: String,
    },
    /// The runtime was shut down, or its token cancelled, before the run had ended.
    #[error("`{label}` was cancelled")]
    Cancelled {
        /// Its name.
        label: Label,
    },
}

/// Workers, a reactor, and everything that runs on them. Dropping it cancels all tasks, waits for those in a
/// step, and ends the threads.
pub struct Runtime {
    top: Arc<Core>,
    _hook: CancelHook,
    _shown: Arc<Shown>,
    /// Dropped last: it ends the threads.
    pool: Pool,
}

impl Runtime {
    /// Starts the threads.
    ///
    /// # Errors
    /// When there are no workers, a weight is unusable, or the system refuses a thread or a descriptor.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        Self::under(config, &CancelToken::new())
    }

    /// As [`Runtime::new`]; everything in it is cancelled with `token`.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn under(config: RuntimeConfig, token: &CancelToken) -> Result<Self, RuntimeError> {
        let RuntimeConfig { workers, weights, critical_burst, spin, name } = config;
        let tokio = driver::start().map_err(RuntimeError::Reactor)?;
        let config = PoolConfig { workers, weights, critical_burst, name };
        let pool = Pool::with_reactor(config, tokio, spin)?;
        let (top, hook) = Core::open(pool.shared(), "runtime".into(), 0, token);
        let shown = Arc::new(Shown { name: pool.shared().name.clone(), top: Arc::clone(&top) });
        let weak = Arc::downgrade(&shown);
        listed::list(weak);
        Ok(Self { top, _hook: hook, _shown: shown, pool })
    }

    /// Runs `body` in a scope of its own, as a task of the high class, and blocks until it and all tasks of the
    /// scope have ended.
    ///
    /// # Errors
    /// When a task of the scope fails, `body` panics, or the runtime is shut down meanwhile.
    ///
    /// # Panics
    /// On a thread of this runtime, where it would wait for itself.
    pub fn run<B, F>(&self, label: impl Into<Label>, body: B) -> Result<F::Output, RuntimeError>
    where
        B: FnOnce(Scope) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let label = label.into();
        assert!(
            !pool::is_on(self.pool.shared()),
            "`run` of `{label}` on a thread of its own runtime: await `nest`"
        );
        let top = self.scope();
        let name = label.clone();
        let task =
            top.clone().spawn(Priority::High, label.clone(), None, async move { top.nest(name, body).await });
        match block_on(task) {
            Outcome::Done(result) => Ok(result?),
            Outcome::Panicked(report) => Err(RuntimeError::Panicked { label, report }),
            Outcome::Cancelled | Outcome::TimedOut => Err(RuntimeError::Cancelled { label }),
        }
    }

    /// The outermost scope, which ends with the runtime.
    pub fn scope(&self) -> Scope {
        Scope::of(Arc::clone(&self.top))
    }

    /// The workers, for tasks of pure computing.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The tree of tasks now. It costs time for each task: look at it once a second, not in a loop.
    pub fn tree(&self) -> Tree {
        Tree::of(&self.top, usize::MAX)
    }

    /// How many failures could not be given to the owner of their scope, because another came first or the
    /// scope had ended; and the last of them.
    pub fn unreported(&self) -> (u64, Vec<Unreported>) {
        self.pool.shared().unreported()
    }

    /// Reader of the live state, to hand to a display.
    pub fn registry(&self) -> Registry {
        self.pool.registry()
    }

    /// The live state now.
    pub fn snapshot(&self) -> Snapshot {
        self.pool.snapshot()
    }
}

/// What is shown of a runtime while it lives.
struct Shown {
    name: Label,
    top: Arc<Core>,
}

impl Listed for Shown {
    fn entry(&self) -> Entry {
        let (count, last) = self.top.shared().unreported();
        Entry::Runtime(self.name.clone(), Tree::of(&self.top, SHOWN_TASKS), count, last)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.top.token().cancel();
        // A task that drops its own runtime cannot wait for itself; the threads end after it.
        if !pool::is_on(self.pool.shared()) {
            block_on(poll_fn(|cx| self.top.poll_ended(cx)));
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("pool", &self.pool).finish_non_exhaustive()
    }
}
