//! What `tide top` knows: the last answer of the watched process, and what changed since the one before.

use crate::{commands::tasks::State, observe::Answer};
use springtide_runtime::observe::{ChannelView, ClassView, PoolView, RunningView};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Slowest tasks that are remembered.
const SLOWEST: usize = 5;

/// Order of the list of running tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Longest,
    Worker,
    Name,
}

impl Sort {
    pub fn next(self) -> Self {
        match self {
            Self::Longest => Self::Worker,
            Self::Worker => Self::Name,
            Self::Name => Self::Longest,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Longest => "longest first",
            Self::Worker => "by worker",
            Self::Name => "by name",
        }
    }
}

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Overview,
    Tasks,
    Waits,
    Channels,
    Children,
    Health,
}

impl View {
    /// In the order of their keys, from 1.
    pub const ALL: [Self; 6] =
        [Self::Overview, Self::Tasks, Self::Waits, Self::Channels, Self::Children, Self::Health];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Tasks => "tasks",
            Self::Waits => "waits",
            Self::Channels => "channels",
            Self::Children => "children",
            Self::Health => "health",
        }
    }
}

/// A running task and where it runs.
#[derive(Clone, Debug)]
pub struct TaskRow {
    pub pool: String,
    pub worker: usize,
    pub task: RunningView,
}

/// What changed per second since the look before.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// Tasks ended, by pool and class.
    pub ended: BTreeMap<String, [f64; 4]>,
    /// Share of the pool's worker time, by pool and class, 0 to 1.
    pub shares: BTreeMap<String, [f64; 4]>,
    /// Busy share of each worker, by pool and number, 0 to 1.
    pub worker: BTreeMap<(String, usize), f64>,
    /// Processor time, 1 is one core.
    pub cpu: Option<f64>,
}

#[derive(Debug)]
pub struct Model {
    wanted: Option<u32>,
    /// Those that are there, newest last.
    pub processes: Vec<u32>,
    /// Whether anything is known yet.
    pub asked: bool,
    pub state: Option<State>,
    pub error: Option<String>,
    pub rates: Rates,
    /// Labels and the longest time each was seen running, ms.
    pub slowest: Vec<(String, f64)>,
    /// Items sent, by channel, in their order.
    pub sent: Vec<f64>,
    pub sort: Sort,
    pub view: View,
    /// Only what holds this text is listed.
    pub filter: String,
    /// Whether keys go into the filter.
    pub typing: bool,
    pub first_row: usize,
    pub paused: bool,
    pub help: bool,
    /// Time between looks.
    pub every: Duration,
    looked: Option<Instant>,
}

impl Model {
    pub fn new(pid: Option<u32>) -> Self {
        Self {
            wanted: pid,
            processes: Vec::new(),
            asked: false,
            state: None,
            error: None,
            rates: Rates::default(),
            slowest: Vec::new(),
            sent: Vec::new(),
            sort: Sort::default(),
            view: View::default(),
            filter: String::new(),
            typing: false,
            first_row: 0,
            paused: false,
            help: false,
            every: Duration::from_millis(500),
            looked: None,
        }
    }

    /// Position of the watched process among all.
    pub fn position(&self) -> Option<usize> {
        let watched = self.processes.iter().position(|pid| Some(*pid) == self.wanted);
        watched.or(self.processes.len().checked_sub(1))
    }

    /// Takes what all processes said to `state`. Of none in particular, the newest that answers is watched.
    pub fn look(&mut self, answers: &[Answer], now: Instant) {
        self.asked = true;
        self.processes = answers.iter().map(|answer| answer.pid).collect();
        if !self.processes.iter().any(|pid| Some(*pid) == self.wanted) {
            self.wanted = answers.iter().rev().find(|answer| answer.said.is_ok()).map(|answer| answer.pid);
        }
        let Some(answer) = self.position().map(|at| &answers[at]) else {
            self.error = None;
            self.state = None;
            return;
        };
        match State::of(answer) {
            Ok(state) => self.take(state, now),
            Err(why) => {
                self.error = Some(format!("process {} {why}", answer.pid));
                // What another one said is not shown for it.
                self.state.take_if(|state| state.pid != answer.pid);
            }
        }
    }

    fn take(&mut self, state: State, now: Instant) {
        let seconds = self.looked.map(|then| now.saturating_duration_since(then).as_secs_f64());
        let before = self.state.as_ref().filter(|before| before.pid == state.pid);
        self.sent = match (before, seconds) {
            (Some(before), Some(seconds)) if seconds > 0.0 => sent(before, &state, seconds),
            _ => Vec::new(),
        };
        self.rates = match (before, seconds) {
            (Some(before), Some(seconds)) if seconds > 0.0 => rates(before, &state, seconds),
            _ => {
                self.slowest.clear();
                Rates::default()
            }
        };
        self.looked = Some(now);
        self.error = None;
        self.state = Some(state);
        for row in self.tasks() {
            self.remember(row.task);
        }
    }

    fn remember(&mut self, task: RunningView) {
        match self.slowest.iter_mut().find(|(label, _)| *label == task.label) {
            Some((_, longest)) => *longest = longest.max(task.elapsed_ms),
            None => self.slowest.push((task.label, task.elapsed_ms)),
        }
        self.slowest.sort_by(|a, b| b.1.total_cmp(&a.1));
        self.slowest.truncate(SLOWEST);
    }

    /// All running tasks in the chosen order.
    pub fn tasks(&self) -> Vec<TaskRow> {
        let mut rows = Vec::new();
        for (pool, view) in self.state.iter().flat_map(|s| &s.all.pools) {
            for worker in &view.workers {
                rows.extend(worker.running.iter().map(|task| TaskRow {
                    pool: pool.clone(),
                    worker: worker.worker,
                    task: task.clone(),
                }));
            }
        }
        rows.retain(|row: &TaskRow| self.shows(&row.task.label));
        match self.sort {
            Sort::Longest => rows.sort_by(|a, b| b.task.elapsed_ms.total_cmp(&a.task.elapsed_ms)),
            Sort::Worker => rows.sort_by(|a, b| (&a.pool, a.worker).cmp(&(&b.pool, b.worker))),
            Sort::Name => rows.sort_by(|a, b| a.task.label.cmp(&b.task.label)),
        }
        rows
    }

    /// Whether the filter lets a text through.
    pub fn shows(&self, text: &str) -> bool {
        self.filter.is_empty() || text.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// Rows of the list that is shown.
    pub fn rows(&self) -> usize {
        let Some(state) = &self.state else { return 0 };
        match self.view {
            View::Overview => self.tasks().len(),
            View::Tasks => super::screen::task_lines(self, state).len(),
            View::Waits => super::screen::waiters(self, state).len(),
            View::Channels => state.all.channels.len(),
            View::Children => state.all.children.iter().map(|all| all.children.len()).sum(),
            View::Health => super::screen::health_lines(state).len(),
        }
    }

    pub fn scroll(&mut self, by: isize) {
        let last = self.rows().saturating_sub(1);
        self.first_row = self.first_row.saturating_add_signed(by).min(last);
    }

    pub fn choose(&mut self, view: View) {
        (self.view, self.first_row) = (view, 0);
    }

    /// Watches the next process, or the one before.
    pub fn step(&mut self, by: isize) {
        let count = self.processes.len();
        if let Some(at) = self.position() {
            let next = (at as isize + by).rem_euclid(count as isize) as usize;
            self.wanted = Some(self.processes[next]);
            self.first_row = 0;
        }
    }
}

/// Items sent per second by each channel that was there before, too.
fn sent(before: &State, after: &State, seconds: f64) -> Vec<f64> {
    let same = |at: usize, name: &str| before.all.channels.get(at).filter(|then| then.name == name);
    let rate = |(at, now): (usize, &ChannelView)| {
        let then = same(at, &now.name).map_or(now.sent, |then| then.sent);
        now.sent.saturating_sub(then) as f64 / seconds
    };
    after.all.channels.iter().enumerate().map(rate).collect()
}

fn rates(before: &State, after: &State, seconds: f64) -> Rates {
    let mut rates = Rates::default();
    for (name, pool) in &after.all.pools {
        let Some(then) = before.all.pools.get(name) else { continue };
        let (mut ended, mut busy) = ([0.0; 4], [0.0; 4]);
        for (k, (now, then)) in pool.classes.iter().zip(&then.classes).enumerate().take(4) {
            let count = |c: &ClassView| c.done + c.failed + c.cancelled + c.timed_out;
            ended[k] = count(now).saturating_sub(count(then)) as f64 / seconds;
            busy[k] = (now.busy_ms - then.busy_ms).max(0.0);
        }
        let all: f64 = busy.iter().sum();
        if all > 0.0 {
            rates.shares.insert(name.clone(), busy.map(|b| b / all));
        }
        rates.ended.insert(name.clone(), ended);
        workers(name, then, pool, seconds, &mut rates.worker);
    }
    let cpu = |state: &State| state.sections.get("process").and_then(|p| p["cpu_ms"].as_f64());
    rates.cpu = cpu(after).zip(cpu(before)).map(|(now, then)| (now - then).max(0.0) / 1e3 / seconds);
    rates
}

fn workers(
    name: &str,
    then: &PoolView,
    now: &PoolView,
    seconds: f64,
    shares: &mut BTreeMap<(String, usize), f64>,
) {
    for (now, then) in now.workers.iter().zip(&then.workers) {
        let share = (now.busy_ms - then.busy_ms) / 1e3 / seconds;
        shares.insert((name.to_owned(), now.worker), share.clamp(0.0, 1.0));
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn state(done: u64, busy_ms: f64) -> State {
        serde_json::from_value(serde_json::json!({
            "pid": 7, "about": "tide backtest x", "uptime_ms": 61_000,
            "pools": {"cpu": {
                "uptime_ms": 61_000.0,
                "classes": [
                    {"name": "critical", "queued": 0, "done": 0, "failed": 0, "cancelled": 0, "timed_out": 0, "overdue": 0, "busy_ms": 0.0},
                    {"name": "high", "queued": 0, "done": 0, "failed": 0, "cancelled": 0, "timed_out": 0, "overdue": 0, "busy_ms": 0.0},
                    {"name": "standard", "queued": 1_234, "done": done, "failed": 2, "cancelled": 0, "timed_out": 0, "overdue": 0, "busy_ms": busy_ms},
                    {"name": "low", "queued": 0, "done": 0, "failed": 0, "cancelled": 0, "timed_out": 0, "overdue": 0, "busy_ms": 0.0},
                ],
                "workers": [
                    {"worker": 0, "busy_ms": busy_ms, "stolen": 3, "running": [
                        {"label": "Cross on X Fast=5", "class": "standard", "owner": 1, "elapsed_ms": 12.5, "overdue_ms": null, "stopping": null}]},
                    {"worker": 1, "busy_ms": 0.0, "stolen": 0, "running": []},
                ],
            }},
            "runtimes": [{"name": "io", "unreported": 0, "failures": [], "root": {
                "label": "runtime", "owner": 0, "cancelled": false, "more": 0, "tasks": [{
                    "id": "0.0", "label": "fetch", "class": "low", "phase": "waiting", "since_ms": 5.0, "steps": 2,
                    "busy_ms": 0.1, "remaining_ms": null, "stopping": null, "scopes": [],
                    "waiting": [{"depth": 0, "what": "the answer", "location": "x.rs:1", "for_ms": 3.0}]}]}}],
            "permits": [{"name": "http", "limit": 20, "in_flight": 2, "waiting": 1, "base_ms": 1.0, "keys": [],
                "tickets": [{"label": "GET /a", "class": "high", "owner": 1, "key": "a.example", "for_ms": 7.0, "held": false}],
                "overheld": 0, "granted": 9, "answered": 7, "overloaded": 0, "withdrawn": 0, "refused": 0,
                "waited_ms": 7.0, "wait_p50_ms": 1.0, "wait_p99_ms": 2.0}],
            "channels": [{"name": "trades", "when_full": "drop-oldest", "items": 3, "items_limit": 4, "items_max": 4,
                "bytes": 100, "bytes_limit": 1000, "bytes_max": 400, "senders": 1, "waiting": 0,
                "longest_wait_ms": null, "receiver_waits": false, "closed": false, "sent": 10, "received": 5,
                "dropped": 2, "dropped_newest": 0, "dropped_oldest": 2, "conflated": 0, "abandoned": 0,
                "refused": 0, "withdrawn": 0, "waits": 0, "waited_ms": 0.0}],
            "children": [{"children": [{"id": 1, "label": "python x.py", "class": "low", "owner": 0, "pid": 4242,
                "for_ms": 100.0, "cpu_ms": 90.0, "resident_bytes": 1048576, "progress": "3 of 10"}],
                "started": 1, "succeeded": 0, "failed": 0, "limited": 0, "cancelled": 0, "not_started": 0, "lost": 0,
                "output_dropped_bytes": 0, "descendants_ended": 0, "survivors": 0, "warden_restarts": 0}],
            "stalls": [{"pool": "io", "thread": "worker 0", "tid": 99, "task": "`slow` [high]", "computes": false,
                "kernel": "S futex_wait", "stack": ["std::fs::read"], "for_ms": 1500.0, "over": false}],
            "sections": {"process": {"memory_kib": 20_480, "memory_peak_kib": 30_720, "threads": 5, "descriptors": 9, "cpu_ms": busy_ms}},
            "health": [{"name": "ledger", "condition": "ok", "since_ms": 60_000, "error": null, "error_ms": null}],
        }))
        .expect("a state")
    }

    #[test]
    fn what_changed_is_told_per_second() {
        let mut model = Model::new(None);
        let start = Instant::now();
        model.take(state(100, 1_000.0), start);
        assert!(model.rates.ended.is_empty(), "one look shows no change");
        model.take(state(300, 2_000.0), start + std::time::Duration::from_secs(2));
        assert_eq!(model.rates.ended["cpu"][2], 100.0);
        assert_eq!((model.rates.shares["cpu"][2], model.rates.cpu), (1.0, Some(0.5)));
        assert_eq!(model.rates.worker[&("cpu".to_owned(), 0)], 0.5);
        assert_eq!(model.slowest, [("Cross on X Fast=5".to_owned(), 12.5)]);
        model.scroll(5);
        assert_eq!(model.first_row, 0, "one task only");
    }

    #[test]
    fn one_that_is_silent_hides_no_other() {
        let said = |pid: u32| {
            let text = serde_json::json!({"pid": pid, "about": "tide", "uptime_ms": 1, "pools": {}, "runtimes": [],
                "permits": [], "limiters": [], "channels": [], "children": [], "sections": {}, "health": []});
            Answer { pid, said: Ok(text.to_string()) }
        };
        let silent = |pid: u32| Answer { pid, said: Err("does not answer".into()) };
        let mut model = Model::new(None);
        model.look(&[said(7), silent(8)], Instant::now());
        let watched = |model: &Model| model.state.as_ref().map(|state| state.pid);
        assert_eq!((watched(&model), model.processes.len(), &model.error), (Some(7), 2, &None));
        model.look(&[silent(7), said(8)], Instant::now());
        assert_eq!(watched(&model), Some(7), "what it last said");
        assert_eq!(model.error.as_deref(), Some("process 7 does not answer"));
        model.step(1);
        model.look(&[said(7), silent(8)], Instant::now());
        assert_eq!((watched(&model), model.error.as_deref()), (None, Some("process 8 does not answer")));
        model.look(&[], Instant::now());
        assert_eq!((watched(&model), &model.error), (None, &None));
    }
}
