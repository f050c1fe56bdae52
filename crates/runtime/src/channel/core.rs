//! The channel as a pure state machine: what is queued, who stands in line, what becomes of an item.
//!
//! `W` is what wakes a sender in line; the machine only carries it. Items that it lets go of are handed out rather
//! than dropped, since their destructors must not run under the channel's lock.

use super::{Bound, ChannelCounts, Sent, WhenFull};
use std::collections::{HashMap, VecDeque};

/// An item on its way in.
#[derive(Debug)]
pub(super) struct Parcel<T> {
    pub(super) item: T,
    pub(super) bytes: usize,
    /// Items of equal keys replace each other, where the channel conflates.
    pub(super) key: u64,
}

/// Somebody whose item has no room yet.
#[derive(Debug)]
struct InLine<T, W> {
    ticket: u64,
    parcel: Parcel<T>,
    since_ns: u64,
    waker: W,
}

/// What became of an item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer<T> {
    /// It, or another in its place, was let go.
    Settled(Sent, Let<T>),
    /// It stands in line under this number.
    Waits(u64),
    /// It is too large for the bound, or there is no room and it must not wait.
    TooLarge(T),
    Full(T),
    Closed(T),
}

/// Items let go: none without an allocation.
pub(super) type Let<T> = Vec<T>;

/// What is left to do once the lock is released: senders to wake, whose items moved from the line into the
/// queue, and items to drop, whose places those took.
pub(super) struct After<T, W> {
    /// One, as a rule, without an allocation.
    first: Option<W>,
    more: Vec<W>,
    pub(super) old: Let<T>,
}

impl<T, W> Default for After<T, W> {
    fn default() -> Self {
        Self { first: None, more: Vec::new(), old: Let::new() }
    }
}

impl<T, W> After<T, W> {
    fn wake(&mut self, waker: W) {
        match &self.first {
            None => self.first = Some(waker),
            Some(_) => self.more.push(waker),
        }
    }

    pub(super) fn wakes_any(&self) -> bool {
        self.first.is_some()
    }

    /// Who is to be woken, in the order of the line.
    pub(super) fn woken(&mut self) -> impl Iterator<Item = W> + use<T, W> {
        self.first.take().into_iter().chain(std::mem::take(&mut self.more))
    }
}

/// How it stands with an item in line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing<T> {
    InLine,
    Admitted,
    /// The channel was closed first.
    Closed(T),
}

#[derive(Debug)]
pub(super) struct Core<T, W> {
    bound: Bound,
    when_full: WhenFull,
    queue: VecDeque<Parcel<T>>,
    /// Of what is queued and what is in the receiver's hand.
    bytes: usize,
    /// Items in the receiver's hand, as far as is known here: those received since count until they are told.
    held: usize,
    /// Items and bytes of which it was told so far.
    told: (u64, u64),
    /// How many items have left the queue: the place of the first one in the order of all.
    front: u64,
    /// Where the item of a key is in that order. Kept where the channel conflates only.
    places: HashMap<u64, u64>,
    line: VecDeque<InLine<T, W>>,
    tickets: u64,
    closed: bool,
    pub(super) counts: ChannelCounts,
}

impl<T, W> Core<T, W> {
    pub(super) fn new(bound: Bound, when_full: WhenFull) -> Self {
        Self {
            bound,
            when_full,
            queue: VecDeque::new(),
            bytes: 0,
            held: 0,
            told: (0, 0),
            front: 0,
            places: HashMap::new(),
            line: VecDeque::new(),
            tickets: 0,
            closed: false,
            counts: ChannelCounts::default(),
        }
    }

    /// Takes an item, puts it in line, or gives it back. `wait` makes what is needed to stand in line, and the
    /// time; without it nothing waits.
    pub(super) fn offer(&mut self, parcel: Parcel<T>, wait: Option<impl FnOnce() -> (W, u64)>) -> Offer<T> {
        if self.closed {
            self.counts.refused += 1;
            return Offer::Closed(parcel.item);
        }
        if parcel.bytes > self.bound.bytes {
            self.counts.refused += 1;
            return Offer::TooLarge(parcel.item);
        }
        // Whoever stands in line comes first, even where this one would fit.
        if self.line.is_empty() && self.fits(&parcel) {
            return match self.admit(parcel) {
                None => Offer::Settled(Sent::Queued, Let::new()),
                Some(old) => Offer::Settled(Sent::Conflated, vec![old]),
            };
        }
        match (self.when_full, wait) {
            (WhenFull::DropNewest, _) => {
                self.counts.dropped_newest += 1;
                self.counts.dropped_bytes += parcel.bytes as u64;
                Offer::Settled(Sent::Dropped, vec![parcel.item])
            }
            (WhenFull::DropOldest, _) => {
                let mut old = Let::new();
                while !self.fits(&parcel) {
                    let Some(first) = self.pop() else { break };
                    self.counts.dropped_oldest += 1;
                    self.counts.dropped_bytes += first.bytes as u64;
                    old.push(first.item);
                }
                self.admit(parcel);
                Offer::Settled(Sent::Displaced(old.len()), old)
            }
            (WhenFull::Block | WhenFull::Conflate, Some(wait)) => {
                let ticket = self.tickets;
                self.tickets += 1;
                self.counts.waits += 1;
                let (waker, since_ns) = wait();
                self.line.push_back(InLine { ticket, parcel, since_ns, waker });
                Offer::Waits(ticket)
            }
            (WhenFull::Fail, _) | (_, None) => {
                self.counts.refused += 1;
                Offer::Full(parcel.item)
            }
        }
    }

    /// The next item.
    #[inline]
    pub(super) fn take(&mut self, after: &mut After<T, W>) -> Option<T> {
        let parcel = self.pop()?;
        self.counts.received += 1;
        self.serve(after);
        Some(parcel.item)
    }

    /// Gives all that is queued into the receiver's hand, which must be empty. It counts against the bound until it
    /// is received. Not where a newer item may drop or replace what is queued: that must stay here.
    pub(super) fn hand_over(&mut self, hand: &mut VecDeque<Parcel<T>>) {
        let may_leave = matches!(self.when_full, WhenFull::Block | WhenFull::DropNewest | WhenFull::Fail);
        if may_leave && !self.queue.is_empty() {
            debug_assert!(hand.is_empty() && self.held == 0, "the hand is filled when it is empty");
            std::mem::swap(&mut self.queue, hand);
            self.held = hand.len();
            self.front += self.held as u64;
        }
    }

    /// How much was received from the hand since the start.
    pub(super) fn tell(&mut self, items: u64, bytes: u64) {
        let (known, known_bytes) = std::mem::replace(&mut self.told, (items, bytes));
        self.held -= (items - known) as usize;
        self.bytes -= (bytes - known_bytes) as usize;
        self.counts.received += items - known;
    }

    /// Whether it matters for this item how much of the hand was received: it finds no room otherwise, or seems to
    /// make more than there ever was.
    #[inline]
    pub(super) fn must_be_told(&self, parcel: &Parcel<T>) -> bool {
        let (items, bytes) = (self.items() + 1, self.bytes + parcel.bytes);
        self.held > 0 && (items > self.counts.items_max || bytes > self.counts.bytes_max)
    }

    /// Whoever stands in line under a smaller number than this has been let in, or has left.
    pub(super) fn served(&self) -> u64 {
        self.line.front().map_or(self.tickets, |first| first.ticket)
    }

    /// How it stands with an item in line. `waker` replaces the one that is known.
    pub(super) fn look(&mut self, ticket: u64, waker: impl FnOnce(&mut W)) -> Standing<T> {
        let Some(at) = self.place_in_line(ticket) else { return Standing::Admitted };
        if self.closed {
            self.counts.refused += 1;
            return Standing::Closed(self.line.remove(at).expect("found above").parcel.item);
        }
        waker(&mut self.line[at].waker);
        Standing::InLine
    }

    /// Takes an item out of the line again, if it is still there; those behind it may fit now.
    pub(super) fn withdraw(&mut self, ticket: u64, after: &mut After<T, W>) -> Option<T> {
        let at = self.place_in_line(ticket)?;
        let left = self.line.remove(at)?;
        self.counts.withdrawn += 1;
        if !self.closed {
            self.serve(after);
        }
        Some(left.parcel.item)
    }

    /// Nothing comes in any more. Whoever stands in line gets the item back on the next look.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whom to wake after a close.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &W> {
        self.line.iter().map(|waiting| &waiting.waker)
    }

    /// Nobody will receive any more: what is queued is let go, and so is what is in the hand, by its holder.
    pub(super) fn abandon(&mut self) -> Let<T> {
        self.closed = true;
        self.counts.abandoned += self.items() as u64;
        (self.bytes, self.held) = (0, 0);
        self.places.clear();
        self.front += self.queue.len() as u64;
        self.queue.drain(..).map(|parcel| parcel.item).collect()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Items queued, or in the receiver's hand.
    pub(super) fn items(&self) -> usize {
        self.queue.len() + self.held
    }

    /// Items queued that the receiver has not taken in hand.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn has_line(&self) -> bool {
        !self.line.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Items in line, their bytes, and since when the first has been there.
    pub(super) fn line(&self) -> (usize, usize, Option<u64>) {
        let bytes = self.line.iter().map(|waiting| waiting.parcel.bytes).sum();
        (self.line.len(), bytes, self.line.front().map(|waiting| waiting.since_ns))
    }

    #[inline]
    fn fits(&self, parcel: &Parcel<T>) -> bool {
        let (mut items, mut bytes) = (self.items() + 1, self.bytes + parcel.bytes);
        if self.when_full == WhenFull::Conflate
            && let Some(old) = self.queued_with(parcel.key)
        {
            (items, bytes) = (items - 1, bytes - self.queue[old].bytes);
        }
        items <= self.bound.items && bytes <= self.bound.bytes
    }

    fn queued_with(&self, key: u64) -> Option<usize> {
        self.places.get(&key).map(|place| (place - self.front) as usize)
    }

    /// Queues what fits; returns the item it took the place of.
    #[inline]
    fn admit(&mut self, parcel: Parcel<T>) -> Option<T> {
        self.counts.sent += 1;
        self.bytes += parcel.bytes;
        if self.when_full == WhenFull::Conflate {
            if let Some(old) = self.queued_with(parcel.key) {
                let old = std::mem::replace(&mut self.queue[old], parcel);
                self.bytes -= old.bytes;
                self.counts.conflated += 1;
                self.note_peak();
                return Some(old.item);
            }
            self.places.insert(parcel.key, self.front + self.queue.len() as u64);
        }
        self.queue.push_back(parcel);
        self.note_peak();
        None
    }

    #[inline]
    fn note_peak(&mut self) {
        self.counts.items_max = self.counts.items_max.max(self.items());
        self.counts.bytes_max = self.counts.bytes_max.max(self.bytes);
    }

    #[inline]
    fn pop(&mut self) -> Option<Parcel<T>> {
        let parcel = self.queue.pop_front()?;
        self.bytes -= parcel.bytes;
        self.front += 1;
        if self.when_full == WhenFull::Conflate {
            self.places.remove(&parcel.key);
        }
        Some(parcel)
    }

    /// Lets in from the head of the line what fits, in its order.
    #[inline]
    pub(super) fn serve(&mut self, after: &mut After<T, W>) {
        while self.line.front().is_some_and(|first| self.fits(&first.parcel)) {
            let Some(InLine { parcel, waker, .. }) = self.line.pop_front() else { break };
            after.old.extend(self.admit(parcel));
            after.wake(waker);
        }
    }

    fn place_in_line(&self, ticket: u64) -> Option<usize> {
        self.line.binary_search_by_key(&ticket, |waiting| waiting.ticket).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// Bytes, key, and whether it may wait.
        Offer(usize, u64, bool),
        Take,
        /// From the hand, and whether the machine is told at once.
        TakeInHand(bool),
        HandOver,
        Withdraw(usize),
        Close,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            8 => (0..24_usize, 0..5_u64, prop::bool::weighted(0.8)).prop_map(|(b, k, w)| Event::Offer(b, k, w)),
            3 => Just(Event::Take),
            3 => prop::bool::ANY.prop_map(Event::TakeInHand),
            2 => Just(Event::HandOver),
            1 => (0..8_usize).prop_map(Event::Withdraw),
            1 => prop::option::weighted(0.1, Just(())).prop_map(|c| c.map_or(Event::Take, |()| Event::Close)),
        ]
    }

    fn policy() -> impl Strategy<Value = WhenFull> {
        prop::sample::select(WhenFull::ALL.to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_lost_uncounted_and_the_bound_holds(
            when_full in policy(),
            items in 1..6_usize,
            bytes in 1..40_usize,
            events in prop::collection::vec(event(), 1..120),
        ) {
            let bound = Bound { items, bytes };
            let mut core: Core<(u64, u64), u64> = Core::new(bound, when_full);
            // Items by the order of their arrival; what came out; what came back or was dropped.
            let (mut serial, mut out, mut gone) = (0_u64, Vec::new(), Vec::new());
            // What the receiver has in hand, and what it has received of it.
            let (mut hand, mut told) = (VecDeque::new(), (0_u64, 0_u64));
            let mut line: BTreeMap<u64, u64> = BTreeMap::new();
            let mut most = (0, 0);
            for event in events {
                let mut after = After::default();
                match event {
                    Event::Offer(bytes, key, may_wait) => {
                        let item = (serial, key);
                        serial += 1;
                        let had_line = !line.is_empty();
                        let parcel = Parcel { item, bytes, key };
                        if core.must_be_told(&parcel) {
                            core.tell(told.0, told.1);
                        }
                        let wait = may_wait.then_some(|| (item.0, 0));
                        match core.offer(parcel, wait) {
                            Offer::Settled(sent, old) => {
                                prop_assert!(!had_line, "it went past those who wait");
                                prop_assert_eq!(sent.lost(), old.len());
                                gone.extend(old);
                            }
                            Offer::Waits(ticket) => {
                                prop_assert!(may_wait && matches!(when_full, WhenFull::Block | WhenFull::Conflate));
                                line.insert(ticket, item.0);
                            }
                            Offer::TooLarge(item) => {
                                prop_assert!(bytes > bound.bytes);
                                gone.push(item);
                            }
                            Offer::Full(item) | Offer::Closed(item) => gone.push(item),
                        }
                    }
                    Event::Take => {
                        if !hand.is_empty() {
                            continue;
                        }
                        core.tell(told.0, told.1);
                        let empty = core.queued() == 0;
                        let item = core.take(&mut after);
                        prop_assert_eq!(item.is_none(), empty);
                        out.extend(item);
                    }
                    Event::TakeInHand(tell) => {
                        let Some(parcel): Option<Parcel<(u64, u64)>> = hand.pop_front() else { continue };
                        out.push(parcel.item);
                        told = (told.0 + 1, told.1 + parcel.bytes as u64);
                        // Whoever stands in line is let in as soon as there is room.
                        if tell || core.has_line() {
                            core.tell(told.0, told.1);
                            core.serve(&mut after);
                        }
                    }
                    Event::HandOver => {
                        if hand.is_empty() {
                            core.tell(told.0, told.1);
                            core.serve(&mut after);
                            core.hand_over(&mut hand);
                        }
                    }
                    Event::Withdraw(which) => {
                        let Some((ticket, item)) = line.iter().nth(which).map(|(t, i)| (*t, *i)) else { continue };
                        line.remove(&ticket);
                        let back = core.withdraw(ticket, &mut after);
                        prop_assert_eq!(back.map(|(serial, _)| serial), Some(item));
                        gone.extend(back);
                    }
                    Event::Close => {
                        core.close();
                        for (ticket, item) in std::mem::take(&mut line) {
                            let Standing::Closed(back) = core.look(ticket, |_| ()) else { panic!("still in line") };
                            prop_assert_eq!(back.0, item);
                            gone.push(back);
                        }
                    }
                }
                // Those let in are the first of the line, in its order.
                for item in after.woken() {
                    let first = line.pop_first();
                    prop_assert_eq!(first.map(|(_, item)| item), Some(item));
                    if let Some((ticket, _)) = first {
                        prop_assert!(ticket < core.served());
                        prop_assert_eq!(core.look(ticket, |_| ()), Standing::Admitted);
                    }
                }
                gone.extend(after.old);
                prop_assert!(core.items() <= bound.items && core.bytes() <= bound.bytes);
                prop_assert_eq!(core.line().0, line.len());
                prop_assert!(line.keys().all(|ticket| *ticket >= core.served()), "let in and still in line");
                // The head of the line waits only while it does not fit.
                prop_assert!(core.is_closed() || core.line.front().is_none_or(|first| !core.fits(&first.parcel)));
                // Known exactly, it is what there is; else more, within the bound.
                let untold = (told.0 - core.told.0) as usize;
                prop_assert_eq!(core.items() - untold, core.queued() + hand.len());
                let bytes_there: usize = core.queue.iter().chain(&hand).map(|parcel| parcel.bytes).sum();
                prop_assert_eq!(core.bytes() - (told.1 - core.told.1) as usize, bytes_there);
                most = (most.0.max(core.queued() + hand.len()), most.1.max(bytes_there));
                // One let in may take another's place and so end a peak within an event.
                if when_full != WhenFull::Conflate {
                    prop_assert_eq!((core.counts.items_max, core.counts.bytes_max), most);
                }
                let c = core.counts;
                let left = c.received + c.dropped_oldest + c.conflated + core.items() as u64;
                prop_assert_eq!(c.sent, left);
                let seen = (out.len() + gone.len() + core.items() - untold + line.len()) as u64;
                prop_assert_eq!(seen, serial, "an item vanished or was doubled");
            }
            core.tell(told.0, told.1);
            let queued = core.items() as u64;
            gone.extend(core.abandon());
            prop_assert_eq!(core.counts.abandoned, queued);
            if when_full != WhenFull::Conflate {
                prop_assert!(out.windows(2).all(|w| w[0].0 < w[1].0), "out of order");
            } else {
                // Of one key the newest counts, and never comes before an older one.
                for key in 0..5 {
                    let of: Vec<u64> = out.iter().filter(|(_, k)| *k == key).map(|(s, _)| *s).collect();
                    prop_assert!(of.windows(2).all(|w| w[0] < w[1]), "an old value after a newer one");
                }
            }
        }
    }
}
