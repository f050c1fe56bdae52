//! Child processes under watch: started without copying this process, streamed with bounds, ended with all that
//! descends from them, and told about precisely.
//!
//! ```no_run
//! use springtide_runtime::process::{self, ChildOptions, ChildSpec, Children, ChildrenConfig, Ending, Limits};
//! use std::{process::ExitCode, time::Duration};
//!
//! fn main() -> ExitCode {
//!     // First of all: this program also serves as its own warden.
//!     if let Some(code) = process::enter(std::env::args_os()) {
//!         return code;
//!     }
//!     let children = Children::new(ChildrenConfig::default()).expect("a warden");
//!     let spec = ChildSpec::new("python3").args(["-c", "print(6 * 7)"]).limits(Limits {
//!         cpu: Some(Duration::from_secs(2)),
//!         memory_bytes: Some(256 << 20),
//!         ..Limits::within(Duration::from_secs(5))
//!     });
//!     let exit = children.spawn(spec, ChildOptions::new("answer")).and_then(|child| child.wait());
//!     match exit {
//!         Ok(exit) if exit.ending == Ending::Code(0) => assert_eq!(exit.stdout.text(), "42\n"),
//!         Ok(exit) => panic!("{}", exit.ending),
//!         Err(error) => panic!("{error}"),
//!     }
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! # How it is built
//!
//! A [`Children`] has one thread and one process of its own. The thread makes pipes and moves bytes. The process,
//! the *warden*, is this very program executed once more: small, with one thread, it starts the children
//! (`vfork` and `exec`, so never a copy of anything), waits for them and ends them. Both talk over a socket.
//!
//! The warden is what makes the promises hold:
//! - The cost of a start does not depend on how large this process is, and its peak memory does not show up as
//!   the child's.
//! - Descendants cannot slip away. The warden adopts whatever loses its parent (it is a *subreaper*), also
//!   after `setsid` and double forks, and knows by a tag in the resource limits which child it belongs to.
//! - When this process is killed, the warden sees its socket close, and ends every tree.
//!
//! # What is promised
//!
//! - Every child that was asked for has one result: an [`Exit`], or a [`ProcessError`] when it did not run. The
//!   exit comes when the child *and all its descendants* have ended; who could not be ended is counted.
//! - No child outlives its time: [`Limits::wall`] counts from its start.
//! - Memory is bounded: output is kept up to a bound, or streamed through a bounded buffer.
//! - A child gets the descriptors and variables it was given and no others.
//!
//! # What is not
//!
//! Descendants of *another user* (a setuid program) may be impossible to signal; they are counted as survivors.
//! A hostile program can hide from the watch by changing its limits, or use up what is not limited: what is not
//! trusted belongs in a sandbox.

mod children;
mod client;
mod error;
mod exit;
mod handle;
mod link;
mod pipe;
mod progress;
mod pump;
mod signals;
mod spec;
mod stream;
mod warden;
mod wire;

pub use children::{
    Capabilities, ChildCounts, ChildState, Children, ChildrenConfig, ChildrenError, ChildrenSnapshot,
    WardenProgram,
};
pub use error::ProcessError;
pub use exit::{Captured, Ending, Exit, OutputStream, Status, Usage};
pub use handle::Child;
pub use progress::{Progress, ProgressReport};
pub use spec::{Beyond, ChildOptions, ChildSpec, Input, Limits, Output, ProgressChannel};
pub use stream::{ChildInput, ChildOutput};

use std::{ffi::OsString, process::ExitCode};

/// The argument by which a program learns that it is a warden.
pub(crate) const WARDEN_ARG: &str = "__warden";

/// To be called first in `main` of a program that uses [`Children`], with its arguments: when this process was
/// started as a warden, works as one and returns the exit code to leave with; otherwise returns `None` at once.
pub fn enter(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    if args.into_iter().nth(1)? != WARDEN_ARG {
        return None;
    }
    match warden::run(std::io::stdin()) {
        Ok(()) => Some(ExitCode::SUCCESS),
        // Nobody listens any more; the other end sees the socket close.
        Err(_) => Some(ExitCode::from(2)),
    }
}
