//! Handles of spawned tasks.

use super::cell::{Cell, Stage};
use crate::{
    label::Label,
    pool::Outcome,
    registry::{StopReason, TaskId},
};
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A spawned task; as a future it gives the task's [`Outcome`]. Dropping it cancels the task, whose scope still
/// waits for it to end.
#[must_use = "dropping a task's handle cancels the task"]
pub struct Task<T> {
    cell: Option<Arc<Cell>>,
    value: PhantomData<fn() -> T>,
}

impl<T: 'static> Task<T> {
    pub(super) fn of(cell: Arc<Cell>) -> Self {
        Self { cell: Some(cell), value: PhantomData }
    }

    fn cell(&self) -> &Arc<Cell> {
        self.cell.as_ref().expect("a task is not used after its outcome was fetched")
    }

    /// Asks the task to stop: its future is dropped at its next wait, which is now unless it is in a step.
    pub fn cancel(&self) {
        self.cell().stop(StopReason::Cancelled);
    }

    /// True when the outcome is there.
    pub fn is_ended(&self) -> bool {
        self.cell().is_ended()
    }

    /// Its number.
    pub fn id(&self) -> TaskId {
        self.cell().id()
    }

    /// Its name.
    pub fn label(&self) -> &Label {
        self.cell().label()
    }
}

impl<T: 'static> Future for Task<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let Poll::Ready(stage) = self.cell().poll_ended(cx.waker()) else { return Poll::Pending };
        self.cell = None;
        Poll::Ready(match stage {
            Stage::Value(mut body) => {
                let mut value: Option<T> = None;
                body.as_mut().take(&mut value);
                Outcome::Done(value.expect("a task that is done has a value of its type"))
            }
            Stage::Panicked(report) => Outcome::Panicked(report.into()),
            Stage::Stopped(why) => Outcome::stopped(why),
            Stage::Live(_) | Stage::Gone => unreachable!("the outcome is fetched once, after the end"),
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            cell.forget_handle();
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.cell.as_ref().map(|cell| cell.id());
        f.debug_struct("Task").field("id", &id).finish_non_exhaustive()
    }
}
