//! What a look at one thing gave.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Ok,
    /// Nothing to do; worth knowing.
    Info,
    /// Works, but less well than it could.
    Warning,
    /// Something does not work.
    Error,
}

/// One thing that was looked at. Printed as a line, or as a JSON object with these fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at; stable.
    pub check: &'static str,
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty when there is nothing to do.
    pub fix: String,
}

impl Finding {
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Ok, detail: detail.into(), fix: String::new() }
    }

    pub fn info(check: &'static str, detail: impl Into<String>) -> Self {
        Self { state: State::Info, ..Self::ok(check, detail) }
    }

    pub fn warning(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Warning, fix: fix.into(), ..Self::ok(check, detail) }
    }

    pub fn error(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Error, fix: fix.into(), ..Self::ok(check, detail) }
    }
}
