//! The picture that `tide top` draws.

mod lists;
mod overview;

pub use lists::{health_lines, task_lines, waiters};

use super::model::{Model, View};
use crate::{commands::tasks::State, output::group, progress::seconds, term::columns};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Clear, Paragraph, Row},
};
use std::time::Duration;

const DIM: Style = Style::new().fg(Color::DarkGray);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Width below which bars are short.
const NARROW: u16 = 90;

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(3), Constraint::Length(1)])
            .areas(frame.area());
    header(frame, head, model);
    match &model.state {
        Some(state) => content(frame, body, model, state),
        None => frame.render_widget(Paragraph::new(nothing(model)).style(DIM), body),
    }
    footer(frame, foot, model);
    if model.help {
        help(frame);
    }
}

/// Why there is nothing to show.
fn nothing(model: &Model) -> String {
    match model.processes.len() {
        _ if !model.asked => "Asking the tide processes that run.".into(),
        0 => "No tide process is running; this looks again by itself.".into(),
        1 => "The one tide process that is running does not answer; this asks again by itself.".into(),
        n => format!("{n} tide processes are running; Tab goes to the next. This asks again by itself."),
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
        for (number, view) in View::ALL.iter().enumerate() {
            let style = if *view == model.view { Style::new().fg(Color::Black).bg(Color::Cyan) } else { DIM };
            second.push(Span::styled(format!(" {} {} ", number + 1, view.as_str()), style));
        }
        second.push(Span::styled(format!("  {}", state.about), DIM));
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
    let first = model.first_row;
    match model.view {
        View::Overview => overview::draw(frame, area, model, state),
        View::Tasks => lists::tasks(frame, area, model, state),
        View::Waits => lists::waits(frame, area, model, state),
        View::Channels => lists::channels(frame, area, model, state),
        View::Children => lists::children(frame, area, model, state),
        View::Health => lists::health(frame, area, first, state),
    }
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

/// A share as a bar, shorter on a narrow screen.
fn bar(share: f64, screen: u16) -> String {
    let length = if screen < NARROW { 8 } else { 20 };
    let filled = ((share * length as f64).round() as usize).min(length);
    format!("{}{} {:>3.0} %", "█".repeat(filled), "░".repeat(length - filled), share * 100.0)
}

fn time(ms: f64) -> String {
    if ms < 1_000.0 { format!("{ms:.1} ms") } else { seconds(Duration::from_secs_f64(ms / 1e3)) }
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
    if model.typing {
        let line = Line::from(vec![Span::styled(" filter: ", BOLD), Span::raw(format!("{}▏", model.filter))]);
        return frame.render_widget(Paragraph::new(line), area);
    }
    let mut spans = vec![Span::styled(
        " q quit  1-6 view  Tab process  j/k scroll  / filter  s sort  p pause  ? help",
        DIM,
    )];
    if !model.filter.is_empty() {
        spans.push(Span::styled(
            format!("  filter: {} (Esc clears)", model.filter),
            Style::new().fg(Color::Cyan),
        ));
    }
    if model.paused {
        spans.push(Span::styled("  PAUSED", Style::new().fg(Color::Yellow)));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

const HELP: &str = " q           quit              Esc    back: filter, view, quit
 1 … 6       overview, tasks, waits, channels, children, health
 Tab, ←, →   the next process, the one before
 j, k, ↓, ↑  scroll            g, G   to the first, the last
 /           filter by text    Enter  done
 s           sort: longest, worker, name
 +, -        look more often, less often
 p, space    pause

 share: worker time of a class since the last look
 p50, p99 ≤: bounds of how long tasks and steps ran
 stolen: tasks taken from another worker's hands
 red: a task asked to stop, or +time past its deadline";

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let longest = HELP.lines().map(columns).max().unwrap_or(0) as u16;
    // A space before the right border, as there is one behind the left.
    let (width, height) = ((longest + 3).min(area.width), (HELP.lines().count() as u16 + 2).min(area.height));
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
        assert!(text(80, 24, &model).contains("Asking"));
        model.look(&[], std::time::Instant::now());
        assert!(text(80, 24, &model).contains("No tide process is running"));
        model.state = Some(super::super::model::tests::state(1_500, 1.0));
        let full = text(120, 40, &model);
        for want in
            ["pid 7", "memory 20 MiB (peak 30 MiB)", "1,234", "Cross on X Fast=5", "ledger ok for", "12.5 ms"]
        {
            assert!(full.contains(want), "{want} is missing:\n{full}");
        }
        for (view, wants) in [
            (View::Tasks, ["fetch [low] waiting for 5.0 ms", "at the answer (x.rs:1)"]),
            (View::Waits, ["http: 2 of 20 out, 1 waits", "GET /a"]),
            (View::Channels, ["trades", "drop-oldest"]),
            (View::Children, ["python", "4,242"]),
            (View::Health, ["io worker 0 (thread 99) is blocked", "std::fs::read"]),
        ] {
            model.view = view;
            let full = text(140, 40, &model);
            wants.iter().for_each(|want| assert!(full.contains(want), "{want} is missing:\n{full}"));
        }
        model.view = View::Tasks;
        model.filter = "nothing of that name".into();
        assert!(!text(120, 40, &model).contains("fetch"));
        // On a small screen, too, nothing that matters is hidden: what waits, every worker, and all of the help.
        model.filter.clear();
        model.view = View::Overview;
        let small = text(70, 16, &model);
        for want in ["cpu standard", "1,234", "cpu 0", "cpu 1", "Cross on X Fast=5", "ledger ok for"] {
            assert!(small.contains(want), "{want} is missing:\n{small}");
        }
        // Where there is no room for all numbers, some are whole.
        model.state = Some(super::super::model::tests::state(12_345_678, 1.0));
        for width in [45, 60, 70, 80, 90, 100] {
            let narrow = text(width, 16, &model);
            let row = narrow.lines().find(|line| line.contains("cpu standard")).unwrap_or_default();
            assert!(row.contains(" 1,234 ") && row.contains(" 12,345,678 "), "{width}:\n{narrow}");
        }
        model.help = true;
        let helped = text(70, 16, &model);
        for line in HELP.lines() {
            assert!(helped.contains(line.trim_end()), "{line} is cut:\n{helped}");
        }
        // Small and tiny terminals must not panic.
        for view in View::ALL {
            model.view = view;
            for (width, height) in [(40, 12), (20, 5), (1, 1), (120, 3)] {
                text(width, height, &model);
            }
        }
    }
}
