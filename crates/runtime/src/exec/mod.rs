//! Asynchronous tasks, on the same scheduler as everything else.
//!
//! ```
//! use springtide_runtime::{Outcome, Priority, exec::{Named, Runtime, RuntimeConfig}};
//! use std::time::Duration;
//!
//! let runtime = Runtime::new(RuntimeConfig { workers: 2, ..RuntimeConfig::default() })?;
//! let sum = runtime.run("sum", |scope| async move {
//!     let limit = Duration::from_secs(5);
//!     let parts: Vec<_> = (0..10_u64)
//!         .map(|n| {
//!             scope.spawn(Priority::High, "part", limit, async move {
//!                 tokio::time::sleep(Duration::from_millis(1)).named("the clock").await;
//!                 n
//!             })
//!         })
//!         .collect();
//!     let mut sum = 0;
//!     for part in parts {
//!         match part.await {
//!             Outcome::Done(n) => sum += n,
//!             other => panic!("{other:?}"),
//!         }
//!     }
//!     sum
//! })?;
//! assert_eq!(sum, 45);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How steps are scheduled
//!
//! An asynchronous task runs in *steps*, from one wait to the next. A step that is due is queued in the flow of
//! its class and owner, beside the tasks of the CPU pool's groups, and charged by the time it takes. A task that
//! waits is in no queue and holds no worker.
//!
//! Steps are run by the pool's workers and by one thread more, the *reactor*, on which tokio waits for sockets
//! and timers. Between events the reactor runs steps itself, so that a step caused by an event needs no thread
//! to be woken; but only short ones, and only when they are next in the policy's order, so that no share is
//! bent and no event waits long. When steps pile up or are long, a sleeping worker is woken; when no worker comes for
//! five milliseconds, because all compute, the reactor takes a step all the same.
//!
//! Where one short step makes another ready and nothing at all is queued, as when a task spawns another
//! and awaits it, the step is *handed over*: it runs next, without a way through the queue. It is charged like any
//! other; as soon as something else is queued, it queues, too.
//!
//! All of tokio's
//! sockets, timers and synchronisation work in tasks. What a library spawns on tokio by itself runs on the
//! reactor's thread.
//!
//! # What is promised
//!
//! - A scope ends only when all its tasks have ended; nothing is detached. [`Task`] handles cancel when dropped.
//! - Errors and panics reach the scope's owner: see [`Scope::start`] and [`Scope::spawn`].
//! - A deadline or a cancellation drops the task's future at its next wait, which is at once unless a step is
//!   under way, whether or not a worker is free. What it held is free then.
//! - A task that blocks its thread inside a step cannot be ended; it is shown as stopping, by name.

mod cell;
mod handle;
mod place;
mod runtime;
mod scope;
mod state;
mod tree;

pub(crate) use cell::{Cell, NO_TIMER, TIMER_FIRED, TIMER_UNSET};
pub use handle::Task;
pub use place::{At, Named, Waiting};
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
pub(crate) use scope::Core as ScopeCore;
pub use scope::{Cause, Failure, Scope};
pub use tree::{ScopeNode, TaskNode, TaskPhase, Tree};

use crate::{pool, priority::Priority};
use std::{future::Future, time::Duration};

/// Class and owner of the asynchronous task whose step this thread runs; none outside of one. What a task asks of
/// others is done in its class and for its owner, unless it says otherwise.
pub fn asking() -> Option<(Priority, u64)> {
    pool::current_cell().map(|cell| (cell.class(), cell.owner()))
}

/// A future that did not end in its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not done within {0:?}")]
pub struct Late(
    /// The time it had.
    pub Duration,
);

/// Runs a future for at most `limit`.
///
/// # Errors
/// When the time is over first; the future is dropped then.
pub async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Late> {
    tokio::time::timeout(limit, future).await.map_err(|_| Late(limit))
}
