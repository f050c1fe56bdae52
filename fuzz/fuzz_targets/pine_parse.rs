//! Any bytes are read without a panic, every place lies in the source, and what is wrong can be printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use springtide_domain::Span;
use springtide_pine::syntax::{ast::Stmt, parse};

fuzz_target!(|data: &[u8]| {
    let source = String::from_utf8_lossy(data);
    let parsed = parse(&source);
    statements(&source, &parsed.script.body);
    for diagnostic in &parsed.diagnostics {
        within(&source, diagnostic.span);
        assert!(!diagnostic.code.is_empty() && !diagnostic.message.is_empty());
    }
    let text = springtide_pine::render::render(&parsed.diagnostics, &source, "fuzz", data.len() % 2 == 0);
    assert_eq!(text.is_empty(), parsed.diagnostics.is_empty());
    let again = parse(&source);
    assert_eq!(again.diagnostics, parsed.diagnostics);
});

fn statements(source: &str, body: &[Stmt]) {
    let mut last = 0;
    for statement in body {
        within(source, statement.span);
        assert!(statement.span.start >= last, "statements stand in source order");
        last = statement.span.start;
    }
}

fn within(source: &str, span: Span) {
    let text = source.get(span.start as usize..span.end as usize);
    assert!(text.is_some(), "{span:?} is no part of the source");
}
