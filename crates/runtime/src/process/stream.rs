//! Bytes on their way between a child's pipe and whoever reads or writes it, bounded.

use crate::sync::{Condvar, Mutex};
use crate::{lock, wait, wait_for};
use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// A bounded buffer with a writer and a reader, of which one is the pump: it never waits here but is told to
/// come back.
pub(crate) struct Buffer {
    limit: usize,
    state: Mutex<State>,
    bell: Condvar,
    /// Tells the pump to look at this stream again.
    nudge: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    no_more: bool,
    reader_gone: bool,
    /// The pump found nothing to do and waits for a nudge.
    parked: bool,
    waker: Option<Waker>,
}

impl State {
    /// Takes away the pump's mark and the other side's waker, to be used once the lock is released.
    fn changed(&mut self) -> (bool, Option<Waker>) {
        (std::mem::take(&mut self.parked), self.waker.take())
    }
}

impl Buffer {
    pub(crate) fn new(limit: usize, nudge: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            limit: limit.max(1),
            state: Mutex::default(),
            bell: Condvar::new(),
            nudge: Box::new(nudge),
        })
    }

    fn announce(&self, (nudge, waker): (bool, Option<Waker>)) {
        self.bell.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        if nudge {
            (self.nudge)();
        }
    }

    /// For the pump as writer: bytes that fit now. Zero parks it; [`Room::Gone`] when nobody reads any more.
    pub(crate) fn room(&self) -> Room {
        let mut state = lock(&self.state);
        if state.reader_gone {
            return Room::Gone;
        }
        let room = self.limit.saturating_sub(state.bytes.len());
        state.parked = room == 0;
        if room == 0 { Room::Full } else { Room::Bytes(room) }
    }

    /// For the pump as writer: adds bytes, at most as many as [`Buffer::room`] said.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut state = lock(&self.state);
        if !state.reader_gone {
            state.bytes.extend_from_slice(bytes);
        }
        let changed = (false, state.waker.take());
        drop(state);
        self.announce(changed);
    }

    /// For the pump as reader: everything there is. `None` parks it; `Some(empty)` means the end.
    pub(crate) fn drain(&self) -> Option<Vec<u8>> {
        let mut state = lock(&self.state);
        if state.bytes.is_empty() && !state.no_more {
            state.parked = true;
            return None;
        }
        let bytes = std::mem::take(&mut state.bytes);
        let changed = (false, state.waker.take());
        drop(state);
        self.announce(changed);
        Some(bytes)
    }

    /// The writer is done.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.no_more = true;
        let changed = state.changed();
        drop(state);
        self.announce(changed);
    }

    /// The reader is gone: what is written from now on is dropped.
    pub(crate) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.reader_gone = true;
        state.bytes = Vec::new();
        let changed = state.changed();
        drop(state);
        self.announce(changed);
    }

    /// All that is there; `Ok(None)` at the end; `Err` (would block) with the state to wait on.
    fn take(&self, state: &mut State) -> Result<Option<Vec<u8>>, ()> {
        if !state.bytes.is_empty() {
            return Ok(Some(std::mem::take(&mut state.bytes)));
        }
        if state.no_more { Ok(None) } else { Err(()) }
    }
}

/// What [`Buffer::room`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Bytes(usize),
    Full,
    Gone,
}

/// A child's output as it comes. Reading makes room; not reading slows the child down. Dropping it lets the
/// rest of the output be read and thrown away.
pub struct ChildOutput {
    buffer: Arc<Buffer>,
    rest: Vec<u8>,
    at: usize,
}

impl ChildOutput {
    pub(crate) fn new(buffer: Arc<Buffer>) -> Self {
        Self { buffer, rest: Vec::new(), at: 0 }
    }

    /// Waits for bytes and returns all there are, `None` at the end of the output.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when nothing came in `time`.
    pub fn next_chunk(&mut self, time: Duration) -> io::Result<Option<Vec<u8>>> {
        if self.at < self.rest.len() {
            let rest = self.rest.split_off(self.at);
            (self.rest, self.at) = (Vec::new(), 0);
            return Ok(Some(rest));
        }
        let until = Instant::now().checked_add(time);
        let mut state = lock(&self.buffer.state);
        loop {
            if let Ok(taken) = self.buffer.take(&mut state) {
                let changed = (std::mem::take(&mut state.parked), None);
                drop(state);
                self.buffer.announce(changed);
                return Ok(taken);
            }
            state = wait_until(&self.buffer.bell, state, until)?;
        }
    }

    /// As [`ChildOutput::next_chunk`], for a task that is woken when there is more.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        if self.at < self.rest.len() {
            let rest = self.rest.split_off(self.at);
            (self.rest, self.at) = (Vec::new(), 0);
            return Poll::Ready(Some(rest));
        }
        let mut state = lock(&self.buffer.state);
        match self.buffer.take(&mut state) {
            Ok(taken) => {
                let changed = (std::mem::take(&mut state.parked), None);
                drop(state);
                self.buffer.announce(changed);
                Poll::Ready(taken)
            }
            Err(()) => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits for bytes, however long it takes; `None` at the end. Cancel-safe.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }
}

impl io::Read for ChildOutput {
    /// Waits for bytes as long as the child lives.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.rest.len() {
            (self.rest, self.at) = (self.next_chunk(Duration::MAX)?.unwrap_or_default(), 0);
        }
        let count = into.len().min(self.rest.len() - self.at);
        into[..count].copy_from_slice(&self.rest[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Drop for ChildOutput {
    fn drop(&mut self) {
        self.buffer.abandon();
    }
}

impl fmt::Debug for ChildOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildOutput").finish_non_exhaustive()
    }
}

/// A child's input. Writers wait while the buffer is full; dropping it ends the input once all is written.
pub struct ChildInput {
    buffer: Arc<Buffer>,
}

impl ChildInput {
    pub(crate) fn new(buffer: Arc<Buffer>) -> Self {
        Self { buffer }
    }

    /// Writes all of `bytes`, waiting for room.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when there was no room in `time`, [`io::ErrorKind::BrokenPipe`] when the child
    /// closed its input or is gone. Part of the bytes may have been taken.
    pub fn write_within(&mut self, bytes: &[u8], time: Duration) -> io::Result<()> {
        let until = Instant::now().checked_add(time);
        let mut left = bytes;
        while !left.is_empty() {
            let mut state = lock(&self.buffer.state);
            loop {
                match self.buffer.put(&mut state, &mut left)? {
                    true => break,
                    false => state = wait_until(&self.buffer.bell, state, until)?,
                }
            }
            let changed = (std::mem::take(&mut state.parked), None);
            drop(state);
            self.buffer.announce(changed);
        }
        Ok(())
    }

    /// Writes all of `bytes`, however long the child takes to read them. Not cancel-safe: part may be written.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] when the child closed its input or is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        std::future::poll_fn(|context| {
            while !left.is_empty() {
                let mut state = lock(&self.buffer.state);
                if !self.buffer.put(&mut state, &mut left)? {
                    state.waker = Some(context.waker().clone());
                    return Poll::Pending;
                }
                let changed = (std::mem::take(&mut state.parked), None);
                drop(state);
                self.buffer.announce(changed);
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

impl Buffer {
    /// Moves what fits from `left`; false when nothing does.
    fn put(&self, state: &mut State, left: &mut &[u8]) -> io::Result<bool> {
        if state.reader_gone {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the child reads no more"));
        }
        let room = self.limit.saturating_sub(state.bytes.len()).min(left.len());
        state.bytes.extend_from_slice(&left[..room]);
        *left = &left[room..];
        Ok(room > 0)
    }
}

impl io::Write for ChildInput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_within(bytes, Duration::MAX)?;
        Ok(bytes.len())
    }

    /// Does nothing: bytes go out by themselves.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ChildInput {
    fn drop(&mut self) {
        self.buffer.end();
    }
}

impl fmt::Debug for ChildInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildInput").finish_non_exhaustive()
    }
}

/// Waits on the bell until `until` (`None`: no end).
fn wait_until<'a, T>(
    bell: &Condvar,
    guard: crate::sync::MutexGuard<'a, T>,
    until: Option<Instant>,
) -> io::Result<crate::sync::MutexGuard<'a, T>> {
    let Some(until) = until else { return Ok(wait(bell, guard)) };
    let now = Instant::now();
    if now >= until {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the child did not answer in time"));
    }
    Ok(wait_for(bell, guard, until - now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        sync::atomic::{AtomicU32, Ordering},
    };

    fn counted(limit: usize) -> (Arc<Buffer>, Arc<AtomicU32>) {
        let nudges = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&nudges);
        (Buffer::new(limit, move || _ = count.fetch_add(1, Ordering::Relaxed)), nudges)
    }

    #[test]
    fn a_full_output_parks_the_pump_until_someone_reads() {
        let (buffer, nudges) = counted(4);
        let mut output = ChildOutput::new(Arc::clone(&buffer));
        assert_eq!(buffer.room(), Room::Bytes(4));
        buffer.push(b"abcd");
        assert_eq!(buffer.room(), Room::Full);
        assert_eq!(nudges.load(Ordering::Relaxed), 0);
        assert_eq!(output.next_chunk(Duration::ZERO).unwrap().unwrap(), b"abcd");
        assert_eq!(nudges.load(Ordering::Relaxed), 1, "reading makes room and says so");
        let late = output.next_chunk(Duration::ZERO).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        buffer.end();
        assert_eq!(output.next_chunk(Duration::ZERO).unwrap(), None);
        drop(output);
        assert_eq!(buffer.room(), Room::Gone);
    }

    #[test]
    fn a_full_input_makes_the_writer_wait() {
        let (buffer, nudges) = counted(4);
        let mut input = ChildInput::new(Arc::clone(&buffer));
        assert_eq!(buffer.drain(), None, "parks");
        let late = input.write_within(b"abcdef", Duration::ZERO).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(nudges.load(Ordering::Relaxed), 1);
        assert_eq!(buffer.drain().unwrap(), b"abcd");
        input.send(b"xy").now();
        drop(input);
        assert_eq!(buffer.drain().unwrap(), b"xy");
        assert_eq!(buffer.drain().unwrap(), b"", "the end");
    }

    #[test]
    fn a_writer_learns_that_nobody_reads() {
        let (buffer, _) = counted(4);
        let mut input = ChildInput::new(Arc::clone(&buffer));
        buffer.abandon();
        assert_eq!(input.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    trait Now {
        fn now(self);
    }

    impl<F: Future<Output = io::Result<()>>> Now for F {
        fn now(self) {
            let mut task = std::pin::pin!(self);
            let poll = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(poll, Poll::Ready(Ok(()))));
        }
    }
}
