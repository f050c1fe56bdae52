//! The first view: queues, workers, what runs, and what is wrong.

use super::{BOLD, DIM, bar, heads, right, time, titled};
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
use springtide_runtime::observe::Condition;
use std::time::Duration;

/// Width from which times of tasks are shown, too.
const WIDE: u16 = 100;
/// Width below which bars are short.
const NARROW: u16 = 80;

pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let workers: usize = state.all.pools.values().map(|p| p.workers.len()).sum();
    let classes = state.all.pools.len() * 4;
    let tables = Layout::vertical([
        Constraint::Length((classes as u16 + 2).min(area.height / 3)),
        Constraint::Length((workers as u16 + 2).min(area.height / 4)),
        Constraint::Min(4),
        Constraint::Length(below(model, state)),
    ]);
    let [queues_at, workers_at, tasks_at, rest_at] = tables.areas(area);
    queues(frame, queues_at, model, state);
    worker_table(frame, workers_at, model, state);
    tasks(frame, tasks_at, model);
    rest(frame, rest_at, model, state);
}

fn queues(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let wide = area.width >= WIDE;
    let mut rows = Vec::new();
    for (name, pool) in &state.all.pools {
        for (k, class) in pool.classes.iter().enumerate() {
            let bad = class.failed + class.timed_out;
            let number = |n: u64| right(group(n as f64, 0));
            let mut cells = vec![
                Cell::new(format!("{name} {}", class.name)),
                number(class.queued),
                right(format!("{}/s", si(model.rates.ended.get(name).map_or(0.0, |e| e[k])))),
                number(class.done),
                number(bad).style(if bad > 0 { Style::new().fg(Color::Red) } else { Style::new() }),
            ];
            if wide {
                cells.extend([class.p50_ms, class.p99_ms].map(|ms| right(ms.map_or("–".into(), time))));
            }
            cells.push(Cell::new(format!(
                "  {}",
                bar(model.rates.shares.get(name).map_or(0.0, |s| s[k]), area.width)
            )));
            rows.push(Row::new(cells));
        }
    }
    let mut head = vec![Cell::new("class"), right("queued"), right("ended"), right("done"), right("failed")];
    let mut widths =
        if area.width < NARROW { [14, 8, 8, 11, 7].to_vec() } else { [16, 10, 10, 12, 8].to_vec() };
    if wide {
        head.extend([right("p50 ≤"), right("p99 ≤")]);
        widths.extend([10, 10]);
    }
    head.push(Cell::new("  share of worker time"));
    let widths = widths
        .into_iter()
        .map(Constraint::Length)
        .chain([Constraint::Min(if area.width < NARROW { 15 } else { 28 })]);
    let table = Table::new(rows, widths).header(Row::new(head).style(DIM)).block(titled("Queues"));
    frame.render_widget(table, area);
}

fn worker_table(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let mut rows = Vec::new();
    for (name, pool) in &state.all.pools {
        for worker in &pool.workers {
            let share = model.rates.worker.get(&(name.clone(), worker.worker)).copied().unwrap_or(0.0);
            let doing = worker.running.last().map_or_else(|| "idle".into(), |t| t.label.clone());
            rows.push(Row::new([
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
    let widths = [
        Constraint::Length(14),
        Constraint::Length(if area.width < NARROW { 17 } else { 26 }),
        Constraint::Length(9),
        Constraint::Min(10),
    ];
    let head =
        Row::new([Cell::new("worker"), Cell::new("busy"), right("stolen"), Cell::new("  runs")]).style(DIM);
    frame.render_widget(Table::new(rows, widths).header(head).block(titled("Workers")), area);
}

fn tasks(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let all = model.tasks();
    let title = format!("Running tasks: {} ({})", all.len(), model.sort.as_str());
    let first = model.first_row.min(all.len().saturating_sub(1));
    let rows = all.iter().skip(first).map(|row| {
        let late = row.task.overdue_ms.map_or(String::new(), |ms| format!(" +{}", time(ms)));
        let state = row.task.stopping.clone().unwrap_or_default();
        Row::new([
            right(time(row.task.elapsed_ms)),
            Cell::new(format!("  {}", row.task.class)),
            Cell::new(format!("{} {}", row.pool, row.worker)),
            Cell::new(format!("{state}{late}")).style(Style::new().fg(Color::Red)),
            Cell::new(row.task.label.clone()),
        ])
    });
    let widths = [10, 11, 8, 12].map(Constraint::Length).into_iter().chain([Constraint::Min(20)]);
    let table = Table::new(rows, widths)
        .header(heads(["       for", "  class", "worker", "", "task"]))
        .block(titled(title));
    frame.render_widget(table, area);
}

/// Lines of the lowest part.
fn below(model: &Model, state: &State) -> u16 {
    (rest_lines(model, state).len() as u16 + 1).min(14)
}

fn rest(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let lines = rest_lines(model, state);
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
