//! The ways to be held.

use springtide_runtime::process::{Children, ChildrenConfig, WardenProgram};
use springtide_sandbox::{Job, LauncherProgram, Sandbox, SandboxConfig, Tier};
use std::path::PathBuf;

const LAUNCHER: &str = env!("CARGO_BIN_EXE_sandbox_launcher");
/// The interpreter; the attacks are in Python, as what is to be held mostly is.
pub fn python() -> Option<PathBuf> {
    ["/usr/bin/python3", "/usr/local/bin/python3"].map(PathBuf::from).into_iter().find(|path| path.is_file())
}

/// An attack as a job.
pub fn job(script: &str, world: &str) -> Job {
    let source = format!("{}\n{script}", include_str!("scripts/_prelude.py"));
    let mut job =
        Job::new(python().expect("checked before")).args(["-I", "-B", "-c", source.as_str(), world]);
    job.allowance.wall = std::time::Duration::from_secs(30);
    job.allowance.cpu = std::time::Duration::from_secs(20);
    job
}

pub fn children() -> Children {
    let warden = WardenProgram { path: LAUNCHER.into(), ..WardenProgram::default() };
    Children::new(ChildrenConfig { warden, ..ChildrenConfig::default() }).unwrap()
}

/// One way to hold a program.
pub struct Way {
    pub name: &'static str,
    pub sandbox: Sandbox,
    pub forks: bool,
}

fn sandbox(children: &Children, most: Tier, without: &[&str]) -> Sandbox {
    let launcher = LauncherProgram { path: LAUNCHER.into(), ..LauncherProgram::default() };
    let without = without.iter().map(ToString::to_string).collect();
    let config = SandboxConfig { least: Tier::None, most, launcher, without, ..SandboxConfig::default() };
    Sandbox::new(children, config).unwrap()
}

/// No way to hold it: what the sandbox is compared with.
pub fn bare(children: &Children) -> Sandbox {
    sandbox(children, Tier::None, &[])
}

/// All ways that this machine has; those it lacks are told.
pub fn ways(children: &Children) -> Vec<Way> {
    let all = [
        ("full", Tier::Full, &[][..], false),
        ("full, with processes", Tier::Full, &[], true),
        ("full, without Landlock", Tier::Full, &["landlock"], true),
        ("reduced", Tier::Reduced, &[], false),
    ];
    let mut ways = Vec::new();
    for (name, tier, without, forks) in all {
        let sandbox = sandbox(children, tier, without);
        if sandbox.tier() == tier {
            ways.push(Way { name, sandbox, forks });
        } else {
            eprintln!("SKIPPED: way `{name}`: this machine lacks it: {:?}", sandbox.mechanisms());
        }
    }
    ways
}
