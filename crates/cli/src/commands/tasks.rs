//! `tide tasks`: what running tide processes do.

use super::Context;
use crate::{
    args::TasksArgs,
    exit::{CommandResult, Ending},
    observe::{Process, wanted},
    output::group,
    progress::seconds,
    table::{Cell, Column, render},
    term::printable,
};
use springtide_lab::LabError;
use springtide_runtime::observe::{Overview, PoolView, StallView, merge_metrics};
use std::collections::BTreeMap;

/// Lists processes, or prints what was asked for of each.
pub fn run(context: &Context, args: &TasksArgs) -> CommandResult {
    let processes = wanted(args.pid)?;
    if processes.is_empty() {
        context.term.note("no tide process is running");
        return Ok(Ending::Ok);
    }
    if args.health {
        return health(&processes);
    }
    if args.metrics {
        return metrics(&processes);
    }
    let question = match () {
        () if args.dump => "tasks",
        () if args.json => "state",
        () => return list(context, &processes),
    };
    for process in &processes {
        let answer = process.ask(question)?;
        println!("{}", printable(answer.trim_end()));
    }
    Ok(Ending::Ok)
}

fn health(processes: &[Process]) -> CommandResult {
    let mut ready = true;
    for process in processes {
        let answer = process.ask("health")?;
        ready &= answer.contains("\"ready\":true");
        println!("{answer}");
    }
    Ok(if ready { Ending::Ok } else { Ending::Failed })
}

/// One text of all processes, which a collector can read.
fn metrics(processes: &[Process]) -> CommandResult {
    let ask = |process: &Process| Ok((process.pid.to_string(), process.ask("metrics")?));
    let texts: Vec<(String, String)> = processes.iter().map(ask).collect::<Result<_, LabError>>()?;
    print!("{}", merge_metrics("pid", texts.iter().map(|(pid, text)| (pid.as_str(), text.as_str()))));
    Ok(Ending::Ok)
}

fn list(context: &Context, processes: &[Process]) -> CommandResult {
    let columns = [
        Column::right("pid"),
        Column::right("up"),
        Column::right("running"),
        Column::right("queued"),
        Column::right("done"),
        Column::text("command"),
    ];
    let rows: Vec<Vec<Cell>> = processes.iter().map(row).collect::<Result<_, _>>()?;
    print!("{}", render(&columns, &rows, context.term.table, context.term.color_out));
    Ok(Ending::Ok)
}

fn row(process: &Process) -> Result<Vec<Cell>, LabError> {
    let state: State = serde_json::from_str(&process.ask("state")?).map_err(|e| {
        LabError::Usage(format!(
            "process {} answers in another form ({e}): is it of another version?",
            process.pid
        ))
    })?;
    let sum = |of: fn(&PoolView) -> u64| group(state.all.pools.values().map(of).sum::<u64>() as f64, 0);
    Ok(vec![
        process.pid.to_string().into(),
        seconds(std::time::Duration::from_millis(state.uptime_ms)).into(),
        sum(|pool| pool.workers.iter().map(|w| w.running.len() as u64).sum()).into(),
        sum(|pool| pool.classes.iter().map(|c| c.queued).sum()).into(),
        sum(|pool| pool.classes.iter().map(|c| c.done).sum()).into(),
        state.about.into(),
    ])
}

/// A process's answer to `state`, as far as it is shown.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub(super) struct State {
    pub pid: u32,
    pub about: String,
    pub uptime_ms: u64,
    #[serde(flatten)]
    pub all: Overview,
    #[serde(default)]
    pub stalls: Vec<StallView>,
    pub sections: BTreeMap<String, serde_json::Value>,
    pub health: Vec<springtide_runtime::observe::ComponentHealth>,
}
