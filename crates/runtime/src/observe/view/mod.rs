//! A pool's state as others read it: names and numbers with their units in the name.

mod flow;
mod tasks;

pub use flow::{
    ChannelView, ChildView, ChildrenView, LimiterKeyView, LimiterView, PermitKeyView, PermitsView, TicketView,
};
pub use tasks::{PlaceView, RuntimeView, ScopeView, TaskView};

use crate::{Running, Snapshot, StopReason, WorkerState, priority::Priority};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One class of work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ClassView {
    pub name: String,
    pub queued: u64,
    pub done: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub timed_out: u64,
    /// Ended after their deadline without having noticed it.
    pub overdue: u64,
    /// Steps of asynchronous tasks.
    #[serde(default)]
    pub steps: u64,
    /// Worker time so far, that of running tasks included, ms.
    pub busy_ms: f64,
    /// How long tasks and steps ran: at most twice the median and the 99th percentile, ms.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    #[serde(default)]
    pub p99_ms: Option<f64>,
}

/// A pool at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PoolView {
    pub uptime_ms: f64,
    /// Most urgent first.
    pub classes: Vec<ClassView>,
    pub workers: Vec<WorkerView>,
    /// How long the reactor let others wait for a turn, as for classes, ms; none without a reactor or watchdog.
    #[serde(default)]
    pub lag_p50_ms: Option<f64>,
    #[serde(default)]
    pub lag_p99_ms: Option<f64>,
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct WorkerView {
    pub worker: usize,
    /// Whether it is the reactor's thread.
    #[serde(default)]
    pub reactor: bool,
    /// The system's number of its thread; 0 where unknown.
    #[serde(default)]
    pub tid: u32,
    /// Outermost first; the last is on the processor.
    pub running: Vec<RunningView>,
    pub busy_ms: f64,
    /// Tasks taken from another worker's hands.
    pub stolen: u64,
}

/// One running task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RunningView {
    pub label: String,
    pub class: String,
    pub owner: u64,
    pub elapsed_ms: f64,
    /// How far past its deadline, ms.
    pub overdue_ms: Option<f64>,
    /// `cancelled` or `timed out` once it has been asked to stop.
    pub stopping: Option<String>,
    /// What it waits for outside of the process, on purpose, and for how long so far, ms.
    #[serde(default)]
    pub waits_for: Option<String>,
    #[serde(default)]
    pub waits_ms: Option<f64>,
}

fn stop_word(reason: StopReason) -> String {
    match reason {
        StopReason::Cancelled => "cancelled".into(),
        StopReason::TimedOut => "timed out".into(),
    }
}

fn ms_of_ns(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl From<&Snapshot> for PoolView {
    fn from(snapshot: &Snapshot) -> Self {
        let class = |class: Priority| {
            let counts = &snapshot.counts[class];
            ClassView {
                name: class.as_str().into(),
                queued: snapshot.queued[class],
                done: counts.done,
                failed: counts.failed,
                cancelled: counts.cancelled,
                timed_out: counts.timed_out,
                overdue: counts.overdue,
                steps: counts.steps,
                busy_ms: ms(snapshot.busy[class]),
                p50_ms: snapshot.times[class].quantile(0.5).map(ms),
                p99_ms: snapshot.times[class].quantile(0.99).map(ms),
            }
        };
        Self {
            uptime_ms: ms(snapshot.uptime),
            classes: Priority::ALL.map(class).into(),
            workers: snapshot.workers.iter().map(WorkerView::from).collect(),
            lag_p50_ms: snapshot.lag.quantile(0.5).map(ms),
            lag_p99_ms: snapshot.lag.quantile(0.99).map(ms),
        }
    }
}

impl From<&WorkerState> for WorkerView {
    fn from(state: &WorkerState) -> Self {
        Self {
            worker: state.worker,
            reactor: state.reactor,
            tid: state.tid,
            running: state.running.iter().map(RunningView::from).collect(),
            busy_ms: ms(state.busy),
            stolen: state.stolen,
        }
    }
}

impl From<&Running> for RunningView {
    fn from(running: &Running) -> Self {
        Self {
            label: running.label.to_string(),
            class: running.class.as_str().into(),
            owner: running.owner,
            elapsed_ms: ms(running.elapsed),
            overdue_ms: running.overdue.map(ms),
            stopping: running.stopping.map(stop_word),
            waits_for: running.waits_for.as_ref().map(|(what, _)| what.to_string()),
            waits_ms: running.waits_for.as_ref().map(|(_, time)| ms(*time)),
        }
    }
}

/// A thread that did not go on for long, or does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct StallView {
    pub pool: String,
    /// `worker 0`, or `reactor`.
    pub thread: String,
    pub tid: u32,
    /// The task that holds it up, with the scopes and places around it; or what is known.
    pub task: String,
    /// Whether the thread computes; otherwise it is blocked.
    pub computes: bool,
    /// State and place in the kernel, as far as the system tells.
    pub kernel: String,
    /// Where it was when it was noticed, innermost first; empty where that could not be found out.
    pub stack: Vec<String>,
    /// For how long so far, or in all, ms.
    pub for_ms: f64,
    /// Whether it goes on.
    pub over: bool,
}
