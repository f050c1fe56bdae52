//! A pool's state as others read it: names and numbers with their units in the name.

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
    /// Worker time of tasks that ended, ms.
    pub busy_ms: f64,
}

/// A pool at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PoolView {
    pub uptime_ms: f64,
    /// Most urgent first.
    pub classes: Vec<ClassView>,
    pub workers: Vec<WorkerView>,
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct WorkerView {
    pub worker: usize,
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
                busy_ms: ms(snapshot.busy[class]),
            }
        };
        Self {
            uptime_ms: ms(snapshot.uptime),
            classes: Priority::ALL.map(class).into(),
            workers: snapshot.workers.iter().map(WorkerView::from).collect(),
        }
    }
}

impl From<&WorkerState> for WorkerView {
    fn from(state: &WorkerState) -> Self {
        Self {
            worker: state.worker,
            running: state.running.iter().map(RunningView::from).collect(),
            busy_ms: ms(state.busy),
            stolen: state.stolen,
        }
    }
}

impl From<&Running> for RunningView {
    fn from(running: &Running) -> Self {
        let word = |reason: StopReason| match reason {
            StopReason::Cancelled => "cancelled".to_owned(),
            StopReason::TimedOut => "timed out".to_owned(),
        };
        Self {
            label: running.label.to_string(),
            class: running.class.as_str().into(),
            owner: running.owner,
            elapsed_ms: ms(running.elapsed),
            overdue_ms: running.overdue.map(ms),
            stopping: running.stopping.map(word),
        }
    }
}
