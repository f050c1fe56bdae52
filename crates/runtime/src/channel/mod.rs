//! Channels whose memory is bounded: in items and in bytes, with a stated answer to the question what happens
//! when they are full.
//!
//! ```
//! use springtide_runtime::channel::{ChannelConfig, Sent, WhenFull};
//!
//! // At most 1,000 lines of together 64 KiB: what is more waits at its source.
//! let (lines, mut reader) = ChannelConfig::new("lines")
//!     .items(1_000)
//!     .bytes(64 << 10)
//!     .weigh(|line: &String| line.len())
//!     .open();
//! lines.send_blocking("first".to_owned())?;
//! drop(lines);
//! assert_eq!(reader.recv_blocking().as_deref(), Some("first"));
//! assert_eq!(reader.recv_blocking(), None, "all senders are gone");
//!
//! // Quotes: of each symbol (numbered) only the newest is worth anything.
//! let (quotes, mut reader) = ChannelConfig::new("quotes")
//!     .items(100)
//!     .when_full(WhenFull::Conflate)
//!     .key(|quote: &(u64, f64)| quote.0)
//!     .open();
//! assert_eq!(quotes.try_send((7, 1.25))?, Sent::Queued);
//! assert_eq!(quotes.try_send((7, 1.5))?, Sent::Conflated);
//! assert_eq!(reader.try_recv(), Some((7, 1.5)));
//! assert_eq!(reader.snapshot().counts.conflated, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! - What is queued never exceeds the bound, in items or in bytes. Each sender that waits holds one item more. What
//!   the receiver has taken in hand, to receive it without the lock, is queued until it is received.
//! - Senders that wait are served in the order they came; nobody goes past them, neither with a small item past a
//!   large one nor by asking again and again.
//! - Every item comes out, comes back to its sender, or is counted as dropped, by kind.
//! - Both ends can be asynchronous or block a thread, on either side. A future that is dropped while it waits
//!   takes its item out of the line.
//! - When the last sender is gone, the receiver gets what is queued and then the end; when the receiver is gone,
//!   senders get their items back.
//! - Every channel of the process is seen in [`observe`](crate::observe) while it lives, by its name.
//!
//! The decisions are a pure state machine behind one lock, which the receiver takes once for all that is queued, where
//! nothing may drop or replace queued items. Neither the items' destructors nor wakers run under it.

mod core;
mod ends;
mod receiver;

pub use ends::{Send, Sender};
pub use receiver::{Receiver, Recv};

use crate::label::Label;
use std::{fmt, time::Duration};

/// What happens to an item for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// It waits, and its source with it.
    #[default]
    Block,
    /// It is dropped.
    DropNewest,
    /// As many as needed of the oldest are dropped.
    DropOldest,
    /// It replaces a queued item of the same [key](ChannelConfig::key), also when there is room, and takes its
    /// place in the order; without one it waits. For what is only worth its newest value.
    Conflate,
    /// It is given back as an error.
    Fail,
}

impl WhenFull {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Block, Self::DropNewest, Self::DropOldest, Self::Conflate, Self::Fail];

    /// Its name: `block`, `drop-newest`, `drop-oldest`, `conflate` or `fail`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::DropNewest => "drop-newest",
            Self::DropOldest => "drop-oldest",
            Self::Conflate => "conflate",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for WhenFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much may be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Items.
    pub items: usize,
    /// Sum of the items' sizes.
    pub bytes: usize,
}

type Measure<T, N> = Box<dyn Fn(&T) -> N + std::marker::Send + Sync>;

/// Settings of a channel, made by [`ChannelConfig::new`] and turned into one by [`ChannelConfig::open`].
pub struct ChannelConfig<T> {
    name: Label,
    bound: Bound,
    when_full: WhenFull,
    weigh: Option<Measure<T, usize>>,
    key: Option<Measure<T, u64>>,
}

impl<T: std::marker::Send + 'static> ChannelConfig<T> {
    /// A channel of at most 1,024 items and 16 MiB that blocks when full. An item weighs the size of its type,
    /// without what it owns elsewhere.
    pub fn new(name: impl Into<Label>) -> Self {
        let bound = Bound { items: 1_024, bytes: 16 << 20 };
        Self { name: name.into(), bound, when_full: WhenFull::Block, weigh: None, key: None }
    }

    /// Most items queued, at least one.
    pub fn items(mut self, items: usize) -> Self {
        self.bound.items = items.max(1);
        self
    }

    /// Most bytes queued, as weighed by [`ChannelConfig::weigh`]. An item that is larger is always refused.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bound.bytes = bytes;
        self
    }

    /// What an item counts against the bound in bytes: its size with what it owns. Asked once for each item.
    pub fn weigh(mut self, weigh: impl Fn(&T) -> usize + std::marker::Send + Sync + 'static) -> Self {
        self.weigh = Some(Box::new(weigh));
        self
    }

    /// What happens when there is no room.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// What an item is about, for [`WhenFull::Conflate`]: equal numbers stand for the same thing, so number the
    /// things rather than hash them. Without it all items are about the same.
    pub fn key(mut self, key: impl Fn(&T) -> u64 + std::marker::Send + Sync + 'static) -> Self {
        self.key = Some(Box::new(key));
        self
    }

    /// The channel's ends. It is visible in [`observe`](crate::observe) as long as one of them lives.
    pub fn open(self) -> (Sender<T>, Receiver<T>) {
        ends::open(self)
    }
}

impl<T> fmt::Debug for ChannelConfig<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelConfig")
            .field("name", &self.name)
            .field("bound", &self.bound)
            .field("when_full", &self.when_full)
            .finish_non_exhaustive()
    }
}

/// What became of an item that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is queued.
    Queued,
    /// It is queued in the place of an older one of the same key, which was dropped.
    Conflated,
    /// It is queued, and this many of the oldest were dropped for it.
    Displaced(usize),
    /// It was dropped.
    Dropped,
}

impl Sent {
    /// How many items were dropped.
    pub fn lost(self) -> usize {
        match self {
            Self::Queued => 0,
            Self::Conflated | Self::Dropped => 1,
            Self::Displaced(items) => items,
        }
    }
}

/// Why an item was given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no room, and it must not wait.
    #[error("channel `{name}` is full ({} items, {} bytes allowed): its receiver is too slow", bound.items, bound.bytes)]
    Full {
        /// The channel.
        name: Label,
        /// Its bound.
        bound: Bound,
    },
    /// It would not fit into the empty channel.
    #[error("an item of {bytes} bytes never fits channel `{name}` of {} bytes: raise the bound or send it in parts", bound.bytes)]
    TooLarge {
        /// The channel.
        name: Label,
        /// Its bound.
        bound: Bound,
        /// The item's size.
        bytes: usize,
    },
    /// Nobody receives any more.
    #[error("channel `{name}` is closed: its receiver has gone")]
    Closed {
        /// The channel.
        name: Label,
    },
}

/// An item that was given back, and why.
#[derive(Clone, PartialEq, Eq)]
pub struct SendError<T> {
    /// The item.
    pub item: T,
    /// Why.
    pub why: Refusal,
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl<T> std::error::Error for SendError<T> {}

/// What has happened in a channel so far. `sent` is `received + dropped_oldest + conflated + abandoned` and what
/// is queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelCounts {
    /// Items that were queued.
    pub sent: u64,
    /// Items that came out.
    pub received: u64,
    /// Items dropped on arrival, for want of room.
    pub dropped_newest: u64,
    /// Queued items dropped to make room.
    pub dropped_oldest: u64,
    /// Size of all items dropped for want of room.
    pub dropped_bytes: u64,
    /// Queued items replaced by newer ones of the same key.
    pub conflated: u64,
    /// Items given back to their senders.
    pub refused: u64,
    /// Items taken out of the line because their senders gave up.
    pub withdrawn: u64,
    /// Items left when the receiver was dropped.
    pub abandoned: u64,
    /// Items that had to wait for room.
    pub waits: u64,
    /// Time waited by all that were let in.
    pub waited: Duration,
    /// Most items queued at a time.
    pub items_max: usize,
    /// Most bytes queued at a time.
    pub bytes_max: usize,
}

impl ChannelCounts {
    /// Items that a sender handed over and no receiver saw.
    pub fn dropped(&self) -> u64 {
        self.dropped_newest + self.dropped_oldest + self.conflated + self.abandoned
    }
}

/// A channel at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSnapshot {
    /// Its name.
    pub name: Label,
    /// What happens when it is full.
    pub when_full: WhenFull,
    /// How much may be queued.
    pub bound: Bound,
    /// Items queued.
    pub items: usize,
    /// Their size.
    pub bytes: usize,
    /// Sending ends that live.
    pub senders: usize,
    /// Items that wait for room.
    pub waiting: usize,
    /// Their size.
    pub waiting_bytes: usize,
    /// How long the first of them has been waiting.
    pub longest_wait: Option<Duration>,
    /// Whether the receiver waits for an item.
    pub receiver_waits: bool,
    /// Whether nothing can be sent any more.
    pub closed: bool,
    /// Since the start.
    pub counts: ChannelCounts,
}
