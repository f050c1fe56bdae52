//! The nouns of springtide: symbols, bars, strategies, jobs, runs, results and diagnostics.
//!
//! No clock, no files, no randomness: equal input gives equal bytes. Everything else in the
//! workspace speaks in these words.

pub mod bars;
pub mod diagnostic;
pub mod hash;
pub mod params;
pub mod resample;
pub mod run;
pub mod suggest;
pub mod symbol;
pub mod synth;
pub mod timeframe;

pub use bars::{BarColumns, Bars, BarsView, OwnedBars};
pub use diagnostic::{Diagnostic, Severity, SourceMap, Span};
pub use hash::ContentHash;
pub use params::{ParamValue, Params};
pub use run::{RunId, RunStatus};
pub use symbol::{SymbolInfo, SymbolKind};
pub use timeframe::Timeframe;
