//! Bars as all runs of a batch see them: one Arrow file, mapped by every process.

use rustix::fs::{MemfdFlags, SealFlags};
use std::{
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering},
};

/// A file this long is worth having at hand as a whole; longer ones are made up from the bars.
const TEXT_MAX_BYTES: usize = 64 << 20;

/// Bars as an Arrow IPC file: six columns of eight-byte values without nulls, uncompressed, in one batch.
#[derive(Debug)]
pub struct ArrowBars {
    /// The file, open for reading. Nobody may change it as long as workers use it.
    pub file: OwnedFd,
    /// Values in each column.
    pub rows: usize,
    /// First byte of the times (milliseconds since the epoch, UTC), of open, high, low, close and volume.
    pub starts: [usize; 6],
}

/// One data set, as it is passed to workers.
#[derive(Debug)]
pub struct BarsImage {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) bars: ArrowBars,
    pub(crate) text: Option<OwnedFd>,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl BarsImage {
    /// Bars under a name. `csv` is the text that `read_csv` of a script is to see; without it, one that is made of the
    /// bars.
    ///
    /// # Errors
    /// When the system has no memory to give.
    pub fn new(name: &str, bars: ArrowBars, csv: Option<&[u8]>) -> io::Result<Self> {
        let text = csv.filter(|text| !text.is_empty() && text.len() <= TEXT_MAX_BYTES);
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.into(),
            bars,
            text: text.map(sealed).transpose()?,
        })
    }
}

/// Memory that holds these bytes and can neither be written nor change its size, as an open file.
///
/// # Errors
/// When the system has no memory to give.
pub fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    sealed_parts(&[bytes])
}

/// The same of several parts, one after the other.
pub(crate) fn sealed_parts(parts: &[&[u8]]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(c"tide", flags)?);
    parts.iter().try_for_each(|part| file.write_all(part))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into())
}
