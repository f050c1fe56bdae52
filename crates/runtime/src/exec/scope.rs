//! Scopes: asynchronous tasks that belong together, and end together.

use super::{
    cell::{Birth, Body, BoxError, Cell, NEVER, Started, Valued},
    handle::Task,
    place,
};
use crate::sync::{AtomicBool, Mutex, now};
use crate::{
    cancel::{CancelHook, CancelToken},
    label::Label,
    lock,
    policy::{FlowId, blend},
    pool::Shared,
    priority::Priority,
    registry::{Ending, StopReason, TaskId},
};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// A place where tasks are spawned. It ends only when all of them have ended: see [`Scope::nest`]. Clones stand
/// for the same scope.
#[derive(Clone)]
pub struct Scope {
    core: Arc<Core>,
}

/// Why a scope failed.
#[derive(Debug, thiserror::Error)]
#[error("task {task} `{label}` {cause}")]
pub struct Failure {
    /// The task that failed first.
    pub task: TaskId,
    /// Its name.
    pub label: Label,
    /// What happened to it.
    #[source]
    pub cause: Cause,
}

/// What happened to a task that made its scope fail.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// It returned an error.
    #[error("failed: {0}")]
    Error(BoxError),
    /// It panicked: `message (file:line:column)`.
    #[error("panicked: {0}")]
    Panicked(String),
}

pub(crate) struct Core {
    id: u32,
    label: Label,
    owner: u64,
    shared: Arc<Shared>,
    token: CancelToken,
    flows: [OnceLock<FlowId>; 4],
    /// By class: running average of what a step costs, in nanoseconds; 0 while unknown.
    costs: [AtomicU64; 4],
    /// Whether there is a failure; written under the lock of `tasks`.
    failed: AtomicBool,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    /// Ended ones leave their place free.
    cells: Vec<Option<Arc<Cell>>>,
    free: Vec<u32>,
    live: u32,
    spawned: u32,
    cancelled: bool,
    /// All have ended, and whoever waited for that knows of the failure.
    ended: bool,
    failure: Option<Failure>,
    /// Who waits for a failure, or the end.
    waiter: Option<Waker>,
    awaits_end: bool,
    /// The task that gave this scope up, and ends after it.
    orphaned_by: Option<Arc<Cell>>,
}

static SCOPE_IDS: AtomicU32 = AtomicU32::new(0);

impl Core {
    pub(super) fn open(
        shared: &Arc<Shared>,
        label: Label,
        owner: u64,
        above: &CancelToken,
    ) -> (Arc<Self>, CancelHook) {
        let core = Arc::new(Self {
            id: SCOPE_IDS.fetch_add(1, Ordering::Relaxed),
            label,
            owner,
            shared: Arc::clone(shared),
            token: above.child(),
            flows: Default::default(),
            costs: Default::default(),
            failed: AtomicBool::new(false),
            tasks: Mutex::default(),
        });
        let weak = Arc::downgrade(&core);
        let hook = core.token.on_cancel(move || weak.upgrade().iter().for_each(|core| core.stop_tasks()));
        (core, hook)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn label(&self) -> &Label {
        &self.label
    }

    pub(super) fn owner(&self) -> u64 {
        self.owner
    }

    pub(super) fn token(&self) -> &CancelToken {
        &self.token
    }

    pub(super) fn ns_at(&self, time: Instant) -> u64 {
        self.shared.ns_at(time)
    }

    /// A step took so long. Of two threads that tell at once one may be overheard: it is an average.
    pub(super) fn note_cost(&self, class: Priority, ns: u64) {
        let cost = &self.costs[class.index()];
        cost.store(blend(cost.load(Ordering::Relaxed), ns), Ordering::Relaxed);
    }

    pub(super) fn expected_ns(&self, class: Priority) -> u64 {
        self.costs[class.index()].load(Ordering::Relaxed)
    }

    /// Tasks that have not ended, at most `most` of them.
    pub(super) fn cells(&self, most: usize) -> Vec<Arc<Cell>> {
        lock(&self.tasks).cells.iter().flatten().take(most).cloned().collect()
    }

    /// How many have not ended.
    pub(super) fn live(&self) -> usize {
        lock(&self.tasks).live as usize
    }

    fn flow(&self, class: Priority) -> FlowId {
        *self.flows[class.index()].get_or_init(|| self.shared.enter_flow(class, self.owner))
    }

    fn spawn(
        self: &Arc<Self>,
        class: Priority,
        label: Label,
        deadline: Option<Duration>,
        handle: bool,
        body: Pin<Box<dyn Body>>,
    ) -> Arc<Cell> {
        let flow = self.flow(class);
        let now_ns = self.ns_at(now());
        let deadline_ns = deadline
            .map_or(NEVER, |limit| now_ns.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(NEVER)));
        let mut tasks = lock(&self.tasks);
        let slot = tasks.free.pop().unwrap_or_else(|| {
            tasks.cells.push(None);
            tasks.cells.len() as u32 - 1
        });
        let serial = tasks.spawned;
        tasks.spawned = serial.wrapping_add(1);
        let scope = Arc::clone(self);
        let cell =
            Cell::new(Birth { scope, flow, serial, slot, class, label, handle, deadline_ns, now_ns, body });
        tasks.cells[slot as usize] = Some(Arc::clone(&cell));
        tasks.live += 1;
        let cancelled = tasks.cancelled;
        drop(tasks);
        if cancelled {
            // Not even queued: in a cancelled scope nothing begins.
            cell.stop(StopReason::Cancelled);
            return cell;
        }
        cell.submit();
        cell
    }

    /// A task failed: the first failure is kept, and the scope cancelled.
    pub(super) fn fail(self: &Arc<Self>, cell: &Cell, cause: Cause) {
        let mut tasks = lock(&self.tasks);
        if tasks.failure.is_some() || tasks.ended {
            drop(tasks);
            return self.shared.keep_unreported(cell, &cause);
        }
        self.failed.store(true, Ordering::Release);
        tasks.failure = Some(Failure { task: cell.id(), label: cell.label().clone(), cause });
        let waiter = tasks.waiter.take();
        drop(tasks);
        waiter.into_iter().for_each(Waker::wake);
        self.token.cancel();
    }

    fn stop_tasks(&self) {
        let cells = {
            let mut tasks = lock(&self.tasks);
            tasks.cancelled = true;
            tasks.cells.iter().flatten().cloned().collect::<Vec<_>>()
        };
        cells.iter().for_each(|cell| cell.stop(StopReason::Cancelled));
    }

    pub(super) fn child_ended(&self, slot: u32) {
        let mut tasks = lock(&self.tasks);
        let cell = tasks.cells[slot as usize].take();
        tasks.free.push(slot);
        tasks.live -= 1;
        let is_last = tasks.live == 0;
        let waiter = if is_last && tasks.awaits_end { tasks.waiter.take() } else { None };
        let orphaned_by = if is_last { tasks.orphaned_by.take() } else { None };
        drop(tasks);
        drop(cell);
        waiter.into_iter().for_each(Waker::wake);
        orphaned_by.iter().for_each(Cell::orphan_ended);
    }

    /// Ready when a task has failed. `known` is the waker that was left here last, by the only one to call this: it
    /// need not be left again.
    fn poll_failed(&self, known: &mut Option<Waker>, cx: &Context<'_>) -> Poll<()> {
        let is_known = known.as_ref().is_some_and(|known| known.will_wake(cx.waker()));
        if is_known && !self.failed.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let mut tasks = lock(&self.tasks);
        if tasks.failure.is_some() {
            return Poll::Ready(());
        }
        tasks.await_by(cx);
        *known = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when all tasks have ended.
    pub(super) fn poll_ended(&self, cx: &Context<'_>) -> Poll<Option<Failure>> {
        let mut tasks = lock(&self.tasks);
        if tasks.live > 0 {
            tasks.await_by(cx);
            tasks.awaits_end = true;
            return Poll::Pending;
        }
        // What is spawned from here on is cancelled at once.
        (tasks.cancelled, tasks.ended) = (true, true);
        Poll::Ready(tasks.failure.take())
    }

    /// Cancels what is left of a scope that nobody waits for any more; the task that opened it ends after it.
    fn give_up(&self, by: Option<&Arc<Cell>>) {
        self.token.cancel();
        let mut tasks = lock(&self.tasks);
        tasks.cancelled = true;
        if let (true, Some(by)) = (tasks.live > 0, by) {
            by.add_orphan();
            tasks.orphaned_by = Some(Arc::clone(by));
        }
    }
}

impl Tasks {
    fn await_by(&mut self, cx: &Context<'_>) {
        match &mut self.waiter {
            Some(waiter) => waiter.clone_from(cx.waker()),
            None => self.waiter = Some(cx.waker().clone()),
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        for class in Priority::ALL {
            if self.flows[class.index()].get().is_some() {
                self.shared.leave_flow(class, self.owner);
            }
        }
    }
}

impl Scope {
    pub(super) fn of(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Spawns a task and returns its handle, through which its outcome is fetched. `deadline` counts from now:
    /// when it passes, the task's future is dropped at its next wait and its outcome is
    /// [`Outcome::TimedOut`](crate::Outcome::TimedOut). Dropping the handle cancels the task; a panic that
    /// nobody fetched makes the scope fail. In a cancelled or ended scope the task is cancelled at once.
    pub fn spawn<F>(
        &self,
        priority: Priority,
        label: impl Into<Label>,
        deadline: impl Into<Option<Duration>>,
        future: F,
    ) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let body = Box::pin(Valued::Running { future });
        Task::of(self.core.spawn(priority, label.into(), deadline.into(), true, body))
    }

    /// Starts a task that the scope itself looks after: its error or panic makes the scope fail, which cancels
    /// all other tasks of it. A deadline that passes is a failure, too, only if the task says so: put it into
    /// the task as [`within`](crate::exec::within), or use [`Scope::spawn`].
    pub fn start<F, E>(
        &self,
        priority: Priority,
        label: impl Into<Label>,
        deadline: impl Into<Option<Duration>>,
        future: F,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let body = Box::pin(Started { future });
        self.core.spawn(priority, label.into(), deadline.into(), false, body);
    }

    /// Opens a scope within this one, runs `body` with it, and ends when `body` and all tasks spawned in it
    /// have ended. When a task fails, the others and `body` are cancelled and the failure is returned.
    /// Dropping the future cancels everything in the scope; the task that ran it ends after the last of them.
    ///
    /// # Errors
    /// The first failure of a task: an error or panic of a started one, a panic of a spawned one whose outcome
    /// nobody fetched.
    pub async fn nest<B, F>(&self, label: impl Into<Label>, body: B) -> Result<F::Output, Failure>
    where
        B: FnOnce(Self) -> F,
        F: Future,
    {
        self.nest_for(self.owner(), label, body).await
    }

    /// As [`Scope::nest`], for another owner's work: owners within a class take turns.
    ///
    /// # Errors
    /// As [`Scope::nest`].
    pub async fn nest_for<B, F>(
        &self,
        owner: u64,
        label: impl Into<Label>,
        body: B,
    ) -> Result<F::Output, Failure>
    where
        B: FnOnce(Self) -> F,
        F: Future,
    {
        let (core, hook) = Core::open(&self.core.shared, label.into(), owner, &self.core.token);
        let mut open = Open { core: Arc::clone(&core), _hook: hook, parent: None, ended: false };
        open.parent = place::enter_scope(&core);
        let value = {
            let mut body = pin!(body(Self { core: Arc::clone(&core) }));
            let mut known = None;
            poll_fn(|cx| match core.poll_failed(&mut known, cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => body.as_mut().poll(cx).map(Some),
            })
            .await
        };
        let failure = poll_fn(|cx| core.poll_ended(cx)).await;
        open.ended = true;
        match (value, failure) {
            (Some(value), None) => Ok(value),
            (_, Some(failure)) => Err(failure),
            (None, None) => unreachable!("the body is cut short by a failure only"),
        }
    }

    /// Cancels all tasks of the scope, and of the scopes in it.
    pub fn cancel(&self) {
        self.core.token.cancel();
    }

    /// True once it, or a scope above it, was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.core.token.is_cancelled()
    }

    /// The scope's token: cancelled with it. Cancelling it cancels the scope.
    pub fn token(&self) -> &CancelToken {
        &self.core.token
    }

    /// Whose work it is.
    pub fn owner(&self) -> u64 {
        self.core.owner
    }

    /// Its name.
    pub fn label(&self) -> &Label {
        &self.core.label
    }

    /// Tasks that have not ended.
    pub fn live(&self) -> u32 {
        lock(&self.core.tasks).live
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("label", self.label())
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}

/// A scope somebody waits for.
struct Open {
    core: Arc<Core>,
    _hook: CancelHook,
    parent: Option<Arc<Cell>>,
    ended: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.ended {
            self.core.give_up(self.parent.as_ref());
        }
        if let Some(parent) = self.parent.as_ref().filter(|_| self.ended) {
            place::leave_scope(parent, &self.core);
        }
    }
}

/// Scopes as a task knows those it has opened.
pub(super) type WeakCore = Weak<Core>;

impl Ending {
    pub(super) fn is_complete(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}
