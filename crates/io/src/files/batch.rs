//! The results of a batch, as a stream and as an iterator.

use super::{BatchOptions, FileError};
use futures_core::Stream;
use springtide_runtime::locks::{Mutex, MutexGuard, lock};
use springtide_runtime::{Group, TaskCtx};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant},
};

/// One file's outcome.
#[derive(Debug)]
pub struct Item<T> {
    /// Its place among the paths, from 0.
    pub index: u64,
    /// The file.
    pub path: PathBuf,
    /// What the work gave.
    pub result: Result<T, FileError>,
}

type Load<T> = dyn Fn(&Path) -> Result<T, FileError> + Send + Sync;

/// What the tasks and the taker share.
pub(super) struct Shared<T> {
    load: Box<Load<T>>,
    threads: usize,
    done: Mutex<Done<T>>,
}

struct Done<T> {
    items: VecDeque<Item<T>>,
    /// Files given to the threads and not done.
    under_way: usize,
    /// The taker, when it waits.
    waker: Option<Waker>,
    /// When the first of the items came that it has not been woken for.
    since: Option<Instant>,
}

/// A waiting taker is woken for so many items at once ...
const WAKE_ITEMS: usize = 16;
/// ... or when the first of them has waited so long. Waking a thread costs as much as reading a small file.
const WAKE_AFTER: Duration = Duration::from_micros(500);

/// Whether to wake a waiting taker now: items ready, files still under way, threads, age of the first item.
/// When no file waits for a thread any more, more items may be long in coming.
fn wakes(ready: usize, under_way: usize, threads: usize, age: Duration) -> bool {
    ready >= WAKE_ITEMS || under_way <= threads || age >= WAKE_AFTER
}

impl<T> Shared<T> {
    pub(super) fn new(
        threads: usize,
        load: impl Fn(&Path) -> Result<T, FileError> + Send + Sync + 'static,
    ) -> Self {
        let done = Done { items: VecDeque::new(), under_way: 0, waker: None, since: None };
        Self { load: Box::new(load), threads, done: Mutex::new(done) }
    }

    fn done(&self) -> MutexGuard<'_, Done<T>> {
        lock(&self.done)
    }

    fn deliver(&self, item: Item<T>) {
        let mut done = self.done();
        done.items.push_back(item);
        done.under_way -= 1;
        let since = *done.since.get_or_insert_with(Instant::now);
        // Only a waiting taker needs the age, and it takes all items once woken.
        if done.waker.is_some() && wakes(done.items.len(), done.under_way, self.threads, since.elapsed()) {
            let waker = done.waker.take();
            drop(done);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

/// A file on its way. However it ends, even unread, it gives one item.
struct Ticket<T> {
    index: u64,
    path: Option<PathBuf>,
    shared: Arc<Shared<T>>,
}

impl<T> Ticket<T> {
    fn run(mut self) {
        let Some(path) = self.path.take() else { return };
        let result = catch_unwind(AssertUnwindSafe(|| (self.shared.load)(&path)));
        let result = result.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let message =
                text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic").to_owned();
            Err(FileError::Panicked { path: path.clone(), message })
        });
        self.shared.deliver(Item { index: self.index, path, result });
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let result = Err(FileError::Cancelled { path: path.clone() });
            self.shared.deliver(Item { index: self.index, path, result });
        }
    }
}

/// The results of [`FilePool::read`](super::FilePool::read): a [`Stream`] of one [`Item`] per path.
/// [`blocking`](Self::blocking) makes it an iterator.
///
/// Dropping it cancels what has not begun and waits for the files being worked on.
pub struct Batch<T: Send + 'static> {
    // Dropped first: its tasks end before what they share.
    group: Group<()>,
    shared: Arc<Shared<T>>,
    paths: Box<dyn Iterator<Item = PathBuf> + Send>,
    exhausted: bool,
    window: usize,
    drawn: u64,
    given: u64,
    /// Items taken from the tasks and not given yet; when in order, by their place.
    taken: VecDeque<Item<T>>,
    early: Option<BTreeMap<u64, Item<T>>>,
}

impl<T: Send + 'static> Batch<T> {
    pub(super) fn new(
        group: Group<()>,
        shared: Arc<Shared<T>>,
        paths: Box<dyn Iterator<Item = PathBuf> + Send>,
        options: &BatchOptions,
    ) -> Self {
        Self {
            group,
            shared,
            paths,
            exhausted: false,
            window: options.window.max(1),
            drawn: 0,
            given: 0,
            taken: VecDeque::new(),
            early: options.in_order.then(BTreeMap::new),
        }
    }

    /// The items one by one, waiting for each.
    pub fn blocking(self) -> Blocking<T> {
        Blocking { batch: self }
    }

    /// Cancels what has not begun; its items come as [`FileError::Cancelled`], and no more paths are drawn.
    pub fn cancel(&self) {
        self.group.cancel();
    }

    /// Gives the threads more files, half a window at a time.
    fn feed(&mut self) {
        // Not yet begun in a cancelled batch means not drawn.
        if self.exhausted || self.group.is_cancelled() {
            self.exhausted = true;
            return;
        }
        let room = self.window.saturating_sub((self.drawn - self.given) as usize);
        if room < self.window.div_ceil(2) {
            return;
        }
        let paths: Vec<PathBuf> = self.paths.by_ref().take(room).collect();
        self.exhausted = paths.len() < room;
        self.shared.done().under_way += paths.len();
        let first = self.drawn;
        self.drawn += paths.len() as u64;
        let shared = &self.shared;
        self.group.spawn_all((first..).zip(paths).map(|(index, path)| {
            let ticket = Ticket { index, path: Some(path), shared: Arc::clone(shared) };
            ("file", move |_: &TaskCtx<'_>| ticket.run())
        }));
    }

    /// The next item to give, of those that were taken.
    fn pop(&mut self) -> Option<Item<T>> {
        let item = match &mut self.early {
            None => self.taken.pop_front(),
            Some(early) => {
                early.extend(self.taken.drain(..).map(|item| (item.index, item)));
                early.remove(&self.given)
            }
        }?;
        self.given += 1;
        Some(item)
    }
}

impl<T: Send + 'static> Unpin for Batch<T> {}

impl<T: Send + 'static> Stream for Batch<T> {
    type Item = Item<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item<T>>> {
        let this = &mut *self;
        loop {
            if let Some(item) = this.pop() {
                return Poll::Ready(Some(item));
            }
            this.feed();
            // Outcomes were delivered through `shared`; the group's own record of them is cleared.
            while this.group.try_next().is_some() {}
            let mut done = this.shared.done();
            if done.items.is_empty() {
                if done.under_way == 0 && this.exhausted {
                    return Poll::Ready(None);
                }
                if done.under_way > 0 {
                    done.waker = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
            std::mem::swap(&mut this.taken, &mut done.items);
            done.since = None;
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("drawn", &self.drawn)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

/// A [`Batch`] as an iterator.
#[derive(Debug)]
pub struct Blocking<T: Send + 'static> {
    batch: Batch<T>,
}

impl<T: Send + 'static> Iterator for Blocking<T> {
    type Item = Item<T>;

    fn next(&mut self) -> Option<Item<T>> {
        if let Some(item) = self.batch.pop() {
            return Some(item);
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match pin!(&mut self.batch).poll_next(&mut context) {
                Poll::Ready(item) => return item,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_taker_is_woken_for_many_for_old_and_when_no_more_wait() {
        let soon = Duration::from_micros(10);
        assert!(!wakes(1, 100, 8, soon));
        assert!(wakes(WAKE_ITEMS, 100, 8, soon));
        assert!(wakes(1, 100, 8, WAKE_AFTER));
        assert!(wakes(1, 8, 8, soon) && wakes(1, 0, 8, soon));
    }
}
