//! What the terminal can do, decided once at the start.

use crate::args::{Cli, ColorWhen};
use std::{borrow::Cow, io::IsTerminal};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Terminal abilities and wishes of the person.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    /// Colours on stdout.
    pub color_out: bool,
    /// Colours on stderr.
    pub color_err: bool,
    /// Redraw progress in place on stderr.
    pub live: bool,
    /// No progress, no notes.
    pub quiet: bool,
    /// Columns of the terminal, 100 when unknown.
    pub width: usize,
    /// Columns that a table on stdout may take: in a file or a pipe as many as it needs.
    pub table: usize,
}

impl Term {
    /// Looks at stdout, stderr, `NO_COLOR` and `TERM`.
    pub fn detect(cli: &Cli) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let allowed = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && !dumb;
        let color = |terminal: bool| match cli.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => terminal && allowed,
        };
        let err = std::io::stderr().is_terminal();
        let out = std::io::stdout().is_terminal();
        let width = terminal_columns();
        Self {
            color_out: color(out),
            color_err: color(err),
            live: err && !dumb && !cli.quiet,
            quiet: cli.quiet,
            width,
            table: if out { width } else { usize::MAX },
        }
    }

    /// The same, as wide as the terminal is by now.
    pub fn now(self) -> Self {
        Self { width: terminal_columns(), ..self }
    }

    /// A painter for stdout.
    pub fn out(&self) -> Paint {
        Paint(self.color_out)
    }

    /// A painter for stderr.
    pub fn err(&self) -> Paint {
        Paint(self.color_err)
    }

    /// Something that is wrong, on stderr, also when quiet.
    pub fn warn(&self, text: &str) {
        eprintln!("{} {}", self.err().yellow("warning:"), printable(text));
    }

    /// A note on stderr, unless quiet.
    pub fn note(&self, text: &str) {
        self.note_painted(&printable(text));
    }

    /// A note after a painted word, `warning:` or `failed`.
    pub fn note_as(&self, label: &str, text: &str) {
        self.note_painted(&format!("{label} {}", printable(text)));
    }

    /// A note with colours of our own in it: data in it must have passed [`printable`] or a [`Paint`].
    pub fn note_painted(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

fn terminal_columns() -> usize {
    crossterm::terminal::size().map_or(100, |(columns, _)| usize::from(columns)).max(40)
}

/// Text that may come from a file, a script or a server, made fit for a terminal: control characters become visible
/// (`\u{1b}`), so that no data can set a title, move the cursor, hide what follows or type for the person. Line ends
/// and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_control(c) {
            true => clean.extend(c.escape_unicode()),
            false => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

/// What a script printed, made fit for a terminal: its colours stay where colours are wanted and end with their line;
/// elsewhere they are left out.
pub fn printed(text: &str, color: bool) -> String {
    text.split_inclusive('\n').map(|line| printed_line(line, color)).collect()
}

fn printed_line(line: &str, color: bool) -> String {
    let (mut rest, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
    let (mut out, mut painted) = (String::with_capacity(line.len() + 16), false);
    while let Some(at) = rest.find('\x1b') {
        out.push_str(&printable(&rest[..at]));
        rest = &rest[at..];
        let length = color_length(rest);
        if length > 0 && color {
            out.push_str(&rest[..length]);
            painted = true;
        } else if length == 0 {
            out.push_str("\\u{1b}");
        }
        rest = &rest[length.max(1)..];
    }
    out + &printable(rest) + if painted { "\x1b[0m" } else { "" } + end
}

/// Columns that text takes on a terminal: two for a Chinese character, none for an accent that joins a letter.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// At most that many columns of the text, at least one; `…` stands for what is missing.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    let (mut left, mut end) = (width.saturating_sub(1), 0);
    for (at, c) in text.char_indices() {
        // The mark that makes an emoji of a sign makes it wider.
        let wide = if c == '\u{fe0f}' { 1 } else { c.width().unwrap_or(1) };
        if wide > left {
            break;
        }
        left -= wide;
        end = at + c.len_utf8();
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

fn is_control(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

/// Length of the colour sequence that the text begins with; 0 where there is none.
fn color_length(text: &str) -> usize {
    let Some(codes) = text.strip_prefix("\x1b[") else { return 0 };
    let end = codes.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(codes.len());
    if codes[end..].starts_with('m') { "\x1b[".len() + end + 1 } else { 0 }
}

/// Wraps text in colours, or not.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    fn wrap(self, code: &str, text: impl std::fmt::Display) -> String {
        let text = text.to_string();
        let text = printable(&text);
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into_owned() }
    }
    pub fn bold(self, text: impl std::fmt::Display) -> String {
        self.wrap("1", text)
    }
    pub fn dim(self, text: impl std::fmt::Display) -> String {
        self.wrap("2", text)
    }
    pub fn red(self, text: impl std::fmt::Display) -> String {
        self.wrap("31", text)
    }
    pub fn green(self, text: impl std::fmt::Display) -> String {
        self.wrap("32", text)
    }
    pub fn yellow(self, text: impl std::fmt::Display) -> String {
        self.wrap("33", text)
    }
    pub fn cyan(self, text: impl std::fmt::Display) -> String {
        self.wrap("36", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_line_ends_and_tabs_pass() {
        let plain = "close 1,5\tin \u{e4} line\nbelow";
        assert_eq!(printable(plain), plain);
        assert_eq!(printable("\x1b[8mhidden"), "\\u{1b}[8mhidden");
        assert_eq!(printable("\x1b]0;title\x07"), "\\u{1b}]0;title\\u{7}");
        assert_eq!(printable("a\rb\x1b[2Kc\x1b[3"), "a\\u{d}b\\u{1b}[2Kc\\u{1b}[3");
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m", "the one-character form of escape and bracket");
    }

    #[test]
    fn colours_of_what_was_printed_end_with_their_line() {
        let text = "\x1b[1;31mred\nplain\x1b]0;title\x07\n\x1b[32mgreen";
        let plain = "plain\\u{1b}]0;title\\u{7}";
        assert_eq!(printed(text, true), format!("\x1b[1;31mred\x1b[0m\n{plain}\n\x1b[32mgreen\x1b[0m"));
        assert_eq!(printed(text, false), format!("red\n{plain}\ngreen"));
    }

    #[test]
    fn text_is_cut_by_what_it_takes_on_the_screen() {
        assert_eq!((columns("策略"), columns("e\u{301}"), columns("Ünï")), (4, 1, 3));
        assert_eq!(cut("策略 one", 8), "策略 one");
        assert_eq!(cut("策略 one", 7), "策略 o…");
        assert_eq!(cut("策略策略", 4), "策…", "half a character is none");
        assert!(columns(&cut("❤\u{fe0f}❤\u{fe0f}❤\u{fe0f}", 4)) <= 4);
    }
}
