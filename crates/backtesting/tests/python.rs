//! The package in a real interpreter: `api.py`, with the library of this build beside the package's files.
//!
//! Runs where a Python with numpy and pandas is found (`TIDE_TEST_PYTHON`, else `python3`), and says so where not.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn the_package_keeps_its_promises() {
    promises("");
}

#[test]
fn the_package_keeps_its_promises_of_version_0_3() {
    promises("backtesting_py_0_3");
}

fn promises(rules: &str) {
    let python = env::var("TIDE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = "import sys, numpy, pandas; assert sys.version_info >= (3, 10)";
    if !Command::new(&python).args(["-c", probe]).output().is_ok_and(|o| o.status.success()) {
        eprintln!(
            "SKIPPED: {python} is no Python 3.10 or later with numpy and pandas; name one in TIDE_TEST_PYTHON"
        );
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("backtesting");
    fs::create_dir(&package).expect("a folder");
    for entry in fs::read_dir(here.join("python/backtesting")).expect("the package") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "py") {
            fs::copy(&path, package.join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    let test = package.join("test");
    fs::create_dir(&test).expect("a folder");
    fs::copy(here.join("python/backtesting/test/__init__.py"), test.join("__init__.py")).expect("a copy");
    fs::copy(library(), package.join("_native.abi3.so")).expect("a copy of the library");
    let run = Command::new(&python)
        .args(["-B", "-X", "faulthandler"])
        .arg(here.join("tests/api.py"))
        .env("PYTHONPATH", folder.path())
        .env("BACKTESTING_RULES", rules)
        .output()
        .expect("Python starts");
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{}\n{out}\n{err}", run.status);
    out.lines().filter(|line| line.starts_with("SKIPPED")).for_each(|line| eprintln!("{line}"));
}

/// What cargo built for this test.
fn library() -> PathBuf {
    let test = env::current_exe().expect("own path");
    let name = format!("{}backtesting_native{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let beside = test.ancestors().skip(1).take(2).map(|folder| folder.join(&name));
    let newest = beside
        .filter(|path| path.exists())
        .max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok());
    newest.unwrap_or_else(|| panic!("{name} is not beside {}", test.display()))
}
