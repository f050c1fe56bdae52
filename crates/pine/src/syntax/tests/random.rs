//! Pieces of source in random order: always read, with places that exist.

use super::parse;
use proptest::prelude::*;
use springtide_domain::{Severity, Span};

const PIECES: &[&str] = &[
    "x",
    "close",
    "1",
    "2.5",
    "\"s\"",
    "'",
    "\"",
    "true",
    "na",
    "#ff8000",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "?",
    ":",
    "=",
    ":=",
    "+=",
    "=>",
    "==",
    "<",
    ">",
    "+",
    "-",
    "*",
    "/",
    "not ",
    " and ",
    " or ",
    "if ",
    "else",
    "else if ",
    "for ",
    " to ",
    " by ",
    " in ",
    "while ",
    "switch ",
    "var ",
    "type ",
    "enum ",
    "method ",
    "export ",
    "import ",
    "float ",
    "array<float> ",
    "float[] ",
    "f(x) =>",
    "f(a)",
    "x = 1",
    "\n",
    "\n    ",
    "\n        ",
    "\n\t",
    "\n  ",
    "\n     ",
    " ",
    "// c",
    "/*",
    "*/",
    "||",
    "&&",
    "!",
    ";",
    "{",
    "}",
    "“",
    "，",
    "é",
    "你",
    "\r\n",
    "\u{a0}",
    "```",
    "\\",
    "@",
];

fn is_in(source: &str, span: Span) -> bool {
    source.get(span.start as usize..span.end as usize).is_some()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pieces_are_read(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        let source = format!("//@version=5\n{}", pieces.concat());
        let parsed = parse(&source);
        for statement in &parsed.script.body {
            prop_assert!(is_in(&source, statement.span));
        }
        for diagnostic in &parsed.diagnostics {
            prop_assert!(is_in(&source, diagnostic.span), "{diagnostic:?}");
        }
        let starts: Vec<u32> = parsed.script.body.iter().map(|s| s.span.start).collect();
        prop_assert!(starts.is_sorted());
    }

    /// A place holder in the tree is never without a reason.
    #[test]
    fn what_is_broken_is_said(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30)) {
        let source = format!("//@version=6\n{}", pieces.concat());
        let parsed = parse(&source);
        let broken = super::sexpr::script(&parsed.script.body).contains("<error>");
        let said = parsed.diagnostics.iter().any(|d| d.severity == Severity::Error);
        prop_assert!(said || !broken, "{source:?}");
    }

    #[test]
    fn any_text_is_read(text in "\\PC{0,80}") {
        for diagnostic in parse(&format!("//@version=6\n{text}")).diagnostics {
            prop_assert!(!diagnostic.message.is_empty());
        }
    }
}
