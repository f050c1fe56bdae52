//! Waiting on purpose for something outside of the process.

use super::worker::{Local, current};
use crate::{Label, lock, registry::Outside};
use std::{fmt, rc::Rc, time::Instant};

/// Says, until it is dropped, that this worker waits on purpose: for a child process, another machine, a person.
/// The [watchdog](crate::observe::Watchdog) leaves it alone until the wait's own deadline; from then on it is
/// a stall like any other. What it waits for is shown with the task.
///
/// It is for tasks of pure computing that cannot but block their thread; a step of an asynchronous task that
/// blocks is told in any case. On a thread that is no worker it does nothing.
///
/// ```
/// use springtide_runtime::{GroupOptions, OutsideWait, Pool, PoolConfig};
/// use std::time::{Duration, Instant};
///
/// let pool = Pool::new(PoolConfig { workers: 1, ..PoolConfig::default() })?;
/// let group = pool.group(GroupOptions::default());
/// group.spawn("prints", |_| {
///     let until = Instant::now() + Duration::from_secs(5);
///     let _waits = OutsideWait::begin("the printer", Some(until));
///     std::thread::sleep(Duration::from_millis(1)); // stands for the printer
/// });
/// assert_eq!(group.results().count(), 1);
/// # Ok::<(), springtide_runtime::PoolError>(())
/// ```
#[must_use = "the wait is over when this is dropped"]
pub struct OutsideWait(Option<Wait>);

struct Wait {
    local: Rc<Local>,
    /// The wait around this one.
    before: Option<Outside>,
}

impl OutsideWait {
    /// Begins to wait for `what`, until the given time at most; `None` where nobody can say how long.
    pub fn begin(what: impl Into<Label>, until: Option<Instant>) -> Self {
        let wait = current().map(|local| {
            // What was handed over to this thread must not wait with it.
            local.queue_handed();
            let now = Outside { what: what.into(), since: Instant::now(), until };
            let before = lock(&local.desk().outside).replace(now);
            Wait { local, before }
        });
        Self(wait)
    }
}

impl Drop for OutsideWait {
    fn drop(&mut self) {
        if let Some(Wait { local, before }) = self.0.take() {
            *lock(&local.desk().outside) = before;
        }
    }
}

impl fmt::Debug for OutsideWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideWait").field("on_worker", &self.0.is_some()).finish_non_exhaustive()
    }
}
