//! Snippets with what is said about them, and with what they become.

mod builtins;
mod diagnostics;
mod limits;
mod listing;
mod lowering;
mod settings;

use super::{Compiled, compile};
use springtide_domain::{Severity, SourceMap};

/// A strategy of a version with this body.
fn script(version: u8, body: &str) -> String {
    format!(
        "//@version={version}\nstrategy(\"t\", initial_capital=1000, default_qty_type=strategy.fixed, default_qty_value=1)\n{body}\n"
    )
}

fn compiled(version: u8, body: &str) -> Compiled {
    compile(&script(version, body))
}

/// Severity, code and line (1 is the body's first) of every diagnostic.
fn said(version: u8, body: &str) -> Vec<String> {
    let source = script(version, body);
    let map = SourceMap::new(&source);
    let diagnostics = compile(&source).diagnostics;
    let one = |d: &springtide_domain::Diagnostic| {
        let level = match d.severity {
            Severity::Error => "error",
            Severity::Unsupported => "unsupported",
            Severity::Warning => "warning",
        };
        format!("{level} {} {}", d.code, map.line_col(d.span.start).0 - 2)
    };
    diagnostics.iter().map(one).collect()
}

/// Asserts that exactly these diagnostics come out, in order.
#[track_caller]
fn check(version: u8, body: &str, expected: &[&str]) {
    assert_eq!(said(version, body), expected, "v{version}:\n{body}");
}

/// Asserts what the body becomes.
#[track_caller]
fn becomes(version: u8, body: &str, expected: &str) {
    let compiled = compiled(version, body);
    let Some(program) = compiled.program else { panic!("{:#?}", compiled.diagnostics) };
    let trim = |text: &str| {
        text.lines()
            .map(str::trim_end)
            .filter(|l| !l.is_empty())
            .map(|l| format!("{l}\n"))
            .collect::<String>()
    };
    let indent =
        expected.lines().find(|l| !l.trim().is_empty()).map_or(0, |l| l.len() - l.trim_start().len());
    let expected: Vec<_> = expected.lines().map(|l| l.get(indent..).unwrap_or("")).collect();
    assert_eq!(trim(&listing::listing(&program)), trim(&expected.join("\n")));
}
