//! The picture that `tide top` draws.

use super::model::Model;
use crate::{
    commands::tasks::State,
    output::{group, si},
    progress::seconds,
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table},
};
use springtide_runtime::observe::Condition;
use std::time::Duration;

const DIM: Style = Style::new().fg(Color::DarkGray);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(3), Constraint::Length(1)])
            .areas(frame.area());
    header(frame, head, model);
    match &model.state {
        Some(state) => content(frame, body, model, state),
        None => frame.render_widget(
            Paragraph::new("No tide process is running; this looks again by itself.").style(DIM),
            body,
        ),
    }
    footer(frame, foot, model);
    if model.help {
        help(frame);
    }
}

fn header(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let mut first = vec![Span::styled("tide top", BOLD)];
    let mut second = Vec::new();
    if let Some(state) = &model.state {
        let place = model.position().map_or(0, |at| at + 1);
        first.push(Span::raw(format!("  pid {}", state.pid)));
        first.push(Span::styled(format!("  ({place} of {})", model.processes.len()), DIM));
        first.push(Span::raw(format!("  up {}", seconds(Duration::from_millis(state.uptime_ms)))));
        first.extend(usage(model, state));
        second.push(Span::styled(state.about.clone(), DIM));
    }
    if let Some(error) = &model.error {
        second = vec![Span::styled(error.clone(), Style::new().fg(Color::Red))];
    }
    frame.render_widget(Paragraph::new(vec![Line::from(first), Line::from(second)]), area);
}

fn usage(model: &Model, state: &State) -> Vec<Span<'static>> {
    let Some(process) = state.sections.get("process") else { return Vec::new() };
    let mib = |name: &str| process[name].as_f64().map(|kib| format!("{:.0} MiB", kib / 1_024.0));
    let mut texts = Vec::new();
    if let Some(cpu) = model.rates.cpu {
        texts.push(format!("  cpu {:.0} %", cpu * 100.0));
    }
    if let (Some(now), Some(peak)) = (mib("memory_kib"), mib("memory_peak_kib")) {
        texts.push(format!("  memory {now} (peak {peak})"));
    }
    for (name, unit) in [("threads", "threads"), ("descriptors", "fds")] {
        if let Some(count) = process[name].as_u64() {
            texts.push(format!("  {count} {unit}"));
        }
    }
    texts.into_iter().map(Span::raw).collect()
}

fn content(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let workers: usize = state.pools.values().map(|p| p.workers.len()).sum();
    let classes = state.pools.len() * 4;
    let tables = Layout::vertical([
        Constraint::Length(classes as u16 + 2),
        Constraint::Length((workers as u16 + 2).min(area.height / 3)),
        Constraint::Min(4),
        Constraint::Length(below(model, state)),
    ]);
    let [queues_at, workers_at, tasks_at, rest_at] = tables.areas(area);
    queues(frame, queues_at, model, state);
    worker_table(frame, workers_at, model, state);
    tasks(frame, tasks_at, model);
    rest(frame, rest_at, model, state);
}

fn titled(title: impl Into<String>) -> Block<'static> {
    Block::new()
        .borders(Borders::TOP)
        .border_style(DIM)
        .title(Span::styled(format!(" {} ", title.into()), BOLD))
}

fn heads<const N: usize>(names: [&'static str; N]) -> Row<'static> {
    Row::new(names).style(DIM)
}

fn right(text: impl Into<String>) -> Cell<'static> {
    Cell::new(Line::from(text.into()).right_aligned())
}

fn bar(share: f64) -> String {
    let filled = (share * 20.0).round() as usize;
    format!("{}{} {:>3.0} %", "█".repeat(filled), "░".repeat(20 - filled.min(20)), share * 100.0)
}

fn queues(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let mut rows = Vec::new();
    for (name, pool) in &state.pools {
        for (k, class) in pool.classes.iter().enumerate() {
            let bad = class.failed + class.timed_out;
            let number = |n: u64| right(group(n as f64, 0));
            rows.push(Row::new([
                Cell::new(format!("{name} {}", class.name)),
                number(class.queued),
                right(format!("{}/s", si(model.rates.ended[k]))),
                number(class.done),
                number(bad).style(if bad > 0 { Style::new().fg(Color::Red) } else { Style::new() }),
                Cell::new(format!("  {}", bar(model.rates.share[k]))),
            ]));
        }
    }
    let widths = [16, 10, 10, 12, 8].map(Constraint::Length).into_iter().chain([Constraint::Min(28)]);
    let table = Table::new(rows, widths)
        .header(
            Row::new([
                Cell::new("class"),
                right("queued"),
                right("ended"),
                right("done"),
                right("failed"),
                Cell::new("  share of worker time"),
            ])
            .style(DIM),
        )
        .block(titled("Queues"));
    frame.render_widget(table, area);
}

fn worker_table(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let mut rows = Vec::new();
    for (name, pool) in &state.pools {
        for worker in &pool.workers {
            let share = model.rates.worker.get(&(name.clone(), worker.worker)).copied().unwrap_or(0.0);
            let doing = worker.running.last().map_or_else(|| "idle".into(), |t| t.label.clone());
            rows.push(Row::new([
                Cell::new(format!("{name} {}", worker.worker)),
                Cell::new(bar(share)),
                right(group(worker.stolen as f64, 0)),
                Cell::new(format!("  {doing}")),
            ]));
        }
    }
    let widths = [Constraint::Length(10), Constraint::Length(26), Constraint::Length(9), Constraint::Min(10)];
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

fn time(ms: f64) -> String {
    if ms < 1_000.0 { format!("{ms:.1} ms") } else { seconds(Duration::from_secs_f64(ms / 1e3)) }
}

/// Lines of the lowest part.
fn below(model: &Model, state: &State) -> u16 {
    (rest_lines(model, state).len() as u16 + 1).min(14)
}

fn rest(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let lines = rest_lines(model, state);
    frame.render_widget(Paragraph::new(lines).block(titled("Health, limits and the slowest")), area);
}

fn rest_lines(model: &Model, state: &State) -> Vec<Line<'static>> {
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
    for (name, value) in state.sections.iter().filter(|(name, _)| *name != "process") {
        lines.extend(section(name, value));
    }
    for (label, ms) in &model.slowest {
        lines.push(Line::from(vec![
            Span::styled(format!("{:>10} ", time(*ms)), DIM),
            Span::raw(label.clone()),
        ]));
    }
    lines
}

/// An object on one line; a list of objects, one line each.
fn section(name: &str, value: &serde_json::Value) -> Vec<Line<'static>> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join("  ")
        }
        other => plain(other),
    };
    let values: Vec<&serde_json::Value> = match value {
        serde_json::Value::Array(all) => all.iter().collect(),
        one => vec![one],
    };
    values
        .into_iter()
        .map(|value| Line::from(vec![Span::styled(format!("{name}: "), DIM), Span::raw(text(value))]))
        .collect()
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(n) if n.is_u64() => group(n.as_f64().unwrap_or(0.0), 0),
        other => other.to_string(),
    }
}

fn footer(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let paused = if model.paused { "  PAUSED" } else { "" };
    let keys = " q quit  Tab next process  j/k scroll  s sort  p pause  ? help";
    let line =
        Line::from(vec![Span::styled(keys, DIM), Span::styled(paused, Style::new().fg(Color::Yellow))]);
    frame.render_widget(Paragraph::new(line), area);
}

const HELP: &str = " q, Esc      quit
 Tab, l, →   next process      ←   the one before
 j, k, ↓, ↑  scroll the tasks  g   to the first
 s           sort: longest, worker, name
 p, space    pause

 share: worker time of a class since the last look
 stolen: tasks taken from another worker's hands
 red: a task asked to stop, or +time past its deadline";

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (58.min(area.width), 12.min(area.height));
    let at = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, at);
    frame.render_widget(Paragraph::new(HELP).block(Block::bordered().title(" Keys ")), at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::{Terminal, backend::TestBackend};

    fn text(width: u16, height: u16, model: &Model) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(frame, model)).expect("draws");
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_the_screen_however_small() {
        let mut model = Model::new(None);
        assert!(text(80, 24, &model).contains("No tide process is running"));
        model.state = Some(super::super::model::tests::state(1_500, 1.0));
        let full = text(120, 40, &model);
        for want in
            ["pid 7", "memory 20 MiB (peak 30 MiB)", "1,234", "Cross on X Fast=5", "ledger ok for", "12.5 ms"]
        {
            assert!(full.contains(want), "{want} is missing:\n{full}");
        }
        model.help = true;
        // Small and tiny terminals must not panic.
        for (width, height) in [(40, 12), (20, 5), (1, 1), (120, 3)] {
            text(width, height, &model);
        }
    }
}
