//! Limits are kept, and the one that was passed is named.

use super::*;
use springtide_runtime::process::{Beyond, Ending, Output, OutputStream, Status};

const SOON: Duration = Duration::from_millis(200);

fn limited(script: &str, change: impl FnOnce(&mut Limits)) -> Exit {
    let mut spec = shell(script);
    change(&mut spec.limits);
    let start = Instant::now();
    let exit = run(spec);
    assert!(start.elapsed() < Duration::from_secs(30), "long before its time of a minute");
    exit
}

#[test]
fn time_is_over_with_a_chance_to_tidy_up() {
    let exit = limited("trap 'echo bye; exit 7' TERM; sleep 100 & wait", |l| l.wall = SOON);
    assert_eq!(exit.ending, Ending::WallLimit { limit: SOON });
    assert_eq!(exit.status, Some(Status::Code(7)));
    assert_eq!(exit.stdout.text(), "bye\n");
}

#[test]
fn time_is_over_for_who_does_not_listen() {
    let exit = limited("trap '' TERM; echo deaf; while :; do sleep 0.01; done", |l| {
        (l.wall, l.grace) = (SOON, SOON);
    });
    assert_eq!(exit.ending, Ending::WallLimit { limit: SOON });
    assert_eq!(exit.status, Some(Status::Signal(libc::SIGKILL)));
    assert!(exit.usage.wall >= SOON + SOON);
}

#[test]
fn processor_time_is_limited_for_the_tree() {
    let busy = "while :; do :; done";
    // A process that ignores the kernel's signal, and three that each use a third.
    for script in [format!("trap '' XCPU; {busy}"), format!("({busy})& ({busy})& {busy}")] {
        let exit = limited(&script, |l| l.cpu = Some(SOON));
        let Ending::CpuLimit { limit: SOON, used } = exit.ending else { panic!("{script}: {exit:?}") };
        assert!(used >= SOON && used < 20 * SOON, "{script}: {used:?}");
    }
}

#[test]
fn waiting_costs_no_processor_time() {
    let exit = limited("sleep 0.5", |l| l.cpu = Some(SOON));
    assert_eq!(exit.ending, Ending::Code(0));
}

#[test]
fn memory_is_limited_for_the_tree() {
    let hog = "head -c 200000000 /dev/zero | tail -c 150000000 | tail -c 1";
    let exit = limited(&format!("{hog} & {hog}; wait"), |l| l.memory_bytes = Some(60 << 20));
    let Ending::MemoryLimit { limit_bytes, seen_bytes } = exit.ending else { panic!("{exit:?}") };
    assert_eq!(limit_bytes, 60 << 20);
    assert!(seen_bytes > limit_bytes);
    assert_eq!(limited("echo fine", |l| l.memory_bytes = Some(60 << 20)).ending, Ending::Code(0));
}

#[test]
fn address_space_is_the_kernels_limit() {
    let exit = limited("head -c 150000000 /dev/zero | tail -c 150000000 > /dev/null", |l| {
        l.address_space_bytes = Some(60 << 20)
    });
    assert!(matches!(exit.ending, Ending::Code(1)), "{exit:?}");
    assert!(exit.stderr.text().contains("memory exhausted"), "{exit:?}");
}

#[test]
fn files_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = shell("exec head -c 1000000 /dev/zero > big");
    spec.folder = Some(folder.path().into());
    spec.limits.file_bytes = Some(100_000);
    assert_eq!(run(spec).ending, Ending::FileSizeLimit { limit_bytes: 100_000 });
    assert_eq!(std::fs::metadata(folder.path().join("big")).unwrap().len(), 100_000);
}

#[test]
fn descriptors_are_limited() {
    assert!(limited("exec /bin/ls /", |l| l.open_files = Some(20)).is_success());
    let exit = limited("exec /bin/ls /", |l| l.open_files = Some(3));
    assert!(!exit.is_success(), "it cannot even open its libraries: {exit:?}");
}

#[test]
fn a_flood_is_dropped_and_counted_or_ends_the_child() {
    let mut spec = shell("head -c 10000000 /dev/zero; echo end >&2");
    spec.stdout = Output::Keep { bytes: 1_000, beyond: Beyond::Drop };
    let exit = run(spec);
    assert_eq!((exit.stdout.bytes.len(), exit.stdout.dropped), (1_000, 9_999_000));
    assert_eq!((exit.ending, &*exit.stderr.text()), (Ending::Code(0), "end\n"));

    let mut spec = shell("yes >&2");
    spec.stderr = Output::Keep { bytes: 1_000, beyond: Beyond::End };
    let exit = run(spec);
    assert_eq!(exit.ending, Ending::OutputLimit { stream: OutputStream::Stderr, limit_bytes: 1_000 });
    assert_eq!(exit.stderr.bytes.len(), 1_000);
}

#[test]
fn no_core_file_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = shell("ulimit -c unlimited; kill -ABRT $$");
    spec.folder = Some(folder.path().into());
    assert_eq!(run(spec).ending, Ending::Signal(libc::SIGABRT));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_child_is_shown_with_all_that_descends_from_it() {
    let children = children();
    // The shell itself does next to nothing; what it starts holds memory and computes, as a launcher's program does.
    let busy = r"x=$(head -c 24000000 /dev/zero | tr \\000 a); while :; do :; done";
    let spec = shell(&format!("/bin/sh -c '{busy}' & wait"));
    let child = children.spawn(spec, ChildOptions::new("test")).unwrap();
    let shown = || children.snapshot().children.first().cloned().expect("it runs");
    eventually("what is below it is counted", || {
        let state = shown();
        state.processes >= 2 && state.cpu >= Duration::from_millis(50) && state.resident_bytes >= 20 << 20
    });
    let figures = springtide_runtime::observe::Metrics::default().text();
    let line =
        figures.lines().find(|line| line.starts_with("tide_children_resident_bytes ")).expect("a figure");
    let bytes: f64 = line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(bytes >= 2e7, "{line}");
    drop(child);
}

#[test]
fn a_lost_warden_shows_in_health_until_there_is_another() {
    use springtide_runtime::observe::{Condition, Health};
    let (children, health) = (children(), Health::default());
    children.watch(health.component("children"));
    assert!(health.is_ready());
    let child = children.spawn(shell("sleep 60"), ChildOptions::new("test")).unwrap();
    eventually("it runs", || child.pid().is_some());
    let warden = parent_of(child.pid().unwrap());
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(warden as i32).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    assert!(child.wait().is_err());
    let seen = &health.components()[0];
    assert_eq!(seen.condition, Condition::Degraded, "{seen:?}");
    assert!(seen.error.as_ref().is_some_and(|text| text.contains("1 of them with it")), "{seen:?}");
    assert!(run_in(&children, ChildSpec::new("/bin/true")).unwrap().is_success());
    let seen = &health.components()[0];
    assert!(seen.condition == Condition::Ok && seen.error.is_some(), "the last error is kept: {seen:?}");
}
