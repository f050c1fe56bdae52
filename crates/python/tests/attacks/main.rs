//! The attacks of the sandbox's own tests, from within a warm worker: there a script runs in a fork of a process
//! that outlives it. Each is held, and the worker is as good as before. That each can succeed where nothing holds
//! it is proven there.
#![cfg(target_os = "linux")]

#[path = "../../../sandbox/tests/attacks/victims.rs"]
mod victims;
#[path = "../runs/world.rs"]
#[allow(dead_code, reason = "the tests of runs use more of it")]
mod world;

use serde_json::{Value, json};
use springtide_python::{Ended, Finish, Message, RunLimits, ScriptEnd, Work};
use springtide_sandbox::Tier;
use std::{path::Path, process::Command, time::Duration};
use victims::{SETUID, Setuid, World as Victims, can_tell};
use world::{CROSS, World, request};

/// What became of a script, and all it printed.
struct Came {
    ended: Ended,
    end: Option<ScriptEnd>,
    runs: usize,
}

impl Came {
    fn said(&self) -> &str {
        &self.ended.log.stdout
    }
}

fn run(world: &World, text: &str, limits: &RunLimits) -> Came {
    let (mut runs, mut end) = (0, None);
    let mut sink = |message| match message {
        Message::Run(_) => runs += 1,
        Message::End(word) => end = Some(*word),
        _ => {}
    };
    let work = Work::Run(Box::new(request(text)));
    let ended = world.workers.run(&work, Some(&world.bars), limits, &|| false, &mut sink).unwrap();
    Came { ended, end, runs }
}

/// As good as before: a run gives what it gives.
fn is_well(world: &World) {
    assert_eq!(run(world, CROSS, &RunLimits::default()).runs, 1);
}

fn limits() -> RunLimits {
    RunLimits { address_space_bytes: 800 << 20, ..RunLimits::within(Duration::from_secs(30)) }
}

/// Runs an attack in each kind of sandbox that this machine has; `judge` says what is wrong.
fn held(script: &str, told: &Value, limits: &RunLimits, judge: &dyn Fn(&Came) -> Option<String>) {
    for tier in [Tier::Full, Tier::Reduced] {
        let Some(world) = World::with(tier) else { continue };
        let mut victims = Victims::new();
        let prelude = include_str!("../../../sandbox/tests/attacks/scripts/_prelude.py");
        let facts = victims.describe(true, told);
        let text = format!("import sys\nsys.argv = ['x', {facts:?}]\n{prelude}\n{script}");
        let came = run(&world, &text, limits);
        let broke = came.said().lines().find(|line| line.starts_with("BROKE")).map(str::to_owned);
        let harm = broke.or_else(|| victims.harm()).or_else(|| judge(&came));
        assert_eq!(harm, None, "{tier}: {:?}", came.ended);
        is_well(&world);
    }
}

/// It came to the end of its attempts.
fn tried(came: &Came) -> Option<String> {
    (!came.said().contains("TRIED")).then(|| "it did not get to its end".into())
}

macro_rules! attacks {
    ($($name:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            let script =
                include_str!(concat!("../../../sandbox/tests/attacks/scripts/", stringify!($name), ".py"));
            held(script, &json!({ "seconds": 1, "marker": "1000.5" }), &limits(), &tried);
        }
    )+};
}

attacks!(
    write_outside,
    loopback,
    outside_network,
    fork_bomb,
    thread_bomb,
    shared_memory_bomb,
    kill_the_parent,
    look_into_others,
    background_process,
    hold_the_pipe,
    symlink_tricks,
    parents_environment,
    namespaces,
    odd_surface,
    device_nodes,
    sharing_out_memory,
);

macro_rules! script {
    ($name:literal) => {
        include_str!(concat!("../../../sandbox/tests/attacks/scripts/", $name, ".py"))
    };
}

/// The interpreter's own folders can be seen, and with them that those above them exist.
#[test]
fn read_secrets() {
    let script = script!("read_secrets").replace("\"/root\"", "\"/root/.ssh\"");
    held(&script, &json!({}), &limits(), &tried);
}

#[test]
fn memory_bomb() {
    let small = RunLimits { address_space_bytes: 500 << 20, ..limits() };
    held(script!("memory_bomb"), &json!({}), &small, &tried);
}

#[test]
fn disk_fill() {
    held(script!("disk_fill"), &json!({}), &limits(), &|_| None);
}

#[test]
fn huge_file() {
    held(script!("huge_file"), &json!({}), &limits(), &|_| None);
}

#[test]
fn time_and_output_without_end() {
    let short = RunLimits { wall: Duration::from_millis(700), ..limits() };
    let timed_out = |came: &Came| {
        let kept = came.ended.log.stdout.len().max(came.ended.log.stderr.len());
        (came.ended.finish != Finish::TimedOut || kept > 70_000).then(|| format!("{kept} bytes kept"))
    };
    held(script!("sleep_forever"), &json!({ "seconds": 1000 }), &short, &timed_out);
    held(script!("infinite_output"), &json!({ "lines": 1_000_000_000 }), &short, &timed_out);
}

#[test]
fn processor_time_without_end() {
    let short = RunLimits { cpu: Duration::ZERO, ..limits() };
    let limited = |came: &Came| (came.ended.finish != Finish::CpuLimit).then(|| "it was not limited".into());
    held(script!("cpu_loop"), &json!({ "seconds": 20 }), &short, &limited);
    held(script!("cpu_loop_deaf"), &json!({ "seconds": 20 }), &short, &limited);
}

/// A program that makes its user root elsewhere does not here.
#[test]
fn setuid_binaries() {
    let Some(setuid) = Setuid::find() else { return };
    for tier in [Tier::Full, Tier::Reduced].into_iter().filter(|tier| can_tell(*tier)) {
        let Some(world) = World::that_sees(tier, Some(setuid.folder())) else { continue };
        let prelude = include_str!("../../../sandbox/tests/attacks/scripts/_prelude.py");
        let facts = Victims::new().describe(true, &json!({ "setuid": setuid.program }));
        let begin = format!("import sys\nsys.argv = ['x', {facts:?}]\n{prelude}");
        let came = run(&world, &format!("{begin}\n{}", script!("setuid_binaries")), &limits());
        let lines: Vec<&str> = came.said().lines().collect();
        assert!(lines.contains(&"TRIED"), "{tier}: {:?}", came.ended);
        assert!(lines.len() == 3 && lines[2] != "0", "{tier}: {:?}", came.ended);
        is_well(&world);
    }
}

/// A process that dies leaves no image of itself, in its own folder or in the one above, which it shares with all
/// runs of its worker.
#[test]
fn core_dumps() {
    for tier in [Tier::Full, Tier::Reduced] {
        let Some(world) = World::with(tier) else { continue };
        let prelude = include_str!("../../../sandbox/tests/attacks/scripts/_prelude.py");
        let facts = Victims::new().describe(true, &json!({}));
        let begin =
            format!("import sys\nsys.argv = ['x', {facts:?}]\n{prelude}\nSCRATCH = os.path.dirname(SCRATCH)");
        let came = run(&world, &format!("{begin}\n{}", script!("core_dumps")), &limits());
        assert!(came.said().contains("TRIED"), "{tier}: {:?}", came.ended);
        assert_eq!((came.ended.finish, came.ended.dumped_core), (Finish::Signal(6), false), "{tier}");
        let after =
            "import os\nprint([n for f in ('.', '..') for n in os.listdir(f) if n.startswith('core')])";
        assert_eq!(run(&world, after, &limits()).said(), "[]\n", "{tier}");
    }
}

/// Beside its three streams a script has the one on which its results leave.
#[test]
fn descriptors() {
    let Some(world) = World::ready() else { return };
    let text = "import os\nfor fd in range(3, 1024):\n    try:\n        os.fstat(fd)\n        print(fd)\n    except OSError:\n        pass\n";
    assert_eq!(run(&world, text, &limits()).said(), "3\n");
}

/// A script can say of itself what it likes, but not in words that mean nothing, and not of others.
#[test]
fn forged_results() {
    let Some(world) = World::ready() else { return };
    for words in [
        "b'pwned' * 100",
        "b'\\xff' * 8",
        "struct.pack('<II', 4, 0) + b'[1]\\n'",
        "struct.pack('<II', 2, 1 << 27) + b'{}'",
        "struct.pack('<II', 15, 0) + b'{\"kind\": \"run\"}'",
    ] {
        let came = run(&world, &format!("import os, struct\nos.write(3, {words})\n"), &limits());
        let refused = came.ended.broken.is_some() || came.ended.finish != Finish::Code(0) || came.runs == 0;
        assert!(refused, "{words}: {:?}", came.ended);
        is_well(&world);
    }
    let endless = "import os\nwhile True: os.write(3, b'\\0\\0\\0\\0' * 1000)\n";
    assert!(run(&world, endless, &limits()).ended.broken.is_some());
    let long = "import os, struct\nos.write(3, struct.pack('<II', 2, 1 << 20) + b'{}')\n\
                while True: os.write(3, b'x' * 4096)\n";
    let few = RunLimits { results_bytes: 1 << 16, ..limits() };
    assert!(run(&world, long, &few).ended.broken.is_some());
    is_well(&world);
}

/// All of the above once more without root's rights, where there are some to give up.
#[test]
fn the_same_as_an_ordinary_user() {
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let setuid = Setuid::find().unwrap();
    let run = |program: &Path, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).uid(65_534).gid(65_534).current_dir("/");
        command.env("HOME", "/").env(SETUID, &setuid.program).output()
    };
    let python = std::env::var_os("TIDE_TEST_PYTHON").unwrap_or_else(|| "/usr/bin/python3".into());
    let import = ["-c", "import numpy, pandas, backtesting"];
    for (program, args) in [(program.as_path(), &["--list"][..]), (Path::new(&python), &import[..])] {
        match run(program, args) {
            Ok(output) if output.status.success() => {}
            other => {
                eprintln!("SKIPPED: an ordinary user cannot run {}: {other:?}", program.display());
                return;
            }
        }
    }
    let output = run(&program, &["--test-threads=2", "--skip", "the_same_as"]).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// What a run leaves is not there for the next one: no file, no change of a module, no text.
#[test]
fn runs_do_not_see_each_other() {
    for tier in [Tier::Full, Tier::Reduced] {
        let Some(world) = World::with(tier) else { continue };
        // Neither the constant nor the comment may be found later.
        let first = "import numpy, os, sys, tempfile\nSECRET = 'precious-words-of-the-first'  # marker-3141592\n\
                     numpy.pwned = SECRET\nos.environ['PWNED'] = SECRET\n\
                     for place in ('.', '..', '/tmp', tempfile.gettempdir(), os.environ['HOME']):\n\
                     \x20   try:\n        open(os.path.join(place, 'left'), 'w').write(SECRET)\n    except OSError: pass\n\
                     os.makedirs('/'.join(['deep'] * 300))\nos.chmod('deep', 0)\nos.chmod('.', 0)\nprint('DONE')\n";
        let first = match tier {
            // There nobody may change modes.
            Tier::Reduced => first.replace("os.chmod('deep', 0)\nos.chmod('.', 0)\n", ""),
            _ => first.to_owned(),
        };
        assert!(run(&world, &first, &limits()).said().contains("DONE"), "{tier}");
        let second = "import gc, numpy, os\n\
                      words = [''.join(['precious', '-words-', 'of-the-first']), ''.join(['marker-', '314', '1592'])]\n\
                      assert not hasattr(numpy, 'pwned') and 'PWNED' not in os.environ\n\
                      assert os.listdir('.') == [], os.listdir('.')\n\
                      assert 'left' not in os.listdir('..'), os.listdir('..')\n\
                      for thing in gc.get_objects():\n\
                      \x20   if thing is words or not isinstance(thing, (dict, list, tuple, set)): continue\n\
                      \x20   for part in (list(thing.values()) if isinstance(thing, dict) else list(thing)):\n\
                      \x20       assert not (isinstance(part, str) and any(w in part for w in words)), part[:80]\n\
                      print('NOTHING')\n";
        let came = run(&world, second, &limits());
        assert!(came.said().contains("NOTHING"), "{tier}: {:?} {:?}", came.ended, came.end);
        is_well(&world);
    }
}
