//! `tide doctor`: what works here, what does not, and what to do about it.

mod finding;
mod machine;
mod online;
mod workspace;

use super::Context;
use crate::{
    args::{DoctorArgs, PythonArgs},
    exit::{CommandResult, Ending},
    term::{Paint, printable},
};
use finding::{Finding, State};

/// Keys of model providers and data vendors, by the names their own tools use. Only whether they are set is told.
const KEYS: [&str; 7] = [
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "GEMINI_API_KEY",
    "DEEPSEEK_API_KEY",
    "GROQ_API_KEY",
    "OPENROUTER_API_KEY",
    "XAI_API_KEY",
];

/// Looks at everything and prints a line for each thing.
pub fn run(context: &Context, args: &DoctorArgs) -> CommandResult {
    let mut found = machine::findings(context.workspace.root());
    found.extend(workspace::findings(&context.workspace));
    found.extend(python());
    found.push(keys());
    if args.online {
        found.extend(online::findings(&args.url));
    }
    for finding in &found {
        match args.json {
            true => println!("{}", serde_json::to_string(finding).unwrap_or_default()),
            false => print!("{}", text(finding, context.term.out())),
        }
    }
    let worst = found.iter().map(|f| f.state).max().unwrap_or(State::Ok);
    if !args.json {
        let count = |state| found.iter().filter(|f| f.state == state).count();
        let (errors, warnings) = (count(State::Error), count(State::Warning));
        context.term.note(&format!("{errors} errors, {warnings} warnings, {} things looked at", found.len()));
    }
    Ok(if worst == State::Error { Ending::Failed } else { Ending::Ok })
}

fn python() -> Vec<Finding> {
    let missing = crate::python::missing(&PythonArgs::default());
    if missing.is_empty() {
        return vec![Finding::ok("python", "everything that strategies in Python need is there")];
    }
    missing.into_iter().map(|one| Finding::info("python", one.text)).collect()
}

fn keys() -> Finding {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let set: Vec<&str> = KEYS.into_iter().filter(is_set).collect();
    match set.is_empty() {
        true => Finding::info("keys", format!("none set of {}; backtests need none", KEYS.join(", "))),
        false => Finding::ok("keys", format!("set: {}", set.join(", "))),
    }
}

/// `ok     disk-space  …`, and the remedy below it.
fn text(finding: &Finding, paint: Paint) -> String {
    let state = match finding.state {
        State::Ok => paint.green("ok     "),
        State::Info => paint.dim("note   "),
        State::Warning => paint.yellow("warning"),
        State::Error => paint.red("error  "),
    };
    let mut line = format!("{state}  {:<13}{}\n", finding.check, printable(&finding.detail));
    if !finding.fix.is_empty() {
        line.push_str(&format!("{:9}{:<13}→ {}\n", "", "", printable(&finding.fix)));
    }
    line
}
