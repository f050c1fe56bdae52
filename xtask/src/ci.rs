//! `cargo xtask ci`: everything that must hold, in the order of what is cheapest to find out.

use std::{path::Path, process::Command, time::Instant};

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

/// Runs the steps; stops at the first that fails.
pub fn run(root: &Path) -> Result<(), String> {
    for (name, command) in STEPS {
        println!("== {name}");
        let started = Instant::now();
        let status = Command::new(command[0])
            .args(&command[1..])
            .env("RUSTDOCFLAGS", "-D warnings")
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
