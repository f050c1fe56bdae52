//! Which system calls a confined program may make: an allowlist. Everything else answers "not permitted", so
//! that a library that tries something fancy falls back rather than dies.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;

/// What differs from one plan to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowances {
    /// Processes may be started.
    pub(crate) forks: bool,
    /// Signals to this process alone; otherwise to all that it can see.
    pub(crate) signals_only_to: Option<u32>,
    /// The host's files are in view, and the filter stands in for namespaces: no change of modes.
    pub(crate) exposed: bool,
    /// The program is a server that confines its children: it takes descriptors from a socket that it was given,
    /// watches its children, lowers its limits and adds filters.
    pub(crate) server: bool,
}

/// Stands for the number of the process that a [cage](crate::Cage) is for. No process has it.
pub(crate) const PID_MARK: u32 = 0x7a6e_c0de;

/// The program for a child of a server, as the kernel takes it, with [`PID_MARK`] where the child's number goes.
pub(crate) fn cage(exposed: bool) -> Result<Vec<u8>, String> {
    let allow = Allowances { forks: false, signals_only_to: Some(PID_MARK), exposed, server: false };
    let [_, rest] = programs(allow)?;
    let bytes = rest.iter().flat_map(|step| {
        let [c0, c1] = step.code.to_ne_bytes();
        let [k0, k1, k2, k3] = step.k.to_ne_bytes();
        [c0, c1, step.jt, step.jf, k0, k1, k2, k3]
    });
    Ok(bytes.collect())
}

/// The two programs, to be installed in this order: once the second is in force, no other can be added.
pub(crate) fn programs(allow: Allowances) -> Result<[BpfProgram; 2], String> {
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(|e| format!("{e}"))?;
    let compile = |rules, mismatch, matched| -> Result<BpfProgram, seccompiler::BackendError> {
        SeccompFilter::new(rules, mismatch, matched, arch)?.try_into()
    };
    // `clone3` hides its flags in memory, where a filter cannot look. "No such call" makes the C library fall
    // back to `clone`; "not permitted" would not.
    let no_clone3 = compile(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
    );
    let rules = allowlist(allow).map_err(|e| e.to_string())?;
    let rest = compile(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow);
    Ok([no_clone3.map_err(|e| e.to_string())?, rest.map_err(|e| e.to_string())?])
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn allowlist(allow: Allowances) -> Result<Rules, seccompiler::BackendError> {
    let mut rules = Rules::new();
    // The first filter answers to it; here it must not be refused differently, since the stricter answer wins
    // only between kinds of answers, and both are errors.
    rules.insert(libc::SYS_clone3, Vec::new());
    for call in FILES.iter().chain(MEMORY).chain(TIME_AND_SELF).chain(WAITING).chain(OLD) {
        rules.insert(*call, Vec::new());
    }
    if !allow.exposed {
        for call in MODES {
            rules.insert(*call, Vec::new());
        }
    }
    rules.insert(libc::SYS_clone, vec![clone_rule(allow.forks)?]);
    rules.insert(libc::SYS_fcntl, vec![rule(&FCNTL_FORBIDDEN.map(|command| ne(1, command)))?]);
    rules.insert(libc::SYS_ioctl, one_of(1, IOCTL_ALLOWED)?);
    rules.insert(libc::SYS_prctl, one_of(0, PRCTL_ALLOWED)?);
    // Of the calling thread only.
    rules.insert(libc::SYS_sched_setaffinity, one_of(0, &[0])?);
    // Of ourselves only: in the reduced tier other processes of the same user are in reach. And only to ask: the
    // limit on core files is one byte, below which a core dump handler of the host would be started.
    let zero = |argument| condition(argument, SeccompCmpOp::Eq, 0);
    let no_pointer = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0).ok();
    rules.insert(libc::SYS_prlimit64, vec![rule(&[zero(0), no_pointer])?]);
    match allow.signals_only_to {
        Some(pid) => {
            rules.insert(libc::SYS_kill, one_of(0, &[u64::from(pid)])?);
            rules.insert(libc::SYS_tgkill, one_of(0, &[u64::from(pid)])?);
        }
        None => {
            rules.insert(libc::SYS_kill, Vec::new());
            rules.insert(libc::SYS_tgkill, Vec::new());
        }
    }
    if allow.forks {
        rules.insert(libc::SYS_setsid, Vec::new());
        rules.insert(libc::SYS_setpgid, Vec::new());
        #[cfg(target_arch = "x86_64")]
        for call in [libc::SYS_fork, libc::SYS_vfork] {
            rules.insert(call, Vec::new());
        }
    }
    if allow.server {
        rules.insert(libc::SYS_prlimit64, vec![rule(&[zero(0)])?]);
        rules.insert(libc::SYS_setrlimit, Vec::new());
        let more = [libc::PR_SET_SECCOMP as u64, libc::PR_SET_PDEATHSIG as u64];
        let prctl: Vec<u64> = PRCTL_ALLOWED.iter().copied().chain(more).collect();
        rules.insert(libc::SYS_prctl, one_of(0, &prctl)?);
        for call in [libc::SYS_recvmsg, libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_pidfd_open] {
            rules.insert(call, Vec::new());
        }
    }
    Ok(rules)
}

/// Threads always; processes if allowed; namespaces never.
fn clone_rule(forks: bool) -> Result<SeccompRule, seccompiler::BackendError> {
    const NAMESPACES: i32 = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    let (mask, wanted) =
        if forks { (NAMESPACES, 0) } else { (NAMESPACES | libc::CLONE_THREAD, libc::CLONE_THREAD) };
    rule(&[condition(0, SeccompCmpOp::MaskedEq(mask as u64), wanted as u64)])
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Option<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).ok()
}

fn ne(argument: u8, value: u64) -> Option<SeccompCondition> {
    condition(argument, SeccompCmpOp::Ne, value)
}

/// Allows a call when all conditions hold.
fn rule(conditions: &[Option<SeccompCondition>]) -> Result<SeccompRule, seccompiler::BackendError> {
    debug_assert!(conditions.iter().all(Option::is_some), "argument numbers are below six");
    SeccompRule::new(conditions.iter().flatten().cloned().collect())
}

/// Allows a call when an argument is one of the values.
fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    values.iter().map(|value| rule(&[condition(argument, SeccompCmpOp::Eq, *value)])).collect()
}

const FILES: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_ftruncate,
    libc::SYS_truncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_umask,
    libc::SYS_fadvise64,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_execve,
];

/// Modes and times of files: Landlock lets one change those of all one's own files, so that without a file
/// system of its own the program must not.
const MODES: &[i64] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
];

const MEMORY: &[i64] = &[
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_brk,
    libc::SYS_membarrier,
];

const TIME_AND_SELF: &[i64] = &[
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_getrusage,
    libc::SYS_getrlimit,
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getcpu,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
];

const WAITING: &[i64] = &[
    libc::SYS_futex,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_wait4,
    libc::SYS_waitid,
];

/// Forms that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD: &[i64] = &[
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_symlink,
    libc::SYS_link,
    libc::SYS_getdents,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_alarm,
    libc::SYS_pause,
    libc::SYS_time,
    libc::SYS_getpgrp,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[i64] = &[];

/// Pipes of a megabyte each, signals to strangers, news of other people's files.
const FCNTL_FORBIDDEN: [u64; 5] = [
    libc::F_SETPIPE_SZ as u64,
    libc::F_SETOWN as u64,
    15, // F_SETOWN_EX
    libc::F_SETLEASE as u64,
    libc::F_NOTIFY as u64,
];

/// What C libraries and Python ask of descriptors; none of it changes a terminal.
const IOCTL_ALLOWED: &[u64] =
    &[libc::TCGETS, libc::TIOCGWINSZ, libc::FIONREAD, libc::FIOCLEX, libc::FIONCLEX, libc::FIONBIO];

const PRCTL_ALLOWED: &[u64] = &[
    libc::PR_SET_NAME as u64,
    libc::PR_GET_NAME as u64,
    libc::PR_GET_DUMPABLE as u64,
    libc::PR_CAPBSET_READ as u64,
    libc::PR_GET_NO_NEW_PRIVS as u64,
    libc::PR_SET_VMA as u64,
];
