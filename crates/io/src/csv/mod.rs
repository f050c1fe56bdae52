//! Bars from delimited text: found out from its first lines, read in parts by several threads, put together
//! in order. Memory does not grow with the file.

pub(crate) mod clock;
mod dialect;
mod marks;
pub(crate) mod number;
pub use clock::EpochUnit;
pub(crate) use number::join_eight;
pub(crate) mod scan;
#[cfg(target_arch = "x86_64")]
mod wide;

use crate::{
    collect::{Batch, Collector, Sink},
    header,
    import::io_error,
    report::{Dialect, ImportError, ImportOptions},
};
use dialect::Plan;
use jiff::tz::TimeZone;
use scan::Scanner;
use springtide_runtime::locks::{Condvar, Mutex, MutexGuard, lock, wait};
use std::{collections::BTreeMap, fs::File, io, path::Path, sync::PoisonError};

/// A line of bars is far shorter; what has no line end for so long is something else.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Bytes at any place, from several threads at once.
pub(crate) trait Source: Sync {
    /// Fills `buf` from `offset` as far as there are bytes; returns how many.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Bytes in all.
    fn size(&self) -> io::Result<u64>;
}

impl Source for [u8] {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.get(offset as usize..).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl Source for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match positioned_read(self, offset + filled as u64, &mut buf[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

#[cfg(unix)]
fn positioned_read(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(windows)]
fn positioned_read(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

/// What the reading found besides rows.
pub(crate) struct CsvFindings {
    pub dialect: Dialect,
    pub columns: Vec<(String, String)>,
    pub ignored: Vec<String>,
    pub notes: Vec<String>,
}

/// A text source whose dialect is known.
pub(crate) struct CsvReader<'a, S: Source + ?Sized> {
    path: &'a Path,
    source: &'a S,
    size: u64,
    plan: Plan,
}

impl<'a, S: Source + ?Sized> CsvReader<'a, S> {
    /// Finds out how the source is written. `path` is for messages.
    pub(crate) fn open(
        path: &'a Path,
        source: &'a S,
        zone: &TimeZone,
        options: &ImportOptions,
    ) -> Result<Self, ImportError> {
        let size = source.size().map_err(io_error(path))?;
        let mut head = vec![0; dialect::SNIFF_BYTES.min(usize::try_from(size).unwrap_or(usize::MAX))];
        let count = source.read_at(0, &mut head).map_err(io_error(path))?;
        let plan = dialect::sniff(path, &head[..count], count as u64 == size, zone, options)?;
        Ok(Self { path, source, size, plan })
    }

    /// About how many rows there are: line ends counted in small files and in samples of large ones, with some to
    /// spare. Lines of bars have much the same length.
    pub(crate) fn rows_expected(&self) -> io::Result<u64> {
        const SAMPLES: u64 = 16;
        const SAMPLE_BYTES: u64 = 64 << 10;
        let size = self.size - self.plan.data_start;
        let mut buf = vec![0u8; SAMPLE_BYTES as usize];
        let mut lines_at = |offset: u64| -> io::Result<u64> {
            let filled = self.source.read_at(self.plan.data_start + offset, &mut buf)?;
            Ok(memchr::memchr_iter(b'\n', &buf[..filled]).count() as u64)
        };
        if size <= SAMPLES * SAMPLE_BYTES {
            let lines: io::Result<u64> = (0..size).step_by(SAMPLE_BYTES as usize).map(lines_at).sum();
            return lines.map(|lines| lines + 1);
        }
        let stretch = (size - SAMPLE_BYTES) / (SAMPLES - 1);
        let densest =
            (0..SAMPLES).map(|i| lines_at(i * stretch)).try_fold(0, |most, n| n.map(|n| most.max(n)))?;
        Ok((size as f64 / SAMPLE_BYTES as f64 * (densest + 1) as f64 * 1.01) as u64)
    }

    /// Reads all rows into a collector.
    pub(crate) fn read<K: Sink + Send>(
        &self,
        options: &ImportOptions,
        collector: &mut Collector<'_, K>,
    ) -> Result<CsvFindings, ImportError> {
        collector.line_base = self.plan.lines_before;
        let parts = (self.size - self.plan.data_start).div_ceil(options.chunk_bytes() as u64);
        let threads = options.threads().min(parts.try_into().unwrap_or(usize::MAX)).max(1);
        let line = Assembly::new(collector, threads);
        on_threads(threads, || self.work(parts, options.chunk_bytes(), &line));
        if let Some(fault) = line.into_fault() {
            return Err(self.fault(fault));
        }
        let roles = &self.plan.roles;
        let (columns, ignored) = header::describe(roles, &self.plan.names);
        Ok(CsvFindings { dialect: self.plan.dialect(), columns, ignored, notes: self.plan.notes.clone() })
    }

    /// One thread's share: takes parts until none is left.
    fn work<K: Sink>(&self, parts: u64, chunk: usize, line: &Assembly<'_, '_, K>) {
        let _guard = PanicGuard(line);
        let mut scanner = Scanner::new(&self.plan);
        let mut buf = Vec::new();
        while let Some((part, mut batch)) = line.take(parts) {
            let done = self.parse_part(part, chunk, &mut buf, &mut scanner, &mut batch);
            if let Err(fault) = done.and_then(|()| line.put(part, batch).map_err(Fault::Io)) {
                line.fail(fault);
            }
        }
    }

    /// Reads the lines that begin in a part.
    fn parse_part(
        &self,
        part: u64,
        chunk: usize,
        buf: &mut Vec<u8>,
        scanner: &mut Scanner,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let begin = self.plan.data_start + part * chunk as u64;
        let end = (begin + chunk as u64).min(self.size);
        // The byte before tells whether a line begins right at the part's start.
        let lead = usize::from(part > 0);
        let wanted = (end - begin) as usize + lead;
        let filled = self.fill(buf, begin - lead as u64, wanted)?;
        let Some(first) = first_line(&buf[..filled], lead) else { return Ok(()) };
        if first >= filled || (part > 0 && first >= wanted) {
            return Ok(());
        }
        scanner.scan(buf, first, filled, batch);
        Ok(())
    }

    /// Fills `buf` with `wanted` bytes and the rest of the last line; zeros follow. Returns the count.
    fn fill(&self, buf: &mut Vec<u8>, offset: u64, wanted: usize) -> Result<usize, Fault> {
        const STEP: usize = 1024;
        buf.resize(wanted + STEP + number::PADDING, 0);
        let mut filled = self.source.read_at(offset, &mut buf[..wanted + STEP])?;
        let mut looked = wanted.saturating_sub(1);
        loop {
            if let Some(at) = memchr::memchr(b'\n', &buf[looked.min(filled)..filled]) {
                filled = looked + at + 1;
                break;
            }
            if filled < buf.len() - number::PADDING {
                break;
            }
            if filled > wanted + LINE_BYTES_MAX {
                return Err(Fault::LongLine(offset + wanted as u64));
            }
            looked = filled;
            let more = buf.len() + filled.max(STEP);
            buf.resize(more, 0);
            filled +=
                self.source.read_at(offset + filled as u64, &mut buf[filled..more - number::PADDING])?;
        }
        buf.truncate(filled);
        buf.resize(filled + number::PADDING, 0);
        Ok(filled)
    }

    fn fault(&self, fault: Fault) -> ImportError {
        match fault {
            Fault::Io(source) => io_error(self.path)(source),
            Fault::LongLine(offset) => ImportError::Columns {
                path: self.path.to_owned(),
                problem: format!("a line longer than {LINE_BYTES_MAX} bytes near byte {offset}"),
                hint: "this is no table of bars, or its line ends are lost".into(),
            },
        }
    }
}

/// Where the first line begins that belongs to a part, `lead` bytes of the part before in front of it.
fn first_line(buf: &[u8], lead: usize) -> Option<usize> {
    if lead == 0 {
        return Some(0);
    }
    memchr::memchr(b'\n', buf).map(|at| at + 1)
}

/// Runs the same work on several threads, this one among them.
fn on_threads<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let spawn =
            |i| std::thread::Builder::new().name(format!("parse-{i}")).spawn_scoped(scope, &work).ok();
        // A thread that cannot be had is done without: the others take its parts.
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        let mut results = vec![work()];
        for other in others {
            match other.join() {
                Ok(result) => results.push(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

enum Fault {
    Io(io::Error),
    LongLine(u64),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Parts parsed out of order, collected in order by whichever thread finds the next one there.
struct Assembly<'c, 'a, K: Sink> {
    state: Mutex<State>,
    moved: Condvar,
    collector: Mutex<&'c mut Collector<'a, K>>,
    /// Parts that may be under way or waiting; bounds the memory.
    window: u64,
}

/// Lets the other threads go when one panics: they would wait for its part forever.
struct PanicGuard<'p, 'c, 'a, K: Sink>(&'p Assembly<'c, 'a, K>);

impl<K: Sink> Drop for PanicGuard<'_, '_, '_, K> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Fault::Io(io::Error::other("a parsing thread panicked")));
        }
    }
}

#[derive(Default)]
struct State {
    next_taken: u64,
    next_collected: u64,
    collecting: bool,
    waiting: BTreeMap<u64, Batch>,
    spare: Vec<Batch>,
    fault: Option<Fault>,
}

impl<'c, 'a, K: Sink> Assembly<'c, 'a, K> {
    fn new(collector: &'c mut Collector<'a, K>, threads: usize) -> Self {
        let window = threads as u64 + 2;
        Self { state: Mutex::default(), moved: Condvar::new(), collector: Mutex::new(collector), window }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The next part to parse, once there is room for it; none after the last one or a fault.
    fn take(&self, parts: u64) -> Option<(u64, Batch)> {
        let mut state = self.lock();
        loop {
            if state.fault.is_some() || state.next_taken >= parts {
                return None;
            }
            if state.next_taken < state.next_collected + self.window {
                state.next_taken += 1;
                let batch = state.spare.pop().unwrap_or_default();
                return Some((state.next_taken - 1, batch));
            }
            state = wait(&self.moved, state);
        }
    }

    /// Hands in a parsed part and collects all that are next in order, unless another thread does.
    fn put(&self, part: u64, batch: Batch) -> io::Result<()> {
        let mut state = self.lock();
        state.waiting.insert(part, batch);
        if state.collecting {
            return Ok(());
        }
        state.collecting = true;
        loop {
            let next = state.next_collected;
            let Some(mut batch) = state.waiting.remove(&next) else { break };
            drop(state);
            let done = lock(&self.collector).accept(&mut batch);
            batch.clear();
            state = self.lock();
            state.next_collected += 1;
            state.spare.push(batch);
            self.moved.notify_all();
            if done.is_err() {
                state.collecting = false;
                return done;
            }
        }
        state.collecting = false;
        Ok(())
    }

    fn fail(&self, fault: Fault) {
        self.lock().fault.get_or_insert(fault);
        self.moved.notify_all();
    }

    fn into_fault(self) -> Option<Fault> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).fault
    }
}
