//! Indicators: one definition each, two drivers with equal bits.
//!
//! [`TaFunc`] is the catalogue. A [`TaState`] is the memory of one call site and is stepped bar
//! by bar; [`run_column`] computes a whole series at once over the same code. Values are doubles:
//! na is NaN, truth is 0 or 1. Definitions are those of the Pine language, checked against values
//! that TradingView exported; where TA-Lib's are wanted, the feature `talib` adds a module of that
//! name.
//!
//! # Rules that hold everywhere
//! - **na.** A non-finite argument is na. Sums skip it and repeat their last result, and so do
//!   `sma`, `stdev`, `variance`, `vwma`, `bb`, `correlation`, `linreg` and `cog`; other averages
//!   and oscillators skip it and give na on that call. Windows of extremes ignore na inside them.
//! - **Length.** Truncated toward zero. A length that varies re-reads the last n stored values;
//!   a constant passed as a varying length gives the same bits.
//! - **Sums.** Three written-down orders of summation, see [`Sums`]. The default one is correctly
//!   rounded whatever came before, and a mean is that sum divided once: averages compare as their
//!   exact sums do, up to the rounding of that one division, and no error builds up. The others are
//!   TradingView's own and the textbook loop, for trade-by-trade agreement with engines that use
//!   them.
//! - **Comparison.** Exact, except `rising`, `falling`, `cmo`, `mfi`, `percentrank`, `rci`,
//!   `cross` and the selection in `dmi`, which use the language's tolerance of 1e-10.
//! - **Calls.** A state knows its own calls. True range reads the chart's previous close;
//!   `highest`, `lowest` and their `bars` forms age in bars.

mod averages;
mod core;
mod events;
mod extremes;
mod func;
mod lanes;
mod momentum;
mod rank;
mod spread;
mod state;
mod sweep;
#[cfg(feature = "talib")]
pub mod talib;
mod trend;
mod volume;

#[cfg(test)]
mod tests;

pub use crate::rules::Sums;
pub use func::{Param, ParamKind, TaFunc, validate};
pub use state::{ColumnArg, LANES, TaState, run_column, run_column_with, run_lengths};
