//! The program as a person runs it.

use crate::contest::{self, Done, Entry, Measured, ROUNDS};
use std::{path::PathBuf, process::Command};

/// The binary beside this one.
fn binary() -> Result<PathBuf, String> {
    let mut path = std::env::current_exe().map_err(|e| e.to_string())?;
    path.set_file_name(if cfg!(windows) { "tide.exe" } else { "tide" });
    path.exists()
        .then_some(path)
        .ok_or_else(|| "there is no `tide` beside this program: cargo build --release".into())
}

/// Runs a command five times, each time in a new workspace, after one round that does not count. `read` makes the
/// result of the last round's output.
pub fn measure(
    name: &str,
    arguments: &[&str],
    read: impl Fn(&Done) -> Result<serde_json::Value, String>,
) -> Entry {
    let rounds = || {
        let (mut seconds, mut peak_kb, mut result) = (Vec::new(), 0, serde_json::Value::Null);
        for round in 0..=ROUNDS {
            let workspace = tempfile::tempdir().map_err(|e| e.to_string())?;
            let mut command = Command::new(binary()?);
            command.arg("--workspace").arg(workspace.path()).args(arguments);
            let done = contest::run(command)?;
            if round > 0 {
                seconds.push(done.seconds);
            }
            peak_kb = peak_kb.max(done.peak_kb);
            result = read(&done)?;
        }
        Ok(Measured { version: String::new(), seconds, peak_kb, result })
    };
    Entry { name: name.into(), ours: true, base: false, outcome: rounds() }
}
