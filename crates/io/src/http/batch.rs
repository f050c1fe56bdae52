//! Many requests at once, one result for each, in order.

use super::{
    answer::Answer,
    client::Client,
    download::{Downloaded, Saving},
    error::HttpError,
    request::Request,
};
use springtide_runtime::{
    Outcome, Priority,
    exec::{Scope, Task, asking},
    locks::{Mutex, lock},
};
use std::{collections::VecDeque, future::poll_fn, path::PathBuf, pin::Pin, sync::Arc, task::Poll};
use tokio::{sync::Notify, task::JoinSet};

/// What there are many of in a batch.
pub(super) trait Item: Send + 'static {
    /// What becomes of it.
    type Done: Send + 'static;

    /// Does it; `rests` hears when a wait between two attempts begins (true) and ends.
    fn run(
        self,
        client: &Client,
        rests: &(dyn Fn(bool) + Sync),
    ) -> impl Future<Output = Result<Self::Done, HttpError>> + Send;
}

impl Item for Request {
    type Done = Answer;

    async fn run(self, client: &Client, rests: &(dyn Fn(bool) + Sync)) -> Result<Answer, HttpError> {
        client.fetch_watched(self, rests).await
    }
}

/// What the driver, which has the requests, and the fetchers, which send them, share.
struct Batch<I, T, M> {
    client: Client,
    width: usize,
    map: M,
    state: Mutex<State<I, T>>,
    /// There is something for the driver to do.
    changed: Notify,
}

struct State<I, T> {
    /// Requests that wait for a fetcher.
    queue: VecDeque<(usize, I)>,
    /// There are more where these came from.
    more: bool,
    results: Vec<Option<T>>,
    /// Fetchers that are not resting between two attempts.
    active: usize,
}

impl Client {
    /// Fetches all requests, `width` at a time, and returns one result per request in their order.
    ///
    /// A request that waits for its next attempt does not count towards the width, so that a few slow ones do not
    /// hold up the others. Dropping the future cancels what is left.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use springtide_io::http::{Client, ClientConfig, Request};
    ///
    /// let client = Client::new(ClientConfig::default())?;
    /// let urls = (0..100).map(|n| format!("https://api.example.com/bars/{n}"));
    /// for (n, result) in client.fetch_all(urls.map(|url| Request::get(&url)), 32).await.into_iter().enumerate() {
    ///     match result {
    ///         Ok(answer) => println!("{n}: {} bytes", answer.body().len()),
    ///         Err(error) => println!("{n}: {error}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn fetch_all(
        &self,
        requests: impl IntoIterator<Item = Request>,
        width: usize,
    ) -> Vec<Result<Answer, HttpError>> {
        self.fetch_each(requests, width, |_, result| result).await
    }

    /// As [`Client::fetch_all`], but hands each result to `map` as soon as it is there, with its number, and
    /// returns what that made of them in the requests' order: bodies need not all be kept. `map` runs among the
    /// other requests: it must not block.
    pub async fn fetch_each<T: Send + 'static>(
        &self,
        requests: impl IntoIterator<Item = Request>,
        width: usize,
        map: impl Fn(usize, Result<Answer, HttpError>) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        self.each(requests, width, map).await
    }

    /// As [`Client::fetch_each`], but downloads into files; see [`Client::download`].
    pub async fn download_each<T: Send + 'static>(
        &self,
        files: impl IntoIterator<Item = (Request, PathBuf)>,
        width: usize,
        map: impl Fn(usize, Result<Downloaded, HttpError>) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        let files = files.into_iter().map(|(request, path)| Saving { request, path });
        self.each(files, width, map).await
    }

    async fn each<I: Item, T: Send + 'static>(
        &self,
        items: impl IntoIterator<Item = I>,
        width: usize,
        map: impl Fn(usize, Result<I::Done, HttpError>) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        let mut items = items.into_iter().enumerate().fuse();
        let state = State { queue: VecDeque::new(), more: true, results: Vec::new(), active: 0 };
        let batch = Batch {
            client: self.clone(),
            width: width.max(1),
            map,
            state: Mutex::new(state),
            changed: Notify::new(),
        };
        let batch = Arc::new(batch);
        let mut fetchers = Fetchers::new(self.config().scope.as_ref());
        loop {
            for _ in 0..batch.fill(&mut items) {
                fetchers.spawn(fetcher(Arc::clone(&batch)));
            }
            tokio::select! {
                biased;
                () = batch.changed.notified() => {}
                ended = fetchers.next() => match ended {
                    Some(Ended::Cancelled) => break,
                    Some(Ended::Well) => {}
                    None if batch.is_done() => break,
                    None => {}
                },
            }
        }
        drop(fetchers);
        let results = std::mem::take(&mut lock(&batch.state).results);
        let cancelled = |number| (batch.map)(number, Err(HttpError::cancelled()));
        let begun = results.len();
        let results =
            results.into_iter().enumerate().map(|(n, result)| result.unwrap_or_else(|| cancelled(n)));
        results.chain((begun..).zip(items).map(|(number, _)| cancelled(number))).collect()
    }
}

/// How a fetcher ended.
enum Ended {
    Well,
    /// Its scope was cancelled.
    Cancelled,
}

/// The tasks that send a batch's requests. Dropping it ends them.
enum Fetchers {
    Tokio(JoinSet<()>),
    Scope(Scope, Priority, Vec<Task<()>>),
}

impl Fetchers {
    fn new(scope: Option<&Scope>) -> Self {
        match scope {
            Some(scope) => {
                let class = asking().map_or_else(Priority::default, |(class, _)| class);
                Self::Scope(scope.clone(), class, Vec::new())
            }
            None => Self::Tokio(JoinSet::new()),
        }
    }

    fn spawn(&mut self, fetcher: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Tokio(set) => {
                set.spawn(fetcher);
            }
            Self::Scope(scope, class, tasks) => tasks.push(scope.spawn(*class, "fetch", None, fetcher)),
        }
    }

    /// The next to end; none where there are none.
    async fn next(&mut self) -> Option<Ended> {
        let tasks = match self {
            Self::Tokio(set) => match set.join_next().await? {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => return Some(Ended::Well),
            },
            Self::Scope(_, _, tasks) => tasks,
        };
        let ended = poll_fn(|cx| {
            for (place, task) in tasks.iter_mut().enumerate() {
                if let Poll::Ready(outcome) = Pin::new(task).poll(cx) {
                    return Poll::Ready(Some((place, outcome)));
                }
            }
            if tasks.is_empty() { Poll::Ready(None) } else { Poll::Pending }
        });
        let (place, outcome) = ended.await?;
        drop(tasks.swap_remove(place));
        match outcome {
            Outcome::Done(()) => Some(Ended::Well),
            Outcome::Cancelled | Outcome::TimedOut => Some(Ended::Cancelled),
            Outcome::Panicked(report) => std::panic::resume_unwind(Box::new(report)),
        }
    }
}

impl<I: Item, T, M: Fn(usize, Result<I::Done, HttpError>) -> T> Batch<I, T, M> {
    /// Queues more items and returns how many more fetchers they need.
    fn fill(&self, items: &mut impl Iterator<Item = (usize, I)>) -> usize {
        let mut state = lock(&self.state);
        while state.more && state.queue.len() < self.width {
            match items.next() {
                Some(next) => {
                    state.queue.push_back(next);
                    state.results.push(None);
                }
                None => state.more = false,
            }
        }
        let fetchers = self.width.saturating_sub(state.active).min(state.queue.len());
        state.active += fetchers;
        fetchers
    }

    fn is_done(&self) -> bool {
        let state = lock(&self.state);
        !state.more && state.queue.is_empty()
    }

    /// The next request for a fetcher; none when it is to end.
    fn next(&self) -> Option<(usize, I)> {
        let mut state = lock(&self.state);
        // Others took its part of the width while it rested.
        let next = if state.active > self.width { None } else { state.queue.pop_front() };
        if next.is_none() {
            state.active -= 1;
        }
        if state.more && 2 * state.queue.len() <= self.width {
            self.changed.notify_one();
        }
        next
    }

    /// A fetcher goes to rest between two attempts, or comes back: it takes no part of the width meanwhile.
    fn rests(&self, begins: bool) {
        let mut state = lock(&self.state);
        if begins {
            state.active -= 1;
            self.changed.notify_one();
        } else {
            state.active += 1;
        }
    }
}

/// Fetches one request after another. A task per fetcher rather than per request: with hundreds of thousands of
/// requests it is the making of tasks that costs.
async fn fetcher<I, T, M>(batch: Arc<Batch<I, T, M>>)
where
    I: Item,
    T: Send,
    M: Fn(usize, Result<I::Done, HttpError>) -> T + Send + Sync,
{
    while let Some((number, item)) = batch.next() {
        let result = item.run(&batch.client, &|begins| batch.rests(begins)).await;
        let value = (batch.map)(number, result);
        lock(&batch.state).results[number] = Some(value);
    }
}
