//! Our ends of children's pipes, and where their bytes go.

use super::{
    exit::{Captured, OutputStream},
    handle::Cell,
    link::retry,
    spec::Beyond,
    stream::{Buffer, Room},
};
use crate::lock;
use rustix::{event::epoll, io::Errno};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

/// Blocks moved before others get their turn.
const BLOCKS_MAX: usize = 16;

/// Which of a child's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Channel {
    Stdin,
    Stdout,
    Stderr,
    Results,
    Progress,
}

impl Channel {
    pub(crate) const ALL: [Self; 5] =
        [Self::Stdin, Self::Stdout, Self::Stderr, Self::Results, Self::Progress];

    /// A number that no other stream of any child has.
    pub(crate) fn key(self, id: u64) -> u64 {
        id * Self::ALL.len() as u64 + self as u64
    }

    pub(crate) fn output(self) -> Option<OutputStream> {
        match self {
            Self::Stdout => Some(OutputStream::Stdout),
            Self::Stderr => Some(OutputStream::Stderr),
            Self::Results => Some(OutputStream::Results),
            Self::Stdin | Self::Progress => None,
        }
    }
}

/// Our end of one of a child's pipes.
pub(crate) struct Pipe {
    fd: OwnedFd,
    pub(crate) id: u64,
    pub(crate) channel: Channel,
    pub(crate) sink: Sink,
    /// Registered with epoll; a stream whose other side has nothing for us is not.
    watched: bool,
    /// The child is gone: what is in the pipe is all there will be.
    pub(crate) last: bool,
}

/// Where bytes go, or come from.
pub(crate) enum Sink {
    Keep(Keep),
    Output(Arc<Buffer>),
    /// With what the pipe did not take yet.
    Input(Arc<Buffer>, Vec<u8>),
    Progress(Arc<Cell>),
}

/// Output kept up to a bound.
pub(crate) struct Keep {
    pub(crate) captured: Captured,
    pub(crate) limit: usize,
    beyond: Beyond,
    /// The excess has been told.
    told: bool,
}

/// What is to be done about a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Nothing until it is ready again.
    Idle,
    /// There is more.
    More,
    /// Nothing until the other side changes.
    Parked,
    /// It is at its end.
    Closed,
}

impl Keep {
    pub(crate) fn new(limit: usize, beyond: Beyond) -> Self {
        Self { captured: Captured::default(), limit, beyond, told: false }
    }

    fn take(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(self.limit - self.captured.bytes.len());
        self.captured.bytes.extend_from_slice(&bytes[..fits]);
        self.captured.dropped += (bytes.len() - fits) as u64;
    }

    /// True once, when there was too much and that ends the child.
    fn is_excess(&mut self) -> bool {
        let excess = self.beyond == Beyond::End && self.captured.dropped > 0 && !self.told;
        self.told |= excess;
        excess
    }
}

impl Pipe {
    /// Takes our end of a pipe under watch.
    pub(crate) fn new(
        fd: OwnedFd,
        id: u64,
        channel: Channel,
        sink: Sink,
        epoll: &OwnedFd,
    ) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let mut pipe = Self { fd, id, channel, sink, watched: false, last: false };
        pipe.watch(epoll, true)?;
        Ok(pipe)
    }

    /// Moves what can be moved now and sets the watch accordingly. False when it is done with.
    pub(crate) fn advance(&mut self, epoll: &OwnedFd, block: &mut [u8]) -> bool {
        let moved = loop {
            match self.step(block) {
                // Bounded: nobody writes any more.
                Moved::More if self.last => {}
                moved => break moved,
            }
        };
        match moved {
            Moved::Closed => false,
            // After the child's end an empty pipe is at its end, whoever may still hold it open.
            Moved::Idle if self.last => false,
            // Without the watch the stream would hang: better its rest is lost and its end told.
            _ => self.watch(epoll, moved != Moved::Parked).is_ok(),
        }
    }

    fn step(&mut self, block: &mut [u8]) -> Moved {
        match &mut self.sink {
            Sink::Input(buffer, rest) => write_input(&self.fd, buffer, rest),
            Sink::Output(buffer) => read_into(&self.fd, block, buffer),
            Sink::Keep(keep) => read_all(&self.fd, block, |bytes| keep.take(bytes)),
            Sink::Progress(cell) => {
                let moved = read_all(&self.fd, block, |bytes| {
                    if let Some(decoder) = lock(&cell.progress).as_mut() {
                        decoder.push(bytes);
                    }
                });
                cell.announce_events();
                moved
            }
        }
    }

    /// The bound, when output went beyond it and that ends the child; told once.
    pub(crate) fn excess(&mut self) -> Option<(OutputStream, u64)> {
        let Sink::Keep(keep) = &mut self.sink else { return None };
        let stream = self.channel.output()?;
        keep.is_excess().then_some((stream, keep.limit as u64))
    }

    fn watch(&mut self, epoll: &OwnedFd, watched: bool) -> io::Result<()> {
        if watched == self.watched {
            return Ok(());
        }
        if watched {
            let reads = self.channel != Channel::Stdin;
            let flags = if reads { epoll::EventFlags::IN } else { epoll::EventFlags::OUT };
            epoll::add(epoll, &self.fd, epoll::EventData::new_u64(self.channel.key(self.id)), flags)?;
        } else {
            epoll::delete(epoll, &self.fd)?;
        }
        self.watched = watched;
        Ok(())
    }

    /// Closes our end and tells the other side; what was kept.
    pub(crate) fn close(self) -> Option<Captured> {
        match self.sink {
            Sink::Keep(keep) => return Some(keep.captured),
            Sink::Output(buffer) => buffer.end(),
            Sink::Input(buffer, _) => buffer.abandon(),
            Sink::Progress(cell) => {
                if let Some(decoder) = lock(&cell.progress).as_mut() {
                    decoder.finish();
                }
                cell.announce_events();
            }
        }
        None
    }
}

/// One read; `Ok(0)` is the end.
fn read(fd: impl AsFd, into: &mut [u8]) -> Result<usize, Moved> {
    match retry(|| rustix::io::read(&fd, &mut *into)) {
        Ok(count) => Ok(count),
        Err(Errno::AGAIN) => Err(Moved::Idle),
        Err(_) => Err(Moved::Closed),
    }
}

fn read_all(fd: impl AsFd, block: &mut [u8], mut take: impl FnMut(&[u8])) -> Moved {
    for _ in 0..BLOCKS_MAX {
        match read(&fd, block) {
            Ok(0) => return Moved::Closed,
            Ok(count) => {
                take(&block[..count]);
                // A pipe that gave less than asked for is empty.
                if count < block.len() {
                    return Moved::Idle;
                }
            }
            Err(moved) => return moved,
        }
    }
    Moved::More
}

fn read_into(fd: impl AsFd, block: &mut [u8], buffer: &Buffer) -> Moved {
    for _ in 0..BLOCKS_MAX {
        let room = match buffer.room() {
            Room::Bytes(room) => room.min(block.len()),
            Room::Full => return Moved::Parked,
            // Nobody reads: the child must not stall on that.
            Room::Gone => block.len(),
        };
        match read(&fd, &mut block[..room]) {
            Ok(0) => return Moved::Closed,
            Ok(count) => {
                buffer.push(&block[..count]);
                if count < room {
                    return Moved::Idle;
                }
            }
            Err(moved) => return moved,
        }
    }
    Moved::More
}

fn write_input(fd: impl AsFd, buffer: &Buffer, rest: &mut Vec<u8>) -> Moved {
    loop {
        if rest.is_empty() {
            match buffer.drain() {
                None => return Moved::Parked,
                Some(bytes) if bytes.is_empty() => return Moved::Closed,
                Some(bytes) => *rest = bytes,
            }
        }
        match retry(|| rustix::io::write(&fd, rest)) {
            Ok(count) => _ = rest.drain(..count),
            Err(Errno::AGAIN) => return Moved::Idle,
            // The child closed its input.
            Err(_) => return Moved::Closed,
        }
    }
}
