//! The supervising process's side of the warden: starting it, talking to it, letting it go.

use super::{
    children::{Capabilities, WardenProgram},
    error::ProcessError,
    link::{self, Letter, Received, retry},
    wire::{self, Reply, Request},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::{Child as Process, Command as Program, Stdio},
    time::{Duration, Instant},
};

/// How long a warden may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running warden.
pub(crate) struct Client {
    process: Process,
    socket: OwnedFd,
    /// Messages that found the socket full.
    outbox: VecDeque<Letter>,
}

impl Client {
    /// Starts a warden and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be run, or does not answer as one.
    pub(crate) fn start(
        program: &WardenProgram,
        buffer: &mut [u8],
    ) -> Result<(Self, Capabilities), ProcessError> {
        let error = |what: &str, source: Option<io::Error>| ProcessError::Warden {
            program: program.path.clone(),
            what: what.into(),
            source,
        };
        let (socket, theirs) = link::pair().map_err(|e| error("there is no socket", Some(e.into())))?;
        let process = Program::new(&program.path)
            .args(&program.args)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| error("it cannot be run", Some(e)))?;
        let client = Self { process, socket, outbox: VecDeque::new() };
        match client.greet(buffer) {
            Ok(Some(capabilities)) => Ok((client, capabilities)),
            Ok(None) => {
                client.kill();
                Err(error(
                    "it did not answer: its `main` must call `process::enter` before anything else",
                    None,
                ))
            }
            Err(source) => {
                client.kill();
                Err(error("it cannot be listened to", Some(source)))
            }
        }
    }

    /// Waits for its first word; `None` when it says something else or nothing.
    fn greet(&self, buffer: &mut [u8]) -> io::Result<Option<Capabilities>> {
        let until = Instant::now() + PATIENCE;
        loop {
            match link::receive(&self.socket, buffer)? {
                Received::Message(bytes, _) => {
                    return Ok(match wire::decode_reply(&bytes) {
                        Ok(Reply::Ready { subreaper, children_file, tags }) => {
                            Some(Capabilities { subreaper, children_file, tags })
                        }
                        _ => None,
                    });
                }
                Received::End => return Ok(None),
                Received::Nothing => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    let timeout =
                        Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
                    let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
                    retry(|| rustix::event::poll(&mut fds, Some(&timeout)))?;
                }
            }
        }
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Puts a message on its way.
    ///
    /// # Errors
    /// When it is too large to be packed.
    pub(crate) fn tell(&mut self, request: &Request, fds: Vec<OwnedFd>) -> io::Result<()> {
        self.outbox.push_back(Letter::new(&wire::encode_request(request), fds)?);
        self.flush();
        Ok(())
    }

    /// Sends what waits, as far as the socket has room.
    pub(crate) fn flush(&mut self) {
        while let Some(letter) = self.outbox.front() {
            match letter.send(&self.socket) {
                Ok(()) => _ = self.outbox.pop_front(),
                Err(Errno::AGAIN) => return,
                // Closed: receiving tells.
                Err(_) => return,
            }
        }
    }

    /// Messages wait for room.
    pub(crate) fn is_full(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Its next message.
    ///
    /// # Errors
    /// What the system says, or that the message makes no sense.
    pub(crate) fn hear(&self, buffer: &mut [u8]) -> io::Result<Heard> {
        match link::receive(&self.socket, buffer)? {
            Received::Nothing => Ok(Heard::Nothing),
            Received::End => Ok(Heard::End),
            Received::Message(bytes, _) => match wire::decode_reply(&bytes) {
                Ok(reply) => Ok(Heard::Reply(reply)),
                Err(wire::Garbled) => Err(io::Error::new(io::ErrorKind::InvalidData, "garbled reply")),
            },
        }
    }

    /// Lets it end its children and waits until it has gone. Bounded: its patience with what cannot be ended is.
    pub(crate) fn close(self) {
        let Self { mut process, socket, .. } = self;
        drop(socket);
        let _ = process.wait();
    }

    fn kill(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What [`Client::hear`] found.
pub(crate) enum Heard {
    Reply(Reply),
    Nothing,
    End,
}
