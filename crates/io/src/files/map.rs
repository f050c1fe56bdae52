//! Mapped files that do not end the process when somebody cuts them.
//!
//! Touching a mapped page that the file no longer has raises SIGBUS, whose default ends the process. Here a
//! handler looks whether the address belongs to a [`Mapping`]; if so it puts zero pages over the rest of the
//! mapping, marks it, and reading goes on. So a computation on a file that was cut runs to its end, on zeros,
//! and [`Mapping::check`] then gives the error. A SIGBUS of any other cause goes to the handler that was there
//! before.

use super::FileError;
use arrow_buffer::Buffer;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::Arc,
};

/// A file mapped for reading; copied into memory where it cannot be mapped under guard.
#[derive(Debug)]
pub struct Mapping {
    path: PathBuf,
    file: File,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The slot is given up before the pages are, so that it never speaks of another mapping's.
    Mapped {
        guard: guard::Slot,
        map: memmap2::Mmap,
    },
    Copied(Buffer),
}

impl Mapping {
    /// Maps a whole file. Beyond 16,384 mappings at once, and where the system refuses (file systems without
    /// maps, `vm.max_map_count`), the file is copied into memory.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::at("open", path))?;
        let bytes = file.metadata().map_err(FileError::at("open", path))?.len();
        let mapped = if bytes == 0 { None } else { map(&file) };
        let content = match mapped {
            Some(content) => content,
            None => Content::Copied(copy(&file, bytes).map_err(FileError::at("read", path))?),
        };
        Ok(Self { path: path.to_owned(), file, content })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Mapped { map, .. } => map,
            Content::Copied(buffer) => buffer,
        }
    }

    /// The open file, where it is mapped rather than copied.
    pub(crate) fn file(&self) -> Option<&File> {
        matches!(self.content, Content::Mapped { .. }).then_some(&self.file)
    }

    /// Whether the file still has all the bytes that were mapped, and had them whenever they were read.
    ///
    /// # Errors
    /// [`FileError::Shrunk`] when it was cut.
    pub fn check(&self) -> Result<(), FileError> {
        let Content::Mapped { guard, map } = &self.content else { return Ok(()) };
        let mapped = map.len() as u64;
        let now = self.file.metadata().map_err(FileError::at("check", &self.path))?.len();
        if now < mapped || guard.was_hit() {
            return Err(FileError::Shrunk { path: self.path.clone(), mapped, now });
        }
        Ok(())
    }

    /// The bytes as a buffer of columns, without a copy.
    #[allow(unsafe_code)]
    pub fn buffer(self: &Arc<Self>) -> Buffer {
        let (start, length) = match &self.content {
            Content::Mapped { map, .. } => (NonNull::from(&map[..]).cast::<u8>(), map.len()),
            Content::Copied(buffer) => return buffer.clone(),
        };
        // SAFETY: start and length are the mapping's, which the buffer keeps alive and only reads.
        unsafe { Buffer::from_custom_allocation(start, length, Arc::clone(self) as _) }
    }
}

#[allow(unsafe_code)]
fn map(file: &File) -> Option<Content> {
    // SAFETY: the bytes are only read. Whoever writes into the file meanwhile changes numbers, which no program
    // can prevent; our own writers replace files whole. Whoever cuts it is met by the guard.
    let map = unsafe { memmap2::Mmap::map(file) }.ok()?;
    let guard = guard::Slot::take(map.as_ptr() as usize, map.len())?;
    Some(Content::Mapped { guard, map })
}

/// Copied columns must begin where numbers may.
fn copy(mut file: &File, bytes: u64) -> std::io::Result<Buffer> {
    let mut text = Vec::with_capacity(bytes as usize);
    file.read_to_end(&mut text)?;
    let mut words = vec![0u64; text.len().div_ceil(8)];
    for (word, bytes) in words.iter_mut().zip(text.chunks(8)) {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_ne_bytes(padded);
    }
    Ok(Buffer::from_vec(words).slice_with_length(0, text.len()))
}

#[cfg(unix)]
mod guard {
    use std::{
        mem::MaybeUninit,
        sync::{
            OnceLock,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
    };

    /// Mappings at a time. A table of fixed size, because the handler must not wait for a lock.
    const SLOTS: usize = 16_384;

    /// One guarded mapping; `length` zero is free, `start` zero is being filled.
    struct Entry {
        start: AtomicUsize,
        length: AtomicUsize,
        hit: AtomicBool,
    }

    static TABLE: [Entry; SLOTS] = [const {
        Entry { start: AtomicUsize::new(0), length: AtomicUsize::new(0), hit: AtomicBool::new(false) }
    }; SLOTS];
    /// Slots below this were used at some time.
    static USED: AtomicUsize = AtomicUsize::new(0);
    /// Where a free slot is likely.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static PAGE: AtomicUsize = AtomicUsize::new(4096);
    static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

    /// A place in the table, free again when dropped.
    #[derive(Debug)]
    pub(super) struct Slot(usize);

    impl Slot {
        /// None when the handler cannot be installed or the table is full.
        pub(super) fn take(start: usize, length: usize) -> Option<Self> {
            install().then_some(())?;
            let first = NEXT.load(Ordering::Relaxed);
            for number in (first..SLOTS).chain(0..first) {
                let entry = &TABLE[number];
                if entry.length.compare_exchange(0, length, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    entry.hit.store(false, Ordering::Relaxed);
                    // The handler takes a start of zero for no mapping.
                    entry.start.store(start, Ordering::Release);
                    USED.fetch_max(number + 1, Ordering::Release);
                    NEXT.store((number + 1) % SLOTS, Ordering::Relaxed);
                    return Some(Self(number));
                }
            }
            None
        }

        pub(super) fn was_hit(&self) -> bool {
            TABLE[self.0].hit.load(Ordering::Acquire)
        }
    }

    impl Drop for Slot {
        fn drop(&mut self) {
            let entry = &TABLE[self.0];
            entry.start.store(0, Ordering::Release);
            entry.length.store(0, Ordering::Release);
            NEXT.store(self.0, Ordering::Relaxed);
        }
    }

    /// Puts the handler in place, once per process; whether it is there.
    #[allow(unsafe_code)]
    fn install() -> bool {
        static DONE: OnceLock<bool> = OnceLock::new();
        *DONE.get_or_init(|| {
            let mut previous = MaybeUninit::<libc::sigaction>::uninit();
            // SAFETY: all bytes zero is a valid sigaction; the calls get valid pointers. The previous action
            // is kept before ours can run, so that the handler finds it.
            unsafe {
                let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(4096);
                PAGE.store(page, Ordering::Relaxed);
                if libc::sigaction(libc::SIGBUS, std::ptr::null(), previous.as_mut_ptr()) != 0 {
                    return false;
                }
                let _ = PREVIOUS.set(previous.assume_init());
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_bus_error as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigemptyset(&mut action.sa_mask);
                libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) == 0
            }
        })
    }

    /// The handler: only atomics and `mmap`, which is a bare system call.
    #[allow(unsafe_code)]
    extern "C" fn on_bus_error(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel gives a valid siginfo for SIGBUS.
        let address = unsafe { (*info).si_addr() } as usize;
        for entry in &TABLE[..USED.load(Ordering::Acquire).min(SLOTS)] {
            let start = entry.start.load(Ordering::Acquire);
            let length = entry.length.load(Ordering::Acquire);
            if start == 0 || address < start || address >= start + length {
                continue;
            }
            let from = (address & !(PAGE.load(Ordering::Relaxed) - 1)).max(start);
            // SAFETY: the range lies in a mapping of ours, which is replaced page by page with zeros. Nobody
            // holds a Rust promise on its content beyond reading initialised bytes.
            let covered = unsafe {
                libc::mmap(
                    from as *mut libc::c_void,
                    start + length - from,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            if covered != libc::MAP_FAILED {
                entry.hit.store(true, Ordering::Release);
                return;
            }
        }
        pass_on(signal, info, context);
    }

    /// Hands the signal to whoever had it before; by default that ends the process.
    #[allow(unsafe_code)]
    fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let previous = PREVIOUS.get();
        let action = previous.map_or(libc::SIG_DFL, |p| p.sa_sigaction);
        // SAFETY: the previous action was valid when it was read; it is called as its flags say. Restoring it
        // makes the instruction fault again under it.
        unsafe {
            match previous {
                Some(p) if action != libc::SIG_DFL && action != libc::SIG_IGN => {
                    if p.sa_flags & libc::SA_SIGINFO != 0 {
                        type Full = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
                        std::mem::transmute::<usize, Full>(action)(signal, info, context);
                    } else {
                        std::mem::transmute::<usize, extern "C" fn(i32)>(action)(signal);
                    }
                }
                _ => {
                    libc::signal(signal, libc::SIG_DFL);
                }
            }
        }
    }
}

#[cfg(not(unix))]
mod guard {
    /// Systems without SIGBUS refuse to cut a mapped file.
    #[derive(Debug)]
    pub(super) struct Slot;

    impl Slot {
        pub(super) fn take(_start: usize, _length: usize) -> Option<Self> {
            Some(Self)
        }

        pub(super) fn was_hit(&self) -> bool {
            false
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn file(bytes: usize) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, vec![7u8; bytes]).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_that_shrinks_while_mapped_is_an_error_not_the_end() {
        let (_folder, path) = file(64 << 10);
        let (cut, other) = (Mapping::open(&path).unwrap(), file(4096 * 3));
        let whole = Mapping::open(&other.1).unwrap();
        assert!(cut.check().is_ok());
        File::options().write(true).open(&path).unwrap().set_len(5_000).unwrap();
        // Every page is touched, by several threads at once.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let sum: u64 = cut.bytes().iter().map(|b| u64::from(*b)).sum();
                    // 5,000 sevens are left; the rest of their last page and what follows are zeros.
                    assert_eq!(sum, 5_000 * 7);
                });
            }
        });
        let error = cut.check().unwrap_err();
        assert!(matches!(error, FileError::Shrunk { mapped: 65_536, now: 5_000, .. }), "{error}");
        assert!(whole.check().is_ok() && whole.bytes().iter().all(|b| *b == 7));
        // Made long again: what was read in between is still not valid.
        std::fs::write(&path, vec![7u8; 64 << 10]).unwrap();
        assert!(cut.check().is_err());
    }

    #[test]
    fn many_maps_come_and_go() {
        let (_folder, path) = file(4096);
        for _ in 0..3 {
            let maps: Vec<Mapping> = (0..500).map(|_| Mapping::open(&path).unwrap()).collect();
            assert!(maps.iter().all(|m| m.check().is_ok() && m.bytes().len() == 4096));
        }
    }

    #[test]
    fn empty_files_and_copies_have_the_same_bytes() {
        let (_folder, path) = file(0);
        let empty = Mapping::open(&path).unwrap();
        assert!(empty.bytes().is_empty() && empty.check().is_ok());
        let text: Vec<u8> = (0..1_003u32).map(|i| i as u8).collect();
        std::fs::write(&path, &text).unwrap();
        let buffer = copy(&File::open(&path).unwrap(), 1_003).unwrap();
        assert_eq!(buffer.as_slice(), text);
        assert!((buffer.as_ptr() as usize).is_multiple_of(8));
        let mapping = Arc::new(Mapping::open(&path).unwrap());
        let buffer = mapping.buffer();
        drop(mapping);
        assert_eq!(buffer.as_slice(), text);
    }
}
