//! A strategy after checking: its program, or why there is none.

use crate::{
    python::{PythonLab, PythonScript, diagnostic},
    strategy::{StrategyKind, StrategySource},
    sweep::Grid,
};
use springtide_domain::{Diagnostic, Severity, Span};
use springtide_pine::{
    ir::{Input, Program},
    vm::Plan,
};
use springtide_python::Fault;
use springtide_runtime::{GroupOptions, Pool, TaskCtx};
use std::sync::Arc;

/// What runs.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Code {
    Pine(Arc<Program>),
    Python(Arc<PythonScript>),
}

/// A checked strategy, shared by all its runs.
#[derive(Clone, Debug)]
pub struct CompiledStrategy {
    /// Where it came from.
    pub source: StrategySource,
    /// The script's title, else its file name.
    pub name: String,
    /// Present when it can run.
    pub code: Option<Code>,
    /// Everything the checker said.
    pub diagnostics: Vec<Diagnostic>,
    /// Of a script in Python that is none: Python's own account of it.
    pub fault: Option<Box<Fault>>,
}

impl CompiledStrategy {
    /// Checks a source; `python` looks at those in Python.
    pub fn new(source: StrategySource, python: Option<&PythonLab>) -> Self {
        match source.kind {
            StrategyKind::Pine => Self::pine(source),
            StrategyKind::Python => Self::python_all(vec![source], python).remove(0),
        }
    }

    fn pine(source: StrategySource) -> Self {
        if let Some(why) = source.problem.clone() {
            return Self::broken(source, "unreadable", why);
        }
        let compiled = springtide_pine::compile(&source.text);
        let program = compiled.program.map(Arc::new);
        let title = program.as_ref().map(|p| p.title.clone()).filter(|t| !t.trim().is_empty());
        Self {
            name: title.unwrap_or_else(|| source.stem()),
            source,
            code: program.map(Code::Pine),
            diagnostics: compiled.diagnostics,
            fault: None,
        }
    }

    /// Checks many sources on a pool's workers; results in the order of the sources. A checker that panics on one
    /// leaves that one without a program, and a diagnostic that says so.
    pub fn all(sources: Vec<StrategySource>, pool: &Pool, python: Option<&Arc<PythonLab>>) -> Vec<Self> {
        let group = pool.group(GroupOptions { max_queued: usize::MAX, ..GroupOptions::default() });
        let mut checked: Vec<Option<Self>> = sources.iter().map(|_| None).collect();
        let (in_python, in_pine): (Vec<usize>, Vec<usize>) =
            (0..sources.len()).partition(|k| sources[*k].kind == StrategyKind::Python);
        let parts: Vec<&[usize]> = in_python.chunks(PYTHON_CHUNK).chain(in_pine.chunks(1)).collect();
        let jobs = parts.iter().map(|part| {
            let sources: Vec<StrategySource> = part.iter().map(|k| sources[*k].clone()).collect();
            let (label, python) = (sources[0].stem(), python.cloned());
            (label, move |_: &TaskCtx<'_>| match sources[0].kind {
                StrategyKind::Python => Self::python_all(sources, python.as_deref()),
                StrategyKind::Pine => sources.into_iter().map(Self::pine).collect(),
            })
        });
        group.feed(jobs, |index, outcome| {
            let done: Vec<Self> = outcome.done().unwrap_or_default();
            parts[index as usize].iter().zip(done).for_each(|(k, one)| checked[*k] = Some(one));
        });
        checked
            .into_iter()
            .zip(sources)
            .map(|(c, source)| {
                c.unwrap_or_else(|| Self::broken(source, "internal", "internal error while checking".into()))
            })
            .collect()
    }

    fn python_all(sources: Vec<StrategySource>, python: Option<&PythonLab>) -> Vec<Self> {
        let Some(python) = python else {
            return sources
                .into_iter()
                .map(|source| Self::broken(source, "internal", "there is no Python to run it in".into()))
                .collect();
        };
        let readable = sources.iter().filter(|s| s.problem.is_none());
        let scripts: Vec<(String, String)> =
            readable.map(|s| (s.path.display().to_string(), s.text.clone())).collect();
        let mut shapes = python.check(&scripts).into_iter();
        let one = |source: StrategySource| {
            if let Some(why) = source.problem.clone() {
                return Self::broken(source, "unreadable", why);
            }
            let shape = match shapes.next() {
                Some(Ok(shape)) => shape,
                Some(Err(fault)) => return Self::no_script(source, fault),
                None => return Self::broken(source, "internal", "it was not checked".into()),
            };
            let script = python.script(shape, &source);
            Self {
                name: source.stem(),
                source,
                diagnostics: script.warnings(),
                code: Some(Code::Python(Arc::new(script))),
                fault: None,
            }
        };
        sources.into_iter().map(one).collect()
    }

    fn no_script(source: StrategySource, fault: Box<Fault>) -> Self {
        let diagnostics = vec![diagnostic(&fault, &source.text)];
        Self { name: source.stem(), source, code: None, diagnostics, fault: Some(fault) }
    }

    fn broken(source: StrategySource, code: &'static str, message: String) -> Self {
        let diagnostics = vec![problem(code, message)];
        Self { name: source.stem(), source, code: None, diagnostics, fault: None }
    }

    /// True of Python with neither a strategy nor a backtest in it: a module that others import.
    pub fn is_helper(&self) -> bool {
        self.code.is_none() && self.diagnostics.iter().any(|d| d.code == NOTHING_RAN)
    }

    /// What runs, or one line that says why nothing does.
    pub fn runnable(&self) -> Result<&Code, String> {
        match &self.code {
            Some(Code::Pine(program)) if !program.is_strategy => {
                Err("an indicator, not a strategy: it places no orders; declare it with strategy()".into())
            }
            Some(code) => Ok(code),
            None => Err(self.first_problem()),
        }
    }

    /// The checked program of a Pine strategy.
    pub fn program(&self) -> Option<&Arc<Program>> {
        match &self.code {
            Some(Code::Pine(program)) => Some(program),
            _ => None,
        }
    }

    /// The checked script of a Python strategy.
    pub fn python(&self) -> Option<&PythonScript> {
        match &self.code {
            Some(Code::Python(script)) => Some(script),
            _ => None,
        }
    }

    /// The script's inputs; none when it did not compile.
    pub fn inputs(&self) -> &[Input] {
        match &self.code {
            Some(Code::Pine(program)) => &program.inputs,
            Some(Code::Python(script)) => &script.inputs,
            None => &[],
        }
    }

    /// Why a value of the grid cannot be: the ends of each axis are tried. None when the script takes them, and
    /// when it did not compile.
    pub fn refuses(&self, grid: &Grid) -> Option<String> {
        let program = self.program()?;
        let first = grid.at(0);
        let ends = grid.axes().iter().flat_map(|axis| {
            axis.values
                .first()
                .into_iter()
                .chain(axis.values.last())
                .map(|value| (axis.name.clone(), value.clone()))
        });
        let mut tried = std::iter::once(first.clone()).chain(ends.map(|(name, value)| {
            let mut params = first.clone();
            params.insert(name, value);
            params
        }));
        tried.find_map(|params| Some(Plan::prepare(program, &params).err()?.first()?.message.clone()))
    }

    fn first_problem(&self) -> String {
        let blocking: Vec<&Diagnostic> =
            self.diagnostics.iter().filter(|d| d.severity != Severity::Warning).collect();
        let Some(first) = blocking.first() else { return "did not compile".into() };
        let map = springtide_domain::SourceMap::new(&self.source.text);
        if first.code == "unreadable" {
            return first.message.clone();
        }
        let (line, column) = map.line_col(first.span.start);
        let more = match blocking.len() {
            1 => String::new(),
            n => format!(" (and {} more; `tide check` shows all)", n - 1),
        };
        format!("line {line}:{column}: {}{more}", first.message)
    }
}

/// Code of a script in which nothing can run.
const NOTHING_RAN: &str = "nothing-ran";
/// Python scripts that one task checks.
const PYTHON_CHUNK: usize = 32;

fn problem(code: &'static str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: code.into(),
        feature: String::new(),
        message,
        hint: match code {
            "internal" => "please report it with the script".into(),
            _ => String::new(),
        },
        span: Span::new(0, 0),
    }
}
