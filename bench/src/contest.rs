//! Who takes part, how each is started, and what it hands back.

use crate::{args::Args, inputs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longest that one contestant may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Rounds of one contestant.
pub const ROUNDS: usize = 5;

/// What a contestant prints: one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Of the program measured; empty for ours.
    #[serde(default)]
    pub version: String,
    /// Of each round.
    pub seconds: Vec<f64>,
    /// Peak resident memory of the process (VmHWM), kB.
    pub peak_kb: u64,
    /// What came out, for checking.
    pub result: Value,
}

impl Measured {
    /// Measures some work of ours: five rounds after one that does not count.
    pub fn of<T: Serialize>(mut work: impl FnMut() -> Result<T, String>) -> Result<Self, String> {
        let mut result = work()?;
        let mut seconds = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            result = work()?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        let result = serde_json::to_value(result).map_err(|e| e.to_string())?;
        Ok(Self { version: String::new(), seconds, peak_kb: peak_kb("self"), result })
    }

    /// Prints it for the parent process.
    pub fn hand_back(&self) -> Result<(), String> {
        println!("{}", serde_json::to_string(self).map_err(|e| e.to_string())?);
        Ok(())
    }

    /// The middle of the rounds, seconds.
    pub fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Peak resident memory of a process, kB; 0 where the system does not tell.
pub fn peak_kb(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

/// What all comparisons share.
pub struct Setup {
    /// Bars as CSV.
    pub data: PathBuf,
    /// The bars are real ones whose figures are known.
    pub known: bool,
    /// Size of the large CSV file.
    pub megabytes: u64,
    /// Python of the rivals' environment.
    python: Option<PathBuf>,
    alone: bool,
    venv: PathBuf,
    /// Where inputs and workspaces lie; gone afterwards.
    pub scratch: tempfile::TempDir,
}

/// Bars and final equity of the file whose figures are known.
const KNOWN_BARS: usize = 31_066;

impl Setup {
    /// Looks for everything.
    pub fn find(args: &Args) -> Result<Self, String> {
        let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
        let (data, known) = match &args.data {
            Some(path) => {
                (fs::canonicalize(path).map_err(|e| format!("{}: {e}", path.display()))?, is_known(path))
            }
            None => (inputs::walk(scratch.path(), 0)?, false),
        };
        let python = args.venv.join("bin/python");
        let python = (!args.alone && python.exists()).then_some(python);
        Ok(Self {
            data,
            known,
            megabytes: args.megabytes,
            python,
            alone: args.alone,
            venv: args.venv.clone(),
            scratch,
        })
    }

    /// Says what is compared and what is missing.
    pub fn tell(&self) {
        if cfg!(debug_assertions) {
            eprintln!("bench: THIS IS A DEBUG BUILD: its times mean nothing; add --release");
        }
        if self.python.is_none() && !self.alone {
            eprintln!(
                "bench: NO RIVALS: there is no Python environment in {}; make it with bench/setup or name one with --venv",
                self.venv.display()
            );
        }
        if !self.known {
            eprintln!(
                "bench: these are not the bars whose figures are known: results are only compared with each other"
            );
        }
    }

    /// Ours, in a process of its own.
    pub fn own(&self, name: &str, case: &str, arguments: &[&str]) -> Entry {
        let command = std::env::current_exe().map(|exe| {
            let mut command = Command::new(exe);
            command.args(["own", case]).args(arguments);
            command
        });
        Entry {
            name: name.into(),
            ours: true,
            base: false,
            outcome: command.map_err(|e| e.to_string()).and_then(measure),
        }
    }

    /// A rival's script, or with a `package` of ours on its path one of ours; nothing when there are no rivals at all.
    pub fn rival(
        &self,
        name: &str,
        script: &str,
        arguments: &[&str],
        package: Option<&Path>,
    ) -> Option<Entry> {
        let python = self.python.as_ref()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals").join(script);
        let mut command = Command::new(python);
        command.arg("-B").arg(script).args(arguments).env_remove("PYTHONPATH");
        if let Some(package) = package {
            command.env("PYTHONPATH", package);
        }
        Some(Entry { name: name.into(), ours: package.is_some(), base: false, outcome: measure(command) })
    }
}

fn is_known(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| {
        text.lines().count() == KNOWN_BARS + 1 && text.contains("\n2023-01-01 00:00:00, 16531.83, 16532.69,")
    })
}

/// One line of a comparison.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who.
    pub name: String,
    /// One of ours.
    pub ours: bool,
    /// What the ratios of the lines below refer to, as far as the next such line.
    pub base: bool,
    /// The measurement, or why there is none.
    pub outcome: Result<Measured, String>,
}

impl Entry {
    /// The line that the ones below are compared with.
    pub fn into_base(self) -> Self {
        Self { base: true, ..self }
    }

    /// Refuses a measurement whose result is wrong.
    pub fn check(mut self, is_right: impl FnOnce(&Value) -> Result<(), String>) -> Self {
        self.outcome = self.outcome.and_then(|m| match is_right(&m.result) {
            Ok(()) => Ok(m),
            Err(problem) => Err(format!("WRONG RESULT: {problem}")),
        });
        self
    }
}

/// Starts a contestant, waits for it and reads its line.
fn measure(command: Command) -> Result<Measured, String> {
    let done = run(command)?;
    let line = done.stdout.lines().rev().find(|l| l.starts_with('{')).ok_or("it printed no result")?;
    serde_json::from_str(line).map_err(|e| format!("its result cannot be read ({e})"))
}

/// What a finished process left.
pub struct Done {
    /// All of its output.
    pub stdout: String,
    /// From start to end, seconds.
    pub seconds: f64,
    /// Peak resident memory, kB, as last seen before it ended.
    pub peak_kb: u64,
}

/// Runs a program to its end. Errors with the end of what it wrote to stderr when it fails or takes too long.
pub fn run(mut command: Command) -> Result<Done, String> {
    let capture = || tempfile::tempfile().map_err(|e| e.to_string());
    let (out, err) = (capture()?, capture()?);
    let clone = |f: &fs::File| f.try_clone().map(Stdio::from).map_err(|e| e.to_string());
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(clone(&out)?)
        .stderr(clone(&err)?)
        .spawn()
        .map_err(|e| format!("cannot start: {e}"))?;
    let (ended, peak_kb) = wait(&mut child, start)?;
    let seconds = start.elapsed().as_secs_f64();
    if !ended {
        return Err(format!("not done after {PATIENCE:?}: ended"));
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    if !status.success() {
        let text = read_back(err)?;
        let tail: Vec<&str> = text.trim().lines().rev().take(3).collect();
        return Err(format!("{status}: {}", tail.into_iter().rev().collect::<Vec<_>>().join(" | ")));
    }
    Ok(Done { stdout: read_back(out)?, seconds, peak_kb })
}

/// Waits for the end and watches the memory; false when it took too long and was ended.
fn wait(child: &mut Child, start: Instant) -> Result<(bool, u64), String> {
    let (process, mut peak) = (child.id().to_string(), 0);
    while child.try_wait().map_err(|e| e.to_string())?.is_none() {
        peak = peak.max(peak_kb(&process));
        if start.elapsed() > PATIENCE {
            child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
            return Ok((false, peak));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((true, peak))
}

fn read_back(mut file: fs::File) -> Result<String, String> {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
