//! Signals: SIGUSR1 prints what runs, whatever the command; Ctrl-C stops a batch, a second one the program.

use crate::progress::Speaker;
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR1},
    iterator::{Handle, Signals as Incoming},
    low_level::emulate_default_handler,
};
use springtide_lab::LabError;
use springtide_runtime::{
    CancelToken,
    locks::{Mutex, lock},
    observe::Observatory,
};
use std::{io, path::PathBuf, sync::Arc};

/// Listens from the program's first moment to its end.
#[derive(Clone, Debug)]
pub struct Signals {
    handle: Handle,
    roles: Arc<Mutex<Roles>>,
}

#[derive(Debug, Default)]
struct Roles {
    speaker: Speaker,
    /// What an interruption cancels; none where it ends the program.
    token: Option<CancelToken>,
}

impl Signals {
    /// From now on SIGUSR1 prints the tree of tasks to stderr and ends nothing.
    pub fn listen(seen: &Observatory) -> io::Result<Self> {
        let mut incoming = Incoming::new([SIGUSR1])?;
        let (handle, roles) = (incoming.handle(), Arc::<Mutex<Roles>>::default());
        let (known, seen) = (Arc::clone(&roles), seen.clone());
        // It has nothing to finish: it ends with the process.
        drop(std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in incoming.forever() {
                if signal == SIGUSR1 {
                    let speaker = lock(&known).speaker.clone();
                    speaker.say(&seen.tasks());
                } else {
                    interrupt(&known, signal);
                }
            }
        })?);
        Ok(Self { handle, roles })
    }

    /// Until the guard is dropped the first SIGINT or SIGTERM cancels `token`; a second one ends the process
    /// with 130.
    pub fn cancels(&self, token: &CancelToken) -> Result<Cancels, LabError> {
        for signal in [SIGINT, SIGTERM] {
            let path = PathBuf::from("signal handler");
            self.handle.add_signal(signal).map_err(|source| LabError::File { path, source })?;
        }
        let before = lock(&self.roles).token.replace(token.clone());
        Ok(Cancels { roles: Arc::clone(&self.roles), before })
    }

    /// Until the guard is dropped, what is printed goes through `speaker`, which knows the display.
    pub fn speak_through(&self, speaker: Speaker) -> Speaks {
        lock(&self.roles).speaker = speaker;
        Speaks { roles: Arc::clone(&self.roles) }
    }
}

fn interrupt(roles: &Mutex<Roles>, signal: i32) {
    let token = lock(roles).token.clone();
    match token {
        Some(token) if !token.is_cancelled() => drop(token.cancel()),
        Some(_) => {
            // The person insists; finished runs are already on disk.
            #[allow(clippy::disallowed_methods)]
            std::process::exit(130);
        }
        // Nothing takes care of it any more: as if nobody had ever listened. It cannot fail for these signals.
        None => drop(emulate_default_handler(signal)),
    }
}

/// See [`Signals::cancels`].
#[derive(Debug)]
pub struct Cancels {
    roles: Arc<Mutex<Roles>>,
    before: Option<CancelToken>,
}

impl Drop for Cancels {
    fn drop(&mut self) {
        lock(&self.roles).token = self.before.take();
    }
}

/// See [`Signals::speak_through`].
#[derive(Debug)]
pub struct Speaks {
    roles: Arc<Mutex<Roles>>,
}

impl Drop for Speaks {
    fn drop(&mut self) {
        lock(&self.roles).speaker = Speaker::default();
    }
}
