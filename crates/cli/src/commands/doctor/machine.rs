//! The machine: limits, memory, disk, clock, kernel, sandbox.

use super::finding::Finding;
use crate::output::si;
use springtide_io::machine::{self, Limit};
use springtide_runtime::process::{Children, ChildrenConfig};
use springtide_sandbox::{LauncherProgram, Tier, detect};
use std::{path::Path, time::Duration};

/// Descriptors a large batch with children and connections can use.
const DESCRIPTORS: u64 = 4_096;
/// Processes and threads.
const PROCESSES: u64 = 1_024;
/// A batch keeps some bars and results in memory.
const MEMORY: u64 = 1 << 30;
/// Below this a disk is almost full.
const DISK: u64 = 2 << 30;
/// A commit that takes longer than this holds batches up.
const COMMIT: Duration = Duration::from_millis(50);

/// All of them.
pub fn findings(folder: &Path) -> Vec<Finding> {
    let mut found = vec![
        cores(),
        limit("descriptors", machine::descriptor_limit(), DESCRIPTORS, "ulimit -n"),
        limit("processes", machine::process_limit(), PROCESSES, "ulimit -u"),
        memory(),
        disk_space(folder),
        disk_speed(folder),
        clock(),
        io_uring(),
    ];
    found.extend(sandbox());
    found
}

fn cores() -> Finding {
    match std::thread::available_parallelism() {
        Ok(n) => Finding::ok("cores", format!("{n} for this process")),
        Err(error) => Finding::warning("cores", error.to_string(), "name the number of workers with -j"),
    }
}

fn limit(check: &'static str, limit: Limit, enough: u64, command: &str) -> Finding {
    let text = |n: Option<u64>| n.map_or("no limit".into(), |n| n.to_string());
    let detail = format!("{} (may be raised to {})", text(limit.soft), text(limit.hard));
    match limit.soft {
        Some(n) if n < enough => {
            let raisable = limit.hard.is_none_or(|hard| hard >= enough);
            let fix = match raisable {
                true => format!("{command} {enough}"),
                false => {
                    format!("raise the hard limit for this user in /etc/security/limits.conf to {enough}")
                }
            };
            Finding::warning(check, detail, fix)
        }
        _ => Finding::ok(check, detail),
    }
}

fn memory() -> Finding {
    match machine::memory() {
        Ok(m) => {
            let detail = format!("{}B free of {}B", si(m.available as f64), si(m.total as f64));
            match m.available < MEMORY {
                true => Finding::warning("memory", detail, "end other programs, or use fewer workers (-j)"),
                false => Finding::ok("memory", detail),
            }
        }
        Err(error) => Finding::info("memory", format!("unknown: {error}")),
    }
}

fn disk_space(folder: &Path) -> Finding {
    match machine::disk_space(folder) {
        Ok((free, whole)) => {
            let detail =
                format!("{}B free of {}B where {} lies", si(free as f64), si(whole as f64), folder.display());
            match free < DISK {
                true => Finding::warning(
                    "disk-space",
                    detail,
                    "make room, or put the workspace elsewhere (--workspace)",
                ),
                false => Finding::ok("disk-space", detail),
            }
        }
        Err(error) => Finding::error("disk-space", format!("{}: {error}", folder.display()), WRITABLE),
    }
}

const WRITABLE: &str = "name a folder that you may write to with --workspace";

fn disk_speed(folder: &Path) -> Finding {
    match machine::disk_speed(folder) {
        Ok(speed) => {
            let detail = format!(
                "{} MB/s written, {:.1} ms for a commit",
                speed.write_bytes_s / 1_000_000,
                speed.commit.as_secs_f64() * 1e3
            );
            match speed.commit > COMMIT {
                true => Finding::warning(
                    "disk-speed",
                    detail,
                    "put the workspace on a faster disk (--workspace): every result waits for one commit",
                ),
                false => Finding::ok("disk-speed", detail),
            }
        }
        Err(error) => Finding::error(
            "disk-speed",
            format!("{} cannot be written to: {error}", folder.display()),
            WRITABLE,
        ),
    }
}

fn clock() -> Finding {
    match machine::clock() {
        Ok(clock) if clock.synchronised => {
            Finding::ok("clock", format!("kept right, at most {:.0} ms off", clock.error.as_secs_f64() * 1e3))
        }
        Ok(_) => Finding::warning(
            "clock",
            "nobody keeps it right",
            "start a time service: `timedatectl set-ntp true`, or chrony; signed requests fail when it is off",
        ),
        Err(error) => {
            Finding::info("clock", format!("the kernel does not tell whether it is kept right: {error}"))
        }
    }
}

fn io_uring() -> Finding {
    match machine::io_uring() {
        Ok(()) => {
            Finding::ok("files", "read by threads; io_uring is there and not used: it gained nothing here")
        }
        Err(error) => Finding::ok("files", format!("read by threads; io_uring is not to be had ({error})")),
    }
}

fn sandbox() -> Vec<Finding> {
    let found = Children::new(ChildrenConfig::default())
        .map_err(|e| e.to_string())
        .and_then(|children| detect(&children, &LauncherProgram::default()).map_err(|e| e.to_string()));
    let mechanisms = match found {
        Ok(mechanisms) => mechanisms,
        Err(error) => {
            let fix = "run `tide` from a file system that allows programs to be started";
            return vec![Finding::error("sandbox", error, fix)];
        }
    };
    let mut list = vec![match mechanisms.tier {
        Tier::Full => Finding::ok("sandbox", "full"),
        tier => {
            let detail = format!("{tier}: {}", tier.warning().unwrap_or_default());
            Finding::warning("sandbox", detail, "see the mechanisms below")
        }
    }];
    for m in mechanisms.list {
        let detail = format!("{}: {} ({})", m.name, m.detail, m.purpose);
        list.push(match m.works {
            true => Finding::ok("sandbox", detail),
            false => Finding::warning("sandbox", detail, m.remedy.unwrap_or_default()),
        });
    }
    list
}
