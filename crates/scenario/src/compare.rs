//! Programs of others that do the same work, run beside ours when they are there.

use crate::{Figures, Latency, Mode, ScenarioError};
use serde_json::Value;
use springtide_runtime::CancelToken;
use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Longest run of one contestant.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often a running contestant is looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// Where programs to compare with are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// A folder of Python programs `s1.py` to `s5.py`.
    pub scripts: PathBuf,
    /// The interpreter that has their libraries.
    pub python: PathBuf,
    /// A folder of built single-purpose programs that show the machine's limits.
    pub limits: Option<PathBuf>,
}

impl Programs {
    /// A Python program with arguments; its folder is on the import path.
    pub fn script(&self, file: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command.arg("-B").arg(self.scripts.join(file)).args(arguments);
        command
    }

    /// A limit program, when there is a folder of them.
    pub fn limit(&self, file: &str, arguments: &[&str]) -> Option<Command> {
        let mut command = Command::new(self.limits.as_ref()?.join(file));
        command.args(arguments);
        Some(command)
    }
}

/// Compares what a rival wrote with what is right; gets the rival's own JSON.
pub type Verify = Box<dyn Fn(&Value) -> Result<(), ScenarioError>>;

/// One program to run.
pub struct Rival {
    /// Shown, and named by targets.
    pub name: &'static str,
    /// One after another, many at once, or a limit.
    pub mode: Mode,
    /// The page cache is emptied of the input first.
    pub cold: bool,
    /// Started in the place's folder for each run.
    pub command: Box<dyn Fn() -> Command>,
    /// Items done, in the scenario's unit, from the program's JSON.
    pub items: Box<dyn Fn(&Value) -> f64>,
    /// Checks the result.
    pub verify: Verify,
    /// Reads further figures (latency, connections) from the program's JSON.
    pub more: fn(&Value, &mut Figures),
}

impl Rival {
    /// Programs by hand that are told by one word how to do the work, by name, cold or not, and word; none where
    /// there is no folder of them. Those that only read have no result to check.
    pub(crate) fn limits(
        programs: &Programs,
        file: &'static str,
        ways: &[(&'static str, bool, &'static str)],
        rival: impl Fn(&'static str, bool, Box<dyn Fn() -> Command>) -> Self,
    ) -> Vec<Self> {
        if programs.limits.is_none() {
            return Vec::new();
        }
        let limit = |&(name, cold, way): &(&'static str, bool, &'static str)| {
            let programs = programs.clone();
            let command = move || programs.limit(file, &[way]).expect("there is a folder of limits");
            let mut limit = rival(name, cold, Box::new(command));
            if way.starts_with("readonly") {
                limit.verify = Box::new(|_| Ok(()));
            }
            limit
        };
        ways.iter().map(limit).collect()
    }

    /// Runs it once and reads the JSON object that it prints last.
    pub(crate) fn run(&self, root: &Path, cancel: &CancelToken) -> Result<Figures, ScenarioError> {
        let mut command = (self.command)();
        let output = run_to_end(self.name, command.current_dir(root), cancel)?;
        let last = output.lines().rev().find(|l| l.starts_with('{')).unwrap_or_default();
        let json: Value = serde_json::from_str(last)
            .map_err(|e| program_error(self.name, format!("its last line is not what was agreed ({e})")))?;
        (self.verify)(&json)?;
        let number = |key: &str| json[key].as_f64().unwrap_or(0.0);
        let mut figures = Figures {
            work_s: number("work_s"),
            items: (self.items)(&json),
            cpu_s: number("cpu_user_s") + number("cpu_sys_s"),
            peak_memory: (number("rss_mb") * 1024.0 * 1024.0) as u64,
            ..Figures::default()
        };
        figures.derive(if self.mode == Mode::Sequential { 1 } else { crate::cores() });
        (self.more)(&json, &mut figures);
        Ok(figures)
    }
}

/// Latencies as the programs print them: `p50_ms`, `p95_ms` and `p99_ms`, or with another unit of which
/// `per_ms` are a millisecond.
pub(crate) fn latency(json: &Value, unit: &str, per_ms: f64) -> Option<Latency> {
    let at = |percent: u32| json[format!("p{percent}_{unit}")].as_f64().map(|x| x / per_ms);
    let p50_ms = at(50).filter(|x| *x > 0.0)?;
    Some(Latency { p50_ms, p95_ms: at(95)?, p99_ms: at(99)?, max_ms: None, mean_ms: None })
}

fn program_error(name: &str, problem: String) -> ScenarioError {
    ScenarioError::Program { name: name.into(), problem }
}

/// Runs a program and returns its output. It is ended when it takes too long, or by `cancel`.
pub(crate) fn run_to_end(
    name: &str,
    command: &mut Command,
    cancel: &CancelToken,
) -> Result<String, ScenarioError> {
    let failed = |problem: String| program_error(name, problem);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(format!("cannot start {}: {e}", command.get_program().display())))?;
    let (out, err) = (drain(child.stdout.take())?, drain(child.stderr.take())?);
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(|e| failed(e.to_string()))? {
            Some(status) => break status,
            None if cancel.is_cancelled() || Instant::now() > until => {
                // It may have ended in this moment, which is as good.
                let _ = child.kill();
                let _ = child.wait();
                return Err(match cancel.is_cancelled() {
                    true => ScenarioError::Cancelled,
                    false => failed(format!("ended after {} s", PATIENCE.as_secs())),
                });
            }
            None => std::thread::sleep(GLANCE),
        }
    };
    let text = |reader: Reader| reader.join().unwrap_or_default();
    let (out, err) = (text(out), text(err));
    if status.success() {
        return Ok(out);
    }
    let last = err.trim().lines().last().unwrap_or("it said nothing").to_owned();
    Err(failed(format!("{status}: {last}")))
}

type Reader = std::thread::JoinHandle<String>;

fn drain(pipe: Option<impl Read + Send + 'static>) -> Result<Reader, ScenarioError> {
    let read = move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before a broken pipe is what there is.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    std::thread::Builder::new().name("drain".into()).spawn(read).map_err(ScenarioError::work)
}
