//! Plain tables for the terminal: aligned columns, numbers to the right, cut to the width.

use crate::term::{Paint, columns as count, cut, printable};
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

/// A cell: text or named values, and an optional ANSI colour code.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    content: Content,
    code: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum Content {
    Text(String),
    /// Names and values. Where room is short the names give way: the values tell rows apart.
    Pairs(Vec<(String, String)>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { content: Content::Text(text.into()), code: None }
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
        Self { content: Content::Text(text), code }
    }

    /// `name=value name=value`.
    pub fn pairs(pairs: Vec<(String, String)>) -> Self {
        Self { content: Content::Pairs(pairs), code: None }
    }

    /// Its text in one line, with names of at most that many columns.
    fn line(&self, name: usize) -> String {
        match &self.content {
            Content::Text(text) => one_line(text).into_owned(),
            Content::Pairs(pairs) => {
                let pair = |(key, value): &(String, String)| {
                    format!("{}={}", cut(&one_line(key), name), one_line(value))
                };
                pairs.iter().map(pair).collect::<Vec<_>>().join(" ")
            }
        }
    }

    fn has_names(&self) -> bool {
        matches!(self.content, Content::Pairs(_))
    }
}

const GAP: usize = 2;
/// Columns that a column which may be shortened keeps.
const LEAST: usize = 14;
/// The shortest name: a letter and `…`.
const LEAST_NAME: usize = 2;
/// Columns that named values may keep, however many they are.
const MOST_KEPT: usize = 60;

/// Lays the table out in at most `width` characters where shrinking columns allow it.
pub fn render(columns: &[Column], rows: &[Vec<Cell>], width: usize, color: bool) -> String {
    let layout = Layout::of(columns, rows, width);
    let mut out = String::new();
    let heads: Vec<Cell> =
        columns.iter().map(|c| Cell { code: Some("2"), ..Cell::from(c.title.as_str()) }).collect();
    line(&mut out, columns, &layout, &heads, color);
    for row in rows {
        line(&mut out, columns, &layout, row, color);
    }
    out
}

/// How wide each column is, and the names in it.
struct Layout {
    widths: Vec<usize>,
    names: Vec<usize>,
}

impl Layout {
    fn of(columns: &[Column], rows: &[Vec<Cell>], width: usize) -> Self {
        let titles = columns.iter().map(|c| count(&c.title));
        let mut widths: Vec<usize> =
            titles.enumerate().map(|(i, title)| title.max(widest(rows, i, usize::MAX))).collect();
        shrink(columns, &mut widths, &least(columns, rows), width);
        let names = widths.iter().enumerate().map(|(i, width)| longest_names(rows, i, *width)).collect();
        Self { widths, names }
    }
}

/// The widest cell of a column, with names of at most that many columns.
fn widest(rows: &[Vec<Cell>], column: usize, name: usize) -> usize {
    rows.iter().filter_map(|row| row.get(column)).map(|cell| count(&cell.line(name))).max().unwrap_or(0)
}

/// What each column keeps where the table is too wide: named values as much as it takes to tell them apart.
fn least(columns: &[Column], rows: &[Vec<Cell>]) -> Vec<usize> {
    let of = |i| if has_names(rows, i) { widest(rows, i, LEAST_NAME).clamp(LEAST, MOST_KEPT) } else { LEAST };
    (0..columns.len()).map(of).collect()
}

/// The longest names with which a column is no wider than that.
fn longest_names(rows: &[Vec<Cell>], column: usize, width: usize) -> usize {
    if !has_names(rows, column) {
        return usize::MAX;
    }
    (LEAST_NAME..=width).rev().find(|name| widest(rows, column, *name) <= width).unwrap_or(LEAST_NAME)
}

fn has_names(rows: &[Vec<Cell>], column: usize) -> bool {
    rows.iter().filter_map(|row| row.get(column)).any(Cell::has_names)
}

fn shrink(columns: &[Column], widths: &mut [usize], least: &[usize], width: usize) {
    loop {
        let total: usize = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let widest = (0..widths.len())
            .filter(|i| columns[*i].shrink && widths[*i] > least[*i])
            .max_by_key(|i| widths[*i]);
        match widest {
            Some(i) if total > width => widths[i] -= 1,
            _ => return,
        }
    }
}

fn line(out: &mut String, columns: &[Column], layout: &Layout, cells: &[Cell], color: bool) {
    let start = out.len();
    for (i, (cell, w)) in cells.iter().zip(&layout.widths).enumerate() {
        if i > 0 {
            out.push_str(&" ".repeat(GAP));
        }
        let whole = cell.line(layout.names[i]);
        let text = cut(&whole, *w);
        let pad = " ".repeat(w.saturating_sub(count(&text)));
        let painted = match cell.code.filter(|_| color) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.into_owned(),
        };
        let (before, after) = if columns[i].right { (pad.as_str(), "") } else { ("", pad.as_str()) };
        out.push_str(before);
        out.push_str(&painted);
        out.push_str(after);
    }
    out.truncate(out.trim_end().len().max(start));
    out.push('\n');
}

/// Names and their values one below the other, in up to `most` blocks side by side where the width allows.
pub fn blocks(cells: &[(String, String)], most: usize, width: usize, paint: Paint) -> String {
    let cells: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        cells.iter().map(|(name, value)| (one_line(name), one_line(value))).collect();
    let name = cells.iter().map(|c| count(&c.0)).max().unwrap_or(0);
    let value = cells.iter().map(|c| count(&c.1)).max().unwrap_or(0);
    let columns = (width / (name + value + 5)).clamp(1, most);
    let rows = cells.len().div_ceil(columns);
    let mut out = String::new();
    for r in 0..rows {
        let mut row = String::new();
        for (title, text) in (0..columns).filter_map(|c| cells.get(c * rows + r)) {
            let pad = " ".repeat(name - count(title) + 1 + value - count(text));
            row.push_str(&format!("{}{pad}{text}    ", paint.dim(title)));
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

/// A cell is one line of printable text.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let text = printable(text);
    if text.contains(['\n', '\t']) { Cow::Owned(text.replace(['\n', '\t'], " ")) } else { text }
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

    #[test]
    fn wide_characters_are_aligned_and_escapes_are_shown() {
        let columns = [Column::text("s"), Column::right("n")];
        let rows = vec![vec!["Ünï – 策略".into(), "5".into()], vec!["\x1b[8mb".into(), "12".into()]];
        let text = render(&columns, &rows, 40, false);
        assert_eq!(text, "s            n\nÜnï – 策略   5\n\\u{1b}[8mb  12\n");
    }

    #[test]
    fn names_give_way_so_that_values_tell_rows_apart() {
        let columns = [Column::text("inputs"), Column::right("n")];
        let row = |fast: &str| {
            let pairs = [("fast_period", fast), ("slow_period", "20")];
            vec![Cell::pairs(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()), "1".into()]
        };
        let rows = [row("5"), row("15")];
        let at = |width| render(&columns, &rows, width, false);
        assert!(at(usize::MAX).contains("\nfast_period=15 slow_period=20  1\n"), "{}", at(usize::MAX));
        let narrow = at(24);
        assert!(narrow.contains("\nfast_p…=5 slow_p…=20   1\nfast_p…=15 slow_p…=20  1\n"), "{narrow}");
        let least = at(1);
        assert!(least.contains("\nfa…=5 sl…=20    1\nfa…=15 sl…=20   1\n"), "{least}");
    }
}
