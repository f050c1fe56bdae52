//! System calls without a safe form, each behind a function that is safe to call in a process with one thread.
#![allow(unsafe_code, reason = "fork, mount_setattr, execve and waitpid have no safe form here")]

use rustix::io::Errno;
use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// Who one is after [`fork`].
pub(crate) enum Forked {
    Parent(i32),
    Child,
}

/// Forks. The launcher has one thread, so that the child may do whatever its parent may.
///
/// # Errors
/// When the system has no room for a process.
pub(crate) fn fork() -> io::Result<Forked> {
    debug_assert_eq!(threads(), 1, "only a process with one thread can be forked and go on");
    // SAFETY: with a single thread no lock can be held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Threads of this process, where that can be told.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Ends this process at once, without running what its parent has prepared for its own end.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: never returns and touches nothing.
    unsafe { libc::_exit(code) }
}

/// Becomes another program; returns only with the error.
pub(crate) fn execute(program: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end in null and, like the strings, live until the call is over.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Waits for any child: its number and wait status. `None` when there is none left.
pub(crate) fn wait_any() -> Option<(i32, i32)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is valid for writes.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if pid > 0 {
            return Some((pid, status));
        }
        if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

/// Ends this process the way another one ended.
pub(crate) fn end_as(status: i32) -> ! {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        // SAFETY: default action, then the signal to ourselves; nothing of ours runs in between.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::kill(libc::getpid(), signal);
        }
        leave(128 + signal);
    }
    leave(libc::WEXITSTATUS(status))
}

/// Makes a mount (with everything mounted below it, if `recursive`) read-only or not, without setuid and without
/// devices.
pub(crate) fn restrict_mount(mount: BorrowedFd<'_>, attributes: u64, recursive: bool) -> Result<(), Errno> {
    let set = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is empty, the struct valid and its size true.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const set,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// The version of Landlock that the kernel offers; 0 when none.
pub(crate) fn landlock_version() -> i64 {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no pointer and only answers.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<libc::c_void>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    version.max(0)
}

/// Takes over a descriptor that the process was started with.
pub(crate) fn inherited(fd: RawFd) -> OwnedFd {
    // SAFETY: called once per number, before anything in this process has opened a descriptor.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Sets close-on-exec on all descriptors from 3 on but those to keep.
pub(crate) fn close_on_exec_but(keep: &[u8]) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    let mut from = 3_u32;
    let mut keep: Vec<u32> = keep.iter().map(|fd| u32::from(*fd)).collect();
    keep.sort_unstable();
    for kept in keep.into_iter().chain([u32::MAX]) {
        if kept > from {
            let to = if kept == u32::MAX { kept } else { kept - 1 };
            // SAFETY: only marks descriptors.
            if unsafe { libc::syscall(libc::SYS_close_range, from, to, CLOSE_RANGE_CLOEXEC) } < 0 {
                return Err(last());
            }
        }
        from = kept.saturating_add(1);
    }
    Ok(())
}

/// Closes all descriptors from 0 on but one.
pub(crate) fn close_all_but(keep: RawFd) {
    // SAFETY: the caller never uses another descriptor again; it only waits and writes to this one.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, keep - 1, 0);
        libc::syscall(libc::SYS_close_range, keep + 1, u32::MAX, 0);
    }
}

/// Sets a limit of this process, lowering the hard limit to the soft one.
pub(crate) fn limit(resource: u32, value: u64) -> Result<(), Errno> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both structs are valid.
    unsafe {
        if libc::getrlimit(resource, &raw mut now) < 0 {
            return Err(last());
        }
        let value = value.min(now.rlim_max);
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        if libc::setrlimit(resource, &raw const limit) < 0 { Err(last()) } else { Ok(()) }
    }
}

fn last() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
