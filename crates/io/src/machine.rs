//! What this machine offers to programs that read, write and wait: limits, disk, clock, kernel interfaces.

use crate::atomic::AtomicFile;
use std::{
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

/// A limit of this process. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// In force.
    pub soft: Option<u64>,
    /// Up to here this user may raise it.
    pub hard: Option<u64>,
}

/// Files, sockets and pipes open at once.
pub fn descriptor_limit() -> Limit {
    limit(rustix::process::Resource::Nofile)
}

/// Makes the kernel's table of this process's descriptors large enough for so many, as far as the limit allows. To be
/// called before the first thread starts: while a process has several, each doubling of the table (from 64 on) makes
/// whoever opens a descriptor wait for all processors, ten milliseconds and more, and with it all tasks of its thread.
pub fn make_room_for_descriptors(count: u64) {
    let most = count.min(descriptor_limit().soft.unwrap_or(u64::MAX));
    let Some(last) = most.checked_sub(1).and_then(|last| i32::try_from(last).ok()) else { return };
    // A table once grown does not shrink. What fails here costs time later and nothing else.
    let _ = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), last);
}

/// Processes and threads of this user.
pub fn process_limit() -> Limit {
    limit(rustix::process::Resource::Nproc)
}

fn limit(resource: rustix::process::Resource) -> Limit {
    let limit = rustix::process::getrlimit(resource);
    Limit { soft: limit.current, hard: limit.maximum }
}

/// Whether a process of this number is there, be it another user's that may not be signalled. Numbers of another
/// container's processes say nothing here.
pub fn process_exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Memory of the machine, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What can be had without swapping.
    pub available: u64,
}

/// Errors when the system does not tell.
pub fn memory() -> io::Result<Memory> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let of = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kb| kb * 1_024)
    };
    match (of("MemTotal"), of("MemAvailable")) {
        (Some(total), Some(available)) => Ok(Memory { total, available }),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo does not tell")),
    }
}

/// Free and whole size of the file system that holds a folder, bytes, as far as this user may use it.
///
/// # Errors
/// When the folder is not there or the system does not tell.
pub fn disk_space(folder: &Path) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok((stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize))
}

/// How fast a disk takes data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpeed {
    /// Bytes a second, until they are durable.
    pub write_bytes_s: u64,
    /// The middle of nine small writes, each made durable by itself: what a commit costs at least.
    pub commit: Duration,
}

const LARGE: usize = 32 << 20;
const COMMITS: usize = 9;

/// Writes 32 MiB and then nine small pieces to a file in `folder`, and removes it.
///
/// # Errors
/// When the folder is not there or cannot be written to.
pub fn disk_speed(folder: &Path) -> io::Result<DiskSpeed> {
    // A folder that is not there is not made for this.
    std::fs::metadata(folder)?;
    let mut temporary = AtomicFile::create_in(folder)?;
    // Zeros might be stored as holes.
    let piece: Vec<u8> = (0..1_u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let start = Instant::now();
    for _ in 0..LARGE / piece.len() {
        temporary.file.write_all(&piece)?;
    }
    temporary.file.sync_data()?;
    let write_bytes_s = (LARGE as f64 / start.elapsed().as_secs_f64()) as u64;
    let mut commits = Vec::with_capacity(COMMITS);
    for _ in 0..COMMITS {
        let start = Instant::now();
        temporary.file.write_all(&piece[..4_096])?;
        temporary.file.sync_data()?;
        commits.push(start.elapsed());
    }
    commits.sort();
    Ok(DiskSpeed { write_bytes_s, commit: commits[COMMITS / 2] })
}

/// Whether the kernel lets this process use io_uring; the error says what it answered. Files are read by
/// threads all the same: for warm files a plain read on a few threads is as fast, for cold ones the gain was
/// within the spread of the measurements.
///
/// # Errors
/// When it is not there or not permitted.
pub fn io_uring() -> io::Result<()> {
    // `io_uring_params` is 120 bytes; all zero asks for a plain ring.
    let mut params = [0_u64; 15];
    // SAFETY: the kernel reads and writes no more than the 120 bytes that `params` has.
    #[allow(unsafe_code)]
    let made = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, params.as_mut_ptr()) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor just now and nobody else knows its number.
    #[allow(unsafe_code)]
    drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(made as i32) });
    Ok(())
}

/// What the kernel thinks of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Somebody (NTP, the hypervisor) keeps it right.
    pub synchronised: bool,
    /// How far it may be off.
    pub error: Duration,
}

/// Asks the kernel, changes nothing.
///
/// # Errors
/// When it does not tell.
pub fn clock() -> io::Result<Clock> {
    // SAFETY: all-zero is a valid `timex`; with no mode set the kernel only fills it in.
    #[allow(unsafe_code)]
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&mut timex), timex)
    };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let error = Duration::from_micros(u64::try_from(timex.maxerror).unwrap_or(0));
    Ok(Clock { synchronised: state != libc::TIME_ERROR, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_descriptors_leaves_none_open_and_takes_any_number() {
        let open = || std::fs::read_dir("/proc/self/fd").expect("Linux tells").count();
        let size = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
            let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
            size.and_then(|size| size.trim().parse::<u64>().ok()).expect("a number")
        };
        let (before, most) = (open(), descriptor_limit().soft.unwrap_or(4_096).min(4_096));
        make_room_for_descriptors(4_096);
        assert!(size() >= most, "{} of {most}", size());
        for count in [0, 1, u64::MAX] {
            make_room_for_descriptors(count);
        }
        assert_eq!(open(), before);
    }

    #[test]
    fn processes_are_there_until_they_are_waited_for() {
        assert!(process_exists(std::process::id()) && process_exists(1));
        assert!(!process_exists(0) && !process_exists(u32::MAX));
        let mut child = std::process::Command::new("true").spawn().expect("starts");
        let pid = child.id();
        child.wait().expect("ends");
        assert!(!process_exists(pid));
    }

    #[test]
    fn a_machine_has_limits_memory_and_a_disk() {
        assert!(descriptor_limit().soft.is_none_or(|n| n > 2));
        assert!(process_limit().hard.is_none_or(|n| n > 0));
        let memory = memory().expect("Linux tells");
        assert!(memory.available <= memory.total && memory.total > 1 << 20);
        let folder = tempfile::tempdir().expect("a folder");
        let (free, whole) = disk_space(folder.path()).expect("a file system");
        assert!(free <= whole);
        let speed = disk_speed(folder.path()).expect("it can be written to");
        assert!(speed.write_bytes_s > 0);
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0, "nothing is left");
        assert!(disk_space(&folder.path().join("absent")).is_err());
        assert!(disk_speed(&folder.path().join("absent")).is_err());
    }
}
