//! `tide python`: the environment of Python strategies.

use super::Context;
use crate::{
    args::{PythonArgs, PythonCommand, SetupArgs},
    exit::{CommandResult, Ending},
    python,
};
use springtide_lab::LabError;
use springtide_python::setup;
use std::{path::PathBuf, process::Command};

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
    for command in setup::commands(&folder, uv.as_deref(), &interpreter, &args.with) {
        context.term.note(&context.term.err().dim(format!("$ {}", command.join(" "))));
        let status = Command::new(&command[0])
            .args(&command[1..])
            .status()
            .map_err(|source| LabError::File { path: command[0].clone().into(), source })?;
        if !status.success() {
            return Err(LabError::Data(format!("`{}` failed: {status}", command.join(" "))));
        }
    }
    context.term.note(&format!("Python strategies run in {}", folder.display()));
    status(context, Some(setup::interpreter(&folder)))
}

fn status(context: &Context, python: Option<PathBuf>) -> CommandResult {
    let lines = python::missing(&PythonArgs { python, ..PythonArgs::default() });
    for line in &lines {
        println!("{line}");
    }
    if lines.is_empty() {
        context.term.note("Nothing is missing.");
    }
    Ok(Ending::Ok)
}
