//! Bars and orders to fills and metrics: indicators, broker rules, statistics.
//!
//! Synchronous and deterministic: no clock, no files, no randomness.

pub mod account;
pub mod backtesting_py;
pub mod broker;
pub mod metrics;
pub mod rules;
pub mod ta;
pub mod trade;

pub use account::{Account, Commission, QtyType, Slippage};
pub use broker::Side;
pub use rules::Rules;
pub use trade::{EquitySegment, ExitReason, Trade};
