//! What is shown of a Python run besides what all runs have.

use crate::{
    table::blocks,
    term::{Paint, printable},
};
use serde_json::Value;
use springtide_lab::python::PythonFacts;
use springtide_python::Fault;

/// Engine, notes, what went wrong, and the library's own statistics.
pub fn facts(facts: &PythonFacts, width: usize, paint: Paint) -> String {
    let mut out = String::new();
    let mut line = |text: String| out.push_str(&format!("{text}\n"));
    let place = match facts.runs {
        0 | 1 => String::new(),
        runs => format!(", run {} of {runs}", facts.number + 1),
    };
    let tried = facts.tried.map(|tried| format!(", the best of {tried} combinations")).unwrap_or_default();
    line(paint.dim(format!("{} engine: {}{place}{tried}", facts.engine, facts.environment)));
    if let Some(interpreter) = &facts.interpreter {
        line(paint.dim(format!("interpreter: {}", interpreter.path)));
    }
    line(paint.dim(format!(
        "{} ms of processor time, {} MiB at most, {} sandbox",
        facts.cpu_us / 1000,
        facts.peak_bytes >> 20,
        facts.sandbox
    )));
    if let Some(warning) = &facts.warning {
        line(format!("{} {}", paint.yellow("warning:"), printable(warning)));
    }
    for note in &facts.notes {
        line(format!("{} {}", paint.yellow("note:"), printable(note)));
    }
    if let Some(text) =
        facts.fault.as_ref().map(|f| fault(f, facts.number > 0 && facts.strategy.is_empty(), paint))
    {
        line(text);
    }
    if !facts.stats.is_empty() {
        line(stats(facts, width, paint));
    }
    out
}

fn fault(fault: &Fault, after_runs: bool, paint: Paint) -> String {
    let mut lines = Vec::new();
    if after_runs {
        lines.push(paint.yellow("The script failed after its runs:"));
    }
    lines.push(paint.red(format!("{}: {}", fault.kind, fault.message)));
    lines.extend(fault.within.iter().map(|outer| paint.dim(format!("  within {outer}"))));
    if let (Some(file), Some(at)) = (&fault.file, fault.line) {
        let function = fault.function.as_ref().map(|f| format!(", in {f}")).unwrap_or_default();
        lines.push(printable(&format!("  {file}:{at}{function}")).into_owned());
    }
    for (number, text) in &fault.context {
        let row = format!("  {number:>5} | {text}");
        lines.push(if Some(*number) == fault.line { paint.bold(row) } else { paint.dim(row) });
    }
    if let Some(hint) = &fault.hint {
        let text = format!("{} [{}]", hint.text, hint.code);
        lines.push(format!("{} {}", paint.cyan("hint:"), printable(&text)));
    }
    if !fault.output.is_empty() {
        lines.push(paint.dim("Last lines of output (--log shows all):"));
        lines.extend(fault.output.iter().map(|text| format!("  {}", printable(text))));
    }
    lines.join("\n")
}

fn stats(facts: &PythonFacts, width: usize, paint: Paint) -> String {
    let cells: Vec<(String, String)> =
        facts.stats.iter().map(|(name, value)| (name.to_owned(), text(value))).collect();
    format!("\n{}\n{}", paint.bold("As the library reports it"), blocks(&cells, 3, width, paint))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::Number(number) => match number.as_f64() {
            Some(x) if x.fract() != 0.0 => format!("{x:.4}"),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
