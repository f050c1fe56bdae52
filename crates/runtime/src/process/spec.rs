//! What to start and within which bounds.

use crate::{CancelToken, Label, Priority};
use std::{
    ffi::{OsStr, OsString},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// Lowest and one past the highest descriptor number a child can be given besides its three standard ones.
pub(crate) const EXTRA_FDS: std::ops::Range<u8> = 3..16;

/// A child process to be: program, arguments, environment, streams, limits.
///
/// The environment is empty but for what is set here: nothing of the parent's reaches the child by accident,
/// and no descriptor but the ones named here does.
#[derive(Debug)]
pub struct ChildSpec {
    /// The program: a path, or a bare name that is looked up in [`ChildSpec::search`].
    pub program: PathBuf,
    /// Arguments after the program's own name.
    pub args: Vec<OsString>,
    /// What the program sees as its own name; `None` for `program`.
    pub arg0: Option<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Folders in which a bare name is looked up.
    pub search: Vec<PathBuf>,
    /// Working folder; `None` for the root folder.
    pub folder: Option<PathBuf>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// One more output, under a number from 3 to 15: for results that must not mix with what is printed.
    pub results: Option<(u8, Output)>,
    /// A channel on which the child reports how far it is.
    pub progress: Option<ProgressChannel>,
    /// Further descriptors, under the numbers 3 to 15.
    pub pass: Vec<(u8, OwnedFd)>,
    /// Bounds of time, memory and the rest.
    pub limits: Limits,
}

impl ChildSpec {
    /// A child that reads nothing, whose output is kept up to 1 MiB per stream, with default limits.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            arg0: None,
            env: vec![
                ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                ("LANG".into(), "C.UTF-8".into()),
            ],
            search: ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from).to_vec(),
            folder: None,
            stdin: Input::Empty,
            stdout: Output::default(),
            stderr: Output::default(),
            results: None,
            progress: None,
            pass: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable of the environment, in place of an earlier one of that name.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let name = name.into();
        self.env.retain(|(n, _)| *n != name);
        self.env.push((name, value.into()));
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The program's path: as given if it has a slash, else the first match in [`ChildSpec::search`].
    pub(crate) fn resolve(&self) -> Option<PathBuf> {
        if self.program.as_os_str().as_bytes().contains(&b'/') {
            return Some(self.program.clone());
        }
        self.search.iter().map(|folder| folder.join(&self.program)).find(|path| is_program(path))
    }
}

fn is_program(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}

/// What a child reads on its standard input.
#[derive(Debug, Default)]
pub enum Input {
    /// Nothing.
    #[default]
    Empty,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// What is written to [`Child::stdin`](super::Child::stdin), which holds up to this many bytes that the
    /// child has not read yet and makes writers wait beyond.
    Stream {
        /// Most bytes waiting, besides those in the pipe (64 KiB).
        buffer_bytes: usize,
    },
    /// An open file or pipe.
    Open(OwnedFd),
}

/// What becomes of a child's output stream.
#[derive(Debug)]
pub enum Output {
    /// It is thrown away unread.
    Discard,
    /// It is kept for [`Exit`](super::Exit), up to a bound.
    Keep {
        /// Most bytes kept.
        bytes: usize,
        /// What happens beyond.
        beyond: Beyond,
    },
    /// It is read through [`Child::stdout`](super::Child::stdout) or `stderr` as it comes. A slow reader slows
    /// the child: nothing is lost and memory stays bounded.
    Stream {
        /// Most bytes waiting to be read, besides those in the pipe (64 KiB).
        buffer_bytes: usize,
    },
    /// It goes to an open file or pipe.
    Open(OwnedFd),
}

impl Default for Output {
    /// The first MiB is kept, the rest is counted.
    fn default() -> Self {
        Self::Keep { bytes: 1 << 20, beyond: Beyond::Drop }
    }
}

/// What happens to output beyond what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// It is read, counted and dropped.
    Drop,
    /// The child is ended: [`Ending::OutputLimit`](super::Ending::OutputLimit).
    End,
}

/// A pipe on which the child writes lines, each one JSON object; see [`Progress`](super::Progress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressChannel {
    /// The descriptor's number in the child, 3 to 15.
    pub fd: u8,
    /// Longest line; longer ones are counted as malformed.
    pub line_bytes_max: usize,
    /// Most events waiting for [`Child::next_event`](super::Child::next_event); beyond, the oldest are dropped
    /// and counted.
    pub events_max: usize,
}

impl Default for ProgressChannel {
    /// Descriptor 3, lines up to 64 KiB, 1,024 events.
    fn default() -> Self {
        Self { fd: 3, line_bytes_max: 64 << 10, events_max: 1_024 }
    }
}

/// Bounds within which a child and all its descendants live.
///
/// "Tree" means the child and everything that descends from it. Limits of the tree are watched, the others
/// are the kernel's own (`setrlimit`) and hold for each process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time from the start to the end. [`Duration::MAX`] for no limit: only for servers that someone watches.
    pub wall: Duration,
    /// Processor time of the tree. Seen within 10 ms per processor; a kernel limit per process stands behind.
    pub cpu: Option<Duration>,
    /// Resident memory of the tree, shared pages counted once. Looked at every 25 ms: stop what grows faster
    /// than that with [`Limits::address_space_bytes`].
    pub memory_bytes: Option<u64>,
    /// Address space of each process: an allocation beyond fails.
    pub address_space_bytes: Option<u64>,
    /// Longest file written.
    pub file_bytes: Option<u64>,
    /// Most open descriptors of each process.
    pub open_files: Option<u64>,
    /// Most processes and threads of the child's user.
    pub processes: Option<u64>,
    /// Time between the request to end (SIGTERM) and the end (SIGKILL); zero goes straight to the latter.
    pub grace: Duration,
}

impl Default for Limits {
    /// One minute, half a second of grace, nothing else.
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(60),
            cpu: None,
            memory_bytes: None,
            address_space_bytes: None,
            file_bytes: None,
            open_files: None,
            processes: None,
            grace: Duration::from_millis(500),
        }
    }
}

impl Limits {
    /// Default limits with another limit of time.
    pub fn within(wall: Duration) -> Self {
        Self { wall, ..Self::default() }
    }
}

/// How a child is queued and shown.
#[derive(Clone, Debug)]
pub struct ChildOptions {
    /// What it is called wherever children are shown.
    pub label: Label,
    /// Class in which it waits for a free place.
    pub priority: Priority,
    /// Whose work it is: owners within a class take turns.
    pub owner: u64,
    /// Ends the child when cancelled.
    pub cancel: CancelToken,
}

impl ChildOptions {
    /// Standard class, owner 0, a new token.
    pub fn new(label: impl Into<Label>) -> Self {
        Self { label: label.into(), priority: Priority::Standard, owner: 0, cancel: CancelToken::new() }
    }
}

/// Bytes of a string for the system: no NUL may be in them.
pub(crate) fn has_nul(text: &OsStr) -> bool {
    text.as_bytes().contains(&0)
}
