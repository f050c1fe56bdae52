//! The end where items come out, with its hand.

use super::{
    ChannelSnapshot,
    core::{After, Parcel},
    ends::Inner,
};
use crate::sync::{block_on, block_on_for};
use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// The end where items come out.
pub struct Receiver<T> {
    inner: Arc<Inner<T>>,
    /// Items taken from the queue, to be received without its lock; see [`Receiver::recv`].
    hand: VecDeque<Parcel<T>>,
    /// Items received from the hand since the start, and their bytes.
    received: (u64, u64),
}

impl<T> Receiver<T> {
    pub(super) fn of(inner: Arc<Inner<T>>) -> Self {
        Self { inner, hand: VecDeque::new(), received: (0, 0) }
    }

    /// The next item; `None` when all senders are gone and nothing is queued. Dropping the future loses nothing.
    ///
    /// With the channel's lock it takes all that is queued into the receiver's hand, from which the next calls take
    /// without it. What is in hand is queued still: it counts against the bound, one by one is seen to be received, and
    /// a sender in line is let in as soon as its item fits, since the receiver may go on to wait for that very sender.
    /// Where a newer item may drop or replace queued ones, all of them stay within its reach, and each call takes the
    /// lock.
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self }
    }

    /// The next item, if one is queued.
    pub fn try_recv(&mut self) -> Option<T> {
        self.next_in_hand().or_else(|| {
            let mut after = After::default();
            let mut state = self.inner.lock_told();
            let item = state.core.take(&mut after);
            state.core.hand_over(&mut self.hand);
            self.inner.finish(state, after);
            item
        })
    }

    /// Moves what is queued, at most `max` items, to the end of `into`: at the cost of one lock for all. Returns
    /// how many.
    pub fn try_recv_many(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let in_hand = max.min(self.hand.len());
        into.reserve(in_hand);
        for parcel in self.hand.drain(..in_hand) {
            self.received = (self.received.0 + 1, self.received.1 + parcel.bytes as u64);
            into.push(parcel.item);
        }
        let is_awaited = in_hand > 0 && self.inner.hand.receive(self.received.0, self.received.1);
        if in_hand == max && !is_awaited {
            return max;
        }
        let mut after = After::default();
        let mut state = self.inner.lock_told();
        state.core.serve(&mut after);
        // Sized before the lock would be better, but nobody knows by how much then.
        let queued = if self.hand.is_empty() { (max - in_hand).min(state.core.queued()) } else { 0 };
        into.reserve(queued);
        for _ in 0..queued {
            into.extend(state.core.take(&mut after));
        }
        self.inner.finish(state, after);
        in_hand + queued
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

    /// The next item in hand. Whoever stands in line is let in where it fits now.
    #[inline]
    fn next_in_hand(&mut self) -> Option<T> {
        let parcel = self.hand.pop_front()?;
        self.received = (self.received.0 + 1, self.received.1 + parcel.bytes as u64);
        if self.inner.hand.receive(self.received.0, self.received.1) {
            let mut after = After::default();
            let mut state = self.inner.lock_told();
            state.core.serve(&mut after);
            self.inner.finish(state, after);
        }
        Some(parcel.item)
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        if let Some(item) = self.next_in_hand() {
            return Poll::Ready(Some(item));
        }
        let mut after = After::default();
        let mut state = self.inner.lock_told();
        let item = state.core.take(&mut after);
        if item.is_none() && !state.core.is_closed() && state.senders > 0 {
            match &mut state.receiver {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        state.core.hand_over(&mut self.hand);
        self.inner.finish(state, after);
        Poll::Ready(item)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.inner.lock_told().core.abandon();
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
