//! What starting and watching a child costs, beside the standard library from as many threads.
//!
//! `cargo run --release -p springtide-runtime --example children [PROGRAM [COUNT [AT_ONCE]]]`: only ours with the third.

use springtide_runtime::process::{self, ChildOptions, ChildSpec, Children, ChildrenConfig, Limits};
use std::{
    process::{Command, ExitCode},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

fn main() -> ExitCode {
    if let Some(code) = process::enter(std::env::args_os()) {
        return code;
    }
    let program = std::env::args().nth(1).unwrap_or_else(|| "/bin/true".into());
    let count: usize = std::env::args().nth(2).map_or(500, |n| n.parse().expect("a number"));
    if let Some(at_once) = std::env::args().nth(3) {
        println!("{:.0} per second", ours(&program, count, at_once.parse().expect("a number")));
        return ExitCode::SUCCESS;
    }
    println!("{count} × {program}, children per second (median of 5)");
    println!("{:>8} {:>10} {:>10} {:>8}", "at once", "ours", "std", "ratio");
    for at_once in [1, 2, 4, 8, 16] {
        let mut rounds: Vec<(f64, f64)> =
            (0..5).map(|_| (ours(&program, count, at_once), plain(&program, count, at_once))).collect();
        rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let (ours, plain) = rounds[2];
        println!("{at_once:>8} {ours:>10.0} {plain:>10.0} {:>8.2}", ours / plain);
    }
    ExitCode::SUCCESS
}

/// With captured output, a deadline, limits and accounting.
fn ours(program: &str, count: usize, at_once: usize) -> f64 {
    let children = Children::new(ChildrenConfig { at_once, ..ChildrenConfig::default() }).expect("a warden");
    let limits = Limits {
        cpu: Some(Duration::from_secs(10)),
        memory_bytes: Some(1 << 30),
        address_space_bytes: Some(4 << 30),
        ..Limits::within(Duration::from_secs(30))
    };
    let start = Instant::now();
    let started: Vec<_> = (0..count)
        .map(|_| {
            let spec = ChildSpec::new(program).limits(limits.clone());
            children.spawn(spec, ChildOptions::new("bench")).expect("a child")
        })
        .collect();
    for child in started {
        assert!(child.wait().expect("an exit").is_success());
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// With captured output and nothing else.
fn plain(program: &str, count: usize, threads: usize) -> f64 {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    assert!(Command::new(program).output().expect("a child").status.success());
                }
            });
        }
    });
    count as f64 / start.elapsed().as_secs_f64()
}
