//! One task: its closure on the way to a worker, what it sees while it runs, what became of it.

use super::{
    Group, GroupOptions,
    group::{Core, Head},
    worker::Seat,
};
use crate::{
    CancelToken, Label, Priority, capture,
    registry::{Current, Ending, Slot, StopReason},
    sync::now,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It returned a value without having been told to stop (or without having asked).
    Done(T),
    /// It panicked: `message (file:line:column)`.
    Panicked(String),
    /// It was cancelled before it began, or saw that it was and returned.
    Cancelled,
    /// It saw that its deadline had passed and returned, or could not begin before its group's time was over.
    TimedOut,
}

impl<T> Outcome<T> {
    /// The value, if there is one.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn stopped(why: StopReason) -> Self {
        match why {
            StopReason::Cancelled => Self::Cancelled,
            StopReason::TimedOut => Self::TimedOut,
        }
    }
}

/// A task as queues and workers see it.
pub(super) trait Task: Send {
    /// True when its group was cancelled.
    fn is_cancelled(&self) -> bool;
    /// Runs it to its outcome.
    fn run(self: Box<Self>, seat: Seat<'_>, start: Instant) -> Ran;
    /// Ends it as cancelled without running it.
    fn abandon(self: Box<Self>);
    /// Wakes whoever waits on the group, since this task is being queued again. Called under the central lock.
    fn requeued(&self);
}

/// What a run cost.
pub(crate) struct Ran {
    pub(crate) end: Instant,
    /// `None` when the task did not begin.
    pub(crate) busy_ns: Option<u64>,
}

/// A closure with its place in a group: one allocation per task.
pub(super) struct Job<T, F> {
    pub(super) core: Arc<Core<T>>,
    pub(super) index: u64,
    pub(super) label: Label,
    pub(super) body: F,
}

impl<T, F> Task for Job<T, F>
where
    T: Send + 'static,
    F: FnOnce(&TaskCtx<'_>) -> T + Send + 'static,
{
    fn is_cancelled(&self) -> bool {
        self.core.head.token.is_cancelled()
    }

    fn run(self: Box<Self>, seat: Seat<'_>, start: Instant) -> Ran {
        let Job { core, index, label, body } = *self;
        let head = &core.head;
        if let Some(why) = head.stopped_before(start) {
            let outcome = discard(body, Outcome::stopped(why));
            seat.tally(head.priority).count(ending(&outcome), false, 0);
            core.deliver(index, outcome);
            return Ran { end: start, busy_ns: None };
        }
        let deadline = head.deadline_from(start);
        let running = Current {
            label,
            class: head.priority,
            owner: head.owner,
            group: head.id,
            since: start,
            deadline,
        };
        let ring = seat.slot.begin(running, || seat.watch_is_late(deadline));
        if let Some(deadline) = deadline.filter(|_| ring) {
            seat.ring(deadline);
        }
        if head.is_cancelled() {
            // Cancelled between the check above and `begin`: whoever cancelled may have missed the slot.
            seat.slot.stop_if(StopReason::Cancelled, |_| true);
        }
        let away = seat.local.away_begin();
        let worker = seat.local.index;
        let ctx = TaskCtx { slot: seat.slot, worker, head, index, deadline, noticed: AtomicBool::new(false) };
        let result = capture::catch(|| {
            let value = body(&ctx);
            // A value that was cut short is no result. Dropped here, where it may panic.
            if ctx.noticed.load(Ordering::Relaxed) { None } else { Some(value) }
        });
        let end = now();
        let busy_ns = seat.local.away_end(away, end - start);
        let outcome = match result {
            Ok(Some(value)) => Outcome::Done(value),
            Ok(None) => Outcome::stopped(seat.slot.stop().unwrap_or(StopReason::Cancelled)),
            Err(report) => Outcome::Panicked(report),
        };
        seat.slot.end();
        let late =
            matches!(outcome, Outcome::Done(_) | Outcome::Panicked(_)) && deadline.is_some_and(|at| at < end);
        seat.tally(head.priority).count(ending(&outcome), late, busy_ns);
        core.deliver(index, outcome);
        Ran { end, busy_ns: Some(busy_ns) }
    }

    fn abandon(self: Box<Self>) {
        let Job { core, index, body, .. } = *self;
        let outcome = discard(body, Outcome::Cancelled);
        core.head.shared.board.aside.0[core.head.priority.index()].count_shared(ending(&outcome), false);
        core.deliver(index, outcome);
    }

    fn requeued(&self) {
        self.core.requeued();
    }
}

/// Drops a closure that will not run; what it owns may panic in its destructor.
fn discard<T, F>(body: F, outcome: Outcome<T>) -> Outcome<T> {
    match capture::catch(|| drop(body)) {
        Ok(()) => outcome,
        Err(report) => Outcome::Panicked(report),
    }
}

fn ending<T>(outcome: &Outcome<T>) -> Ending {
    match outcome {
        Outcome::Done(_) => Ending::Done,
        Outcome::Panicked(_) => Ending::Failed,
        Outcome::Cancelled => Ending::Stopped(StopReason::Cancelled),
        Outcome::TimedOut => Ending::Stopped(StopReason::TimedOut),
    }
}

/// What a task sees of its surroundings while it runs.
pub struct TaskCtx<'a> {
    slot: &'a Slot,
    worker: usize,
    head: &'a Head,
    index: u64,
    deadline: Option<Instant>,
    noticed: AtomicBool,
}

impl TaskCtx<'_> {
    /// Whether, and why, the task should return now. One relaxed atomic load: cheap enough for inner loops.
    /// Once it has answered with a reason, the task's outcome is that reason, whatever value it returns.
    #[inline]
    pub fn should_stop(&self) -> Option<StopReason> {
        let stop = self.slot.stop();
        if stop.is_some() {
            self.noticed.store(true, Ordering::Relaxed);
        }
        stop
    }

    /// Time left until the task's deadline, zero when past it; `None` when it has none.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// The index that [`Group::spawn`] returned.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The task's class.
    pub fn priority(&self) -> Priority {
        self.head.priority
    }

    /// The task's owner.
    pub fn owner(&self) -> u64 {
        self.head.owner
    }

    /// Number of the worker that runs it.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The group's token: cancelled with the group. A deadline does not raise it.
    pub fn token(&self) -> &CancelToken {
        &self.head.token
    }

    /// Options for children of this task: same class and owner, cancelled with the task's group.
    pub fn child_options(&self) -> GroupOptions {
        GroupOptions {
            priority: self.head.priority,
            owner: self.head.owner,
            cancel: self.head.token.clone(),
            ..GroupOptions::default()
        }
    }

    /// Opens a group of child tasks in the same pool. They end when this task's deadline passes, and while
    /// this task waits for them its worker runs them, so that waiting cannot exhaust the workers.
    pub fn group<T: Send + 'static>(&self, options: GroupOptions) -> Group<T> {
        Group::open(&self.head.shared, options, self.deadline)
    }
}

impl fmt::Debug for TaskCtx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCtx")
            .field("index", &self.index)
            .field("worker", &self.worker())
            .finish_non_exhaustive()
    }
}

impl Head {
    /// Why a task must not begin any more.
    fn stopped_before(&self, now: Instant) -> Option<StopReason> {
        if self.is_cancelled() {
            return Some(StopReason::Cancelled);
        }
        self.until.filter(|until| *until <= now).map(|_| StopReason::TimedOut)
    }

    /// Deadline of a task that begins now.
    fn deadline_from(&self, start: Instant) -> Option<Instant> {
        let own = self.deadline.and_then(|limit| start.checked_add(limit));
        match (own, self.until) {
            (Some(own), Some(until)) => Some(own.min(until)),
            (own, until) => own.or(until),
        }
    }
}

// Queues hold one fat pointer per task; the allocation behind it holds the closure and this much.
const _: () = assert!(size_of::<Job<(), ()>>() <= 40 && size_of::<Box<dyn Task>>() == 16);
