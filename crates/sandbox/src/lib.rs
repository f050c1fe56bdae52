//! Runs code that nobody vouches for.
//!
//! ```no_run
//! use springtide_runtime::process::{self, ChildOptions, Children, ChildrenConfig};
//! use springtide_sandbox::{self as sandbox, Job, Sandbox, SandboxConfig};
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     // First of all: this program also serves as warden and as launcher.
//!     if let Some(code) = process::enter(std::env::args_os()) {
//!         return code;
//!     }
//!     sandbox::enter(std::env::args_os());
//!     let children = Children::new(ChildrenConfig::default()).expect("a warden");
//!     let sandbox = Sandbox::new(&children, SandboxConfig::default()).expect("a sandbox");
//!     let mut job = Job::new("/usr/bin/python3").args(["-c", "open(5, 'w').write('{\"answer\": 42}\\n')"]);
//!     job.results = Some((5, 1_000));
//!     let outcome = sandbox.start(&children, job, ChildOptions::new("answer")).expect("started").wait();
//!     let result = outcome.expect("it ran").result().expect("a result");
//!     assert_eq!(result["answer"], 42);
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! # How a program is held
//!
//! A *launcher* (this program, executed once more, with one thread) takes these steps and then becomes the
//! program:
//!
//! 1. Namespaces: it leaves the host's view of files, network, processes, shared memory and host name, in a user
//!    namespace or, as root, by becoming a user that nobody else is.
//! 2. A root of its own: the system's programs and libraries and what the job names, read-only; a scratch folder in
//!    memory with a size; five harmless devices. No `/proc`.
//! 3. A process 1 that buries the dead, and whose end is everybody's.
//! 4. Limits: address space, files, descriptors, tasks, processor time, no core files.
//! 5. Landlock: files again, TCP, signals and abstract sockets.
//! 6. seccomp: an allowlist of system calls; no sockets, no new processes unless allowed, no memory that limits
//!    do not count, no odd parts of the kernel.
//!
//! Time, processor time and memory of the whole tree are watched from outside; output is kept up to a bound;
//! the end of the program is seen by waiting for its process, never by the end of a pipe.
//!
//! # What it is not
//!
//! A wall against a hostile expert with a fresh hole in the kernel. Programs of people who attack each other for
//! money, on one machine, belong in virtual machines or gVisor.

#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod identity;
mod job;
#[cfg(target_os = "linux")]
mod launch;
mod mechanism;
mod plan;
#[cfg(target_os = "linux")]
mod restrict;
#[cfg(target_os = "linux")]
mod root;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(target_os = "linux")]
mod scratch;
#[cfg(target_os = "linux")]
mod step;
#[cfg(target_os = "linux")]
mod sys;

pub use job::{Allowance, Cage, Job};
pub use mechanism::{Mechanism, Mechanisms, Tier};
#[cfg(target_os = "linux")]
pub use sandbox::{
    Confined, Confinement, LauncherProgram, Outcome, ResultsError, Sandbox, SandboxConfig, SandboxError,
    detect,
};

use std::ffi::OsString;

/// The argument by which a program learns that it is a launcher.
pub(crate) const LAUNCHER_ARG: &str = "__launch";

/// To be called first in `main` of a program that uses [`Sandbox`], with its arguments, before any thread exists:
/// when this process was started as a launcher, becomes the program to be confined and does not return.
#[cfg(target_os = "linux")]
pub fn enter(args: impl IntoIterator<Item = OsString>) {
    let mut args = args.into_iter().skip(1);
    if args.next().is_none_or(|arg| arg != LAUNCHER_ARG) {
        return;
    }
    match args.next() {
        None => launch::run(),
        Some(_) => launch::probe(),
    }
}
