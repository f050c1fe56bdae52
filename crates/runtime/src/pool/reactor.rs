//! The reactor: one thread that turns tokio's driver and runs short steps between events.

use super::{Shared, central::Ticket, worker::Local};
use crate::sync::{driver, now};
use crossbeam_deque::Worker as Deque;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// How long what runs on tokio's own threads may take to end with the reactor.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// When steps have waited so long for others' turns while no worker has come for anything, every worker computes, and
/// waiting for them serves nobody.
const OVERDUE: Duration = Duration::from_millis(5);

/// What the lane found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It ran steps and there may be more.
    Ran,
    /// Nothing to do until it is woken.
    Idle,
    /// Steps wait that are not for the lane now; with the count of draws at that moment.
    Held(u64),
    /// The pool ends.
    Over,
}

/// Body of the reactor's thread.
pub(super) fn react(
    shared: Arc<Shared>,
    index: usize,
    deque: Deque<Ticket>,
    tokio: driver::Runtime,
    spin: Duration,
) {
    let local = Local::enter(Arc::clone(&shared), index, deque);
    // A task of tokio's, so that waking it from this thread, as events do, is a push to a local queue.
    #[allow(clippy::disallowed_methods, reason = "awaited right here, on the thread that runs it")]
    let lane = tokio.spawn(run_lane(shared, spin));
    let ended = tokio.block_on(lane);
    debug_assert!(ended.is_ok(), "steps do not unwind into the lane");
    local.leave();
    drop(local);
    Local::exit();
    tokio.shutdown_timeout(SHUTDOWN_LIMIT);
}

async fn run_lane(shared: Arc<Shared>, spin: Duration) {
    poll_fn(|cx| {
        // The lane is polled by its task alone, whose waker stays the same.
        shared.lane_waker.get_or_init(|| cx.waker().clone());
        Poll::Ready(())
    })
    .await;
    let mut idle_since = now();
    loop {
        match Local::current(&shared).map_or(Turn::Over, |local| local.lane_turn()) {
            Turn::Over => return,
            Turn::Ran => {
                idle_since = now();
                // Lets the driver look for events before the next turn.
                driver::yield_now().await;
            }
            Turn::Idle | Turn::Held(_) if !spin.is_zero() && now() - idle_since < spin => {
                driver::yield_now().await;
            }
            Turn::Held(drawn) => {
                let held = now();
                // Ends by a wake or by the timer, whichever comes first; which it was, the clock says.
                let _ = driver::timeout(OVERDUE, Woken::default()).await;
                if (now() - held) >= OVERDUE
                    && let Some(local) = Local::current(&shared)
                {
                    local.lane_overdue(drawn);
                }
                idle_since = now();
            }
            Turn::Idle => {
                Woken::default().await;
                idle_since = now();
            }
        }
    }
}

/// Pending once: until the task is woken.
#[derive(Default)]
struct Woken(bool);

impl Future for Woken {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}
