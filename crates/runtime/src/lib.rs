//! The concurrency layer: priorities, work stealing, cancellation, deadlines, and a registry of everything
//! that runs. It knows nothing of what the tasks do; any program can use it.
//!
//! - [`policy`]: decides whose task runs next, as a pure state machine with its own simulator.
//! - [`Pool`], [`Group`]: threads that run tasks by that policy, and the handle through which tasks go in and
//!   results come out.
//! - [`exec`]: asynchronous tasks on the same workers and by the same policy, in scopes that end with them.
//! - [`CancelToken`], [`TaskCtx`]: how a running task learns that it should stop.
//! - [`limit`]: rate limits, retries and circuit breakers.
//! - [`channel`]: channels bounded in items and bytes, with a stated answer to being full.
//! - [`permit`]: how many pieces of waiting work may be under way, found by measurement.
//! - `process`: child processes under watch, with limits, ended whole (Linux).
//! - [`locks`]: locks whose order is checked.
//! - [`Registry`]: what runs where, since when, and what became of the rest.
//! - [`observe`]: the same from outside, with health and metrics, through a local socket.
//!
//! ```
//! use springtide_runtime::{GroupOptions, Outcome, Pool, PoolConfig, Priority};
//!
//! let pool = Pool::new(PoolConfig { workers: 2, ..PoolConfig::default() })?;
//! let group = pool.group(GroupOptions { priority: Priority::High, ..GroupOptions::default() });
//! for n in 0..10_u64 {
//!     group.spawn("sum", move |ctx| {
//!         let mut sum = 0;
//!         for i in 0..n * 1_000 {
//!             if ctx.should_stop().is_some() {
//!                 break; // the outcome will be Cancelled or TimedOut
//!             }
//!             sum += i;
//!         }
//!         sum
//!     });
//! }
//! let mut total = 0;
//! for (index, outcome) in group.results() {
//!     match outcome {
//!         Outcome::Done(sum) => total += sum,
//!         other => panic!("task {index}: {other:?}"),
//!     }
//! }
//! assert_eq!(total, (0..10_u64).flat_map(|n| 0..n * 1_000).sum::<u64>());
//! # Ok::<(), springtide_runtime::PoolError>(())
//! ```
//!
//! # How work is ordered
//!
//! Four classes share the workers' time 0.4 / 0.3 / 0.2 / 0.1 while all have work waiting; what an idle class
//! leaves goes to the others; a critical task takes the next free worker unless critical work has been over
//! its share for long. Within a class, owners take turns; within an owner, so do its groups; within a group,
//! tasks start in the order they were spawned. The rules, their reasons and bounds are in [`policy`].
//!
//! # How it is built
//!
//! One lock guards the queues and the policy. A worker comes to it once per turn: it takes one task, or, when
//! tasks are short, a batch worth about 100 µs, which it keeps in its own deque and from which idle workers
//! steal. So the lock is rare where tasks are short and free where they are long, and the order is the
//! policy's to within a turn. Before each task from its hand a worker reads one flag, raised while a critical
//! task waits.
//!
//! Sleeping needs no cleverness: a worker sleeps on a condition variable of that same lock, having seen under
//! it that nothing is queued and nobody has a task to steal, and tasks enter queues and deques only under it.
//!
//! # What is promised
//!
//! - Every spawned task has exactly one outcome: done, panicked, cancelled or timed out.
//! - Nothing is detached: dropping a [`Group`] cancels what is left of it and waits; dropping a [`Pool`] ends
//!   its threads.
//! - A panic is an outcome with message and place. The worker lives on; nothing is printed.
//! - A task that ignores its deadline is not killed: it is shown as overdue, by name, and counted.
//!
//! # Asynchronous work
//!
//! [`exec`] runs asynchronous tasks on the same policy: a step of a task is a dispatch like any other, charged by its
//! time. [`permit`] bounds how many are under way towards one place, [`limit`] how fast. `process` runs children.

mod cancel;
mod capture;
pub mod channel;
pub mod exec;
mod histogram;
mod label;
pub mod limit;
mod listed;
pub mod observe;
pub mod permit;
pub mod policy;
mod pool;
mod priority;
#[cfg(target_os = "linux")]
pub mod process;
mod registry;
mod sync;
mod watch;
mod wheel;

pub use cancel::{CancelHook, CancelToken};
pub use histogram::Histogram;
pub use label::Label;
pub use pool::{
    Group, GroupOptions, Outcome, OutsideWait, Pool, PoolConfig, PoolError, Results, TaskCtx, Unreported,
    WORKERS_MAX,
};
pub use priority::{BadWeight, PerClass, Priority, UnknownPriority, Weights};
pub use registry::{Counts, Registry, Running, Snapshot, StopReason, TaskId, WorkerState};

/// Locks whose order is checked in debug builds: taking two of them one inside the other in both orders, by whatever
/// threads and whether or not it led to a deadlock, is reported with both stacks. In release builds they are the
/// standard library's own.
///
/// ```
/// use springtide_runtime::locks::{Mutex, lock};
///
/// let counts = Mutex::new(vec![0; 4]);
/// lock(&counts)[2] += 1;
/// assert_eq!(*lock(&counts), [0, 0, 1, 0]);
/// ```
pub mod locks {
    pub use crate::sync::{Condvar, Mutex, MutexGuard, lock, wait, wait_for};
}

use sync::{lock, wait, wait_for};
