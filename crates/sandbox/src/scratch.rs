//! A scratch folder on the host, for when there is no file system of its own. Its size is looked at, since no
//! kernel limit bounds it.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    bytes_max: u64,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Scratch {
    /// Makes an empty folder that only this user may enter.
    pub(crate) fn new(parent: &Path, bytes_max: u64) -> io::Result<Self> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("scratch-{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, bytes_max }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
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
        // The program may have taken our rights to its own folders away; they are given back first.
        let _ = make_removable(&self.path);
        let _ = fs::remove_dir_all(&self.path);
    }
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
}
