//! Text to tree. Never fails: what cannot be read becomes a diagnostic, and the rest is still read.
//!
//! The lexer splits bytes into tokens and notes each line's indentation; the parser's cursor decides
//! where a logical line ends and where a block begins; statements and expressions are read from
//! there by recursive descent.

pub mod ast;
mod cursor;
mod expr;
mod lexer;
mod report;
mod stmt;
mod structure;
#[cfg(test)]
mod tests;
mod token;
mod version;

use ast::Script;
use springtide_domain::{Diagnostic, Severity, Span};

/// No tree is higher than this, so a recursive walk over one is safe. Counted in expressions: each
/// operator, call, argument or block is one level. Sources beyond it get the diagnostic `too-deep`.
pub const MAX_HEIGHT: u32 = 256;

/// Longest source in bytes; a longer one gets the diagnostic `too-long` and is not read.
pub const MAX_SOURCE: usize = 8 << 20;

/// A tree and everything that is wrong with its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What could be read. A declaration whose value could not be read is there with
    /// [`ast::ExprKind::Error`], so that its name is known.
    pub script: Script,
    /// In source order. No error among them means that the whole source is in the tree.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a script of version 4, 5 or 6. Of an older or unversioned one only that is reported.
pub fn parse(source: &str) -> Parsed {
    if source.len() > MAX_SOURCE {
        return too_long(source);
    }
    let lexed = lexer::lex(source);
    let mut parser = cursor::Parser::new(source, lexed.tokens, lexed.diagnostics);
    let body = parser.script();
    let (mut diagnostics, tokens) = parser.finish();
    let version = version::judge(source, &tokens, lexed.version, &mut diagnostics);
    diagnostics.sort_by_key(|d| d.span.start);
    Parsed { script: Script { version, body }, diagnostics }
}

fn too_long(source: &str) -> Parsed {
    let diagnostic = Diagnostic {
        severity: Severity::Error,
        code: "too-long".into(),
        feature: String::new(),
        message: format!("the source has {} bytes; at most {MAX_SOURCE} are read", source.len()),
        hint: "is this a script?".into(),
        span: Span::new(0, 0),
    };
    Parsed { script: Script { version: 1, body: Vec::new() }, diagnostics: vec![diagnostic] }
}
