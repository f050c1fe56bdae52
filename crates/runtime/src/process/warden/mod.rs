//! The warden: a small process with one thread that starts the children, watches them and ends them.
//!
//! It is this program, executed once more ([`enter`](super::enter)), so that starting a child never depends on
//! how large the supervising process is, and so that the children end even when that process is killed:
//! the warden sees the end of its socket, ends all trees, and goes. It is the *subreaper* of everything below:
//! a descendant whose parent ends becomes the warden's child and cannot slip away by detaching itself.

mod launch;
mod tags;
pub(crate) mod tree;
mod vigil;

use super::{
    exit::Cause,
    link::{self, Letter, Received, retry},
    spec::EXTRA_FDS,
    wire::{self, Cost, Ended, Reply, Request, SpawnRequest},
};
use launch::Launcher;
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    process::{Pid, Signal},
};
use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Instant,
};
use tags::Tags;
use vigil::{Action, Event, Vigil};

/// Descriptors below this number are for children; the warden's own are above.
const OWN_FDS: i32 = EXTRA_FDS.end as i32;
/// How long the warden tries to end what is left when its supervisor is gone.
const CLOSE_MAX: u64 = 5_000_000_000;

/// Works until the other end of `socket` is closed and all children have been ended.
///
/// # Errors
/// When the system refuses what the warden cannot do without.
pub(crate) fn run(socket: impl AsFd) -> io::Result<()> {
    let mut warden = Warden::new(socket)?;
    warden.say(&Reply::Ready {
        subreaper: warden.subreaper,
        children_file: warden.own.is_direct(),
        tags: warden.tags.work,
    });
    warden.work()
}

struct Warden {
    socket: OwnedFd,
    signals: OwnedFd,
    null: OwnedFd,
    launcher: Launcher,
    tags: Tags,
    own: tree::OwnChildren,
    subreaper: bool,
    started: Instant,
    processors: u64,
    floor_bytes: u64,
    ticks_per_second: u64,
    page_bytes: u64,
    /// Kernel limits of this process, which no child can exceed.
    hard_limits: HashMap<u32, u64>,
    by_id: HashMap<u64, Ward>,
    ids_by_pid: HashMap<u32, u64>,
    ids_by_number: HashMap<u32, u64>,
    next_number: u32,
    /// Children that start as soon as others end, without asking back.
    deck: VecDeque<(SpawnRequest, Vec<OwnedFd>)>,
    /// Messages that found the socket full.
    outbox: VecDeque<Letter>,
    oom_seen: OomWatch,
    /// The supervisor is gone.
    closing: bool,
    close_by: Option<u64>,
}

/// One child under watch.
struct Ward {
    pid: u32,
    number: u32,
    vigil: Vigil,
    began: u64,
    oom_kills: u64,
    /// Wait status, once it is dead and taken off the table.
    status: Option<i32>,
    cost: Cost,
    descendants: u32,
}

impl Warden {
    fn new(socket: impl AsFd) -> io::Result<Self> {
        // Not in the terminal's group: an interrupt there is the supervisor's to handle.
        let _ = rustix::process::setsid();
        let _ = rustix::thread::set_name(c"warden");
        rustix::process::chdir("/")?;
        let subreaper = rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok();
        let [socket, null] = arrange_fds(socket)?;
        let signals = launch::child_signals()?;
        Ok(Self {
            socket,
            signals,
            null,
            launcher: Launcher::new(),
            tags: Tags::new(),
            own: tree::OwnChildren::new(),
            subreaper,
            started: Instant::now(),
            processors: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            floor_bytes: tree::own_peak_bytes(),
            ticks_per_second: rustix::param::clock_ticks_per_second(),
            page_bytes: rustix::param::page_size() as u64,
            hard_limits: HashMap::new(),
            by_id: HashMap::new(),
            ids_by_pid: HashMap::new(),
            ids_by_number: HashMap::new(),
            next_number: 0,
            deck: VecDeque::new(),
            outbox: VecDeque::new(),
            oom_seen: OomWatch::default(),
            closing: false,
            close_by: None,
        })
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn work(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; link::INLINE_MAX + 1];
        loop {
            if self.closing && self.by_id.is_empty() && !self.sweep_strangers() {
                return Ok(());
            }
            let [messages, deaths] = self.sleep()?;
            if messages {
                self.flush();
                self.listen(&mut buffer)?;
            }
            if deaths {
                self.bury();
            }
            self.tick();
        }
    }

    /// Waits for a message, a death or the next time something is due.
    fn sleep(&self) -> io::Result<[bool; 2]> {
        let wake_at = self.by_id.values().map(|ward| ward.vigil.wake_at()).min().unwrap_or(u64::MAX);
        let wake_at = if self.closing { wake_at.min(self.now() + 20_000_000) } else { wake_at };
        let timeout = (wake_at < u64::MAX).then(|| {
            let left = wake_at.saturating_sub(self.now()).min(3_600_000_000_000);
            Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as _ }
        });
        let interest = match (self.closing, self.outbox.is_empty()) {
            (true, _) => PollFlags::empty(),
            (false, true) => PollFlags::IN,
            (false, false) => PollFlags::IN | PollFlags::OUT,
        };
        let mut fds = [PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.socket, interest)];
        // A closed socket would report its end for ever.
        let count = if self.closing { 1 } else { 2 };
        match rustix::event::poll(&mut fds[..count], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok([!fds[1].revents().is_empty(), !fds[0].revents().is_empty()]),
            Err(error) => Err(error.into()),
        }
    }

    fn listen(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            match link::receive(&self.socket, buffer)? {
                Received::Nothing => return Ok(()),
                Received::End => {
                    self.closing = true;
                    self.outbox.clear();
                    self.deck.clear();
                    let ids: Vec<u64> = self.by_id.keys().copied().collect();
                    ids.into_iter().for_each(|id| self.go_on(id, Event::Stop(Cause::Cancelled)));
                    return Ok(());
                }
                Received::Message(bytes, fds) => match wire::decode_request(&bytes) {
                    Ok(Request::Spawn(request)) => {
                        if request.urgent {
                            self.deck.push_front((request, fds));
                        } else {
                            self.deck.push_back((request, fds));
                        }
                        self.start_waiting();
                    }
                    Ok(Request::Stop { id, cause }) => self.stop(id, cause),
                    Err(wire::Garbled) => {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "garbled request"));
                    }
                },
            }
        }
    }

    fn stop(&mut self, id: u64, cause: Cause) {
        match self.deck.iter().position(|(request, _)| request.id == id) {
            Some(place) => {
                self.deck.remove(place);
                self.say(&Reply::Withdrawn { id });
            }
            None => self.go_on(id, Event::Stop(cause)),
        }
    }

    fn start_waiting(&mut self) {
        while let Some((request, _)) = self.deck.front() {
            if self.by_id.len() >= request.at_once as usize {
                return;
            }
            if let Some((request, fds)) = self.deck.pop_front() {
                self.start(request, fds);
            }
        }
    }

    fn start(&mut self, request: SpawnRequest, fds: Vec<OwnedFd>) {
        let now = self.now();
        let number = self.free_number();
        let mut rlimits: Vec<(u32, libc::rlimit)> = request
            .rlimits
            .iter()
            .map(|(resource, soft, hard)| self.clamp(*resource, *soft, *hard))
            .collect();
        rlimits.extend(self.tags.limit(number));
        let oom_kills = self.oom_seen.baseline(now);
        match self.launcher.launch(&request, &fds, &self.null, &rlimits) {
            Ok(pid) => {
                drop(fds);
                let vigil = Vigil::new(request.watch, self.processors, now);
                let ward = Ward {
                    pid,
                    number,
                    vigil,
                    began: now,
                    oom_kills,
                    status: None,
                    cost: Cost::default(),
                    descendants: 0,
                };
                self.by_id.insert(request.id, ward);
                self.ids_by_pid.insert(pid, request.id);
                self.ids_by_number.insert(number, request.id);
                self.say(&Reply::Started { id: request.id, pid });
            }
            Err((step, errno)) => self.say(&Reply::NotStarted { id: request.id, step, errno }),
        }
    }

    fn free_number(&mut self) -> u32 {
        loop {
            let number = self.next_number;
            self.next_number = (self.next_number + 1) % (1 << 30);
            if !self.ids_by_number.contains_key(&number) {
                return number;
            }
        }
    }

    /// A kernel limit as it can be set: never above our own.
    fn clamp(&mut self, resource: u32, soft: u64, hard: u64) -> (u32, libc::rlimit) {
        let own = *self.hard_limits.entry(resource).or_insert_with(|| {
            launch::own_limit(resource).map_or(libc::RLIM_INFINITY, |limit| limit.rlim_max)
        });
        (resource, libc::rlimit { rlim_cur: soft.min(own), rlim_max: hard.min(own) })
    }

    /// Takes the dead off the process table.
    fn bury(&mut self) {
        let mut info = [0; 128];
        while retry(|| rustix::io::read(&self.signals, &mut info)).is_ok_and(|count| count > 0) {}
        let mut touched = Vec::new();
        while let Some(pid) = launch::next_dead() {
            if let Some(&id) = self.ids_by_pid.get(&pid) {
                self.bury_child(id, pid);
            } else {
                touched.extend(self.bury_orphan(pid));
            }
        }
        touched.dedup();
        for id in touched {
            self.sweep_if_ended(id);
        }
    }

    fn bury_child(&mut self, id: u64, pid: u32) {
        // The dead child still holds its group's number: what is left of the group can be hit safely.
        signal_group(pid, Signal::KILL);
        let (status, cost) = launch::wait(pid);
        self.ids_by_pid.remove(&pid);
        if let Some(ward) = self.by_id.get_mut(&id) {
            ward.status = Some(status);
            ward.cost.add(&cost);
        }
        self.go_on(id, Event::Ended);
    }

    /// The child it descends from.
    fn bury_orphan(&mut self, pid: u32) -> Option<u64> {
        let id = self.tags.number_of(pid).and_then(|number| self.ids_by_number.get(&number).copied());
        let (_, cost) = launch::wait(pid);
        if let Some(ward) = id.and_then(|id| self.by_id.get_mut(&id)) {
            ward.cost.add(&cost);
            ward.descendants += u32::from(ward.status.is_some() || ward.vigil.cause().is_some());
        }
        id
    }

    fn sweep_if_ended(&mut self, id: u64) {
        if self.by_id.get(&id).is_some_and(|ward| ward.status.is_some()) {
            self.act(id, Action::Sweep);
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        let due: Vec<u64> =
            self.by_id.iter().filter(|(_, ward)| ward.vigil.wake_at() <= now).map(|(id, _)| *id).collect();
        due.into_iter().for_each(|id| self.go_on(id, Event::Tick));
    }

    fn go_on(&mut self, id: u64, event: Event) {
        let now = self.now();
        let action = self.by_id.get_mut(&id).and_then(|ward| ward.vigil.on(event, now));
        if let Some(action) = action {
            self.act(id, action);
        }
    }

    fn act(&mut self, id: u64, action: Action) {
        match action {
            Action::Sample => {
                let event = self.sample(id);
                self.go_on(id, event);
            }
            Action::Ask => self.signal_tree(id, Signal::TERM),
            Action::Kill => self.signal_tree(id, Signal::KILL),
            Action::Sweep => {
                let orphans = self.orphans_of(id);
                orphans.iter().for_each(|pid| signal(*pid, Signal::KILL));
                self.go_on(id, Event::Left(orphans.len() as u32));
            }
            Action::Report { survivors } => self.report(id, survivors),
        }
    }

    /// Signals the child's group, and what has left the group as far as it can be found: orphans by their
    /// tags, living descendants by their parents.
    fn signal_tree(&mut self, id: u64, which: Signal) {
        let Some(ward) = self.by_id.get(&id) else { return };
        let pid = ward.pid;
        if ward.status.is_none() {
            signal_group(pid, which);
        }
        let orphans = self.orphans_of(id);
        if which == Signal::KILL {
            // The others become orphans by this and are found in the sweep.
            orphans.iter().for_each(|pid| signal(*pid, which));
        } else {
            let tree = tree::with_descendants(orphans.into_iter().chain([pid]));
            tree.iter().filter(|member| **member != pid).for_each(|pid| signal(*pid, which));
        }
    }

    /// Adopted processes that descend from the child. One that cannot be told is everybody's, so that it ends
    /// with the first child that ends rather than never; that needs another user's process or a changed limit.
    fn orphans_of(&mut self, id: u64) -> Vec<u32> {
        let mut orphans = self.own.list();
        orphans.retain(|pid| {
            let owner = || self.ids_by_number.get(&self.tags.number_of(*pid)?).copied();
            !self.ids_by_pid.contains_key(pid) && owner().is_none_or(|owner| owner == id)
        });
        orphans
    }

    fn sample(&mut self, id: u64) -> Event {
        let orphans = self.orphans_of(id);
        let Some(ward) = self.by_id.get(&id) else { return Event::Tick };
        let members = tree::with_descendants(orphans.into_iter().chain([ward.pid]));
        let mut cpu_ns = ward.cost.cpu_ns();
        let mut resident = 0;
        for stat in members.iter().filter_map(|pid| tree::Stat::read(*pid)) {
            cpu_ns += stat.cpu_ticks * (1_000_000_000 / self.ticks_per_second);
            resident += stat.resident_pages * self.page_bytes;
        }
        if members.len() > 1 && resident > ward.vigil.memory_limit() {
            // Counted naively it is too much; shared pages may explain it.
            let bytes = |pid: u32| {
                tree::proportional_bytes(pid)
                    .or_else(|| Some(tree::Stat::read(pid)?.resident_pages * self.page_bytes))
            };
            resident = members.iter().filter_map(|pid| bytes(*pid)).sum();
        }
        Event::Sampled { cpu_ns, memory_bytes: resident }
    }

    fn report(&mut self, id: u64, survivors: u32) {
        let now = self.now();
        let Some(ward) = self.by_id.remove(&id) else { return };
        self.ids_by_pid.remove(&ward.pid);
        self.ids_by_number.remove(&ward.number);
        let killed = ward
            .status
            .is_some_and(|status| libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL);
        let kernel_oom = killed && ward.vigil.cause().is_none() && self.oom_seen.read(now) > ward.oom_kills;
        self.say(&Reply::Ended(Ended {
            id,
            cause: ward.vigil.cause(),
            status: ward.status,
            kernel_oom,
            wall_ns: now - ward.began,
            cost: ward.cost,
            floor_bytes: self.floor_bytes,
            descendants: ward.descendants,
            survivors,
        }));
        self.start_waiting();
    }

    /// Ends whatever is left below this process; true while something is.
    fn sweep_strangers(&mut self) -> bool {
        self.bury();
        let left = self.own.list();
        left.iter().for_each(|pid| signal(*pid, Signal::KILL));
        let now = self.now();
        // What cannot be ended for long is left to the system.
        !left.is_empty() && now < *self.close_by.get_or_insert(now + CLOSE_MAX)
    }

    fn say(&mut self, reply: &Reply) {
        if self.closing {
            return;
        }
        match Letter::new(&wire::encode_reply(reply), Vec::new()) {
            Ok(letter) => self.outbox.push_back(letter),
            // Replies are small and never need a file.
            Err(_) => unreachable!("a reply fits a message"),
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(letter) = self.outbox.front() {
            match letter.send(&self.socket) {
                Ok(()) => _ = self.outbox.pop_front(),
                // Full: poll tells when there is room. Closed: the next receive tells.
                Err(_) => return,
            }
        }
    }
}

fn signal(pid: u32, which: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        // Gone meanwhile, or another user's: the next list of children tells.
        let _ = rustix::process::kill_process(pid, which);
    }
}

/// A child leads a session, and so a group, of its own number.
fn signal_group(pid: u32, which: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        let _ = rustix::process::kill_process_group(pid, which);
    }
}

/// Moves the warden's descriptors above those that children get, and fills the numbers below, so that a
/// descriptor received later is never one of them. What this process inherited beside is closed.
fn arrange_fds(socket: impl AsFd) -> io::Result<[OwnedFd; 2]> {
    let socket = rustix::io::fcntl_dupfd_cloexec(socket, OWN_FDS)?;
    launch::close_from(3, socket.as_raw_fd());
    loop {
        let null: OwnedFd = File::options().read(true).write(true).open("/dev/null")?.into();
        if null.as_raw_fd() >= OWN_FDS {
            rustix::stdio::dup2_stdin(&null)?;
            rustix::stdio::dup2_stdout(&null)?;
            return Ok([socket, null]);
        }
        std::mem::forget(null);
    }
}

/// Notices that the kernel ended processes for want of memory, by its counter.
#[derive(Debug, Default)]
struct OomWatch {
    kills: u64,
    read_at: Option<u64>,
}

impl OomWatch {
    /// How long a reading is good enough to compare later ones with.
    const FRESH: u64 = 100_000_000;

    fn baseline(&mut self, now: u64) -> u64 {
        match self.read_at {
            Some(at) if now < at + Self::FRESH => self.kills,
            _ => self.read(now),
        }
    }

    fn read(&mut self, now: u64) -> u64 {
        self.kills = tree::oom_kills();
        self.read_at = Some(now);
        self.kills
    }
}
