//! What comes back.

use super::{
    error::{Cause, HttpError, Phase, Place},
    redact,
};
use bytes::Bytes;
use hyper::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName},
};
use springtide_runtime::limit::Attempt;
use std::{fmt, time::Duration};
use url::Url;

/// Where an answer's body came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the server.
    Server,
    /// From the cache, after the server said that it is still right.
    Revalidated,
    /// From the cache, without asking.
    Cache,
}

/// Where a request's time went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// Waiting for the rate limit and for a place at the host, in the last attempt.
    pub queued: Duration,
    /// Waiting for a connection to be made, or for another to come free; none where one was at hand.
    pub connect: Option<Duration>,
    /// From sending the request to the answer's head.
    pub headers: Duration,
    /// Reading the body.
    pub body: Duration,
    /// Everything, failed attempts and waits included.
    pub total: Duration,
    /// The attempts that failed before this one.
    pub failed: Vec<Attempt>,
}

/// A whole answer.
#[derive(Clone)]
pub struct Answer {
    pub(super) method: Method,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) url: Url,
    pub(super) source: Source,
    pub(super) timing: Timing,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's value, where it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(HeaderName::from_bytes(name.as_bytes()).ok()?)?.to_str().ok()
    }

    /// The body, unpacked.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body alone.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// The URL that answered, after redirects. It may hold secrets: show it with [`redact::url`].
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where the body came from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Where the time went.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The body as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, HttpError> {
        std::str::from_utf8(&self.body).map_err(|error| self.wrong(format!("the body is not UTF-8: {error}")))
    }

    /// The body read as JSON.
    ///
    /// # Errors
    /// When it is not, or is of another shape; says where.
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| self.wrong(format!("the body is not the JSON expected: {error}")))
    }

    fn wrong(&self, what: String) -> HttpError {
        let host = self.url.host_str().unwrap_or_default();
        let place = Place {
            method: self.method.to_string(),
            url: redact::url(&self.url).to_string(),
            host: format!("{host}:{}", self.url.port_or_known_default().unwrap_or_default()),
            attempt: self.timing.failed.len() as u32 + 1,
            elapsed: self.timing.total,
            gave_up: None,
        };
        HttpError::new(place, Phase::Body, Cause::Coding(what))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status.as_u16())
            .field("url", &redact::url(&self.url))
            .field("headers", &redact::headers(&self.headers))
            .field("body_bytes", &self.body.len())
            .field("source", &self.source)
            .field("timing", &self.timing)
            .finish()
    }
}
