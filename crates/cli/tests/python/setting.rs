//! Where scripts run: interpreter, package, sandbox; and which files are scripts at all.

use crate::world::{CROSS, folder, lines, program, python, text, tide};
use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

const BATCH: [&str; 4] = ["backtest", "cross.py", "--data", "X-USD_15m.csv"];

#[test]
fn a_package_that_is_not_where_it_is_said_to_be_is_an_error() {
    let folder = folder(&[("cross.py", CROSS)]);
    for args in [&BATCH[..], &["check", "cross.py"]] {
        let out = program(folder.path(), Path::new("/nowhere/python"), args)
            .env("TIDE_PYTHON_PACKAGE", "/nowhere/package")
            .output()
            .expect("tide runs");
        let told = text(&out.stderr);
        assert!(
            out.status.code() == Some(2) && told.contains("TIDE_PYTHON_PACKAGE=/nowhere/package"),
            "{told}"
        );
    }
}

#[test]
fn the_status_tells_by_its_code_whether_strategies_can_run() {
    let folder = folder(&[]);
    let out = tide(folder.path(), Path::new("/nowhere/python"), &["python", "status"]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("tide python setup"));
    let Some(python) = python() else { return };
    let out = tide(folder.path(), &python, &["python", "status"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
}

/// An interpreter that makes an environment and then cannot install anything, as one without a network.
#[test]
fn an_environment_that_cannot_be_filled_names_what_else_there_is() {
    let folder = folder(&[]);
    let python = folder.path().join("python3");
    let script = "#!/bin/sh\ncase \"$2\" in\nvenv) /bin/mkdir -p \"$3/bin\" && /bin/cp \"$0\" \"$3/bin/python\" ;;\n\
                  *) echo \"ERROR: $*\" >&2; exit 1 ;;\nesac\n";
    std::fs::write(&python, script).expect("writes");
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).expect("runnable");
    let args =
        ["python", "setup", "--python", "./python3", "--dir", "env", "--with", "sambo", "--wheels", "wheels"];
    let out = program(folder.path(), &python, &args).env("PATH", "/nowhere").output().expect("tide runs");
    let told = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(
        told.contains("ERROR: -m pip install") && told.contains("--no-index --find-links wheels"),
        "{told}"
    );
    let last = told.lines().last().expect("a line");
    for needed in ["could not be installed", "--index-url URL", "--wheels DIR", "by hand", "numpy==", "sambo"]
    {
        assert!(last.contains(needed), "{needed}: {last}");
    }
}

#[test]
fn helper_modules_are_left_out_of_a_folder_and_fail_where_they_are_named() {
    let Some(python) = python() else { return };
    let util = "from backtesting.lib import crossover\n\ndef up(a, b):\n    return crossover(a, b)\n";
    let aliased =
        CROSS.replace("import Backtest, Strategy", "import Strategy as Base").replace("(Strategy)", "(Base)");
    let folder = folder(&[
        ("s/cross.py", CROSS),
        ("s/aliased.py", &aliased),
        ("s/__init__.py", ""),
        ("s/util.py", util),
    ]);
    let run = |args: &[&str]| tide(folder.path(), &python, args);
    let data = ["--data", "X-USD_15m.csv", "--json"];
    let batch = run(&[&["backtest", "s"], &data[..]].concat());
    let check = run(&["check", "s", "--json"]);
    for (out, what) in [(&batch, "backtest"), (&check, "check")] {
        let told = text(&out.stderr);
        assert_eq!((out.status.code(), lines(out).len()), (Some(0), 2), "{what}: {told}");
        assert!(
            told.contains("left out") && told.contains("s/util.py") && told.contains("s/__init__.py"),
            "{told}"
        );
    }
    let named = run(&[&["backtest", "s/util.py"], &data[..]].concat());
    assert_eq!(named.status.code(), Some(4), "{}", text(&named.stderr));
    assert!(lines(&named)[0]["error"].as_str().is_some_and(|e| e.contains("it defines no Strategy")));
    let named = run(&["check", "s/util.py", "--json"]);
    assert_eq!(
        (named.status.code(), &lines(&named)[0]["errors"][0]["code"]),
        (Some(1), &"nothing-ran".into())
    );
}

/// Starts a program under a filter that answers `seccomp` and `prctl(PR_SET_SECCOMP)` with errors, as a kernel without
/// them does.
const WITHOUT_SECCOMP: &str = "
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7fff0000, 0x00050000
steps = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, 317), (RETURN, 0, 0, ERRNO | 38), (EQUAL, 0, 3, 157),
         (LOAD, 0, 0, 16), (EQUAL, 0, 1, 22), (RETURN, 0, 0, ERRNO | 22), (RETURN, 0, 0, ALLOW)]
text = b''.join(struct.pack('=HBBI', *step) for step in steps)
area = ctypes.create_string_buffer(text, len(text))
program = struct.pack('@HP', len(steps), ctypes.addressof(area))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0, ctypes.get_errno()
os.execvp(sys.argv[1], sys.argv[1:])
";

#[test]
fn without_a_sandbox_scripts_run_and_repeat_only_by_name() {
    let Some(python) = python() else { return };
    if cfg!(not(target_arch = "x86_64")) {
        eprintln!("SKIPPED: the filter of this test is for x86-64");
        return;
    }
    let folder = folder(&[("cross.py", CROSS)]);
    let run = |args: &[&str]| {
        let mut outer = Command::new(&python);
        outer.args(["-c", WITHOUT_SECCOMP, env!("CARGO_BIN_EXE_tide")]).args(args).current_dir(folder.path());
        outer.env_remove("TIDE_WORKSPACE").env_remove("TIDE_PYTHON_PACKAGE").env("TIDE_PYTHON", &python);
        outer.output().expect("tide runs")
    };
    let allowed = |args: &[&str]| run(&[args, &["--allow-unsandboxed"]].concat());
    let refused = |args: &[&str]| {
        let told = text(&run(args).stderr);
        assert!(told.contains("no sandbox that suffices") && told.contains("--allow-unsandboxed"), "{told}");
        assert!(told.contains("seccomp: ") && !told.contains("seccomp: seccomp"), "{told}");
    };
    refused(&BATCH);
    refused(&["check", "cross.py"]);
    assert_eq!(run(&BATCH).status.code(), Some(2));
    assert_eq!(allowed(&["check", "cross.py"]).status.code(), Some(0));
    let made = allowed(&[&BATCH[..], &["--json"]].concat());
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert!(text(&made.stderr).contains("ran without a sandbox"), "{}", text(&made.stderr));
    let all = lines(&made);
    assert_eq!(
        (&all[0]["python"]["sandbox"], all[0]["python"]["warning"].is_string()),
        (&"none".into(), true)
    );
    let id = all[0]["run"].as_str().expect("an id");
    refused(&["rerun", id]);
    refused(&["export", id, "--format", "csv", "-o", "-"]);
    assert!(text(&run(&["show", id]).stdout).contains("--allow-unsandboxed"));
    assert!(text(&allowed(&["rerun", id]).stdout).contains(": equal"));
    assert!(text(&allowed(&["show", id]).stdout).contains(" trades\n"));
    assert!(text(&allowed(&["export", id, "--format", "csv", "-o", "-"]).stdout).contains(",up,"));
}
