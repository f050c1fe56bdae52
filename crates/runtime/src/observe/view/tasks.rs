//! The tree of asynchronous tasks as others read it.

use super::ms;
use crate::{
    exec::{ScopeNode, TaskNode, TaskPhase, Tree, Waiting},
    label::Label,
    pool::Unreported,
};
use serde::{Deserialize, Serialize};

/// The tasks of one runtime.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RuntimeView {
    pub name: String,
    pub root: ScopeView,
    /// Failures whose scope's owner was not told, because another came first or the scope had ended.
    pub unreported: u64,
    /// The last of them.
    pub failures: Vec<String>,
}

/// A scope and what lives in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ScopeView {
    pub label: String,
    pub owner: u64,
    pub cancelled: bool,
    pub tasks: Vec<TaskView>,
    /// Further tasks that are not listed.
    pub more: u64,
}

/// An asynchronous task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TaskView {
    pub id: String,
    pub label: String,
    pub class: String,
    /// `waiting`, `queued`, `running` or `ending`.
    pub phase: String,
    /// How long ago its last step ended, ms.
    pub since_ms: f64,
    pub steps: u64,
    pub busy_ms: f64,
    pub remaining_ms: Option<f64>,
    pub stopping: Option<String>,
    /// Where it waits: outer places first.
    pub waiting: Vec<PlaceView>,
    pub scopes: Vec<ScopeView>,
}

/// A place where a task waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PlaceView {
    pub depth: u64,
    pub what: String,
    pub location: String,
    pub for_ms: f64,
}

impl RuntimeView {
    pub(crate) fn of(name: &Label, tree: &Tree, unreported: u64, failures: &[Unreported]) -> Self {
        let tell =
            |failure: &Unreported| format!("task {} `{}` {}", failure.task, failure.label, failure.cause);
        Self {
            name: name.to_string(),
            root: ScopeView::from(&tree.root),
            unreported,
            failures: failures.iter().map(tell).collect(),
        }
    }
}

impl ScopeView {
    /// Tasks in it and in the scopes below.
    pub fn count(&self) -> u64 {
        let below = |task: &TaskView| 1 + task.scopes.iter().map(Self::count).sum::<u64>();
        self.more + self.tasks.iter().map(below).sum::<u64>()
    }
}

impl From<&ScopeNode> for ScopeView {
    fn from(scope: &ScopeNode) -> Self {
        Self {
            label: scope.label.to_string(),
            owner: scope.owner,
            cancelled: scope.cancelled,
            tasks: scope.tasks.iter().map(TaskView::from).collect(),
            more: scope.more as u64,
        }
    }
}

impl From<&TaskNode> for TaskView {
    fn from(task: &TaskNode) -> Self {
        let phase = match task.phase {
            TaskPhase::Waiting => "waiting",
            TaskPhase::Queued => "queued",
            TaskPhase::Running => "running",
            TaskPhase::Ending => "ending",
        };
        Self {
            id: task.id.to_string(),
            label: task.label.to_string(),
            class: task.class.as_str().into(),
            phase: phase.into(),
            since_ms: ms(task.since),
            steps: task.steps.into(),
            busy_ms: ms(task.busy),
            remaining_ms: task.remaining.map(ms),
            stopping: task.stopping.map(super::stop_word),
            waiting: task.waiting.iter().map(PlaceView::from).collect(),
            scopes: task.scopes.iter().map(ScopeView::from).collect(),
        }
    }
}

impl From<&Waiting> for PlaceView {
    fn from(place: &Waiting) -> Self {
        Self {
            depth: place.depth as u64,
            what: place.what.to_string(),
            location: place.location.clone(),
            for_ms: ms(place.elapsed),
        }
    }
}
