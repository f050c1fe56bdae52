//! The life of an asynchronous task in one word.
//!
//! A task is *queued* at most once, is *run* by at most one thread at a time, and is *ended* by that thread.
//! Whoever stops a task that is not being run takes the run for itself and ends it there and then.

use crate::{registry::StopReason, sync::AtomicU32};
use std::sync::atomic::Ordering;

/// Queued, or woken while being run.
const WOKEN: u32 = 1;
/// A thread polls it or ends it.
const TAKEN: u32 = 2;
/// Over.
const ENDED: u32 = 4;
/// Asked to stop, as cancelled or as too late.
const CANCEL: u32 = 8;
const TIMEOUT: u32 = 16;
/// Somebody holds its handle.
const HANDLE: u32 = 32;

/// What is to be done after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing: whoever wakes it queues it.
    Rest,
    /// It was woken meanwhile: queue it.
    Queue,
    /// It was asked to stop: end it. It stays taken.
    Stop(StopReason),
}

#[derive(Debug)]
pub(super) struct State(AtomicU32);

impl State {
    /// A task that is about to be queued.
    pub(super) fn queued(handle: bool) -> Self {
        Self(AtomicU32::new(WOKEN | if handle { HANDLE } else { 0 }))
    }

    /// Wakes it; true when it is to be queued.
    pub(super) fn wake(&self) -> bool {
        let before = self.0.fetch_or(WOKEN, Ordering::AcqRel);
        before & (WOKEN | TAKEN | ENDED) == 0
    }

    /// Takes a queued task to run it; false when another has taken or ended it.
    pub(super) fn take(&self) -> bool {
        let step = |state: u32| (state & (TAKEN | ENDED) == 0).then_some(state & !WOKEN | TAKEN);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    /// Lets go of a task that waits, unless it was asked to stop.
    pub(super) fn let_go(&self) -> After {
        let mut after = After::Rest;
        let step = |state: u32| {
            if let Some(why) = reason(state) {
                after = After::Stop(why);
                return None;
            }
            after = if state & WOKEN == 0 { After::Rest } else { After::Queue };
            Some(state & !TAKEN)
        };
        // Refused when it must stop; then the run goes on to the end.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        after
    }

    /// Asks it to stop. True when nobody runs it: it is taken now, and the caller ends it.
    pub(super) fn stop(&self, why: StopReason) -> bool {
        let ask = if why == StopReason::Cancelled { CANCEL } else { TIMEOUT };
        let mut mine = false;
        let step = |state: u32| {
            if state & ENDED != 0 || reason(state).is_some() {
                mine = false;
                return None;
            }
            mine = state & TAKEN == 0;
            Some(state | ask | TAKEN)
        };
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        mine
    }

    /// Ends it; true when nobody holds its handle.
    pub(super) fn end(&self) -> bool {
        self.0.fetch_or(ENDED, Ordering::AcqRel) & HANDLE == 0
    }

    /// The handle is given up; true when the task has ended.
    pub(super) fn forget_handle(&self) -> bool {
        self.0.fetch_and(!HANDLE, Ordering::AcqRel) & ENDED != 0
    }

    pub(super) fn is_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) & ENDED != 0
    }

    /// Why it was asked to stop, if it was.
    pub(super) fn stopping(&self) -> Option<StopReason> {
        reason(self.0.load(Ordering::Acquire))
    }

    /// Queued, being run, or neither: waiting.
    pub(super) fn phase(&self) -> (bool, bool) {
        let state = self.0.load(Ordering::Acquire);
        (state & WOKEN != 0, state & TAKEN != 0)
    }
}

fn reason(state: u32) -> Option<StopReason> {
    match (state & CANCEL != 0, state & TIMEOUT != 0) {
        (true, _) => Some(StopReason::Cancelled),
        (false, true) => Some(StopReason::TimedOut),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Wake,
        Take,
        LetGo,
        Stop(StopReason),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Wake),
            Just(Event::Take),
            Just(Event::LetGo),
            Just(Event::Stop(StopReason::Cancelled)),
            Just(Event::Stop(StopReason::TimedOut)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn queued_once_run_once_and_no_wake_lost(events in prop::collection::vec(event(), 1..40)) {
            let state = State::queued(true);
            // What the queue holds, who runs it, and whether a wake is owed a run.
            let (mut queued, mut taken, mut owed, mut stop) = (1, false, true, None);
            for event in events {
                match event {
                    Event::Wake => {
                        let queue = state.wake();
                        prop_assert!(!(queue && (queued > 0 || taken)), "queued while queued or run");
                        queued += u32::from(queue);
                        owed = true;
                    }
                    Event::Take if queued > 0 => {
                        queued -= 1;
                        let took = state.take();
                        prop_assert_eq!(took, !taken);
                        if took {
                            (taken, owed) = (true, false);
                        }
                    }
                    // Only who runs it, and did not take it to end it, lets go.
                    Event::LetGo if taken && stop.is_none() => {
                        let after = state.let_go();
                        prop_assert_eq!(after, if owed { After::Queue } else { After::Rest });
                        queued += u32::from(owed);
                        taken = false;
                    }
                    Event::LetGo if taken => {
                        prop_assert_eq!(state.let_go(), After::Stop(stop.unwrap()));
                    }
                    Event::Stop(why) => {
                        let mine = state.stop(why);
                        prop_assert_eq!(mine, stop.is_none() && !taken);
                        stop = stop.or(Some(why));
                        taken |= mine;
                    }
                    Event::Take | Event::LetGo => {}
                }
                prop_assert_eq!(state.stopping(), stop);
                prop_assert!(!owed || queued > 0 || taken, "a wake was lost");
            }
        }
    }
}
