//! `cargo xtask ci`: everything that must hold, in the order of what is cheapest to find out.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// A step's name and its command.
const STEPS: &[(&str, &[&str])] = &[
    ("fmt", &["cargo", "fmt", "--all", "--check"]),
    ("clippy", &["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    ("tidy", &["cargo", "xtask", "tidy"]),
    ("tests", &["cargo", "nextest", "run", "--workspace", "--locked", "--no-fail-fast"]),
    (
        "models",
        &[
            "cargo",
            "test",
            "-p",
            "springtide-runtime",
            "--features",
            "shuttle",
            "--test",
            "model",
            "--locked",
            "--quiet",
        ],
    ),
    ("doc tests", &["cargo", "test", "--workspace", "--doc", "--locked", "--quiet"]),
    ("docs", &["cargo", "doc", "--workspace", "--no-deps", "--locked", "--quiet"]),
    ("pages", &["cargo", "xtask", "pages"]),
];

/// The step before which the interpreter for tests of Python strategies must be there.
const TESTS: &str = "tests";
/// Names that interpreter to the tests.
const PYTHON: &str = "TIDE_TEST_PYTHON";

/// Runs the steps; stops at the first that fails.
pub fn run(root: &Path) -> Result<(), String> {
    let mut python = env::var_os(PYTHON).map(PathBuf::from);
    for (name, command) in STEPS {
        if *name == TESTS && python.is_none() {
            python = make_python(root);
        }
        println!("== {name}");
        let started = Instant::now();
        let status = Command::new(command[0])
            .args(&command[1..])
            .env("RUSTDOCFLAGS", "-D warnings")
            .envs(python.iter().map(|p| (PYTHON, p)))
            .current_dir(root)
            .status()
            .map_err(|e| format!("{name}: {}: {e}", command[0]))?;
        println!("== {name}: {:.0} s", started.elapsed().as_secs_f64());
        if !status.success() {
            return Err(format!("{name} failed: {}", command.join(" ")));
        }
    }
    Ok(())
}

/// An interpreter with what Python strategies need, by `tide python setup`, in the cache: made once. Without one
/// the tests that need it skip, so this is no failure.
fn make_python(root: &Path) -> Option<PathBuf> {
    println!("== python");
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
    let data = cache.join("springtide/data");
    let setup = ["run", "--quiet", "--locked", "--bin", "tide", "--", "--quiet", "python", "setup"];
    let status = Command::new("cargo").args(setup).env("XDG_DATA_HOME", &data).current_dir(root).status();
    let python = data.join("tide/python/bin/python");
    if status.is_ok_and(|s| s.success()) && python.is_file() {
        return Some(python);
    }
    println!("SKIPPED: no environment for Python strategies could be made: tests that need one will skip");
    None
}
