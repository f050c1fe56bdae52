//! Children under watch: what they may do, what becomes of them, and that nothing of them is left.
#![cfg(target_os = "linux")]

mod endings;
mod faults;
mod limits;
mod many;
mod scheduling;
mod streams;

use springtide_runtime::process::{
    ChildOptions, ChildSpec, Children, ChildrenConfig, Exit, Limits, ProcessError, WardenProgram,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

const WARDEN: &str = env!("CARGO_BIN_EXE_springtide_warden");

fn config(at_once: usize) -> ChildrenConfig {
    let warden = WardenProgram { path: WARDEN.into(), ..WardenProgram::default() };
    ChildrenConfig { at_once, warden, ..ChildrenConfig::default() }
}

fn children() -> Children {
    Children::new(config(4)).unwrap()
}

/// A shell script as a child with generous time.
fn shell(script: &str) -> ChildSpec {
    ChildSpec::new("/bin/sh").args(["-c", script]).limits(Limits::within(Duration::from_secs(60)))
}

fn run_in(children: &Children, spec: ChildSpec) -> Result<Exit, ProcessError> {
    children.spawn(spec, ChildOptions::new("test"))?.wait()
}

fn run(spec: ChildSpec) -> Exit {
    run_in(&children(), spec).unwrap()
}

/// True while a process is there and not just a corpse.
fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

/// Waits until a condition holds, and fails when it does not for a very long time.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The only child of this test's process: with a test per process that is the warden.
fn processes_below(pid: u32) -> Vec<u32> {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    std::fs::read_dir(tasks)
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|task| std::fs::read_to_string(task.path().join("children")))
        .flat_map(|text| text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>())
        .collect()
}

/// The warden above a child.
fn parent_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat[stat.rfind(')').unwrap() + 2..].split(' ').nth(1).unwrap().parse().unwrap()
}

fn open_fds(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}
