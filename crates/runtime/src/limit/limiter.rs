//! The limiter as asynchronous code sees it: the state machine behind one lock, and futures that wait.
//!
//! There is no task and no thread behind it. Of those who wait, one is the *leader*: it sleeps until the state
//! machine's next wake, lets through whoever may go, and when it goes itself hands the lead on.

use super::{
    pause::{Feedback, PauseReason},
    quota::{Cost, Unit},
    state::{Ask, Left, LimitCore, LimiterConfig, LimiterSnapshot, Pass, Ticket},
};
use crate::sync::{Mutex, MutexGuard};
use crate::{
    label::Label,
    listed::{self, Entry, Listed},
    lock,
    priority::BadWeight,
};
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// Most of those who wait for a key that are shown to others by name.
const SHOWN_WAITERS: usize = 16;

/// Lets work through at set rates, per key and in all, and in fair order; see the
/// [module documentation](super). Clones share the limits.
#[derive(Clone)]
pub struct RateLimiter {
    shared: Arc<Shared>,
}

struct Shared {
    name: Label,
    start: Instant,
    state: Mutex<State>,
}

struct State {
    core: LimitCore,
    /// Those whose future is alive and was not let through yet, or was and does not know it.
    waiting: HashMap<Ticket, Seat>,
    leader: Option<Ticket>,
}

enum Seat {
    Waiting(Option<Waker>),
    /// Let through after this wait.
    Passed(Duration),
}

/// Why work was not let through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Its turn cannot come before its deadline.
    #[error(
        "`{key}` lets nothing through for at least {needs:?}, and only {has:?} are left: raise the deadline or ask for less"
    )]
    TooLate {
        /// The key.
        key: Arc<str>,
        /// How long it would wait, at least.
        needs: Duration,
        /// How long it may.
        has: Duration,
    },
}

impl RateLimiter {
    /// A limiter at rest.
    ///
    /// # Errors
    /// When a weight is unusable.
    pub fn new(config: LimiterConfig) -> Result<Self, BadWeight> {
        let name = config.name.clone();
        let state = State { core: LimitCore::new(config)?, waiting: HashMap::new(), leader: None };
        let shared = Arc::new(Shared { name, start: Instant::now(), state: Mutex::new(state) });
        let weak = Arc::downgrade(&shared);
        listed::list(weak);
        Ok(Self { shared })
    }

    /// Waits until this work may go. Dropping the future takes it out of line. Must be awaited inside a tokio
    /// runtime with time enabled.
    pub async fn acquire(&self, ask: Ask) -> Grant {
        let (key, cost) = (Arc::clone(&ask.key), ask.cost);
        let waited = match self.enter(ask) {
            None => Duration::ZERO,
            Some(ticket) => Wait { shared: Arc::clone(&self.shared), ticket, sleep: None }.await,
        };
        Grant { shared: Arc::clone(&self.shared), key, cost, waited }
    }

    /// As [`RateLimiter::acquire`], but fails at once when limits and pauses alone already put it past the
    /// deadline, rather than after waiting for it in vain.
    ///
    /// # Errors
    /// [`LimitError::TooLate`]: nothing was taken and nothing waits.
    pub async fn acquire_before(&self, ask: Ask, deadline: Instant) -> Result<Grant, LimitError> {
        let now = Instant::now();
        let has = deadline.saturating_duration_since(now);
        let needs = self.state().core.wait_at_least(&ask, self.time(now));
        let key = Arc::clone(&ask.key);
        if needs > has {
            return Err(LimitError::TooLate { key, needs, has });
        }
        tokio::time::timeout_at(deadline, self.acquire(ask)).await.map_err(|_| LimitError::TooLate {
            key,
            needs: has,
            has,
        })
    }

    /// Lets work through now or not at all.
    pub fn try_acquire(&self, ask: &Ask) -> Option<Grant> {
        let now = self.time(Instant::now());
        let passed = self.state().core.try_pass(ask, now);
        let grant = || Grant {
            shared: Arc::clone(&self.shared),
            key: Arc::clone(&ask.key),
            cost: ask.cost,
            waited: Duration::ZERO,
        };
        passed.then(grant)
    }

    /// Hears an answer's word about limits.
    pub fn hear(&self, key: &Arc<str>, feedback: Feedback) {
        if feedback != Feedback::Accepted {
            tracing::info!(limiter = %self.shared.name, key = %key, said = ?feedback, "the other side refused");
        }
        self.change(|core, now| core.hear(key, feedback, now));
    }

    /// Hears what is left of a unit by the other side's count.
    pub fn observe(&self, key: &Arc<str>, left: Left) {
        self.change(|core, now| core.observe(key, left, now));
    }

    /// For how long a key is shut by the other side's word, and why; none while it is open.
    pub fn paused(&self, key: &str) -> Option<(Duration, PauseReason)> {
        self.state().core.paused(key, self.time(Instant::now()))
    }

    /// What is known of every key, and who waits; at most `waiters_max` of them by name for each key.
    pub fn snapshot(&self, waiters_max: usize) -> LimiterSnapshot {
        self.state().core.snapshot(waiters_max, self.time(Instant::now()))
    }

    fn enter(&self, ask: Ask) -> Option<Ticket> {
        let now = self.time(Instant::now());
        let mut state = self.state();
        if state.core.try_pass(&ask, now) {
            return None;
        }
        let ticket = state.core.enter(ask, now);
        state.waiting.insert(ticket, Seat::Waiting(None));
        Some(ticket)
    }

    fn change(&self, change: impl FnOnce(&mut LimitCore, Duration)) {
        let now = self.time(Instant::now());
        let mut state = self.state();
        change(&mut state.core, now);
        let woken = state.serve(now);
        // The next wake may have moved: the leader has to look again.
        let leader = state.leader_waker();
        drop(state);
        woken.into_iter().chain(leader).for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.shared.start)
    }
}

impl Listed for Shared {
    fn entry(&self) -> Entry {
        let now = Instant::now().saturating_duration_since(self.start);
        Entry::Limiter(self.name.clone(), lock(&self.state).core.snapshot(SHOWN_WAITERS, now))
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("waiting", &self.state().core.waiting()).finish_non_exhaustive()
    }
}

impl State {
    /// Lets through whoever may go; returns whom to wake.
    fn serve(&mut self, now: Duration) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for Pass { ticket, waited } in self.core.poll(now) {
            if self.leader == Some(ticket) {
                self.leader = None;
            }
            if let Some(Seat::Waiting(Some(waker))) = self.waiting.insert(ticket, Seat::Passed(waited)) {
                wakers.push(waker);
            }
        }
        if self.leader.is_none() {
            wakers.extend(self.elect());
        }
        wakers
    }

    /// Makes one of those who wait the leader and returns how to wake it. Whoever has no waker yet will be
    /// polled anyway and then take the lead.
    fn elect(&mut self) -> Option<Waker> {
        let ready = |seat: &mut Seat| match seat {
            Seat::Waiting(waker) => waker.take(),
            Seat::Passed(_) => None,
        };
        let (ticket, waker) =
            self.waiting.iter_mut().find_map(|(ticket, seat)| ready(seat).map(|waker| (*ticket, waker)))?;
        self.leader = Some(ticket);
        Some(waker)
    }

    fn leader_waker(&mut self) -> Option<Waker> {
        match self.waiting.get_mut(&self.leader?) {
            Some(Seat::Waiting(waker)) => waker.take(),
            _ => None,
        }
    }
}

/// Somebody in line.
struct Wait {
    shared: Arc<Shared>,
    ticket: Ticket,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    /// One look at the state: through, or the leader's sleep.
    fn look(&mut self, cx: &mut Context<'_>) -> (Poll<Duration>, Vec<Waker>, bool) {
        let now = Instant::now().saturating_duration_since(self.shared.start);
        let mut state = lock(&self.shared.state);
        let woken = state.serve(now);
        if let Some(Seat::Passed(waited)) = state.waiting.get(&self.ticket) {
            let waited = *waited;
            state.waiting.remove(&self.ticket);
            return (Poll::Ready(waited), woken, false);
        }
        state.waiting.insert(self.ticket, Seat::Waiting(Some(cx.waker().clone())));
        let lead = *state.leader.get_or_insert(self.ticket) == self.ticket;
        let wake = state.core.next_wake().filter(|_| lead);
        drop(state);
        let Some(wake) = wake else {
            self.sleep = None;
            return (Poll::Pending, woken, false);
        };
        let at = self.shared.start + wake;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(sleep_until(at))),
        }
        (Poll::Pending, woken, true)
    }
}

impl Future for Wait {
    type Output = Duration;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Duration> {
        loop {
            let (poll, woken, leads) = self.look(cx);
            woken.into_iter().for_each(Waker::wake);
            if poll.is_ready() {
                return poll;
            }
            let sleep = self.sleep.as_mut().filter(|_| leads);
            let Some(sleep) = sleep else { return Poll::Pending };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let now = Instant::now().saturating_duration_since(self.shared.start);
        let mut state = lock(&self.shared.state);
        // Let through and never told: what it took is not given back, since time has passed it on. A ticket that
        // was told is no longer in the table.
        if state.waiting.remove(&self.ticket).is_none() {
            return;
        }
        state.core.leave(self.ticket);
        if state.leader == Some(self.ticket) {
            state.leader = None;
        }
        let woken = state.serve(now);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Permission to do one piece of work now. It is spent by being granted: dropping it gives nothing back.
pub struct Grant {
    shared: Arc<Shared>,
    key: Arc<str>,
    cost: Cost,
    waited: Duration,
}

impl Grant {
    /// For how long the work was in line.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// What was granted.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Corrects the estimate for one unit: `used` is what the work really took.
    pub fn settle(&mut self, unit: Unit, used: u64) {
        let from = self.cost.of(unit);
        self.cost = self.cost.and(unit, used);
        let limiter = RateLimiter { shared: Arc::clone(&self.shared) };
        limiter.change(|core, now| core.adjust(&self.key, unit, from, used, now));
    }

    /// The work was not done: gives back all that was taken.
    pub fn give_back(mut self) {
        let units: Vec<Unit> = self.cost.items().map(|(unit, _)| unit).collect();
        units.into_iter().for_each(|unit| self.settle(unit, 0));
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("key", &self.key)
            .field("cost", &self.cost)
            .field("waited", &self.waited)
            .finish()
    }
}
