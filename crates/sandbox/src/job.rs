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
    /// Time from start to end.
    pub wall: Duration,
    /// Processor time, of all its processes.
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
