//! The files of a download: the part with its one owner, the notes, and what is made of them in the end.

use crate::atomic::folder_of;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;

/// What a part is a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Hash of the request, which may hold secrets.
    pub(super) request: String,
    /// A strong entity tag or a date; none where the part cannot be continued.
    pub(super) validator: Option<String>,
    pub(super) length: Option<u64>,
}

/// What a whole file is, so that the server can be asked whether it is still right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) request: String,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    /// Length and time of the file: another one by its name is not what was fetched.
    pub(super) bytes: u64,
    pub(super) modified_ns: u64,
    pub(super) checked_ms: u64,
}

impl Kept {
    /// Since it was fetched, or confirmed by the server.
    pub(super) fn age(&self) -> Duration {
        let since = Duration::from_millis(self.checked_ms);
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + since).unwrap_or_default()
    }
}

fn since_epoch(time: io::Result<SystemTime>) -> Duration {
    time.ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default()
}

/// The files of one download.
#[derive(Clone)]
pub(super) struct Paths {
    pub(super) target: PathBuf,
    pub(super) part: PathBuf,
    note: PathBuf,
    kept: PathBuf,
}

impl Paths {
    pub(super) fn new(target: &Path) -> Self {
        let with = |ending: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let (part, note, kept) = (with(PART), with(NOTE), with(KEPT));
        Self { target: target.to_owned(), part, note, kept }
    }

    /// The file that an earlier download of this request left, if it is still that.
    pub(super) fn kept(&self, request: &str) -> Option<Kept> {
        let kept: Kept = read(&self.kept)?;
        let meta = fs::metadata(&self.target).ok()?;
        let modified = since_epoch(meta.modified()).as_nanos() as u64;
        let same = kept.request == request && (kept.bytes, kept.modified_ns) == (meta.len(), modified);
        same.then_some(kept)
    }

    /// Notes what the whole file is, as of now.
    pub(super) fn keep(&self, kept: Kept) -> io::Result<()> {
        let meta = fs::metadata(&self.target)?;
        let kept = Kept {
            bytes: meta.len(),
            modified_ns: since_epoch(meta.modified()).as_nanos() as u64,
            checked_ms: since_epoch(Ok(SystemTime::now())).as_millis() as u64,
            ..kept
        };
        fs::write(&self.kept, serde_json::to_vec(&kept)?)
    }
}

/// Endings of the files beside a download's target.
pub(super) const PART: &str = ".part";
pub(super) const NOTE: &str = ".part.json";
const KEPT: &str = ".kept.json";

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// A part that can be continued.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) bytes: u64,
    pub(super) note: Note,
}

/// The part of one download, which nobody else writes while this lives: here or in another process. A part that is
/// of no use to the next attempt goes with it.
pub(super) struct Owned {
    pub(super) paths: Paths,
    file: File,
    finished: AtomicBool,
}

impl Owned {
    /// Takes the part; none while somebody else has it.
    pub(super) fn take(paths: &Paths) -> io::Result<Option<Self>> {
        fs::create_dir_all(folder_of(&paths.part))?;
        loop {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&paths.part)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Between opening and locking, its owner may have finished or discarded the file.
            if is_at(&file, &paths.part)? {
                return Ok(Some(Self { paths: paths.clone(), file, finished: AtomicBool::new(false) }));
            }
        }
    }

    /// What is there of this request's body.
    pub(super) fn part(&self, request: &str) -> Part {
        let note = read::<Note>(&self.paths.note).filter(|note| note.request == request);
        let bytes = self.file.metadata().map_or(0, |meta| meta.len());
        note.map_or_else(Part::default, |note| Part { bytes, note })
    }

    /// Forgets what is there.
    pub(super) fn discard(&self) -> io::Result<()> {
        remove(&self.paths.note)?;
        self.file.set_len(0)
    }

    /// Writes pieces from `from` on, as long as there are some; the part's length. Runs on a thread that may wait.
    pub(super) fn write(&self, note: &Note, from: u64, mut pieces: mpsc::Receiver<Bytes>) -> io::Result<u64> {
        let mut file = &self.file;
        file.set_len(from)?;
        if from == 0 {
            fs::write(&self.paths.note, serde_json::to_vec(note)?)?;
        }
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = from;
        while let Some(piece) = pieces.blocking_recv() {
            file.write_all(&piece)?;
            bytes += piece.len() as u64;
        }
        Ok(bytes)
    }

    /// All is there: makes it durable and gives it its name, with a note where it may be asked about later.
    pub(super) fn finish(&self, kept: Option<Kept>) -> io::Result<()> {
        let paths = &self.paths;
        self.file.sync_all()?;
        remove(&paths.kept)?;
        self.finished.store(true, Relaxed);
        fs::rename(&paths.part, &paths.target).inspect_err(|_| self.finished.store(false, Relaxed))?;
        remove(&paths.note)?;
        if let Some(kept) = kept {
            paths.keep(kept)?;
        }
        File::open(folder_of(&paths.target))?.sync_all()
    }

    fn is_of_use(&self) -> bool {
        let note = read::<Note>(&self.paths.note);
        note.is_some_and(|note| note.validator.is_some()) && self.file.metadata().is_ok_and(|m| m.len() > 0)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.finished.load(Relaxed) && !self.is_of_use() {
            // What cannot be removed is overwritten by the next download or goes with the room it takes.
            let _ = remove(&self.paths.note).and_then(|()| remove(&self.paths.part));
        }
    }
}

/// Whether this open file is the one that has the name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
