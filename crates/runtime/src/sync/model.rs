//! What a model checker puts in the place of tokio and the clock. Its threads take turns on one of the system's, which
//! none of them may block: the reactor waits for wake-ups alone, since there are no events.

use super::block_on;
use shuttle::rand::{Rng, thread_rng};
use std::{
    cell::Cell,
    convert::Infallible,
    future::{self, Future},
    io,
    marker::PhantomData,
    time::{Duration, Instant},
};

// Of the system, not of the checker: whichever thread looks, time goes on for all.
std::thread_local! {
    static CLOCK: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Time as the order of threads has it: little goes by from one look to the next, now and then more than a turn of
/// steps may take.
pub(crate) fn now() -> Instant {
    let passed = if thread_rng().gen_ratio(1, 16) { 100_000 } else { 1_000 };
    let now = CLOCK.get().unwrap_or_else(Instant::now) + Duration::from_nanos(passed);
    CLOCK.set(Some(now));
    now
}

#[derive(Clone)]
pub(crate) struct Handle;

pub(crate) struct Runtime(Handle);

pub(crate) struct EnterGuard<'a>(PhantomData<&'a Handle>);

/// As tokio's, which may be refused what it needs.
pub(crate) fn start() -> io::Result<Runtime> {
    Ok(Runtime(Handle))
}

impl Runtime {
    pub(crate) fn handle(&self) -> &Handle {
        &self.0
    }

    /// Runs where its end is awaited, as its caller does at once.
    pub(crate) async fn spawn<F: Future>(&self, future: F) -> Result<F::Output, Infallible> {
        Ok(future.await)
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    pub(crate) fn shutdown_timeout(self, _: Duration) {}
}

impl Handle {
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        block_on(future)
    }

    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        EnterGuard(PhantomData)
    }
}

pub(crate) fn has_budget_remaining() -> bool {
    true
}

pub(crate) fn yield_now() -> impl Future<Output = ()> {
    super::thread::yield_now();
    future::ready(())
}

/// Never late: what is due must come by a wake-up.
pub(crate) async fn timeout<F: Future>(_: Duration, future: F) -> Result<F::Output, Infallible> {
    Ok(future.await)
}
