//! `tide tasks`: what running tide processes do.

use super::Context;
use crate::{
    args::TasksArgs,
    exit::{CommandResult, Ending},
    observe::{Answer, PATIENCE, ask_each},
    output::group,
    progress::seconds,
    table::{Cell, Column, render},
    term::printable,
};
use serde_json::Value;
use springtide_lab::LabError;
use springtide_runtime::observe::{Overview, PoolView, StallView, merge_metrics};
use std::collections::BTreeMap;

/// Lists processes, or prints what was asked for of each.
pub fn run(context: &Context, args: &TasksArgs) -> CommandResult {
    let question = match () {
        () if args.health => "health",
        () if args.metrics => "metrics",
        () if args.dump => "tasks",
        () => "state",
    };
    let answers = ask_each(args.pid, question, PATIENCE);
    if answers.is_empty() {
        return match args.pid {
            Some(pid) => {
                Err(LabError::Usage(format!("no tide process {pid}: `tide tasks` lists those that run")))
            }
            None => {
                context.term.note("no tide process is running");
                Ok(Ending::Ok)
            }
        };
    }
    if question == "state" && !args.json {
        return Ok(list(context, &answers));
    }
    let told = told(context, &answers);
    match question {
        "health" => return Ok(health(&told, answers.len())),
        "metrics" => metrics(&told),
        _ => told.iter().for_each(|(_, answer)| println!("{}", printable(answer.trim_end()))),
    }
    Ok(match told.len() {
        all if all == answers.len() => Ending::Ok,
        0 => Ending::Failed,
        _ => Ending::Partly,
    })
}

/// What was answered, by pid; a warning for each process that did not.
fn told<'a>(context: &Context, answers: &'a [Answer]) -> Vec<(u32, &'a str)> {
    let one = |answer: &'a Answer| match &answer.said {
        Ok(text) => Some((answer.pid, text.as_str())),
        Err(why) => {
            context.term.warn(&format!("process {} {why}", answer.pid));
            None
        }
    };
    answers.iter().filter_map(one).collect()
}

/// A line for each process. Of `asked` processes all have to be ready, those that do not answer, too.
fn health(told: &[(u32, &str)], asked: usize) -> Ending {
    let mut ready = 0;
    for (pid, answer) in told {
        let mut health: Value = serde_json::from_str(answer).unwrap_or_default();
        health["pid"] = (*pid).into();
        ready += usize::from(health["ready"] == true);
        println!("{health}");
    }
    if ready == asked { Ending::Ok } else { Ending::Failed }
}

/// One text of all processes, which a collector can read.
fn metrics(told: &[(u32, &str)]) {
    let texts: Vec<(String, &str)> = told.iter().map(|(pid, text)| (pid.to_string(), *text)).collect();
    print!("{}", merge_metrics("pid", texts.iter().map(|(pid, text)| (pid.as_str(), *text))));
}

fn list(context: &Context, answers: &[Answer]) -> Ending {
    let columns = [
        Column::right("pid"),
        Column::right("up"),
        Column::right("running"),
        Column::right("queued"),
        Column::right("done"),
        Column::text("command"),
    ];
    let rows: Vec<Vec<Cell>> = answers.iter().map(row).collect();
    print!("{}", render(&columns, &rows, context.term.table, context.term.color_out));
    Ending::Ok
}

fn row(answer: &Answer) -> Vec<Cell> {
    let state: State = match State::of(answer) {
        Ok(state) => state,
        Err(why) => {
            let unknown = || Cell::from("–");
            return vec![
                answer.pid.to_string().into(),
                unknown(),
                unknown(),
                unknown(),
                unknown(),
                why.into(),
            ];
        }
    };
    let sum = |of: fn(&PoolView) -> u64| group(state.all.pools.values().map(of).sum::<u64>() as f64, 0);
    vec![
        answer.pid.to_string().into(),
        seconds(std::time::Duration::from_millis(state.uptime_ms)).into(),
        sum(|pool| pool.workers.iter().map(|w| w.running.len() as u64).sum()).into(),
        sum(|pool| pool.classes.iter().map(|c| c.queued).sum()).into(),
        sum(|pool| pool.classes.iter().map(|c| c.done).sum()).into(),
        state.about.into(),
    ]
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
    pub sections: BTreeMap<String, Value>,
    pub health: Vec<springtide_runtime::observe::ComponentHealth>,
}

impl State {
    /// Reads a process's answer; why not, where there is none that can be read.
    pub fn of(answer: &Answer) -> Result<Self, String> {
        let text = answer.said.as_ref().map_err(String::clone)?;
        serde_json::from_str(text)
            .map_err(|e| format!("answers in another form ({e}): is it of another version?"))
    }
}
