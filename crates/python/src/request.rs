//! What is asked of a worker.

use crate::{BarsImage, bars::sealed_parts};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use springtide_domain::Params;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

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

/// What lies beside a script, by the names that files have from its folder on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// What is in the files that it is given.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// Texts of the modules that it can import.
    pub modules: BTreeMap<String, Arc<str>>,
    /// Files that it may ask for: see [`Message::Needs`](crate::Message::Needs).
    pub listed: Arc<BTreeSet<String>>,
    /// There may be more than those.
    pub is_list_cut: bool,
    /// Files that there are and that it cannot have, with what to tell whoever reads them.
    pub withheld: BTreeMap<String, String>,
    /// Files that there are not, however much they look as if they were.
    pub absent: BTreeSet<String>,
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
    /// Its files and modules.
    pub beside: Beside,
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
    /// Says of modules that scripts import what they import themselves; runs none.
    Imports(Vec<(String, String)>),
    /// Runs one.
    Run(Box<ScriptRequest>),
}

impl fmt::Display for Work {
    /// `run sma_cross.py`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(scripts) => write!(f, "a look at {} scripts", scripts.len()),
            Self::Imports(modules) => write!(f, "a look at {} modules", modules.len()),
            Self::Run(script) => write!(f, "run {}", script.path),
        }
    }
}

impl Work {
    /// Whether a script seems to read files: then the server has the data set's as pandas reads it.
    fn reads(&self) -> bool {
        matches!(self, Self::Run(script) if script.text.contains("read_csv"))
    }

    /// As a worker takes it: the length of a head, the head in JSON, the bytes of files as they are.
    pub(crate) fn sealed(&self) -> io::Result<OwnedFd> {
        let head = self.head().to_string();
        let length = (head.len() as u64).to_le_bytes();
        let mut parts = vec![&length[..], head.as_bytes()];
        if let Self::Run(script) = self {
            parts.extend(script.beside.files.values().map(|body| &body[..]));
        }
        sealed_parts(&parts)
    }

    fn head(&self) -> Value {
        let texts = |list: &[(String, String)]| -> Vec<Value> {
            list.iter().map(|(path, text)| json!({ "path": path, "text": text })).collect()
        };
        match self {
            Self::Check(scripts) => json!({ "do": "check", "scripts": texts(scripts) }),
            Self::Imports(modules) => json!({ "do": "imports", "modules": texts(modules) }),
            Self::Run(script) => json!({
                "do": "run",
                "path": script.path,
                "text": script.text,
                "params": script.params,
                "account": script.account,
                "files": script.beside.files.iter().map(|(name, body)| json!([name, body.len()])).collect::<Vec<_>>(),
                "modules": script.beside.modules.iter().map(|(name, text)| (name, &**text)).collect::<BTreeMap<_, _>>(),
                "listed": &*script.beside.listed,
                "is_list_cut": script.beside.is_list_cut,
                "withheld": script.beside.withheld,
                "absent": script.beside.absent,
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
