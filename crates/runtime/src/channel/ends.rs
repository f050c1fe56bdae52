//! The channel behind its lock, and the end where items go in, with futures and blocking calls.

use super::{
    Bound, ChannelConfig, ChannelCounts, ChannelSnapshot, Measure, Refusal, SendError, Sent,
    core::{After, Core, Offer, Parcel, Standing},
    receiver::Receiver,
};
use crate::{
    label::Label,
    listed::{self, Entry, Listed},
    sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, block_on, lock},
};
use crossbeam_utils::CachePadded;
use std::{
    fmt,
    future::Future,
    marker,
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

pub(super) struct Inner<T> {
    pub(super) name: Label,
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
    pub(super) hand: CachePadded<Hand>,
}

pub(super) struct State<T> {
    pub(super) core: Core<T, Waker>,
    /// The receiver, while it waits.
    pub(super) receiver: Option<Waker>,
    pub(super) senders: usize,
}

/// What both sides must know of the items in the receiver's hand, which are received without the lock. The receiver
/// writes how much it has received and then looks whether anybody stands in line; who is about to stand in line says so
/// and then looks how much was received. One of the two sees the other, as all this is in one order.
#[derive(Default)]
pub(super) struct Hand {
    /// Items received from the hand since the start, and their bytes. Written by the receiver alone.
    items: AtomicU64,
    bytes: AtomicU64,
    /// Whether somebody stands in line. Written under the lock.
    line: AtomicBool,
}

impl Hand {
    /// So much was received since the start. True when somebody may wait for the room.
    #[inline]
    pub(super) fn receive(&self, items: u64, bytes: u64) -> bool {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.items.store(items, Ordering::SeqCst);
        self.line.load(Ordering::SeqCst)
    }

    fn received(&self) -> (u64, u64) {
        let items = self.items.load(Ordering::SeqCst);
        (items, self.bytes.load(Ordering::Relaxed))
    }
}

pub(super) fn open<T: marker::Send + 'static>(config: ChannelConfig<T>) -> (Sender<T>, Receiver<T>) {
    let ChannelConfig { name, bound, when_full, weigh, key } = config;
    let state = State { core: Core::new(bound, when_full), receiver: None, senders: 1 };
    let (started, state) = (Instant::now(), Mutex::new(state));
    let (served, waited_ns) = (AtomicU64::new(0), AtomicU64::new(0));
    let hand = CachePadded::default();
    let inner =
        Arc::new(Inner { name, bound, when_full, weigh, key, started, state, served, waited_ns, hand });
    let weak = Arc::downgrade(&inner);
    listed::list(weak as Weak<dyn Listed>);
    (Sender { inner: Arc::clone(&inner) }, Receiver::of(inner))
}

impl<T> Inner<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }

    /// As [`Inner::lock`]; the state machine is told what was received without the lock.
    pub(super) fn lock_told(&self) -> MutexGuard<'_, State<T>> {
        let mut state = self.lock();
        self.tell(&mut state);
        state
    }

    fn tell(&self, state: &mut State<T>) {
        let (items, bytes) = self.hand.received();
        state.core.tell(items, bytes);
    }

    /// Shows the receiver whether somebody stands in line.
    fn show_line(&self, state: &State<T>) {
        let line = state.core.has_line();
        if self.hand.line.load(Ordering::Relaxed) != line {
            self.hand.line.store(line, Ordering::SeqCst);
        }
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
        let is_tight = state.core.must_be_told(&parcel);
        if is_tight {
            // In this order; see `Hand`.
            self.hand.line.store(true, Ordering::SeqCst);
            self.tell(&mut state);
        }
        let offer = state.core.offer(parcel, wait);
        if is_tight {
            self.show_line(&state);
        }
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

    pub(super) fn snapshot(&self) -> ChannelSnapshot {
        let now_ns = self.now_ns();
        let state = self.lock_told();
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
    pub(super) fn finish(&self, state: MutexGuard<'_, State<T>>, mut after: After<T, Waker>) {
        if after.wakes_any() {
            self.served.store(state.core.served(), Ordering::Release);
        }
        self.show_line(&state);
        drop(state);
        after.woken().for_each(Waker::wake);
    }

    /// Closes it and wakes who waits in line, for whom there is no hope any more.
    pub(super) fn close(&self) {
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
        let mut state = inner.lock_told();
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
