//! The watchdog: notices workers and reactors that do not go on, and says where they are.
//!
//! One thread looks at all pools of the process a few times per threshold. What it finds is shown in health as
//! the component `scheduler`, with the state, in the log, and as a metric. It also asks every reactor for a turn
//! now and then: how long that takes is the reactor's lag.

mod judge;
mod stack;

use super::{Component, Condition, Observatory, StallView};
use crate::{
    listed, lock,
    pool::Shared,
    registry::OnDesk,
    sync::{Condvar, Mutex},
    wait_for,
};
use judge::{Doing, Event, Judge, Look};
use prometheus_client::metrics::counter::Counter;
use std::{
    collections::HashMap,
    fs, io,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Looks per threshold.
const LOOKS: u32 = 4;
/// Most lines of a stack that are kept.
const STACK_MAX: usize = 32;

/// Settings of a [`Watchdog`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchdogConfig {
    /// How long a thread may be held up before it is told.
    pub threshold: Duration,
    /// Whether to look where the thread is, by a signal (SIGURG) that its handler answers.
    pub stacks: bool,
}

impl Default for WatchdogConfig {
    /// A second, with stacks.
    fn default() -> Self {
        Self { threshold: Duration::from_secs(1), stacks: true }
    }
}

/// Watches all pools of the process until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(config: WatchdogConfig, seen: &Observatory) -> io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let rounds = Arc::clone(&stop);
        let mut eyes = Eyes::new(config, seen.clone());
        let every = (config.threshold / LOOKS).max(Duration::from_millis(1));
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            let (stop, bell) = &*rounds;
            let mut over = lock(stop);
            while !*over {
                over = wait_for(bell, over, every);
                if !*over {
                    drop(over);
                    eyes.look(Instant::now());
                    over = lock(stop);
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has been told by the panic hook; nothing depends on the thread.
            let _ = thread.join();
        }
    }
}

struct Eyes {
    config: WatchdogConfig,
    seen: Observatory,
    health: Component,
    count: Counter,
    start: Instant,
    /// By pool and desk.
    known: HashMap<(usize, usize), Known>,
    stalls: u64,
}

#[derive(Default)]
struct Known {
    judge: Judge,
    stall: Option<Ongoing>,
    looked: u64,
}

/// A stall that goes on.
struct Ongoing {
    number: u64,
    since_ns: u64,
    view: StallView,
}

impl Eyes {
    fn new(config: WatchdogConfig, seen: Observatory) -> Self {
        let health = seen.health().component("scheduler");
        health.ok();
        let count = Counter::default();
        seen.metrics().register("stalls", "Threads that did not go on for long", count.clone());
        Self { config, seen, health, count, start: Instant::now(), known: HashMap::new(), stalls: 0 }
    }

    fn look(&mut self, now: Instant) {
        let round = self.ns(now);
        for pool in listed::pools() {
            for desk in 0..pool.board().desks.len() {
                self.look_at(&pool, desk, now, round);
            }
            pool.ping_lane(now);
        }
        // Pools that are gone.
        let gone: Vec<_> = self.known.iter().filter(|(_, k)| k.looked != round).map(|(at, _)| *at).collect();
        for at in gone {
            if let Some(stall) = self.known.remove(&at).and_then(|known| known.stall) {
                self.end(stall);
            }
        }
    }

    fn look_at(&mut self, pool: &Arc<Shared>, desk: usize, now: Instant, round: u64) {
        let board = pool.board();
        let place = &board.desks[desk];
        let tid = place.tid.load(Ordering::Relaxed);
        let is_reactor = desk >= board.workers;
        let on_desk = place.on_desk(now);
        let due_ns = board.lane_due_ns.load(Ordering::Relaxed);
        let doing = match &on_desk {
            Some(OnDesk { is_away: true, .. }) => Doing::Nothing,
            Some(OnDesk { cell: None, outside: Some(wait), .. }) => match wait.until {
                Some(until) if until <= now => Doing::Task { since_ns: self.ns(until) },
                _ => Doing::Nothing,
            },
            Some(OnDesk { cell: Some(_), since, .. }) => Doing::Step { since_ns: self.ns(*since) },
            Some(OnDesk { cell: None, since, .. }) => Doing::Task { since_ns: self.ns(*since) },
            None if is_reactor && due_ns > 0 => {
                Doing::Turn { since_ns: self.ns(board.started + Duration::from_nanos(due_ns)) }
            }
            None => Doing::Nothing,
        };
        let runnable = doing != Doing::Nothing && kernel_state(tid).starts_with('R');
        let look = Look { now_ns: round, doing, cpu_ns: cpu_ns(tid), runnable };
        let at = (Arc::as_ptr(pool) as usize, desk);
        let known = self.known.entry(at).or_default();
        known.looked = round;
        match known.judge.look(look, self.config.threshold.as_nanos() as u64) {
            Some(Event::Began { since_ns, computes }) => {
                let view = self.describe(pool, desk, on_desk.as_ref(), round - since_ns, computes);
                self.begin(at, since_ns, view);
            }
            Some(Event::Ended { for_ns }) => {
                if let Some(mut stall) = known.stall.take() {
                    stall.view.for_ms = ms(for_ns);
                    self.end(stall);
                }
            }
            None => {
                if let Some(stall) = &mut known.stall {
                    stall.view.for_ms = ms(round - stall.since_ns);
                    self.seen.keep_stall(stall.number, stall.view.clone());
                }
            }
        }
    }

    fn describe(
        &self,
        pool: &Shared,
        desk: usize,
        on_desk: Option<&OnDesk>,
        for_ns: u64,
        computes: bool,
    ) -> StallView {
        let board = pool.board();
        let tid = board.desks[desk].tid.load(Ordering::Relaxed);
        let task = match on_desk {
            Some(OnDesk { cell: Some(cell), running, .. }) => {
                let places = cell.path();
                format!("`{}` [{}] {places}", running.label, running.class)
            }
            Some(OnDesk { running, outside, .. }) => {
                let task = format!("`{}` [{}]", running.label, running.class);
                match outside {
                    Some(wait) => format!("{task}, which waits for {} past its time", wait.what),
                    None => task,
                }
            }
            None => "no task of ours: something that a library runs on the reactor".into(),
        };
        let mut stack = if self.config.stacks { stack::of_thread(tid) } else { Vec::new() };
        stack.truncate(STACK_MAX);
        StallView {
            pool: pool.name.to_string(),
            thread: if desk >= board.workers { "reactor".into() } else { format!("worker {desk}") },
            tid,
            task,
            computes,
            kernel: kernel_state(tid),
            stack,
            for_ms: ms(for_ns),
            over: false,
        }
    }

    fn begin(&mut self, at: (usize, usize), since_ns: u64, view: StallView) {
        let number = self.stalls;
        self.stalls += 1;
        self.count.inc();
        let StallView { pool, thread, tid, task, kernel, for_ms, computes, .. } = &view;
        let stack = view.stack.join("\n");
        tracing::warn!(pool, thread, tid, task, kernel, for_ms, computes, stack, "a thread does not go on");
        let what = if *computes { "computes without a break" } else { "is blocked" };
        self.health.set(Condition::Degraded, format!("{pool} {thread} (thread {tid}) {what} in {task}"));
        self.seen.keep_stall(number, view.clone());
        if let Some(known) = self.known.get_mut(&at) {
            known.stall = Some(Ongoing { number, since_ns, view });
        }
    }

    fn end(&mut self, stall: Ongoing) {
        let view = StallView { over: true, ..stall.view };
        let StallView { pool, thread, tid, task, for_ms, .. } = &view;
        tracing::info!(pool, thread, tid, task, for_ms, "the thread goes on");
        self.seen.keep_stall(stall.number, view);
        if self.known.values().all(|known| known.stall.is_none()) {
            self.health.ok();
        }
    }

    fn ns(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_nanos() as u64
    }
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Processor time of a thread of this process.
fn cpu_ns(tid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/task/{tid}/schedstat")).ok()?;
    text.split(' ').next()?.parse().ok()
}

/// The thread's state and where it waits in the kernel: `S futex_wait`, with the system call's number where only
/// that is told.
fn kernel_state(tid: u32) -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/task/{tid}/{name}")).unwrap_or_default();
    let stat = read("stat");
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("?");
    let wchan = read("wchan");
    let place = match wchan.trim() {
        "" | "0" => match read("syscall").split(' ').next().map(str::trim) {
            None | Some("" | "running") => String::new(),
            Some(number) => format!(" in system call {number}"),
        },
        place => format!(" {place}"),
    };
    format!("{state}{place}")
}
