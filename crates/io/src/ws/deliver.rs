//! Where messages go: into channels, one by one or many together.

use super::socket::Message;
use springtide_runtime::channel::{Refusal, SendError, Sender};
use std::future::Future;

/// Nobody takes the messages any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes the messages any more")]
pub struct Gone;

/// Takes a feed's messages. What one reading brought is gathered message by message and then flushed; nothing is
/// read while a flush waits.
pub trait Deliver: Send {
    /// A connection is open, the first or another: what was sent between two is missing.
    fn opened(&mut self, _number: u64) {}

    /// Takes one message. False when it is none that it knows; it is counted then.
    fn message(&mut self, message: &Message) -> bool;

    /// Hands over what was gathered, waiting where need be. Returns how many messages were refused for good.
    fn flush(&mut self) -> impl Future<Output = Result<u64, Gone>> + Send;
}

/// Sends each decoded message by itself: for channels that conflate or drop single ones.
#[derive(Debug)]
pub struct Each<T, F> {
    sender: Sender<T>,
    decode: F,
    gathered: Vec<T>,
}

impl<T: Send + 'static, F: FnMut(&Message) -> Option<T> + Send> Each<T, F> {
    /// What `decode` makes of messages goes to `sender`; it makes nothing of those that it does not know.
    pub fn new(sender: Sender<T>, decode: F) -> Self {
        Self { sender, decode, gathered: Vec::new() }
    }
}

impl<T: Send + 'static, F: FnMut(&Message) -> Option<T> + Send> Deliver for Each<T, F> {
    #[inline]
    fn message(&mut self, message: &Message) -> bool {
        gather(&mut self.gathered, (self.decode)(message))
    }

    async fn flush(&mut self) -> Result<u64, Gone> {
        let mut refused = 0;
        for item in self.gathered.drain(..) {
            refused += refusals(self.sender.send(item).await)?;
        }
        Ok(refused)
    }
}

/// Sends what one reading brought as one item: a channel's lock and a reader's waking cost as much as decoding
/// several messages. For channels that wait when they are full.
#[derive(Debug)]
pub struct Batches<T, F> {
    sender: Sender<Vec<T>>,
    decode: F,
    gathered: Vec<T>,
}

impl<T: Send + 'static, F: FnMut(&Message) -> Option<T> + Send> Batches<T, F> {
    /// What `decode` makes of messages goes to `sender`; it makes nothing of those that it does not know.
    pub fn new(sender: Sender<Vec<T>>, decode: F) -> Self {
        Self { sender, decode, gathered: Vec::new() }
    }
}

impl<T: Send + 'static, F: FnMut(&Message) -> Option<T> + Send> Deliver for Batches<T, F> {
    #[inline]
    fn message(&mut self, message: &Message) -> bool {
        gather(&mut self.gathered, (self.decode)(message))
    }

    async fn flush(&mut self) -> Result<u64, Gone> {
        if self.gathered.is_empty() {
            return Ok(0);
        }
        let count = self.gathered.len();
        let batch = std::mem::replace(&mut self.gathered, Vec::with_capacity(count));
        Ok(refusals(self.sender.send(batch).await)? * count as u64)
    }
}

/// Keeps what a message was decoded to; false when it was nothing.
fn gather<T>(gathered: &mut Vec<T>, decoded: Option<T>) -> bool {
    let known = decoded.is_some();
    gathered.extend(decoded);
    known
}

/// One for an item that found no room in a channel that does not wait, or would never find any.
fn refusals<S, T>(sent: Result<S, SendError<T>>) -> Result<u64, Gone> {
    match sent {
        Ok(_) => Ok(0),
        Err(SendError { why: Refusal::Closed { .. }, .. }) => Err(Gone),
        Err(_) => Ok(1),
    }
}
