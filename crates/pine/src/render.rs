//! Diagnostics as a person reads them: the line, the place in it, what is wrong, what to do.

use springtide_domain::{Diagnostic, Severity, SourceMap};

/// Columns of a tab in the printed line.
const TAB: usize = 4;
/// Widest printed part of a source line, in columns.
const WIDTH: usize = 120;
/// Most diagnostics printed; the rest is only counted.
const MOST: usize = 200;
/// Columns kept left of the marked place when a long line is cut.
const LEAD: usize = 40;

/// The diagnostics one below the other, each with its source line and the place marked, and a last line
/// that counts them; empty when there are none. `file_name` is printed as it is given; `color` adds ANSI
/// escapes. Control characters are never passed on.
pub fn render(diagnostics: &[Diagnostic], source: &str, file_name: &str, color: bool) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let (map, file_name) = (SourceMap::new(source), &clean(file_name));
    let paint = Paint { color };
    let mut out = String::new();
    for diagnostic in diagnostics.iter().take(MOST) {
        one(&mut out, diagnostic, source, &map, file_name, paint);
        out.push('\n');
    }
    if let Some(more) = diagnostics.len().checked_sub(MOST).filter(|n| *n > 0) {
        out.push_str(&format!("… and {more} more\n\n"));
    }
    out.push_str(&summary(diagnostics, file_name, paint));
    out
}

fn one(out: &mut String, d: &Diagnostic, source: &str, map: &SourceMap, file_name: &str, paint: Paint) {
    let (line, column) = map.line_col(d.span.start);
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let (word, tone) = severity(d.severity);
    let bar = paint.of(Tone::Frame, "|");
    let head = paint.of(tone, &format!("{word}[{}]", d.code));
    out.push_str(&format!("{head}: {}\n", paint.of(Tone::Strong, &clean(&d.message))));
    out.push_str(&format!("{gutter}{} {file_name}:{line}:{column}\n", paint.of(Tone::Frame, "-->")));
    let (text, before, marked) = excerpt(d, source, map, line);
    let marks = paint.of(tone, &"^".repeat(marked));
    out.push_str(&format!("{gutter} {bar}\n"));
    out.push_str(&format!("{} {bar} {text}\n", paint.of(Tone::Frame, &number)));
    out.push_str(&format!("{gutter} {bar} {}{marks}\n", " ".repeat(before)));
    for (label, text) in [("feature", &d.feature), ("hint", &d.hint)] {
        if !text.is_empty() {
            let label = paint.of(Tone::Strong, &format!("{label}:"));
            out.push_str(&format!("{gutter} {} {label} {}\n", paint.of(Tone::Frame, "="), clean(text)));
        }
    }
}

/// The printed line, the columns before the marked place, and the columns to mark (at least one).
fn excerpt(d: &Diagnostic, source: &str, map: &SourceMap, line: usize) -> (String, usize, usize) {
    let text = map.line(line);
    let head = &source.as_bytes()[..(d.span.start as usize).min(source.len())];
    let line_start = head.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
    let within = |offset: u32| (offset as usize).saturating_sub(line_start).min(text.len());
    let (start, end) = (within(d.span.start), within(d.span.end));
    let mut shown = Vec::with_capacity(text.len());
    let (mut column, mut from, mut to) = (0, None, 0);
    for (at, c) in text.char_indices() {
        let wide = width(c, column);
        if at >= start && from.is_none() {
            from = Some(column);
        }
        if at < end {
            to = column + wide;
        }
        shown.push((column, c));
        column += wide;
    }
    let from = from.unwrap_or(column);
    let marked = to.saturating_sub(from).max(1);
    cut(&shown, column, from, marked)
}

/// Cuts a long line to a window around the marked place.
fn cut(shown: &[(usize, char)], total: usize, from: usize, marked: usize) -> (String, usize, usize) {
    let first = if total > WIDTH && from > LEAD { from - LEAD } else { 0 };
    let last = first + WIDTH;
    let mut text = String::new();
    let mut skipped = None;
    for (column, c) in shown.iter().filter(|(column, _)| (first..last).contains(column)) {
        skipped.get_or_insert(*column);
        match c {
            '\t' => text.extend(std::iter::repeat_n(' ', width('\t', *column))),
            c if c.is_control() => text.push('\u{fffd}'),
            c => text.push(*c),
        }
    }
    let skipped = skipped.unwrap_or(0);
    let (head, tail) = (if first > 0 { "… " } else { "" }, if total > last { " …" } else { "" });
    let before = from - skipped.min(from) + if first > 0 { 2 } else { 0 };
    (format!("{head}{}{tail}", text.trim_end()), before, marked.min(last.saturating_sub(from).max(1)))
}

/// Columns of a character on a terminal.
fn width(c: char, column: usize) -> usize {
    match c {
        '\t' => TAB - column % TAB,
        '\u{300}'..='\u{36f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2060}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Text that a terminal cannot take for an order.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn severity(severity: Severity) -> (&'static str, Tone) {
    match severity {
        Severity::Error => ("error", Tone::Error),
        Severity::Unsupported => ("unsupported", Tone::Unsupported),
        Severity::Warning => ("warning", Tone::Warning),
    }
}

fn summary(diagnostics: &[Diagnostic], file_name: &str, paint: Paint) -> String {
    let count = |s: Severity| diagnostics.iter().filter(|d| d.severity == s).count();
    let plural = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let parts: Vec<String> = [
        (count(Severity::Error), "error", "errors"),
        (count(Severity::Unsupported), "unsupported feature", "unsupported features"),
        (count(Severity::Warning), "warning", "warnings"),
    ]
    .into_iter()
    .filter(|(n, ..)| *n > 0)
    .map(|(n, one, many)| plural(n, one, many))
    .collect();
    let worst = diagnostics.iter().map(|d| d.severity).min().unwrap_or(Severity::Warning);
    format!("{}\n", paint.of(severity(worst).1, &format!("{file_name}: {}", parts.join(", "))))
}

#[derive(Clone, Copy)]
enum Tone {
    Error,
    Unsupported,
    Warning,
    Frame,
    Strong,
}

#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn of(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.color || text.is_empty() => return text.to_owned(),
            Tone::Error => "1;31",
            Tone::Unsupported => "1;35",
            Tone::Warning => "1;33",
            Tone::Frame => "1;34",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests;
