//! Running tide processes see each other: where their control sockets lie, and what they show.

use crate::{progress::seconds, term::Term};
use springtide_io::machine::process_exists;
use springtide_lab::batch::Progress;
use springtide_runtime::observe::{ControlError, ControlServer, Observatory, Watchdog, WatchdogConfig, ask};
use std::{
    fs,
    io::ErrorKind,
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

/// How long a process may take to answer, where nothing else waits meanwhile.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A process and what it said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub pid: u32,
    /// Its answer, or why there is none.
    pub said: Result<String, String>,
}

/// Where a process listens.
#[derive(Debug)]
struct Door {
    pid: u32,
    socket: PathBuf,
}

impl Door {
    /// Asks the process; none when it has ended.
    fn ask(&self, question: &str, patience: Duration) -> Option<Answer> {
        let said = match ask(&self.socket, question, patience) {
            // One that is about to end breaks off in the middle. Asked again, it is not there.
            Err(error) if !is_silent(&error) => ask(&self.socket, question, patience),
            said => said,
        };
        match &said {
            Err(error) if is_gone(error) => {
                // If it was killed its socket lies there still. If this fails the next look tries again.
                let _ = fs::remove_file(&self.socket);
                return None;
            }
            _ => {}
        }
        let why = |error: ControlError| match is_silent(&error) {
            true => {
                format!("does not answer within {}: stopped, or too busy", seconds(patience))
            }
            false => error.to_string(),
        };
        Some(Answer { pid: self.pid, said: said.map_err(why) })
    }
}

/// Nobody listens.
fn is_gone(error: &ControlError) -> bool {
    matches!(error, ControlError::Io { source, .. } if matches!(source.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound))
}

/// Somebody listens and says nothing in time.
fn is_silent(error: &ControlError) -> bool {
    matches!(error, ControlError::Io { source, .. } if matches!(source.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// Asks this user's processes, or the one with this pid, all at once: `state`, `tasks`, `health` or `metrics`. Newest
/// last; those that have ended are left out.
pub fn ask_each(pid: Option<u32>, question: &str, patience: Duration) -> Vec<Answer> {
    let doors: Vec<Door> = doors().into_iter().filter(|door| pid.is_none_or(|pid| pid == door.pid)).collect();
    std::thread::scope(|scope| {
        let ask = |door: &'_ Door| door.ask(question, patience);
        let start =
            |door| std::thread::Builder::new().name("ask".into()).spawn_scoped(scope, move || ask(door));
        let asked: Vec<_> = doors.iter().map(start).collect();
        let ended = asked.into_iter().zip(&doors).map(|(thread, door)| match thread {
            Ok(thread) => thread.join().ok().flatten(),
            // Without another thread it is asked by this one.
            Err(_) => ask(door),
        });
        ended.flatten().collect()
    })
}

/// What makes a process visible, until it is dropped.
#[derive(Debug)]
pub struct Visible {
    _server: Option<ControlServer>,
    _watchdog: Option<Watchdog>,
}

/// Makes the process visible to `tide top` and `tide tasks`, and watches that its threads go on. Without the
/// socket or the watchdog it works all the same, and says so.
pub fn serve(term: Term, seen: &Observatory) -> Visible {
    let watchdog = Watchdog::start(WatchdogConfig::default(), seen);
    if let Err(why) = &watchdog {
        term.note_as(&term.err().yellow("warning:"), &format!("threads are not watched: {why}"));
    }
    Visible { _server: listen(term, seen), _watchdog: watchdog.ok() }
}

fn listen(term: Term, seen: &Observatory) -> Option<ControlServer> {
    seen.add_section("process", own_usage);
    let folder = folder();
    let path = folder.join(format!("{}.sock", std::process::id()));
    let started = own_folder(&folder).and_then(|()| {
        clear(&folder);
        ControlServer::start(&path, seen.clone()).map_err(|e| e.to_string())
    });
    match started {
        Ok(server) => Some(server),
        Err(why) => {
            term.note_as(&term.err().yellow("warning:"), &format!("not visible to `tide top`: {why}"));
            None
        }
    }
}

/// Shows a batch's counts.
pub fn show_batch(seen: &Observatory, progress: &Arc<Progress>) {
    let progress = Arc::clone(progress);
    seen.add_section("batch", move || {
        serde_json::json!({
            "planned": progress.planned.load(Ordering::Relaxed),
            "ok": progress.ok.load(Ordering::Relaxed),
            "failed": progress.failed.load(Ordering::Relaxed),
            "reused": progress.reused.load(Ordering::Relaxed),
            "bars": progress.bars.load(Ordering::Relaxed),
        })
    });
}

/// Sockets in this user's folder, newest last.
fn doors() -> Vec<Door> {
    let folder = folder();
    if own_folder(&folder).is_err() {
        return Vec::new();
    }
    let made = |socket: &Path| fs::symlink_metadata(socket).and_then(|m| m.modified());
    let mut found: Vec<(SystemTime, Door)> =
        sockets(&folder).map(|door| (made(&door.socket).unwrap_or(SystemTime::UNIX_EPOCH), door)).collect();
    found.sort_by_key(|(made, door)| (*made, door.pid));
    found.into_iter().map(|(_, door)| door).collect()
}

/// All that lie there, whether somebody listens or not.
fn sockets(folder: &Path) -> impl Iterator<Item = Door> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let socket = entry.path();
        let pid = socket.file_stem()?.to_str()?.parse().ok()?;
        Some(Door { pid, socket })
    })
}

/// Removes what killed processes left behind. A process that is there is not asked: it may be slow, or just about to
/// listen. One that is not may still be another container's, and then somebody listens.
fn clear(folder: &Path) {
    for Door { socket, .. } in sockets(folder).filter(|door| !process_exists(door.pid)) {
        let refused = UnixStream::connect(&socket).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
        if refused {
            // If this fails the next process tries again.
            let _ = fs::remove_file(&socket);
        }
    }
}

/// One folder per user: other users can neither read nor place sockets there.
fn folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|v| !v.is_empty()) {
        Some(folder) => PathBuf::from(folder).join("springtide"),
        None => std::env::temp_dir().join(format!("springtide-{}", user())),
    }
}

/// Whether sockets can be placed in the folder, and where that is.
pub fn folder_state() -> Result<String, String> {
    let folder = folder();
    own_folder(&folder).map(|()| folder.display().to_string())
}

fn user() -> u32 {
    // SAFETY: takes nothing, cannot fail.
    #[allow(unsafe_code)]
    unsafe {
        libc::geteuid()
    }
}

/// In a temporary folder that all may write to, somebody else could have made ours beforehand.
fn own_folder(folder: &Path) -> Result<(), String> {
    match fs::symlink_metadata(folder) {
        Ok(meta) if !meta.is_dir() || meta.uid() != user() || meta.mode() & 0o077 != 0 => Err(format!(
            "{} is not a folder of this user's alone (mode 0700): remove it, or set XDG_RUNTIME_DIR",
            folder.display()
        )),
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(format!("{}: {e}", folder.display())),
    }
}

/// Memory, processor time, threads and descriptors of this process, where the system tells.
fn own_usage() -> serde_json::Value {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    serde_json::json!({
        "memory_kib": field("VmRSS:"),
        "memory_peak_kib": field("VmHWM:"),
        "threads": field("Threads:"),
        "descriptors": fs::read_dir("/proc/self/fd").map(|d| d.count()).ok(),
        "cpu_ms": cpu_ms(),
    })
}

fn cpu_ms() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold spaces; user and system time are the 12th and 13th words behind it.
    let words: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = words.get(11)?.parse::<u64>().ok()? + words.get(12)?.parse::<u64>().ok()?;
    // SAFETY: takes a constant, returns a number.
    #[allow(unsafe_code)]
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(per_second).ok().filter(|p| *p > 0).map(|p| ticks * 1_000 / p)
}
