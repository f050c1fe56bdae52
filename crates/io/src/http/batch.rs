//! Many requests at once, one result for each, in order.

use super::{answer::Answer, client::Client, error::HttpError, request::Request};
use springtide_runtime::locks::{Mutex, lock};
use std::{collections::VecDeque, sync::Arc};
use tokio::{sync::Notify, task::JoinSet};

/// What the driver, which has the requests, and the fetchers, which send them, share.
struct Batch<T, M> {
    client: Client,
    width: usize,
    map: M,
    state: Mutex<State<T>>,
    /// There is something for the driver to do.
    changed: Notify,
}

struct State<T> {
    /// Requests that wait for a fetcher.
    queue: VecDeque<(usize, Request)>,
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
        let mut requests = requests.into_iter().enumerate();
        let state = State { queue: VecDeque::new(), more: true, results: Vec::new(), active: 0 };
        let batch = Batch {
            client: self.clone(),
            width: width.max(1),
            map,
            state: Mutex::new(state),
            changed: Notify::new(),
        };
        let batch = Arc::new(batch);
        let mut fetchers = JoinSet::new();
        loop {
            for _ in 0..batch.fill(&mut requests) {
                fetchers.spawn(fetcher(Arc::clone(&batch)));
            }
            tokio::select! {
                biased;
                () = batch.changed.notified() => {}
                ended = fetchers.join_next() => match ended {
                    Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Some(_) => {}
                    None if batch.is_done() => break,
                    None => {}
                },
            }
        }
        std::mem::take(&mut lock(&batch.state).results).into_iter().flatten().collect()
    }
}

impl<T, M: Fn(usize, Result<Answer, HttpError>) -> T> Batch<T, M> {
    /// Queues more requests and returns how many more fetchers they need.
    fn fill(&self, requests: &mut impl Iterator<Item = (usize, Request)>) -> usize {
        let mut state = lock(&self.state);
        while state.more && state.queue.len() < self.width {
            match requests.next() {
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
    fn next(&self) -> Option<(usize, Request)> {
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
async fn fetcher<T, M>(batch: Arc<Batch<T, M>>)
where
    T: Send,
    M: Fn(usize, Result<Answer, HttpError>) -> T + Send + Sync,
{
    while let Some((number, request)) = batch.next() {
        let result = batch.client.fetch_watched(request, &|begins| batch.rests(begins)).await;
        let value = (batch.map)(number, result);
        lock(&batch.state).results[number] = Some(value);
    }
}
