//! `tide python`: the environment of Python strategies.

use super::Context;
use crate::{
    args::{InterpreterArgs, PythonArgs, PythonCommand, SetupArgs},
    exit::{CommandResult, Ending},
    python,
    term::printable,
};
use springtide_lab::LabError;
use springtide_python::setup;
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

/// Makes an environment, or says what is missing.
pub fn run(context: &Context, command: &PythonCommand) -> CommandResult {
    match command {
        PythonCommand::Setup(args) => set_up(context, args),
        PythonCommand::Status { python } => status(context, python.clone()),
    }
}

fn set_up(context: &Context, args: &SetupArgs) -> CommandResult {
    let folder = args
        .dir
        .clone()
        .or_else(python::home)
        .ok_or_else(|| LabError::Usage("name a folder with --dir: there is no HOME".into()))?;
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let interpreter = args.python.clone().or_else(|| python::on_path("python3"));
    let uv = python::on_path("uv");
    let interpreter = match (interpreter, &uv) {
        (Some(python), _) => python,
        // It brings a Python of its own.
        (None, Some(_)) => PathBuf::from("3.12"),
        (None, None) => {
            return Err(LabError::Usage(
                "neither `uv` nor `python3` is on the path: install one of them, or name an interpreter with --python"
                    .into(),
            ));
        }
    };
    let source = match (&args.index_url, &args.wheels) {
        (Some(url), _) => setup::Source::Index(url.clone()),
        (None, Some(wheels)) => setup::Source::Wheels(wheels.clone()),
        (None, None) => setup::Source::Usual,
    };
    for command in setup::commands(&folder, uv.as_deref(), &interpreter, &args.with, &source) {
        context.term.note_painted(&context.term.err().dim(format!("$ {}", command.join(" "))));
        let status = Command::new(&command[0])
            .args(&command[1..])
            .status()
            .map_err(|source| LabError::File { path: command[0].clone().into(), source })?;
        if !status.success() {
            return Err(LabError::Data(remedy(&folder, &command, status, &args.with)));
        }
    }
    context.term.note(&format!("Python strategies run in {}", folder.display()));
    status(context, Some(setup::interpreter(&folder)))
}

/// What failed and what else there is, after all that the command itself said.
fn remedy(folder: &Path, command: &[String], status: ExitStatus, with: &[String]) -> String {
    let place = folder.display();
    if !command.iter().any(|word| word == "install") {
        return format!(
            "`{}` failed ({status}): no environment was made in {place}. Name another interpreter with --python; \
             Debian and Ubuntu have its venv in a package of its own, python3-venv",
            command.join(" ")
        );
    }
    format!(
        "the packages could not be installed into {place} ({status}). Without a way to PyPI: `tide python setup \
         --index-url URL` takes them from another registry, --wheels DIR from a folder of wheels; or install by hand \
         into an interpreter that you name with --python: {}",
        setup::requirements(with).join(" ")
    )
}

/// 1 when strategies cannot run.
fn status(context: &Context, python: Option<PathBuf>) -> CommandResult {
    let interpreter = InterpreterArgs { python, ..InterpreterArgs::default() };
    let missing = python::missing(&PythonArgs { interpreter, ..PythonArgs::default() });
    for one in &missing {
        println!("{}", printable(&one.text));
    }
    if missing.is_empty() {
        context.term.note("Nothing is missing.");
    }
    Ok(if missing.iter().any(|one| one.blocks) { Ending::Failed } else { Ending::Ok })
}
