//! Thousands of children leave nothing behind.

use super::*;
use springtide_runtime::process::Ending;

const COUNT: usize = 10_000;
/// Set in the process that has a folder for temporary files to itself.
const ALONE: &str = "TEST_HAS_OWN_TEMPORARY_FOLDER";

fn spawn_many() {
    let children = Children::new(config(8)).unwrap();
    let first = children.spawn(shell("exec sleep 1000"), ChildOptions::new("first")).unwrap();
    eventually("it starts", || first.pid().is_some());
    let warden = parent_of(first.pid().unwrap());
    drop(first);
    eventually("it ends", || children.snapshot().children.is_empty());
    let me = std::process::id();
    let before = (open_fds(me), open_fds(warden));
    let scripts = [
        ("exit 0", Ending::Code(0)),
        ("echo x; exit 3", Ending::Code(3)),
        ("kill -9 $$", Ending::Signal(libc::SIGKILL)),
        ("setsid sleep 1000 & exit 0", Ending::Code(0)),
    ];
    let mut failures = 0;
    for batch in 0..COUNT.div_ceil(100) {
        let batch: Vec<_> = (batch * 100..(batch + 1) * 100)
            .map(|n| {
                // Mostly the plainest child; every tenth is one of the others or cannot start at all.
                let (spec, expected) = match n % 50 {
                    10 => (shell(scripts[1].0), Some(scripts[1].1)),
                    20 => (shell(scripts[2].0), Some(scripts[2].1)),
                    30 => (shell(scripts[3].0), Some(scripts[3].1)),
                    40 => (ChildSpec::new("/no/such/program"), None),
                    _ => (ChildSpec::new("/bin/true"), Some(scripts[0].1)),
                };
                (children.spawn(spec, ChildOptions::new("one of many")).unwrap(), expected)
            })
            .collect();
        for (child, expected) in batch {
            let ending = child.wait().ok().map(|exit| exit.ending);
            failures += usize::from(ending != expected);
        }
    }
    assert_eq!(failures, 0);
    eventually("no process is left", || processes_below(warden).is_empty());
    assert_eq!((open_fds(me), open_fds(warden)), before, "descriptors of this process and of the warden");
    assert_eq!(children.snapshot().children, []);
    drop(children);
    assert!(!is_alive(warden));
    assert_eq!(std::fs::read_dir(std::env::temp_dir()).unwrap().count(), 0, "temporary files");
}

#[test]
fn ten_thousand_leave_nothing_behind() {
    if std::env::var_os(ALONE).is_some() {
        return spawn_many();
    }
    let folder = tempfile::tempdir().unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "many::ten_thousand_leave_nothing_behind", "--nocapture"])
        .env("TMPDIR", folder.path())
        .env(ALONE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
