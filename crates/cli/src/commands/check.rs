//! `tide check`: diagnoses strategies without running them.

use super::Context;
use crate::{
    args::CheckArgs,
    exit::{CommandResult, Ending},
};
use springtide_domain::{Diagnostic, Severity, SourceMap};
use springtide_lab::{
    compiled::CompiledStrategy,
    paths::expand,
    strategy::{StrategyKind, StrategySource},
};

/// Prints every diagnostic of every file; 1 when any file cannot run.
pub fn run(context: &Context, args: &CheckArgs) -> CommandResult {
    let files = expand(&args.strategies, &|path| StrategyKind::of(path).is_some())?;
    let (mut bad, mut warned) = (0, 0);
    for path in &files {
        let compiled = match StrategySource::read(path) {
            Ok(source) => CompiledStrategy::new(source),
            Err(error) => {
                bad += 1;
                eprintln!("tide: {error}");
                continue;
            }
        };
        let ok = compiled.program.is_some();
        bad += usize::from(!ok);
        warned += usize::from(ok && !compiled.diagnostics.is_empty());
        if args.json {
            println!("{}", json(&compiled));
        } else if !compiled.diagnostics.is_empty() {
            let name = path.display().to_string();
            let text = &compiled.source.text;
            print!(
                "{}",
                springtide_pine::render::render(&compiled.diagnostics, text, &name, context.term.color_out)
            );
        }
    }
    if !args.json {
        let paint = context.term.err();
        let fine = files.len() - bad - warned;
        context.term.note(&format!(
            "{} checked: {}, {}, {}",
            files.len(),
            paint.green(format!("{fine} ok")),
            paint.yellow(format!("{warned} with warnings")),
            paint.red(format!("{bad} cannot run"))
        ));
    }
    Ok(if bad == 0 { Ending::Ok } else { Ending::Failed })
}

/// `{file, version, kind, ok, unsupported[], errors[], warnings[]}`; documented in `docs/formats.md`.
fn json(strategy: &CompiledStrategy) -> serde_json::Value {
    let map = SourceMap::new(&strategy.source.text);
    let list = |severity: Severity| -> Vec<serde_json::Value> {
        strategy.diagnostics.iter().filter(|d| d.severity == severity).map(|d| place(d, &map)).collect()
    };
    let kind = match &strategy.program {
        Some(program) if program.is_strategy => "strategy",
        Some(_) => "indicator",
        None => "unknown",
    };
    serde_json::json!({
        "file": strategy.source.path.display().to_string(),
        "version": strategy.program.as_ref().map_or_else(|| springtide_pine::syntax::parse(&strategy.source.text).script.version, |p| p.version),
        "kind": kind,
        "ok": strategy.program.is_some(),
        "unsupported": list(Severity::Unsupported),
        "errors": list(Severity::Error),
        "warnings": list(Severity::Warning),
    })
}

fn place(diagnostic: &Diagnostic, map: &SourceMap<'_>) -> serde_json::Value {
    let (line, column) = map.line_col(diagnostic.span.start);
    let (end_line, end_column) = map.line_col(diagnostic.span.end);
    serde_json::json!({
        "code": diagnostic.code,
        "feature": diagnostic.feature,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    })
}
