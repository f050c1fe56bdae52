//! What is asked of a worker.

use crate::BarsImage;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use springtide_domain::Params;
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// Which library answers to `import backtesting`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The one in the environment.
    Original,
    /// A package of this name in a folder that goes first on the path.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Which rules the package follows, told it by BACKTESTING_RULES.
        rules: String,
    },
}

/// The account, where it is not left to the script.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScriptAccount {
    /// Starting cash.
    pub cash: Option<f64>,
    /// As `Backtest(commission=)` takes it: a number, `[fixed, rate]`, or `{"per_unit": money}`.
    pub commission: Option<Value>,
    /// Share of the price that an entry loses.
    pub spread: Option<f64>,
}

/// A script to run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScriptRequest {
    /// The name it knows itself by.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Attributes of its strategies to set.
    pub params: Params,
    /// Its account.
    pub account: ScriptAccount,
    /// Texts of files that it names and that there are.
    pub files: BTreeMap<String, String>,
    /// Whether `plot()` leaves a page.
    pub plots: bool,
    /// Of a module, how many of its strategies are not run: they were, in a process that did not come to its end.
    pub skip: usize,
}

/// Work for a worker.
#[derive(Clone, Debug)]
pub enum Work {
    /// Says of scripts what they are; runs none.
    Check(Vec<(String, String)>),
    /// Runs one.
    Run(Box<ScriptRequest>),
}

impl fmt::Display for Work {
    /// `run sma_cross.py`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(scripts) => write!(f, "a look at {} scripts", scripts.len()),
            Self::Run(script) => write!(f, "run {}", script.path),
        }
    }
}

impl Work {
    /// Whether a script seems to read files: then the server has the data set's as pandas reads it.
    fn reads(&self) -> bool {
        matches!(self, Self::Run(script) if script.text.contains("read_csv"))
    }

    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Check(scripts) => {
                let list: Vec<Value> =
                    scripts.iter().map(|(path, text)| json!({ "path": path, "text": text })).collect();
                json!({ "do": "check", "scripts": list })
            }
            Self::Run(script) => json!({
                "do": "run",
                "path": script.path,
                "text": script.text,
                "params": script.params,
                "account": script.account,
                "files": script.files,
                "plots": script.plots,
                "skip": script.skip,
            }),
        }
    }
}

/// Address space of a run, unless it is told otherwise. The worker that it is a fork of may hold more (see
/// [`WORKER_BYTES`]): so the run meets its own limit, as an error that it can tell, before its worker is ended.
const ADDRESS_SPACE_BYTES: u64 = 3 << 30;
/// Memory of a worker and its run together.
pub(crate) const WORKER_BYTES: u64 = ADDRESS_SPACE_BYTES + (512 << 20);

/// What one run may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLimits {
    /// Time from start to end.
    pub wall: Duration,
    /// Processor time.
    pub cpu: Duration,
    /// Address space, that of the imported modules included.
    pub address_space_bytes: u64,
    /// Longest file in its scratch folder.
    pub file_bytes: u64,
    /// Bytes of results.
    pub results_bytes: usize,
}

impl Default for RunLimits {
    /// A minute, 3 GiB of address space, files of 16 MiB, 512 MiB of results.
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(60),
            cpu: Duration::from_secs(60),
            address_space_bytes: ADDRESS_SPACE_BYTES,
            file_bytes: 16 << 20,
            results_bytes: 512 << 20,
        }
    }
}

impl RunLimits {
    /// Default limits with another limit of time.
    pub fn within(wall: Duration) -> Self {
        Self { wall, cpu: wall, ..Self::default() }
    }

    pub(crate) fn order(&self, run: u64, work: &Work, data: Option<&BarsImage>) -> Value {
        json!({
            "op": "run",
            "run": run,
            "data": data.map(|d| d.id),
            "reads": work.reads(),
            "limits": {
                "cpu_s": self.cpu.as_secs().saturating_add(2).min(1 << 31),
                "address_space_bytes": self.address_space_bytes,
                "file_bytes": self.file_bytes,
            },
        })
    }
}
