//! Many short child processes, each watched over: captured output, a deadline, limits, accounting.

use crate::{
    About, Case, Figures, Latencies, Meter, Mode, Place, Programs, Rival, Scenario, ScenarioError, Target,
    cores,
};
use springtide_runtime::process::{Child, ChildOptions, ChildSpec, Children, ChildrenConfig, Exit, Limits};
use std::{collections::VecDeque, time::Duration};

/// Children at full scale.
const CHILDREN: u64 = 500;
/// How many run at a time where many do.
const AT_ONCE: usize = 4;
const AT_ONCE_TEXT: &str = "4";
/// The program and what it prints.
const PROGRAM: &str = "/bin/echo";
const WORD: &str = "ok";

/// The scenario.
#[derive(Clone, Copy, Debug)]
pub struct Processes;

static ABOUT: About = About {
    name: "process",
    title: "Many short processes",
    work: "500 children (/bin/echo), output captured, each with a deadline; ours also with limits of processor time, memory and \
           address space for the whole tree and with its cost recorded; four at once where many run at once",
    check: "every exit code and every output",
    unit: "processes",
    latency_of: "one child, from its start until it and all its descendants have ended",
    cases: &[
        Case { name: "sequential", mode: Mode::Sequential, cold: false },
        Case { name: "concurrent", mode: Mode::Concurrent, cold: false },
    ],
    targets: &[
        Target::faster("concurrent", "python, one by one", 1.7),
        Target::faster("concurrent", "python, threads", 1.2),
        Target::faster("concurrent", "python, asyncio", 1.2),
        Target::faster("concurrent", "limit: vfork", 0.8),
    ],
    claims: &[],
    serves: false,
};

impl Scenario for Processes {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn prepare(&self, _place: &Place) -> Result<(), ScenarioError> {
        Ok(())
    }

    fn run(&self, case: &str, place: &Place) -> Result<Figures, ScenarioError> {
        let at_once = match case {
            "sequential" => 1,
            "concurrent" => AT_ONCE,
            other => return Err(ScenarioError::NoCase { scenario: ABOUT.name, case: other.into() }),
        };
        let children = Children::new(ChildrenConfig { at_once, ..ChildrenConfig::default() })
            .map_err(ScenarioError::work)?;
        start_and_wait(children, place.scaled(CHILDREN), at_once)
    }

    fn rivals(&self, place: &Place, programs: &Programs) -> Vec<Rival> {
        let count = place.scaled(CHILDREN).to_string();
        let script = |name, mode, way: &'static str| {
            let (programs, count) = (programs.clone(), count.clone());
            let arguments = move || {
                programs.script("s5.py", &[way, "--cmd", "echo", "--n", &count, "--conc", AT_ONCE_TEXT])
            };
            rival(name, mode, Box::new(arguments))
        };
        let mut rivals = vec![
            script("python, one by one", Mode::Sequential, "sync"),
            script("python, threads", Mode::Concurrent, "pool"),
            script("python, asyncio", Mode::Concurrent, "async"),
        ];
        if programs.limits.is_some() {
            let programs = programs.clone();
            let command = format!("{PROGRAM} {WORD}");
            let limit = move || {
                let arguments = ["pidfd", "--cmd", &command, "--n", &count, "--conc", AT_ONCE_TEXT];
                programs.limit("s5", &arguments).expect("there is a folder of limits")
            };
            rivals.push(rival("limit: vfork", Mode::Limit, Box::new(limit)));
        }
        rivals
    }
}

/// The programs check exit codes themselves and fail on a wrong one.
fn rival(name: &'static str, mode: Mode, command: Box<dyn Fn() -> std::process::Command>) -> Rival {
    Rival {
        name,
        mode,
        cold: false,
        command,
        items: Box::new(|json| json["n"].as_f64().unwrap_or(0.0)),
        verify: Box::new(|_| Ok(())),
        more: |json, figures| figures.connections = json["conc"].as_u64(),
    }
}

fn start_and_wait(children: Children, count: u64, at_once: usize) -> Result<Figures, ScenarioError> {
    let cpu_before = children_cpu_s();
    let meter = Meter::start(if at_once == 1 { 1 } else { cores() });
    let mut times = Latencies::with_capacity(count as usize);
    let mut running: VecDeque<Child> = VecDeque::new();
    // One after another means that the next is asked for when the last has ended.
    let asked_at_once = if at_once == 1 { 1 } else { 8 * at_once };
    for _ in 0..count {
        if running.len() >= asked_at_once
            && let Some(child) = running.pop_front()
        {
            times.push(end(child)?);
        }
        let spec = ChildSpec::new(PROGRAM).args([WORD]).limits(limits());
        running.push_back(children.spawn(spec, ChildOptions::new("echo")).map_err(ScenarioError::work)?);
    }
    for child in running {
        times.push(end(child)?);
    }
    let mut figures = meter.stop(count as f64, times);
    // With the warden's end its own time counts, and that of the children it has waited for.
    drop(children);
    figures.cpu_s += children_cpu_s() - cpu_before;
    figures.derive(if at_once == 1 { 1 } else { cores() });
    figures.connections = Some(at_once as u64);
    Ok(figures)
}

fn limits() -> Limits {
    Limits {
        cpu: Some(Duration::from_secs(10)),
        memory_bytes: Some(1 << 30),
        address_space_bytes: Some(4 << 30),
        ..Limits::within(Duration::from_secs(30))
    }
}

fn end(child: Child) -> Result<Duration, ScenarioError> {
    let exit: Exit = child.wait().map_err(ScenarioError::work)?;
    if !exit.is_success() {
        return Err(ScenarioError::work(exit.ending));
    }
    ScenarioError::check("output", format!("{WORD}\n"), exit.stdout.text().into_owned())?;
    Ok(exit.usage.wall)
}

/// Processor time of the children this process has waited for, and theirs.
fn children_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let ticks: f64 = fields.iter().skip(13).take(2).filter_map(|f| f.parse::<f64>().ok()).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}
