//! Permits for work that waits: how many may be under way, in all and per key, found by measurement.
//!
//! ```
//! use springtide_runtime::permit::{Ask, LimitConfig, PermitConfig, Permits};
//! use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
//!
//! let permits = Permits::new(PermitConfig {
//!     name: "pages".into(),
//!     total: LimitConfig::gradient(20, 500),
//!     per_key: LimitConfig::fixed(1),
//!     ..PermitConfig::default()
//! })?;
//! let mut cx = Context::from_waker(Waker::noop());
//! let ask = || Ask { key: "a.example".into(), label: "front page".into(), ..Ask::default() };
//! let Poll::Ready(Ok(permit)) = pin!(permits.acquire(ask())).poll(&mut cx) else { panic!("it is free") };
//! let mut second = pin!(permits.acquire(ask()));
//! assert!(second.as_mut().poll(&mut cx).is_pending(), "the key has one permit");
//! permit.answered(); // how long it was held is a sample for the limits
//! assert!(second.poll(&mut cx).is_ready());
//! # Ok::<(), springtide_runtime::permit::BadLimit>(())
//! ```
//!
//! Inside an async function this is `let permit = permits.acquire(ask).await?`. A permit that is dropped
//! without a verdict (its task was cancelled or ran into its deadline) is free at once and says nothing about
//! the other side. Take one permit per attempt and hold none while waiting for the next attempt.

mod adapt;
mod admission;

pub use adapt::{AdaptiveLimit, BadLimit, LimitConfig, Rule, Sample, Verdict};
pub use admission::{Admission, AdmissionConfig, KeyId, KeyState, TicketId, TicketState};

use crate::sync::{Mutex, MutexGuard};
use crate::{
    histogram::Histogram,
    label::Label,
    listed::{self, Entry, Listed},
    lock,
    priority::{PerClass, Priority, Weights},
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// Settings of [`Permits`].
#[derive(Clone, Debug, PartialEq)]
pub struct PermitConfig {
    /// What the permits are for, where they are shown.
    pub name: Label,
    /// Permits in all.
    pub total: LimitConfig,
    /// Permits of one key; see [`Permits::limit_key`] for exceptions.
    pub per_key: LimitConfig,
    /// Shares of the classes, in the time permits are held, while all wait.
    pub weights: Weights,
    /// Permit time that critical work may take beyond its share.
    pub critical_burst: Duration,
    /// Most requests waiting at a time; more are refused.
    pub max_waiting: usize,
    /// A permit held longer than this is shown as overheld.
    pub overheld_after: Duration,
    /// A key that was not used for this long is forgotten, with what was learnt about its limit.
    pub idle_after: Duration,
}

impl Default for PermitConfig {
    /// A gradient limit from 20 up to 1,000, no limit per key, 65,536 waiting, overheld after a minute,
    /// forgotten after ten, a critical burst of 10 s of permit time.
    fn default() -> Self {
        Self {
            name: "permits".into(),
            total: LimitConfig::gradient(20, 1_000),
            per_key: LimitConfig::UNLIMITED,
            weights: Weights::default(),
            critical_burst: Duration::from_secs(10),
            max_waiting: 65_536,
            overheld_after: Duration::from_secs(60),
            idle_after: Duration::from_secs(600),
        }
    }
}

/// What a permit is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Class, for the order of waiting.
    pub priority: Priority,
    /// Whose work it is.
    pub owner: u64,
    /// What it goes to: permits are limited per key, too.
    pub key: Label,
    /// What it is, where tickets are shown.
    pub label: Label,
}

impl Default for Ask {
    /// Standard class, owner 0, an empty key and label.
    fn default() -> Self {
        Self { priority: Priority::Standard, owner: 0, key: "".into(), label: "".into() }
    }
}

/// Why there is no permit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermitError {
    /// Too many wait already.
    #[error("{waiting} requests wait for `{name}` already: send fewer at a time or allow more to wait")]
    Crowded {
        /// The permits' name.
        name: Label,
        /// How many wait.
        waiting: usize,
    },
    /// The permits were closed.
    #[error("`{name}` gives no permits any more: it was closed")]
    Closed {
        /// The permits' name.
        name: Label,
    },
}

/// A source of permits; clones share it.
#[derive(Clone)]
pub struct Permits {
    inner: Arc<Inner>,
}

struct Inner {
    config: PermitConfig,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    admission: Admission,
    /// By ticket: whom to wake.
    wakers: Vec<Option<Waker>>,
    waiting: usize,
    closed: bool,
    counts: PermitCounts,
    waits: Histogram,
    swept_ns: u64,
}

/// What happened to requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PermitCounts {
    /// Permits handed out.
    pub granted: u64,
    /// Given back with an answer.
    pub answered: u64,
    /// Given back because the other side had too much.
    pub overloaded: u64,
    /// Given back without a verdict.
    pub unrelated: u64,
    /// Requests that gave up waiting.
    pub withdrawn: u64,
    /// Requests refused because too many waited.
    pub refused: u64,
    /// Keys forgotten after idling.
    pub keys_forgotten: u64,
}

/// The state of [`Permits`] at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermitSnapshot {
    /// The name given.
    pub name: Label,
    /// How many may be out now.
    pub limit: u32,
    /// How many are.
    pub in_flight: u32,
    /// How many wait, per class.
    pub waiting: PerClass<u64>,
    /// The round trip without queueing, as far as known.
    pub base: Option<Duration>,
    /// By key.
    pub keys: Vec<KeyState>,
    /// Who waits or holds, longest first, at most 64.
    pub tickets: Vec<TicketState>,
    /// Held longer than [`PermitConfig::overheld_after`].
    pub overheld: Vec<TicketState>,
    /// Since the start.
    pub counts: PermitCounts,
    /// How long those waited that were not served at once.
    pub waits: Histogram,
}

impl Permits {
    /// A source with all permits free.
    ///
    /// # Errors
    /// When a limit or a weight cannot work.
    pub fn new(config: PermitConfig) -> Result<Self, BadLimit> {
        let admission = Admission::new(AdmissionConfig {
            total: config.total,
            per_key: config.per_key,
            weights: config.weights,
            critical_burst_ns: u64::try_from(config.critical_burst.as_nanos()).unwrap_or(u64::MAX),
        })?;
        let state = State {
            admission,
            wakers: Vec::new(),
            waiting: 0,
            closed: false,
            counts: PermitCounts::default(),
            waits: Histogram::default(),
            swept_ns: 0,
        };
        let inner = Arc::new(Inner { config, started: Instant::now(), state: Mutex::new(state) });
        let weak = Arc::downgrade(&inner);
        listed::list(weak);
        Ok(Self { inner })
    }

    /// Waits for a permit. Dropping the future gives up the place in the queue.
    pub fn acquire(&self, ask: Ask) -> Acquire {
        Acquire { inner: Arc::clone(&self.inner), step: Step::New(ask) }
    }

    /// A permit if one is free and nobody waits for it; `None` otherwise.
    pub fn try_acquire(&self, ask: Ask) -> Option<Permit> {
        let mut acquire = self.acquire(ask);
        match Pin::new(&mut acquire).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(permit)) => Some(permit),
            _ => None,
        }
    }

    /// Gives one key a limit of its own.
    ///
    /// # Errors
    /// When the limit cannot work.
    pub fn limit_key(&self, key: impl Into<Label>, config: LimitConfig) -> Result<(), BadLimit> {
        let now = self.inner.now_ns();
        let mut state = self.inner.lock();
        let key = state.admission.key(&key.into(), now);
        let limited = state.admission.limit_key(key, config);
        self.inner.hand_out(state, now);
        limited
    }

    /// Ends the handing out: whoever waits or comes later gets [`PermitError::Closed`]. Permits that are out
    /// stay so.
    pub fn close(&self) {
        let mut state = self.inner.lock();
        state.closed = true;
        let wakers: Vec<Waker> = state.wakers.iter_mut().filter_map(Option::take).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The name given.
    pub fn name(&self) -> &Label {
        &self.inner.config.name
    }

    /// The state now.
    pub fn snapshot(&self) -> PermitSnapshot {
        self.inner.snapshot()
    }
}

impl Inner {
    fn snapshot(&self) -> PermitSnapshot {
        let now = self.now_ns();
        let state = self.lock();
        let admission = &state.admission;
        let mut tickets: Vec<TicketState> = admission.tickets(now).collect();
        tickets.sort_by_key(|ticket| std::cmp::Reverse(ticket.for_ns));
        let limit_ns = self.config.overheld_after.as_nanos();
        let is_overheld = |t: &&TicketState| t.held && u128::from(t.for_ns) > limit_ns;
        let overheld = tickets.iter().filter(is_overheld).cloned().collect();
        tickets.truncate(64);
        PermitSnapshot {
            name: self.config.name.clone(),
            limit: admission.limit(),
            in_flight: admission.in_flight(),
            waiting: admission.waiting(),
            base: admission.base_ns().map(Duration::from_nanos),
            keys: admission.keys().collect(),
            tickets,
            overheld,
            counts: state.counts,
            waits: state.waits.clone(),
        }
    }
}

impl Listed for Inner {
    fn entry(&self) -> Entry {
        Entry::Permits(Box::new(self.snapshot()))
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits").field("name", self.name()).finish_non_exhaustive()
    }
}

impl Inner {
    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn closed(&self) -> PermitError {
        PermitError::Closed { name: self.config.name.clone() }
    }

    /// Grants what can be granted, unlocks and wakes.
    fn hand_out(&self, mut state: MutexGuard<'_, State>, now: u64) {
        let idle_ns = self.config.idle_after.as_nanos() as u64;
        if now.saturating_sub(state.swept_ns) > idle_ns / 4 {
            state.swept_ns = now;
            state.counts.keys_forgotten += state.admission.sweep(idle_ns, now) as u64;
        }
        let mut wakers = Vec::new();
        while let Some(ticket) = state.admission.pump(now) {
            state.waiting -= 1;
            wakers.extend(state.wakers.get_mut(ticket.index()).and_then(Option::take));
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn release(&self, ticket: TicketId, verdict: Verdict) {
        let now = self.now_ns();
        let mut state = self.lock();
        state.admission.release(ticket, verdict, now);
        let counts = &mut state.counts;
        *match verdict {
            Verdict::Answered => &mut counts.answered,
            Verdict::Overloaded => &mut counts.overloaded,
            Verdict::Unrelated => &mut counts.unrelated,
        } += 1;
        self.hand_out(state, now);
    }
}

/// Future of a permit; see [`Permits::acquire`].
#[must_use = "futures do nothing unless awaited"]
pub struct Acquire {
    inner: Arc<Inner>,
    step: Step,
}

enum Step {
    New(Ask),
    Waiting { ticket: TicketId, asked_ns: u64 },
    Over,
}

impl Acquire {
    fn ask(&mut self, ask: &Ask, cx: &Context<'_>) -> Poll<Result<Permit, PermitError>> {
        let now = self.inner.now_ns();
        let mut state = self.inner.lock();
        if state.closed {
            return Poll::Ready(Err(self.inner.closed()));
        }
        let key = state.admission.key(&ask.key, now);
        let ticket = state.admission.request(key, ask.priority, ask.owner, ask.label.clone(), now);
        state.waiting += 1;
        // Whoever is granted by this besides us must be woken: room may have appeared in a limit by itself.
        if state.wakers.len() <= ticket.index() {
            state.wakers.resize(ticket.index() + 1, None);
        }
        let mut wakers = Vec::new();
        while let Some(granted) = state.admission.pump(now) {
            state.waiting -= 1;
            wakers.extend(state.wakers[granted.index()].take());
        }
        let granted = state.admission.is_granted(ticket);
        if granted {
            state.counts.granted += 1;
        } else if state.waiting > self.inner.config.max_waiting {
            state.admission.cancel(ticket, now);
            state.waiting -= 1;
            state.counts.refused += 1;
            let waiting = state.waiting;
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
            return Poll::Ready(Err(PermitError::Crowded { name: self.inner.config.name.clone(), waiting }));
        } else {
            state.wakers[ticket.index()] = Some(cx.waker().clone());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        if granted {
            return Poll::Ready(Ok(Permit::new(&self.inner, ticket)));
        }
        self.step = Step::Waiting { ticket, asked_ns: now };
        Poll::Pending
    }

    fn look(
        &mut self,
        ticket: TicketId,
        asked_ns: u64,
        cx: &Context<'_>,
    ) -> Poll<Result<Permit, PermitError>> {
        let mut state = self.inner.lock();
        if state.admission.is_granted(ticket) {
            state.counts.granted += 1;
            state.waits.record(Duration::from_nanos(self.inner.now_ns().saturating_sub(asked_ns)));
            drop(state);
            return Poll::Ready(Ok(Permit::new(&self.inner, ticket)));
        }
        if state.closed {
            state.admission.cancel(ticket, self.inner.now_ns());
            state.waiting -= 1;
            state.wakers[ticket.index()] = None;
            return Poll::Ready(Err(self.inner.closed()));
        }
        match &mut state.wakers[ticket.index()] {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        self.step = Step::Waiting { ticket, asked_ns };
        Poll::Pending
    }
}

impl Future for Acquire {
    type Output = Result<Permit, PermitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::New(ask) => self.ask(&ask, cx),
            Step::Waiting { ticket, asked_ns } => self.look(ticket, asked_ns, cx),
            Step::Over => panic!("a permit's future was polled after it had given its answer"),
        }
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Step::Waiting { ticket, .. } = self.step else { return };
        let now = self.inner.now_ns();
        let mut state = self.inner.lock();
        if !state.admission.is_granted(ticket) {
            state.waiting -= 1;
        }
        state.admission.cancel(ticket, now);
        state.wakers[ticket.index()] = None;
        state.counts.withdrawn += 1;
        self.inner.hand_out(state, now);
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("from", &self.inner.config.name).finish_non_exhaustive()
    }
}

/// The right to have one piece of work under way. Dropping it gives it back without a verdict.
#[must_use = "dropping a permit gives it back"]
pub struct Permit {
    inner: Arc<Inner>,
    ticket: TicketId,
    verdict: Verdict,
}

impl Permit {
    fn new(inner: &Arc<Inner>, ticket: TicketId) -> Self {
        Self { inner: Arc::clone(inner), ticket, verdict: Verdict::Unrelated }
    }

    /// Gives it back: an answer came, and how long that took is a sample for the limits.
    pub fn answered(self) {
        self.finish(Verdict::Answered);
    }

    /// Gives it back: the other side had too much (it refused, or was too late).
    pub fn overloaded(self) {
        self.finish(Verdict::Overloaded);
    }

    /// Gives it back with a verdict.
    pub fn finish(mut self, verdict: Verdict) {
        self.verdict = verdict;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.release(self.ticket, self.verdict);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("from", &self.inner.config.name).finish_non_exhaustive()
    }
}
