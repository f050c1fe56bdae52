//! Checked program to results.
//!
//! A run specialises the program on its inputs, keeps what orders depend on, computes what depends on
//! the market alone as whole columns (shared between runs on one data set), and runs the rest as
//! register code bar by bar, only on the bars where it can matter.

mod bits;
mod build;
mod calendar;
mod collections;
mod columns;
mod fold;
mod functions;
mod gates;
mod heap;
mod linear;
mod machine;
mod matrices;
mod merge;
mod numbers;
mod orders;
mod others;
mod pure;
mod run;
mod security;
mod signals;
mod slice;
mod statistics;
mod text;
mod times;
mod trades;
mod values;

pub use columns::ColumnStore;
pub use functions::supports;
pub use others::{Need, OtherBars, OtherData, is_symbol, needs};
pub use run::{DataContext, ExecOptions, LogLine, Outcome, Plan, RunError, Scratch, run};
pub use values::NameTable;

/// Stands for an argument that was left out; a NaN of its own, so that `na` remains a value.
const ABSENT_BITS: u64 = 0x7ff8_0000_00ab_5e17;

pub(crate) fn absent() -> f64 {
    f64::from_bits(ABSENT_BITS)
}

pub(crate) fn is_absent(x: f64) -> bool {
    x.to_bits() == ABSENT_BITS
}

#[cfg(test)]
mod tests;
