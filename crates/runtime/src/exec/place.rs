//! Where a task waits: named places, kept as a tree per task for as long as each is waited at.

use super::{
    cell::Cell,
    scope::{Core, WeakCore},
};
use crate::{label::Label, pool};
use std::{
    cell::Cell as StdCell,
    future::Future,
    panic::Location,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

const NONE: u32 = u32::MAX;

thread_local! {
    /// The place of the running task inside which polling goes on now.
    static INSIDE: StdCell<u32> = const { StdCell::new(NONE) };
}

/// The places of one task, and the scopes it has opened.
#[derive(Default)]
pub(super) struct Places {
    places: Vec<Option<Place>>,
    scopes: Vec<WeakCore>,
}

struct Place {
    /// The place around it.
    inside: u32,
    what: Label,
    location: &'static Location<'static>,
    since: Instant,
}

/// A place where a task waits, as shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How many places are around it.
    pub depth: usize,
    /// What is waited for.
    pub what: Label,
    /// Source file and line.
    pub location: String,
    /// For how long so far.
    pub elapsed: Duration,
}

impl Places {
    fn add(&mut self, place: Place) -> u32 {
        match self.places.iter().position(Option::is_none) {
            Some(free) => {
                self.places[free] = Some(place);
                free as u32
            }
            None => {
                self.places.push(Some(place));
                self.places.len() as u32 - 1
            }
        }
    }

    /// All places in the order of a tree walked from its roots.
    pub(super) fn waiting(&self, now: Instant) -> Vec<Waiting> {
        let mut list = Vec::new();
        self.list_inside(NONE, 0, now, &mut list);
        list
    }

    fn list_inside(&self, inside: u32, depth: usize, now: Instant, list: &mut Vec<Waiting>) {
        for (index, place) in self.places.iter().enumerate() {
            let Some(place) = place.as_ref().filter(|place| place.inside == inside) else { continue };
            list.push(Waiting {
                depth,
                what: place.what.clone(),
                location: format!("{}:{}", place.location.file(), place.location.line()),
                elapsed: now.saturating_duration_since(place.since),
            });
            self.list_inside(index as u32, depth + 1, now, list);
        }
    }

    pub(super) fn scopes(&self) -> Vec<Arc<Core>> {
        self.scopes.iter().filter_map(WeakCore::upgrade).collect()
    }
}

/// The running task opens a scope. Returns the task, if there is one.
pub(super) fn enter_scope(scope: &Arc<Core>) -> Option<Arc<Cell>> {
    let cell = pool::current_cell()?;
    cell.with_places(|places| {
        places.scopes.retain(|scope| scope.strong_count() > 0);
        places.scopes.push(Arc::downgrade(scope));
    });
    Some(cell)
}

/// A scope has ended.
pub(super) fn leave_scope(cell: &Cell, scope: &Arc<Core>) {
    cell.with_places(|places| places.scopes.retain(|other| other.as_ptr() != Arc::as_ptr(scope)));
}

/// Names what a future waits for; brought in by `use springtide_runtime::exec::Named`.
pub trait Named: Future + Sized {
    /// Shows this future as a place where its task waits, with the source line of this call, for as long as it
    /// is pending. Costs about 100 ns for each future, and next to nothing for each poll.
    #[track_caller]
    fn named(self, what: impl Into<Label>) -> At<Self> {
        At { future: self, place: Some((what.into(), Location::caller())), node: None }
    }
}

impl<F: Future> Named for F {}

pin_project_lite::pin_project! {
    /// A named future; see [`Named::named`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct At<F> {
        #[pin]
        future: F,
        place: Option<(Label, &'static Location<'static>)>,
        node: Option<Node>,
    }
}

/// A place that is shown until this is dropped.
struct Node {
    cell: Arc<Cell>,
    index: u32,
}

impl Drop for Node {
    fn drop(&mut self) {
        let place =
            self.cell.with_places(|places| places.places.get_mut(self.index as usize).and_then(Option::take));
        drop(place);
    }
}

/// Sets back the place around.
struct Inside(u32);

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

impl<F: Future> Future for At<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some((what, location)) = this.place.take() {
            *this.node = pool::current_cell().map(|cell| {
                let place = Place { inside: INSIDE.get(), what, location, since: Instant::now() };
                let index = cell.with_places(|places| places.add(place));
                Node { cell, index }
            });
        }
        let index = this.node.as_ref().map_or(INSIDE.get(), |node| node.index);
        let _back = Inside(INSIDE.replace(index));
        let poll = this.future.poll(cx);
        if poll.is_ready() {
            *this.node = None;
        }
        poll
    }
}
