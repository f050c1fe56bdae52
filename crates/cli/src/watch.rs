//! Files under watch, as named on the command line.

use springtide_io::files::{Changes, FileError, FolderWatch};
use springtide_lab::{LabError, paths::folder_of};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

/// A change is told when nothing happened to a file for this long: editors save in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// How long one folder is looked at before the next.
const GLANCE: Duration = Duration::from_millis(200);

/// Every folder that the arguments speak of, under watch.
#[derive(Debug)]
pub struct Watched {
    folders: Vec<FolderWatch>,
}

impl Watched {
    /// From now on; make it before the first look, so that no change is missed.
    pub fn new(arguments: &[String]) -> Result<Self, LabError> {
        let real = |argument: &String| {
            let folder = folder_of(argument);
            std::fs::canonicalize(&folder).map_err(|source| LabError::File { path: folder, source })
        };
        // By their real names, which the system uses, each once.
        let folders: BTreeSet<PathBuf> = arguments.iter().map(real).collect::<Result<_, _>>()?;
        let folders = folders.iter().map(|folder| FolderWatch::new(folder, QUIET).map_err(failed));
        Ok(Self { folders: folders.collect::<Result<_, _>>()? })
    }

    /// Waits for the next changes.
    pub fn next(&mut self) -> Result<Changes, LabError> {
        loop {
            for folder in &mut self.folders {
                if let Some(changes) = folder.next(GLANCE).map_err(failed)? {
                    return Ok(changes);
                }
            }
        }
    }
}

fn failed(error: FileError) -> LabError {
    LabError::Data(error.to_string())
}

/// Whether a file that is there now is among what changed.
pub fn concerns(changes: &Changes, file: &Path) -> bool {
    match changes {
        Changes::Everything => true,
        Changes::Files(files) => std::fs::canonicalize(file).is_ok_and(|real| files.contains(&real)),
    }
}
