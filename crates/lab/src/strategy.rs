//! Strategies as files: found, read, named.

use crate::{LabError, encoding::decode};
use springtide_domain::ContentHash;
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

impl StrategySource {
    /// Reads a file. Bytes that are no text are an error that names the first one.
    pub fn read(path: &Path) -> Result<Self, LabError> {
        let kind = StrategyKind::of(path).ok_or_else(|| {
            LabError::Usage(format!("{}: a strategy's file name ends in .pine or .py", path.display()))
        })?;
        let file = |source| LabError::File { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(file)?.len();
        if size > SOURCE_MAX_BYTES {
            return Err(LabError::Usage(format!(
                "{}: {size} bytes; a strategy has at most {SOURCE_MAX_BYTES}",
                path.display()
            )));
        }
        let bytes = std::fs::read(path).map_err(file)?;
        let text =
            decode(bytes, kind).map_err(|why| LabError::Usage(format!("{}: {why}", path.display())))?;
        Ok(Self::from_text(path, kind, text))
    }

    /// One file of several: what is wrong with it concerns nobody else.
    ///
    /// # Errors
    /// When its ending is none of a strategy.
    pub fn one_of_many(path: &Path) -> Result<Self, LabError> {
        match (Self::read(path), StrategyKind::of(path)) {
            (Err(problem), Some(kind)) => {
                let nothing = Self::from_text(path, kind, String::new());
                Ok(Self { problem: Some(problem.to_string()), ..nothing })
            }
            (outcome, _) => outcome,
        }
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
