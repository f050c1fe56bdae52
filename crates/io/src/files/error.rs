//! What can go wrong with a file.

use std::{
    io,
    path::{Path, PathBuf},
};

/// An operation on a file that failed. Nothing half done is left where a reader would look.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: `read`, `write`, `open`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// No space left, or a quota reached.
    #[error(
        "cannot {action} {path}: the disk is full ({source}). Nothing of this write was kept: free some space, or choose a folder on \
         another disk"
    )]
    Full {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Larger than was allowed.
    #[error(
        "{path} has {bytes} bytes, more than the {most} allowed for one piece: read it in blocks, or raise the limit"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// A mapped file is shorter than when it was mapped.
    #[error(
        "{path} was cut while it was in use: it had {mapped} bytes and has {now}. What was computed from it is not valid: \
         restore the file and repeat"
    )]
    Shrunk {
        /// The file.
        path: PathBuf,
        /// Size when it was mapped.
        mapped: u64,
        /// Size now.
        now: u64,
    },
    /// Another handle, here or in another process, writes this file.
    #[error("{path} is being written by somebody else: end that program, or write to another file")]
    Owned {
        /// The file.
        path: PathBuf,
    },
    /// The caller's work on a file panicked.
    #[error("the work on {path} failed: {message}")]
    Panicked {
        /// The file.
        path: PathBuf,
        /// What the panic said.
        message: String,
    },
    /// The batch was cancelled before this file's turn.
    #[error("{path} was not read: the batch was cancelled")]
    Cancelled {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    /// The error of a system call on a file; a full disk is told apart.
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { action, path, source },
            _ => Self::Io { action, path, source },
        }
    }

    /// For `map_err`.
    pub(crate) fn at<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |source| Self::new(action, path, source)
    }

    /// The file it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::Full { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Shrunk { path, .. }
            | Self::Owned { path }
            | Self::Panicked { path, .. }
            | Self::Cancelled { path } => path,
        }
    }
}
