//! Every collected strategy is read without a panic, and nearly all of them without an error.

#[path = "../../../xtask/src/corpus/extract.rs"]
#[allow(dead_code)]
mod extract;

use springtide_domain::Severity;
use springtide_pine::syntax::parse;
use std::collections::BTreeMap;
use std::path::Path;

/// Percent that must be read, by version. What is left are sources that are broken.
const WANTED: [(u8, f64); 3] = [(4, 99.2), (5, 98.5), (6, 96.0)];

#[test]
fn collected_strategies_are_read() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpora");
    let samples = extract::scripts(&corpora);
    if samples.is_empty() {
        eprintln!("SKIPPED collected_strategies_are_read: no scripts below {}", corpora.display());
        return;
    }
    let mut shares: BTreeMap<u8, (usize, usize)> = BTreeMap::new();
    for sample in samples.iter().filter(|s| extract::is_strategy(&s.source)) {
        let parsed = parse(&sample.source);
        let broken = parsed.diagnostics.iter().any(|d| d.severity == Severity::Error);
        let share = shares.entry(parsed.script.version).or_default();
        share.0 += 1;
        share.1 += usize::from(!broken);
    }
    for (version, wanted) in WANTED {
        let Some(&(total, read)) = shares.get(&version) else { continue };
        let percent = 100.0 * read as f64 / total as f64;
        eprintln!("v{version}: {read} of {total} read, {percent:.2} %");
        assert!(percent >= wanted, "v{version}: {percent:.2} % of {total}, wanted {wanted} %");
    }
}

/// Cut anywhere, every script is still read: no panic, and no tree that cannot be walked.
#[test]
fn cut_scripts_are_read() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpora");
    let samples = extract::scripts(&corpora);
    if samples.is_empty() {
        eprintln!("SKIPPED cut_scripts_are_read: no scripts below {}", corpora.display());
    }
    for (i, sample) in samples.iter().enumerate().step_by(7) {
        let source = &sample.source;
        let cut = source.len() * (i % 97) / 97;
        parse(&String::from_utf8_lossy(&source.as_bytes()[cut..]));
        parse(&String::from_utf8_lossy(&source.as_bytes()[..cut]));
    }
}
