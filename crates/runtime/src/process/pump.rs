//! The thread that has children started by the warden, moves their bytes and tells their owners.

use super::{
    children::{Capabilities, ChildrenError, Command, Order, Shared, Turn, WardenProgram},
    client::{Client, Heard},
    error::{ProcessError, start_error},
    exit::{Captured, Cause, Evidence, Exit, Status, Usage, ending},
    handle::Cell,
    link,
    pipe::{Channel, Keep, Pipe, Sink},
    signals::block_sigpipe,
    spec::{Input, Limits, Output},
    stream::Buffer,
    wire::{Ended, Reply, Request, SpawnRequest, WatchLimits},
};
use crate::{lock, observe::Condition};
use rustix::{
    event::{EventfdFlags, epoll},
    io::Errno,
    pipe::PipeFlags,
};
use std::{
    collections::HashMap,
    ffi::{CString, OsString},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    sync::Arc,
    time::Duration,
};

/// Bytes moved at a time.
const BLOCK: usize = 64 << 10;

const KEY_WAKE: u64 = u64::MAX;
const KEY_WARDEN: u64 = u64::MAX - 1;

/// The buffers of streams that an owner reads or writes.
#[derive(Default)]
pub(crate) struct Sinks {
    pub(crate) stdin: Option<Arc<Buffer>>,
    pub(crate) stdout: Option<Arc<Buffer>>,
    pub(crate) stderr: Option<Arc<Buffer>>,
    pub(crate) results: Option<Arc<Buffer>>,
}

/// A descriptor on which the pump is woken.
pub(crate) fn wake_fd() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

pub(crate) struct Pump {
    shared: Arc<Shared>,
    epoll: OwnedFd,
    program: WardenProgram,
    warden: Option<Client>,
    /// The socket to the warden is watched for room, too.
    awaits_room: bool,
    pipes: HashMap<u64, Pipe>,
    /// What was kept of outputs that ended before their child did.
    kept: HashMap<u64, [Captured; 3]>,
    block: Vec<u8>,
    letter: Vec<u8>,
}

impl Pump {
    pub(crate) fn new(
        shared: Arc<Shared>,
        program: WardenProgram,
    ) -> Result<(Self, Capabilities), ChildrenError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        watch(&epoll, &shared.wake, KEY_WAKE)?;
        let mut pump = Self {
            shared,
            epoll,
            program,
            warden: None,
            awaits_room: false,
            pipes: HashMap::new(),
            kept: HashMap::new(),
            block: vec![0; BLOCK],
            letter: vec![0; link::INLINE_MAX + 1],
        };
        let capabilities = pump.start_warden()?;
        Ok((pump, capabilities))
    }

    /// Runs until closed and all children have ended.
    pub(crate) fn run(mut self) {
        block_sigpipe();
        let mut events = Vec::with_capacity(64);
        while !self.is_over() {
            events.clear();
            let waited = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None);
            debug_assert!(matches!(waited, Ok(_) | Err(Errno::INTR)), "{waited:?}");
            for event in &events {
                match event.data.u64() {
                    KEY_WAKE => self.shared.heard(),
                    KEY_WARDEN => self.hear_warden(),
                    key => self.advance(key),
                }
            }
            self.obey();
            self.start_waiting();
            self.await_room();
        }
        if let Some(warden) = self.warden.take() {
            warden.close();
        }
    }

    fn is_over(&self) -> bool {
        let state = lock(&self.shared.state);
        state.closed && state.entries.is_empty()
    }

    /// Carries out what owners asked for; once closed, ends everything.
    fn obey(&mut self) {
        let (commands, withdrawn, closing) = {
            let mut state = lock(&self.shared.state);
            let commands = state.take_commands();
            if state.closed {
                (commands, state.withdraw_all(), state.tell_closing())
            } else {
                (commands, vec![], vec![])
            }
        };
        withdrawn.into_iter().for_each(|entry| entry.cell.finish(Err(ProcessError::Closed)));
        for command in commands {
            match command {
                Command::Stop(id, cause) => self.stop(id, cause),
                Command::Look(id, channel) => self.advance(channel.key(id)),
            }
        }
        closing.into_iter().for_each(|id| self.stop(id, Cause::Cancelled));
    }

    fn stop(&mut self, id: u64, cause: Cause) {
        let is_known = lock(&self.shared.state).entries.contains_key(&id);
        if let (true, Some(warden)) = (is_known, &mut self.warden) {
            // A message this small is never refused.
            let _ = warden.tell(&Request::Stop { id, cause }, Vec::new());
        }
    }

    fn start_waiting(&mut self) {
        loop {
            let next = lock(&self.shared.state).next();
            let Some((id, order, cell, turn)) = next else { return };
            if let Err(error) = self.start(id, order, &cell, turn) {
                self.fail(id, error);
            }
        }
    }

    fn start(&mut self, id: u64, order: Order, cell: &Arc<Cell>, turn: Turn) -> Result<(), ProcessError> {
        if self.warden.is_none() {
            let started = self.start_warden();
            let failed = |error: &ProcessError| (Condition::Failed, error.to_string());
            self.shared.tell_health(started.as_ref().err().map(failed));
            started?;
            lock(&self.shared.state).counts.warden_restarts += 1;
        }
        let program = order.path.clone();
        let refused = |what: &str, source: io::Error| ProcessError::Start {
            program: program.clone(),
            what: what.into(),
            source,
        };
        let (request, fds) = self
            .open(id, order, cell, turn)
            .map_err(|e| refused("its pipes could not be made; raise `ulimit -n` or run fewer at once", e))?;
        let Some(warden) = &mut self.warden else { return Err(ProcessError::Lost) };
        warden
            .tell(&Request::Spawn(request), fds)
            .map_err(|e| refused("its arguments could not be handed over", e))?;
        lock(&self.shared.state).counts.started += 1;
        Ok(())
    }

    /// Makes the child's pipes: the request, with its ends of them; ours are under watch.
    fn open(
        &mut self,
        id: u64,
        order: Order,
        cell: &Arc<Cell>,
        turn: Turn,
    ) -> io::Result<(SpawnRequest, Vec<OwnedFd>)> {
        let mut fds: Vec<(u8, OwnedFd)> = order.pass;
        let Sinks { stdin, stdout, stderr, results } = order.sinks;
        match (order.stdin, stdin) {
            (Input::Bytes(bytes), _) => fds.push((0, link::sealed_file(&bytes)?)),
            (Input::Open(fd), _) => fds.push((0, fd)),
            (Input::Stream { .. }, Some(buffer)) => {
                fds.push((0, self.pipe(id, Channel::Stdin, Sink::Input(buffer, Vec::new()))?));
            }
            (Input::Empty | Input::Stream { .. }, _) => {}
        }
        let mut outputs =
            vec![(1, Channel::Stdout, order.stdout, stdout), (2, Channel::Stderr, order.stderr, stderr)];
        outputs.extend(order.results.map(|(number, output)| (number, Channel::Results, output, results)));
        for (number, channel, output, buffer) in outputs {
            match (output, buffer) {
                (Output::Keep { bytes, beyond }, _) => {
                    fds.push((number, self.pipe(id, channel, Sink::Keep(Keep::new(bytes, beyond)))?));
                }
                (Output::Stream { .. }, Some(buffer)) => {
                    fds.push((number, self.pipe(id, channel, Sink::Output(buffer))?));
                }
                (Output::Open(fd), _) => fds.push((number, fd)),
                (Output::Discard | Output::Stream { .. }, _) => {}
            }
        }
        if let Some(number) = order.progress_fd {
            fds.push((number, self.pipe(id, Channel::Progress, Sink::Progress(Arc::clone(cell)))?));
        }
        let (targets, fds) = fds.into_iter().unzip();
        let request = SpawnRequest {
            id,
            program: c_string(order.path.into_os_string()),
            argv: order.argv.into_iter().map(c_string).collect(),
            env: order.env.into_iter().map(|(name, value)| c_string(assignment(name, &value))).collect(),
            folder: order.folder.map_or_else(|| c"/".into(), |folder| c_string(folder.into_os_string())),
            targets,
            rlimits: rlimits(&order.limits),
            watch: watch_limits(&order.limits),
            at_once: turn.at_once,
            urgent: turn.urgent,
        };
        Ok((request, fds))
    }

    /// Makes a pipe, watches our end, returns the child's.
    fn pipe(&mut self, id: u64, channel: Channel, sink: Sink) -> io::Result<OwnedFd> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (ours, theirs) = if channel == Channel::Stdin { (writer, reader) } else { (reader, writer) };
        self.pipes.insert(channel.key(id), Pipe::new(ours, id, channel, sink, &self.epoll)?);
        Ok(theirs)
    }

    /// Moves what can be moved now through one pipe.
    fn advance(&mut self, key: u64) {
        let Some(pipe) = self.pipes.get_mut(&key) else { return };
        let is_open = pipe.advance(&self.epoll, &mut self.block);
        let (id, excess) = (pipe.id, pipe.excess());
        if !is_open {
            self.close(key);
        }
        if let Some((stream, limit_bytes)) = excess {
            self.stop(id, Cause::Output { stream, limit_bytes });
        }
    }

    fn close(&mut self, key: u64) {
        let Some(pipe) = self.pipes.remove(&key) else { return };
        let (id, stream) = (pipe.id, pipe.channel.output());
        if let (Some(captured), Some(stream)) = (pipe.close(), stream) {
            self.kept.entry(id).or_default()[stream as usize] = captured;
        }
    }

    fn hear_warden(&mut self) {
        loop {
            let Some(warden) = &mut self.warden else { return };
            warden.flush();
            match warden.hear(&mut self.letter) {
                Ok(Heard::Nothing) => return,
                Ok(Heard::Reply(reply)) => self.hear(reply),
                Ok(Heard::End) | Err(_) => self.lose_warden(),
            }
        }
    }

    fn hear(&mut self, reply: Reply) {
        match reply {
            Reply::Ready { .. } => {}
            Reply::Started { id, pid } => {
                if let Some(entry) = lock(&self.shared.state).entries.get(&id) {
                    entry.cell.set_pid(pid);
                }
            }
            Reply::NotStarted { id, step, errno } => {
                let found = lock(&self.shared.state).entries.get(&id).map(|entry| entry.place());
                if let Some((program, folder)) = found {
                    self.fail(id, start_error(program, folder.as_deref(), step, errno));
                }
            }
            Reply::Withdrawn { id } => self.fail(id, ProcessError::Cancelled),
            Reply::Ended(ended) => self.end(&ended),
        }
    }

    /// A child is gone: reads what it left and tells its owner.
    fn end(&mut self, ended: &Ended) {
        self.close(Channel::Stdin.key(ended.id));
        for channel in [Channel::Stdout, Channel::Stderr, Channel::Results, Channel::Progress] {
            let key = channel.key(ended.id);
            if let Some(pipe) = self.pipes.get_mut(&key) {
                pipe.last = true;
                self.advance(key);
            }
        }
        let [stdout, stderr, results] = self.kept.remove(&ended.id).unwrap_or_default();
        let usage = usage(ended);
        let Some(entry) = lock(&self.shared.state).remove(ended.id, Some(&usage)) else { return };
        let status = ended.status.map(Status::from_wait);
        let evidence =
            Evidence { cause: ended.cause, status, cpu: usage.cpu(), kernel_oom: ended.kernel_oom };
        let progress = lock(&entry.cell.progress).as_ref().map(|decoder| decoder.report.clone());
        let exit = Exit {
            ending: ending(evidence, &entry.limits),
            status,
            usage,
            stdout,
            stderr,
            results,
            progress: progress.unwrap_or_default(),
            descendants_ended: ended.descendants,
            survivors: ended.survivors,
        };
        entry.log(&exit);
        lock(&self.shared.state).counts.add(&exit);
        entry.cell.finish(Ok(exit));
    }

    /// A child never ran, or nobody knows what became of it.
    fn fail(&mut self, id: u64, error: ProcessError) {
        Channel::ALL.into_iter().for_each(|channel| self.close(channel.key(id)));
        self.kept.remove(&id);
        let entry = {
            let mut state = lock(&self.shared.state);
            state.counts.add_failure(&error);
            state.remove(id, None)
        };
        if let Some(entry) = entry {
            tracing::warn!(child = %entry.label(), %error, "child process failed");
            entry.cell.finish(Err(error));
        }
    }

    /// Watches the warden's socket for room while messages wait for it.
    fn await_room(&mut self) {
        let Some(warden) = &self.warden else { return };
        let full = warden.is_full();
        if full != self.awaits_room {
            let room = if full { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let key = epoll::EventData::new_u64(KEY_WARDEN);
            let modified = epoll::modify(&self.epoll, warden.socket(), key, epoll::EventFlags::IN | room);
            debug_assert!(modified.is_ok(), "{modified:?}");
            self.awaits_room = full;
        }
    }

    fn start_warden(&mut self) -> Result<Capabilities, ProcessError> {
        let (client, capabilities) = Client::start(&self.program, &mut self.letter)?;
        watch(&self.epoll, client.socket(), KEY_WARDEN).map_err(|source| ProcessError::Warden {
            program: self.program.path.clone(),
            what: "it cannot be listened to".into(),
            source: Some(source),
        })?;
        self.warden = Some(client);
        self.awaits_room = false;
        Ok(capabilities)
    }

    /// The warden is gone, and so are its children.
    fn lose_warden(&mut self) {
        if let Some(warden) = self.warden.take() {
            warden.close();
        }
        let ids = lock(&self.shared.state).started();
        let why = format!("the process that starts children ended, and {} of them with it", ids.len());
        // The next child gets a new one.
        self.shared.tell_health(Some((Condition::Degraded, why)));
        ids.into_iter().for_each(|id| self.fail(id, ProcessError::Lost));
    }
}

fn watch(epoll: &OwnedFd, fd: impl std::os::fd::AsFd, key: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, fd, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?)
}

/// Checked for NUL bytes when the child was asked for.
fn c_string(text: OsString) -> CString {
    CString::new(text.into_vec()).unwrap_or_default()
}

fn assignment(mut name: OsString, value: &OsString) -> OsString {
    name.push("=");
    name.push(value);
    name
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn watch_limits(limits: &Limits) -> WatchLimits {
    WatchLimits {
        wall_ns: nanoseconds(limits.wall),
        cpu_ns: limits.cpu.map_or(u64::MAX, nanoseconds),
        memory_bytes: limits.memory_bytes.unwrap_or(u64::MAX),
        grace_ns: nanoseconds(limits.grace),
    }
}

/// The kernel's own limits. That of processor time stands behind the watch, should it come too late: a second
/// after it the kernel signals, another second later it kills.
fn rlimits(limits: &Limits) -> Vec<(u32, u64, u64)> {
    let cpu_s = limits.cpu.map(|cpu| cpu.as_secs().saturating_add(2));
    let same = [
        // Never a core file: it may hold secrets and fill a disk. Not zero: with zero the kernel still pipes a
        // dump to a handler, where one is installed; with one it does not.
        (libc::RLIMIT_CORE, Some(1)),
        (libc::RLIMIT_AS, limits.address_space_bytes),
        (libc::RLIMIT_FSIZE, limits.file_bytes),
        (libc::RLIMIT_NOFILE, limits.open_files),
        (libc::RLIMIT_NPROC, limits.processes),
    ];
    let mut list: Vec<(u32, u64, u64)> =
        same.into_iter().filter_map(|(resource, value)| Some((resource, value?, value?))).collect();
    list.extend(cpu_s.map(|seconds| (libc::RLIMIT_CPU, seconds, seconds + 1)));
    list
}

fn usage(ended: &Ended) -> Usage {
    let cost = &ended.cost;
    Usage {
        wall: Duration::from_nanos(ended.wall_ns),
        user: Duration::from_nanos(cost.user_ns),
        system: Duration::from_nanos(cost.system_ns),
        peak_memory_bytes: cost.peak_bytes,
        peak_memory_floor_bytes: ended.floor_bytes,
        major_faults: cost.major_faults,
        minor_faults: cost.minor_faults,
        switches_voluntary: cost.voluntary,
        switches_forced: cost.forced,
        blocks_read: cost.blocks_read,
        blocks_written: cost.blocks_written,
    }
}
