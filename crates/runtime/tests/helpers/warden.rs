//! The warden of this crate's tests, and a program that is killed while it has children.

use springtide_runtime::process::{self, ChildOptions, ChildSpec, Children, ChildrenConfig, Output};
use std::{process::ExitCode, time::Duration};

fn main() -> ExitCode {
    if let Some(code) = process::enter(std::env::args_os()) {
        return code;
    }
    match std::env::args().nth(1) {
        Some(script) => hold(&script),
        None => ExitCode::from(2),
    }
}

/// Runs a shell script as a child, its output to our own, and waits to be killed.
fn hold(script: &str) -> ExitCode {
    let children = Children::new(ChildrenConfig::default()).expect("a warden");
    let mut spec = ChildSpec::new("/bin/sh").args(["-c", script]);
    spec.limits.wall = Duration::from_secs(60);
    spec.stdout = Output::Open(
        std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned().expect("a descriptor"),
    );
    let child = children.spawn(spec, ChildOptions::new("held")).expect("a shell");
    child.wait().map_or(ExitCode::FAILURE, |_| ExitCode::SUCCESS)
}
