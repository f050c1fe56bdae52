//! What workers, groups, scopes and the pool share.

use super::central::{Central, Lane, SIGNAL_SHUTDOWN, Ticket};
use crate::sync::{AtomicU8, Condvar, Mutex, driver};
use crate::{
    exec::{Cause, Cell},
    label::Label,
    listed::{Entry, Listed},
    lock,
    policy::{FlowId, Policy},
    priority::Priority,
    registry::{Board, Ending, TaskId},
    watch::Watch,
};
use crossbeam_deque::Stealer;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Instant,
};

/// Failures kept for display that could not be given to a scope's owner.
const UNREPORTED_KEPT: usize = 16;

pub(crate) struct Shared {
    /// The pool's name.
    pub(crate) name: Label,
    pub(super) central: Mutex<Central>,
    /// Idle workers sleep here, with `central`.
    pub(super) work: Condvar,
    /// `SIGNAL_*` bits, read by workers before each task in hand.
    pub(super) signal: AtomicU8,
    pub(super) board: Arc<Board>,
    /// By desk.
    pub(super) stealers: Vec<Stealer<Ticket>>,
    pub(super) watch: Watch,
    pub(super) group_ids: AtomicU64,
    pub(super) tokio: Option<driver::Handle>,
    pub(super) lane_waker: OnceLock<Waker>,
    /// Flows of steps, with the number of scopes that use each.
    flows: Mutex<BTreeMap<(Priority, u64), (FlowId, usize)>>,
    unreported: Mutex<(u64, VecDeque<Unreported>)>,
}

impl Listed for Shared {
    fn entry(&self) -> Entry {
        Entry::Pool(self.name.clone(), Box::new(self.board.snapshot(Instant::now())))
    }

    fn pool(self: Arc<Self>) -> Option<Arc<Shared>> {
        Some(self)
    }
}

/// A failure that its scope's owner was not told of, because another came first or the scope had ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreported {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub label: Label,
    /// What happened to it.
    pub cause: String,
}

impl Shared {
    pub(super) fn new(
        name: Label,
        policy: Policy,
        workers: usize,
        stealers: Vec<Stealer<Ticket>>,
        tokio: Option<driver::Handle>,
    ) -> Self {
        let lane = if tokio.is_some() { Lane::Busy } else { Lane::Absent };
        Self {
            name,
            central: Mutex::new(Central::new(policy, lane)),
            work: Condvar::new(),
            signal: AtomicU8::new(0),
            board: Arc::new(Board::new(workers, tokio.is_some())),
            stealers,
            watch: Watch::default(),
            group_ids: AtomicU64::new(0),
            tokio,
            lane_waker: OnceLock::new(),
            flows: Mutex::default(),
            unreported: Mutex::default(),
        }
    }

    pub(super) fn workers(&self) -> usize {
        self.board.workers
    }

    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Asks the reactor for a turn, if there is one and it owes none; how long that takes is its lag.
    pub(crate) fn ping_lane(&self, now: Instant) {
        if self.tokio.is_some() && self.board.lane_due_ns.load(Ordering::Relaxed) == 0 {
            self.board.lane_due_ns.store(self.ns_at(now).max(1), Ordering::Relaxed);
            self.wake_lane();
        }
    }

    /// Nanoseconds since the start.
    pub(crate) fn ns_at(&self, time: Instant) -> u64 {
        self.board.ns_at(time)
    }

    /// The flow of an owner's steps in a class, for one more scope.
    pub(crate) fn enter_flow(&self, class: Priority, owner: u64) -> FlowId {
        let mut flows = lock(&self.flows);
        let (flow, scopes) =
            flows.entry((class, owner)).or_insert_with(|| (self.open_steps(class, owner), 0));
        *scopes += 1;
        *flow
    }

    /// A scope needs a flow no more.
    pub(crate) fn leave_flow(&self, class: Priority, owner: u64) {
        let mut flows = lock(&self.flows);
        let Some((flow, scopes)) = flows.get_mut(&(class, owner)) else { return };
        *scopes -= 1;
        if *scopes == 0 {
            self.close_steps(*flow);
            flows.remove(&(class, owner));
        }
    }

    /// Sets the timer of a task's deadline.
    pub(crate) fn set_timer(&self, cell: &Arc<Cell>, deadline_ns: u64) {
        self.watch.set_timer(cell, deadline_ns);
    }

    /// Removes a task's deadline; called when it has ended.
    pub(crate) fn clear_timer(&self, cell: &Cell) {
        self.watch.clear_timer(cell);
    }

    pub(super) fn watch_deadlines(&self) {
        self.watch.run(&self.board);
    }

    pub(crate) fn count_ended(&self, class: Priority, ending: Ending, overdue: bool) {
        self.board.aside.0[class.index()].count_shared(ending, overdue);
    }

    /// Keeps a failure that has no owner any more.
    pub(crate) fn keep_unreported(&self, cell: &Cell, cause: &Cause) {
        let failure = Unreported { task: cell.id(), label: cell.label().clone(), cause: cause.to_string() };
        tracing::error!(
            pool = %self.name, task = %failure.task, label = %failure.label, cause = %failure.cause,
            "a task failed and nobody is left to be told"
        );
        let mut unreported = lock(&self.unreported);
        unreported.0 += 1;
        if unreported.1.len() == UNREPORTED_KEPT {
            unreported.1.pop_front();
        }
        unreported.1.push_back(failure);
    }

    /// How many failures had no owner, and the last of them.
    pub(crate) fn unreported(&self) -> (u64, Vec<Unreported>) {
        let unreported = lock(&self.unreported);
        (unreported.0, unreported.1.iter().cloned().collect())
    }

    /// Makes tokio's resources usable on this thread, for destructors that need them.
    pub(crate) fn enter_tokio(&self) -> Option<driver::EnterGuard<'_>> {
        self.tokio.as_ref().map(driver::Handle::enter)
    }

    pub(super) fn wake_lane(&self) {
        // Unset before the lane's first look, which needs no waking.
        self.lane_waker.get().into_iter().for_each(Waker::wake_by_ref);
    }

    /// Cancels what is queued or running and tells the threads to end.
    pub(super) fn shut_down(&self) {
        let (left, steps) = {
            let mut central = lock(&self.central);
            central.shutdown = true;
            self.signal.fetch_or(SIGNAL_SHUTDOWN, Ordering::Relaxed);
            let left = (central.drain_all(), central.drain_steps());
            self.publish(&central);
            left
        };
        self.work.notify_all();
        self.wake_lane();
        self.board.cancel_running(None);
        self.watch.shut_down();
        left.into_iter().for_each(|task| task.abandon());
        // Their tasks have ended, or do at the end of the step that they are in. Left in the queue, which nobody would
        // look into any more, they and the pool would keep each other.
        drop(steps);
    }
}
