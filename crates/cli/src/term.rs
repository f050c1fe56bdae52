//! What the terminal can do, decided once at the start.

use crate::args::{Cli, ColorWhen};
use std::{borrow::Cow, io::IsTerminal};

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
        Self {
            color_out: color(out),
            color_err: color(err),
            live: err && !dumb && !cli.quiet,
            quiet: cli.quiet,
            width: columns(),
        }
    }

    /// The same, as wide as the terminal is by now.
    pub fn now(self) -> Self {
        Self { width: columns(), ..self }
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
        if !self.quiet {
            eprintln!("{}", printable(text));
        }
    }
}

fn columns() -> usize {
    crossterm::terminal::size().map_or(100, |(columns, _)| usize::from(columns)).max(40)
}

/// Text that may come from a file, a script or a server, made fit for a terminal: control characters become visible
/// (`\u{1b}`), so that no data can set a title, move the cursor or type for the person. Line ends, tabs and colours stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(is_control) {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = color_length(rest);
        if length > 0 {
            clean.push_str(&rest[..length]);
            rest = &rest[length..];
        } else if let Some(c) = rest.chars().next() {
            clean.extend(c.escape_unicode());
            rest = &rest[c.len_utf8()..];
        }
    }
    clean.push_str(rest);
    Cow::Owned(clean)
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
    use super::printable;

    #[test]
    fn only_colours_line_ends_and_tabs_pass() {
        let plain = "close 1,5\tin \u{e4} line\nbelow";
        assert_eq!(printable(plain), plain);
        let painted = "\x1b[1;31mred\x1b[0m";
        assert_eq!(printable(painted), painted);
        assert_eq!(printable("\x1b]0;title\x07"), "\\u{1b}]0;title\\u{7}");
        assert_eq!(printable("a\rb\x1b[2Kc\x1b[3"), "a\\u{d}b\\u{1b}[2Kc\\u{1b}[3");
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m", "the one-character form of escape and bracket");
    }
}
