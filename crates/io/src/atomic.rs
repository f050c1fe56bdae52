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
    temporary: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Opens for reading and writing; makes the folder. The target must lie on the same file system.
    pub(crate) fn create_in(folder: &Path) -> io::Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(folder)?;
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!(".{}.{count}{UNFINISHED}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&temporary)?;
        Ok(Self { file, temporary, committed: false })
    }

    /// The passing name.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// The folder in which the file grows.
    pub(crate) fn folder(&self) -> &Path {
        folder_of(&self.temporary)
    }

    /// Makes the content durable and puts it in the target's place.
    pub(crate) fn commit(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        self.put(target)?;
        sync_folder(folder_of(target))
    }

    /// Puts the file in the target's place without waiting for the disk.
    pub(crate) fn rename(mut self, target: &Path) -> io::Result<()> {
        self.put(target)
    }

    fn put(&mut self, target: &Path) -> io::Result<()> {
        fs::create_dir_all(folder_of(target))?;
        fs::rename(&self.temporary, target)?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing more can be done about a file that will not go; `check` names it.
            let _ = fs::remove_file(&self.temporary);
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
