//! Files: many at once, large ones in blocks, maps that survive being cut, writers with one owner, folders
//! under watch.
//!
//! - [`FilePool`] reads many files with bounded concurrency and does the caller's work on each in the same
//!   step, on the runtime's workers; the results are a stream ([`Batch`]).
//! - [`LineBlocks`] reads a large file in blocks of whole lines, whose size adapts ([`BlockSize`]).
//! - [`Mapping`] maps a file; if somebody cuts the file meanwhile, reading gives zeros and
//!   [`Mapping::check`] an error, instead of ending the process.
//! - [`Appender`] is the one owner of a growing file: appends from many threads, in order, synced together.
//!   [`replace`] puts a whole new file in an old one's place.
//! - [`FolderWatch`] tells which files below a folder changed.
//!
//! Every error names the file and what to do.

mod append;
mod batch;
mod blocks;
mod error;
mod map;
mod pool;
mod replace;
mod size;
mod watch;

pub use append::{AppendCounts, AppendOptions, Appender, Durability};
pub use batch::{Batch, Blocking, Item};
pub use blocks::{LineBlock, LineBlocks, LineFile};
pub use error::FileError;
pub use map::Mapping;
pub use pool::{BatchOptions, FilePool, Loaded, PoolOptions};
pub use replace::{Keep, replace};
pub use size::{BlockSize, SizeBounds};
pub use watch::{Changes, FolderWatch, Settling};

/// Bytes that stand before a loaded text, so that sixteen bytes can be read that end anywhere in it.
pub const FRONT: usize = 64;
