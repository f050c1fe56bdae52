//! A scratch folder on the host, for when there is no file system of its own. Its size is looked at, since no
//! kernel limit bounds it. It is locked as long as it is used: what a process left that was killed can be told by
//! that from what another one works with.

use rustix::fs::{FlockOperation, Mode, OFlags};
use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    bytes_max: u64,
    /// Held until the folder is gone.
    _lock: OwnedFd,
}

/// What the names of all begin with; a process and a number follow.
const NAME: &str = "springtide-scratch-";

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Scratch {
    /// Makes an empty folder that only this user may enter.
    pub(crate) fn new(parent: &Path, bytes_max: u64) -> io::Result<Self> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{NAME}{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            // Somebody who tidied up between these two steps took it for a remainder.
            if let Some(lock) = lock(&path).filter(|_| path.is_dir()) {
                return Ok(Self { path, bytes_max, _lock: lock });
            }
        }
    }

    /// Removes what processes of this user left that were killed.
    pub(crate) fn remove_remainders(parent: &Path) {
        let user = rustix::process::geteuid().as_raw();
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let is_ours = is_name(&entry.file_name().to_string_lossy())
                && entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == user);
            let path = entry.path();
            if let Some(_lock) = is_ours.then(|| lock(&path)).flatten() {
                remove(&path);
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it, when that is too much.
    pub(crate) fn overflow(&self) -> Option<u64> {
        let bytes = size(&self.path, self.bytes_max);
        (bytes > self.bytes_max).then_some(bytes)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn is_name(name: &str) -> bool {
    let numbers = name.strip_prefix(NAME).and_then(|rest| rest.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(process, number)| is_number(process) && is_number(number))
}

/// The right to use a folder, unless somebody has it.
fn lock(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(folder)
}

fn remove(path: &Path) {
    // The program may have taken our rights to its own folders away; they are given back first.
    let _ = make_removable(path);
    let _ = fs::remove_dir_all(path);
}

/// Bytes on disk below a folder, each entry counted with a block at least. Stops once it is too much; never
/// follows a link.
fn size(folder: &Path, enough: u64) -> u64 {
    let mut total = 0;
    let mut queue = vec![folder.to_owned()];
    while let Some(next) = queue.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let Ok(meta) = entry.path().symlink_metadata() else { continue };
            total += (meta.blocks() * 512).max(4_096);
            if meta.is_dir() {
                queue.push(entry.path());
            }
            if total > enough {
                return total;
            }
        }
    }
    total
}

fn make_removable(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut queue = vec![folder.to_owned()];
    while let Some(next) = queue.pop() {
        fs::set_permissions(&next, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&next)?.flatten() {
            if entry.path().symlink_metadata()?.is_dir() {
                queue.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn is_measured_without_following_links_and_removed_whatever_was_done_to_it() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(parent.path(), 100_000).unwrap();
        symlink("/usr", scratch.path().join("link")).unwrap();
        symlink(".", scratch.path().join("loop")).unwrap();
        assert_eq!(scratch.overflow(), None);
        let deep = scratch.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), vec![1; 200_000]).unwrap();
        assert!(scratch.overflow().is_some_and(|bytes| bytes > 100_000));
        fs::set_permissions(scratch.path().join("a"), fs::Permissions::from_mode(0o000)).unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_nobody_uses_is_tidied_up() {
        let parent = tempfile::tempdir().unwrap();
        let used = Scratch::new(parent.path(), 100_000).unwrap();
        fs::write(used.path().join("file"), "x").unwrap();
        // As a killed process leaves it.
        let left = parent.path().join(format!("{NAME}1-0"));
        fs::create_dir_all(left.join("a/b")).unwrap();
        fs::set_permissions(left.join("a"), fs::Permissions::from_mode(0o000)).unwrap();
        let others = ["pad", "1-", "1-file", "1-2-3", "2-1", "3-1"];
        let others = others.map(|name| parent.path().join(format!("{NAME}{name}")));
        others[..4].iter().for_each(|path| fs::create_dir(path).unwrap());
        fs::write(&others[4], "x").unwrap();
        symlink(&others[0], &others[5]).unwrap();
        Scratch::remove_remainders(parent.path());
        assert!(!left.exists() && used.path().join("file").exists());
        assert!(others.iter().all(|path| path.exists()));
    }
}
