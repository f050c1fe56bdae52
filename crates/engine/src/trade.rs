//! What a simulation leaves behind: trades and the equity track.

use crate::broker::{NameId, Side};

/// What closed a trade. Closes and liquidations have no order id of the script's own: what a person reads
/// is made from this and [`Trade::exit_id`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// A `strategy.order` against the position; `exit_id` is its id.
    #[default]
    Order,
    /// The stop of the `strategy.exit` in `exit_id`.
    Stop,
    /// Its limit.
    Limit,
    /// Its trailing stop.
    Trail,
    /// `strategy.close`; `exit_id` is the entry id it named.
    Close,
    /// `strategy.close_all`.
    CloseAll,
    /// An entry on the other side; `exit_id` is its id.
    Reverse,
    /// Liquidated for want of margin.
    MarginCall,
    /// A `strategy.risk.*` rule stopped trading.
    Risk,
}

impl ExitReason {
    /// The signal text TradingView shows where the script gave no comment; `id` is the text of `exit_id`.
    pub fn signal(self, id: &str) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Order | Self::Stop | Self::Limit | Self::Trail | Self::Reverse => id.into(),
            Self::Close => format!("Close entry(s) order {id}").into(),
            Self::CloseAll => "Close position order".into(),
            Self::MarginCall => "Margin call".into(),
            Self::Risk => "Close position (risk rule)".into(),
        }
    }
}

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
    pub reason: ExitReason,
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
