//! `tide check`: diagnoses strategies without running them, once or whenever they change.

use super::{Context, helpers};
use crate::{
    args::{CheckArgs, PythonArgs},
    exit::{CommandResult, Ending},
    out,
    term::printable,
    watch::{Watched, concerns},
};
use springtide_domain::{Diagnostic, Severity, SourceMap};
use springtide_engine::rules::LIBRARIES;
use springtide_lab::{
    compiled::{Code, CompiledStrategy},
    paths::expand,
    strategy::{StrategyKind, StrategySource},
};
use std::path::PathBuf;

/// Prints every diagnostic of every file; 1 when any file cannot run. With `--watch` it goes on until it is ended.
pub fn run(context: &Context, args: &CheckArgs) -> CommandResult {
    let mut watched = args.watch.then(|| Watched::new(&args.strategies)).transpose()?;
    let files = || expand(&args.strategies, &|path| StrategyKind::of(path).is_some());
    let ending = round(context, args, &files()?)?;
    let Some(watched) = &mut watched else { return Ok(ending) };
    context.term.note("Watching for changes; Ctrl-C ends it.");
    loop {
        let changes = watched.next()?;
        // No file left is no reason to stop: an editor may be about to write one anew.
        let mut touched = files().unwrap_or_default();
        touched.retain(|file| concerns(&changes, file));
        if !touched.is_empty() {
            round(context, args, &touched)?;
        }
    }
}

/// Checks these files.
fn round(context: &Context, args: &CheckArgs, files: &[PathBuf]) -> CommandResult {
    let python = if files.iter().any(|f| StrategyKind::of(f) == Some(StrategyKind::Python)) {
        let args = PythonArgs { interpreter: args.interpreter.clone(), ..PythonArgs::default() };
        let found = crate::python::Python::find(&args, context.seen.health())?;
        Some(found.lab(&args, &LIBRARIES[..1], std::iter::empty(), 1)?)
    } else {
        None
    };
    let (mut bad, mut warned, mut left_out) = (0, 0, Vec::new());
    for path in files {
        let compiled = match StrategySource::read(path) {
            Ok(source) => CompiledStrategy::new(source, python.as_ref()),
            Err(error) => {
                bad += 1;
                eprintln!("tide: {}", printable(&error.to_string()));
                continue;
            }
        };
        if helpers::is_left_out(&args.strategies, &compiled) {
            left_out.push(path.display().to_string());
            continue;
        }
        let ok = compiled.code.is_some();
        bad += usize::from(!ok);
        warned += usize::from(ok && !compiled.diagnostics.is_empty());
        if args.json {
            println!("{}", json(&compiled));
        } else if !compiled.diagnostics.is_empty() {
            let name = path.display().to_string();
            let text = &compiled.source.text;
            let color = context.term.color_out;
            print!("{}", springtide_pine::render::render(&compiled.diagnostics, text, &name, color));
        }
    }
    helpers::tell(context, &left_out);
    if !args.json {
        let paint = context.term.err();
        let checked = files.len() - left_out.len();
        let fine = checked - bad - warned;
        context.term.note_painted(&format!(
            "{checked} checked: {}, {}, {}",
            paint.green(format!("{fine} ok")),
            paint.yellow(format!("{warned} with warnings")),
            paint.red(format!("{bad} cannot run"))
        ));
    }
    // With --watch there is no end at which it would be told.
    out::check()?;
    Ok(if bad == 0 { Ending::Ok } else { Ending::Failed })
}

/// `{file, version, kind, ok, unsupported[], errors[], warnings[]}`; documented in `docs/formats.md`.
fn json(strategy: &CompiledStrategy) -> serde_json::Value {
    let map = SourceMap::new(&strategy.source.text);
    let list = |severity: Severity| -> Vec<serde_json::Value> {
        strategy.diagnostics.iter().filter(|d| d.severity == severity).map(|d| place(d, &map)).collect()
    };
    let kind = match &strategy.code {
        Some(Code::Pine(program)) if !program.is_strategy => "indicator",
        Some(_) => "strategy",
        None => "unknown",
    };
    let version = match strategy.source.kind {
        StrategyKind::Pine => Some(strategy.program().map_or_else(
            || springtide_pine::syntax::parse(&strategy.source.text).script.version,
            |p| p.version,
        )),
        StrategyKind::Python => None,
    };
    serde_json::json!({
        "file": strategy.source.path.display().to_string(),
        "version": version,
        "kind": kind,
        "ok": strategy.code.is_some(),
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
