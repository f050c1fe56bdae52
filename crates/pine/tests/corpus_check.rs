//! Every collected strategy is compiled without a panic, and nearly all that can be read without a complaint.

#[path = "../../../xtask/src/corpus/extract.rs"]
#[allow(dead_code)]
mod extract;

use springtide_domain::{Diagnostic, Severity, SourceMap};
use springtide_pine::{compile, syntax::parse};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Default)]
struct Share {
    strategies: usize,
    readable: usize,
    compiled: usize,
    reasons: BTreeMap<String, Vec<String>>,
}

fn first_bad(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
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
        if !first_bad(&parsed.diagnostics).is_empty() {
            continue;
        }
        share.readable += 1;
        let compiled = compile(&sample.source);
        let bad = first_bad(&compiled.diagnostics);
        share.compiled += usize::from(bad.is_empty());
        assert_eq!(bad.is_empty(), compiled.program.is_some(), "{}", sample.origin.display());
        let map = SourceMap::new(&sample.source);
        let mut codes: Vec<String> = Vec::new();
        for d in bad {
            let key = format!("{} {}", d.code, d.feature);
            if codes.contains(&key) {
                continue;
            }
            let (line, _) = map.line_col(d.span.start);
            let place = format!("{}:{line} {} | {}", sample.origin.file_name().unwrap_or_default().to_string_lossy(), d.message, map.line(line).trim());
            share.reasons.entry(key.clone()).or_default().push(place);
            codes.push(key);
        }
    }
    let verbose = std::env::var_os("CORPUS_REASONS").is_some();
    for (version, share) in &shares {
        let percent = 100.0 * share.compiled as f64 / share.readable.max(1) as f64;
        eprintln!(
            "v{version}: {} of {} readable compile, {percent:.2} % ({} strategies)",
            share.compiled, share.readable, share.strategies
        );
        let mut reasons: Vec<_> = share.reasons.iter().collect();
        reasons.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
        for (reason, places) in reasons.iter().take(if verbose { 40 } else { 5 }) {
            eprintln!("  {:4} {reason}", places.len());
            for place in places.iter().take(if verbose { 90 } else { 0 }) {
                eprintln!("         {place}");
            }
        }
    }
}
