//! Pieces of source beside the trees and the messages they must give.

mod errors;
mod layout;
mod limits;
mod random;
mod sexpr;
mod trees;

use super::parse;

/// Reads source (version 6 unless it says otherwise) without any diagnostic, as an s-expression.
#[track_caller]
fn check(source: &str, expected: &str) {
    let parsed = parse(&versioned(source));
    assert_eq!(parsed.diagnostics, [], "for {source:?}");
    assert_eq!(sexpr::script(&parsed.script.body), expected, "for {source:?}");
}

/// Each diagnostic as `line:column code`, then the tree.
fn codes(source: &str) -> String {
    let source = versioned(source);
    let map = springtide_domain::SourceMap::new(&source);
    let parsed = parse(&source);
    let code = |d: &springtide_domain::Diagnostic| {
        let (line, column) = map.line_col(d.span.start);
        format!("{}:{column} {}", line - 1, d.code)
    };
    let codes: Vec<_> = parsed.diagnostics.iter().map(code).collect();
    format!("{}\n{}", codes.join(", "), sexpr::script(&parsed.script.body))
}

fn versioned(source: &str) -> String {
    if source.starts_with("//@version") { source.to_owned() } else { format!("//@version=6\n{source}") }
}
