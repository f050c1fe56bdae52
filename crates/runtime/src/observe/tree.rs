//! A pool as a tree of text: workers, and what each runs.

use super::view::{ChannelView, PoolView, RunningView};

/// A line and what hangs below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The line.
    pub text: String,
    /// Below it.
    pub children: Vec<Node>,
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
    let workers = pool.workers.iter().map(|worker| Node {
        text: match worker.running.is_empty() {
            true => format!("worker {}: idle", worker.worker),
            false => format!("worker {}", worker.worker),
        },
        children: nested(&worker.running),
    });
    Node { text: format!("pool {name}: {queued}"), children: workers.collect() }
}

/// A channel in a line.
pub(super) fn channel_line(channel: &ChannelView) -> Node {
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
    Node { text, children: Vec::new() }
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
    if let Some(late) = task.overdue_ms {
        text.push_str(&format!(", {} past its deadline", time(late)));
    }
    if let Some(why) = &task.stopping {
        text.push_str(&format!(", asked to stop ({why})"));
    }
    text
}

fn time(ms: f64) -> String {
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
    use crate::observe::{WorkerView, view::ClassView};

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
        };
        let want = "pool cpu: 3 low queued\n\
                    ├─ worker 0\n\
                    │  └─ sum [high] for 1.5 s, waits for its children\n\
                    │     └─ part [high] for 2.2 ms, 2.0 ms past its deadline\n\
                    └─ worker 1: idle\n";
        assert_eq!(draw_tree(&pool_tree("cpu", &pool)), want);
    }
}
