//! A pool's state as others read it: names and numbers with their units in the name.

use crate::{Running, Snapshot, StopReason, WorkerState, channel::ChannelSnapshot, priority::Priority};
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

/// A channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ChannelView {
    pub name: String,
    /// `block`, `drop-newest`, `drop-oldest`, `conflate` or `fail`.
    pub when_full: String,
    pub items: u64,
    pub items_limit: u64,
    pub items_max: u64,
    pub bytes: u64,
    pub bytes_limit: u64,
    pub bytes_max: u64,
    pub senders: u64,
    /// Senders that wait for room.
    pub waiting: u64,
    /// How long the first of them has been waiting, ms.
    pub longest_wait_ms: Option<f64>,
    /// Whether the receiver waits for an item.
    pub receiver_waits: bool,
    pub closed: bool,
    pub sent: u64,
    pub received: u64,
    /// Items that were handed over and no receiver saw, of all kinds.
    pub dropped: u64,
    pub dropped_newest: u64,
    pub dropped_oldest: u64,
    pub conflated: u64,
    pub abandoned: u64,
    /// Items given back to their senders.
    pub refused: u64,
    pub withdrawn: u64,
    /// Items that had to wait for room, and for how long in all.
    pub waits: u64,
    pub waited_ms: f64,
}

impl From<&ChannelSnapshot> for ChannelView {
    fn from(seen: &ChannelSnapshot) -> Self {
        let counts = &seen.counts;
        Self {
            name: seen.name.to_string(),
            when_full: seen.when_full.as_str().into(),
            items: seen.items as u64,
            items_limit: seen.bound.items as u64,
            items_max: counts.items_max as u64,
            bytes: seen.bytes as u64,
            bytes_limit: seen.bound.bytes as u64,
            bytes_max: counts.bytes_max as u64,
            senders: seen.senders as u64,
            waiting: seen.waiting as u64,
            longest_wait_ms: seen.longest_wait.map(ms),
            receiver_waits: seen.receiver_waits,
            closed: seen.closed,
            sent: counts.sent,
            received: counts.received,
            dropped: counts.dropped(),
            dropped_newest: counts.dropped_newest,
            dropped_oldest: counts.dropped_oldest,
            conflated: counts.conflated,
            abandoned: counts.abandoned,
            refused: counts.refused,
            withdrawn: counts.withdrawn,
            waits: counts.waits,
            waited_ms: ms(counts.waited),
        }
    }
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
