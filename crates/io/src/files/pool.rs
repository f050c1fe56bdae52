//! Threads that read files and work on them in the same step.

use super::{
    FRONT, FileError,
    batch::{Batch, Shared},
};
use springtide_runtime::{CancelToken, Group, GroupOptions, Pool, PoolConfig, PoolError, Priority, Registry};
use std::{
    cell::RefCell,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// A thread keeps a buffer up to this size for its next file.
const KEPT_BUFFER: usize = 4 << 20;

/// Settings of a [`FilePool`].
#[derive(Clone, Debug, Default)]
pub struct PoolOptions {
    /// Threads; [`FilePool::usual_threads`] when left out.
    pub threads: Option<usize>,
}

/// Settings of one batch.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Class of its work.
    pub priority: Priority,
    /// Whose work it is; owners take turns.
    pub owner: u64,
    /// Ends the batch: files whose turn has not come are given as [`FileError::Cancelled`].
    pub cancel: CancelToken,
    /// Results in the order of the paths, instead of as they come.
    pub in_order: bool,
    /// Most files on their way: given to the threads, being worked on, or done and not yet taken. The rest
    /// waits, so a slow taker slows the reading, and memory stays bounded.
    pub window: usize,
    /// Larger files are refused.
    pub bytes_max: u64,
}

impl Default for BatchOptions {
    /// Standard class, owner 0, as they come, 256 on their way, files up to 1 GiB.
    fn default() -> Self {
        Self {
            priority: Priority::Standard,
            owner: 0,
            cancel: CancelToken::new(),
            in_order: false,
            window: 256,
            bytes_max: 1 << 30,
        }
    }
}

/// A file's whole content, for the time of the caller's work on it.
#[derive(Clone, Copy, Debug)]
pub struct Loaded<'a> {
    path: &'a Path,
    buffer: &'a [u8],
    began: Instant,
}

impl<'a> Loaded<'a> {
    /// The file.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// When it was opened.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        &self.buffer[FRONT..]
    }

    /// Its bytes with [`FRONT`] zero bytes before them, for scanners that read backwards from a field's end.
    pub fn with_front(&self) -> &'a [u8] {
        self.buffer
    }
}

/// A few threads for work on files. Reading, parsing and writing one file are one task: handing a file from
/// thread to thread costs more than reading it from memory.
#[derive(Debug)]
pub struct FilePool {
    pool: Pool,
}

impl FilePool {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(options: PoolOptions) -> Result<Self, PoolError> {
        let workers = options.threads.unwrap_or_else(Self::usual_threads).max(1);
        let pool = Pool::new(PoolConfig { workers, name: "files".into(), ..PoolConfig::default() })?;
        Ok(Self { pool })
    }

    /// Four for each core, at least eight, at most 64: enough that some compute while others wait for the
    /// disk. More gain nothing, warm or cold.
    pub fn usual_threads() -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (4 * cores).clamp(8, 64)
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.workers()
    }

    /// What runs, for a display.
    pub fn registry(&self) -> Registry {
        self.pool.registry()
    }

    /// A group of other work on these threads.
    pub fn group<T: Send + 'static>(&self, options: GroupOptions) -> Group<T> {
        self.pool.group(options)
    }

    /// Reads every file and runs `work` on its content. `paths` is drawn from where the batch is polled, no
    /// further ahead than the window. A file that cannot be read is an item with an error; the others go on.
    pub fn read<T, P, W>(&self, paths: P, options: BatchOptions, work: W) -> Batch<T>
    where
        T: Send + 'static,
        P: IntoIterator<Item = PathBuf>,
        P::IntoIter: Send + 'static,
        W: Fn(Loaded<'_>) -> T + Send + Sync + 'static,
    {
        let most = options.bytes_max;
        let load = move |path: &Path| load(path, most, &work);
        let group = self.pool.group(GroupOptions {
            priority: options.priority,
            owner: options.owner,
            cancel: options.cancel.clone(),
            ..GroupOptions::default()
        });
        let paths = Box::new(paths.into_iter().fuse());
        Batch::new(group, Arc::new(Shared::new(self.threads(), load)), paths, &options)
    }
}

/// Reads a file into this thread's buffer and runs the work.
fn load<T>(path: &Path, most: u64, work: impl Fn(Loaded<'_>) -> T) -> Result<T, FileError> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    // Taken out for the time of the work, which may read a file itself.
    let mut buffer = BUFFER.take();
    let began = Instant::now();
    let result = fill(path, most, &mut buffer).map(|()| work(Loaded { path, buffer: &buffer, began }));
    if buffer.capacity() <= KEPT_BUFFER {
        BUFFER.set(buffer);
    }
    result
}

/// Reads the whole file behind [`FRONT`] zero bytes.
fn fill(path: &Path, most: u64, buffer: &mut Vec<u8>) -> Result<(), FileError> {
    let mut file = File::open(path).map_err(FileError::at("open", path))?;
    let bytes = file.metadata().map_err(FileError::at("open", path))?.len();
    let too_large = |bytes| FileError::TooLarge { path: path.to_owned(), bytes, most };
    if bytes > most {
        return Err(too_large(bytes));
    }
    // What an earlier file left behind the front is written over or cut off, so it need not be cleared.
    let expected = FRONT + bytes as usize;
    if buffer.len() < expected + 1 {
        buffer.resize(expected + 1, 0);
    }
    buffer[..FRONT].fill(0);
    let mut end = FRONT;
    loop {
        if end == buffer.len() {
            // It does not tell its length, or grows while it is read.
            if (end - FRONT) as u64 > most {
                return Err(too_large((end - FRONT) as u64));
            }
            buffer.resize(end + (end / 2).max(4096), 0);
        }
        match file.read(&mut buffer[end..]) {
            Ok(0) => break,
            Ok(count) => {
                end += count;
                // As long as it was when it was opened: there is no need to ask for more. Files of the system that
                // do not tell their length are read until nothing comes.
                if end == expected {
                    break;
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(FileError::new("read", path, source)),
        }
    }
    buffer.truncate(end);
    Ok(())
}
