//! Locks and threads as this crate uses them: of the system in release builds, with their order checked in debug
//! builds, of a model checker under the `shuttle` feature. So that the checker can run the executor, too, its clock and
//! what it uses of tokio's runtime come from here.

#[cfg(feature = "shuttle")]
pub(crate) mod model;

#[cfg(all(debug_assertions, not(feature = "shuttle")))]
mod order;

#[cfg(feature = "shuttle")]
pub(crate) use model as driver;
#[cfg(feature = "shuttle")]
pub(crate) use model::now;
#[cfg(all(debug_assertions, not(feature = "shuttle")))]
pub use order::{Condvar, Mutex, MutexGuard};
#[cfg(feature = "shuttle")]
pub use shuttle::sync::{Condvar, Mutex, MutexGuard};
#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64},
    thread, thread_local,
};
#[cfg(all(not(debug_assertions), not(feature = "shuttle")))]
pub use std::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64},
    thread, thread_local,
};

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, PoisonError, TryLockError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

/// tokio's runtime, as the reactor and the workers use it.
#[cfg(not(feature = "shuttle"))]
pub(crate) mod driver {
    pub(crate) use tokio::{
        runtime::{EnterGuard, Handle, Runtime},
        task::{coop::has_budget_remaining, yield_now},
        time::timeout,
    };

    pub(crate) fn start() -> std::io::Result<Runtime> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    }
}

/// The time at which steps and tasks begin and end.
#[cfg(not(feature = "shuttle"))]
#[inline]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Locks; a panic elsewhere does not spread. What the lock guards must be whole whenever something under it can
/// panic: nothing of the user's runs under the locks of this crate.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the bell, in the same manner.
pub fn wait<'a, T>(bell: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    bell.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the bell or the time to be over, whichever is first, in the same manner.
pub fn wait_for<'a, T>(bell: &Condvar, guard: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T> {
    bell.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0
}

/// Data that one thread at a time owns by another's word, such as a state that it has taken. The lock is there for
/// the compiler and for proof: it is never waited for, so that user code may run while it is held.
pub(crate) struct Owned<T>(std::sync::Mutex<T>);

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// # Panics
    /// When somebody else owns it, which no state allows.
    pub(crate) fn hold(&self) -> std::sync::MutexGuard<'_, T> {
        match self.0.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("two threads own the same task"),
        }
    }
}

/// Wakes a thread that blocks on a future.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread until the future has its value.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
        thread::park();
    }
}

/// As [`block_on`], for at most `limit`; then the future is dropped.
pub(crate) fn block_on_for<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    let start = now();
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return Some(value);
        }
        let left =
            limit.checked_sub(now().saturating_duration_since(start)).filter(|left| !left.is_zero())?;
        thread::park_timeout(left);
    }
}
