//! Pine-compatible strategies, v4 to v6: source text to a checked program to results.
//!
//! "Pine Script" is a trademark of TradingView; this project has no tie to it.
//!
//! The stages are walls: [`syntax`] reads text into a tree and never fails, [`check`] gives the tree a
//! meaning and collects every diagnostic, [`ir`] is the checked program, [`vm`] runs it on bars.

pub mod check;
pub mod ir;
pub mod render;
pub mod syntax;
pub mod vm;

pub use check::{Compiled, compile};
