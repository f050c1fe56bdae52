//! Twenty-eight kinds of attack. Each is held in every way to hold a program that this machine has, and each
//! does break out (or does what it must not) without a sandbox, so that it proves something.
#![cfg(target_os = "linux")]

mod victims;
mod world;

use serde_json::{Value, json};
use springtide_runtime::process::{ChildOptions, Children, Ending, Status};
use springtide_sandbox::{Job, Outcome, Tier};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use victims::{PASSWORD, SETUID, Setuid, World, can_tell};
use world::{bare, children, job, python, ways};

/// An attack and how to tell that it succeeded.
struct Attack<'a> {
    script: &'static str,
    /// What it is told besides the world.
    told: Value,
    /// Adapts the job: its limits, its descriptors.
    adapt: &'a dyn Fn(&mut Job, &World),
    /// How it broke out, from the outcome; besides what it says and what the world suffered.
    judge: &'a dyn Fn(&Outcome) -> Option<String>,
    /// The attack comes to its own end when held, rather than being ended.
    survives: bool,
}

impl Attack<'_> {
    fn new(script: &'static str) -> Self {
        Self { script, told: json!({}), adapt: &|_, _| {}, judge: &|_| None, survives: true }
    }

    /// In every way there is.
    fn is_held(&self) {
        let Some(children) = ready() else { return };
        for way in ways(&children) {
            let mut world = World::new();
            let mut job = job(self.script, &world.describe(true, &self.told));
            job.allowance.forks = way.forks;
            (self.adapt)(&mut job, &world);
            let outcome =
                way.sandbox.start(&children, job, ChildOptions::new("attack")).unwrap().wait().unwrap();
            let name = way.name;
            if let Some(harm) = self.harm(&outcome, &mut world) {
                panic!("{name}: {harm}\n{outcome:#?}");
            }
            assert_eq!(outcome.confinement.tier, way.sandbox.tier());
            assert!(outcome.confinement.mechanisms.iter().any(|m| m == "seccomp"), "{name}: {outcome:#?}");
            let tried = outcome.exit.stdout.text().contains("TRIED");
            assert!(tried || !self.survives, "{name}: it did not get to its end\n{outcome:#?}");
            assert_eq!(outcome.exit.survivors, 0, "{name}");
        }
    }

    /// Without a sandbox, with generous limits.
    fn breaks_out_otherwise(&self, adapt: impl Fn(&mut Job, &World)) {
        let Some(children) = ready() else { return };
        let mut world = World::new();
        let mut job = job(self.script, &world.describe(false, &self.told));
        (self.adapt)(&mut job, &world);
        job.allowance.forks = true;
        adapt(&mut job, &world);
        let outcome =
            bare(&children).start(&children, job, ChildOptions::new("control")).unwrap().wait().unwrap();
        assert_eq!(outcome.confinement.tier, Tier::None);
        let harm = self.harm(&outcome, &mut world);
        assert!(harm.is_some(), "this attack proves nothing: it fails without a sandbox, too\n{outcome:#?}");
    }

    fn harm(&self, outcome: &Outcome, world: &mut World) -> Option<String> {
        let text = outcome.exit.stdout.text();
        let said = text.lines().find(|line| line.starts_with("BROKE")).map(str::to_owned);
        said.or_else(|| world.harm()).or_else(|| (self.judge)(outcome))
    }
}

/// Children to attack with; `None`, said aloud, where there is no Python.
fn ready() -> Option<Children> {
    if python().is_none() {
        eprintln!("SKIPPED: there is no /usr/bin/python3 to attack with");
        return None;
    }
    Some(children())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn generous(job: &mut Job, _: &World) {
    job.allowance.address_space_bytes = 8 << 30;
    job.allowance.memory_bytes = 4 << 30;
    job.allowance.file_bytes = 4 << 30;
    job.allowance.scratch_bytes = 4 << 30;
    job.allowance.open_files = 1_024;
}

/// Memory of a size that the machine does not miss.
fn small_memory(job: &mut Job, _: &World) {
    job.allowance.address_space_bytes = 300 << 20;
    job.allowance.memory_bytes = 400 << 20;
    job.allowance.scratch_bytes = 16 << 20;
    job.allowance.file_bytes = 8 << 20;
}

macro_rules! script {
    ($name:literal) => {
        include_str!(concat!("scripts/", $name, ".py"))
    };
}

#[test]
fn a01_read_secrets() {
    let attack = Attack::new(script!("read_secrets"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a02_write_outside_scratch() {
    let attack = Attack::new(script!("write_outside"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a03_connect_on_loopback() {
    let attack = Attack::new(script!("loopback"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a04_connect_outside() {
    let attack = Attack::new(script!("outside_network"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a05_fork_bomb() {
    let attack = Attack::new(script!("fork_bomb"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a06_thread_bomb() {
    let attack = Attack { adapt: &small_memory, ..Attack::new(script!("thread_bomb")) };
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a07_memory_bomb() {
    let attack = Attack { adapt: &small_memory, ..Attack::new(script!("memory_bomb")) };
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a08_shared_memory_bomb() {
    let attack = Attack { adapt: &small_memory, ..Attack::new(script!("shared_memory_bomb")) };
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a09_disk_fill() {
    let attack = Attack { adapt: &small_memory, survives: false, ..Attack::new(script!("disk_fill")) };
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a10_one_huge_file() {
    let adapt = |job: &mut Job, _: &World| job.allowance.file_bytes = 8 << 20;
    let attack = Attack { adapt: &adapt, survives: false, ..Attack::new(script!("huge_file")) };
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a11_infinite_output() {
    let adapt = |job: &mut Job, _: &World| {
        job.allowance.output_bytes = 64 << 10;
        job.allowance.wall = Duration::from_millis(1_500);
    };
    let judge = |outcome: &Outcome| {
        let kept = outcome.exit.stdout.bytes.len().max(outcome.exit.stderr.bytes.len());
        let ended = matches!(outcome.exit.ending, Ending::WallLimit { .. });
        (kept > 64 << 10 || !ended || outcome.exit.stdout.dropped == 0)
            .then(|| format!("{kept} bytes were kept, {}", outcome.exit.ending))
    };
    let attack = Attack {
        told: json!({ "lines": 1_000_000_000 }),
        adapt: &adapt,
        judge: &judge,
        survives: false,
        ..Attack::new(script!("infinite_output"))
    };
    attack.is_held();
    let finite = Attack { told: json!({ "lines": 100 }), ..attack };
    finite.breaks_out_otherwise(|job, _| job.allowance.output_bytes = 1 << 20);
}

/// Processor time of a fifth of a second; the attack wants twenty.
fn cpu(script: &'static str) {
    let adapt = |job: &mut Job, _: &World| job.allowance.cpu = Duration::from_millis(200);
    let judge = |outcome: &Outcome| {
        let limited = matches!(outcome.exit.ending, Ending::CpuLimit { .. });
        (!limited).then(|| outcome.exit.ending.to_string())
    };
    let attack = Attack {
        told: json!({ "seconds": 20 }),
        adapt: &adapt,
        judge: &judge,
        survives: false,
        ..Attack::new(script)
    };
    attack.is_held();
    let shorter = Attack { told: json!({ "seconds": 0.5 }), ..attack };
    shorter.breaks_out_otherwise(|job, _| job.allowance.cpu = Duration::from_secs(20));
}

#[test]
fn a12_cpu_loop() {
    cpu(script!("cpu_loop"));
}

#[test]
fn a13_cpu_loop_that_ignores_signals() {
    cpu(script!("cpu_loop_deaf"));
}

#[test]
fn a14_sleep_forever() {
    let adapt = |job: &mut Job, _: &World| job.allowance.wall = Duration::from_millis(500);
    let attack = Attack {
        told: json!({ "seconds": 1_000 }),
        adapt: &adapt,
        judge: &|outcome| {
            (!matches!(outcome.exit.ending, Ending::WallLimit { .. }))
                .then(|| outcome.exit.ending.to_string())
        },
        survives: false,
        ..Attack::new(script!("sleep_forever"))
    };
    attack.is_held();
    let shorter = Attack { told: json!({ "seconds": 0.7 }), ..attack };
    shorter.breaks_out_otherwise(|job, _| job.allowance.wall = Duration::from_secs(20));
}

#[test]
fn a15_kill_the_parent() {
    let attack = Attack::new(script!("kill_the_parent"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a16_look_into_other_processes() {
    let attack = Attack::new(script!("look_into_others"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

/// Processes with this argument.
fn marked(marker: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command.starts_with(b"sleep\0") && command.split(|b| *b == 0).any(|part| part == marker.as_bytes())
        {
            found.extend(entry.file_name().to_str().and_then(|pid| pid.parse::<u32>().ok()));
        }
    }
    found
}

/// Runs an attack as a plain child of this process, with its environment and descriptors, and reads its output to
/// the end.
fn plain(script: &str, world: &World, told: &Value) -> String {
    let job = job(script, &world.describe(false, told));
    let output = Command::new(&job.program).args(&job.args).env("PASSWORD", PASSWORD).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a17_leave_a_background_process() {
    let marker = format!("1000.{:09}", std::process::id());
    let mine = marker.clone();
    let judge = move |_: &Outcome| {
        let left = marked(&mine);
        (!left.is_empty()).then(|| format!("{left:?} are still there"))
    };
    let told = json!({ "marker": marker });
    let attack = Attack { told: told.clone(), judge: &judge, ..Attack::new(script!("background_process")) };
    attack.is_held();
    if ready().is_some() {
        // A plain child's descendant is left.
        Command::new(python().unwrap())
            .args(job(attack.script, &World::new().describe(false, &told)).args)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        let left = marked(&marker);
        assert_eq!(left.len(), 1, "this attack proves nothing");
        let pid = rustix::process::Pid::from_raw(left[0] as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

#[test]
fn a18_hold_the_pipe_open_after_exit() {
    let attack = Attack {
        told: json!({ "seconds": 1_000 }),
        judge: &|outcome| (outcome.exit.ending != Ending::Code(0)).then(|| outcome.exit.ending.to_string()),
        ..Attack::new(script!("hold_the_pipe"))
    };
    attack.is_held();
    if ready().is_some() {
        // Who reads a plain child's output to its end waits for the holder.
        let start = Instant::now();
        plain(attack.script, &World::new(), &json!({ "seconds": 2 }));
        assert!(start.elapsed() >= Duration::from_secs(2), "this attack proves nothing");
    }
}

#[test]
fn a19_symlink_tricks() {
    let attack = Attack::new(script!("symlink_tricks"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a20_read_the_parents_environment() {
    let attack = Attack::new(script!("parents_environment"));
    attack.is_held();
    if ready().is_some() {
        assert!(plain(attack.script, &World::new(), &json!({})).contains("BROKE own environment"));
    }
}

#[test]
fn a21_nested_namespaces_chroot_mount() {
    let attack = Attack::new(script!("namespaces"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
#[allow(unsafe_code, reason = "leaves a descriptor open across exec, as careless programs do")]
fn a22_inherited_descriptors() {
    let secret = std::fs::File::open("/proc/self/status").unwrap();
    // SAFETY: duplicates an open descriptor to a number that nothing in this test uses.
    assert_eq!(unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&secret), 200) }, 200);
    let attack = Attack::new(script!("descriptors"));
    attack.is_held();
    if ready().is_some() {
        assert!(plain(attack.script, &World::new(), &json!({})).contains("BROKE descriptor 200"));
    }
}

#[test]
fn a23_odd_kernel_surface() {
    let attack = Attack::new(script!("odd_surface"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a24_setuid_binaries() {
    let (Some(children), Some(setuid)) = (ready(), Setuid::find()) else { return };
    let told = json!({ "setuid": setuid.program });
    // The numbers it prints must not say that it is root.
    for way in ways(&children).into_iter().filter(|way| can_tell(way.sandbox.tier())) {
        let world = World::new();
        let job = job(script!("setuid_binaries"), &world.describe(true, &told)).read(setuid.folder());
        let outcome = way.sandbox.start(&children, job, ChildOptions::new("attack")).unwrap().wait().unwrap();
        let text = outcome.exit.stdout.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.contains(&"TRIED"), "{outcome:#?}");
        assert!(lines.len() == 3 && lines[2] != "0", "{}: {outcome:#?}", way.name);
    }
    // As an ordinary user without a sandbox it is root.
    use std::os::unix::process::CommandExt;
    let mut plain = Command::new(&setuid.program);
    if is_root() {
        plain.uid(65_534);
    }
    let output = plain.arg("-u").output().unwrap();
    assert_eq!(output.stdout, b"0\n", "this attack proves nothing (is the folder mounted nosuid?)");
}

#[test]
fn a25_device_nodes() {
    let attack = Attack::new(script!("device_nodes"));
    attack.is_held();
    attack.breaks_out_otherwise(generous);
}

#[test]
fn a26_core_dumps() {
    let attack = Attack {
        judge: &|outcome| match outcome.exit.status {
            Some(Status::Code(0) | Status::Signal(libc::SIGABRT)) => None,
            other => Some(format!("{other:?}")),
        },
        ..Attack::new(script!("core_dumps"))
    };
    attack.is_held();
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with('|') || pattern.starts_with('/') {
        eprintln!("SKIPPED: the control: core dumps go to `{}`, which would be littered", pattern.trim());
    } else if ready().is_some() {
        // The runtime's own limit is on core files, too; only a plain child dumps.
        let world = World::new();
        let text = plain(attack.script, &world, &json!({}));
        let limit_is_zero = text.contains("held ValueError");
        assert!(text.contains("BROKE") || limit_is_zero, "this attack proves nothing: {text}");
    }
}

#[test]
fn a27_a_tree_that_shares_out_memory() {
    let adapt = |job: &mut Job, _: &World| {
        job.allowance.address_space_bytes = 300 << 20;
        job.allowance.memory_bytes = 200 << 20;
    };
    let attack = Attack {
        told: json!({ "seconds": 3 }),
        adapt: &adapt,
        judge: &|outcome| match outcome.exit.ending {
            Ending::MemoryLimit { .. } => None,
            // It could not even fork.
            Ending::Code(0) => None,
            other => Some(other.to_string()),
        },
        survives: false,
        ..Attack::new(script!("sharing_out_memory"))
    };
    attack.is_held();
    let shorter = Attack { told: json!({ "seconds": 0.3 }), ..attack };
    shorter.breaks_out_otherwise(generous);
}

#[test]
fn a28_forged_results() {
    let Some(children) = ready() else { return };
    let ways = ways(&children);
    let run = |way: &world::Way, told: Value| {
        let mut world = World::new();
        let mut job = job(script!("forged_results"), &world.describe(true, &told));
        job.results = Some((5, 4_000));
        let outcome = way.sandbox.start(&children, job, ChildOptions::new("forger")).unwrap().wait().unwrap();
        let text = outcome.exit.stdout.text();
        assert!(!text.contains("BROKE") && text.contains("TRIED"), "{}: {outcome:#?}", way.name);
        assert_eq!(world.harm(), None);
        // What it writes elsewhere is not taken for our own word.
        assert!(!outcome.confinement.mechanisms.iter().any(|m| m == "pwned"), "{outcome:#?}");
        assert_eq!(outcome.exit.progress.lines, 1, "only the launcher's word");
        outcome
    };
    for way in &ways {
        let honest = run(way, json!({ "way": "honest" })).result();
        assert_eq!(honest.unwrap()["profit"], 1, "{}: an honest result passes", way.name);
        let forgeries = [
            "nothing",
            "twice",
            "cut off",
            "no object",
            "not a number",
            "infinite",
            "too long",
            "deep",
            "no text",
        ];
        for forgery in forgeries {
            let outcome = run(way, json!({ "way": forgery }));
            let refused = outcome.result();
            assert!(refused.is_err(), "{}: {forgery}: {refused:?}", way.name);
        }
    }
}

/// All of the above once more without root's rights, where there are some to give up.
#[test]
fn the_same_as_an_ordinary_user() {
    use std::os::unix::process::CommandExt;
    if !is_root() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let setuid = Setuid::find().unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args).uid(65_534).gid(65_534).current_dir("/");
        command.env("HOME", "/").env(SETUID, &setuid.program).output()
    };
    match run(&["--list"]) {
        Ok(output) if output.status.success() => {}
        other => {
            eprintln!("SKIPPED: an ordinary user cannot run this test's program: {other:?}");
            return;
        }
    }
    let output = run(&["--test-threads=2", "--skip", "the_same_as"]).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}
