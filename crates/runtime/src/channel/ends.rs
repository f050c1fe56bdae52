//! The two ends: the state machine behind a lock, with futures and blocking calls.

use super::{
    Bound, ChannelConfig, ChannelCounts, ChannelSnapshot, Measure, Refusal, SendError, Sent,
    core::{After, Core, Offer, Parcel, Standing},
};
use crate::{
    label::Label,
    listed::{self, Entry, Listed},
    sync::{AtomicU64, Mutex, MutexGuard, block_on, block_on_for, lock},
};
use std::{
    fmt,
    future::Future,
    marker,
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

struct Inner<T> {
    name: Label,
    bound: Bound,
    when_full: super::WhenFull,
    weigh: Option<Measure<T, usize>>,
    key: Option<Measure<T, u64>>,
    started: Instant,
    state: Mutex<State<T>>,
    /// As the state machine says, written under its lock. Who was let in reads it without: where many senders wait,
    /// that lock is what they wait for.
    served: AtomicU64,
    /// Time waited by all that were let in.
    waited_ns: AtomicU64,
}

struct State<T> {
    core: Core<T, Waker>,
    /// The receiver, while it waits.
    receiver: Option<Waker>,
    senders: usize,
}

pub(super) fn open<T: marker::Send + 'static>(config: ChannelConfig<T>) -> (Sender<T>, Receiver<T>) {
    let ChannelConfig { name, bound, when_full, weigh, key } = config;
    let state = State { core: Core::new(bound, when_full), receiver: None, senders: 1 };
    let (started, state) = (Instant::now(), Mutex::new(state));
    let (served, waited_ns) = (AtomicU64::new(0), AtomicU64::new(0));
    let inner = Arc::new(Inner { name, bound, when_full, weigh, key, started, state, served, waited_ns });
    let weak = Arc::downgrade(&inner);
    listed::list(weak as Weak<dyn Listed>);
    (Sender { inner: Arc::clone(&inner) }, Receiver { inner })
}

impl<T> Inner<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }

    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn parcel(&self, item: T) -> Parcel<T> {
        let bytes = self.weigh.as_ref().map_or(size_of::<T>(), |weigh| weigh(&item));
        let key = self.key.as_ref().map_or(0, |key| key(&item));
        Parcel { item, bytes, key }
    }

    /// Offers an item; `Err` is its place in line.
    fn offer(
        &self,
        parcel: Parcel<T>,
        wait: Option<impl FnOnce() -> (Waker, u64)>,
    ) -> Result<Result<Sent, SendError<T>>, u64> {
        let bytes = parcel.bytes;
        let mut state = self.lock();
        let offer = state.core.offer(parcel, wait);
        let (receiver, dropped) = match offer {
            Offer::Settled(sent, old) => (state.receiver.take(), Ok((sent, old))),
            other => (None, Err(other)),
        };
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
        let refuse = |item, why| Ok(Err(SendError { item, why }));
        let (name, bound) = (|| self.name.clone(), self.bound);
        match dropped {
            Ok((sent, _)) => Ok(Ok(sent)),
            Err(Offer::Waits(ticket)) => Err(ticket),
            Err(Offer::TooLarge(item)) => refuse(item, Refusal::TooLarge { name: name(), bound, bytes }),
            Err(Offer::Closed(item)) => refuse(item, Refusal::Closed { name: name() }),
            Err(Offer::Full(item)) => refuse(item, Refusal::Full { name: name(), bound }),
            Err(Offer::Settled(..)) => unreachable!("settled above"),
        }
    }

    fn snapshot(&self) -> ChannelSnapshot {
        let now_ns = self.now_ns();
        let state = self.lock();
        let core = &state.core;
        let (waiting, waiting_bytes, since_ns) = core.line();
        ChannelSnapshot {
            name: self.name.clone(),
            when_full: self.when_full,
            bound: self.bound,
            items: core.items(),
            bytes: core.bytes(),
            senders: state.senders,
            waiting,
            waiting_bytes,
            longest_wait: since_ns.map(|since| Duration::from_nanos(now_ns.saturating_sub(since))),
            receiver_waits: state.receiver.is_some(),
            closed: core.is_closed() || state.senders == 0,
            counts: ChannelCounts {
                waited: Duration::from_nanos(self.waited_ns.load(Ordering::Relaxed)),
                ..core.counts
            },
        }
    }

    /// Ends a change that may have let in some of the line: tells them, unlocks, and wakes them.
    fn finish(&self, state: MutexGuard<'_, State<T>>, mut after: After<T, Waker>) {
        if after.wakes_any() {
            self.served.store(state.core.served(), Ordering::Release);
        }
        drop(state);
        after.woken().for_each(Waker::wake);
    }

    /// Closes it and wakes who waits in line, for whom there is no hope any more.
    fn close(&self) {
        let mut state = self.lock();
        state.core.close();
        let woken: Vec<Waker> = state.core.waiting().cloned().collect();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl<T: marker::Send> Listed for Inner<T> {
    fn entry(&self) -> Entry {
        Entry::Channel(self.snapshot())
    }
}

/// The end where items go in; clones are further ends of the same channel.
pub struct Sender<T> {
    inner: Arc<Inner<T>>,
}

impl<T> Sender<T> {
    /// Sends an item; waits for room where the channel's [`WhenFull`](super::WhenFull) says so. Dropping the
    /// future while it waits takes the item back out of the line.
    pub fn send(&self, item: T) -> Send<'_, T> {
        Send { sender: self, step: Step::New(item) }
    }

    /// Sends an item without waiting.
    ///
    /// # Errors
    /// The item, when there is no room for it, it is too large, or the receiver is gone.
    pub fn try_send(&self, item: T) -> Result<Sent, SendError<T>> {
        match self.inner.offer(self.inner.parcel(item), None::<fn() -> (Waker, u64)>) {
            Ok(result) => result,
            Err(_) => unreachable!("it must not wait"),
        }
    }

    /// As [`Sender::send`], blocking this thread. Not for asynchronous tasks, whose worker it would block.
    ///
    /// # Errors
    /// The item, when it is too large, the receiver is gone, or there is no room and the channel does not wait.
    pub fn send_blocking(&self, item: T) -> Result<Sent, SendError<T>> {
        block_on(self.send(item))
    }

    /// True when the receiver is gone or has closed the channel.
    pub fn is_closed(&self) -> bool {
        self.inner.lock().core.is_closed()
    }

    /// The channel now.
    pub fn snapshot(&self) -> ChannelSnapshot {
        self.inner.snapshot()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.inner.lock().senders += 1;
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.senders -= 1;
        let receiver = if state.senders == 0 { state.receiver.take() } else { None };
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("channel", &self.inner.name).finish_non_exhaustive()
    }
}

/// Future of an item being sent; see [`Sender::send`].
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a, T> {
    sender: &'a Sender<T>,
    step: Step<T>,
}

enum Step<T> {
    New(T),
    Waiting { ticket: u64, since_ns: u64 },
    Over,
}

// The item is moved, never pinned.
impl<T> Unpin for Send<'_, T> {}

impl<T> Future for Send<'_, T> {
    type Output = Result<Sent, SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender that always finds room must let others go on all the same.
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        let inner = &*self.sender.inner;
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::New(item) => {
                let mut since_ns = 0;
                let wait = || {
                    since_ns = inner.now_ns();
                    (cx.waker().clone(), since_ns)
                };
                match inner.offer(inner.parcel(item), Some(wait)) {
                    Ok(result) => {
                        coop.made_progress();
                        return Poll::Ready(result);
                    }
                    Err(ticket) => self.step = Step::Waiting { ticket, since_ns },
                }
            }
            Step::Waiting { ticket, since_ns } => {
                let standing = match ticket < inner.served.load(Ordering::Acquire) {
                    true => Standing::Admitted,
                    false => inner.lock().core.look(ticket, |waker| waker.clone_from(cx.waker())),
                };
                match standing {
                    Standing::InLine => self.step = Step::Waiting { ticket, since_ns },
                    Standing::Admitted => {
                        let waited = inner.now_ns().saturating_sub(since_ns);
                        inner.waited_ns.fetch_add(waited, Ordering::Relaxed);
                        coop.made_progress();
                        return Poll::Ready(Ok(Sent::Queued));
                    }
                    Standing::Closed(item) => {
                        coop.made_progress();
                        let why = Refusal::Closed { name: inner.name.clone() };
                        return Poll::Ready(Err(SendError { item, why }));
                    }
                }
            }
            Step::Over => panic!("a send was polled after it had given its answer"),
        }
        Poll::Pending
    }
}

impl<T> Drop for Send<'_, T> {
    fn drop(&mut self) {
        let Step::Waiting { ticket, .. } = self.step else { return };
        let inner = &self.sender.inner;
        let mut after = After::default();
        let mut state = inner.lock();
        let item = state.core.withdraw(ticket, &mut after);
        // Its going may have let in others, for whom the receiver may wait.
        let receiver = if after.wakes_any() { state.receiver.take() } else { None };
        inner.finish(state, after);
        receiver.into_iter().for_each(Waker::wake);
        drop(item);
    }
}

impl<T> fmt::Debug for Send<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Send").field("channel", &self.sender.inner.name).finish_non_exhaustive()
    }
}

/// The end where items come out.
pub struct Receiver<T> {
    inner: Arc<Inner<T>>,
}

impl<T> Receiver<T> {
    /// The next item; `None` when all senders are gone and nothing is queued. Dropping the future loses nothing.
    ///
    /// Each call takes the channel's lock once. The receiver takes no batch ahead into a store of its own, which
    /// would save locks: such items would still fill the bound, yet out of reach of what may drop or replace them,
    /// and a sender in line is let in as soon as its item fits, since the receiver may go on to wait for that very
    /// sender. Whoever works on many items at a time anyway takes them with [`Receiver::recv_many`].
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self }
    }

    /// The next item, if one is queued.
    pub fn try_recv(&mut self) -> Option<T> {
        let mut after = After::default();
        let mut state = self.inner.lock();
        let item = state.core.take(&mut after);
        self.inner.finish(state, after);
        item
    }

    /// Moves what is queued, at most `max` items, to the end of `into`: at the cost of one lock for all. Returns
    /// how many.
    pub fn try_recv_many(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let mut after = After::default();
        let mut state = self.inner.lock();
        // Sized before the lock would be better, but nobody knows by how much then.
        let count = max.min(state.core.items());
        into.reserve(count);
        for _ in 0..count {
            into.extend(state.core.take(&mut after));
        }
        self.inner.finish(state, after);
        count
    }

    /// As [`Receiver::recv`], with up to `max - 1` more that are queued already. Returns how many came; 0 is the
    /// end.
    pub async fn recv_many(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let Some(first) = self.recv().await else { return 0 };
        into.push(first);
        1 + self.try_recv_many(into, max.saturating_sub(1))
    }

    /// As [`Receiver::recv`], blocking this thread. Not for asynchronous tasks, whose worker it would block.
    pub fn recv_blocking(&mut self) -> Option<T> {
        block_on(self.recv())
    }

    /// As [`Receiver::recv_blocking`], for at most `limit`.
    ///
    /// # Errors
    /// When the time is over first.
    pub fn recv_for(&mut self, limit: Duration) -> Result<Option<T>, crate::exec::Late> {
        block_on_for(self.recv(), limit).ok_or(crate::exec::Late(limit))
    }

    /// Ends the sending: senders get their items back from now on. What is queued can still be received.
    pub fn close(&mut self) {
        self.inner.close();
    }

    /// The channel now.
    pub fn snapshot(&self) -> ChannelSnapshot {
        self.inner.snapshot()
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut after = After::default();
        let mut state = self.inner.lock();
        let item = state.core.take(&mut after);
        if item.is_none() && !state.core.is_closed() && state.senders > 0 {
            match &mut state.receiver {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        self.inner.finish(state, after);
        Poll::Ready(item)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.inner.lock().core.abandon();
        self.inner.close();
        drop(left);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("channel", &self.inner.name).finish_non_exhaustive()
    }
}

/// Future of the next item; see [`Receiver::recv`].
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        let item = ready!(self.receiver.poll_recv(cx));
        coop.made_progress();
        Poll::Ready(item)
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").field("channel", &self.receiver.inner.name).finish_non_exhaustive()
    }
}
