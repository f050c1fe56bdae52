//! A local socket by which others on the machine read this process: one question per connection.
//!
//! The client sends one line, the server answers and closes. The socket is of mode 0600 in a folder of mode
//! 0700: only the same user (and root) can ask.

use super::Observatory;
use rustix::net;
use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Longest question, bytes.
const QUESTION_MAX: u64 = 256;
/// A client that neither asks nor reads for this long is left alone: one asks at a time.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest path that a socket's address holds on Linux.
const PATH_MAX: usize = 107;

/// Why the socket cannot be made or asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The path does not fit into a socket's address.
    #[error("the socket's path {path} has {} bytes, at most {PATH_MAX} are possible: choose a shorter folder", path.as_os_str().len())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("socket {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The other side does not know the question.
    #[error(
        "socket {path}: the process there does not know the question `{question}`; it may be of another version"
    )]
    Unknown {
        /// The socket.
        path: PathBuf,
        /// What was asked.
        question: String,
    },
}

/// Answers on a socket until it is dropped, which removes the socket.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlServer {
    /// Listens at `path`; makes its folder when it is not there. A file left there by a dead process is replaced.
    pub fn start(path: &Path, seen: Observatory) -> Result<Self, ControlError> {
        let fail = |source| ControlError::Io { path: path.to_owned(), source };
        if path.as_os_str().len() > PATH_MAX {
            return Err(ControlError::TooLong { path: path.to_owned() });
        }
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
        }
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(fail(e)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(fail)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(fail)?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || serve(&listener, &seen, &flag))
            .map_err(fail)?;
        Ok(Self { path: path.to_owned(), stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread from accept. If that fails the thread is left behind rather than waited for.
        let awake = UnixStream::connect(&self.path).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| awake) {
            // A panic there has been told by the panic hook; nothing depends on the thread.
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

fn serve(listener: &UnixListener, seen: &Observatory, stop: &AtomicBool) {
    for stream in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        match stream {
            // A client that leaves early loses only its own answer.
            Ok(stream) => drop(answer(&stream, seen)),
            // Out of descriptors, for example: wait, rather than spin.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn answer(mut stream: &UnixStream, seen: &Observatory) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut question = String::new();
    BufReader::new(stream.take(QUESTION_MAX)).read_line(&mut question)?;
    match seen.answer(question.trim()) {
        Some(answer) => {
            stream.write_all(b"ok\n")?;
            stream.write_all(answer.as_bytes())
        }
        None => stream.write_all(b"unknown\n"),
    }
}

/// A connection to a socket, made within `patience`: where many ask one that does not answer, its queue is full and the
/// next would wait for ever.
fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket =
        net::socket_with(net::AddressFamily::UNIX, net::SocketType::STREAM, net::SocketFlags::CLOEXEC, None)?;
    net::sockopt::set_socket_timeout(&socket, net::sockopt::Timeout::Send, Some(patience))?;
    net::connect(&socket, &net::SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// Asks the process behind a socket; waits at most `patience` for each part of the answer.
pub fn ask(path: &Path, question: &str, patience: Duration) -> Result<String, ControlError> {
    let fail = |source| ControlError::Io { path: path.to_owned(), source };
    let mut stream = connect(path, patience).map_err(fail)?;
    stream.set_read_timeout(Some(patience)).map_err(fail)?;
    stream.write_all(format!("{question}\n").as_bytes()).map_err(fail)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(fail)?;
    match text.strip_prefix("ok\n") {
        Some(answer) => Ok(answer.to_owned()),
        None => Err(ControlError::Unknown { path: path.to_owned(), question: question.into() }),
    }
}
