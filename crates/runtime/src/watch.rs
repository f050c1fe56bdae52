//! The deadline watcher: one thread that raises a task's stop flag when its time is over, and drops the futures of
//! asynchronous tasks that are too late.
//!
//! It sleeps until the earliest deadline it knows of. A task whose deadline is earlier than that rings; with
//! one time limit for all tasks, later tasks have later deadlines, and nobody rings but the first. So the cost
//! per task is one atomic load, and the watcher wakes about once per time limit, not once per task.

use crate::sync::{Condvar, Mutex, now};
use crate::{
    exec::{Cell, NO_TIMER, TIMER_FIRED, TIMER_UNSET},
    lock,
    registry::{Board, StopReason},
    wait, wait_for,
    wheel::Wheel,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// No deadline known.
const NEVER: u64 = u64::MAX;
/// Length of the timers' tick: asynchronous tasks are stopped that much too late at most.
const TICK_NS: u64 = 1_000_000;

#[derive(Default)]
pub(crate) struct Watch {
    /// Deadlines of asynchronous tasks.
    timers: Mutex<Wheel<Arc<Cell>>>,
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
        self.ring_at(since_start(deadline, board));
    }

    fn ring_at(&self, ns: u64) {
        // Under the lock the watcher is asleep, or will read the time of its next look before it sleeps.
        let _asleep = lock(&self.shutdown);
        self.next_ns.0.fetch_min(ns, Ordering::Relaxed);
        self.bell.notify_one();
    }

    /// Sets the timer of an asynchronous task's deadline. Called by who alone may set it: the thread that spawned
    /// or runs the task.
    pub(crate) fn set_timer(&self, cell: &Arc<Cell>, deadline_ns: u64) {
        let tick = deadline_ns.div_ceil(TICK_NS);
        let mut timers = lock(&self.timers);
        let id = timers.insert(tick, Arc::clone(cell));
        // It may have been stopped since it was made: then nobody comes for its timer any more.
        if exchange(cell, TIMER_UNSET, id).is_err() {
            let removed = timers.remove(id);
            drop(timers);
            drop(removed);
            return;
        }
        let next = timers.next().map_or(NEVER, |tick| tick.saturating_mul(TICK_NS));
        drop(timers);
        if next < self.next_ns.0.load(Ordering::Relaxed) {
            self.ring_at(next);
        }
    }

    /// Removes the timer of an asynchronous task that has ended, or prevents it. A timer that is set changes under
    /// the lock only.
    pub(crate) fn clear_timer(&self, cell: &Cell) {
        if cell.timer.load(Ordering::Relaxed) == NO_TIMER || exchange(cell, TIMER_UNSET, NO_TIMER).is_ok() {
            return;
        }
        let mut timers = lock(&self.timers);
        let removed = match cell.timer.swap(NO_TIMER, Ordering::Relaxed) {
            NO_TIMER | TIMER_FIRED => None,
            id => timers.remove(id),
        };
        drop(timers);
        drop(removed);
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
            let now = now();
            let now_ns = since_start(now, board);
            if next == NEVER {
                shutdown = wait(&self.bell, shutdown);
            } else if now_ns < next {
                shutdown = wait_for(&self.bell, shutdown, Duration::from_nanos(next - now_ns));
            } else {
                // Not under the lock: what is stopped may drop futures, whose destructors may set deadlines, which
                // ring. A ring meanwhile is not lost, as the time of the next look is read again before any sleep.
                drop(shutdown);
                self.look(now, board);
                shutdown = lock(&self.shutdown);
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
        self.next_ns.0.fetch_min(earliest.min(self.stop_late(now, board)), Ordering::Relaxed);
    }

    /// Stops asynchronous tasks past their deadlines; when to look again.
    fn stop_late(&self, now: Instant, board: &Board) -> u64 {
        let mut late = Vec::new();
        let mut timers = lock(&self.timers);
        timers.advance(since_start(now, board) / TICK_NS, |cell| {
            cell.timer.store(TIMER_FIRED, Ordering::Relaxed);
            late.push(cell);
        });
        let next = timers.next().map_or(NEVER, |tick| tick.saturating_mul(TICK_NS));
        drop(timers);
        late.iter().for_each(|cell| cell.stop(StopReason::TimedOut));
        next
    }
}

fn exchange(cell: &Cell, from: u32, to: u32) -> Result<u32, u32> {
    cell.timer.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
}

fn since_start(at: Instant, board: &Board) -> u64 {
    board.ns_at(at)
}
