//! Starting a program without copying the parent: `clone(CLONE_VM | CLONE_VFORK)`, the way `posix_spawn` does
//! it, plus what that cannot do (limits, a death signal, a tag) and an answer which step failed.
//!
//! All unsafe code of the warden is here. The new process shares this one's memory until it calls `execve`,
//! while this one stands still: it may call only what neither allocates nor locks.
#![allow(unsafe_code, reason = "clone, execve, wait4, signalfd and setrlimit have no safe form")]

use crate::process::wire::{Cost, SpawnRequest, Step};
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

const STACK_BYTES: usize = 64 << 10;

/// Starts programs from a stack of its own.
pub(super) struct Launcher {
    stack: Vec<u128>,
}

/// What the new process reads and where it tells a failure.
struct Orders<'a> {
    program: &'a CStr,
    argv: &'a [*const c_char],
    env: &'a [*const c_char],
    folder: &'a CStr,
    /// Descriptor here, number there.
    fds: &'a [(RawFd, RawFd)],
    null: RawFd,
    rlimits: &'a [(u32, libc::rlimit)],
    parent: libc::pid_t,
    failed: Option<(Step, c_int)>,
}

impl Launcher {
    pub(super) fn new() -> Self {
        Self { stack: vec![0; STACK_BYTES / size_of::<u128>()] }
    }

    /// Starts a child in a session of its own, which dies with this process. `fds` go with
    /// `request.targets`; `null` stands in for standard streams that are not among them. The numbers of `fds`
    /// and `null` are above all targets.
    ///
    /// # Errors
    /// The step that failed and the system's error; nothing is left of the child then.
    pub(super) fn launch(
        &mut self,
        request: &SpawnRequest,
        fds: &[OwnedFd],
        null: &OwnedFd,
        rlimits: &[(u32, libc::rlimit)],
    ) -> Result<u32, (Step, i32)> {
        let pointers = |texts: &[CString]| -> Vec<*const c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
        };
        let (argv, env) = (pointers(&request.argv), pointers(&request.env));
        let fds: Vec<(RawFd, RawFd)> = fds
            .iter()
            .zip(&request.targets)
            .map(|(fd, target)| (fd.as_raw_fd(), RawFd::from(*target)))
            .collect();
        let mut orders = Orders {
            program: &request.program,
            argv: &argv,
            env: &env,
            folder: &request.folder,
            fds: &fds,
            null: null.as_raw_fd(),
            rlimits,
            parent: std::process::id() as libc::pid_t,
            failed: None,
        };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack is ours, large enough for the shallow calls of `child_main`, aligned to 16 bytes and
        // not in use; CLONE_VFORK keeps this thread from going on, and `orders` from moving, until the child has
        // called execve or _exit.
        let pid = unsafe {
            let top = self.stack.as_mut_ptr_range().end.cast::<c_void>();
            libc::clone(child_main, top, flags, (&raw mut orders).cast())
        };
        if pid < 0 {
            return Err((Step::Clone, errno()));
        }
        // The child wrote it while this thread stood still: read it afresh.
        // SAFETY: `orders` is alive and aligned.
        match unsafe { ptr::read_volatile(&raw const orders.failed) } {
            None => Ok(pid as u32),
            Some(failed) => {
                wait(pid as u32);
                Err(failed)
            }
        }
    }
}

/// Runs in the new process, on the launcher's stack, in this process's memory.
extern "C" fn child_main(orders: *mut c_void) -> c_int {
    // SAFETY: the pointer is the one given to clone, and nobody else uses the value now.
    let orders = unsafe { &mut *orders.cast::<Orders<'_>>() };
    orders.failed = Some(become_program(orders));
    // SAFETY: ends this process without running anything of the parent's.
    unsafe { libc::_exit(127) }
}

/// Does not return but with the step that failed. Only async-signal-safe calls.
fn become_program(orders: &Orders<'_>) -> (Step, c_int) {
    // SAFETY: plain system calls with valid arguments; strings and arrays end in NUL and null and live in the
    // parent, which waits.
    unsafe {
        if libc::setsid() < 0 {
            return (Step::Session, errno());
        }
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 || libc::getppid() != orders.parent {
            return (Step::ParentDeath, errno());
        }
        for (resource, limit) in orders.rlimits {
            if libc::setrlimit(*resource as _, limit) < 0 {
                return (Step::Limit, errno());
            }
        }
        if libc::chdir(orders.folder.as_ptr()) < 0 {
            return (Step::Folder, errno());
        }
        for standard in 0..3 {
            if !orders.fds.iter().any(|(_, target)| *target == standard)
                && libc::dup2(orders.null, standard) < 0
            {
                return (Step::Descriptor, errno());
            }
        }
        for (fd, target) in orders.fds {
            if libc::dup2(*fd, *target) < 0 {
                return (Step::Descriptor, errno());
            }
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execve(orders.program.as_ptr(), orders.argv.as_ptr(), orders.env.as_ptr());
        (Step::Exec, errno())
    }
}

fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or_default()
}

/// A child that is dead and not yet [waited](wait) for.
pub(super) fn next_dead() -> Option<u32> {
    // SAFETY: zeroed is a valid siginfo, valid for writes; a pid of zero means that no child is dead.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let result = libc::waitid(libc::P_ALL, 0, &raw mut info, options);
        (result == 0 && info.si_pid() > 0).then(|| info.si_pid() as u32)
    }
}

/// Takes a dead child off the process table: its wait status and what it used. Waits for its death if need be.
pub(super) fn wait(pid: u32) -> (i32, Cost) {
    let mut status = 0;
    // SAFETY: zeroed is a valid rusage; both pointers are valid for writes.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        while libc::wait4(pid as libc::pid_t, &raw mut status, 0, &raw mut usage) < 0
            && errno() == libc::EINTR
        {}
        usage
    };
    (status, cost(&usage))
}

/// Closes all descriptors from `first` on but one.
pub(super) fn close_from(first: RawFd, but: RawFd) {
    let close = |from: RawFd, to: RawFd| {
        // SAFETY: called before anything in this process owns a descriptor in the range.
        if unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) } < 0 {
            let highest =
                to.min(own_limit(libc::RLIMIT_NOFILE).map_or(1_024, |l| l.rlim_cur.min(1 << 20) as RawFd));
            for fd in from..=highest {
                // SAFETY: as above; closing a number that is not open does nothing.
                unsafe { libc::close(fd) };
            }
        }
    };
    close(first, but - 1);
    close(but + 1, RawFd::MAX);
}

fn cost(usage: &libc::rusage) -> Cost {
    let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000;
    Cost {
        user_ns: ns(usage.ru_utime),
        system_ns: ns(usage.ru_stime),
        peak_bytes: (usage.ru_maxrss as u64) << 10,
        major_faults: usage.ru_majflt as u64,
        minor_faults: usage.ru_minflt as u64,
        voluntary: usage.ru_nvcsw as u64,
        forced: usage.ru_nivcsw as u64,
        blocks_read: usage.ru_inblock as u64,
        blocks_written: usage.ru_oublock as u64,
    }
}

/// Resets all signals to their defaults and turns SIGCHLD into a descriptor that is readable when a child ended.
///
/// # Errors
/// When the system has no descriptor left.
pub(super) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: plain system calls on valid sets, in a process with one thread; the descriptor is new and owned
    // by nobody else.
    unsafe {
        for signal in 1..32 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Soft and hard limit of this process (`None`: it may not be known).
pub(super) fn own_limit(resource: u32) -> Option<libc::rlimit> {
    limit_of(0, resource)
}

/// Soft and hard limit of another process of the same user.
pub(super) fn limit_of(pid: u32, resource: u32) -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads into a valid struct, sets nothing.
    let result = unsafe { libc::prlimit(pid as libc::pid_t, resource as _, ptr::null(), &raw mut limit) };
    (result == 0).then_some(limit)
}
