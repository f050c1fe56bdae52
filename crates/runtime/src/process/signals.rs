//! One thread's attitude to one signal.
#![allow(unsafe_code, reason = "signal masks have no safe form")]

/// Keeps a write to a pipe that nobody reads from ending the program: on this thread the write fails instead,
/// whatever the program does about SIGPIPE elsewhere.
pub(crate) fn block_sigpipe() {
    // SAFETY: plain calls on a valid set; only the calling thread's mask changes.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}
