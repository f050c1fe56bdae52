//! Everything the runtime offers, in one process, over and over: batches into a ledger, asynchronous tasks in nested
//! scopes (some cancelled, some late, some failing), child processes, channels of every kind, permits. Memory,
//! descriptors and threads must stay level.
//!
//!     cargo xtask soak [--minutes N]
//!
//! The first fifth of the time is warm-up. After that the highest memory of the last third may exceed that of the
//! first third by at most a tenth and 8 MiB. What leaks stays: the fewest descriptors and threads seen between two
//! rounds of the last third may not exceed the fewest of the first third at all. A round that ends with more
//! descriptors than any before it tells which they are.

#[path = "work.rs"]
mod work;

use springtide_runtime::process;
use std::{
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};
use work::Work;

/// Memory that may come on top of the share, KiB: the allocator's own slack.
const SLACK_KIB: u64 = 8 << 10;
/// Rows of the table.
const ROWS: u32 = 20;

/// This process between two rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    memory_kib: u64,
    descriptors: u64,
    threads: u64,
}

fn main() -> ExitCode {
    if let Some(code) = process::enter(std::env::args_os()) {
        return code;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let minutes: f64 = match std::env::args().skip_while(|a| a != "--minutes").nth(1) {
        Some(text) => text.parse().map_err(|e| format!("--minutes {text}: {e}"))?,
        None => 10.0,
    };
    let total = Duration::from_secs_f64(minutes * 60.0);
    let work = Work::start()?;
    println!("{:>8} {:>8} {:>10} {:>6} {:>8}  so far", "minute", "rounds", "memory MB", "fds", "threads");
    let (start, mut samples, mut rounds, mut row) = (Instant::now(), Vec::<Sample>::new(), 0_u64, 0);
    let mut known = Vec::<String>::new();
    while start.elapsed() < total {
        work.round(rounds)?;
        rounds += 1;
        let sample = Sample::take();
        let open = descriptors();
        if open.len() > known.len() {
            let new: Vec<_> = open.iter().filter(|name| !known.contains(*name)).cloned().collect();
            println!(
                "{:>8} round {rounds} ends with {} descriptors; new: {}",
                "",
                open.len(),
                new.join(", ")
            );
            known = open;
        }
        if start.elapsed() >= total / 5 {
            samples.push(sample);
        }
        if start.elapsed() >= total * row / ROWS {
            row += 1;
            let Sample { memory_kib, descriptors, threads } = sample;
            let minute = start.elapsed().as_secs_f64() / 60.0;
            let memory = memory_kib as f64 / 1_024.0;
            println!(
                "{minute:>8.1} {rounds:>8} {memory:>10.1} {descriptors:>6} {threads:>8}  {}",
                work.counts()
            );
        }
    }
    drop(work);
    judge(&samples)
}

/// Fails when something grew.
fn judge(samples: &[Sample]) -> Result<(), String> {
    let third = samples.len() / 3;
    if third == 0 {
        return Err(format!("{} rounds are too few to tell anything: give it more minutes", samples.len()));
    }
    let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
    type Read = fn(&Sample) -> u64;
    let most = |of: &[Sample], read: Read| of.iter().map(read).max().unwrap_or(0);
    let least = |of: &[Sample], read: Read| of.iter().map(read).min().unwrap_or(0);
    let mut grew = Vec::new();
    let (before, after) = (most(first, |s| s.memory_kib), most(last, |s| s.memory_kib));
    println!("memory at most {before} KiB in the first third after warm-up, {after} KiB in the last");
    if after > before + before / 10 + SLACK_KIB {
        grew.push(format!("memory from {before} to {after} KiB"));
    }
    let counts: [(&str, Read); 2] = [("descriptors", |s| s.descriptors), ("threads", |s| s.threads)];
    for (what, read) in counts {
        let (before, after) = (least(first, read), least(last, read));
        println!(
            "{what} at least {before}, then {after}; at most {}, then {}",
            most(first, read),
            most(last, read)
        );
        if after > before {
            grew.push(format!("{what} from {before} to {after}"));
        }
    }
    if grew.is_empty() { Ok(()) } else { Err(format!("it grew: {}", grew.join("; "))) }
}

impl Sample {
    fn take() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Self {
            memory_kib: field("VmRSS:"),
            threads: field("Threads:"),
            descriptors: descriptors().len() as u64,
        }
    }
}

/// What each of this process's descriptors is (`3 -> socket:[1234]`), by number. The one that lists them is left out.
fn descriptors() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let mut open: Vec<(u32, String)> = entries
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, format!("{number} -> {}", target.display())))
        })
        .filter(|(_, name)| !name.contains("/fd"))
        .collect();
    open.sort_unstable();
    open.into_iter().map(|(_, name)| name).collect()
}
