//! Folders under watch: which files changed, told once they have come to rest.

use super::FileError;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::ModifyKind};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

/// What happened since the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These files were made, written, renamed or removed; whether one is there now is for the caller to see.
    Files(Vec<PathBuf>),
    /// The system lost track: look at everything.
    Everything,
}

/// Gathers events until a file has been quiet for a while: programs write a file in many steps, and one change
/// should be told once. A pure state machine; times are given.
#[derive(Clone, Debug)]
pub struct Settling {
    quiet: Duration,
    last: BTreeMap<PathBuf, Instant>,
    lost: bool,
}

impl Settling {
    /// A file is at rest when nothing happened to it for `quiet`.
    pub fn new(quiet: Duration) -> Self {
        Self { quiet, last: BTreeMap::new(), lost: false }
    }

    /// Something happened to a file.
    pub fn touched(&mut self, path: PathBuf, now: Instant) {
        self.last.insert(path, now);
    }

    /// Events were lost.
    pub fn lost(&mut self) {
        self.lost = true;
        self.last.clear();
    }

    /// What has come to rest by `now`, each file once.
    pub fn rested(&mut self, now: Instant) -> Option<Changes> {
        if std::mem::take(&mut self.lost) {
            return Some(Changes::Everything);
        }
        let quiet = self.quiet;
        let rested: Vec<PathBuf> = self
            .last
            .extract_if(.., |_, last| now.saturating_duration_since(*last) >= quiet)
            .map(|(path, _)| path)
            .collect();
        (!rested.is_empty()).then_some(Changes::Files(rested))
    }

    /// When something will have come to rest, if nothing more happens.
    pub fn due(&self) -> Option<Instant> {
        self.last.values().min().map(|first| *first + self.quiet)
    }
}

/// A folder, with all below it, under watch from the moment it is made.
#[derive(Debug)]
pub struct FolderWatch {
    folder: PathBuf,
    events: Receiver<notify::Result<notify::Event>>,
    settling: Settling,
    // Dropped with the rest: it ends the system's watch and its thread.
    _watcher: RecommendedWatcher,
}

impl FolderWatch {
    /// Begins.
    ///
    /// # Errors
    /// When the folder is not there or the system has no watches left.
    pub fn new(folder: &Path, quiet: Duration) -> Result<Self, FileError> {
        let failed = |error: notify::Error| FileError::new("watch", folder, into_io(error));
        let (sender, events) = channel();
        // A receiver that is gone has no use for events.
        let send = move |event| drop(sender.send(event));
        let mut watcher = notify::recommended_watcher(send).map_err(failed)?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), events, settling: Settling::new(quiet), _watcher: watcher })
    }

    /// The next changes, waiting for at most `patience`; none when nothing came to rest by then.
    ///
    /// # Errors
    /// When the system ended the watch.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Changes>, FileError> {
        let until = Instant::now() + patience;
        loop {
            let now = Instant::now();
            if let Some(changes) = self.settling.rested(now) {
                return Ok(Some(changes));
            }
            if now >= until {
                return Ok(None);
            }
            let wake = self.settling.due().map_or(until, |due| due.min(until));
            match self.events.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(event) => self.note(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let source = io::Error::other("the system ended the watch");
                    return Err(FileError::new("watch", &self.folder, source));
                }
            }
        }
    }

    fn note(&mut self, event: notify::Result<notify::Event>) -> Result<(), FileError> {
        let event = event.map_err(|e| FileError::new("watch", &self.folder, into_io(e)))?;
        if event.need_rescan() {
            self.settling.lost();
            return Ok(());
        }
        let matters = match event.kind {
            EventKind::Create(_) | EventKind::Remove(_) | EventKind::Any | EventKind::Other => true,
            EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
            // Reading a file, in particular our own reading, changes nothing.
            EventKind::Access(_) => false,
        };
        if matters {
            let now = Instant::now();
            event.paths.into_iter().for_each(|path| self.settling.touched(path, now));
        }
        Ok(())
    }
}

fn into_io(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(source) => source,
        notify::ErrorKind::MaxFilesWatch => {
            io::Error::other("the system has no watches left: raise fs.inotify.max_user_watches")
        }
        notify::ErrorKind::PathNotFound => io::ErrorKind::NotFound.into(),
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_once_when_it_rests() {
        let quiet = Duration::from_millis(100);
        let mut settling = Settling::new(quiet);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!((settling.rested(at(0)), settling.due()), (None, None));
        settling.touched("a".into(), at(0));
        settling.touched("b".into(), at(50));
        settling.touched("a".into(), at(90));
        assert_eq!(settling.rested(at(140)), None);
        assert_eq!(settling.due(), Some(at(150)));
        assert_eq!(settling.rested(at(150)), Some(Changes::Files(vec!["b".into()])));
        assert_eq!(settling.rested(at(190)), Some(Changes::Files(vec!["a".into()])));
        assert_eq!((settling.rested(at(900)), settling.due()), (None, None));
        settling.touched("a".into(), at(900));
        settling.lost();
        assert_eq!(settling.rested(at(900)), Some(Changes::Everything));
        assert_eq!(settling.rested(at(2_000)), None);
    }

    #[test]
    fn what_is_written_below_a_folder_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        // Events name the real place of a folder that is a link.
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("inner")).unwrap();
        let mut watch = FolderWatch::new(&root, Duration::from_millis(20)).unwrap();
        assert_eq!(watch.next(Duration::ZERO).unwrap(), None);
        let file = root.join("inner/x.pine");
        std::fs::write(&file, "1").unwrap();
        let seen = |changes: Option<Changes>| match changes {
            Some(Changes::Files(files)) => files.contains(&file),
            Some(Changes::Everything) => true,
            None => false,
        };
        let patience = Duration::from_secs(30);
        assert!(seen(watch.next(patience).unwrap()));
        std::fs::remove_file(&file).unwrap();
        assert!(seen(watch.next(patience).unwrap()));
        let error = FolderWatch::new(&root.join("nowhere"), Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
