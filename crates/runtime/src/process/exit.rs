//! How a child ended, told precisely.

use super::{progress::ProgressReport, spec::Limits};
use std::{fmt, time::Duration};

/// One of a child's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The additional output for [results](super::ChildSpec::results).
    Results,
}

impl fmt::Display for OutputStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Results => "its results",
        })
    }
}

/// Why a child is no more. Limits that were passed come with what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It left with this exit code; 0 is success.
    Code(i32),
    /// This signal ended it, and we did not send it.
    Signal(i32),
    /// Its time was over.
    WallLimit {
        /// The limit.
        limit: Duration,
    },
    /// It and its descendants used up their processor time.
    CpuLimit {
        /// The limit.
        limit: Duration,
        /// What had been used when it was noticed.
        used: Duration,
    },
    /// It and its descendants grew too large.
    MemoryLimit {
        /// The limit.
        limit_bytes: u64,
        /// What was seen.
        seen_bytes: u64,
    },
    /// It wrote more than it may to a stream that is bounded so.
    OutputLimit {
        /// Which stream.
        stream: OutputStream,
        /// The limit.
        limit_bytes: u64,
    },
    /// It wrote a file beyond the limit and did not handle the signal.
    FileSizeLimit {
        /// The limit.
        limit_bytes: u64,
    },
    /// The kernel ended it because the machine (or the group it runs in) was out of memory.
    OutOfMemory,
    /// It was cancelled, or its handle was dropped.
    Cancelled,
    /// It was ended a while ago and is still there: stuck in the kernel, on a dead network drive for example.
    Stuck,
}

impl Ending {
    /// True for exit code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => match signal_name(signal) {
                Some(name) => write!(f, "ended by signal {name}"),
                None => write!(f, "ended by signal {signal}"),
            },
            Self::WallLimit { limit } => write!(f, "still running at its limit of {limit:?}"),
            Self::CpuLimit { limit, used } => {
                write!(f, "used {used:?} of processor time, its limit is {limit:?}")
            }
            Self::MemoryLimit { limit_bytes, seen_bytes } => {
                write!(f, "took {} of memory, its limit is {}", mib(seen_bytes), mib(limit_bytes))
            }
            Self::OutputLimit { stream, limit_bytes } => {
                write!(f, "wrote more than {} to {stream}", mib(limit_bytes))
            }
            Self::FileSizeLimit { limit_bytes } => {
                write!(f, "wrote a file of more than {}", mib(limit_bytes))
            }
            Self::OutOfMemory => f.write_str("ended by the kernel, which was out of memory"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Stuck => f.write_str("ended, but stuck in the kernel"),
        }
    }
}

fn mib(bytes: u64) -> String {
    if bytes < 10 << 20 {
        format!("{:.1} KiB", bytes as f64 / 1024.0)
    } else {
        format!("{} MiB", bytes >> 20)
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL (illegal instruction)",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT (abort)",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE (arithmetic)",
        libc::SIGKILL => "SIGKILL, sent from outside",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV (bad memory access)",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE (nobody reads its output)",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU (processor time)",
        libc::SIGXFSZ => "SIGXFSZ (file size)",
        libc::SIGSYS => "SIGSYS (forbidden system call)",
        _ => return None,
    })
}

/// What a child and those of its descendants that are known to have ended cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// From the start to the end.
    pub wall: Duration,
    /// Processor time in the program.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// Largest resident memory of any one of the processes. Linux counts what the starting process had, too:
    /// a value at or below [`Usage::peak_memory_floor_bytes`] means "at most that".
    pub peak_memory_bytes: u64,
    /// Resident memory of the small process that starts children.
    pub peak_memory_floor_bytes: u64,
    /// Page faults that had to read from disk.
    pub major_faults: u64,
    /// Page faults that did not.
    pub minor_faults: u64,
    /// Times it waited and gave up the processor.
    pub switches_voluntary: u64,
    /// Times the processor was taken from it.
    pub switches_forced: u64,
    /// Blocks of 512 bytes read from disk.
    pub blocks_read: u64,
    /// Blocks of 512 bytes written to disk.
    pub blocks_written: u64,
}

impl Usage {
    /// Processor time in all.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// Output that was kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The first bytes, as many as the bound allows.
    pub bytes: Vec<u8>,
    /// Bytes beyond, read and dropped.
    pub dropped: u64,
}

impl Captured {
    /// As text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured").field("text", &self.text()).field("dropped", &self.dropped).finish()
    }
}

/// Everything known about a child that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Why it is no more.
    pub ending: Ending,
    /// The raw state in which it ended, whatever the reason was: a child past its deadline may still leave with
    /// an exit code. `None` when it is [stuck](Ending::Stuck).
    pub status: Option<Status>,
    /// What it cost.
    pub usage: Usage,
    /// Its standard output, where it was [kept](super::Output::Keep).
    pub stdout: Captured,
    /// Its standard error, likewise.
    pub stderr: Captured,
    /// Its results, likewise.
    pub results: Captured,
    /// What it reported on its progress channel.
    pub progress: ProgressReport,
    /// Descendants that outlived it and were ended.
    pub descendants_ended: u32,
    /// Descendants that could not be ended (another user's, or stuck in the kernel).
    pub survivors: u32,
}

impl Exit {
    /// True for exit code 0.
    pub fn is_success(&self) -> bool {
        self.ending.is_success()
    }
}

/// The state in which a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Exit code.
    Code(i32),
    /// Ended by a signal.
    Signal(i32),
}

impl Status {
    pub(crate) fn from_wait(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// Why the watch ended a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Wall,
    Cpu { used_ns: u64 },
    Memory { seen_bytes: u64 },
    Output { stream: OutputStream, limit_bytes: u64 },
    Cancelled,
}

/// What is known when a child is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    pub(crate) cause: Option<Cause>,
    pub(crate) status: Option<Status>,
    pub(crate) cpu: Duration,
    /// The kernel ended some process for want of memory meanwhile.
    pub(crate) kernel_oom: bool,
}

/// Names the reason: what we did explains everything, then the kernel's limits, then the child itself.
pub(crate) fn ending(seen: Evidence, limits: &Limits) -> Ending {
    let cpu_limit = |used| Ending::CpuLimit { limit: limits.cpu.unwrap_or(used), used };
    match seen.cause {
        Some(Cause::Wall) => return Ending::WallLimit { limit: limits.wall },
        Some(Cause::Cpu { used_ns }) => return cpu_limit(Duration::from_nanos(used_ns)),
        Some(Cause::Memory { seen_bytes }) => {
            return Ending::MemoryLimit {
                limit_bytes: limits.memory_bytes.unwrap_or(seen_bytes),
                seen_bytes,
            };
        }
        Some(Cause::Output { stream, limit_bytes }) => return Ending::OutputLimit { stream, limit_bytes },
        Some(Cause::Cancelled) => return Ending::Cancelled,
        None => {}
    }
    match seen.status {
        None => Ending::Stuck,
        Some(Status::Code(code)) => Ending::Code(code),
        Some(Status::Signal(libc::SIGXCPU)) if limits.cpu.is_some() => cpu_limit(seen.cpu),
        Some(Status::Signal(libc::SIGXFSZ)) if limits.file_bytes.is_some() => {
            Ending::FileSizeLimit { limit_bytes: limits.file_bytes.unwrap_or_default() }
        }
        Some(Status::Signal(libc::SIGKILL)) if limits.cpu.is_some_and(|limit| seen.cpu >= limit) => {
            cpu_limit(seen.cpu)
        }
        Some(Status::Signal(libc::SIGKILL)) if seen.kernel_oom => Ending::OutOfMemory,
        Some(Status::Signal(signal)) => Ending::Signal(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seen: Evidence, expected: Ending) {
        let limits = Limits {
            wall: Duration::from_secs(9),
            cpu: Some(Duration::from_secs(2)),
            memory_bytes: Some(1 << 20),
            file_bytes: Some(7),
            ..Limits::default()
        };
        assert_eq!(ending(seen, &limits), expected);
    }

    const NOTHING: Evidence = Evidence { cause: None, status: None, cpu: Duration::ZERO, kernel_oom: false };

    #[test]
    fn what_we_did_explains_more_than_the_status() {
        let killed = Evidence { status: Some(Status::Signal(libc::SIGKILL)), kernel_oom: true, ..NOTHING };
        check(Evidence { cause: Some(Cause::Cancelled), ..killed }, Ending::Cancelled);
        check(
            Evidence { cause: Some(Cause::Wall), status: Some(Status::Code(0)), ..NOTHING },
            Ending::WallLimit { limit: Duration::from_secs(9) },
        );
        let memory = Cause::Memory { seen_bytes: 2 << 20 };
        check(
            Evidence { cause: Some(memory), ..killed },
            Ending::MemoryLimit { limit_bytes: 1 << 20, seen_bytes: 2 << 20 },
        );
    }

    #[test]
    fn a_kill_nobody_asked_for_is_explained_where_it_can_be() {
        let killed = Evidence { status: Some(Status::Signal(libc::SIGKILL)), ..NOTHING };
        check(killed, Ending::Signal(libc::SIGKILL));
        check(Evidence { kernel_oom: true, ..killed }, Ending::OutOfMemory);
        let limit = Duration::from_secs(2);
        check(Evidence { cpu: limit, kernel_oom: true, ..killed }, Ending::CpuLimit { limit, used: limit });
        let xcpu = Evidence { status: Some(Status::Signal(libc::SIGXCPU)), cpu: limit, ..NOTHING };
        check(xcpu, Ending::CpuLimit { limit, used: limit });
        let xfsz = Evidence { status: Some(Status::Signal(libc::SIGXFSZ)), ..NOTHING };
        check(xfsz, Ending::FileSizeLimit { limit_bytes: 7 });
    }

    #[test]
    fn endings_read_well() {
        let limit = Ending::MemoryLimit { limit_bytes: 256 << 20, seen_bytes: 300 << 20 };
        assert_eq!(limit.to_string(), "took 300 MiB of memory, its limit is 256 MiB");
        assert_eq!(Ending::Signal(libc::SIGSEGV).to_string(), "ended by signal SIGSEGV (bad memory access)");
        assert_eq!(Ending::Signal(40).to_string(), "ended by signal 40");
    }
}
