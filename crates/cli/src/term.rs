//! What the terminal can do, decided once at the start.

use crate::args::{Cli, ColorWhen};
use std::io::IsTerminal;

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
            width: crossterm::terminal::size().map_or(100, |(columns, _)| usize::from(columns)).max(40),
        }
    }

    /// A painter for stdout.
    pub fn out(&self) -> Paint {
        Paint(self.color_out)
    }

    /// A painter for stderr.
    pub fn err(&self) -> Paint {
        Paint(self.color_err)
    }

    /// A note on stderr, unless quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

/// Wraps text in colours, or not.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    fn wrap(self, code: &str, text: impl std::fmt::Display) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
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
