//! `cargo xtask corpus-check [--list]`: which share of the collected scripts can be read.

pub mod extract;
pub mod run;

use extract::Sample;
use springtide_domain::{Diagnostic, Severity, SourceMap};
use std::collections::BTreeMap;
use std::path::Path;

/// How many were read of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Share {
    total: usize,
    read: usize,
}

/// Prints the shares by version; with `list`, every script that cannot be read with its first error.
///
/// # Errors
/// When there are no collections below `corpora/`.
pub fn check(root: &Path, list: bool) -> Result<(), String> {
    let samples = extract::scripts(&root.join("corpora"));
    if samples.is_empty() {
        return Err("no scripts found below corpora/: fetch the collections first".into());
    }
    let mut shares: BTreeMap<(bool, u8), Share> = BTreeMap::new();
    for sample in &samples {
        let parsed = springtide_pine::syntax::parse(&sample.source);
        let error = parsed.diagnostics.iter().find(|d| d.severity == Severity::Error);
        let kind = (!extract::is_strategy(&sample.source), parsed.script.version);
        let share = shares.entry(kind).or_default();
        share.total += 1;
        share.read += usize::from(error.is_none());
        if let (true, Some(error)) = (list, error) {
            println!("{}", failure(root, sample, error));
        }
    }
    for ((other, version), share) in &shares {
        println!("{}", row(if *other { "others" } else { "strategies" }, *version, *share));
    }
    Ok(())
}

fn failure(root: &Path, sample: &Sample, error: &Diagnostic) -> String {
    let (line, column) = SourceMap::new(&sample.source).line_col(error.span.start);
    let origin = sample.origin.strip_prefix(root).unwrap_or(&sample.origin);
    format!("{}: script line {line}:{column} [{}] {}", origin.display(), error.code, error.message)
}

fn row(what: &str, version: u8, share: Share) -> String {
    let Share { total, read } = share;
    let percent = 100.0 * read as f64 / total.max(1) as f64;
    let note = if (4..=6).contains(&version) { "" } else { "  (unsupported version: syntax not judged)" };
    format!("{what:10} v{version}: {read:5} of {total:5} read, {percent:6.2} %{note}")
}
