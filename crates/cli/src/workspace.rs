//! Where a person's ledger, bars and reports lie.

use springtide_io::db::DbError;
use springtide_lab::{LabError, Ledger};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// The folder that marks a workspace.
const MARK: &str = ".tide";

/// A workspace folder: `.tide/ledger.db` and `.tide/cache/` are the program's, `data/` holds imported bars.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The folder named, else the nearest one from the current folder upwards with a `.tide` folder, else
    /// the current folder.
    pub fn locate(named: Option<&Path>) -> Result<Self, LabError> {
        if let Some(root) = named {
            return Ok(Self { root: root.to_owned() });
        }
        let here =
            std::env::current_dir().map_err(|source| LabError::File { path: PathBuf::from("."), source })?;
        let root = here.ancestors().find(|d| d.join(MARK).is_dir()).unwrap_or(&here);
        Ok(Self { root: root.to_owned() })
    }

    /// The workspace at exactly this folder.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Imported bars.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Bars converted from files used in place.
    pub fn cache(&self) -> PathBuf {
        self.root.join(MARK).join("cache")
    }

    /// The ledger's file.
    pub fn ledger_path(&self) -> PathBuf {
        self.root.join(MARK).join("ledger.db")
    }

    /// Opens the ledger, making the workspace's folder when it is not there.
    pub fn ledger(&self) -> Result<Ledger, LabError> {
        let folder = self.root.join(MARK);
        std::fs::create_dir_all(&folder).map_err(|source| match source.kind() {
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                LabError::Database(DbError::ReadOnly { path: self.ledger_path() })
            }
            _ => LabError::File { path: folder, source },
        })?;
        Ledger::open(&self.ledger_path())
    }

    /// Opens the ledger for a command that only reads it; none was made yet is an error with the remedy.
    pub fn existing_ledger(&self) -> Result<Ledger, LabError> {
        self.ledger_if_there()?.ok_or_else(|| {
            LabError::Usage(format!(
                "no ledger in {}: run `tide backtest` or `tide demo` first, or name the folder with --workspace",
                self.root.display()
            ))
        })
    }

    /// Opens the ledger to read it when there is one.
    pub fn ledger_if_there(&self) -> Result<Option<Ledger>, LabError> {
        let file = self.ledger_path();
        file.is_file().then(|| Ledger::open_to_read(&file)).transpose()
    }
}
