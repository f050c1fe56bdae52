//! `tide board`: the leaderboard from the ledger.

use super::Context;
use crate::{
    args::{BoardArgs, GroupArg},
    exit::{CommandResult, Ending},
    output,
    table::{Cell, Column, render},
};
use springtide_engine::{
    metrics::METRICS,
    rules::{LIBRARIES, PRESETS},
};
use springtide_lab::{
    LabError, Ledger, filter,
    ledger::{BoardQuery, GroupBy, RunRecord},
};

/// Prints the best runs.
pub fn run(context: &Context, args: &BoardArgs) -> CommandResult {
    if args.metrics {
        print_metrics(context);
        return Ok(Ending::Ok);
    }
    let ledger = context.workspace.existing_ledger()?;
    let query = query(&ledger, args)?;
    let runs = ledger.board(&query)?;
    if args.json {
        for run in &runs {
            println!("{}", output::run_json(run, true));
        }
        return Ok(Ending::Ok);
    }
    print!("{}", board(&runs, &query.sort, context.term.table, context.term.color_out));
    if runs.is_empty() {
        let counts: Vec<String> = ledger.counts()?.iter().map(|(s, n)| format!("{n} {s}")).collect();
        context.term.note(&format!("No run matches. The ledger holds {}.", counts.join(", ")));
    } else {
        context.term.note(&format!("`tide show {}` shows the first one.", runs[0].id.short()));
    }
    Ok(Ending::Ok)
}

fn query(ledger: &Ledger, args: &BoardArgs) -> Result<BoardQuery, LabError> {
    let (sort, asked_ascending) = match args.sort.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (args.sort.as_str(), false),
    };
    // A metric where less is better leads with the least, unless asked otherwise.
    let lower_is_better = METRICS.iter().any(|m| m.name == sort && m.higher_is_better == Some(false));
    let job = match args.job.as_deref() {
        None => None,
        Some("last") => ledger.jobs(1)?.first().map(|j| j.id),
        Some(id) => Some(id.parse().map_err(|_| LabError::Usage(format!("--job {id}: a number or `last`")))?),
    };
    Ok(BoardQuery {
        sort: sort.into(),
        descending: asked_ascending == lower_is_better,
        filter: args.filter.as_deref().map(filter::compile).transpose()?,
        top: args.top,
        group: args.group.map(|g| match g {
            GroupArg::Strategy => GroupBy::Strategy,
            GroupArg::Market => GroupBy::Market,
        }),
        job,
    })
}

/// The leaderboard as text: the usual metrics, and the sorted one when it is not among them.
pub fn board(runs: &[RunRecord], sort: &str, width: usize, color: bool) -> String {
    let mut metrics =
        vec!["return_pct", "max_drawdown_pct", "sharpe", "profit_factor", "win_rate_pct", "trades"];
    if !metrics.contains(&sort) && METRICS.iter().any(|m| m.name == sort) {
        metrics.insert(0, sort);
    }
    // What they share and is the usual need not be said.
    let usual = |run: &RunRecord| if run.python.is_some() { LIBRARIES[0] } else { PRESETS[0] };
    let with_rules = runs.iter().any(|r| r.rules.name != runs[0].rules.name || r.rules.name != usual(r));
    let with_params = runs.iter().any(|r| !r.params.is_empty());
    let mut columns = vec![Column::right("#"), Column::text("strategy"), Column::left("market")];
    if with_params {
        columns.push(Column::text("inputs"));
    }
    if with_rules {
        columns.push(Column::left("rules"));
    }
    columns.extend(metrics.iter().map(|m| Column::right(output::short_title(m))));
    columns.push(Column::left("run"));
    let row = |(i, run): (usize, &RunRecord)| {
        let mut cells: Vec<Cell> =
            vec![(i + 1).to_string().into(), run.strategy.clone().into(), run.market().into()];
        if with_params {
            cells.push(Cell::pairs(run.params.iter().map(|(k, v)| (k.clone(), v.to_string())).collect()));
        }
        if with_rules {
            cells.push(run.rules.name.clone().into());
        }
        cells.extend(
            metrics.iter().map(|m| output::metric_cell(m, run.metrics.as_ref().and_then(|x| x.get(m)))),
        );
        cells.push(run.id.short().into());
        cells
    };
    let rows: Vec<Vec<Cell>> = runs.iter().enumerate().map(row).collect();
    render(&columns, &rows, width, color)
}

fn print_metrics(context: &Context) {
    let columns = [Column::left("name"), Column::left("unit"), Column::left("definition")];
    let rows: Vec<Vec<Cell>> =
        METRICS.iter().map(|m| vec![m.name.into(), m.unit.as_str().into(), m.definition.into()]).collect();
    print!("{}", render(&columns, &rows, usize::MAX, context.term.color_out));
}
