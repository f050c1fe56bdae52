//! Every collected strategy is compiled without a panic, and nearly all that can be read without a complaint.

#[path = "../../../xtask/src/corpus/extract.rs"]
#[allow(dead_code)]
mod extract;

use springtide_domain::{Diagnostic, Severity, SourceMap};
use springtide_pine::{compile, syntax::parse};
use std::collections::BTreeMap;
use std::path::Path;

/// Percent of the readable ones that must compile, by version. What is left breaks the language's rules
/// (a series length for `ema`, a tuple in one variable), imports a library, or wants what the executor lacks.
const WANTED: [(u8, f64); 3] = [(4, 98.5), (5, 98.5), (6, 98.0)];

#[derive(Default)]
struct Share {
    strategies: usize,
    readable: usize,
    compiled: usize,
    reasons: BTreeMap<String, Vec<String>>,
}

fn bad(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    diagnostics.iter().filter(|d| d.severity != Severity::Warning).collect()
}

#[test]
fn collected_strategies_compile() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpora");
    let samples = extract::scripts(&corpora);
    if samples.is_empty() {
        eprintln!("SKIPPED collected_strategies_compile: no scripts below {}", corpora.display());
        return;
    }
    let mut shares: BTreeMap<u8, Share> = BTreeMap::new();
    for sample in samples.iter().filter(|s| extract::is_strategy(&s.source)) {
        let parsed = parse(&sample.source);
        if !(4..=6).contains(&parsed.script.version) {
            continue;
        }
        let share = shares.entry(parsed.script.version).or_default();
        share.strategies += 1;
        if !bad(&parsed.diagnostics).is_empty() {
            continue;
        }
        share.readable += 1;
        let compiled = compile(&sample.source);
        let complaints = bad(&compiled.diagnostics);
        share.compiled += usize::from(complaints.is_empty());
        assert_eq!(complaints.is_empty(), compiled.program.is_some(), "{}", sample.origin.display());
        let map = SourceMap::new(&sample.source);
        let mut codes: Vec<String> = Vec::new();
        for d in complaints {
            let key = format!("{} {}", d.code, d.feature);
            if codes.contains(&key) {
                continue;
            }
            let (line, _) = map.line_col(d.span.start);
            let place = format!(
                "{}:{line} {} | {}",
                sample.origin.file_name().unwrap_or_default().to_string_lossy(),
                d.message,
                map.line(line).trim()
            );
            share.reasons.entry(key.clone()).or_default().push(place);
            codes.push(key);
        }
    }
    for (version, share) in &shares {
        let percent = 100.0 * share.compiled as f64 / share.readable.max(1) as f64;
        eprintln!(
            "v{version}: {} of {} readable compile, {percent:.2} % ({} strategies)",
            share.compiled, share.readable, share.strategies
        );
        let mut reasons: Vec<_> = share.reasons.iter().collect();
        reasons.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
        for (reason, places) in reasons {
            eprintln!("  {:4} {reason}, as in {}", places.len(), places[0]);
        }
        if let Some((_, wanted)) = WANTED.iter().find(|(v, _)| v == version) {
            assert!(
                percent >= *wanted,
                "v{version}: {percent:.2} % of {}, wanted {wanted} %",
                share.readable
            );
        }
    }
}

/// Cut anywhere, a script is still compiled or complained about, without a panic.
#[test]
fn cut_scripts_compile_or_complain() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpora");
    let samples = extract::scripts(&corpora);
    if samples.is_empty() {
        eprintln!("SKIPPED cut_scripts_compile_or_complain: no scripts below {}", corpora.display());
    }
    for (i, sample) in samples.iter().enumerate().step_by(11) {
        let source = &sample.source;
        let cut = source.len() * (i % 97) / 97;
        let head = String::from_utf8_lossy(&source.as_bytes()[..cut]);
        let tail = String::from_utf8_lossy(&source.as_bytes()[cut..]);
        for text in [head.into_owned(), format!("//@version=5\n{tail}"), format!("//@version=6\n{source}")] {
            let compiled = compile(&text);
            assert!(compiled.program.is_some() || !compiled.diagnostics.is_empty());
        }
    }
}
