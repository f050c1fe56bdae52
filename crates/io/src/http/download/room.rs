//! The room that downloaded files take.

use super::part::{Owned, PART, Paths};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How much a folder of downloads may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes in all; beyond this what was used longest ago goes.
    pub bytes_max: u64,
    /// What was not used for this long goes.
    pub age_max: Duration,
}

/// What was removed to keep to the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Downloads.
    pub downloads: u64,
    /// Bytes they took.
    pub bytes: u64,
}

/// A folder of one download.
struct Held {
    folder: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Room {
    /// Keeps a folder to the room, which holds downloads in a folder for each. Parts that cannot be continued go at
    /// any age; what is being downloaded stays.
    ///
    /// # Errors
    /// When a folder cannot be read or a file not be removed.
    pub fn keep(&self, folder: &Path) -> io::Result<Cleared> {
        let (mut cleared, mut held) = (Cleared::default(), Vec::new());
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(cleared),
            entries => entries?,
        };
        for entry in entries {
            let folder = entry?.path();
            if folder.is_dir() && clear_parts(&folder, &mut cleared)? {
                held.extend(look(&folder)?);
            }
        }
        held.sort_by_key(|held| held.used);
        let mut total: u64 = held.iter().map(|held| held.bytes).sum();
        for Held { folder, bytes, used } in held {
            let age = SystemTime::now().duration_since(used).unwrap_or_default();
            if total > self.bytes_max || age > self.age_max {
                fs::remove_dir_all(&folder)?;
                total -= bytes;
                cleared.downloads += 1;
                cleared.bytes += bytes;
            }
        }
        Ok(cleared)
    }
}

/// Removes parts that cannot be continued; false where one is being written.
fn clear_parts(folder: &Path, cleared: &mut Cleared) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(target) = path.as_os_str().as_bytes().strip_suffix(PART.as_bytes()) else { continue };
        let paths = Paths::new(Path::new(&OsString::from_vec(target.to_vec())));
        let before = fs::metadata(&path).map_or(0, |meta| meta.len());
        // Giving up what one owns removes it where it is of no use.
        match Owned::take(&paths)? {
            None => return Ok(false),
            Some(owned) => drop(owned),
        }
        if !path.exists() {
            cleared.downloads += 1;
            cleared.bytes += before;
        }
    }
    Ok(true)
}

/// What a folder holds; one that is empty goes.
fn look(folder: &Path) -> io::Result<Option<Held>> {
    let (mut bytes, mut used, mut files) = (0, SystemTime::UNIX_EPOCH, 0);
    for entry in fs::read_dir(folder)? {
        let meta = entry?.metadata()?;
        bytes += meta.len();
        used = used.max(meta.modified()?);
        files += 1;
    }
    if files == 0 {
        // Somebody may have put a file there meanwhile; then it stays.
        let _ = fs::remove_dir(folder);
        return Ok(None);
    }
    Ok(Some(Held { folder: folder.to_owned(), bytes, used }))
}

#[cfg(test)]
mod tests {
    use super::{
        super::part::{NOTE, Note},
        *,
    };

    fn put(folder: &Path, name: &str, bytes: usize, age_s: u64) -> PathBuf {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("X.csv");
        fs::write(&path, vec![b'x'; bytes]).unwrap();
        let time = SystemTime::now() - Duration::from_secs(age_s);
        fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        folder
    }

    #[test]
    fn the_oldest_goes_first_and_what_is_too_old_always() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let ages = [("a", 10), ("b", 300), ("c", 200), ("d", 100), ("e", 9_000)];
        let held = ages.map(|(name, age)| put(at, name, 1_000, age));
        fs::create_dir(at.join("empty")).unwrap();
        let room = Room { bytes_max: 2_500, age_max: Duration::from_secs(3_600) };
        let cleared = room.keep(at).unwrap();
        assert_eq!(cleared, Cleared { downloads: 3, bytes: 3_000 });
        assert_eq!(held.map(|folder| folder.exists()), [true, false, false, true, false]);
        assert!(!at.join("empty").exists());
        assert_eq!(room.keep(&at.join("nowhere")).unwrap(), Cleared::default());
    }

    #[test]
    fn parts_go_unless_they_can_be_continued_or_are_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let part = |name: &str, validator: Option<&str>| {
            let target = folder.path().join(name).join("X.csv");
            let paths = Paths::new(&target);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(&paths.part, b"some of it").unwrap();
            let note = Note { validator: validator.map(str::to_owned), ..Note::default() };
            fs::write(format!("{}{NOTE}", target.display()), serde_json::to_vec(&note).unwrap()).unwrap();
            paths
        };
        let (whole, lost, busy) = (part("a", Some("\"v1\"")), part("b", None), part("c", None));
        let owner = Owned::take(&busy).unwrap().unwrap();
        let room = Room { bytes_max: u64::MAX, age_max: Duration::MAX };
        assert_eq!(room.keep(folder.path()).unwrap(), Cleared { downloads: 1, bytes: 10 });
        assert_eq!([whole.part, lost.part, busy.part.clone()].map(|p| p.exists()), [true, false, true]);
        drop(owner);
        assert!(!busy.part.exists());
    }
}
