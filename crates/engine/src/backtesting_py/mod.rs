//! The broker and statistics of backtesting.py, bar by bar: version 0.6.6, or 0.3.3 where [`Config::rules`] say so.
//!
//! Strategies written for that library expect its order queue, its look-aheads and its quirks; this is
//! the same simulation, trade for trade. A front end drives it:
//!
//! ```
//! use springtide_domain::OwnedBars;
//! use springtide_engine::backtesting_py::{Config, OrderRequest, Sim};
//!
//! let mut bars = OwnedBars::default();
//! for (i, p) in [10.0, 11.0, 12.0, 13.0].into_iter().enumerate() {
//!     bars.push(i as i64 * 86_400_000, p, p, p, p, 0.0);
//! }
//! let mut sim = Sim::new(bars.view(), Config { finalize_trades: true, ..Config::default() })?;
//! let warmup = 0;
//! sim.run(warmup, |sim| {
//!     if sim.position().size == 0.0 {
//!         sim.buy(OrderRequest::default()).expect("a valid order");
//!     }
//! });
//! assert_eq!(sim.closed_trades().count(), 1);
//! let stats = sim.stats(warmup);
//! assert_eq!(stats.trades, 1);
//! # Ok::<(), springtide_engine::backtesting_py::ConfigError>(())
//! ```
//!
//! What is deliberately odd, because the original is (in version 0.6.6; [`Rules`] says what 0.3.3 does otherwise):
//!
//! - Equity and margin are marked at the close of the bar whose orders are being filled.
//! - An order's size below one is a share of the available margin; one is one unit. Units are whole.
//! - A stop loss waits at the front of the queue, so it wins when both it and the target lie in the bar.
//! - Exclusive orders and ruin walk a list while removing from it, and skip elements.
//! - A fixed commission is divided by the fraction of a relative order, and charged again per partial exit
//!   in the trade table (not in cash).
//! - With `trade_on_close` a stop entry is priced from the previous close; an exit may precede its entry.
//! - With `finalize_trades` the last bar is worked twice, so orders from the last bar fill at its own open.
//! - Nothing is liquidated while equity is positive.

mod account;
mod fractional;
mod order;
mod periods;
mod queue;
mod rules;
mod sim;
mod stats;

pub use fractional::{DEFAULT_FRACTIONAL_UNIT, scale_bars};
pub use order::{
    Commission, Config, ConfigError, Exit, FULL_SIZE, Notice, Order, OrderError, OrderId, OrderRequest,
    SimTrade, TradeId,
};
pub use rules::Rules;
pub use sim::{Position, Sim, Step};
pub use stats::{Episode, IndexKind, Span, StatValue, Stats};
