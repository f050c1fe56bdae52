//! An answer's body, read piece by piece under deadlines and limits.

use super::{
    config::Deadlines,
    decode::{Coding, DecodeError, Decoder, PIECE_MAX},
    error::{Cause, Phase},
    host::{Host, Lease},
    slots::Slot,
};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// The time a request has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) start: Instant,
    pub(super) end: Instant,
    pub(super) deadlines: Deadlines,
}

impl Clock {
    pub(super) fn new(deadlines: Deadlines) -> Self {
        let start = Instant::now();
        // Far enough for "no deadline", near enough for the timer.
        let total = deadlines.total.min(Duration::from_secs(365 * 86_400));
        Self { start, end: start + total, deadlines }
    }

    /// `limit` from now, but not past the end of the request.
    pub(super) fn within(&self, limit: Duration) -> Instant {
        Instant::now().checked_add(limit).map_or(self.end, |at| at.min(self.end))
    }

    /// What passed: the part's own limit or the request's deadline.
    pub(super) fn late(&self, what: &'static str, limit: Duration) -> Cause {
        if Instant::now() >= self.end {
            Cause::Deadline(self.deadlines.total)
        } else {
            Cause::Timeout { what, limit }
        }
    }
}

/// The body and what it holds: connection and place, both given back at its end.
pub(super) struct Reader {
    incoming: Incoming,
    held: Option<(Lease, Slot)>,
    host: Arc<Host>,
    clock: Clock,
    decoder: Option<Decoder>,
    /// Length announced in the head, packed.
    announced: Option<u64>,
    got: u64,
    limit: u64,
    handed: u64,
    done: bool,
}

pub(super) type Failed = (Phase, Cause);

fn failed<T>(cause: Cause) -> Result<T, Failed> {
    Err((Phase::Body, cause))
}

impl Reader {
    pub(super) fn new(
        incoming: Incoming,
        held: (Lease, Slot),
        host: Arc<Host>,
        clock: Clock,
        coding: Option<Coding>,
        limit: u64,
    ) -> Result<Self, Failed> {
        let announced = incoming.size_hint().exact();
        let decoder = match coding.map(|coding| Decoder::new(coding, limit)).transpose() {
            Ok(decoder) => decoder,
            Err(error) => return failed(Cause::Coding(error.to_string())),
        };
        if decoder.is_none() && announced.is_some_and(|length| length > limit) {
            return failed(Cause::TooLarge { limit, packed: false });
        }
        let held = Some(held);
        let reader =
            Self { incoming, held, host, clock, decoder, announced, got: 0, limit, handed: 0, done: false };
        Ok(reader)
    }

    /// Length announced in the head; none where it came without one or compressed.
    pub(super) fn length(&self) -> Option<u64> {
        self.announced.filter(|_| self.decoder.is_none())
    }

    /// Whether it is unpacked on its way: what is handed out is not what the server's ranges count.
    pub(super) fn is_packed(&self) -> bool {
        self.decoder.is_some()
    }

    /// Bytes handed out so far.
    pub(super) fn handed(&self) -> u64 {
        self.handed
    }

    /// The next piece, unpacked and never empty; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        while !self.done {
            let piece = self.piece().await?;
            let unpacked = match (&mut self.decoder, piece) {
                (None, None) => return Ok(None),
                (None, Some(piece)) => Ok(piece),
                (Some(decoder), Some(piece)) => decoder.push(&piece),
                (Some(decoder), None) => {
                    self.done = true;
                    decoder.finish()
                }
            };
            let plain = match unpacked {
                Ok(plain) => plain,
                Err(DecodeError::TooLarge) => {
                    return failed(Cause::TooLarge { limit: self.limit, packed: true });
                }
                Err(DecodeError::TooDense) => return failed(Cause::TooDense { limit: PIECE_MAX }),
                Err(DecodeError::Broken(error)) => return failed(Cause::Coding(error.to_string())),
            };
            self.handed += plain.len() as u64;
            if self.handed > self.limit {
                return failed(Cause::TooLarge { limit: self.limit, packed: false });
            }
            if !plain.is_empty() {
                return Ok(Some(plain));
            }
        }
        Ok(None)
    }

    /// All that is left of it.
    pub(super) async fn collect(&mut self) -> Result<Bytes, Failed> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return Ok(first) };
        let expected = self.length().unwrap_or(0).min(1 << 20) as usize;
        let mut all = BytesMut::with_capacity(expected.max(2 * (first.len() + second.len())));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// Reads and forgets what is left if it is little, so that the connection can be used again.
    pub(super) async fn drain(&mut self, most: u64) {
        self.decoder = None;
        let until = self.got.saturating_add(most);
        while self.got < until && !self.done && matches!(self.piece().await, Ok(Some(_))) {}
    }

    /// The first `most` bytes, and the rest drained where it is little.
    pub(super) async fn excerpt(&mut self, most: usize) -> Bytes {
        let mut start = BytesMut::new();
        while start.len() < most {
            match self.next().await {
                Ok(Some(piece)) => start.extend_from_slice(&piece[..piece.len().min(most - start.len())]),
                // The status matters more than the rest of its text.
                _ => return start.freeze(),
            }
        }
        self.drain(most as u64).await;
        start.freeze()
    }

    /// The next piece as it comes off the wire.
    async fn piece(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            let limit = self.clock.deadlines.body;
            let incoming = &mut self.incoming;
            let frame = poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx));
            let frame = match timeout_at(self.clock.within(limit), frame).await {
                Ok(frame) => frame,
                Err(_) => return failed(self.clock.late("no data came", limit)),
            };
            match frame {
                None => {
                    self.end();
                    return Ok(None);
                }
                // Trailers are not data.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.got += data.len() as u64;
                        self.host.counts.bytes.fetch_add(data.len() as u64, Relaxed);
                        if self.incoming.is_end_stream() {
                            self.end();
                        }
                        return Ok(Some(data));
                    }
                    Err(_) => continue,
                },
                Some(Err(error)) => return failed(self.broken(error)),
            }
        }
    }

    fn end(&mut self) {
        // With a decoder its last word is still to come; `next` asks once more.
        if let Some((lease, _slot)) = self.held.take() {
            lease.give_back();
        }
        self.done = self.decoder.is_none();
    }

    fn broken(&self, error: hyper::Error) -> Cause {
        let eof = std::error::Error::source(&error)
            .and_then(|below| below.downcast_ref::<std::io::Error>())
            .is_some_and(|below| below.kind() == std::io::ErrorKind::UnexpectedEof);
        match self.announced {
            Some(announced) if self.got < announced && (eof || error.is_incomplete_message()) => {
                Cause::Short { got: self.got, announced }
            }
            _ => Cause::Transport(error),
        }
    }
}
