//! The other views: one list each.

use super::{DIM, heads, overview, right, time, titled};
use crate::{
    commands::{tasks::State, top::model::Model},
    output::{group, si},
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table},
};
use springtide_runtime::observe::{TicketView, draw_tree, runtime_tree, stall_tree};

const RED: Style = Style::new().fg(Color::Red);
const YELLOW: Style = Style::new().fg(Color::Yellow);

/// The trees of asynchronous tasks, as far as the filter lets them through.
pub fn task_lines(model: &Model, state: &State) -> Vec<String> {
    let trees = state.all.runtimes.iter().map(|runtime| draw_tree(&runtime_tree(runtime)));
    let lines: Vec<String> =
        trees.flat_map(|tree| tree.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.into_iter().filter(|line| model.shows(line)).collect()
}

pub fn tasks(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let lines = task_lines(model, state);
    let title = format!("Asynchronous tasks, each with where it waits: {} lines", lines.len());
    let shown = lines.iter().skip(model.first_row).map(|line| {
        let style = match () {
            () if line.contains(" asked to stop") || line.contains("nobody was told") => RED,
            () if line.contains("─ at ") => Style::new().fg(Color::Cyan),
            () if line.contains(" queued for ") => YELLOW,
            () => Style::new(),
        };
        Line::styled(line.clone(), style)
    });
    let text: Vec<Line<'_>> = match lines.is_empty() {
        true => vec![Line::styled("No asynchronous task lives in this process.", DIM)],
        false => shown.collect(),
    };
    frame.render_widget(Paragraph::new(text).block(titled(title)), area);
}

/// All who wait for a permit or a rate or hold a permit, with the source.
pub fn waiters(model: &Model, state: &State) -> Vec<(String, TicketView)> {
    let permits =
        state.all.permits.iter().flat_map(|p| p.tickets.iter().map(|t| (p.name.clone(), t.clone())));
    let rates = state.all.limiters.iter().flat_map(|limiter| {
        let waiters = limiter.keys.iter().flat_map(|key| &key.waiters);
        waiters.map(|waiter| (limiter.name.clone(), waiter.clone()))
    });
    let shown = |(_, t): &(String, TicketView)| model.shows(&t.label) || model.shows(&t.key);
    let mut all: Vec<_> = permits.chain(rates).filter(shown).collect();
    all.sort_by(|(_, a), (_, b)| a.held.cmp(&b.held).then(b.for_ms.total_cmp(&a.for_ms)));
    all
}

/// A line for each source of permits and each limiter.
fn sources(state: &State) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for permits in &state.all.permits {
        let waits = if permits.waiting == 1 { "waits" } else { "wait" };
        let mut text = format!(
            "{}: {} of {} out, {} {waits}",
            permits.name, permits.in_flight, permits.limit, permits.waiting
        );
        if let (Some(p50), Some(p99)) = (permits.wait_p50_ms, permits.wait_p99_ms) {
            text.push_str(&format!(", waited p50 ≤ {} p99 ≤ {}", time(p50), time(p99)));
        }
        if permits.refused + permits.overloaded > 0 {
            text.push_str(&format!(", {} overloaded, {} refused", permits.overloaded, permits.refused));
        }
        lines.push(Line::from(vec![Span::styled("permits ", DIM), Span::raw(text)]));
    }
    for limiter in &state.all.limiters {
        for key in limiter.keys.iter().filter(|key| key.waiting > 0 || key.paused_ms.is_some()).take(8) {
            let mut text = format!("{} {}: {} wait", limiter.name, key.key, key.waiting);
            if let (Some(left), Some(why)) = (key.paused_ms, &key.paused_by) {
                text.push_str(&format!(", paused for {} ({why})", time(left)));
            }
            lines.push(Line::from(vec![Span::styled("rate ", DIM), Span::raw(text)]));
        }
    }
    if lines.is_empty() {
        lines.push(Line::styled("Nothing in this process is limited by permits or rates.", DIM));
    }
    lines
}

pub fn waits(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let lines = sources(state);
    let [top, rest] = Layout::vertical([
        Constraint::Length((lines.len() as u16 + 1).min(area.height / 2)),
        Constraint::Min(3),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(lines).block(titled("Permits and rates")), top);
    let all = waiters(model, state);
    let rows = all.iter().skip(model.first_row).map(|(source, ticket)| {
        Row::new([
            right(time(ticket.for_ms)),
            Cell::new(if ticket.held { "  held" } else { "  waits" }).style(if ticket.held {
                DIM
            } else {
                YELLOW
            }),
            Cell::new(ticket.class.clone()),
            Cell::new(source.clone()),
            Cell::new(ticket.key.clone()),
            Cell::new(ticket.label.clone()),
        ])
    });
    let fixed = if rest.width < 90 { [9, 7, 9, 7, 14] } else { [10, 7, 9, 12, 24] };
    let widths = fixed.map(Constraint::Length).into_iter().chain([Constraint::Min(10)]);
    let table = Table::new(rows, widths)
        .header(heads(["      for", "", "class", "of", "for key", "what"]))
        .block(titled(format!("Who waits, who holds: {}", all.len())));
    frame.render_widget(table, rest);
}

pub fn channels(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let all = &state.all.channels;
    let shown = all.iter().enumerate().filter(|(_, channel)| model.shows(&channel.name));
    let rows = shown.skip(model.first_row).map(|(at, channel)| {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let fill = share(channel.items, channel.items_limit).max(share(channel.bytes, channel.bytes_limit));
        let waits = channel
            .longest_wait_ms
            .map_or(String::new(), |ms| format!("{} for {}", channel.waiting, time(ms)));
        let state = match (channel.closed, channel.receiver_waits) {
            (true, _) => "closed",
            (false, true) => "empty",
            (false, false) => "",
        };
        Row::new([
            Cell::new(channel.name.clone()),
            Cell::new(meter(fill)).style(if fill >= 0.95 { RED } else { Style::new() }),
            right(group(channel.items as f64, 0)),
            right(format!("{}B", si(channel.bytes as f64))),
            right(format!("{}/s", si(model.sent.get(at).copied().unwrap_or(0.0)))),
            right(group(channel.dropped as f64, 0)).style(if channel.dropped > 0 {
                RED
            } else {
                Style::new()
            }),
            right(waits).style(YELLOW),
            Cell::new(format!("  {}", channel.when_full)),
            Cell::new(state),
        ])
    });
    let widths = [Constraint::Min(12)].into_iter().chain([16, 8, 9, 9, 9, 16, 13, 7].map(Constraint::Length));
    let names =
        ["channel", "fullest bound", "items", "bytes", "sent", "dropped", "senders wait", "  when full", ""];
    let head = Row::new(names.iter().enumerate().map(|(at, name)| match at {
        2..=6 => right(*name),
        _ => Cell::new(*name),
    }))
    .style(DIM);
    let table = Table::new(rows, widths).header(head).block(titled(format!("Channels: {}", all.len())));
    frame.render_widget(table, area);
}

fn meter(share: f64) -> String {
    let filled = ((share * 10.0).round() as usize).min(10);
    format!("{}{} {:>3.0} %", "█".repeat(filled), "░".repeat(10 - filled), share * 100.0)
}

pub fn children(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let all: Vec<_> = state.all.children.iter().flat_map(|children| &children.children).collect();
    let shown = all.iter().filter(|child| model.shows(&child.label));
    let rows = shown.skip(model.first_row).map(|child| {
        Row::new([
            right(child.pid.map_or("waits".into(), |pid| group(pid.into(), 0))),
            right(time(child.for_ms)),
            right(time(child.cpu_ms)),
            right(format!("{:.0} MiB", child.resident_bytes as f64 / 1_048_576.0)),
            Cell::new(format!("  {}", child.class)),
            Cell::new(child.label.clone()),
            Cell::new(child.progress.clone().unwrap_or_default()),
        ])
    });
    let widths = [10, 10, 10, 10, 11].map(Constraint::Length).into_iter();
    let widths = widths.chain([Constraint::Min(16), Constraint::Min(8)]);
    let ended: Vec<String> = state
        .all
        .children
        .iter()
        .map(|c| {
            let bad = c.failed + c.limited + c.not_started + c.lost;
            format!("{} started, {} succeeded, {bad} not", c.started, c.succeeded)
        })
        .collect();
    let ended = if ended.is_empty() { "none was ever asked for".into() } else { ended.join("; ") };
    let table = Table::new(rows, widths)
        .header(heads(["       pid", "       for", "       cpu", "    memory", "  class", "child", "at"]))
        .block(titled(format!("Children: {} ({ended})", all.len())));
    frame.render_widget(table, area);
}

/// Components, stalls with their stacks, and what else there is to say.
pub fn health_lines(state: &State) -> Vec<Line<'static>> {
    let mut lines = overview::health(state);
    for stall in &state.stalls {
        let style = if stall.over { DIM } else { RED };
        let tree = draw_tree(&stall_tree(stall));
        lines.extend(tree.lines().map(|line| Line::styled(line.to_owned(), style)));
    }
    for (kind, values) in &state.all.others {
        values.iter().for_each(|value| lines.extend(super::section(kind, value)));
    }
    for (name, value) in &state.sections {
        lines.extend(super::section(name, value));
    }
    lines
}

pub fn health(frame: &mut Frame<'_>, area: Rect, first: usize, state: &State) {
    let lines = health_lines(state).into_iter().skip(first).collect::<Vec<_>>();
    frame.render_widget(Paragraph::new(lines).block(titled("Health")), area);
}
