//! What a simulation leaves behind: trades and the equity track.

use crate::broker::{NameId, Side};

/// A closed trade: one entry piece and the exit that closed it. Bars are indices into the run's bars.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Trade {
    pub side: Side,
    /// Contracts, positive.
    pub qty: f64,
    pub entry_bar: u32,
    pub exit_bar: u32,
    /// Fill prices, slippage included.
    pub entry_price: f64,
    pub exit_price: f64,
    pub entry_id: NameId,
    pub exit_id: NameId,
    pub entry_comment: NameId,
    pub exit_comment: NameId,
    /// Both sides, money.
    pub commission: f64,
    /// Net of commission, money.
    pub profit: f64,
    /// Most favourable open profit during the trade, money, >= 0.
    pub max_runup: f64,
    /// Most adverse open loss during the trade, money, >= 0.
    pub max_drawdown: f64,
    /// Sequence number of the fill events, to order fills within one bar.
    pub entry_seq: u32,
    pub exit_seq: u32,
}

/// Equity at the close of bar `i`, from `from_bar` until the next segment, is `base + slope * close[i]`.
///
/// `slope` is the signed position times the point value, `base` everything that does not move with the
/// price. A run's equity curve is thus a handful of numbers per trade, not one per bar.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct EquitySegment {
    pub from_bar: u32,
    pub base: f64,
    pub slope: f64,
}
