//! The socket between a supervising process and its warden: whole messages, descriptors beside them.

use rustix::{
    fs::{MemfdFlags, SealFlags},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    },
};
use std::{
    fs::File,
    io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Messages up to this size go through the socket, larger ones through an anonymous file.
pub(crate) const INLINE_MAX: usize = 32 << 10;
/// Most descriptors beside one message.
pub(crate) const FDS_MAX: usize = 20;

const INLINE: u8 = 0;
const IN_FILE: u8 = 1;

/// Both ends of a link. They are closed on exec.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// A message ready to be sent; kept when the socket is full.
#[derive(Debug)]
pub(crate) struct Letter {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Letter {
    /// Packs a message; a large one is put into an anonymous file.
    ///
    /// # Errors
    /// When there is no memory or descriptor for that file.
    pub(crate) fn new(message: &[u8], mut fds: Vec<OwnedFd>) -> std::io::Result<Self> {
        debug_assert!(fds.len() < FDS_MAX, "at most 16 descriptors for a child and the file");
        if message.len() < INLINE_MAX {
            let mut bytes = Vec::with_capacity(message.len() + 1);
            bytes.push(INLINE);
            bytes.extend_from_slice(message);
            return Ok(Self { bytes, fds });
        }
        fds.push(sealed_file(message)?);
        Ok(Self { bytes: vec![IN_FILE], fds })
    }

    /// Sends without waiting.
    ///
    /// # Errors
    /// [`Errno::AGAIN`] when the socket is full.
    pub(crate) fn send(&self, socket: impl AsFd) -> Result<(), Errno> {
        let fds: Vec<BorrowedFd<'_>> = self.fds.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::TOOBIG);
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        retry(|| rustix::net::sendmsg(&socket, &[IoSlice::new(&self.bytes)], &mut control, flags)).map(drop)
    }
}

/// An anonymous file with these bytes that nobody can change any more, to be read from its start.
pub(crate) fn sealed_file(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(c"message", flags)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// What came.
#[derive(Debug)]
pub(crate) enum Received {
    Message(Vec<u8>, Vec<OwnedFd>),
    /// Nothing yet.
    Nothing,
    /// The other end is closed.
    End,
}

/// Receives one message without waiting.
///
/// # Errors
/// What the system says; a message that was cut.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> std::io::Result<Received> {
    debug_assert!(buffer.len() > INLINE_MAX);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message =
        match retry(|| rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)) {
            Ok(message) => message,
            Err(Errno::AGAIN) => return Ok(Received::Nothing),
            Err(Errno::CONNRESET) => return Ok(Received::End),
            Err(error) => return Err(error.into()),
        };
    let mut fds = Vec::new();
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = item {
            fds.extend(received);
        }
    }
    match buffer[..message.bytes].split_first() {
        None => Ok(Received::End),
        Some((&INLINE, bytes)) => Ok(Received::Message(bytes.to_vec(), fds)),
        Some(_) => {
            let mut file = File::from(fds.pop().ok_or(std::io::ErrorKind::InvalidData)?);
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Received::Message(bytes, fds))
        }
    }
}

/// Repeats a call that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(message: &[u8], fds: usize) -> (Vec<u8>, usize) {
        let (near, far) = pair().unwrap();
        let fds = (0..fds).map(|_| File::open("/dev/null").unwrap().into()).collect();
        Letter::new(message, fds).unwrap().send(&near).unwrap();
        let mut buffer = vec![0; INLINE_MAX + 1];
        match receive(&far, &mut buffer).unwrap() {
            Received::Message(bytes, fds) => (bytes, fds.len()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn small_and_large_messages_come_through_with_their_descriptors() {
        for size in [0, 1, INLINE_MAX - 1, INLINE_MAX, 3_000_000] {
            let message: Vec<u8> = (0..size).map(|n| n as u8).collect();
            for fds in [0, 1, 16] {
                assert_eq!(
                    round_trip(&message, fds),
                    (message.clone(), fds),
                    "{size} bytes, {fds} descriptors"
                );
            }
        }
    }

    #[test]
    fn an_empty_link_and_a_closed_one_differ() {
        let (near, far) = pair().unwrap();
        let mut buffer = vec![0; INLINE_MAX + 1];
        assert!(matches!(receive(&far, &mut buffer).unwrap(), Received::Nothing));
        drop(near);
        assert!(matches!(receive(&far, &mut buffer).unwrap(), Received::End));
    }
}
