//! An answer whose body is read as it comes.

use super::{answer::Timing, client::Call, error::HttpError, exchange::Opened, redact};
use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header::HeaderName};
use springtide_runtime::exec::Named;
use std::fmt;
use url::Url;

/// An answer whose head is there and whose body comes piece by piece. It holds a place at the host until its end
/// is read or it is dropped; the server is slowed down to the pace of the reader.
pub struct Streamed {
    call: Call,
    opened: Opened,
}

impl Streamed {
    pub(super) fn new(call: Call, opened: Opened) -> Self {
        Self { call, opened }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.opened.status
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.opened.headers
    }

    /// A header's value, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.opened.headers.get(HeaderName::from_bytes(name.as_bytes()).ok()?)?.to_str().ok()
    }

    /// The URL that answered, after redirects. It may hold secrets: show it with [`redact::url`].
    pub fn url(&self) -> &Url {
        &self.opened.url
    }

    /// Where the time went so far.
    pub fn timing(&self) -> &Timing {
        &self.call.timing
    }

    /// The next piece of the body, unpacked and never empty; none at its end.
    ///
    /// # Errors
    /// When a deadline passes, the connection breaks, or the body is too large or not what it says it is.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        match self.opened.reader.next().named(self.call.places.body.clone()).await {
            Ok(piece) => Ok(piece),
            Err((phase, cause)) => Err(self.call.error(phase, cause, None)),
        }
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed")
            .field("status", &self.opened.status.as_u16())
            .field("url", &redact::url(&self.opened.url))
            .finish_non_exhaustive()
    }
}
