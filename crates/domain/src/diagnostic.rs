//! Messages about a person's source: a value with a place, a hint and a feature name, read alike by
//! a terminal, a page and a model.

use serde::{Deserialize, Serialize};

/// A byte range in a source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The smallest range that holds both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// How bad it is. `Unsupported` is valid source that this engine cannot run: never a wrong number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Severity {
    Error,
    Unsupported,
    Warning,
}

/// One message about a source text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable kebab-case code, `unknown-name`, `unsupported-function`.
    pub code: String,
    /// The language feature or built-in it is about, `request.footprint`; empty when none.
    pub feature: String,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
    /// Where.
    pub span: Span,
}

/// Line starts of a source text, to turn byte offsets into line and column.
pub struct SourceMap<'a> {
    text: &'a str,
    starts: Vec<u32>,
}

impl<'a> SourceMap<'a> {
    /// Indexes the lines of `text`.
    pub fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1))
            .collect();
        Self { text, starts }
    }

    /// One-based line and column (in characters) of a byte offset.
    pub fn line_col(&self, offset: u32) -> (usize, usize) {
        let line = self.starts.partition_point(|s| *s <= offset).max(1) - 1;
        let start = self.starts[line] as usize;
        let end = (offset as usize).min(self.text.len());
        let column = self.text.get(start..end).map_or(end - start, |t| t.chars().count());
        (line + 1, column + 1)
    }

    /// The text of a one-based line, without its line break.
    pub fn line(&self, line: usize) -> &'a str {
        let Some(start) = self.starts.get(line.wrapping_sub(1)) else { return "" };
        let rest = &self.text[*start as usize..];
        rest.split('\n').next().unwrap_or("").trim_end_matches('\r')
    }
}
