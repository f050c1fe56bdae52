//! Files that appear whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Ending of files that are not finished; left behind only by a kill.
pub(crate) const UNFINISHED: &str = ".unfinished";

/// A file under a passing name, which takes its target's place when committed and vanishes otherwise.
pub(crate) struct AtomicFile {
    pub file: File,
    passing: Passing,
}

/// The passing name of a file that nobody writes any more. It need not stay open, so there may be many.
pub(crate) struct Passing {
    path: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Opens for reading and writing; makes the folder. The target must lie on the same file system.
    pub(crate) fn create_in(folder: &Path) -> io::Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(folder)?;
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".{}.{count}{UNFINISHED}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(Self { file, passing: Passing { path, committed: false } })
    }

    /// The passing name.
    pub(crate) fn path(&self) -> &Path {
        &self.passing.path
    }

    /// The folder in which the file grows.
    pub(crate) fn folder(&self) -> &Path {
        folder_of(&self.passing.path)
    }

    /// Makes the content durable and puts it in the target's place.
    pub(crate) fn commit(self, target: &Path) -> io::Result<()> {
        self.seal()?.commit(target)
    }

    /// Makes the content durable and closes the file, which keeps its passing name.
    pub(crate) fn seal(self) -> io::Result<Passing> {
        self.file.sync_all()?;
        Ok(self.passing)
    }

    /// Puts the file in the target's place without waiting for the disk.
    pub(crate) fn rename(mut self, target: &Path) -> io::Result<()> {
        self.passing.put(target)
    }
}

impl Passing {
    /// Puts the file in the target's place, durably.
    pub(crate) fn commit(mut self, target: &Path) -> io::Result<()> {
        self.put(target)?;
        sync_folder(folder_of(target))
    }

    fn put(&mut self, target: &Path) -> io::Result<()> {
        fs::create_dir_all(folder_of(target))?;
        fs::rename(&self.path, target)?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing more can be done about a file that will not go; `check` names it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The folder a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
