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
    // Printing costs more than reading, so only some of it is done each time.
    let some = &parsed.diagnostics[..parsed.diagnostics.len().min(3)];
    let text = springtide_pine::render::render(some, &source, "fuzz", data.len() % 2 == 0);
    assert_eq!(text.is_empty(), some.is_empty());
    if data.len() % 16 == 0 {
        assert_eq!(parse(&source).diagnostics, parsed.diagnostics, "equal source, equal reading");
    }
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
