//! Children that misbehave, and supervisors that die.

use super::*;
use springtide_runtime::process::Ending;
use std::io::{BufRead, BufReader};

/// Leaves a descendant behind that has a new session, no parent, an empty environment and the child's stdout
/// open, and prints its number.
const DETACH: &str = "env -i setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.2";

fn first_number(text: &str) -> u32 {
    text.lines().next().and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("no number: {text:?}"))
}

#[test]
fn a_detached_descendant_ends_with_the_child() {
    let start = Instant::now();
    let exit = run(shell(DETACH));
    assert!(start.elapsed() < Duration::from_secs(60), "although it holds the output open");
    assert_eq!(exit.ending, Ending::Code(0));
    assert_eq!((exit.descendants_ended, exit.survivors), (1, 0));
    assert!(!is_alive(first_number(&exit.stdout.text())));
}

#[test]
fn a_whole_forest_ends_at_the_deadline() {
    // Stubborn, in sessions of their own, some orphans, some not.
    let stubborn = "trap \"\" TERM; echo $$; while :; do sleep 0.05; done";
    let script = format!(
        "for i in 1 2 3; do setsid sh -c '{stubborn}' & done; (setsid sh -c '{stubborn}' &); {}",
        stubborn.replace('"', "'")
    );
    let mut spec = shell(&script);
    (spec.limits.wall, spec.limits.grace) = (Duration::from_millis(500), Duration::from_millis(100));
    let exit = run(spec);
    assert!(matches!(exit.ending, Ending::WallLimit { .. }), "{exit:?}");
    let pids: Vec<u32> = exit.stdout.text().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(pids.len(), 5);
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    assert!(exit.descendants_ended >= 4 && exit.survivors == 0, "{exit:?}");
}

#[test]
fn detached_descendants_are_told_apart() {
    let children = children();
    let mut first = shell(&format!("{DETACH}; exec sleep 1000"));
    first.stdout = springtide_runtime::process::Output::Stream { buffer_bytes: 1_000 };
    let mut first = children.spawn(first, ChildOptions::new("first")).unwrap();
    let chunk = first.stdout.as_mut().unwrap().next_chunk(Duration::from_secs(60)).unwrap().unwrap();
    let of_first = first_number(&String::from_utf8(chunk).unwrap());
    let second = run_in(&children, shell(DETACH)).unwrap();
    assert!(!is_alive(first_number(&second.stdout.text())), "the second's ended with it");
    assert_eq!(second.descendants_ended, 1);
    assert!(is_alive(of_first), "the first's lives as long as the first does");
    first.stop();
    let exit = first.wait().unwrap();
    assert_eq!(exit.ending, Ending::Cancelled);
    assert!(!is_alive(of_first));
}

#[test]
fn orphans_that_end_by_themselves_leave_no_corpse() {
    let children = children();
    let mut spec = shell("(setsid sleep 0.01 &) ; (setsid sleep 0.01 &); sleep 0.5; cat");
    spec.stdin = springtide_runtime::process::Input::Stream { buffer_bytes: 1 };
    let mut child = children.spawn(spec, ChildOptions::new("parent")).unwrap();
    eventually("it starts", || child.pid().is_some());
    let warden = parent_of(child.pid().unwrap());
    std::thread::sleep(Duration::from_millis(600));
    eventually("orphans are buried while the child lives", || {
        processes_below(warden) == [child.pid().unwrap()]
    });
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().ending, Ending::Code(0));
}

#[test]
fn children_end_when_their_supervisor_is_killed() {
    // The test's program starts this script as a child and is then killed, with no chance to tidy up.
    let script = format!("{DETACH}; echo $$; exec sleep 1000");
    let mut supervisor =
        std::process::Command::new(WARDEN).arg(script).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
    let mut number = || lines.next().unwrap().unwrap().parse::<u32>().unwrap();
    let pids = [number(), number()];
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let warden = processes_below(supervisor.id());
    assert_eq!(warden.len(), 1);
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    eventually("the child and its detached descendant end", || !pids.iter().any(|pid| is_alive(*pid)));
    eventually("and the warden", || !is_alive(warden[0]));
}

#[test]
fn a_lost_warden_is_told_and_replaced() {
    let children = children();
    let child = children.spawn(shell("exec sleep 1000"), ChildOptions::new("lost")).unwrap();
    eventually("it starts", || child.pid().is_some());
    let pid = child.pid().unwrap();
    let warden = i32::try_from(parent_of(pid)).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(warden).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let error = child.wait().unwrap_err();
    assert!(matches!(error, ProcessError::Lost), "{error}");
    eventually("its child ends with it", || !is_alive(pid));
    assert!(run_in(&children, ChildSpec::new("/bin/true")).unwrap().is_success(), "the next one runs");
    let counts = children.snapshot().counts;
    assert_eq!((counts.lost, counts.succeeded, counts.warden_restarts), (1, 1, 1));
}

#[test]
#[allow(unsafe_code, reason = "sets this process's own SIGPIPE")]
fn a_child_that_dies_at_once_is_as_good_as_any() {
    // As in a program that lets SIGPIPE end it, for the sake of `tide ... | head`.
    // SAFETY: SIG_DFL is a valid handler; this test has its process to itself, or shares it with tests that
    // write to no closed pipe.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let children = children();
    for _ in 0..50 {
        let mut spec = ChildSpec::new("/bin/true");
        spec.stdin = springtide_runtime::process::Input::Stream { buffer_bytes: 10 };
        let mut child = children.spawn(spec, ChildOptions::new("quick")).unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may or may not still be there; in no case does this hang.
        let _ = stdin.write_within(&[0; 100_000], Duration::from_secs(60));
        assert_eq!(child.wait().unwrap().ending, Ending::Code(0));
    }
}

#[test]
fn dropping_everything_ends_everything() {
    let children = children();
    let child =
        children.spawn(shell(&format!("{DETACH}; exec sleep 1000")), ChildOptions::new("left")).unwrap();
    let waiting: Vec<_> = (0..10)
        .map(|_| children.spawn(shell("exec sleep 1000"), ChildOptions::new("queued")).unwrap())
        .collect();
    eventually("it starts", || child.pid().is_some());
    let pid = child.pid().unwrap();
    let warden = parent_of(pid);
    drop(children);
    assert!(!is_alive(pid) && !is_alive(warden));
    assert_eq!(child.wait().unwrap().ending, Ending::Cancelled);
    let mut closed = 0;
    for child in waiting {
        match child.wait() {
            Ok(exit) => assert_eq!(exit.ending, Ending::Cancelled),
            Err(error) => {
                assert!(matches!(error, ProcessError::Closed), "{error}");
                closed += 1;
            }
        }
    }
    assert_eq!(closed, 7, "four had a place");
}
