//! Between the connection and the frames: a bound on the handshake's head, and unpacking.

use super::deflate::{Agreed, Unpacker};
use crate::http::connect::Wire;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at a time where they are not read straight into the reader's buffer.
const PIECE: usize = 16 << 10;

/// Bytes to and from the other side.
pub(super) struct Transport {
    wire: Wire,
    stage: Stage,
}

enum Stage {
    /// The answer to the handshake, up to its end: what follows is held back until it is known what it means.
    Head { held: Held, head_max: usize, end: Option<usize> },
    /// Frames as they are, after those that came with the head.
    Plain(Held),
    /// Frames whose compressed messages are unpacked.
    Packed(Box<Packed>),
}

/// Bytes of which the first `given` were handed on.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    given: usize,
}

struct Packed {
    input: Held,
    output: Held,
    unpacker: Unpacker,
}

impl Transport {
    /// Lets through the head of an answer, of at most so many bytes.
    pub(super) fn new(wire: Wire, head_max: usize) -> Self {
        Self { wire, stage: Stage::Head { held: Held::default(), head_max, end: None } }
    }

    /// The handshake is over: lets frames through, and unpacks compressed messages if that was agreed on.
    pub(super) fn begin_frames(&mut self, agreed: Option<Agreed>, message_max: usize) {
        let Stage::Head { held, .. } = &mut self.stage else { return };
        let held = std::mem::take(held);
        self.stage = match agreed {
            None => Stage::Plain(held),
            Some(agreed) => Stage::Packed(Box::new(Packed {
                input: held,
                output: Held::default(),
                unpacker: Unpacker::new(agreed, message_max),
            })),
        };
    }
}

impl Held {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.given..]
    }

    fn is_empty(&self) -> bool {
        self.given == self.bytes.len()
    }

    /// Hands on what fits, up to the byte numbered `end`.
    fn give(&mut self, buffer: &mut ReadBuf<'_>, end: usize) {
        let count = buffer.remaining().min(end - self.given);
        buffer.put_slice(&self.bytes[self.given..self.given + count]);
        self.given += count;
    }

    fn forget_given(&mut self) {
        self.bytes.drain(..self.given);
        self.given = 0;
    }

    /// Reads some more; returns how many bytes, none at the end.
    fn fill(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let before = self.bytes.len();
        self.bytes.resize(before + PIECE, 0);
        let mut buffer = ReadBuf::new(&mut self.bytes[before..]);
        let read = Pin::new(wire).poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        self.bytes.truncate(before + count);
        read.map_ok(|()| count)
    }
}

/// Hands on a head as it comes, and nothing after it.
fn poll_head(
    held: &mut Held,
    head_max: usize,
    end: &mut Option<usize>,
    (wire, cx, buffer): (&mut Wire, &mut Context<'_>, &mut ReadBuf<'_>),
) -> Poll<io::Result<()>> {
    if end.is_none() && held.is_empty() {
        let before = held.bytes.len();
        ready!(held.fill(wire, cx))?;
        // The end may have begun with what came before.
        *end = end_of_head(&held.bytes, before.saturating_sub(2));
        if end.unwrap_or(held.bytes.len()) > head_max {
            return Poll::Ready(Err(io::Error::other("the answer's head is too large")));
        }
    }
    held.give(buffer, end.unwrap_or(held.bytes.len()));
    Poll::Ready(Ok(()))
}

/// Where the first empty line ends that ends after `from`.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at + 1).find_map(|line| match bytes[line..] {
        [b'\n', ..] => Some(line + 1),
        [b'\r', b'\n', ..] => Some(line + 2),
        _ => None,
    })
}

impl Packed {
    fn poll_read(
        &mut self,
        wire: &mut Wire,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.output.is_empty() {
                self.output.give(buffer, self.output.bytes.len());
                return Poll::Ready(Ok(()));
            }
            self.output.forget_given();
            self.input.given += self.unpacker.push(self.input.rest(), &mut self.output.bytes)?;
            if self.output.is_empty() {
                self.input.forget_given();
                if ready!(self.input.fill(wire, cx))? == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncRead for Transport {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { wire, stage } = self.get_mut();
        match stage {
            Stage::Plain(held) if held.is_empty() => Pin::new(wire).poll_read(cx, buffer),
            Stage::Plain(held) => {
                held.give(buffer, held.bytes.len());
                Poll::Ready(Ok(()))
            }
            Stage::Packed(packed) => packed.poll_read(wire, cx, buffer),
            Stage::Head { held, head_max, end } => poll_head(held, *head_max, end, (wire, cx, buffer)),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::end_of_head;

    #[test]
    fn a_head_ends_with_an_empty_line() {
        for (text, end) in [
            ("HTTP/1.1 101 x\r\nA: b\r\n\r\n\x01\n\n", Some(24)),
            ("HTTP/1.1 101 x\nA: b\n\nrest", Some(21)),
            ("HTTP/1.1 101 x\nA: b\n\r\n", Some(22)),
            ("HTTP/1.1 101 x\r\nA: b\r\n\r", None),
            ("HTTP/1.1 101 x\r\nA: b\r\n", None),
            ("", None),
        ] {
            assert_eq!(end_of_head(text.as_bytes(), 0), end, "{text:?}");
            // Wherever it was cut before.
            for cut in 0..=end.unwrap_or_default().saturating_sub(1) {
                assert_eq!(end_of_head(text.as_bytes(), cut.saturating_sub(2)), end, "{text:?} {cut}");
            }
        }
    }
}
