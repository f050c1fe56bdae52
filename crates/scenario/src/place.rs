//! Where a scenario's files lie.

use crate::ScenarioError;
use std::path::{Path, PathBuf};

/// A folder for input and output, how much work to do, and where the server listens.
#[derive(Clone, Debug)]
pub struct Place {
    root: PathBuf,
    scale: f64,
    address: Option<String>,
}

impl Place {
    /// A place in a folder, with `scale` times the scenario's usual work (1 is as described).
    pub fn new(root: impl Into<PathBuf>, scale: f64) -> Self {
        Self { root: root.into(), scale, address: None }
    }

    /// The same place with a server's address.
    #[must_use]
    pub fn with_address(mut self, address: Option<String>) -> Self {
        self.address = address;
        self
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How much work, 1 being what the scenario describes.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// `count` items at this place's scale, at least one.
    pub fn scaled(&self, count: u64) -> u64 {
        ((count as f64 * self.scale).round() as u64).max(1)
    }

    /// The server's address, `127.0.0.1:PORT`.
    ///
    /// # Errors
    /// When no server was started.
    pub fn address(&self) -> Result<&str, ScenarioError> {
        self.address.as_deref().ok_or_else(|| ScenarioError::work("this scenario's server was not started"))
    }

    /// A folder below the root, made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, ScenarioError> {
        let path = self.root.join(name);
        std::fs::create_dir_all(&path).map_err(ScenarioError::at(&path))?;
        Ok(path)
    }

    /// A new folder for output. ext4 makes files some 150 µs slower near thousands that were just deleted, so
    /// each run writes to a folder of its own and what is old is removed at the very end.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn fresh(&self, name: &str) -> Result<PathBuf, ScenarioError> {
        let parent = self.folder(name)?;
        for number in 0.. {
            let path = parent.join(format!("{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(ScenarioError::File { path, source }),
            }
        }
        unreachable!("some number is free")
    }
}

/// Makes the next reading of a file go to the disk. Only pages that are on disk are dropped.
pub(crate) fn drop_from_cache(path: &Path) -> Result<(), ScenarioError> {
    let file = std::fs::File::open(path).map_err(ScenarioError::at(path))?;
    let advice = rustix::fs::Advice::DontNeed;
    rustix::fs::fadvise(&file, 0, None, advice).map_err(|e| ScenarioError::at(path)(e.into()))
}
