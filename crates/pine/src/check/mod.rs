//! Tree to checked program.

use crate::ir::Program;
use springtide_domain::Diagnostic;

/// What compiling gives: always every diagnostic, and a program when there is no error.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Present when no diagnostic is an error or unsupported.
    pub program: Option<Program>,
    /// All of them, in source order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles a script.
pub fn compile(source: &str) -> Compiled {
    let _ = source;
    Compiled { program: None, diagnostics: Vec::new() }
}
