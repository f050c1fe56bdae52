//! The stack of another thread of this process, as it is now.
//!
//! The thread is sent a signal whose handler walks its own stack and stores bare addresses; names are looked up
//! afterwards, here. Unwinding from a handler takes no lock and no memory with glibc of 2.35 and later; before
//! that it can wait for a lock of the dynamic loader, should the thread have been stopped inside it. So it is
//! done for a thread that has not gone on for long, never as a matter of routine, and nobody waits for the answer
//! for more than [`PATIENCE`].

use std::{
    ffi::c_int,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Meant for the application, ignored by default, and used by few: nobody is hurt by one that comes late.
const SIGNAL: c_int = libc::SIGURG;
const FRAMES_MAX: usize = 64;
/// How long the other thread has to answer. One in an uninterruptible wait does not.
const PATIENCE: Duration = Duration::from_millis(200);

const IDLE: u32 = 0;
/// A thread, whose number is this, was asked.
const TAKING: u32 = u32::MAX;
const DONE: u32 = u32::MAX - 1;

static STATE: AtomicU32 = AtomicU32::new(IDLE);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static FRAMES: [AtomicUsize; FRAMES_MAX] = [const { AtomicUsize::new(0) }; FRAMES_MAX];
/// One at a time.
static TURN: Mutex<()> = Mutex::new(());
static INSTALL: Once = Once::new();

extern "C" fn answer(_: c_int) {
    // SAFETY: reads and restores the thread's own errno.
    #[expect(unsafe_code, reason = "a handler must leave errno as it was")]
    let errno = unsafe { *libc::__errno_location() };
    let me = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    if STATE.compare_exchange(me, TAKING, Ordering::Acquire, Ordering::Relaxed).is_ok() {
        let mut count = 0;
        // SAFETY: only one thread at a time gets here, and nothing else in the process uses the unsynchronised form.
        #[expect(unsafe_code, reason = "the synchronised form takes a lock, which a handler must not")]
        unsafe {
            backtrace::trace_unsynchronized(|frame| {
                FRAMES[count].store(frame.ip() as usize, Ordering::Relaxed);
                count += 1;
                count < FRAMES_MAX
            });
        }
        COUNT.store(count, Ordering::Relaxed);
        STATE.store(DONE, Ordering::Release);
    }
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "a handler must leave errno as it was")]
    unsafe {
        *libc::__errno_location() = errno;
    }
}

fn install() {
    INSTALL.call_once(|| {
        // SAFETY: a zeroed sigaction is a valid one to fill in; the handler does what handlers may.
        #[expect(unsafe_code, reason = "there is no other way to run code on another thread")]
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = answer as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut());
        }
    });
}

/// The functions that a thread of this process is in, innermost first, with file and line where they are known.
/// Empty when it does not answer.
pub(super) fn of_thread(tid: u32) -> Vec<String> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    install();
    // One that was asked before and has not answered yet may still write.
    if STATE.load(Ordering::Acquire) == TAKING {
        return Vec::new();
    }
    STATE.store(tid, Ordering::Release);
    // SAFETY: takes numbers; a thread that is gone is an error.
    #[expect(unsafe_code, reason = "the signal must reach one thread")]
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, SIGNAL) } == 0;
    let start = Instant::now();
    while sent && STATE.load(Ordering::Acquire) != DONE && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    if STATE.load(Ordering::Acquire) != DONE {
        // Late answers find nobody asking.
        let _ = STATE.compare_exchange(tid, IDLE, Ordering::AcqRel, Ordering::Relaxed);
        return Vec::new();
    }
    let count = COUNT.load(Ordering::Relaxed);
    let frames: Vec<usize> = FRAMES[..count].iter().map(|frame| frame.load(Ordering::Relaxed)).collect();
    STATE.store(IDLE, Ordering::Release);
    named(&frames)
}

/// Names of addresses, without the handler's own frames.
fn named(frames: &[usize]) -> Vec<String> {
    let mut names = Vec::new();
    let mut handler_at = None;
    for &address in frames {
        // A return address points behind the call: one before is inside it.
        backtrace::resolve((address.saturating_sub(1)) as *mut std::ffi::c_void, |symbol| {
            let Some(name) = symbol.name() else { return };
            let place = match (symbol.filename(), symbol.lineno()) {
                (Some(file), Some(line)) => format!(" ({}:{line})", file.display()),
                _ => String::new(),
            };
            let name = format!("{name:#}{place}");
            if name.contains("stall::stack::answer") {
                handler_at = Some(names.len());
            }
            names.push(name);
        });
    }
    // Behind the handler comes the system's trampoline, which has no name or `__restore_rt`.
    let mut own = names.split_off(handler_at.map_or(0, |at| at + 1));
    if own.first().is_some_and(|name| name.contains("restore_rt")) {
        own.remove(0);
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[inline(never)]
    fn waits_in_this_function(tell: &mpsc::Sender<u32>, gate: &mpsc::Receiver<()>) {
        tell.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()).expect("test waits");
        let _ = std::hint::black_box(gate.recv());
    }

    #[test]
    fn a_blocked_thread_is_found_where_it_is_and_goes_on_afterwards() {
        let ((tell, told), (open, gate)) = (mpsc::channel(), mpsc::channel::<()>());
        let thread = std::thread::Builder::new().spawn(move || waits_in_this_function(&tell, &gate));
        let tid = told.recv().expect("starts");
        // It may not be in the wait yet; wherever it is, it is in that function.
        let stack = of_thread(tid);
        assert!(stack.iter().any(|name| name.contains("waits_in_this_function")), "{stack:#?}");
        assert!(!stack.iter().any(|name| name.contains("stall::stack::answer")), "{stack:#?}");
        drop(open);
        thread.expect("starts").join().expect("went on");
        assert!(of_thread(tid).is_empty(), "a thread that is gone has no stack");
    }
}
