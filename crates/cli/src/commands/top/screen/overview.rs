//! The first view: queues, workers, what runs, and what is wrong.

use super::{BOLD, DIM, NARROW, bar, right, time, titled};
use crate::{
    commands::{tasks::State, top::model::Model},
    output::{group, si},
    progress::seconds,
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table},
};
use springtide_runtime::observe::{ClassView, Condition};
use std::time::Duration;

/// Width from which times of tasks are shown, too.
const WIDE: u16 = 112;

pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let workers: usize = state.all.pools.values().map(|p| p.workers.len()).sum();
    let classes = state.all.pools.values().flat_map(|p| &p.classes);
    let busy = classes.clone().filter(|class| is_in_use(class)).count();
    let rest_lines = rest_lines(model, state);
    let parts = Parts::of(area.height, [classes.count(), busy, workers, rest_lines.len()].map(|n| n as u16));
    let tables = Layout::vertical(parts.heights.map(Constraint::Length));
    let [queues_at, workers_at, tasks_at, rest_at] = tables.areas(area);
    queues(frame, queues_at, model, state, parts.only_in_use);
    worker_table(frame, workers_at, model, state);
    tasks(frame, tasks_at, model);
    rest(frame, rest_at, rest_lines);
}

/// Whether there is, or was, anything of a class.
fn is_in_use(class: &ClassView) -> bool {
    class.queued + class.done + class.failed + class.cancelled + class.timed_out + class.steps > 0
        || class.busy_ms > 0.0
}

/// Lines of a table's title and head.
const HEAD: u16 = 2;
/// Most lines of the lowest part.
const REST_MAX: u16 = 14;

/// How the height is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    /// Of queues, workers, tasks and the rest.
    heights: [u16; 4],
    /// There is no room for classes of which there is nothing.
    only_in_use: bool,
}

impl Parts {
    /// Classes in use and all workers come first; then the rest, and the list of tasks, which the workers show, too.
    fn of(height: u16, [classes, in_use, workers, rest]: [u16; 4]) -> Self {
        // The lowest part's title and two of its lines.
        let spare = height.saturating_sub(3);
        let only_in_use = classes + workers + 2 * HEAD > spare;
        let rows = if only_in_use { in_use.max(1) } else { classes };
        let queues = (rows + HEAD).min(height * 2 / 3);
        let workers = (workers + HEAD).min(spare.saturating_sub(queues).max(height / 4));
        let left = height.saturating_sub(queues + workers);
        let rest = (rest + 1).min(REST_MAX).min(left.saturating_sub(HEAD + 1).max(3)).min(left);
        let tasks = left - rest;
        // A list without a line is none.
        let (tasks, rest) = if tasks > HEAD { (tasks, rest) } else { (0, left) };
        Self { heights: [queues, workers, tasks, rest], only_in_use }
    }
}

/// The columns of a table that have room; a number that is cut would be another number.
struct Columns {
    widths: Vec<u16>,
    kept: Vec<usize>,
}

impl Columns {
    /// Those of `widths` that fit into `room`: as long as they do not, the next of `dispensable` goes.
    fn of(widths: &[u16], dispensable: &[usize], room: u16) -> Self {
        let mut kept: Vec<usize> = (0..widths.len()).collect();
        for column in dispensable {
            let needed: u16 = kept.iter().map(|k| widths[*k] + 1).sum();
            if needed <= room + 1 {
                break;
            }
            kept.retain(|k| k != column);
        }
        Self { widths: widths.to_vec(), kept }
    }

    fn row(&self, cells: impl IntoIterator<Item = Cell<'static>>) -> Row<'static> {
        Row::new(cells.into_iter().enumerate().filter(|(k, _)| self.kept.contains(k)).map(|(_, cell)| cell))
    }

    /// What is left over belongs to the last column of all.
    fn constraints(&self) -> Vec<Constraint> {
        let last = self.widths.len() - 1;
        let one = |&k: &usize| match self.widths[k] {
            width if k == last => Constraint::Min(width),
            width => Constraint::Length(width),
        };
        self.kept.iter().map(one).collect()
    }

    fn table(&self, rows: Vec<Row<'static>>, head: Row<'static>, title: impl Into<String>) -> Table<'static> {
        Table::new(rows, self.constraints()).header(head.style(DIM)).block(titled(title))
    }
}

/// A number in full where there is room, else in short.
fn whole_or_short(n: u64, room: u16) -> String {
    let whole = group(n as f64, 0);
    if whole.len() <= usize::from(room) { whole } else { si(n as f64) }
}

fn queues(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State, only_in_use: bool) {
    let widths: &[u16] = match area.width {
        WIDE.. => &[16, 10, 10, 12, 8, 10, 10, 28],
        NARROW.. => &[16, 10, 10, 12, 8, 0, 0, 28],
        _ => &[14, 8, 8, 11, 7, 0, 0, 16],
    };
    let times: &[usize] = if area.width < WIDE { &[5, 6] } else { &[] };
    let columns = Columns::of(widths, &[times, &[7, 2, 4, 3]].concat(), area.width);
    let mut rows = Vec::new();
    for (name, pool) in &state.all.pools {
        for (k, class) in pool.classes.iter().enumerate() {
            if only_in_use && !is_in_use(class) {
                continue;
            }
            let bad = class.failed + class.timed_out;
            let number = |n: u64, column: usize| right(whole_or_short(n, widths[column]));
            let quantile = |ms: Option<f64>| right(ms.map_or("–".into(), time));
            let share = model.rates.shares.get(name).map_or(0.0, |s| s[k]);
            rows.push(columns.row([
                Cell::new(format!("{name} {}", class.name)),
                number(class.queued, 1),
                right(format!("{}/s", si(model.rates.ended.get(name).map_or(0.0, |e| e[k])))),
                number(class.done, 3),
                number(bad, 4).style(if bad > 0 { Style::new().fg(Color::Red) } else { Style::new() }),
                quantile(class.p50_ms),
                quantile(class.p99_ms),
                Cell::new(format!("  {}", bar(share, area.width))),
            ]));
        }
    }
    let head = columns.row([
        Cell::new("class"),
        right("queued"),
        right("ended"),
        right("done"),
        right("failed"),
        right("p50 ≤"),
        right("p99 ≤"),
        Cell::new("  share of worker time"),
    ]);
    frame.render_widget(columns.table(rows, head, "Queues"), area);
}

fn worker_table(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let room = usize::from(area.height.saturating_sub(HEAD));
    let columns = Columns::of(&[14, if area.width < NARROW { 17 } else { 26 }, 9, 10], &[2, 1], area.width);
    let mut rows = Vec::new();
    for (name, pool) in &state.all.pools {
        for worker in &pool.workers {
            let share = model.rates.worker.get(&(name.clone(), worker.worker)).copied().unwrap_or(0.0);
            let doing = worker.running.last().map_or_else(
                || "idle".into(),
                |task| match &task.waits_for {
                    Some(what) => format!("{}, waiting for {what}", task.label),
                    None => task.label.clone(),
                },
            );
            rows.push(columns.row([
                Cell::new(match worker.reactor {
                    true => format!("{name} reactor"),
                    false => format!("{name} {}", worker.worker),
                }),
                Cell::new(bar(share, area.width)),
                right(group(worker.stolen as f64, 0)),
                Cell::new(format!("  {doing}")),
            ]));
        }
    }
    let head = columns.row([Cell::new("worker"), Cell::new("busy"), right("stolen"), Cell::new("  runs")]);
    let title = match rows.len() {
        all if all > room => format!("Workers: {room} of {all}, for want of room"),
        _ => "Workers".into(),
    };
    frame.render_widget(columns.table(rows, head, title), area);
}

fn tasks(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let all = model.tasks();
    let title = format!("Running tasks: {} ({})", all.len(), model.sort.as_str());
    let columns = Columns::of(&[10, 11, 8, 12, 20], &[2, 1, 3], area.width);
    let first = model.first_row.min(all.len().saturating_sub(1));
    let rows = all.iter().skip(first).map(|row| {
        let late = row.task.overdue_ms.map_or(String::new(), |ms| format!(" +{}", time(ms)));
        let state = row.task.stopping.clone().unwrap_or_default();
        columns.row([
            right(time(row.task.elapsed_ms)),
            Cell::new(format!("  {}", row.task.class)),
            Cell::new(format!("{} {}", row.pool, row.worker)),
            Cell::new(format!("{state}{late}")).style(Style::new().fg(Color::Red)),
            Cell::new(row.task.label.clone()),
        ])
    });
    let head = columns.row(["       for", "  class", "worker", "", "task"].map(Cell::new));
    frame.render_widget(columns.table(rows.collect(), head, title), area);
}

fn rest(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    frame.render_widget(Paragraph::new(lines).block(titled("Health, limits and the slowest")), area);
}

/// Everything below the tables.
fn rest_lines(model: &Model, state: &State) -> Vec<Line<'static>> {
    let mut lines = vec![waits(state)];
    lines.extend(health(state));
    for (name, value) in state.sections.iter().filter(|(name, _)| *name != "process") {
        lines.extend(super::section(name, value));
    }
    for (label, ms) in &model.slowest {
        lines.push(Line::from(vec![
            Span::styled(format!("{:>10} ", time(*ms)), DIM),
            Span::raw(label.clone()),
        ]));
    }
    lines
}

/// What waits elsewhere, in a line.
fn waits(state: &State) -> Line<'static> {
    let all = &state.all;
    let tasks: u64 = all.runtimes.iter().map(|runtime| runtime.root.count()).sum();
    let permits: u64 = all.permits.iter().map(|permits| permits.waiting).sum();
    let limits: u64 = all.limiters.iter().flat_map(|l| &l.keys).map(|key| key.waiting).sum();
    let senders: u64 = all.channels.iter().map(|channel| channel.waiting).sum();
    let dropped: u64 = all.channels.iter().map(|channel| channel.dropped).sum();
    let children: usize = all.children.iter().map(|children| children.children.len()).sum();
    let texts = [
        (tasks, "async tasks"),
        (permits, "wait for permits"),
        (limits, "wait for rates"),
        (senders, "senders wait"),
        (dropped, "items dropped"),
        (children as u64, "children"),
    ];
    let mut spans = Vec::new();
    for (count, what) in texts {
        let style = if count > 0 { BOLD } else { DIM };
        spans.push(Span::styled(format!("{} {what}   ", group(count as f64, 0)), style));
    }
    Line::from(spans)
}

/// A line for each component.
pub fn health(state: &State) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for component in &state.health {
        let color = match component.condition {
            Condition::Ok => Color::Green,
            Condition::Starting | Condition::Degraded => Color::Yellow,
            Condition::Failed | Condition::Dead => Color::Red,
        };
        let since = seconds(Duration::from_millis(component.since_ms));
        let mut spans = vec![
            Span::raw(format!("{} ", component.name)),
            Span::styled(format!("{:?}", component.condition).to_lowercase(), Style::new().fg(color)),
            Span::styled(format!(" for {since}"), DIM),
        ];
        if let Some(error) = &component.error {
            spans.push(Span::raw(format!("  {error}")));
        }
        lines.push(Line::from(spans));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_before_a_number_is_cut() {
        let kept = |room| Columns::of(&[14, 8, 8, 16], &[3, 1], room).kept;
        assert_eq!(kept(49), [0, 1, 2, 3]);
        assert_eq!(kept(48), [0, 1, 2]);
        assert_eq!(kept(31), [0, 2]);
        assert_eq!(kept(0), [0, 2], "what cannot be done without stays");
        assert_eq!(
            (whole_or_short(1_234_567, 9), whole_or_short(1_234_567, 8)),
            ("1,234,567".into(), "1.2 M".into())
        );
    }

    #[test]
    fn classes_in_use_and_workers_have_their_lines_first() {
        // Of 16 lines 13 are left for this.
        let small = Parts::of(13, [4, 1, 2, 9]);
        assert_eq!((small.heights, small.only_in_use), ([6, 4, 0, 3], false));
        let smaller = Parts::of(13, [4, 1, 3, 9]);
        assert_eq!((smaller.heights, smaller.only_in_use), ([3, 5, 0, 5], true));
        let large = Parts::of(37, [4, 1, 2, 9]);
        assert_eq!((large.heights, large.only_in_use), ([6, 4, 17, 10], false));
        for height in 0..60 {
            for workers in [0, 2, 40] {
                let Parts { heights, .. } = Parts::of(height, [8, 3, workers, 9]);
                assert!(heights.iter().sum::<u16>() <= height, "{height}: {heights:?}");
                assert!(height < 12 || heights[1] >= workers.min(1) + HEAD, "{height}: {heights:?}");
            }
        }
    }
}
