//! The tree of scopes and tasks at one moment, for people.

use super::{cell::Cell, place::Waiting, scope::Core};
use crate::{
    label::Label,
    priority::Priority,
    registry::{StopReason, TaskId},
};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// A scope and what lives in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeNode {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub label: Label,
    /// Whose work it is.
    pub owner: u64,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// Its tasks that have not ended.
    pub tasks: Vec<TaskNode>,
    /// Further ones that are not shown.
    pub more: usize,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskPhase {
    /// It waits for something to happen.
    Waiting,
    /// It is due and waits for a worker.
    Queued,
    /// A worker runs one of its steps.
    Running,
    /// It is over, but tasks of a scope that it gave up are not.
    Ending,
}

/// An asynchronous task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskNode {
    /// Its number.
    pub id: TaskId,
    /// Its name.
    pub label: Label,
    /// Its class.
    pub class: Priority,
    /// What it does.
    pub phase: TaskPhase,
    /// How long ago its last step ended, or it was spawned.
    pub since: Duration,
    /// Steps so far.
    pub steps: u32,
    /// Time spent in them.
    pub busy: Duration,
    /// Time left until its deadline.
    pub remaining: Option<Duration>,
    /// Whether, and why, it was asked to stop.
    pub stopping: Option<StopReason>,
    /// Where it waits.
    pub waiting: Vec<Waiting>,
    /// Scopes it has opened.
    pub scopes: Vec<ScopeNode>,
}

/// All scopes and tasks of a runtime; its display is the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The outermost scope.
    pub root: ScopeNode,
}

impl Tree {
    /// At most `most` tasks of it.
    pub(super) fn of(root: &Arc<Core>, mut most: usize) -> Self {
        Self { root: scope_node(root, Instant::now(), &mut most) }
    }

    /// Tasks in it.
    pub fn tasks(&self) -> usize {
        fn count(scope: &ScopeNode) -> usize {
            let shown = scope.tasks.iter().map(|task| 1 + task.scopes.iter().map(count).sum::<usize>());
            scope.more + shown.sum::<usize>()
        }
        count(&self.root)
    }
}

fn scope_node(core: &Arc<Core>, now: Instant, left: &mut usize) -> ScopeNode {
    let cells = core.cells(*left);
    *left -= cells.len();
    let live = core.live();
    ScopeNode {
        id: core.id(),
        label: core.label().clone(),
        owner: core.owner(),
        cancelled: core.token().is_cancelled(),
        more: live.saturating_sub(cells.len()),
        tasks: cells.iter().map(|cell| task_node(cell, now, left)).collect(),
    }
}

fn task_node(cell: &Arc<Cell>, now: Instant, left: &mut usize) -> TaskNode {
    let facts = cell.facts(cell.scope().ns_at(now));
    let phase = match (facts.held, facts.running, facts.queued) {
        (true, ..) => TaskPhase::Ending,
        (_, true, _) => TaskPhase::Running,
        (_, _, true) => TaskPhase::Queued,
        _ => TaskPhase::Waiting,
    };
    let (waiting, scopes) =
        cell.peek_places(|places| (places.waiting(now), places.scopes())).unwrap_or_default();
    TaskNode {
        id: cell.id(),
        label: cell.label().clone(),
        class: cell.class(),
        phase,
        since: facts.since,
        steps: facts.steps,
        busy: facts.busy,
        remaining: cell.deadline().map(|at| at.saturating_duration_since(now)),
        stopping: cell.stopping(now),
        waiting,
        scopes: scopes.iter().map(|core| scope_node(core, now, left)).collect(),
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_scope(&self.root, 0, f)
    }
}

fn show_scope(scope: &ScopeNode, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let cancelled = if scope.cancelled { ", cancelled" } else { "" };
    let ScopeNode { label, owner, tasks, more, .. } = scope;
    writeln!(
        f,
        "{:indent$}scope `{label}` (owner {owner}, {} tasks{cancelled})",
        "",
        tasks.len() + more,
        indent = 2 * depth
    )?;
    tasks.iter().try_for_each(|task| show_task(task, depth + 1, f))?;
    if *more > 0 {
        writeln!(f, "{:indent$}and {more} more", "", indent = 2 * depth + 2)?;
    }
    Ok(())
}

fn show_task(task: &TaskNode, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let indent = 2 * depth;
    let phase = match task.phase {
        TaskPhase::Waiting => "waiting",
        TaskPhase::Queued => "queued",
        TaskPhase::Running => "running",
        TaskPhase::Ending => "ending",
    };
    write!(f, "{:indent$}{} `{}` {}: {phase} for {:.1?}", "", task.id, task.label, task.class, task.since)?;
    write!(f, ", {} steps, busy {:.1?}", task.steps, task.busy)?;
    match (task.remaining, task.stopping) {
        (_, Some(StopReason::Cancelled)) => write!(f, ", cancelled")?,
        (_, Some(StopReason::TimedOut)) => write!(f, ", past its deadline")?,
        (Some(left), None) => write!(f, ", {left:.1?} left")?,
        (None, None) => {}
    }
    writeln!(f)?;
    for place in &task.waiting {
        let indent = indent + 2 + 2 * place.depth;
        writeln!(f, "{:indent$}at {} ({}) for {:.1?}", "", place.what, place.location, place.elapsed)?;
    }
    task.scopes.iter().try_for_each(|scope| show_scope(scope, depth + 1, f))
}
