//! What can go wrong before a child runs, or around it.

use super::wire::Step;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a child could not be started or watched. A child that ran has an [`Exit`](super::Exit) instead, however
/// badly it ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No such program.
    #[error("cannot find the program `{}`{}", program.display(), searched_text(searched))]
    NotFound {
        /// What was asked for.
        program: PathBuf,
        /// Where a bare name was looked up; empty for a path.
        searched: Vec<PathBuf>,
    },
    /// The specification cannot be carried out.
    #[error("cannot start `{}`: {problem}", program.display())]
    BadSpec {
        /// What was to be started.
        program: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system refused.
    #[error("cannot start `{}`: {what}", program.display())]
    Start {
        /// What was to be started.
        program: PathBuf,
        /// The step that failed, and the remedy.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// It was cancelled before it started.
    #[error("cancelled before it started")]
    Cancelled,
    /// The [`Children`](super::Children) it belongs to are being shut down.
    #[error("no child is started any more: the program is shutting down")]
    Closed,
    /// The warden could not be started.
    #[error("cannot start the process that watches children ({}): {what}", program.display())]
    Warden {
        /// The warden's program.
        program: PathBuf,
        /// What happened.
        what: String,
        /// What the system said.
        source: Option<io::Error>,
    },
    /// The warden ended while the child ran; the child was ended with it.
    #[error("the process that watches children ended unexpectedly, and the child with it; try again")]
    Lost,
}

fn searched_text(searched: &[PathBuf]) -> String {
    match searched {
        [] => String::new(),
        folders => {
            let list: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
            format!(" in {}", list.join(", "))
        }
    }
}

/// Words for a step that failed.
pub(crate) fn start_error(program: PathBuf, folder: Option<&Path>, step: Step, errno: i32) -> ProcessError {
    let source = io::Error::from_raw_os_error(errno);
    let missing = errno == libc::ENOENT;
    let what = match step {
        Step::Exec if missing && !program.exists() => {
            return ProcessError::NotFound { program, searched: Vec::new() };
        }
        Step::Exec if missing => match interpreter(&program) {
            Some(name) => format!("its interpreter `{name}` is missing"),
            None => "the loader or a library it names is missing".into(),
        },
        Step::Exec if errno == libc::EACCES => "it is not executable; chmod +x would make it so".into(),
        Step::Exec if errno == libc::ENOEXEC => "it is no program of this machine".into(),
        Step::Exec if errno == libc::E2BIG => "arguments and environment are too long".into(),
        Step::Exec => "the system does not run it".into(),
        Step::Folder => match folder {
            Some(folder) => format!("the working folder `{}` cannot be entered", folder.display()),
            None => "the root folder cannot be entered".into(),
        },
        Step::Clone if errno == libc::EAGAIN => {
            "there are too many processes; raise `ulimit -u` or run fewer at once".into()
        }
        Step::Clone => "no new process could be made".into(),
        Step::Limit => "a resource limit could not be set".into(),
        Step::Descriptor => "a descriptor could not be placed".into(),
        Step::Session | Step::ParentDeath => "the new process could not be tied to this one".into(),
    };
    ProcessError::Start { program, what, source }
}

/// The program named in a script's first line.
fn interpreter(script: &Path) -> Option<String> {
    use std::io::Read;
    let mut start = [0; 256];
    let length = std::fs::File::open(script).ok()?.read(&mut start).ok()?;
    let line = start[..length].strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    String::from_utf8_lossy(line).split_whitespace().next().map(Into::into)
}
