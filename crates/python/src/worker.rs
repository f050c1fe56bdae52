//! A warm worker: one fork server in a sandbox, one run at a time.

use crate::{
    BarsImage, Engine, Environment, RunLimits, Work,
    log::{Bounded, Log},
    message::{Fault, Hint},
    request::WORKER_BYTES,
    wire::{Frames, Message},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
        SocketType,
    },
    pipe::PipeFlags,
};
use serde::Deserialize;
use serde_json::{Value, json};
use springtide_runtime::{
    OutsideWait,
    process::{ChildOptions, Children},
};
use springtide_sandbox::{Allowance, Cage, Confined, Job, Sandbox, SandboxError, Tier};
use std::{
    collections::{BTreeMap, HashSet},
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// The Python sources by module name.
const SOURCES: [(&str, &str); 9] = [
    ("tide_shape", include_str!("py/shape.py")),
    ("tide_faults", include_str!("py/faults.py")),
    ("tide_files", include_str!("py/files.py")),
    ("tide_idle", include_str!("py/idle.py")),
    ("tide_data", include_str!("py/data.py")),
    ("tide_record", include_str!("py/record.py")),
    ("tide_harness", include_str!("py/harness.py")),
    ("tide_child", include_str!("py/child.py")),
    ("tide_server", include_str!("py/server.py")),
];
/// Makes modules of them and serves. They come as the first packet, for arguments are shown to whoever lists processes.
/// `import backtesting` must not happen before the path is set.
const BOOT: &str = "import json, os, sys, types\n\
    config = json.loads(os.read(3, 1 << 20))\n\
    sys.path[:] = [p for p in sys.path if p]\n\
    if config['package']: sys.path.insert(0, config['package'])\n\
    for name, source in config.pop('sources'):\n\
    \x20   module = sys.modules[name] = types.ModuleType(name)\n\
    \x20   exec(compile(source, name + '.py', 'exec'), module.__dict__)\n\
    module.serve(config)\n";
/// Endings of files that a script may be given, in lower case.
pub const TABLES: [&str; 7] = [".csv", ".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zip", ".tsv", ".txt"];
/// Number of the server's socket.
const SOCKET: u8 = 3;
/// How long the imports may take.
const START_WALL: Duration = Duration::from_secs(120);
/// How often a run is asked whether it should stop.
const LOOK: Duration = Duration::from_millis(20);
/// How often the scratch folder of a reduced sandbox is looked at.
const SCRATCH_EVERY: Duration = Duration::from_millis(50);
/// How long a killed run may take to be gone.
const KILL_WALL: Duration = Duration::from_secs(5);
/// Data sets a server remembers.
const KNOWN_MAX: usize = 32;
/// The child's exit code when it could not confine itself.
const NOT_STARTED: i32 = 71;
const PACKET_BYTES: usize = 1 << 18;

/// What a server says once it can work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Ready {
    /// Version of the interpreter.
    pub python: String,
    /// Versions of the modules that were imported.
    pub versions: BTreeMap<String, String>,
    /// Modules that are not there.
    pub missing: Vec<String>,
    /// Why modules that must be there are not.
    pub errors: BTreeMap<String, String>,
}

/// Why a worker cannot go on, or there is none. The run did not come to an end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum WorkerError {
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("the worker ended: {why}")]
    Died { why: String },
    #[error("the worker did not answer within {} s", within.as_secs())]
    Silent { within: Duration },
    #[error("Python lacks what every script needs: {}; `tide python setup` makes an environment", list(.errors))]
    Incomplete { errors: BTreeMap<String, String> },
    #[error("the run could not be confined: {why}")]
    NotConfined { why: String },
    #[error("the worker cannot be reached: {0}")]
    Io(#[from] io::Error),
}

fn list(errors: &BTreeMap<String, String>) -> String {
    let all: Vec<String> = errors.iter().map(|(name, why)| format!("{name} ({why})")).collect();
    all.join(", ")
}

impl From<Errno> for WorkerError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// How a run's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It was told to stop.
    Stopped,
    /// Its time was over.
    TimedOut,
    /// Its processor time was used up.
    CpuLimit,
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How.
    pub finish: Finish,
    /// Processor time.
    pub cpu: Duration,
    /// From its start to its end, as seen from here.
    pub wall: Duration,
    /// Most memory that was resident, that of the imported modules included.
    pub peak_bytes: u64,
    /// What it printed.
    pub log: Log,
    /// Its results were not what was agreed: what was wrong.
    pub broken: Option<String>,
    /// The system wrote an image of it.
    pub dumped_core: bool,
    /// Why its worker is gone, and the run with it.
    pub lost: Option<String>,
    /// Nothing of it is left, so that the worker can do more.
    clean: bool,
}

impl Ended {
    /// The fault of a script that did not get to tell one.
    pub fn fault(&self) -> Fault {
        let fault =
            |kind: &str, text: String| Fault { output: self.log.last_lines(12), ..Fault::new(kind, text) };
        if let Some(problem) = &self.broken {
            return fault("BadResults", format!("its results cannot be: {problem}"));
        }
        if let Some(why) = &self.lost {
            let hint = why.contains("memory").then(|| Hint {
                code: "memory".into(),
                text: "the run's memory is limited; take fewer copies of the data".into(),
            });
            return Fault { hint, ..fault("WorkerLost", why.clone()) };
        }
        match self.finish {
            Finish::Code(code) => fault(
                "EndedEarly",
                format!(
                    "the process left with code {code} before it was done (os._exit or a library did that)"
                ),
            ),
            Finish::Signal(9) => {
                fault("Killed", "the system ended it, most likely for want of memory".into())
            }
            Finish::Signal(11) => {
                fault("Crash", "a library crashed (SIGSEGV), often after input it cannot take".into())
            }
            Finish::Signal(signal) => fault("Crash", format!("ended by signal {signal}")),
            Finish::CpuLimit => {
                fault("CpuLimit", "its processor time is used up; --timeout sets the limit".into())
            }
            Finish::Stopped => fault("Stopped", "it was told to stop".into()),
            Finish::TimedOut => fault("Timeout", "its time was over; --timeout sets the limit".into()),
        }
    }
}

/// A fork server, ready for a run.
#[derive(Debug)]
pub struct Worker {
    confined: Option<Confined>,
    socket: OwnedFd,
    ready: Ready,
    tier: Tier,
    known: HashSet<u64>,
    runs: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ready(Ready),
    Ended(EndedWord),
}

#[derive(Deserialize)]
struct EndedWord {
    run: u64,
    status: i32,
    clean: bool,
    cpu_us: u64,
    peak_kib: u64,
}

impl Worker {
    /// Starts a server and waits until it has imported everything. `preload` names modules beyond the usual ones.
    ///
    /// # Errors
    /// When the sandbox, the interpreter or a module that must be there is not.
    pub fn start(
        children: &Children,
        sandbox: &Sandbox,
        environment: &Environment,
        engine: &Engine,
        preload: &[String],
    ) -> Result<Self, WorkerError> {
        let (socket, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        send(&socket, &config(&sandbox.cage()?, engine, preload), &[])?;
        let job = job(environment, engine, theirs);
        let confined = sandbox.start(children, job, ChildOptions::new("python worker"))?;
        let tier = sandbox.tier();
        let mut worker = Self {
            confined: Some(confined),
            socket,
            ready: Ready::default(),
            tier,
            known: HashSet::new(),
            runs: 0,
        };
        let until = Instant::now().checked_add(START_WALL);
        let waits = OutsideWait::begin("a Python worker to import what scripts need", until);
        let answer = worker.answer(START_WALL)?;
        drop(waits);
        match answer {
            Answer::Ready(ready) if ready.errors.is_empty() => worker.ready = ready,
            Answer::Ready(ready) => return Err(WorkerError::Incomplete { errors: ready.errors }),
            Answer::Ended(_) => return Err(WorkerError::Died { why: "it spoke out of turn".into() }),
        }
        Ok(worker)
    }

    /// Versions of what it has imported.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// How well its runs are held.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Does work, hands over what it tells as it comes, and waits for its end. `stop` is asked now and then.
    ///
    /// # Errors
    /// When the worker is lost; it must not be used again.
    pub fn run(
        &mut self,
        work: &Work,
        data: Option<&BarsImage>,
        limits: &RunLimits,
        stop: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(Message),
    ) -> Result<Ended, WorkerError> {
        if let Some(data) = data {
            self.give(data)?;
        }
        self.runs += 1;
        let request = work.sealed()?;
        let [results, out, err] = [pipe()?, pipe()?, pipe()?];
        // A run's equity should go out in one piece; where it cannot, in several.
        let _ = rustix::pipe::fcntl_setpipe_size(&results.1, 1 << 20);
        let order = limits.order(self.runs, work, data);
        send(&self.socket, &order, &[request.as_fd(), results.1.as_fd(), out.1.as_fd(), err.1.as_fd()])?;
        // Only the child writes from here on.
        let streams = Streams { results: Some(results.0), out: Some(out.0), err: Some(err.0) };
        drop((request, results.1, out.1, err.1));
        let watch = Watch {
            streams,
            frames: Frames::default(),
            out: Bounded::default(),
            err: Bounded::default(),
            results_left: limits.results_bytes,
            broken: None,
        };
        let until = Instant::now().checked_add(limits.wall.saturating_add(KILL_WALL));
        let _waits = OutsideWait::begin(self.what(work), until);
        self.watch(watch, limits, stop, sink)
    }

    fn watch(
        &mut self,
        mut watch: Watch,
        limits: &RunLimits,
        stop: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(Message),
    ) -> Result<Ended, WorkerError> {
        let start = Instant::now();
        let mut cut_short: Option<(Finish, Instant)> = None;
        let mut looked = start;
        let word = loop {
            let over = start.elapsed() >= limits.wall;
            if looked.elapsed() >= SCRATCH_EVERY && self.tier != Tier::Full {
                looked = Instant::now();
                let overflow = self.confined.as_ref().and_then(Confined::scratch_overflow);
                if let Some(bytes) = overflow {
                    watch.broken.get_or_insert(format!("{bytes} bytes are in its scratch folder"));
                }
            }
            if cut_short.is_none() {
                let why = match () {
                    () if over => Some(Finish::TimedOut),
                    () if stop() => Some(Finish::Stopped),
                    // What it is to be told for is in `broken`.
                    () if watch.broken.is_some() => Some(Finish::Stopped),
                    () => None,
                };
                if let Some(why) = why {
                    // Where nobody is there to be told, the next answer says so.
                    let _ = send(&self.socket, &json!({ "op": "kill" }), &[]);
                    cut_short = Some((why, Instant::now()));
                }
            } else if cut_short.is_some_and(|(_, since)| since.elapsed() > KILL_WALL) {
                return Err(WorkerError::Silent { within: KILL_WALL });
            }
            let wait = LOOK.min(limits.wall.saturating_sub(start.elapsed()).max(Duration::from_millis(1)));
            if watch.step(&self.socket, wait, sink)? {
                match self.answer(KILL_WALL) {
                    Ok(Answer::Ended(word)) if word.run == self.runs => break word,
                    Ok(Answer::Ended(_) | Answer::Ready(_)) => {
                        return Err(WorkerError::Died { why: "it spoke out of turn".into() });
                    }
                    // Nobody is left who could write; what the run has told holds.
                    Err(error @ WorkerError::Died { .. }) => {
                        watch.rest(sink)?;
                        return Ok(watch.lost(start.elapsed(), error.to_string()));
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let wall = start.elapsed();
        watch.rest(sink)?;
        let cpu = Duration::from_micros(word.cpu_us);
        let finish = match cut_short {
            Some((why, _)) => why,
            None => match finish(word.status) {
                // The kernel's own limit; it kills whoever does not listen.
                Finish::Signal(24) => Finish::CpuLimit,
                Finish::Signal(9) if cpu >= limits.cpu => Finish::CpuLimit,
                other => other,
            },
        };
        if finish == Finish::Code(NOT_STARTED) {
            return Err(WorkerError::NotConfined { why: watch.err.text() });
        }
        Ok(Ended {
            finish,
            cpu,
            wall,
            peak_bytes: word.peak_kib * 1024,
            log: Log { stdout: watch.out.text(), stderr: watch.err.text() },
            broken: watch.broken,
            dumped_core: word.status & 0x80 != 0,
            lost: None,
            clean: word.clean,
        })
    }

    /// What whoever waits for a run waits for.
    fn what(&mut self, work: &Work) -> String {
        match self.confined.as_mut().and_then(|confined| confined.child().pid()) {
            Some(pid) => format!("child {pid} of {work}"),
            None => format!("the child of {work}"),
        }
    }

    /// Whether it can do more after `ended`.
    pub fn is_reusable_after(&self, ended: &Ended) -> bool {
        ended.clean
    }

    fn give(&mut self, data: &BarsImage) -> Result<(), WorkerError> {
        if self.known.contains(&data.id) {
            return Ok(());
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
            send(&self.socket, &json!({ "op": "forget" }), &[])?;
        }
        let (rows, starts) = (data.bars.rows, data.bars.starts);
        let order = json!({ "op": "data", "id": data.id, "name": data.name, "rows": rows, "starts": starts });
        let fds: Vec<BorrowedFd<'_>> =
            [Some(&data.bars.file), data.text.as_ref()].into_iter().flatten().map(AsFd::as_fd).collect();
        send(&self.socket, &order, &fds)?;
        self.known.insert(data.id);
        Ok(())
    }

    /// The server's next word.
    fn answer(&mut self, within: Duration) -> Result<Answer, WorkerError> {
        let until = Instant::now() + within;
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            let left = until.saturating_duration_since(Instant::now());
            match rustix::event::poll(&mut fds, Some(&timespec(left))) {
                Ok(0) => return Err(WorkerError::Silent { within }),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut bytes = vec![0; PACKET_BYTES];
        let (count, _) = match rustix::net::recv(&self.socket, bytes.as_mut_slice(), RecvFlags::empty()) {
            Ok(count) => count,
            Err(Errno::CONNRESET) => (0, 0),
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            return Err(self.post_mortem());
        }
        serde_json::from_slice(&bytes[..count]).map_err(|e| WorkerError::Died { why: format!("it said {e}") })
    }

    /// Why the server is gone.
    fn post_mortem(&mut self) -> WorkerError {
        let Some(confined) = self.confined.take() else {
            return WorkerError::Died { why: "before".into() };
        };
        match confined.wait() {
            Ok(outcome) => {
                let text = outcome.exit.stderr.text();
                let mut said: Vec<&str> = text.lines().rev().take(3).collect();
                said.reverse();
                let ending = outcome.exit.ending.to_string();
                let why = if said.is_empty() { ending } else { format!("{ending}: {}", said.join(" | ")) };
                WorkerError::Died { why }
            }
            Err(error) => error.into(),
        }
    }
}

fn finish(status: i32) -> Finish {
    // As `wait` puts it: the signal in the low seven bits, else the code above.
    match status & 0x7f {
        0 => Finish::Code((status >> 8) & 0xff),
        signal => Finish::Signal(signal),
    }
}

fn config(cage: &Cage, engine: &Engine, preload: &[String]) -> Value {
    let hex: String = cage.program.iter().map(|byte| format!("{byte:02x}")).collect();
    let package = match engine {
        Engine::Original => None,
        Engine::Folder { path, .. } => Some(path.display().to_string()),
    };
    let optional: Vec<&str> = ["talib"].into_iter().chain(preload.iter().map(String::as_str)).collect();
    json!({
        "sources": SOURCES,
        "package": package,
        "required": ["numpy", "pandas", "backtesting"],
        "optional": optional,
        "tables": TABLES,
        "cage": hex,
        "pid_mark": cage.pid_mark,
    })
}

fn job(environment: &Environment, engine: &Engine, socket: OwnedFd) -> Job {
    let args = ["-B", "-s", "-X", "utf8", "-c", BOOT].map(str::to_owned);
    let mut job = Job::new(&environment.python).args(args);
    job.read_only.extend(environment.folders.iter().cloned());
    if let Engine::Folder { path, rules } = engine {
        job.read_only.push(path.clone());
        job.env.push(("BACKTESTING_RULES".into(), rules.into()));
    }
    // One thread each: the runs share the processors. And one order of sets, so that runs repeat.
    let threads = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"].map(|name| (name, "1"));
    let more = [("PYTHONHASHSEED", "0"), ("MPLBACKEND", "Agg"), ("TZ", "UTC")];
    job.env.extend(threads.into_iter().chain(more).map(|(name, value)| (name.into(), value.into())));
    job.pass.push((SOCKET, socket));
    job.server = true;
    job.allowance = Allowance {
        wall: Duration::MAX,
        cpu: Duration::MAX,
        memory_bytes: WORKER_BYTES,
        address_space_bytes: 8 << 30,
        open_files: 256,
        tasks: 64,
        output_bytes: 64 << 10,
        ..Allowance::default()
    };
    job
}

fn send(socket: &OwnedFd, message: &Value, fds: &[BorrowedFd<'_>]) -> Result<(), WorkerError> {
    let text = message.to_string();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
    }
    let parts = [IoSlice::new(text.as_bytes())];
    loop {
        match rustix::net::sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().min(1 << 30) as i64, tv_nsec: time.subsec_nanos().into() }
}

/// Where a run writes; each is none once it has ended.
struct Streams {
    results: Option<OwnedFd>,
    out: Option<OwnedFd>,
    err: Option<OwnedFd>,
}

/// What has come of a run so far.
struct Watch {
    streams: Streams,
    frames: Frames,
    out: Bounded,
    err: Bounded,
    results_left: usize,
    broken: Option<String>,
}

impl Watch {
    /// The end of a run whose worker ended.
    fn lost(self, wall: Duration, why: String) -> Ended {
        Ended {
            finish: Finish::Signal(9),
            cpu: Duration::ZERO,
            wall,
            peak_bytes: 0,
            log: Log { stdout: self.out.text(), stderr: self.err.text() },
            broken: self.broken,
            dumped_core: false,
            lost: Some(why),
            clean: false,
        }
    }

    /// Waits for something, takes what is there; true when the server has something to say.
    fn step(
        &mut self,
        socket: &OwnedFd,
        wait: Duration,
        sink: &mut dyn FnMut(Message),
    ) -> Result<bool, WorkerError> {
        let streams = [&self.streams.results, &self.streams.out, &self.streams.err];
        let mut fds = vec![PollFd::new(socket, PollFlags::IN)];
        let mut places = Vec::new();
        for (place, stream) in streams.into_iter().enumerate() {
            if let Some(fd) = stream {
                fds.push(PollFd::new(fd, PollFlags::IN));
                places.push(place);
            }
        }
        match rustix::event::poll(&mut fds, Some(&timespec(wait))) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        for (place, _) in places.into_iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            self.read(place, sink)?;
        }
        Ok(ready[0])
    }

    /// Takes what is in a pipe, which is known not to be empty; false at its end.
    fn read(&mut self, place: usize, sink: &mut dyn FnMut(Message)) -> Result<bool, WorkerError> {
        let stream = match place {
            0 => &mut self.streams.results,
            1 => &mut self.streams.out,
            _ => &mut self.streams.err,
        };
        let Some(fd) = stream else { return Ok(false) };
        let mut bytes = vec![0; 1 << 16];
        let count = match rustix::io::read(&*fd, bytes.as_mut_slice()) {
            Ok(count) => count,
            Err(Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            *stream = None;
            return Ok(false);
        }
        match place {
            0 => self.results(&bytes[..count], sink),
            1 => self.out.push(&bytes[..count]),
            _ => self.err.push(&bytes[..count]),
        }
        Ok(true)
    }

    fn results(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Message)) {
        if self.broken.is_some() {
            return;
        }
        match self.results_left.checked_sub(bytes.len()) {
            Some(left) => self.results_left = left,
            None => {
                self.broken = Some("they are longer than allowed".into());
                return;
            }
        }
        self.frames.push(bytes);
        loop {
            match self.frames.next() {
                Ok(Some(message)) => sink(message),
                Ok(None) => return,
                Err(problem) => {
                    self.broken = Some(problem);
                    return;
                }
            }
        }
    }

    /// What is left in the pipes of a run that has ended: nobody can write any more.
    fn rest(&mut self, sink: &mut dyn FnMut(Message)) -> Result<(), WorkerError> {
        for place in 0..3 {
            while self.read(place, sink)? {}
        }
        Ok(())
    }
}
