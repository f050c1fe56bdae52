//! Bars as all runs of a batch see them: one sealed area of memory, mapped by every process.

use rustix::fs::{MemfdFlags, SealFlags};
use springtide_domain::BarsView;
use std::{
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering},
};

/// A file this long is worth having at hand as a whole; longer ones are made up from the bars.
const TEXT_MAX_BYTES: usize = 64 << 20;

/// One data set, as it is passed to workers.
#[derive(Debug)]
pub struct BarsImage {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) columns: OwnedFd,
    pub(crate) text: Option<OwnedFd>,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl BarsImage {
    /// Copies columns into memory that nobody can change. `csv` is the text that `read_csv` of a script is to see;
    /// without it, one that is made of the bars.
    ///
    /// # Errors
    /// When the system has no memory to give.
    pub fn new(name: &str, bars: &BarsView<'_>, csv: Option<&[u8]>) -> io::Result<Self> {
        let mut bytes = Vec::with_capacity(bars.len() * 48);
        bytes.extend(bars.time.iter().flat_map(|ms| (ms * 1_000_000).to_le_bytes()));
        for column in [bars.open, bars.high, bars.low, bars.close, bars.volume] {
            bytes.extend(column.iter().flat_map(|x| x.to_le_bytes()));
        }
        let text = csv.filter(|text| !text.is_empty() && text.len() <= TEXT_MAX_BYTES);
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.into(),
            rows: bars.len(),
            columns: sealed(&bytes)?,
            text: text.map(sealed).transpose()?,
        })
    }
}

/// Memory that holds these bytes and can neither be written nor change its size.
pub(crate) fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(c"tide", flags)?);
    file.write_all(bytes)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into())
}
