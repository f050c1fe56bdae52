//! One asynchronous task: what all see of it, its future, and its way to its end.

use super::{
    place::Places,
    scope::{Cause, Core},
    state::{After, State},
};
use crate::sync::{Mutex, Owned, now, thread_local};
use crate::{
    capture,
    label::Label,
    lock,
    policy::FlowId,
    pool::{Ran, Seat, Shared},
    priority::Priority,
    registry::{Ending, StopReason, Tally, TaskId, add_alone},
};
use std::{
    any::Any,
    cell::RefCell,
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

/// It has no deadline, or has ended.
pub(crate) const NO_TIMER: u32 = u32::MAX;
/// Its deadline's timer has fired.
pub(crate) const TIMER_FIRED: u32 = u32::MAX - 1;
/// It has a deadline whose timer is not set yet: whoever runs it looks at the clock.
pub(crate) const TIMER_UNSET: u32 = u32::MAX - 2;
/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;

/// An error of any kind.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// A future with a place for its value.
pub(super) trait Body: Send {
    /// Goes on to the next wait; at the end the value lies ready, and an error is for the scope.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>>;

    /// Moves the value out, into an `Option` of its type.
    fn take(self: Pin<&mut Self>, into: &mut dyn Any);
}

/// What there is of a task's future.
pub(super) enum Stage {
    Live(Pin<Box<dyn Body>>),
    Value(Pin<Box<dyn Body>>),
    Panicked(Box<str>),
    Stopped(StopReason),
    /// The outcome was fetched, or nobody wants it.
    Gone,
}

/// What others leave at a task.
#[derive(Default)]
struct Aside {
    /// Who waits for the end.
    joiner: Option<Waker>,
    rare: Option<Box<Rare>>,
}

/// What few tasks have.
#[derive(Default)]
struct Rare {
    /// Scopes given up by this task whose tasks have not ended yet.
    orphans: u32,
    /// How it ended, while it waits for its orphans.
    held: Option<Ending>,
    places: Places,
}

pub(crate) struct Cell {
    state: State,
    flow: FlowId,
    serial: u32,
    /// Place among the scope's tasks.
    slot: u32,
    /// Number of its deadline's timer; see [`Watch`](crate::watch::Watch) for who may change it.
    pub(crate) timer: AtomicU32,
    /// In nanoseconds since the start.
    deadline_ns: u64,
    steps: AtomicU32,
    class: Priority,
    label: Label,
    /// When it was spawned or ended its last step, in nanoseconds since the start.
    since_ns: AtomicU64,
    busy_ns: AtomicU64,
    scope: Arc<Core>,
    aside: Mutex<Aside>,
    stage: Owned<Stage>,
}

/// What a cell is made of.
pub(super) struct Birth {
    pub(super) scope: Arc<Core>,
    pub(super) flow: FlowId,
    pub(super) serial: u32,
    pub(super) slot: u32,
    pub(super) class: Priority,
    pub(super) label: Label,
    pub(super) handle: bool,
    pub(super) deadline_ns: u64,
    pub(super) now_ns: u64,
    pub(super) body: Pin<Box<dyn Body>>,
}

impl Cell {
    pub(super) fn new(birth: Birth) -> Arc<Self> {
        let Birth { scope, flow, serial, slot, class, label, handle, deadline_ns, now_ns, body } = birth;
        Arc::new(Self {
            state: State::queued(handle),
            flow,
            serial,
            slot,
            timer: AtomicU32::new(if deadline_ns == NEVER { NO_TIMER } else { TIMER_UNSET }),
            deadline_ns,
            steps: AtomicU32::new(0),
            class,
            label,
            since_ns: AtomicU64::new(now_ns),
            busy_ns: AtomicU64::new(0),
            scope,
            aside: Mutex::default(),
            stage: Owned::new(Stage::Live(body)),
        })
    }

    /// Polls it once, unless it has ended or is being ended.
    pub(crate) fn step(self: Arc<Self>, seat: Seat<'_>, start: Instant) -> Ran {
        if !self.state.take() {
            return Ran { end: start, busy_ns: None };
        }
        let start_ns = self.scope.ns_at(start);
        if self.is_late(start_ns) {
            // It is taken: what is asked now is for this thread to do.
            self.state.stop(StopReason::TimedOut);
            self.end_stopped(self.state.stopping().unwrap_or(StopReason::TimedOut));
            return Ran { end: start, busy_ns: None };
        }
        seat.slot.begin_step(Arc::clone(&self), start);
        let waker = Waker::from(Arc::clone(&self));
        let mut stage = self.stage.hold();
        let result = match &mut *stage {
            Stage::Live(body) => capture::catch(|| body.as_mut().poll(&mut Context::from_waker(&waker))),
            // Taken only while it is alive.
            _ => Ok(Poll::Pending),
        };
        let ended = match result {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(result)) => {
                if let Stage::Live(body) = std::mem::replace(&mut *stage, Stage::Gone) {
                    *stage = Stage::Value(body);
                }
                Some((Ending::Done, result.err().map(Cause::Error)))
            }
            Err(report) => {
                let left = std::mem::replace(&mut *stage, Stage::Panicked(report.into()));
                let _ = capture::catch(|| drop(left));
                Some((Ending::Failed, None))
            }
        };
        drop(stage);
        let end = now();
        let end_ns = self.scope.ns_at(end);
        let busy_ns = end_ns.saturating_sub(start_ns);
        // Who has taken the task is alone in writing these.
        self.steps.store(self.steps.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        add_alone(&self.busy_ns, busy_ns);
        self.since_ns.store(end_ns, Ordering::Relaxed);
        self.scope.note_cost(self.class, busy_ns);
        let tally = seat.tally(self.class);
        tally.count_step(busy_ns);
        if ended.is_none() {
            if self.is_late(end_ns) {
                self.state.stop(StopReason::TimedOut);
            } else {
                self.set_timer();
            }
        }
        match ended {
            Some((ending, cause)) => self.conclude(ending, cause, Some(tally)),
            None => match self.state.let_go() {
                After::Rest => {}
                After::Queue => self.submit(),
                After::Stop(why) => self.end_stopped(why),
            },
        }
        Ran { end, busy_ns: Some(busy_ns) }
    }

    /// Asks it to stop: at once when it waits or is queued, else at the end of its step.
    pub(crate) fn stop(self: &Arc<Self>, why: StopReason) {
        if self.state.stop(why) {
            in_turn(Arc::clone(self), why);
        }
    }

    /// Puts it into the queue.
    pub(super) fn submit(self: &Arc<Self>) {
        Shared::submit_step(Arc::clone(self));
    }

    /// Sets the timer of its deadline, once: before it waits anywhere.
    pub(crate) fn set_timer(self: &Arc<Self>) {
        if self.timer.load(Ordering::Relaxed) == TIMER_UNSET {
            self.scope.shared().set_timer(self, self.deadline_ns);
        }
    }

    fn is_late(&self, now_ns: u64) -> bool {
        self.deadline_ns <= now_ns
    }

    /// Drops the future of a task that was taken to be stopped.
    fn end_stopped(self: &Arc<Self>, why: StopReason) {
        let left = std::mem::replace(&mut *self.stage.hold(), Stage::Stopped(why));
        match capture::catch(|| drop(left)) {
            Ok(()) => self.conclude(Ending::Stopped(why), None, None),
            Err(report) => {
                *self.stage.hold() = Stage::Panicked(report.into());
                self.conclude(Ending::Failed, None, None);
            }
        }
    }

    /// The future is gone. The task ends now, or with the last task of the scopes it gave up. `tally` is where
    /// this thread alone counts.
    fn conclude(self: &Arc<Self>, ending: Ending, cause: Option<Cause>, tally: Option<&Tally>) {
        if let Some(cause) = cause {
            self.scope.fail(self, cause);
        }
        let mut aside = lock(&self.aside);
        if let Some(rare) = aside.rare.as_mut()
            && rare.orphans > 0
        {
            rare.held = Some(ending);
            return;
        }
        // Under the lock, so that a joiner either sees the end or is seen here.
        let unheld = self.state.end();
        let left = std::mem::take(&mut *aside);
        // Not under it: what follows takes the locks of the scope and of the task that opened it.
        drop(aside);
        self.complete(ending, unheld, left, tally);
    }

    fn complete(self: &Arc<Self>, ending: Ending, unheld: bool, aside: Aside, tally: Option<&Tally>) {
        let shared = self.scope.shared();
        let overdue = ending.is_complete() && self.ended_late();
        shared.clear_timer(self);
        match tally {
            Some(tally) => tally.count(ending, overdue, 0),
            None => shared.count_ended(self.class, ending, overdue),
        }
        if unheld {
            self.let_outcome_go();
        }
        self.scope.child_ended(self.slot);
        // Who fetches the outcome finds the task gone from the scope.
        aside.joiner.into_iter().for_each(Waker::wake);
    }

    /// Nobody will fetch the outcome: a value is dropped, a panic is the scope's.
    fn let_outcome_go(self: &Arc<Self>) {
        let stage = std::mem::replace(&mut *self.stage.hold(), Stage::Gone);
        let report = match stage {
            Stage::Panicked(report) => Some(report.into()),
            other => capture::catch(|| drop(other)).err(),
        };
        if let Some(report) = report {
            self.scope.fail(self, Cause::Panicked(report));
        }
    }

    /// The handle is dropped: the task is not wanted any more.
    pub(super) fn forget_handle(self: &Arc<Self>) {
        if self.state.forget_handle() {
            self.let_outcome_go();
        } else {
            self.stop(StopReason::Cancelled);
        }
    }

    /// The outcome, once there is one; `waker` is told.
    pub(super) fn poll_ended(&self, waker: &Waker) -> Poll<Stage> {
        if !self.state.is_ended() {
            let mut aside = lock(&self.aside);
            if !self.state.is_ended() {
                match &mut aside.joiner {
                    Some(joiner) => joiner.clone_from(waker),
                    none => *none = Some(waker.clone()),
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(std::mem::replace(&mut *self.stage.hold(), Stage::Gone))
    }

    /// This task gives up a scope with tasks that still run: it ends after them.
    pub(super) fn add_orphan(&self) {
        lock(&self.aside).rare.get_or_insert_default().orphans += 1;
    }

    /// The last task of a scope that was given up has ended.
    pub(super) fn orphan_ended(self: &Arc<Self>) {
        let mut aside = lock(&self.aside);
        let Some(rare) = aside.rare.as_mut() else { return };
        rare.orphans -= 1;
        if rare.orphans > 0 {
            return;
        }
        if let Some(ending) = rare.held.take() {
            let unheld = self.state.end();
            let left = std::mem::take(&mut *aside);
            drop(aside);
            self.complete(ending, unheld, left, None);
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state.is_ended()
    }

    pub(crate) fn id(&self) -> TaskId {
        TaskId { scope: self.scope.id(), serial: self.serial }
    }

    pub(crate) fn label(&self) -> &Label {
        &self.label
    }

    pub(crate) fn class(&self) -> Priority {
        self.class
    }

    pub(crate) fn owner(&self) -> u64 {
        self.scope.owner()
    }

    pub(crate) fn scope(&self) -> &Arc<Core> {
        &self.scope
    }

    pub(crate) fn flow(&self) -> FlowId {
        self.flow
    }

    /// What a step of its scope's in its class costs, in nanoseconds; 0 while unknown.
    pub(crate) fn expected_ns(&self) -> u64 {
        self.scope.expected_ns(self.class)
    }

    /// A thread runs it, or ends it.
    pub(crate) fn is_running(&self) -> bool {
        self.state.phase().1 && !self.state.is_ended()
    }

    /// Why it was asked to stop, or will be at the end of its step.
    pub(crate) fn stopping(&self, now: Instant) -> Option<StopReason> {
        self.state.stopping().or_else(|| self.overdue(now).map(|_| StopReason::TimedOut))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let deadline = Duration::from_nanos(self.deadline_ns);
        (self.deadline_ns != NEVER).then(|| self.scope.shared().board().started + deadline)
    }

    pub(crate) fn overdue(&self, now: Instant) -> Option<Duration> {
        self.deadline().and_then(|at| now.checked_duration_since(at)).filter(|late| !late.is_zero())
    }

    /// Its time was over, and yet it ended by itself.
    fn ended_late(&self) -> bool {
        self.state.stopping() == Some(StopReason::TimedOut)
            || self.is_late(self.since_ns.load(Ordering::Relaxed))
    }

    pub(super) fn facts(&self, now_ns: u64) -> Facts {
        let (woken, taken) = self.state.phase();
        Facts {
            queued: woken && !taken,
            running: taken,
            held: lock(&self.aside).rare.as_ref().is_some_and(|rare| rare.held.is_some()),
            since: Duration::from_nanos(now_ns.saturating_sub(self.since_ns.load(Ordering::Relaxed))),
            steps: self.steps.load(Ordering::Relaxed),
            busy: Duration::from_nanos(self.busy_ns.load(Ordering::Relaxed)),
        }
    }

    /// What is known of where it waits, if anything is.
    pub(super) fn peek_places<R>(&self, read: impl FnOnce(&Places) -> R) -> Option<R> {
        lock(&self.aside).rare.as_ref().map(|rare| read(&rare.places))
    }

    /// Its scope and the places it is at, in words.
    pub(crate) fn path(&self) -> String {
        let places = self.peek_places(|places| places.waiting(Instant::now())).unwrap_or_default();
        let at = places.iter().map(|place| format!(", at {} ({})", place.what, place.location));
        format!("of scope `{}`{}", self.scope.label(), at.collect::<String>())
    }

    /// Works on what is known of where it waits.
    pub(super) fn with_places<R>(&self, work: impl FnOnce(&mut Places) -> R) -> R {
        work(&mut lock(&self.aside).rare.get_or_insert_default().places)
    }
}

/// What a display shows of a task.
pub(super) struct Facts {
    pub(super) queued: bool,
    pub(super) running: bool,
    /// Over but for the tasks of scopes it gave up.
    pub(super) held: bool,
    pub(super) since: Duration,
    pub(super) steps: u32,
    pub(super) busy: Duration,
}

impl Wake for Cell {
    fn wake(self: Arc<Self>) {
        if self.state.wake() {
            Shared::submit_step(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.wake() {
            self.submit();
        }
    }
}

/// Tasks that were taken to be stopped, and why.
type Taken = Vec<(Arc<Cell>, StopReason)>;

thread_local! {
    /// Tasks to be ended by this thread, while it is ending one.
    static ENDING: RefCell<Option<Taken>> = const { RefCell::new(None) };
}

/// Ends a task that was taken to be stopped. Dropping its future may stop the tasks of its scopes, which stop
/// those of theirs: they are ended one after the other, not one inside the other, however deep the tree.
fn in_turn(cell: Arc<Cell>, why: StopReason) {
    let nested = ENDING.with(|queue| match &mut *queue.borrow_mut() {
        Some(queue) => {
            queue.push((Arc::clone(&cell), why));
            true
        }
        none => {
            *none = Some(Vec::new());
            false
        }
    });
    if nested {
        return;
    }
    let scope = Arc::clone(&cell.scope);
    let _tokio = scope.shared().enter_tokio();
    let mut next = Some((cell, why));
    while let Some((cell, why)) = next {
        cell.end_stopped(why);
        next = ENDING.with(|queue| queue.borrow_mut().as_mut().and_then(Vec::pop));
    }
    ENDING.with(|queue| queue.replace(None));
}

pin_project_lite::pin_project! {
    /// A future, then its value.
    #[project = StageOf]
    pub(super) enum Valued<F: Future> {
        Running { #[pin] future: F },
        Done { value: Option<F::Output> },
    }
}

impl<F> Body for Valued<F>
where
    F: Future + Send,
    F::Output: Send + 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let StageOf::Running { future } = self.as_mut().project() {
            let Poll::Ready(value) = future.poll(cx) else { return Poll::Pending };
            self.set(Self::Done { value: Some(value) });
        }
        Poll::Ready(Ok(()))
    }

    fn take(self: Pin<&mut Self>, into: &mut dyn Any) {
        if let (StageOf::Done { value }, Some(into)) = (self.project(), into.downcast_mut()) {
            *into = value.take();
        }
    }
}

pin_project_lite::pin_project! {
    /// A future whose error is the scope's.
    pub(super) struct Started<F> {
        #[pin]
        pub(super) future: F,
    }
}

impl<F, E> Body for Started<F>
where
    F: Future<Output = Result<(), E>> + Send,
    E: Into<BoxError>,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.project().future.poll(cx).map_err(Into::into)
    }

    fn take(self: Pin<&mut Self>, _: &mut dyn Any) {}
}
