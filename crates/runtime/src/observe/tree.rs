//! What runs and what waits as trees of text.

use super::view::{
    ChannelView, ChildrenView, LimiterView, PermitsView, PoolView, RunningView, RuntimeView, ScopeView,
    StallView, TaskView, TicketView,
};

use std::collections::BTreeMap;

/// A line and what hangs below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The line.
    pub text: String,
    /// Below it.
    pub children: Vec<Node>,
}

impl Node {
    fn leaf(text: impl Into<String>) -> Self {
        Self { text: text.into(), children: Vec::new() }
    }
}

/// The pool's workers with what each runs; a task that waits for its children has them below it.
pub fn pool_tree(name: &str, pool: &PoolView) -> Node {
    let queued: Vec<String> = pool
        .classes
        .iter()
        .filter(|class| class.queued > 0)
        .map(|class| format!("{} {} queued", class.queued, class.name))
        .collect();
    let queued = if queued.is_empty() { "nothing queued".into() } else { queued.join(", ") };
    let workers = pool.workers.iter().map(|worker| {
        let thread = if worker.reactor { "reactor".into() } else { format!("worker {}", worker.worker) };
        let idle = if worker.running.is_empty() { ": idle" } else { "" };
        Node { text: format!("{thread}{idle}"), children: nested(&worker.running) }
    });
    Node { text: format!("pool {name}: {queued}"), children: workers.collect() }
}

fn nested(running: &[RunningView]) -> Vec<Node> {
    let Some((first, rest)) = running.split_first() else { return Vec::new() };
    vec![Node { text: describe(first, rest.is_empty()), children: nested(rest) }]
}

fn describe(task: &RunningView, on_processor: bool) -> String {
    let mut text = format!("{} [{}] for {}", task.label, task.class, time(task.elapsed_ms));
    if !on_processor {
        text.push_str(", waits for its children");
    }
    if let (Some(what), Some(waited)) = (&task.waits_for, task.waits_ms) {
        text.push_str(&format!(", waiting for {what} for {}", time(waited)));
    }
    if let Some(late) = task.overdue_ms {
        text.push_str(&format!(", {} past its deadline", time(late)));
    }
    if let Some(why) = &task.stopping {
        text.push_str(&format!(", asked to stop ({why})"));
    }
    text
}

/// A runtime's scopes and tasks, each with where it waits.
pub fn runtime_tree(runtime: &RuntimeView) -> Node {
    let mut node = scope_node(&runtime.root);
    node.text = format!("tasks of {}: {}", runtime.name, runtime.root.count());
    if runtime.unreported > 0 {
        let text = format!("{} failures nobody was told of, the last:", runtime.unreported);
        let children = runtime.failures.iter().map(Node::leaf).collect();
        node.children.push(Node { text, children });
    }
    node
}

fn scope_node(scope: &ScopeView) -> Node {
    let cancelled = if scope.cancelled { ", cancelled" } else { "" };
    let mut children = Vec::new();
    let mut alike: BTreeMap<Alike<'_>, usize> = BTreeMap::new();
    for task in &scope.tasks {
        let count = alike.entry(Alike::of(task)).or_default();
        *count += 1;
        if *count <= ALIKE_SHOWN || !task.scopes.is_empty() {
            children.push(task_node(task));
        }
    }
    for (Alike { label, class, phase, at }, count) in alike.into_iter().filter(|(_, n)| *n > ALIKE_SHOWN) {
        let at = at.map_or(String::new(), |at| format!(" at {at}"));
        children.push(Node::leaf(format!("{} more: {label} [{class}] {phase}{at}", count - ALIKE_SHOWN)));
    }
    if scope.more > 0 {
        children.push(Node::leaf(format!("and {} more", scope.more)));
    }
    Node { text: format!("scope {} (owner {}{cancelled})", scope.label, scope.owner), children }
}

/// Tasks of a scope that are alike are listed up to this many, then counted.
const ALIKE_SHOWN: usize = 3;

/// What makes tasks alike: all but their times.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike<'a> {
    label: &'a str,
    class: &'a str,
    phase: &'a str,
    /// The innermost place.
    at: Option<&'a str>,
}

impl<'a> Alike<'a> {
    fn of(task: &'a TaskView) -> Self {
        let at = task.waiting.last().map(|place| place.what.as_str());
        Self { label: &task.label, class: &task.class, phase: &task.phase, at }
    }
}

fn task_node(task: &TaskView) -> Node {
    let mut text = format!("{} [{}] {} for {}", task.label, task.class, task.phase, time(task.since_ms));
    text.push_str(&format!(", {} steps, busy {}", task.steps, time(task.busy_ms)));
    match (&task.stopping, task.remaining_ms) {
        (Some(why), _) => text.push_str(&format!(", asked to stop ({why})")),
        (None, Some(left)) => text.push_str(&format!(", {} left", time(left))),
        (None, None) => {}
    }
    let mut node = Node::leaf(text);
    for place in &task.waiting {
        // Outer places come before inner ones: the last one of the level above is around this one.
        let mut into = &mut node;
        for _ in 0..place.depth {
            if into.children.is_empty() {
                break;
            }
            into = into.children.last_mut().expect("checked above");
        }
        let text = format!("at {} ({}) for {}", place.what, place.location, time(place.for_ms));
        into.children.push(Node::leaf(text));
    }
    node.children.extend(task.scopes.iter().map(scope_node));
    node
}

/// Permits with who waits and who holds.
pub fn permits_tree(permits: &PermitsView) -> Node {
    let PermitsView { name, limit, in_flight, waiting, tickets, .. } = permits;
    let overheld = match permits.overheld {
        0 => String::new(),
        count => format!(", {count} held for too long"),
    };
    Node {
        text: format!("permits {name}: {in_flight} of {limit} out, {waiting} wait{overheld}"),
        children: tickets.iter().map(ticket).collect(),
    }
}

fn ticket(ticket: &TicketView) -> Node {
    let TicketView { label, class, key, for_ms, held, .. } = ticket;
    let doing = if *held { "held" } else { "waits" };
    // Without a label of its own it is known by its key.
    let to = if label == key { String::new() } else { format!(" to {key}") };
    Node::leaf(format!("{doing} for {}: {label} [{class}]{to}", time(*for_ms)))
}

/// A limiter with its keys that hold something up, and who waits.
pub fn limiter_tree(limiter: &LimiterView) -> Node {
    let waiting: u64 = limiter.keys.iter().map(|key| key.waiting).sum();
    let next = limiter.next_in_ms.map_or(String::new(), |ms| format!(", next in {}", time(ms)));
    let busy = limiter.keys.iter().filter(|key| key.waiting > 0 || key.paused_ms.is_some());
    let children = busy.map(|key| {
        let paused = match (key.paused_ms, &key.paused_by) {
            (Some(left), Some(why)) => format!(", paused for {} ({why})", time(left)),
            _ => String::new(),
        };
        let text = format!("{}: {} wait{paused}", key.key, key.waiting);
        Node { text, children: key.waiters.iter().map(ticket).collect() }
    });
    Node { text: format!("limiter {}: {waiting} wait{next}", limiter.name), children: children.collect() }
}

/// A channel in a line.
pub fn channel_tree(channel: &ChannelView) -> Node {
    let ChannelView { name, items, items_limit, bytes, bytes_limit, when_full, .. } = channel;
    let mut text = format!(
        "channel {name}: {items} of {items_limit} items, {bytes} of {bytes_limit} bytes ({when_full})"
    );
    if let Some(longest) = channel.longest_wait_ms {
        text.push_str(&format!(", {} senders wait, the first for {}", channel.waiting, time(longest)));
    }
    if channel.dropped > 0 {
        text.push_str(&format!(", {} dropped", channel.dropped));
    }
    if channel.closed {
        text.push_str(", closed");
    }
    Node::leaf(text)
}

/// Child processes that wait or run.
pub fn children_tree(children: &ChildrenView) -> Node {
    let ChildrenView { started, succeeded, failed, .. } = children;
    let ended = format!("{started} started, {succeeded} succeeded, {failed} failed");
    let rows = children.children.iter().map(|child| {
        let doing = match child.pid {
            Some(pid) => format!("pid {pid} for {}, cpu {}", time(child.for_ms), time(child.cpu_ms)),
            None => format!("waits for {}", time(child.for_ms)),
        };
        let memory = child.resident_bytes as f64 / 1_048_576.0;
        let of =
            if child.processes > 1 { format!(" in {} processes", child.processes) } else { String::new() };
        let doing = if child.pid.is_some() { format!("{doing}, {memory:.0} MiB{of}") } else { doing };
        let progress = child.progress.as_ref().map_or(String::new(), |text| format!(", at {text}"));
        Node::leaf(format!("{} [{}]: {doing}{progress}", child.label, child.class))
    });
    Node { text: format!("children: {ended}"), children: rows.collect() }
}

/// A thread that does not go on, with where it is.
pub fn stall_tree(stall: &StallView) -> Node {
    let StallView { pool, thread, tid, task, for_ms, over, kernel, .. } = stall;
    let how = match (over, stall.computes) {
        (true, _) => "was held up",
        (false, true) => "computes without a break",
        (false, false) => "is blocked",
    };
    let text = format!("{pool} {thread} (thread {tid}) {how} for {} in {task} ({kernel})", time(*for_ms));
    Node { text, children: stall.stack.iter().map(Node::leaf).collect() }
}

pub(super) fn time(ms: f64) -> String {
    if ms >= 1_000.0 { format!("{:.1} s", ms / 1e3) } else { format!("{ms:.1} ms") }
}

/// The tree with its branches drawn, a line per node.
pub fn draw_tree(node: &Node) -> String {
    let mut text = format!("{}\n", node.text);
    branches(&node.children, "", &mut text);
    text
}

fn branches(nodes: &[Node], indent: &str, text: &mut String) {
    for (at, node) in nodes.iter().enumerate() {
        let last = at + 1 == nodes.len();
        text.push_str(&format!("{indent}{} {}\n", if last { "└─" } else { "├─" }, node.text));
        branches(&node.children, &format!("{indent}{}  ", if last { " " } else { "│" }), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{ClassView, PlaceView, WorkerView};

    #[test]
    fn what_runs_hangs_below_its_worker() {
        let task = |label: &str, elapsed_ms| RunningView {
            label: label.into(),
            class: "high".into(),
            elapsed_ms,
            ..RunningView::default()
        };
        let pool = PoolView {
            uptime_ms: 1.0,
            classes: vec![ClassView { name: "low".into(), queued: 3, ..ClassView::default() }],
            workers: vec![
                WorkerView {
                    running: vec![
                        task("sum", 1_500.0),
                        RunningView { overdue_ms: Some(2.0), ..task("part", 2.25) },
                    ],
                    ..WorkerView::default()
                },
                WorkerView { worker: 1, ..WorkerView::default() },
            ],
            ..PoolView::default()
        };
        let want = "pool cpu: 3 low queued\n\
                    ├─ worker 0\n\
                    │  └─ sum [high] for 1.5 s, waits for its children\n\
                    │     └─ part [high] for 2.2 ms, 2.0 ms past its deadline\n\
                    └─ worker 1: idle\n";
        assert_eq!(draw_tree(&pool_tree("cpu", &pool)), want);
    }

    #[test]
    fn who_is_known_by_its_key_names_it_once() {
        let ticket = |label: &str| TicketView {
            label: label.into(),
            class: "low".into(),
            key: "host:80".into(),
            for_ms: 2.0,
            ..TicketView::default()
        };
        let tickets = vec![ticket("GET /x"), ticket("host:80")];
        let permits = PermitsView { name: "http".into(), limit: 2, tickets, ..PermitsView::default() };
        let want = "permits http: 0 of 2 out, 0 wait\n\
                    ├─ waits for 2.0 ms: GET /x [low] to host:80\n\
                    └─ waits for 2.0 ms: host:80 [low]\n";
        assert_eq!(draw_tree(&permits_tree(&permits)), want);
    }

    #[test]
    fn many_alike_are_counted() {
        let task = |label: &str| TaskView {
            label: label.into(),
            class: "low".into(),
            phase: "queued".into(),
            ..TaskView::default()
        };
        let tasks = (0..50).map(|n| task(if n == 25 { "other" } else { "flood" })).collect();
        let root = ScopeView { label: "top".into(), tasks, ..ScopeView::default() };
        let text =
            draw_tree(&runtime_tree(&RuntimeView { name: "io".into(), root, ..RuntimeView::default() }));
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(
            text.contains("─ other [low] queued") && text.contains("└─ 46 more: flood [low] queued"),
            "{text}"
        );
    }

    #[test]
    fn where_a_task_waits_hangs_below_it_inner_places_inside_outer_ones() {
        let place = |depth, what: &str| PlaceView {
            depth,
            what: what.into(),
            location: "x.rs:1".into(),
            for_ms: 3.0,
        };
        let task = TaskView {
            label: "fetch".into(),
            class: "low".into(),
            phase: "waiting".into(),
            since_ms: 5.0,
            steps: 2,
            busy_ms: 0.1,
            waiting: vec![place(0, "answer"), place(1, "permit"), place(0, "clock")],
            ..TaskView::default()
        };
        let root = ScopeView { label: "top".into(), tasks: vec![task], more: 4, ..ScopeView::default() };
        let runtime = RuntimeView { name: "io".into(), root, ..RuntimeView::default() };
        let want = "tasks of io: 5\n\
                    ├─ fetch [low] waiting for 5.0 ms, 2 steps, busy 0.1 ms\n\
                    │  ├─ at answer (x.rs:1) for 3.0 ms\n\
                    │  │  └─ at permit (x.rs:1) for 3.0 ms\n\
                    │  └─ at clock (x.rs:1) for 3.0 ms\n\
                    └─ and 4 more\n";
        assert_eq!(draw_tree(&runtime_tree(&runtime)), want);
    }
}
