//! Signals: Ctrl-C stops the batch, a second one the program; SIGUSR1 prints what runs.

use crate::progress::Speaker;
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR1},
    iterator::{Handle, Signals},
};
use springtide_runtime::{CancelToken, observe::Observatory};
use std::thread::JoinHandle;

/// Listens until dropped.
#[derive(Debug)]
pub struct Listener {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Cancels `token` on the first SIGINT or SIGTERM; a second one ends the process with 130. SIGUSR1 prints the
/// tree of tasks through `speaker`.
pub fn listen(token: &CancelToken, seen: &Observatory, speaker: Speaker) -> std::io::Result<Listener> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
    let handle = signals.handle();
    let (token, seen) = (token.clone(), seen.clone());
    let thread = std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGUSR1 {
                speaker.say(&seen.tasks());
            } else if token.is_cancelled() {
                // The person insists; finished runs are already on disk.
                #[allow(clippy::disallowed_methods)]
                std::process::exit(130);
            } else {
                token.cancel();
            }
        }
    })?;
    Ok(Listener { handle, thread: Some(thread) })
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic there has been told already; nothing depends on the thread any more.
            let _ = thread.join();
        }
    }
}
