//! What runs where, since when, and what became of everything: read at any time without stopping a worker.
//!
//! Each worker writes to a *desk* of its own: a slot that names the running task, guarded by a lock that a
//! reader holds for the length of a copy, and counters that only the worker writes.

use crate::sync::{self, Mutex, now};
use crate::{
    exec::Cell,
    histogram::{Histogram, SharedHistogram},
    label::Label,
    lock,
    priority::{PerClass, Priority},
};
use crossbeam_utils::CachePadded;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Number of an asynchronous task: its scope's, and its own within the scope. Never used again in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// Number of the scope.
    pub scope: u32,
    /// Which of the scope's tasks, from 0.
    pub serial: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.scope, self.serial)
    }
}

/// Why a task is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// Its token was cancelled, its group dropped or its pool shut down.
    Cancelled,
    /// Its deadline passed.
    TimedOut,
}

/// How tasks ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ran to their end.
    pub done: u64,
    /// Panicked.
    pub failed: u64,
    /// Cancelled, while running or before.
    pub cancelled: u64,
    /// Stopped by their deadline.
    pub timed_out: u64,
    /// Of those done or failed: ended after their deadline without having noticed it.
    pub overdue: u64,
    /// Steps of asynchronous tasks: from one wait to the next.
    pub steps: u64,
}

impl Counts {
    /// All tasks that are over.
    pub fn ended(&self) -> u64 {
        self.done + self.failed + self.cancelled + self.timed_out
    }

    fn add(&mut self, other: &Self) {
        self.done += other.done;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.timed_out += other.timed_out;
        self.overdue += other.overdue;
        self.steps += other.steps;
    }
}

/// A task that runs now, or an asynchronous task in one of its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Number of an asynchronous task.
    pub task: Option<TaskId>,
    /// The name given when it was spawned.
    pub label: Label,
    /// Its class.
    pub class: Priority,
    /// Its owner.
    pub owner: u64,
    /// How long it has been running; of an asynchronous task, how long this step.
    pub elapsed: Duration,
    /// How far it is past its deadline: such a task has been asked to stop and goes on.
    pub overdue: Option<Duration>,
    /// Whether, and why, it has been asked to stop.
    pub stopping: Option<StopReason>,
    /// What it waits for outside of the process, on purpose, and for how long so far; see [`OutsideWait`](crate::OutsideWait).
    pub waits_for: Option<(Label, Duration)>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerState {
    /// Position in the pool.
    pub worker: usize,
    /// Whether it is the reactor's thread, which runs short steps of asynchronous tasks between events.
    pub reactor: bool,
    /// The system's number of its thread; 0 where unknown.
    pub tid: u32,
    /// What it runs; empty when idle. More than one where a task waits for its own children and runs them
    /// meanwhile: the last is the one on the processor.
    pub running: Vec<Running>,
    /// Time spent in tasks since the pool started, the running one included.
    pub busy: Duration,
    /// Tasks taken from another worker's hands.
    pub stolen: u64,
}

/// The state of a pool at one moment. Parts are read one after the other while work goes on, so that sums may
/// be a few tasks apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Time since the pool started.
    pub uptime: Duration,
    /// All workers.
    pub workers: Vec<WorkerState>,
    /// Tasks waiting per class, without those a worker has already taken in hand (about 100 µs of work each).
    pub queued: PerClass<u64>,
    /// Tasks ended per class.
    pub counts: PerClass<Counts>,
    /// Worker time per class so far, that of running tasks included.
    pub busy: PerClass<Duration>,
    /// How long tasks and steps ran, per class.
    pub times: PerClass<Histogram>,
    /// How long the reactor let others wait for a turn, as tried by the [watchdog](crate::observe::Watchdog).
    pub lag: Histogram,
}

impl Snapshot {
    /// Tasks ended in all classes.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.counts.0.iter().for_each(|c| total.add(c));
        total
    }

    /// Tasks waiting in all classes.
    pub fn queued_total(&self) -> u64 {
        self.queued.0.iter().sum()
    }

    /// Running tasks past their deadlines.
    pub fn overdue(&self) -> impl Iterator<Item = &Running> {
        self.workers.iter().flat_map(|w| &w.running).filter(|r| r.overdue.is_some())
    }
}

/// Reader of a pool's live state; outlives the pool.
#[derive(Clone)]
pub struct Registry {
    pub(crate) board: Arc<Board>,
}

impl Registry {
    /// The state now. Costs a few microseconds and one short lock per worker: fit for ten times a second.
    pub fn snapshot(&self) -> Snapshot {
        self.board.snapshot(Instant::now())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("workers", &self.board.desks.len()).finish_non_exhaustive()
    }
}

/// Everything that is written for readers.
pub(crate) struct Board {
    pub(crate) started: Instant,
    pub(crate) desks: Vec<CachePadded<Desk>>,
    /// Desks of workers; one more may be the reactor's.
    pub(crate) workers: usize,
    pub(crate) queued: [sync::AtomicU64; 4],
    /// Tasks that ended without reaching a worker.
    pub(crate) aside: Tallies,
    /// Since when the reactor owes the watchdog a turn, in nanoseconds since the start; 0 when it owes none.
    pub(crate) lane_due_ns: AtomicU64,
    /// How long it took to give one; written by the reactor alone.
    pub(crate) lag: SharedHistogram,
}

impl Board {
    pub(crate) fn new(workers: usize, reactor: bool) -> Self {
        Self {
            started: now(),
            workers,
            desks: (0..workers + usize::from(reactor)).map(|_| CachePadded::default()).collect(),
            queued: Default::default(),
            aside: Tallies::default(),
            lane_due_ns: AtomicU64::new(0),
            lag: SharedHistogram::default(),
        }
    }

    /// Nanoseconds since the start.
    pub(crate) fn ns_at(&self, time: Instant) -> u64 {
        time.saturating_duration_since(self.started).as_nanos() as u64
    }

    /// The reactor takes a turn.
    #[inline]
    pub(crate) fn lane_turns(&self) {
        if self.lane_due_ns.load(Ordering::Relaxed) != 0 {
            let due = self.lane_due_ns.swap(0, Ordering::Relaxed);
            self.lag.record(self.ns_at(Instant::now()).saturating_sub(due));
        }
    }

    /// Calls `visit` with every slot of every worker.
    pub(crate) fn each_slot(&self, mut visit: impl FnMut(&Slot)) {
        for desk in &self.desks {
            visit(&desk.slot);
            lock(&desk.nested).iter().for_each(|slot| visit(slot));
        }
    }

    /// Asks tasks of one group, or of all, to stop as cancelled.
    pub(crate) fn cancel_running(&self, group: Option<u64>) {
        self.each_slot(|slot| {
            slot.stop_if(StopReason::Cancelled, |current| group.is_none_or(|id| current.group == id));
        });
    }

    pub(crate) fn snapshot(&self, now: Instant) -> Snapshot {
        let mut counts = PerClass::<Counts>::default();
        let mut busy = PerClass::<Duration>::default();
        let mut times = PerClass::<Histogram>::default();
        for class in Priority::ALL {
            counts[class] = self.aside.0[class.index()].read();
            for desk in &self.desks {
                let tally = &desk.tallies.0[class.index()];
                counts[class].add(&tally.read());
                times[class].add(&tally.times.read());
            }
            busy[class] = times[class].sum();
        }
        let now_ns = self.ns_at(now);
        let workers = self.desks.iter().enumerate().map(|(i, desk)| {
            let (state, own) = desk.state(i, i >= self.workers, now, now_ns);
            own.into_iter().flatten().for_each(|(class, time)| busy[class] += time);
            state
        });
        let workers = workers.collect();
        Snapshot {
            uptime: now.saturating_duration_since(self.started),
            workers,
            queued: PerClass(self.queued.each_ref().map(|n| n.load(Ordering::Relaxed))),
            counts,
            busy,
            times,
            lag: self.lag.read(),
        }
    }
}

/// One worker's place.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) slot: Slot,
    /// Slots of tasks run while the one below waits for its children.
    pub(crate) nested: Mutex<Vec<Arc<Slot>>>,
    pub(crate) tallies: Tallies,
    pub(crate) stolen: AtomicU64,
    /// Time the outermost running task has spent waiting for its children, up to the last such wait that ended.
    pub(crate) away_ns: AtomicU64,
    /// Since when it waits for them now, in nanoseconds since the board's start; 0 when it does not.
    pub(crate) away_since_ns: AtomicU64,
    /// What the task on the processor waits for outside of the process, on purpose.
    pub(crate) outside: Mutex<Option<Outside>>,
    /// The system's number of the thread; 0 before it runs.
    pub(crate) tid: AtomicU32,
}

/// A wait for something outside of the process.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    pub(crate) what: Label,
    pub(crate) since: Instant,
    /// When it should be over.
    pub(crate) until: Option<Instant>,
}

/// What the watchdog sees of a worker's task.
pub(crate) struct OnDesk {
    pub(crate) since: Instant,
    pub(crate) running: Running,
    /// The asynchronous task, if it is one.
    pub(crate) cell: Option<Arc<Cell>>,
    /// It waits for its children, as it may.
    pub(crate) is_away: bool,
    /// What it waits for outside of the process.
    pub(crate) outside: Option<Outside>,
}

impl Desk {
    /// The task on the processor, or blocked there.
    pub(crate) fn on_desk(&self, now: Instant) -> Option<OnDesk> {
        let nested = lock(&self.nested).last().cloned();
        let is_away = nested.is_none() && self.away_since_ns.load(Ordering::Relaxed) != 0;
        let (since, running, cell) = nested.as_deref().unwrap_or(&self.slot).look(now)?;
        let outside = lock(&self.outside).clone();
        Some(OnDesk { since, running, cell, is_away, outside })
    }

    /// The worker's state, and the time that running tasks have had for themselves so far, with their classes.
    fn state(&self, worker: usize, reactor: bool, now: Instant, now_ns: u64) -> (WorkerState, OwnTimes) {
        let mut running: Vec<Running> = self.slot.running(now).into_iter().collect();
        running.extend(lock(&self.nested).iter().filter_map(|slot| slot.running(now)));
        if let (Some(last), Some(outside)) = (running.last_mut(), &*lock(&self.outside)) {
            last.waits_for = Some((outside.what.clone(), now.saturating_duration_since(outside.since)));
        }
        let ended: Duration = self.tallies.0.iter().map(|tally| tally.times.sum()).sum();
        // Time that the first gave to others is theirs; of those only the last is at work.
        let waits_ns = match self.away_since_ns.load(Ordering::Relaxed) {
            0 => 0,
            since_ns => now_ns.saturating_sub(since_ns),
        };
        let away = Duration::from_nanos(self.away_ns.load(Ordering::Relaxed) + waits_ns);
        let first = running.first().map(|first| (first.class, first.elapsed.saturating_sub(away)));
        let last = running.get(1..).and_then(|nested| nested.last()).map(|last| (last.class, last.elapsed));
        let own = [first, last];
        let state = WorkerState {
            worker,
            reactor,
            tid: self.tid.load(Ordering::Relaxed),
            busy: ended + own.iter().flatten().map(|(_, time)| *time).sum::<Duration>(),
            running,
            stolen: self.stolen.load(Ordering::Relaxed),
        };
        (state, own)
    }
}

/// Of the outermost task on a desk and of the one that runs on top of it: class and time.
type OwnTimes = [Option<(Priority, Duration)>; 2];

#[derive(Default)]
pub(crate) struct Tallies(pub(crate) [Tally; 4]);

#[derive(Default)]
pub(crate) struct Tally {
    done: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    timed_out: AtomicU64,
    overdue: AtomicU64,
    steps: AtomicU64,
    /// How long those ran that ran.
    times: SharedHistogram,
}

/// How one task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Failed,
    Stopped(StopReason),
}

impl Tally {
    /// Counts a task; only the worker that owns the desk calls this.
    pub(crate) fn count(&self, ending: Ending, overdue: bool, busy_ns: u64) {
        add_alone(self.cell(ending), 1);
        add_alone(&self.overdue, u64::from(overdue));
        if busy_ns > 0 {
            self.times.record(busy_ns);
        }
    }

    /// Counts a task from any thread, in a tally that has no owner.
    pub(crate) fn count_shared(&self, ending: Ending, overdue: bool) {
        self.cell(ending).fetch_add(1, Ordering::Relaxed);
        if overdue {
            self.overdue.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the time of a step; only the worker that owns the desk calls this.
    pub(crate) fn count_step(&self, busy_ns: u64) {
        add_alone(&self.steps, 1);
        self.times.record(busy_ns);
    }

    fn cell(&self, ending: Ending) -> &AtomicU64 {
        match ending {
            Ending::Done => &self.done,
            Ending::Failed => &self.failed,
            Ending::Stopped(StopReason::Cancelled) => &self.cancelled,
            Ending::Stopped(StopReason::TimedOut) => &self.timed_out,
        }
    }

    fn read(&self) -> Counts {
        Counts {
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
            timed_out: self.timed_out.load(Ordering::Relaxed),
            overdue: self.overdue.load(Ordering::Relaxed),
            steps: self.steps.load(Ordering::Relaxed),
        }
    }
}

/// Adds without a read-modify-write: right for cells with one writer.
pub(crate) fn add_alone(cell: &AtomicU64, by: u64) {
    if by > 0 {
        cell.store(cell.load(Ordering::Relaxed) + by, Ordering::Relaxed);
    }
}

const STOP_NONE: u8 = 0;
const STOP_CANCELLED: u8 = 1;
const STOP_TIMED_OUT: u8 = 2;

/// Names the task that runs and carries its stop flag. The flag is written under the lock, with the task it is
/// meant for in view, so that it never hits the next one; the task itself reads it without.
#[derive(Default)]
pub(crate) struct Slot {
    stop: AtomicU8,
    current: Mutex<Option<Occupant>>,
}

/// Who is in a slot.
enum Occupant {
    Task(Current),
    Step { cell: Arc<Cell>, since: Instant },
}

pub(crate) struct Current {
    pub(crate) label: Label,
    pub(crate) class: Priority,
    pub(crate) owner: u64,
    pub(crate) group: u64,
    pub(crate) since: Instant,
    pub(crate) deadline: Option<Instant>,
}

impl Slot {
    /// Shows a task as running. `check` runs with the slot locked: what it reads is no older than what a
    /// watcher wrote before it last looked at this slot.
    pub(crate) fn begin<R>(&self, task: Current, check: impl FnOnce() -> R) -> R {
        let mut current = lock(&self.current);
        self.stop.store(STOP_NONE, Ordering::Relaxed);
        let before = current.replace(Occupant::Task(task));
        let result = check();
        drop(current);
        drop(before);
        result
    }

    /// Shows a step of an asynchronous task. It stays in the slot, though not shown, until the next takes its place
    /// or [`Slot::end`].
    pub(crate) fn begin_step(&self, cell: Arc<Cell>, since: Instant) {
        let before = lock(&self.current).replace(Occupant::Step { cell, since });
        drop(before);
    }

    /// The asynchronous task whose step is shown.
    pub(crate) fn cell(&self) -> Option<Arc<Cell>> {
        match &*lock(&self.current) {
            Some(Occupant::Step { cell, .. }) => Some(Arc::clone(cell)),
            _ => None,
        }
    }

    /// Shows nothing.
    pub(crate) fn end(&self) {
        let ended = lock(&self.current).take();
        drop(ended);
    }

    /// Why the running task should stop, if it should.
    #[inline]
    pub(crate) fn stop(&self) -> Option<StopReason> {
        match self.stop.load(Ordering::Relaxed) {
            STOP_NONE => None,
            STOP_TIMED_OUT => Some(StopReason::TimedOut),
            _ => Some(StopReason::Cancelled),
        }
    }

    /// Asks the running task to stop when `which` says so. The first reason stays.
    pub(crate) fn stop_if(&self, why: StopReason, which: impl FnOnce(&Current) -> bool) {
        let current = lock(&self.current);
        let Some(Occupant::Task(task)) = &*current else { return };
        if which(task) && self.stop().is_none() {
            let code = if why == StopReason::Cancelled { STOP_CANCELLED } else { STOP_TIMED_OUT };
            self.stop.store(code, Ordering::Relaxed);
        }
    }

    fn running(&self, now: Instant) -> Option<Running> {
        self.look(now).map(|(_, running, _)| running)
    }

    fn look(&self, now: Instant) -> Option<(Instant, Running, Option<Arc<Cell>>)> {
        let current = lock(&self.current);
        let (since, cell) = match current.as_ref()? {
            Occupant::Task(task) => (task.since, None),
            Occupant::Step { cell, since } => (*since, Some(Arc::clone(cell))),
        };
        if cell.as_ref().is_some_and(|cell| !cell.is_running()) {
            return None;
        }
        let running = match current.as_ref()? {
            Occupant::Task(task) => Running {
                task: None,
                label: task.label.clone(),
                class: task.class,
                owner: task.owner,
                elapsed: now.saturating_duration_since(task.since),
                overdue: task.deadline.filter(|at| *at < now).map(|at| now - at),
                stopping: self.stop(),
                waits_for: None,
            },
            Occupant::Step { cell, since } => Running {
                task: Some(cell.id()),
                label: cell.label().clone(),
                class: cell.class(),
                owner: cell.owner(),
                elapsed: now.saturating_duration_since(*since),
                overdue: cell.overdue(now),
                stopping: cell.stopping(now),
                waits_for: None,
            },
        };
        Some((since, running, cell))
    }
}
