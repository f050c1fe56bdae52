//! Failures with the step they happened in.

use std::fmt;

/// A step of the setting-up that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) step: String,
    pub(crate) error: String,
}

impl Failure {
    pub(crate) fn new(step: &str, error: &str) -> Self {
        Self { step: step.into(), error: error.into() }
    }
}

/// Names the step of a result.
pub(crate) trait Step<T> {
    fn step(self, step: &str) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Step<T> for Result<T, E> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure { step: step.into(), error: error.to_string() })
    }
}
