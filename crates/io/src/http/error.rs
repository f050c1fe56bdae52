//! What can go wrong between a request and its answer, and where.

use super::guard::AddressKind;
use bytes::Bytes;
use hyper::StatusCode;
use jiff::Timestamp;
use springtide_runtime::{
    limit::{GiveUp, LimitError},
    permit::PermitError,
};
use std::{fmt, net::SocketAddr, time::Duration};

/// Where in an exchange something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The request itself is wrong; nothing was sent.
    Request,
    /// Waiting for the rate limit or for a free place at the host.
    Queue,
    /// Looking up the name.
    Resolve,
    /// Connecting, with TLS where the URL asks for it.
    Connect,
    /// Sending the request and waiting for the answer's head.
    Headers,
    /// Reading the answer's body.
    Body,
    /// Writing the body to a file.
    File,
}

impl Phase {
    /// All phases, in the order in which an exchange passes them.
    pub const ALL: [Self; 7] =
        [Self::Request, Self::Queue, Self::Resolve, Self::Connect, Self::Headers, Self::Body, Self::File];

    /// Lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Queue => "queue",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Headers => "headers",
            Self::Body => "body",
            Self::File => "file",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The request cannot be sent as it is.
    #[error("{0}")]
    BadRequest(
        /// What is wrong with it.
        String,
    ),
    /// The address is not one that a supplied URL may reach.
    #[error("{address} is {kind}: URLs from outside may reach public addresses only")]
    Forbidden {
        /// The address.
        address: SocketAddr,
        /// What it is.
        kind: AddressKind,
    },
    /// The name has no address.
    #[error("the name cannot be resolved: {0}")]
    Resolve(
        /// The resolver's word.
        std::io::Error,
    ),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(
        /// The operating system's word.
        std::io::Error,
    ),
    /// The TLS handshake failed.
    #[error("TLS: {0}")]
    Tls(
        /// The TLS library's word.
        std::io::Error,
    ),
    /// A deadline passed.
    #[error("{what} within {limit:?}")]
    Timeout {
        /// What did not happen.
        what: &'static str,
        /// The limit it was given.
        limit: Duration,
    },
    /// The deadline of the whole request passed.
    #[error("the request's deadline of {0:?} passed")]
    Deadline(
        /// The deadline, from the request's start.
        Duration,
    ),
    /// The rate limit does not let it through in time.
    #[error(transparent)]
    Limit(
        /// What it says.
        #[from]
        LimitError,
    ),
    /// The other side asked not to be asked for longer than this request may wait.
    #[error("`{key}` asks not to be asked again before {}", clock(*.until))]
    Paused {
        /// What is limited together: the host, unless the request says otherwise.
        key: std::sync::Arc<str>,
        /// Until when.
        until: Timestamp,
    },
    /// Too many requests wait already.
    #[error(transparent)]
    Permit(
        /// What the permits say.
        #[from]
        PermitError,
    ),
    /// The host failed so often that it is left alone for a while.
    #[error("the host fails too often; it is left alone for another {wait:?}")]
    BreakerOpen {
        /// How long at least.
        wait: Duration,
    },
    /// The connection broke, or the other side does not speak HTTP.
    #[error("{}", chain(.0))]
    Transport(
        /// The HTTP library's word.
        hyper::Error,
    ),
    /// The body ended before the length it was announced with.
    #[error("the body ended after {got} of {announced} bytes")]
    Short {
        /// Bytes that came.
        got: u64,
        /// Bytes announced.
        announced: u64,
    },
    /// The body is larger than allowed.
    #[error("the body is larger than {limit} bytes{}", if *.packed { " unpacked" } else { "" })]
    TooLarge {
        /// The limit.
        limit: u64,
        /// It came compressed and grew beyond it.
        packed: bool,
    },
    /// A piece of the body grows too much as it is unpacked.
    #[error(
        "a single piece of the packed body unpacks to more than {limit} bytes, as a compression bomb does; the server has to send it \
         unpacked"
    )]
    TooDense {
        /// What a piece may unpack to, whatever the body may.
        limit: u64,
    },
    /// The body is not in the coding it claims.
    #[error("the body cannot be unpacked: {0}")]
    Coding(
        /// The decoder's word.
        String,
    ),
    /// The server refused.
    #[error("the server answered {status}{}", excerpt(.body))]
    Status {
        /// Its status.
        status: StatusCode,
        /// The start of its body, 64 KiB at most.
        body: Bytes,
    },
    /// A redirect that is not followed.
    #[error("redirect not followed: {0}")]
    Redirect(
        /// Why.
        String,
    ),
    /// What was asked for again is not what was there before.
    #[error("the file cannot be continued: {0}")]
    Resume(
        /// What differs.
        String,
    ),
    /// The file could not be written.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// The operating system's word.
        error: std::io::Error,
    },
    /// No room for the file.
    #[error("{}", full(.path, *.needs, *.free))]
    DiskFull {
        /// The file.
        path: std::path::PathBuf,
        /// Bytes that are still to come, where that is known.
        needs: Option<u64>,
        /// Bytes that are free there, where the system tells.
        free: Option<u64>,
    },
    /// Somebody else writes the file, until the request's deadline.
    #[error("{path} is being written by another download: wait for that, or end it")]
    Busy {
        /// The file.
        path: std::path::PathBuf,
    },
    /// The scope in which it ran was cancelled.
    #[error("cancelled")]
    Cancelled,
}

fn full(path: &std::path::Path, needs: Option<u64>, free: Option<u64>) -> String {
    let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let needs = needs.map_or_else(|| "more bytes".into(), |needs| format!("another {}", mb(needs)));
    let free = free.map_or_else(String::new, |free| format!(", {} are free", mb(free)));
    format!("the disk is full: {} needs {needs}{free}; free some space and try again", path.display())
}

/// When `wait` will be over.
pub(super) fn after(wait: Duration) -> Timestamp {
    let wait = jiff::SignedDuration::try_from(wait).unwrap_or(jiff::SignedDuration::MAX);
    Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX)
}

fn clock(at: Timestamp) -> impl fmt::Display {
    at.strftime("%Y-%m-%d %H:%M:%S UTC")
}

/// An error with the errors below it: the HTTP library keeps the reason there.
fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut below = std::error::Error::source(error);
    while let Some(error) = below {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        below = error.source();
    }
    text
}

fn excerpt(body: &Bytes) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { text } else { format!(": {text}") }
}

/// A request that failed for good.
///
/// Its text names host, method, attempt, phase, cause and time, and no secret: the URL stands in it without user
/// information and without the values of secret parameters.
#[derive(Debug)]
pub struct HttpError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    method: String,
    url: String,
    host: String,
    attempt: u32,
    phase: Phase,
    elapsed: Duration,
    cause: Cause,
    gave_up: Option<GiveUp>,
    /// When the other side wants to be asked again, where that is too long to wait.
    come_back: Option<Timestamp>,
}

/// Where an error is: filled in as it rises.
pub(super) struct Place {
    pub(super) method: String,
    /// Already redacted.
    pub(super) url: String,
    pub(super) host: String,
    pub(super) attempt: u32,
    pub(super) elapsed: Duration,
    pub(super) gave_up: Option<GiveUp>,
}

impl HttpError {
    pub(super) fn new(place: Place, phase: Phase, cause: Cause) -> Self {
        let Place { method, url, host, attempt, elapsed, gave_up } = place;
        let come_back = match gave_up {
            Some(GiveUp::AskedTooLong(wait)) => Some(after(wait)),
            _ => None,
        };
        Self(Box::new(Inner { method, url, host, attempt, phase, elapsed, cause, gave_up, come_back }))
    }

    /// Of a request that was not made, or not to its end, since the scope for it was cancelled.
    pub(super) fn cancelled() -> Self {
        let place = Place {
            method: "a request".into(),
            url: "of a batch".into(),
            host: String::new(),
            attempt: 0,
            elapsed: Duration::ZERO,
            gave_up: None,
        };
        Self::new(place, Phase::Queue, Cause::Cancelled)
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The URL without its secrets.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Attempts made, the last included.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Where the last attempt failed.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Time since the request was made, waits included.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// What went wrong in the last attempt.
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// Why there was no further attempt; none where the failure could not be retried at all.
    pub fn gave_up(&self) -> Option<GiveUp> {
        self.0.gave_up
    }

    /// The server's status, where it answered.
    pub fn status(&self) -> Option<StatusCode> {
        match &self.0.cause {
            Cause::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The start of the server's body, where it refused with one.
    pub fn body(&self) -> Option<&Bytes> {
        match &self.0.cause {
            Cause::Status { body, .. } => Some(body),
            _ => None,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { method, url, attempt, phase, elapsed, cause, gave_up, come_back, .. } = &*self.0;
        write!(f, "{method} {url}: {phase}: {cause}")?;
        let elapsed = elapsed.as_secs_f64();
        if let Some(at) = come_back {
            let at = clock(*at);
            return write!(f, " (attempt {attempt}, {elapsed:.3} s; asks not to be asked again before {at})");
        }
        match gave_up {
            Some(why) if *attempt > 1 => write!(f, " (attempt {attempt}, {elapsed:.3} s in all; {why})"),
            _ => write!(f, " (attempt {attempt}, {elapsed:.3} s)"),
        }
    }
}

impl std::error::Error for HttpError {}
