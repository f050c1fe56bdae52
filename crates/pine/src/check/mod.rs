//! Tree to checked program.
//!
//! [`builtins`] knows the language's own functions and variables, `lower` walks the tree once, gives
//! every name and expression a type and writes the flat program (user functions are inlined per
//! call), `prune` keeps of it what orders depend on.

pub mod builtins;
mod dates;
mod lower;
mod prune;
#[cfg(test)]
mod tests;
mod types;

use crate::ir::Program;
use crate::syntax::{self, MAX_SOURCE};
use springtide_domain::{Diagnostic, Severity};

/// What compiling gives: always every diagnostic, and a program when there is no error.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Present when no diagnostic is an error or unsupported.
    pub program: Option<Program>,
    /// All of them, in source order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Which values left-out `strategy()` arguments take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defaults {
    /// 1,000,000 of capital and one contract an order, in every version.
    #[default]
    Classic,
    /// Version 6 since 2026-09-24: 100,000 of capital and 100 percent of equity an order.
    V6From2026_09,
}

/// How to compile.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// Keep `plot` calls of the global scope as [`Program::plots`], and `log.*` calls.
    pub keep_plots: bool,
    /// Values of left-out `strategy()` arguments.
    pub defaults: Defaults,
}

/// Compiles a script.
pub fn compile(source: &str) -> Compiled {
    compile_with(source, &CompileOptions::default())
}

/// Compiles a script with options.
pub fn compile_with(source: &str, options: &CompileOptions) -> Compiled {
    let parsed = syntax::parse(source);
    let mut diagnostics = parsed.diagnostics;
    if !(4..=6).contains(&parsed.script.version) || source.len() > MAX_SOURCE {
        return Compiled { program: None, diagnostics };
    }
    let (program, mut found) = lower::lower(&parsed.script, options);
    diagnostics.append(&mut found);
    diagnostics.sort_by_key(|d| (d.span.start, d.severity));
    let bad = diagnostics.iter().any(|d| d.severity != Severity::Warning);
    Compiled { program: (!bad).then_some(program), diagnostics }
}
