//! Many requests at once, one result for each, in order.

use super::{answer::Answer, client::Client, error::HttpError, request::Request};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::{sync::Notify, task::JoinSet};

/// Requests that wait for their next attempt: they take no part of the width.
#[derive(Default)]
struct Resting {
    count: AtomicUsize,
    changed: Notify,
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
        let width = width.max(1);
        let map = Arc::new(map);
        let resting = Arc::new(Resting::default());
        let mut requests = requests.into_iter().enumerate();
        let mut results: Vec<Option<T>> = Vec::new();
        let mut running = JoinSet::new();
        let mut more = true;
        loop {
            while more && running.len() < width + resting.count.load(Relaxed) {
                let Some((number, request)) = requests.next() else {
                    more = false;
                    break;
                };
                results.push(None);
                running.spawn(one(self.clone(), number, request, Arc::clone(&map), Arc::clone(&resting)));
            }
            // Woken by a result, or because somebody went to rest and left room.
            tokio::select! {
                biased;
                done = running.join_next() => match done {
                    Some(Ok((number, result))) => results[number] = Some(result),
                    Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Some(Err(_)) => {}
                    None if !more => break,
                    None => {}
                },
                () = resting.changed.notified(), if more => {}
            }
        }
        results.into_iter().flatten().collect()
    }
}

async fn one<T>(
    client: Client,
    number: usize,
    request: Request,
    map: Arc<impl Fn(usize, Result<Answer, HttpError>) -> T>,
    resting: Arc<Resting>,
) -> (usize, T) {
    let waits = |begins: bool| {
        if begins {
            resting.count.fetch_add(1, Relaxed);
            resting.changed.notify_one();
        } else {
            resting.count.fetch_sub(1, Relaxed);
        }
    };
    let result = client.fetch_watched(request, &waits).await;
    (number, map(number, result))
}
