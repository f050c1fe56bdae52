//! The children of this process: who waits, who runs, how many at once.

use super::{
    error::ProcessError,
    exit::{Cause, Ending, Exit, Usage},
    handle::{Cell, Child},
    pipe::Channel,
    progress::{Decoder, Progress},
    pump::{self, Pump, Sinks},
    spec::{ChildOptions, ChildSpec, EXTRA_FDS, Input, Limits, Output, has_nul},
    stream::{Buffer, ChildInput, ChildOutput},
    warden::tree,
};
use crate::sync::Mutex;
use crate::{
    BadWeight, CancelHook, Label, Priority, Weights,
    listed::{self, Listed},
    lock,
    observe::{Component, Condition},
    policy::{FlowId, Policy, PolicyConfig},
};
use std::{
    collections::{HashMap, VecDeque},
    ffi::OsString,
    fmt, io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How to start the warden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WardenProgram {
    /// A program whose `main` calls [`enter`](super::enter) first.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl Default for WardenProgram {
    /// This program itself.
    fn default() -> Self {
        Self { path: "/proc/self/exe".into(), args: vec![super::WARDEN_ARG.into()] }
    }
}

/// Settings of [`Children`].
#[derive(Clone, Debug, PartialEq)]
pub struct ChildrenConfig {
    /// Most children running at a time; the others wait. More than there are processors only adds latency,
    /// unless the children wait themselves.
    pub at_once: usize,
    /// Shares of the classes, in processor time of their children, while more wait than may run.
    pub weights: Weights,
    /// The warden's program.
    pub warden: WardenProgram,
}

impl Default for ChildrenConfig {
    /// As many as there are processors; weights 0.4/0.3/0.2/0.1; this program as warden.
    fn default() -> Self {
        Self {
            at_once: thread::available_parallelism().map_or(1, usize::from),
            weights: Weights::default(),
            warden: WardenProgram::default(),
        }
    }
}

/// Why [`Children`] could not be created.
#[derive(Debug, thiserror::Error)]
pub enum ChildrenError {
    /// A weight is unusable.
    #[error(transparent)]
    Weight(#[from] BadWeight),
    /// The warden did not start.
    #[error(transparent)]
    Warden(#[from] ProcessError),
    /// The system refused a thread or a descriptor.
    #[error("cannot watch children: raise the limits on threads and open files")]
    System(#[from] io::Error),
}

/// Starts child processes and watches them. One thread moves their bytes, a small process of its own (the
/// warden) starts and ends them. Dropping it ends all children and waits for that.
pub struct Children {
    shared: Arc<Shared>,
    pump: Option<JoinHandle<()>>,
    capabilities: Capabilities,
}

/// What this machine offers for ending whole trees of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Descendants whose parents ended become the warden's children (`PR_SET_CHILD_SUBREAPER`).
    pub subreaper: bool,
    /// The kernel lists a process's children (`/proc/PID/task/PID/children`); otherwise all processes are
    /// searched, which is slower.
    pub children_file: bool,
    /// Descendants can be told apart by a resource limit that names their child; otherwise a detached
    /// descendant ends with whichever child ends first.
    pub tags: bool,
}

impl Children {
    /// Starts the warden and the thread.
    ///
    /// # Errors
    /// When a weight is unusable or the system refuses.
    pub fn new(config: ChildrenConfig) -> Result<Self, ChildrenError> {
        let policy = Policy::new(PolicyConfig { weights: config.weights, ..PolicyConfig::default() })?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                policy,
                queues: Vec::new(),
                entries: HashMap::new(),
                live: 0,
                at_once: config.at_once.max(1),
                pace: Duration::MAX,
                commands: Vec::new(),
                closed: false,
                counts: ChildCounts::default(),
            }),
            wake: pump::wake_fd()?,
            awake: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
            health: Mutex::default(),
        });
        let weak = Arc::downgrade(&shared);
        listed::list(weak);
        let (pump, capabilities) = Pump::new(Arc::clone(&shared), config.warden)?;
        let pump = thread::Builder::new().name("children".into()).spawn(move || pump.run())?;
        Ok(Self { shared, pump: Some(pump), capabilities })
    }

    /// Asks for a child. It starts when a place is free; this call does not wait.
    ///
    /// # Errors
    /// When the program cannot be found, the specification makes no sense, or this is being shut down.
    pub fn spawn(&self, spec: ChildSpec, options: ChildOptions) -> Result<Child, ProcessError> {
        let path = check(&spec)?;
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let cell = Arc::new(Cell::default());
        let (order, streams) = self.prepare(id, path, spec, &cell);
        let ChildOptions { label, priority, owner, cancel } = options;
        let weak = Arc::downgrade(&self.shared);
        {
            let mut state = lock(&self.shared.state);
            if state.closed {
                return Err(ProcessError::Closed);
            }
            let flow = state.policy.open(priority, owner);
            state.policy.arrive(flow, 1);
            if state.queues.len() <= flow.index() {
                state.queues.resize_with(flow.index() + 1, VecDeque::new);
            }
            state.queues[flow.index()].push_back(id);
            let entry = Entry {
                label,
                priority,
                owner,
                flow,
                charge: 0,
                since: Instant::now(),
                program: order.path.clone(),
                folder: order.folder.clone(),
                limits: order.limits.clone(),
                closing: false,
                phase: Phase::Queued(Box::new(order)),
                cell: Arc::clone(&cell),
                hook: None,
            };
            state.entries.insert(id, entry);
        }
        let hook = cancel.on_cancel(move || {
            if let Some(shared) = weak.upgrade() {
                shared.stop(id, Cause::Cancelled);
            }
        });
        if let Some(entry) = lock(&self.shared.state).entries.get_mut(&id) {
            entry.hook = Some(hook);
        }
        self.shared.wake();
        let Streams { stdin, stdout, stderr, results } = streams;
        Ok(Child { id, shared: Arc::clone(&self.shared), cell, stdin, stdout, stderr, results })
    }

    fn prepare(&self, id: u64, path: PathBuf, spec: ChildSpec, cell: &Arc<Cell>) -> (Order, Streams) {
        let buffer = |limit: usize, channel: Channel| {
            let weak = Arc::downgrade(&self.shared);
            Buffer::new(limit, move || {
                if let Some(shared) = weak.upgrade() {
                    shared.command(Command::Look(id, channel));
                }
            })
        };
        let mut streams = Streams::default();
        let mut sinks = Sinks::default();
        if let Input::Stream { buffer_bytes } = spec.stdin {
            let shared = buffer(buffer_bytes, Channel::Stdin);
            streams.stdin = Some(ChildInput::new(Arc::clone(&shared)));
            sinks.stdin = Some(shared);
        }
        if let Output::Stream { buffer_bytes } = spec.stdout {
            let shared = buffer(buffer_bytes, Channel::Stdout);
            streams.stdout = Some(ChildOutput::new(Arc::clone(&shared)));
            sinks.stdout = Some(shared);
        }
        if let Output::Stream { buffer_bytes } = spec.stderr {
            let shared = buffer(buffer_bytes, Channel::Stderr);
            streams.stderr = Some(ChildOutput::new(Arc::clone(&shared)));
            sinks.stderr = Some(shared);
        }
        if let Some((_, Output::Stream { buffer_bytes })) = spec.results {
            let shared = buffer(buffer_bytes, Channel::Results);
            streams.results = Some(ChildOutput::new(Arc::clone(&shared)));
            sinks.results = Some(shared);
        }
        if let Some(channel) = spec.progress {
            *lock(&cell.progress) = Some(Decoder::new(channel.line_bytes_max, channel.events_max));
        }
        let arg0 = spec.arg0.unwrap_or_else(|| spec.program.into_os_string());
        let order = Order {
            path,
            argv: [arg0].into_iter().chain(spec.args).collect(),
            env: spec.env,
            folder: spec.folder,
            stdin: spec.stdin,
            stdout: spec.stdout,
            stderr: spec.stderr,
            results: spec.results,
            progress_fd: spec.progress.map(|channel| channel.fd),
            pass: spec.pass,
            limits: spec.limits,
            sinks,
        };
        (order, streams)
    }

    /// All children that wait or run.
    pub fn snapshot(&self) -> ChildrenSnapshot {
        self.shared.snapshot()
    }

    /// What this machine offers; fixed at the start.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Tells of the warden through `component` from now on: whether one is there, and why the last one is not.
    pub fn watch(&self, component: Component) {
        component.ok();
        *lock(&self.shared.health) = Some(component);
    }

    /// Changes how many run at a time, at least one. Running children are left alone.
    pub fn set_at_once(&self, at_once: usize) {
        lock(&self.shared.state).at_once = at_once.max(1);
        self.shared.wake();
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.wake();
        if let Some(pump) = self.pump.take()
            && pump.join().is_err()
        {
            debug_assert!(thread::panicking(), "the thread that moves children's bytes panicked");
        }
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Children").finish_non_exhaustive()
    }
}

impl Shared {
    fn snapshot(&self) -> ChildrenSnapshot {
        let state = lock(&self.state);
        let mut children: Vec<ChildState> = state.entries.iter().map(|(id, entry)| entry.show(*id)).collect();
        let counts = state.counts;
        drop(state);
        children.sort_by_key(|child| child.id);
        let mut census = tree::Census::new();
        children.iter_mut().for_each(|child| child.measure(&mut census));
        ChildrenSnapshot { children, counts }
    }
}

impl Listed for Shared {
    fn entry(&self) -> listed::Entry {
        listed::Entry::Children(self.snapshot())
    }
}

#[derive(Default)]
struct Streams {
    stdin: Option<ChildInput>,
    stdout: Option<ChildOutput>,
    stderr: Option<ChildOutput>,
    results: Option<ChildOutput>,
}

/// Finds the program and what cannot be carried out.
fn check(spec: &ChildSpec) -> Result<PathBuf, ProcessError> {
    let bad = |problem: String| ProcessError::BadSpec { program: spec.program.clone(), problem };
    let env = spec.env.iter().flat_map(|(name, value)| [name, value]);
    let folder = spec.folder.iter().map(|f| f.as_os_str());
    let mut texts = spec.args.iter().chain(&spec.arg0).chain(env).map(AsRef::as_ref).chain(folder);
    if texts.any(has_nul) || has_nul(spec.program.as_os_str()) {
        return Err(bad("an argument, variable or path holds a NUL byte".into()));
    }
    if let Some((name, _)) =
        spec.env.iter().find(|(name, _)| name.is_empty() || name.as_encoded_bytes().contains(&b'='))
    {
        return Err(bad(format!("`{}` is no name for a variable", name.display())));
    }
    let mut numbers: Vec<u8> = spec.pass.iter().map(|(number, _)| *number).collect();
    numbers.extend(spec.progress.map(|channel| channel.fd));
    numbers.extend(spec.results.as_ref().map(|(number, _)| *number));
    if let Some(number) = numbers.iter().find(|n| !EXTRA_FDS.contains(n)) {
        return Err(bad(format!("descriptor {number}: only 3 to {} can be given", EXTRA_FDS.end - 1)));
    }
    numbers.sort_unstable();
    if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(bad("two descriptors have the same number".into()));
    }
    let searched = || ProcessError::NotFound { program: spec.program.clone(), searched: spec.search.clone() };
    spec.resolve().ok_or_else(searched)
}

/// Children this short leave a place idle for a good part of their time while word goes around that it is
/// free; the next child then waits beside the place.
const SHORT: Duration = Duration::from_millis(10);
/// How many wait there.
const DECK: usize = 2;

/// When a child starts, seen from the warden.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) at_once: u32,
    pub(crate) urgent: bool,
}

/// What the pump needs to start a child.
pub(crate) struct Order {
    pub(crate) path: PathBuf,
    pub(crate) argv: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) stdin: Input,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    pub(crate) results: Option<(u8, Output)>,
    pub(crate) progress_fd: Option<u8>,
    pub(crate) pass: Vec<(u8, OwnedFd)>,
    pub(crate) limits: Limits,
    pub(crate) sinks: Sinks,
}

/// What owners and the pump share.
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) wake: OwnedFd,
    /// The pump has been woken and has not looked yet.
    awake: AtomicBool,
    next_id: AtomicU64,
    health: Mutex<Option<Component>>,
}

pub(crate) struct State {
    policy: Policy,
    /// Waiting children by flow.
    queues: Vec<VecDeque<u64>>,
    pub(crate) entries: HashMap<u64, Entry>,
    /// Started, or handed to the warden to be.
    live: usize,
    at_once: usize,
    /// Running average of how long children take.
    pace: Duration,
    commands: Vec<Command>,
    pub(crate) closed: bool,
    pub(crate) counts: ChildCounts,
}

/// For the pump to do.
pub(crate) enum Command {
    Stop(u64, Cause),
    /// The other side of a stream has changed.
    Look(u64, Channel),
}

pub(crate) struct Entry {
    label: Label,
    priority: Priority,
    owner: u64,
    flow: FlowId,
    charge: u64,
    since: Instant,
    program: PathBuf,
    folder: Option<PathBuf>,
    pub(crate) limits: Limits,
    phase: Phase,
    /// Told to end because all are.
    closing: bool,
    pub(crate) cell: Arc<Cell>,
    hook: Option<CancelHook>,
}

enum Phase {
    Queued(Box<Order>),
    Started,
}

impl Entry {
    pub(super) fn label(&self) -> &Label {
        &self.label
    }

    pub(super) fn log(&self, exit: &Exit) {
        let (child, ending, cpu_ms) = (&self.label, &exit.ending, exit.usage.cpu().as_millis() as u64);
        match ending {
            Ending::Code(0) => tracing::debug!(%child, %ending, cpu_ms, "child process ended"),
            _ => tracing::info!(
                %child,
                %ending,
                cpu_ms,
                descendants_ended = exit.descendants_ended,
                survivors = exit.survivors,
                "child process ended"
            ),
        }
    }

    /// Program and working folder, for an error message.
    pub(crate) fn place(&self) -> (PathBuf, Option<PathBuf>) {
        (self.program.clone(), self.folder.clone())
    }

    fn show(&self, id: u64) -> ChildState {
        ChildState {
            id,
            label: self.label.clone(),
            priority: self.priority,
            owner: self.owner,
            pid: self.cell.pid(),
            elapsed: self.since.elapsed(),
            cpu: Duration::ZERO,
            resident_bytes: 0,
            processes: 0,
            progress: lock(&self.cell.progress).as_ref().and_then(|decoder| decoder.report.last.clone()),
        }
    }
}

impl Shared {
    /// What whoever waits for a child waits for.
    pub(crate) fn what(&self, id: u64) -> Label {
        let state = lock(&self.state);
        let Some(entry) = state.entries.get(&id) else { return "a child that has ended".into() };
        match entry.cell.pid() {
            Some(pid) => format!("child {pid} `{}`", entry.label).into(),
            None => format!("child `{}`", entry.label).into(),
        }
    }

    /// Tells of the warden: none is there when there is a reason.
    pub(crate) fn tell_health(&self, without: Option<(Condition, String)>) {
        if let Some(component) = &*lock(&self.health) {
            match without {
                None => component.ok(),
                Some((condition, why)) => component.set(condition, why),
            }
        }
    }

    /// Makes the pump look at the state.
    pub(crate) fn wake(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            // Fails only when the counter is full, and then the pump is awake.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    /// For the pump, before it looks at the state: later changes wake it again.
    pub(crate) fn heard(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        self.awake.store(false, Ordering::Release);
    }

    fn command(&self, command: Command) {
        lock(&self.state).commands.push(command);
        self.wake();
    }

    /// Ends a child, whether it waits or runs; nothing happens when it has ended.
    pub(crate) fn stop(&self, id: u64, cause: Cause) {
        let withdrawn = lock(&self.state).withdraw(id);
        match withdrawn {
            Some(entry) => entry.cell.finish(Err(ProcessError::Cancelled)),
            None => self.command(Command::Stop(id, cause)),
        }
    }
}

impl State {
    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Takes a child out of the queue.
    fn withdraw(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.get(&id)?;
        if !matches!(entry.phase, Phase::Queued(_)) {
            return None;
        }
        let entry = self.entries.remove(&id)?;
        self.queues[entry.flow.index()].retain(|queued| *queued != id);
        self.policy.withdraw(entry.flow, 1);
        self.policy.close(entry.flow);
        self.counts.cancelled += 1;
        Some(entry)
    }

    /// All that wait.
    pub(crate) fn withdraw_all(&mut self) -> Vec<Entry> {
        let queued = |entry: &Entry| matches!(entry.phase, Phase::Queued(_));
        let ids: Vec<u64> = self.entries.iter().filter(|(_, e)| queued(e)).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.withdraw(id)).collect()
    }

    /// All that were started and are not over.
    pub(crate) fn started(&self) -> Vec<u64> {
        let started = |entry: &Entry| matches!(entry.phase, Phase::Started);
        self.entries.iter().filter(|(_, entry)| started(entry)).map(|(id, _)| *id).collect()
    }

    /// Those of them that were not told yet that all are being ended.
    pub(crate) fn tell_closing(&mut self) -> Vec<u64> {
        let fresh = |entry: &mut Entry| !std::mem::replace(&mut entry.closing, true);
        self.entries.iter_mut().filter_map(|(id, entry)| fresh(entry).then_some(*id)).collect()
    }

    /// The child to start now, if there is a place and one waits.
    pub(crate) fn next(&mut self) -> Option<(u64, Order, Arc<Cell>, Turn)> {
        let deck = if self.pace < SHORT { DECK } else { 0 };
        if self.live >= self.at_once + deck {
            return None;
        }
        let decision = self.policy.decide(1)?;
        let id = self.queues[decision.flow.index()].pop_front()?;
        self.live += 1;
        let entry = self.entries.get_mut(&id)?;
        entry.charge = decision.charge_each;
        entry.since = Instant::now();
        match std::mem::replace(&mut entry.phase, Phase::Started) {
            Phase::Queued(order) => {
                let at_once = u32::try_from(self.at_once).unwrap_or(u32::MAX);
                let urgent = entry.priority == Priority::Critical;
                Some((id, *order, Arc::clone(&entry.cell), Turn { at_once, urgent }))
            }
            Phase::Started => None,
        }
    }

    /// A started child is over.
    pub(crate) fn remove(&mut self, id: u64, usage: Option<&Usage>) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.live -= 1;
        match usage {
            Some(usage) => {
                let cost = u64::try_from(usage.cpu().as_nanos()).unwrap_or(u64::MAX).max(1);
                self.policy.settle(entry.flow, 1, entry.charge, cost);
                self.pace = match self.pace {
                    Duration::MAX => usage.wall,
                    pace => (pace * 7 + usage.wall) / 8,
                };
            }
            None => self.policy.forfeit(entry.flow, 1, entry.charge),
        }
        self.policy.close(entry.flow);
        Some(entry)
    }
}

/// One child that waits or runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildState {
    /// As [`Child::id`].
    pub id: u64,
    /// The name given when it was asked for.
    pub label: Label,
    /// Its class.
    pub priority: Priority,
    /// Its owner.
    pub owner: u64,
    /// Its process id; `None` while it waits.
    pub pid: Option<u32>,
    /// Time since it started, or since it was asked for while it waits.
    pub elapsed: Duration,
    /// Processor time so far, of the process and all that descend from it, but for those that have left its tree.
    pub cpu: Duration,
    /// Their resident memory; pages that several of them share count once, up to a gigabyte of all children's.
    pub resident_bytes: u64,
    /// How many they are; 0 while it waits.
    pub processes: u32,
    /// The last progress it told.
    pub progress: Option<Progress>,
}

impl ChildState {
    fn measure(&mut self, census: &mut tree::Census) {
        let Some(usage) = self.pid.and_then(|pid| census.usage(pid)) else { return };
        let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        self.cpu = Duration::from_nanos(usage.cpu_ticks * tick_ns);
        self.resident_bytes = usage.resident_bytes;
        self.processes = usage.processes;
    }
}

/// All children at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildrenSnapshot {
    /// Those that wait or run, oldest first.
    pub children: Vec<ChildState>,
    /// What became of the others.
    pub counts: ChildCounts,
}

/// What became of children, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildCounts {
    /// Started.
    pub started: u64,
    /// Left with exit code 0.
    pub succeeded: u64,
    /// Left with another code or by a signal.
    pub failed: u64,
    /// Ended at a limit, or by the kernel for want of memory.
    pub limited: u64,
    /// Cancelled, while running or before.
    pub cancelled: u64,
    /// Could not be started.
    pub not_started: u64,
    /// Lost with a warden.
    pub lost: u64,
    /// Bytes of output read and dropped.
    pub output_dropped_bytes: u64,
    /// Descendants that outlived their child and were ended.
    pub descendants_ended: u64,
    /// Descendants that could not be ended.
    pub survivors: u64,
    /// Wardens started beyond the first.
    pub warden_restarts: u64,
}

impl ChildCounts {
    pub(crate) fn add_failure(&mut self, error: &ProcessError) {
        match error {
            ProcessError::Lost => self.lost += 1,
            ProcessError::Cancelled => self.cancelled += 1,
            _ => self.not_started += 1,
        }
    }

    pub(crate) fn add(&mut self, exit: &Exit) {
        let cell = match exit.ending {
            Ending::Code(0) => &mut self.succeeded,
            Ending::Code(_) | Ending::Signal(_) | Ending::Stuck => &mut self.failed,
            Ending::Cancelled => &mut self.cancelled,
            Ending::WallLimit { .. }
            | Ending::CpuLimit { .. }
            | Ending::MemoryLimit { .. }
            | Ending::OutputLimit { .. }
            | Ending::FileSizeLimit { .. }
            | Ending::OutOfMemory => &mut self.limited,
        };
        *cell += 1;
        self.output_dropped_bytes += exit.stdout.dropped + exit.stderr.dropped + exit.results.dropped;
        self.descendants_ended += u64::from(exit.descendants_ended);
        self.survivors += u64::from(exit.survivors);
    }
}
