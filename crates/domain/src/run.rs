//! Runs: one strategy, one data set, one set of parameters, one set of rules.

use crate::{ContentHash, Params};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Identity of a run: the hash of source, parameters, data content, engine version and broker rules.
/// Equal ids mean equal work, so it is never done twice.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

/// Text that is no run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no run id: expected 4 to 32 hexadecimal digits")]
pub struct BadRunId(pub String);

impl RunId {
    /// Computes the id. `account` and `rules` are canonical texts of the account settings and broker
    /// rules; `engine` is the engine's version.
    pub fn compute(
        source: ContentHash,
        params: &Params,
        data: ContentHash,
        engine: &str,
        account: &str,
        rules: &str,
    ) -> Self {
        let params = serde_json::to_string(params).unwrap_or_default();
        let digest = ContentHash::of_parts(&[
            &source.0,
            params.as_bytes(),
            &data.0,
            engine.as_bytes(),
            account.as_bytes(),
            rules.as_bytes(),
        ]);
        Self(digest.short(32))
    }

    /// All 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, enough to name a run in a ledger of any usual size.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(8)]
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = BadRunId;
    fn from_str(text: &str) -> Result<Self, BadRunId> {
        let ok = (4..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if ok { Ok(Self(text.to_ascii_lowercase())) } else { Err(BadRunId(text.to_owned())) }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Finished with metrics.
    Ok,
    /// Did not compile, its data did not parse, or it stopped with an error.
    Failed,
    /// Passed its deadline.
    Timeout,
    /// Stopped by the person.
    Cancelled,
}

impl RunStatus {
    /// The word used in JSON, the ledger and the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}
