//! `tide rules`: what engines disagree on, and each preset's answers.

use super::Context;
use crate::{
    args::RulesArgs,
    exit::{CommandResult, Ending},
    table::{Cell, Column, render},
};
use springtide_engine::{
    Rules,
    rules::{LIBRARIES, PRESETS},
};
use springtide_lab::LabError;

/// A table of all presets, or of the one named.
pub fn run(context: &Context, args: &RulesArgs) -> CommandResult {
    let names: Vec<&str> = match &args.preset {
        Some(name) => vec![name.as_str()],
        None => PRESETS.to_vec(),
    };
    let presets: Vec<Rules> = names.iter().map(|n| find(n)).collect::<Result<_, _>>()?;
    if args.json {
        for preset in &presets {
            println!("{}", serde_json::to_string(preset).unwrap_or_default());
        }
        return Ok(Ending::Ok);
    }
    let mut columns = vec![Column::left("rule")];
    columns.extend(presets.iter().map(|p| Column::left(&p.name)));
    let answers: Vec<Vec<(&'static str, String)>> = presets.iter().map(Rules::describe).collect();
    let row = |k: usize| -> Vec<Cell> {
        let mut cells: Vec<Cell> = vec![answers[0][k].0.into()];
        cells.extend(answers.iter().map(|a| Cell::from(a[k].1.clone())));
        cells
    };
    let rows: Vec<Vec<Cell>> = (0..answers[0].len()).map(row).collect();
    print!("{}", render(&columns, &rows, usize::MAX, context.term.color_out));
    context.term.note("Use one with --broker NAME, change a rule with --rule KEY=VALUE; docs/broker-rules.md explains each.");
    context
        .term
        .note(&format!("Python strategies run under their library's own rules: {}.", LIBRARIES.join(" or ")));
    Ok(Ending::Ok)
}

/// The preset, or a usage error that lists them.
pub fn find(name: &str) -> Result<Rules, LabError> {
    Rules::preset(name).ok_or_else(|| {
        LabError::Usage(if LIBRARIES.contains(&name) {
            format!(
                "{name} are rules of Python strategies: what sets that version apart (docs/broker-rules.md lists it) has \
                 no rule key, so Pine strategies cannot run under them; the nearest preset is {}",
                LIBRARIES[0]
            )
        } else {
            format!("no broker rules `{name}`; there are {}", PRESETS.join(", "))
        })
    })
}

/// The rules of that name for Python strategies, or a usage error that lists them.
pub fn find_library(name: &str) -> Result<&'static str, LabError> {
    let found = LIBRARIES.iter().find(|library| **library == name);
    found.copied().ok_or_else(|| {
        LabError::Usage(format!(
            "--broker {name}: Python strategies run under their library's own rules, {}; give Pine strategies other \
             rules in a batch of their own",
            LIBRARIES.join(" or ")
        ))
    })
}
