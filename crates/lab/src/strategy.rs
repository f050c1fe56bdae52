//! Strategies as files: found, read, named.

use crate::{LabError, encoding::decode};
use springtide_domain::ContentHash;
use springtide_io::files::{BatchOptions, FileError, FilePool, Item, Loaded, PoolOptions};
use std::path::{Path, PathBuf};

/// Languages a strategy can be written in, by file ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum StrategyKind {
    Pine,
    Python,
}

impl StrategyKind {
    /// By file ending: `.pine`, `.py`.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "pine" => Some(Self::Pine),
            "py" => Some(Self::Python),
            _ => None,
        }
    }

    /// The word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pine => "pine",
            Self::Python => "python",
        }
    }
}

/// A strategy's source text.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct StrategySource {
    pub path: PathBuf,
    pub kind: StrategyKind,
    pub text: String,
    pub hash: ContentHash,
    /// Why the file cannot be read; then there is no text.
    pub problem: Option<String>,
}

/// Files larger than this are no strategies; the longest public one has 2,690 lines.
const SOURCE_MAX_BYTES: u64 = 4 << 20;

fn kind_of(path: &Path) -> Result<StrategyKind, LabError> {
    StrategyKind::of(path).ok_or_else(|| {
        LabError::Usage(format!("{}: a strategy's file name ends in .pine or .py", path.display()))
    })
}

fn too_large(path: &Path, bytes: u64) -> LabError {
    LabError::Usage(format!("{}: {bytes} bytes; a strategy has at most {SOURCE_MAX_BYTES}", path.display()))
}

impl StrategySource {
    /// Reads a file. Bytes that are no text are an error that names the first one.
    pub fn read(path: &Path) -> Result<Self, LabError> {
        let kind = kind_of(path)?;
        let file = |source| LabError::File { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(file)?.len();
        if size > SOURCE_MAX_BYTES {
            return Err(too_large(path, size));
        }
        Self::from_bytes(path, kind, std::fs::read(path).map_err(file)?)
    }

    fn from_bytes(path: &Path, kind: StrategyKind, bytes: Vec<u8>) -> Result<Self, LabError> {
        let text =
            decode(bytes, kind).map_err(|why| LabError::Usage(format!("{}: {why}", path.display())))?;
        Ok(Self::from_text(path, kind, text))
    }

    /// Reads files, several at once, in the order of the paths. What is wrong with one concerns nobody else: it is
    /// there with its [`problem`](Self::problem).
    ///
    /// # Errors
    /// When a file's ending is none of a strategy, or no threads can be started.
    pub fn read_all(paths: Vec<PathBuf>) -> Result<Vec<Self>, LabError> {
        paths.iter().try_for_each(|path| kind_of(path).map(drop))?;
        let threads = paths.len().clamp(1, FilePool::usual_threads());
        let pool = FilePool::new(PoolOptions { threads: Some(threads) })
            .map_err(|error| LabError::Usage(format!("no threads to read strategies with: {error}")))?;
        let options = BatchOptions { in_order: true, bytes_max: SOURCE_MAX_BYTES, ..BatchOptions::default() };
        let work = |loaded: Loaded<'_>| {
            kind_of(loaded.path())
                .and_then(|kind| Self::from_bytes(loaded.path(), kind, loaded.bytes().to_vec()))
        };
        let one = |item: Item<Result<Self, LabError>>| {
            let read = item.result.map_err(|error| match error {
                FileError::TooLarge { path, bytes, .. } => too_large(&path, bytes),
                FileError::Io { path, source, .. } => LabError::File { path, source },
                other => LabError::Usage(other.to_string()),
            });
            match read.flatten() {
                Ok(source) => Ok(source),
                Err(problem) => {
                    let nothing = Self::from_text(&item.path, kind_of(&item.path)?, String::new());
                    Ok(Self { problem: Some(problem.to_string()), ..nothing })
                }
            }
        };
        pool.read(paths, options, work).blocking().map(one).collect()
    }

    /// A strategy from text already at hand.
    pub fn from_text(path: &Path, kind: StrategyKind, text: String) -> Self {
        let hash = ContentHash::of(text.as_bytes());
        Self { path: path.to_owned(), kind, text, hash, problem: None }
    }

    /// File name without ending.
    pub fn stem(&self) -> String {
        self.path.file_stem().map_or_else(|| "strategy".into(), |s| s.to_string_lossy().into_owned())
    }
}
