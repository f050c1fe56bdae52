//! How children end, and how precisely that is told.

use super::*;
use springtide_runtime::process::{Ending, Status};
use std::ffi::OsString;
use std::os::unix::{ffi::OsStringExt, fs::PermissionsExt};

#[test]
fn an_exit_code_comes_through() {
    for code in [0, 1, 77, 255] {
        let exit = run(shell(&format!("exit {code}")));
        assert_eq!(exit.ending, Ending::Code(code));
        assert_eq!(exit.status, Some(Status::Code(code)));
        assert_eq!(exit.is_success(), code == 0);
    }
}

#[test]
fn a_signal_comes_through() {
    assert_eq!(run(shell("kill -SEGV $$")).ending, Ending::Signal(libc::SIGSEGV));
    assert_eq!(run(shell("kill -KILL $$")).ending, Ending::Signal(libc::SIGKILL));
}

#[test]
fn a_child_sees_what_it_was_given_and_nothing_else() {
    let mut spec = shell("echo $FOO; pwd; env | sort; ls /proc/self/fd; cat").env("FOO", "bar");
    spec.folder = Some("/usr".into());
    let exit = run(spec);
    let text = exit.stdout.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["bar", "/usr"]);
    // PWD is the shell's own doing; the fourth descriptor is `ls` reading the folder.
    assert_eq!(
        lines[2..],
        ["FOO=bar", "LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin", "PWD=/usr", "0", "1", "2", "3"]
    );
    assert_eq!(exit.stderr.text(), "");
}

#[test]
fn arguments_are_bytes() {
    let odd = OsString::from_vec(vec![b'a', 0xff, b' ', b'$', b'\n']);
    let spec = ChildSpec::new("printf").args([OsString::from("%s|%s"), odd.clone(), OsString::new()]);
    assert_eq!(run(spec).stdout.bytes, [odd.into_encoded_bytes(), b"|".to_vec()].concat());
}

#[test]
fn long_arguments_do_not_fit_a_message_and_arrive_all_the_same() {
    let long = "x".repeat(100_000);
    let spec = ChildSpec::new("/bin/echo").args([&long, &long, &long]);
    assert_eq!(run(spec).stdout.bytes.len(), 300_003);
}

#[test]
fn usage_is_told() {
    let exit = run(shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 0.05"));
    assert!(exit.usage.cpu() > Duration::from_millis(5), "{:?}", exit.usage);
    assert!(exit.usage.wall >= exit.usage.user + Duration::from_millis(50), "{:?}", exit.usage);
    assert!(exit.usage.minor_faults > 10);
    assert!(exit.usage.peak_memory_bytes > 256 << 10);
    assert!(exit.usage.peak_memory_floor_bytes < 64 << 20, "the warden is small: {:?}", exit.usage);
}

#[test]
fn peak_memory_is_the_childs_own_however_large_this_process_is() {
    let large = vec![1_u8; 300 << 20];
    let exit = run(ChildSpec::new("/bin/true"));
    assert!(exit.usage.peak_memory_bytes < 64 << 20, "{:?}", exit.usage);
    drop(std::hint::black_box(large));
}

#[test]
fn what_cannot_run_says_why() {
    let children = children();
    let error = |spec: ChildSpec| run_in(&children, spec).unwrap_err().to_string();
    assert_eq!(
        error(ChildSpec::new("no-such-program")),
        "cannot find the program `no-such-program` in /usr/local/bin, /usr/bin, /bin"
    );
    assert_eq!(error(ChildSpec::new("/no/such/program")), "cannot find the program `/no/such/program`");

    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    let place = script.display();
    assert_eq!(
        error(ChildSpec::new(&script)),
        format!("cannot start `{place}`: it is not executable; chmod +x would make it so")
    );
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(
        error(ChildSpec::new(&script)),
        format!("cannot start `{place}`: its interpreter `/no/such/interpreter` is missing")
    );
    std::fs::write(&script, "no program").unwrap();
    assert_eq!(
        error(ChildSpec::new(&script)),
        format!("cannot start `{place}`: it is no program of this machine")
    );

    let mut lost = ChildSpec::new("/bin/true");
    lost.folder = Some("/no/such/folder".into());
    assert_eq!(
        error(lost),
        "cannot start `/bin/true`: the working folder `/no/such/folder` cannot be entered"
    );
    assert_eq!(
        error(ChildSpec::new("/bin/true").args(["a\0b"])),
        "cannot start `/bin/true`: an argument, variable or path holds a NUL byte"
    );
    assert_eq!(
        error(ChildSpec::new("/bin/true").env("A=B", "")),
        "cannot start `/bin/true`: `A=B` is no name for a variable"
    );
    let counts = children.snapshot().counts;
    assert_eq!((counts.succeeded, counts.not_started), (0, 5), "those that reached the warden are counted");
    assert!(run_in(&children, ChildSpec::new("/bin/true")).unwrap().is_success(), "and the next one runs");
}

#[test]
fn a_warden_that_is_none_is_named() {
    let warden = WardenProgram { path: "/bin/true".into(), args: Vec::new() };
    let error = Children::new(ChildrenConfig { warden, ..ChildrenConfig::default() }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot start the process that watches children (/bin/true): it did not answer: its `main` must call `process::enter` before anything else"
    );
}
