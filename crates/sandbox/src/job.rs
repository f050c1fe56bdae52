//! What to run, and what it may use.

use springtide_runtime::process::Input;
use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

/// A program to run confined.
///
/// It sees the system's programs and libraries, what [`Job::read_only`] names, a scratch folder `/tmp` (its working
/// folder, empty, gone afterwards), and nothing else: no network, no other process, no variable, no descriptor.
#[derive(Debug)]
pub struct Job {
    /// Path of the program, as seen from inside.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, besides `PATH`, `HOME` and `LANG`.
    pub env: Vec<(String, String)>,
    /// Files and folders it may read, at the same path inside.
    pub read_only: Vec<PathBuf>,
    /// Standard input.
    pub stdin: Input,
    /// Data it is given: numbers from 3 to 13 and what is open there.
    pub pass: Vec<(u8, OwnedFd)>,
    /// Where it writes its result: a number from 3 to 13, and the most bytes it may write.
    pub results: Option<(u8, usize)>,
    /// What it may use.
    pub allowance: Allowance,
    /// The program is a server of ours that starts processes and puts each in a [`Cage`](crate::Cage) before
    /// anything that nobody vouches for runs in it. It may fork in every tier; its children may not.
    pub server: bool,
}

/// The last walls of a server's child: a filter of system calls that the child itself puts up, with
/// `prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ...)`, and cannot take down. It allows what a program may do, but no
/// process besides its own and no signal to any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cage {
    /// An array of the kernel's `struct sock_filter`, in this machine's byte order; empty where nothing is held.
    pub program: Vec<u8>,
    /// Wherever an instruction's operand is this number, the child's own process number goes.
    pub pid_mark: u32,
}

impl Job {
    /// A program with default allowance.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            read_only: Vec::new(),
            stdin: Input::Empty,
            pass: Vec::new(),
            results: None,
            allowance: Allowance::default(),
            server: false,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a file or folder to read.
    #[must_use]
    pub fn read(mut self, path: impl AsRef<Path>) -> Self {
        self.read_only.push(path.as_ref().into());
        self
    }
}

/// What a confined program may use. Nothing of it is without a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Time from start to end. [`Duration::MAX`] for a server, whose children are each given their own.
    pub wall: Duration,
    /// Processor time, of all its processes; likewise.
    pub cpu: Duration,
    /// Resident memory, of all its processes.
    pub memory_bytes: u64,
    /// Address space, of each process. 192 MB suffice for a rolling mean over 200,000 rows in pandas.
    pub address_space_bytes: u64,
    /// Size of the scratch folder.
    pub scratch_bytes: u64,
    /// Longest file.
    pub file_bytes: u64,
    /// Open descriptors.
    pub open_files: u64,
    /// Threads and, where they are allowed, processes.
    pub tasks: u64,
    /// It may start processes; only in the full tier.
    pub forks: bool,
    /// Bytes kept of its standard output and of its standard error each; what is beyond is dropped and counted.
    pub output_bytes: usize,
}

impl Default for Allowance {
    /// A minute, as much processor time, 1 GiB, 64 MiB of scratch, 16 threads, no processes, 1 MiB of output.
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(60),
            cpu: Duration::from_secs(60),
            memory_bytes: 1 << 30,
            address_space_bytes: 4 << 30,
            scratch_bytes: 64 << 20,
            file_bytes: 64 << 20,
            open_files: 64,
            tasks: 16,
            forks: false,
            output_bytes: 1 << 20,
        }
    }
}
