//! The one owner of a growing file.

use super::FileError;
use springtide_runtime::locks::{Condvar, Mutex, MutexGuard, lock, wait};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

/// When what was appended is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before `append` returns: a power cut loses nothing that was acknowledged. Appends that wait at the same
    /// time share one sync.
    Each,
    /// By the first append that comes so long after the last sync, by [`Appender::sync`] and at the end.
    Within(Duration),
    /// By [`Appender::sync`] and at the end; until then when the system pleases. A kill of the process loses
    /// nothing, a power cut may.
    AtEnd,
}

/// Settings of an [`Appender`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOptions {
    /// When to sync.
    pub durability: Durability,
    /// Most bytes that wait to be written; whoever appends beyond waits.
    pub waiting_max: usize,
}

impl Default for AppendOptions {
    /// Durable before it returns; 8 MiB may wait.
    fn default() -> Self {
        Self { durability: Durability::Each, waiting_max: 8 << 20 }
    }
}

/// What an appender did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendCounts {
    /// Lines appended.
    pub lines: u64,
    /// Writes that carried them.
    pub writes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Bytes of an unfinished last line, left by a kill, that were cut off on opening.
    pub repaired_bytes: u64,
}

/// Appends lines to a file that nobody else writes: a second owner, in this process or another, is refused.
/// Threads share it by clones; their lines go in whole, in the order in which they came. What waits at the
/// same time is written and synced together by one of the waiting threads.
#[derive(Clone, Debug)]
pub struct Appender {
    core: Arc<Core>,
}

#[derive(Debug)]
struct Core {
    path: PathBuf,
    options: AppendOptions,
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Debug)]
struct State {
    /// Away while a thread writes.
    file: Option<File>,
    waiting: Vec<u8>,
    waiting_lines: u64,
    /// Batches begun, and ended well or badly. Lines that wait belong to batch `begun`.
    begun: u64,
    ended: u64,
    /// Batches that failed, until everyone in them has heard of it, with how many have not.
    failed: Vec<(u64, u64, io::ErrorKind, String)>,
    /// Bytes of the file that are whole lines.
    length: u64,
    synced: Instant,
    unsynced: bool,
    /// The file could not be brought back to whole lines.
    broken: bool,
    counts: AppendCounts,
}

impl Appender {
    /// Opens or creates a file of lines and takes it for its own. An unfinished last line is cut off and
    /// counted.
    ///
    /// # Errors
    /// [`FileError::Owned`] when somebody else has it; otherwise when the system refuses.
    pub fn open(path: &Path, options: AppendOptions) -> Result<Self, FileError> {
        let at = |action| FileError::at(action, path);
        let new = !path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(at("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FileError::Owned { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(at("lock")(source)),
        }
        let (length, repaired_bytes) = repair(&mut file).map_err(at("repair"))?;
        if new {
            crate::atomic::sync_folder(crate::atomic::folder_of(path)).map_err(at("create"))?;
        }
        let state = State {
            file: Some(file),
            waiting: Vec::new(),
            waiting_lines: 0,
            begun: 0,
            ended: 0,
            failed: Vec::new(),
            length,
            synced: Instant::now(),
            unsynced: false,
            broken: false,
            counts: AppendCounts { repaired_bytes, ..AppendCounts::default() },
        };
        let core = Core { path: path.to_owned(), options, state: Mutex::new(state), turn: Condvar::new() };
        Ok(Self { core: Arc::new(core) })
    }

    /// Appends one line, to which the line end is added. On return it is written, and durable as the options
    /// say. On error nothing of it is in the file.
    ///
    /// # Errors
    /// When the write failed ([`FileError::Full`] for a full disk), or the line holds a line end.
    pub fn append(&self, line: &[u8]) -> Result<(), FileError> {
        let core = &*self.core;
        if line.contains(&b'\n') {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "a line end within a line");
            return Err(FileError::new("append to", &core.path, source));
        }
        let mut state = core.lock();
        while state.waiting.len() > core.options.waiting_max && state.file.is_none() {
            state = core.wait(state);
        }
        state.waiting.extend_from_slice(line);
        state.waiting.push(b'\n');
        state.waiting_lines += 1;
        let mine = state.begun;
        loop {
            if state.ended > mine {
                return core.verdict(&mut state, mine);
            }
            state = match state.file.take() {
                Some(file) => core.write(state, file),
                None => core.wait(state),
            };
        }
    }

    /// Forces to the disk what was appended.
    ///
    /// # Errors
    /// When the system cannot.
    pub fn sync(&self) -> Result<(), FileError> {
        let mut state = self.core.lock();
        while state.file.is_none() {
            state = self.core.wait(state);
        }
        self.core.sync(&mut state).map_err(FileError::at("sync", &self.core.path))
    }

    /// What it did so far.
    pub fn counts(&self) -> AppendCounts {
        self.core.lock().counts
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.core.path
    }
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        wait(&self.turn, state)
    }

    /// Writes all that waits, as the thread that has the file.
    fn write<'a>(&'a self, mut state: MutexGuard<'a, State>, mut file: File) -> MutexGuard<'a, State> {
        let bytes = std::mem::take(&mut state.waiting);
        let lines = std::mem::take(&mut state.waiting_lines);
        let (batch, length) = (state.begun, state.length);
        state.begun += 1;
        let due = match self.options.durability {
            Durability::Each => true,
            Durability::Within(time) => state.synced.elapsed() >= time,
            Durability::AtEnd => false,
        };
        let broken = state.broken;
        drop(state);
        let outcome = match broken {
            true => Err(io::Error::other("an earlier write left it damaged: open it again to repair it")),
            false => file.write_all(&bytes).and_then(|()| if due { file.sync_data() } else { Ok(()) }),
        };
        // Nothing of a batch that failed stays: its lines were not acknowledged.
        let back = match &outcome {
            Ok(()) => Ok(()),
            Err(_) => file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length)).map(|_| ())),
        };
        let mut state = self.lock();
        state.ended = batch + 1;
        state.broken |= back.is_err();
        match outcome {
            Ok(()) => {
                state.length += bytes.len() as u64;
                state.counts.lines += lines;
                state.counts.writes += 1;
                state.counts.syncs += u64::from(due);
                state.unsynced = !due;
                if due {
                    state.synced = Instant::now();
                }
            }
            Err(error) => state.failed.push((batch, lines, error.kind(), error.to_string())),
        }
        state.file = Some(file);
        if state.waiting.is_empty() {
            // The memory serves again.
            state.waiting = bytes;
            state.waiting.clear();
        }
        self.turn.notify_all();
        state
    }

    /// What became of a batch, told to one of its lines.
    fn verdict(&self, state: &mut State, batch: u64) -> Result<(), FileError> {
        let Some(at) = state.failed.iter().position(|f| f.0 == batch) else { return Ok(()) };
        let failure = &mut state.failed[at];
        failure.1 -= 1;
        let source = io::Error::new(failure.2, failure.3.clone());
        if failure.1 == 0 {
            state.failed.swap_remove(at);
        }
        Err(FileError::new("append to", &self.path, source))
    }

    fn sync(&self, state: &mut State) -> io::Result<()> {
        if let Some(file) = state.file.as_ref().filter(|_| state.unsynced) {
            file.sync_data()?;
            state.counts.syncs += 1;
            (state.synced, state.unsynced) = (Instant::now(), false);
        }
        Ok(())
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = state.file.as_ref().filter(|_| state.unsynced) {
            // Nobody is left to tell; `sync` is for those who want to know.
            let _ = file.sync_data();
        }
    }
}

/// Cuts off an unfinished last line. Length of the rest, at which the file then stands, and bytes cut.
fn repair(file: &mut File) -> io::Result<(u64, u64)> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut whole = end;
    let mut buffer = [0; 4096];
    while whole > 0 {
        let start = whole.saturating_sub(buffer.len() as u64);
        let piece = &mut buffer[..(whole - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(piece)?;
        if let Some(at) = memchr::memrchr(b'\n', piece) {
            whole = start + at as u64 + 1;
            break;
        }
        whole = start;
    }
    if whole < end {
        file.set_len(whole)?;
        file.sync_data()?;
    }
    file.seek(SeekFrom::Start(whole))?;
    Ok((whole, end - whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        (folder, path)
    }

    #[test]
    fn lines_of_many_threads_go_in_whole_and_share_syncs() {
        let (_folder, path) = place();
        let file = Appender::open(&path, AppendOptions::default()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let file = file.clone();
                scope.spawn(move || {
                    for n in 0..50 {
                        file.append(format!("{thread} {n} {}", "x".repeat(n * 7)).as_bytes()).unwrap();
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let mut next = [0; 8];
        for line in text.lines() {
            let mut parts = line.split(' ');
            let mut number = || parts.next().unwrap().parse::<usize>().unwrap();
            let (thread, n) = (number(), number());
            assert_eq!(next[thread], n, "a thread's lines keep their order");
            assert_eq!(parts.next().unwrap().len(), n * 7);
            next[thread] += 1;
        }
        assert_eq!(next, [50; 8]);
        let counts = file.counts();
        assert_eq!((counts.lines, counts.repaired_bytes), (400, 0));
        assert!(counts.syncs == counts.writes && counts.writes <= 400);
    }

    #[test]
    fn a_second_owner_is_refused_until_the_first_is_gone() {
        let (_folder, path) = place();
        let first = Appender::open(&path, AppendOptions::default()).unwrap();
        let error = Appender::open(&path, AppendOptions::default()).unwrap_err();
        assert!(matches!(error, FileError::Owned { .. }), "{error}");
        first.append(b"1").unwrap();
        drop(first);
        Appender::open(&path, AppendOptions::default()).unwrap().append(b"2").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n");
    }

    #[test]
    fn an_unfinished_line_is_cut_off_and_counted() {
        let (_folder, path) = place();
        for (before, after, cut) in
            [("a\nb\nhalf", "a\nb\n", 4), ("half", "", 4), ("a\n", "a\n", 0), ("", "", 0)]
        {
            std::fs::write(&path, before).unwrap();
            let file = Appender::open(&path, AppendOptions::default()).unwrap();
            assert_eq!(file.counts().repaired_bytes, cut);
            file.append(b"new").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{after}new\n"));
        }
        let long = "l".repeat(9_000);
        std::fs::write(&path, format!("first\n{long}")).unwrap();
        assert_eq!(Appender::open(&path, AppendOptions::default()).unwrap().counts().repaired_bytes, 9_000);
    }

    #[test]
    fn syncs_follow_the_policy() {
        let (_folder, path) = place();
        let late = AppendOptions { durability: Durability::AtEnd, ..AppendOptions::default() };
        let file = Appender::open(&path, late).unwrap();
        (0..10).for_each(|_| file.append(b"x").unwrap());
        assert_eq!(file.counts().syncs, 0);
        file.sync().unwrap();
        file.sync().unwrap();
        assert_eq!(file.counts().syncs, 1, "nothing to do the second time");
        drop(file);
        let hourly = AppendOptions { durability: Durability::Within(Duration::from_secs(3_600)), ..late };
        let file = Appender::open(&path, hourly).unwrap();
        (0..10).for_each(|_| file.append(b"x").unwrap());
        assert_eq!(file.counts().syncs, 0);
        let error = file.append(b"a\nb").unwrap_err();
        assert!(error.to_string().contains("line end"), "{error}");
        assert_eq!(file.counts().lines, 10);
    }
}
