//! Brings what is written to the disk while more is being written, so that little is left to wait for at the end.

use std::{
    fs::File,
    io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

/// Bytes after which the disk is set to work.
pub(super) const FLUSH_BYTES: u64 = 16 << 20;

/// A thread that flushes one file whenever it is asked to. Ends with its owner.
#[derive(Debug)]
pub(super) struct Flusher {
    requests: Option<SyncSender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Flusher {
    /// Starts a flusher for an open file.
    pub(super) fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (requests, received) = sync_channel(1);
        let thread =
            std::thread::Builder::new().name("flush".into()).spawn(move || flush_all(&file, &received))?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Asks for a flush, unless one is asked for already.
    pub(super) fn request(&self) {
        if let Some(requests) = &self.requests {
            // Full: a flush that has not begun will take these bytes along. Closed: it failed, and `finish` says so.
            let _ = requests.try_send(());
        }
    }

    /// Waits for the flush under way. Errors of all flushes come out here: the system tells each only once.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        self.requests = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the flushing thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        // A file that is given up needs no flush; `finish` was called for all others.
        let _ = self.join();
    }
}

fn flush_all(file: &File, requests: &Receiver<()>) -> io::Result<()> {
    while requests.recv().is_ok() {
        file.sync_data()?;
    }
    Ok(())
}
