//! The deadline watcher: one thread that raises a task's stop flag when its time is over.
//!
//! It sleeps until the earliest deadline it knows of. A task whose deadline is earlier than that rings; with
//! one time limit for all tasks, later tasks have later deadlines, and nobody rings but the first. So the cost
//! per task is one atomic load, and the watcher wakes about once per time limit, not once per task.

use crate::{
    lock,
    registry::{Board, StopReason},
    wait, wait_for,
};
use std::{
    sync::{
        Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// No deadline known.
const NEVER: u64 = u64::MAX;

#[derive(Default)]
pub(crate) struct Watch {
    /// When the watcher looks next, in nanoseconds since the board's start.
    next_ns: AtomicU64Never,
    shutdown: Mutex<bool>,
    bell: Condvar,
}

struct AtomicU64Never(AtomicU64);

impl Default for AtomicU64Never {
    fn default() -> Self {
        Self(AtomicU64::new(NEVER))
    }
}

impl Watch {
    /// True when the watcher would come too late for `deadline` and [`Watch::ring`] is due. Called with the
    /// task's slot locked: either the watcher sees the task there, or this sees what the watcher stored before.
    pub(crate) fn too_late_for(&self, deadline: Option<Instant>, board: &Board) -> bool {
        deadline.is_some_and(|at| since_start(at, board) < self.next_ns.0.load(Ordering::Relaxed))
    }

    /// Makes the watcher look at `deadline` at the latest.
    pub(crate) fn ring(&self, deadline: Instant, board: &Board) {
        // Under the lock the watcher is asleep or before its next look, never between look and sleep.
        let _asleep = lock(&self.shutdown);
        self.next_ns.0.fetch_min(since_start(deadline, board), Ordering::Relaxed);
        self.bell.notify_one();
    }

    /// Ends [`Watch::run`].
    pub(crate) fn shut_down(&self) {
        *lock(&self.shutdown) = true;
        self.bell.notify_one();
    }

    /// Watches until shut down.
    pub(crate) fn run(&self, board: &Board) {
        let mut shutdown = lock(&self.shutdown);
        while !*shutdown {
            let next = self.next_ns.0.load(Ordering::Relaxed);
            let now = Instant::now();
            let now_ns = since_start(now, board);
            if next == NEVER {
                shutdown = wait(&self.bell, shutdown);
            } else if now_ns < next {
                shutdown = wait_for(&self.bell, shutdown, Duration::from_nanos(next - now_ns));
            } else {
                self.look(now, board);
            }
        }
    }

    /// Stops what is past its deadline and notes the earliest deadline that is left.
    fn look(&self, now: Instant, board: &Board) {
        // Before the slots are read: a task that starts after its slot was read finds this and rings.
        self.next_ns.0.store(NEVER, Ordering::Relaxed);
        let mut earliest = NEVER;
        board.each_slot(|slot| {
            slot.stop_if(StopReason::TimedOut, |task| match task.deadline {
                Some(at) if at <= now => true,
                Some(at) => {
                    earliest = earliest.min(since_start(at, board));
                    false
                }
                None => false,
            });
        });
        self.next_ns.0.fetch_min(earliest, Ordering::Relaxed);
    }
}

fn since_start(at: Instant, board: &Board) -> u64 {
    at.saturating_duration_since(board.started).as_nanos() as u64
}
