//! What can go wrong with a connection, and where.

use super::deflate::Unusable;
use crate::http::{Cause, Phase};
use std::{fmt, time::Duration};
use tokio_websockets::{Error as Wire, upgrade::Error as Upgrade};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WsCause {
    /// No connection: name, address rule, TCP, TLS, a deadline.
    #[error(transparent)]
    Connect(
        /// As for HTTP.
        Cause,
    ),
    /// The server answered with another status than 101.
    #[error("the server answered {0} instead of switching to WebSocket")]
    Status(
        /// Its status.
        u16,
    ),
    /// What it said breaks the protocol.
    #[error("{0}")]
    Protocol(
        /// How.
        String,
    ),
    /// A message is larger than allowed.
    #[error("a message of {bytes} bytes{}, {limit} are allowed", if *packed { " and more, unpacked" } else { "" })]
    TooLarge {
        /// Its size so far.
        bytes: usize,
        /// The limit.
        limit: usize,
        /// It came compressed.
        packed: bool,
    },
    /// Nothing came for too long, not even an answer to a ping.
    #[error("nothing came for {0:?}, not even an answer to a ping")]
    Silent(
        /// How long.
        Duration,
    ),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(
        /// The operating system's word.
        std::io::Error,
    ),
    /// The other side closed it.
    #[error("closed by the other side: {code} {reason}")]
    Closed {
        /// Its status code (RFC 6455, 7.4.1).
        code: u16,
        /// Its reason, where it gave one.
        reason: String,
    },
}

/// A connection that failed. Its text names the URL without secrets, the phase and the cause.
#[derive(Debug)]
pub struct WsError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    url: String,
    phase: Phase,
    cause: WsCause,
    attempts: u32,
}

impl WsError {
    pub(super) fn new(url: &str, phase: Phase, cause: WsCause) -> Self {
        Self(Box::new(Inner { url: url.to_owned(), phase, cause, attempts: 1 }))
    }

    /// From the protocol library's error; `limit` is the largest message.
    pub(super) fn of(url: &str, phase: Phase, error: Wire, limit: usize) -> Self {
        let cause = match error {
            Wire::Io(error) => of_transport(error),
            Wire::PayloadTooLong { len, .. } => WsCause::TooLarge { bytes: len, limit, packed: false },
            Wire::Upgrade(Upgrade::DidNotSwitchProtocols(status)) => WsCause::Status(status),
            other => WsCause::Protocol(other.to_string()),
        };
        Self::new(url, phase, cause)
    }

    #[must_use]
    pub(super) fn after(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// The URL without its secrets.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Where it failed: [`Phase::Request`], [`Phase::Resolve`], [`Phase::Connect`], [`Phase::Headers`] (the
    /// handshake) or [`Phase::Body`] (once open).
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// What went wrong.
    pub fn cause(&self) -> &WsCause {
        &self.0.cause
    }

    /// Attempts in a row that failed, this one included.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether another attempt may succeed.
    pub fn may_pass(&self) -> bool {
        match &self.0.cause {
            WsCause::Connect(cause) => match cause {
                Cause::BadRequest(_) | Cause::Forbidden { .. } => false,
                // A certificate that does not fit today will not fit in a second.
                Cause::Tls(error) => error.kind() != std::io::ErrorKind::InvalidData,
                _ => true,
            },
            WsCause::Status(status) => matches!(status, 408 | 425 | 429 | 500..),
            _ => true,
        }
    }
}

/// The connection broke, or what came on it cannot be unpacked.
fn of_transport(error: std::io::Error) -> WsCause {
    match error.downcast::<Unusable>() {
        Ok(Unusable::TooLarge { bytes, limit }) => WsCause::TooLarge { bytes, limit, packed: true },
        Ok(broken) => WsCause::Protocol(broken.to_string()),
        Err(error) => WsCause::Lost(error),
    }
}

impl fmt::Display for WsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { url, phase, cause, attempts } = &*self.0;
        let phase = match phase {
            Phase::Headers => "handshake",
            Phase::Body => "messages",
            other => other.as_str(),
        };
        write!(f, "{url}: {phase}: {cause}")?;
        if *attempts > 1 { write!(f, " (attempt {attempts})") } else { Ok(()) }
    }
}

impl std::error::Error for WsError {}
