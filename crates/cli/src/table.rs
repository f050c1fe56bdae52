//! Plain tables for the terminal: aligned columns, numbers to the right, cut to the width.

use crate::term::printable;
use std::borrow::Cow;

/// One column's head and alignment.
#[derive(Clone, Debug)]
pub struct Column {
    pub title: String,
    pub right: bool,
    /// May be shortened when the terminal is narrow.
    pub shrink: bool,
}

impl Column {
    pub fn left(title: &str) -> Self {
        Self { title: title.into(), right: false, shrink: false }
    }
    pub fn text(title: &str) -> Self {
        Self { title: title.into(), right: false, shrink: true }
    }
    pub fn right(title: &str) -> Self {
        Self { title: title.into(), right: true, shrink: false }
    }
}

/// A cell: text and an optional ANSI colour code.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    pub text: String,
    pub code: Option<&'static str>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), code: None }
    }
}

impl Cell {
    /// Green above zero, red below.
    pub fn signed(text: String, value: f64) -> Self {
        let code = if value > 0.0 {
            Some("32")
        } else if value < 0.0 {
            Some("31")
        } else {
            None
        };
        Self { text, code }
    }
}

const GAP: usize = 2;

/// Lays the table out in at most `width` characters where shrinking columns allow it.
pub fn render(columns: &[Column], rows: &[Vec<Cell>], width: usize, color: bool) -> String {
    let mut widths: Vec<usize> = columns.iter().map(|c| count(&c.title)).collect();
    for row in rows {
        for (w, cell) in widths.iter_mut().zip(row) {
            *w = (*w).max(count(&shown(&cell.text)));
        }
    }
    shrink(columns, &mut widths, width);
    let mut out = String::new();
    let heads: Vec<Cell> =
        columns.iter().map(|c| Cell { text: c.title.clone(), code: color.then_some("2") }).collect();
    line(&mut out, columns, &widths, &heads, color);
    for row in rows {
        line(&mut out, columns, &widths, row, color);
    }
    out
}

fn shrink(columns: &[Column], widths: &mut [usize], width: usize) {
    loop {
        let total: usize = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let widest =
            (0..widths.len()).filter(|i| columns[*i].shrink && widths[*i] > 14).max_by_key(|i| widths[*i]);
        match widest {
            Some(i) if total > width => widths[i] -= 1,
            _ => return,
        }
    }
}

fn line(out: &mut String, columns: &[Column], widths: &[usize], cells: &[Cell], color: bool) {
    let start = out.len();
    for (i, (cell, w)) in cells.iter().zip(widths).enumerate() {
        if i > 0 {
            out.push_str(&" ".repeat(GAP));
        }
        let text = cut(&shown(&cell.text), *w);
        let pad = " ".repeat(w - count(&text));
        let painted = match cell.code.filter(|_| color) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text,
        };
        let (before, after) = if columns[i].right { (pad.as_str(), "") } else { ("", pad.as_str()) };
        out.push_str(before);
        out.push_str(&painted);
        out.push_str(after);
    }
    out.truncate(out.trim_end().len().max(start));
    out.push('\n');
}

/// A cell is one line of printable text.
fn shown(text: &str) -> Cow<'_, str> {
    let text = printable(text);
    if text.contains(['\n', '\t']) { Cow::Owned(text.replace(['\n', '\t'], " ")) } else { text }
}

fn cut(text: &str, width: usize) -> String {
    if count(text) <= width {
        return text.into();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn count(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_and_shrinks() {
        let columns = [Column::text("strategy"), Column::right("n")];
        let rows =
            vec![vec!["a very long name of a strategy".into(), "5".into()], vec!["b".into(), "12".into()]];
        let text = render(&columns, &rows, 20, false);
        assert_eq!(text, "strategy           n\na very long nam…   5\nb                 12\n");
    }
}
