//! Files that appear whole or not at all.

use crate::machine::process_exists;
use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Ending of files that are not finished; left behind only by a kill, until the next import into their folder.
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

/// Removes those among `paths` that are not finished and never will be: their processes are gone.
pub(crate) fn remove_left(paths: impl IntoIterator<Item = PathBuf>) {
    for path in paths.into_iter().filter(|path| is_left(path)) {
        // Nothing more can be done about a file that will not go; `check` names it.
        let _ = fs::remove_file(path);
    }
}

/// A process that shares the disk but not our numbers of processes (a container) seems gone; what it writes is locked.
fn is_left(path: &Path) -> bool {
    let is_gone = path
        .file_name()
        .and_then(|name| writer_of(&name.to_string_lossy()))
        .is_some_and(|pid| !process_exists(pid));
    is_gone && File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// The process that an unfinished file's name tells.
fn writer_of(name: &str) -> Option<u32> {
    let (pid, _count) = name.strip_prefix('.')?.strip_suffix(UNFINISHED)?.split_once('.')?;
    pid.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_writes_any_more_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = child.id();
        child.wait().unwrap();
        let make = |name: String| {
            let path = folder.path().join(name);
            fs::write(&path, "half").unwrap();
            path
        };
        let left = make(format!(".{gone}.0{UNFINISHED}"));
        let locked = make(format!(".{gone}.1{UNFINISHED}"));
        let lock = File::open(&locked).unwrap();
        lock.lock().unwrap();
        let ours = AtomicFile::create_in(folder.path()).unwrap();
        let others = [
            make(format!(".1.0{UNFINISHED}")),
            make(format!("{gone}.0{UNFINISHED}")),
            make("15.arrow".into()),
        ];
        let all = [vec![left.clone(), locked.clone(), ours.path().to_owned()], others.to_vec()].concat();
        remove_left(all.clone());
        let there: Vec<PathBuf> = all.iter().filter(|path| path.exists()).cloned().collect();
        assert_eq!(there, all[1..]);
        drop(lock);
        remove_left(all);
        assert!(!locked.exists());
    }
}
