//! `tide rules`: what engines disagree on, and each preset's answers.

use super::Context;
use crate::{
    args::RulesArgs,
    exit::{CommandResult, Ending},
    table::{Cell, Column, render},
};
use springtide_engine::{Rules, rules::PRESETS};
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
    Ok(Ending::Ok)
}

/// The preset, or a usage error that lists them.
pub fn find(name: &str) -> Result<Rules, LabError> {
    Rules::preset(name)
        .ok_or_else(|| LabError::Usage(format!("no broker rules `{name}`; there are {}", PRESETS.join(", "))))
}
