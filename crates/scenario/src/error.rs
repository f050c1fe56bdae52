//! What can go wrong in a scenario.

use std::path::{Path, PathBuf};

/// Why a scenario gave no figures.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file or folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The work was done wrongly.
    #[error("the result is wrong: {what}: expected {expected}, found {found}")]
    Wrong {
        /// What was compared.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// No such case.
    #[error("scenario {scenario} has no case `{case}`")]
    NoCase {
        /// The scenario.
        scenario: &'static str,
        /// The case asked for.
        case: String,
    },
    /// A contestant's process.
    #[error("{name}: {problem}")]
    Program {
        /// The contestant.
        name: String,
        /// What became of it.
        problem: String,
    },
    /// The measuring was ended before its end.
    #[error("cancelled")]
    Cancelled,
    /// Anything else that the work met.
    #[error("{0}")]
    Work(String),
}

impl ScenarioError {
    /// Names the file of an I/O error: `.map_err(ScenarioError::at(path))`.
    pub fn at(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |source| Self::File { path: path.to_owned(), source }
    }

    /// An error of the work, by its text.
    pub fn work(error: impl std::fmt::Display) -> Self {
        Self::Work(error.to_string())
    }

    /// `Ok` when the two are equal.
    ///
    /// # Errors
    /// [`ScenarioError::Wrong`] when they are not.
    pub fn check<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, found: T) -> Result<(), Self> {
        if expected == found {
            return Ok(());
        }
        let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
        Err(Self::Wrong { what: what.into(), expected, found })
    }
}
