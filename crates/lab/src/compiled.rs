//! A strategy after checking: its program, or why there is none.

use crate::{
    strategy::{StrategyKind, StrategySource},
    sweep::Grid,
};
use springtide_domain::{Diagnostic, Severity, Span};
use springtide_pine::{
    ir::{Input, Program},
    vm::Plan,
};
use springtide_runtime::{GroupOptions, Pool, TaskCtx};
use std::sync::Arc;

/// A checked strategy, shared by all its runs.
#[derive(Clone, Debug)]
pub struct CompiledStrategy {
    /// Where it came from.
    pub source: StrategySource,
    /// The script's title, else its file name.
    pub name: String,
    /// Present when it can run.
    pub program: Option<Arc<Program>>,
    /// Everything the checker said.
    pub diagnostics: Vec<Diagnostic>,
}

impl CompiledStrategy {
    /// Checks a source.
    pub fn new(source: StrategySource) -> Self {
        let StrategyKind::Pine = source.kind;
        let compiled = springtide_pine::compile(&source.text);
        let program = compiled.program.map(Arc::new);
        let title = program.as_ref().map(|p| p.title.clone()).filter(|t| !t.trim().is_empty());
        Self {
            name: title.unwrap_or_else(|| source.stem()),
            source,
            program,
            diagnostics: compiled.diagnostics,
        }
    }

    /// Checks many sources on a pool's workers; results in the order of the sources. A checker that panics on one
    /// leaves that one without a program, and a diagnostic that says so.
    pub fn all(sources: Vec<StrategySource>, pool: &Pool) -> Vec<Self> {
        let group = pool.group(GroupOptions { max_queued: usize::MAX, ..GroupOptions::default() });
        let mut checked: Vec<Option<Self>> = sources.iter().map(|_| None).collect();
        let jobs = sources.iter().cloned().map(|source| {
            let label = source.stem();
            (label, move |_: &TaskCtx<'_>| Self::new(source))
        });
        group.feed(jobs, |index, outcome| checked[index as usize] = outcome.done());
        checked
            .into_iter()
            .zip(sources)
            .map(|(c, source)| c.unwrap_or_else(|| Self::broken(source)))
            .collect()
    }

    fn broken(source: StrategySource) -> Self {
        let problem = Diagnostic {
            severity: Severity::Error,
            code: "internal".into(),
            feature: String::new(),
            message: "internal error while checking".into(),
            hint: "please report it with the script".into(),
            span: Span::new(0, 0),
        };
        Self { name: source.stem(), source, program: None, diagnostics: vec![problem] }
    }

    /// The program, or one line that says why there is none.
    pub fn runnable(&self) -> Result<&Arc<Program>, String> {
        match &self.program {
            Some(program) if program.is_strategy => Ok(program),
            Some(_) => {
                Err("an indicator, not a strategy: it places no orders; declare it with strategy()".into())
            }
            None => Err(self.first_problem()),
        }
    }

    /// The script's inputs; none when it did not compile.
    pub fn inputs(&self) -> &[Input] {
        self.program.as_ref().map_or(&[], |p| &p.inputs)
    }

    /// Why a value of the grid cannot be: the ends of each axis are tried. None when the script takes them, and
    /// when it did not compile.
    pub fn refuses(&self, grid: &Grid) -> Option<String> {
        let program = self.program.as_ref()?;
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
        let (line, column) = map.line_col(first.span.start);
        let more = match blocking.len() {
            1 => String::new(),
            n => format!(" (and {} more; `tide check` shows all)", n - 1),
        };
        format!("line {line}:{column}: {}{more}", first.message)
    }
}
