//! What the supervising process tells the launcher, and what the launcher answers.

use crate::mechanism::Tier;
use serde::{Deserialize, Serialize};

/// Descriptor on which the launcher reads its plan.
pub(crate) const PLAN_FD: u8 = 14;
/// Descriptor on which it answers, before the program gets control.
pub(crate) const ANSWER_FD: u8 = 15;
/// Where the scratch space is, seen from inside.
pub(crate) const SCRATCH: &str = "/tmp";

/// Everything the launcher does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) tier: Tier,
    /// Files and folders that can be read and executed.
    pub(crate) read_only: Vec<Bind>,
    /// Size of the scratch space (full tier).
    pub(crate) scratch_bytes: u64,
    /// The scratch folder on the host (reduced tier).
    pub(crate) scratch_folder: Option<String>,
    pub(crate) program: String,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<String>,
    /// Descriptors the program keeps besides its three standard ones.
    pub(crate) keep: Vec<u8>,
    pub(crate) limits: KernelLimits,
    /// Processes may be started, not only threads.
    pub(crate) forks: bool,
    /// The program is a server that starts processes and cages each.
    #[serde(default)]
    pub(crate) server: bool,
    /// The user to become when the launcher runs as root.
    pub(crate) user: u32,
    /// A mechanism that is there but not used: to show that the others suffice, and what it is good for.
    #[serde(default)]
    pub(crate) without: Vec<String>,
}

/// Something of the host, and where it appears inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bind {
    pub(crate) host: String,
    pub(crate) inside: String,
}

/// `setrlimit` for each process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KernelLimits {
    pub(crate) address_space_bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) open_files: u64,
    /// Processes and threads of the whole sandbox.
    pub(crate) tasks: u64,
    pub(crate) cpu_s: u64,
}

/// The launcher's answer. None at all means that it was ended before it got that far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The program is about to get control.
    Confined {
        /// What is in force, as told by [`crate::Confinement`].
        mechanisms: Vec<String>,
    },
    /// It did not get control.
    Failed {
        /// What was being done.
        step: String,
        /// What the system said.
        error: String,
    },
}
