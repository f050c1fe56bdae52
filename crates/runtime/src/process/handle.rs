//! A child as its owner holds it.

use super::{
    children::Shared,
    error::ProcessError,
    exit::{Cause, Ending, Exit},
    progress::{Decoder, Progress},
    stream::{ChildInput, ChildOutput},
};
use crate::sync::{Condvar, Mutex};
use crate::{OutsideWait, StopReason, TaskCtx, lock, wait, wait_for};
use serde_json::{Map, Value};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// How often a waiting pool task looks whether it should stop, besides being woken for the usual reasons.
const LOOK: Duration = Duration::from_millis(50);
/// How long a child that was told to end may take to be gone: then the warden gives up on it.
const END_WALL: Duration = Duration::from_secs(15);

/// A child that was asked for: queued, running or ended. Dropping it ends the child and all its descendants,
/// soon and without waiting for it.
///
/// It is also a future of its own [`Exit`].
pub struct Child {
    pub(crate) id: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) cell: Arc<Cell>,
    /// The child's standard input, where it is a [stream](super::Input::Stream). Drop it to end the input.
    pub stdin: Option<ChildInput>,
    /// The child's standard output, where it is a [stream](super::Output::Stream).
    pub stdout: Option<ChildOutput>,
    /// The child's standard error, likewise.
    pub stderr: Option<ChildOutput>,
    /// The child's results, likewise.
    pub results: Option<ChildOutput>,
}

/// What owner and pump share about one child.
#[derive(Default)]
pub(crate) struct Cell {
    state: Mutex<CellState>,
    bell: Condvar,
    pub(crate) progress: Mutex<Option<Decoder>>,
}

#[derive(Default)]
struct CellState {
    result: Option<Result<Exit, ProcessError>>,
    over: bool,
    pid: Option<u32>,
    waker: Option<Waker>,
    event_waker: Option<Waker>,
}

impl Cell {
    pub(crate) fn set_pid(&self, pid: u32) {
        lock(&self.state).pid = Some(pid);
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        lock(&self.state).pid
    }

    pub(crate) fn finish(&self, result: Result<Exit, ProcessError>) {
        let mut state = lock(&self.state);
        state.result = Some(result);
        state.over = true;
        let wakers = [state.waker.take(), state.event_waker.take()];
        drop(state);
        self.bell.notify_all();
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// There are new events.
    pub(crate) fn announce_events(&self) {
        let waker = lock(&self.state).event_waker.take();
        self.bell.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn pop_event(&self) -> Option<Map<String, Value>> {
        lock(&self.progress).as_mut()?.events.pop_front()
    }
}

impl Child {
    /// A number that names this child among those of one [`Children`](super::Children).
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The process id, once it runs. To show; to signal use [`Child::stop`], which cannot hit a stranger.
    pub fn pid(&self) -> Option<u32> {
        self.cell.pid()
    }

    /// Ends the child and its descendants, with the grace that its limits allow. Does not wait.
    pub fn stop(&self) {
        self.shared.stop(self.id, Cause::Cancelled);
    }

    /// Waits for the end. Bounded by the child's own limit of time, once it runs.
    ///
    /// # Errors
    /// When it could not be started or watched.
    pub fn wait(self) -> Result<Exit, ProcessError> {
        let _waits = OutsideWait::begin(self.shared.what(self.id), None);
        let mut state = lock(&self.cell.state);
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            state = wait(&self.cell.bell, state);
        }
    }

    /// Waits at most so long. `None` when it has not ended (or the result was taken before).
    pub fn wait_within(&mut self, time: Duration) -> Option<Result<Exit, ProcessError>> {
        let until = Instant::now().checked_add(time);
        let mut state = lock(&self.cell.state);
        loop {
            if state.over {
                return state.result.take();
            }
            state = match until {
                None => wait(&self.cell.bell, state),
                Some(until) => {
                    let now = Instant::now();
                    if now >= until {
                        return None;
                    }
                    wait_for(&self.cell.bell, state, until - now)
                }
            };
        }
    }

    /// Waits on behalf of a pool task: when the task is cancelled or its deadline passes, the child is ended. The
    /// worker is the child's place meanwhile, so that tasks and children together never exceed the workers.
    ///
    /// # Errors
    /// When it could not be started or watched.
    pub fn wait_in(mut self, task: &TaskCtx<'_>) -> Result<Exit, ProcessError> {
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let _hook = task.token().on_cancel(move || shared.stop(id, Cause::Cancelled));
        let until = task.remaining().and_then(|left| Instant::now().checked_add(left + END_WALL));
        let _waits = OutsideWait::begin(self.shared.what(self.id), until);
        let mut asked = false;
        loop {
            let time = task.remaining().unwrap_or(LOOK).min(LOOK);
            if let Some(result) = self.wait_within(if asked { LOOK } else { time }) {
                if !matches!(&result, Ok(exit) if exit.ending != Ending::Cancelled) {
                    // Cut short: lets the task's outcome be the reason, if there is one.
                    let _ = task.should_stop();
                }
                return result;
            }
            if let (false, Some(why)) = (asked, task.should_stop()) {
                asked = true;
                let cause = match why {
                    StopReason::Cancelled => Cause::Cancelled,
                    StopReason::TimedOut => Cause::Wall,
                };
                self.shared.stop(self.id, cause);
            }
        }
    }

    /// Tells when the child has ended. After that it must not be called again.
    pub fn poll_exit(&mut self, context: &mut Context<'_>) -> Poll<Result<Exit, ProcessError>> {
        let mut state = lock(&self.cell.state);
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                debug_assert!(!state.over, "polled after the end");
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The last progress it told.
    pub fn progress(&self) -> Option<Progress> {
        lock(&self.cell.progress).as_ref()?.report.last.clone()
    }

    /// The next event from its progress channel, waiting at most so long; `None` when there is none.
    pub fn next_event(&self, time: Duration) -> Option<Map<String, Value>> {
        let until = Instant::now().checked_add(time);
        let mut state = lock(&self.cell.state);
        loop {
            // Events are announced under this lock's bell, so none is missed between look and wait.
            if let Some(event) = self.cell.pop_event() {
                return Some(event);
            }
            let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()));
            if state.over || left.is_zero() {
                return None;
            }
            state = wait_for(&self.cell.bell, state, left);
        }
    }

    /// Waits for the next event; `None` at the child's end. Cancel-safe.
    pub async fn event(&self) -> Option<Map<String, Value>> {
        std::future::poll_fn(|context| {
            let mut state = lock(&self.cell.state);
            match self.cell.pop_event() {
                Some(event) => Poll::Ready(Some(event)),
                None if state.over => Poll::Ready(None),
                None => {
                    state.event_waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Future for Child {
    type Output = Result<Exit, ProcessError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_exit(context)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !lock(&self.cell.state).over {
            self.shared.stop(self.id, Cause::Cancelled);
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("id", &self.id).field("pid", &self.pid()).finish_non_exhaustive()
    }
}
