//! Connections before they are needed.

use super::{
    client::{Call, Client},
    connect::Origin,
    connections::Time,
    error::{Cause, HttpError, Phase},
    request::Request,
};
use std::sync::{Arc, atomic::Ordering::Relaxed};

impl Client {
    /// Opens connections to the request's host, so that what is asked for next need not wait for name, TCP and TLS.
    /// Returns when they are there. Nothing is sent on them; unused ones are closed after
    /// [`ClientConfig::idle`](super::ClientConfig::idle).
    ///
    /// Of the request it uses URL, address rule and deadlines. `count` includes connections that are at rest already
    /// and is held to the host's limit. Returns how many there are: one where all requests share one (HTTP/2), fewer
    /// than asked for where some could not be made.
    ///
    /// ```no_run
    /// # async fn example(client: springtide_io::http::Client) -> Result<(), springtide_io::http::HttpError> {
    /// use springtide_io::http::Request;
    ///
    /// // Before the market opens; when the signal comes, the order goes out without a handshake.
    /// client.connect_ahead(&Request::get("https://api.example.com/"), 4).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When none could be made.
    pub async fn connect_ahead(&self, request: &Request, count: usize) -> Result<usize, HttpError> {
        let inner = &self.inner;
        let mut call = Call::new(inner, request.clone());
        let bad = |cause| call.error(Phase::Request, cause, None);
        if let Some(problem) = &request.problem {
            return Err(bad(Cause::BadRequest(problem.clone())));
        }
        let url = request.url.as_ref().map_err(|problem| bad(Cause::BadRequest(problem.clone())))?;
        let rule = request.addresses.as_ref().unwrap_or(&inner.config.addresses);
        let host = Origin::of(url, rule).and_then(|origin| inner.host(origin)).map_err(bad)?;
        call.host = Some(Arc::clone(&host));
        let limit = call.clock.deadlines.connect;
        let time = Time { deadline: call.clock.within(limit), limit };
        let count = count.min(inner.config.per_host.max as usize);
        host.open_ahead(&inner.means, time, count).await.map_err(|(phase, cause)| {
            host.counts.failures[phase as usize].fetch_add(1, Relaxed);
            call.error(phase, cause, None)
        })
    }
}
