//! How a request gets on, told while it does.

use super::error::{Cause, Phase};
use std::time::Duration;

/// Hears how a request gets on; see [`Request::follow`](super::Request::follow). It is called among the request's own
/// work and must not block.
pub trait Follow: Send + Sync {
    /// So many bytes of a download are there, of so many where that is known.
    fn reached(&self, bytes: u64, length: Option<u64>) {
        let _ = (bytes, length);
    }

    /// An attempt failed, and there will be another.
    fn again(&self, failed: &FailedOnce<'_>) {
        let _ = failed;
    }
}

/// An attempt that is followed by another.
#[derive(Clone, Copy, Debug)]
pub struct FailedOnce<'a> {
    /// Its number, from 1.
    pub attempt: u32,
    /// Where it failed.
    pub phase: Phase,
    /// Why.
    pub cause: &'a Cause,
    /// How long it took.
    pub took: Duration,
    /// The rest before the next one.
    pub rest: Duration,
}
