//! Settings, orders and trades.

use super::rules::Rules;
use crate::{broker::NameId, trade::ExitReason};

/// The size of an order that names none: all but the last bit of the available margin.
pub const FULL_SIZE: f64 = 1.0 - f64::EPSILON;

/// What a fill costs.
pub enum Commission {
    /// Share of the traded value, -0.1 <= share < 0.1; negative is a rebate.
    Relative(f64),
    /// Money per order, plus a share of the traded value.
    Fixed {
        /// Money per order, >= 0.
        fixed: f64,
        /// Share of the traded value, -0.1 <= share < 0.1.
        relative: f64,
    },
    /// `(signed size, price) -> money`.
    Callback(Box<dyn Fn(f64, f64) -> f64 + Send>),
}

impl Commission {
    /// Money for `size` units at `price`.
    pub fn fee(&self, size: f64, price: f64) -> f64 {
        match self {
            Self::Relative(share) => size.abs() * price * share,
            Self::Fixed { fixed, relative } => fixed + size.abs() * price * relative,
            Self::Callback(fee) => fee(size, price),
        }
    }
}

impl std::fmt::Debug for Commission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Relative(share) => write!(f, "Relative({share})"),
            Self::Fixed { fixed, relative } => write!(f, "Fixed({fixed}, {relative})"),
            Self::Callback(_) => write!(f, "Callback"),
        }
    }
}

/// Settings of the simulated account, named as the original's.
#[derive(Debug)]
pub struct Config {
    /// Initial cash, > 0.
    pub cash: f64,
    /// Share of the price an entry loses; exits lose none.
    pub spread: f64,
    /// What fills cost.
    pub commission: Commission,
    /// Share of a position's value that must be covered, 0 < margin <= 1; leverage is its inverse.
    pub margin: f64,
    /// Market orders fill at the close of the bar that issued them.
    pub trade_on_close: bool,
    /// Long and short trades may be open together.
    pub hedging: bool,
    /// A new order cancels pending ones and closes open trades.
    pub exclusive_orders: bool,
    /// Close what is open at the end.
    pub finalize_trades: bool,
    /// Which version's answers.
    pub rules: Rules,
}

impl Default for Config {
    /// The original's defaults.
    fn default() -> Self {
        Self {
            cash: 10_000.0,
            spread: 0.0,
            commission: Commission::Relative(0.0),
            margin: 1.0,
            trade_on_close: false,
            hedging: false,
            exclusive_orders: false,
            finalize_trades: false,
            rules: Rules::default(),
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// Cash must be above zero.
    #[error("cash is {0}: give an amount above 0")]
    Cash(f64),
    /// Margin must lie in (0, 1].
    #[error("margin is {0}: give a share above 0 and at most 1, for example 0.1 for a leverage of 10")]
    Margin(f64),
    /// The relative commission must lie in [-0.1, 0.1).
    #[error("commission is {0} of the traded value: give a share from -0.1 to below 0.1, for example 0.001")]
    RelativeCommission(f64),
    /// The fixed commission must not be negative.
    #[error("fixed commission is {0}: give an amount of 0 or above")]
    FixedCommission(f64),
    /// This version knows no spread but its commission.
    #[error("spread is {0}: version {1} has none beside its commission, which is one; leave it out")]
    Spread(f64, &'static str),
    /// This version's commission is a share of the price.
    #[error("version {0} takes a commission as a share of the price, for example 0.001")]
    CommissionKind(&'static str),
}

impl Config {
    /// The settings as the broker works with them: checked, and a commission that moves entries made the spread that
    /// it is.
    pub(super) fn settled(mut self) -> Result<Self, ConfigError> {
        self.check()?;
        let rules = &self.rules;
        self.finalize_trades |= rules.always_finalizes;
        if rules.commission_moves_entries {
            if self.spread != 0.0 {
                return Err(ConfigError::Spread(self.spread, rules.version));
            }
            let Commission::Relative(share) = self.commission else {
                return Err(ConfigError::CommissionKind(rules.version));
            };
            (self.spread, self.commission) = (share, Commission::Relative(0.0));
        }
        Ok(self)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.cash.is_nan() || self.cash <= 0.0 {
            return Err(ConfigError::Cash(self.cash));
        }
        if !(self.margin > 0.0 && self.margin <= 1.0) {
            return Err(ConfigError::Margin(self.margin));
        }
        match self.commission {
            Commission::Fixed { fixed, .. } if fixed.is_nan() || fixed < 0.0 => {
                Err(ConfigError::FixedCommission(fixed))
            }
            Commission::Relative(share) | Commission::Fixed { relative: share, .. }
                if !(-0.1..0.1).contains(&share) =>
            {
                Err(ConfigError::RelativeCommission(share))
            }
            _ => Ok(()),
        }
    }
}

/// One order of a simulation. Ids are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(pub(super) u32);

impl OrderId {
    /// Counts from zero in the order of placing.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One trade of a simulation. Ids are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TradeId(pub(super) u32);

impl TradeId {
    /// Counts from zero in the order of opening; a part that was closed separately counts when it was.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What `buy` and `sell` take. A price of zero means none, as in the original.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrderRequest {
    /// Above 0 and below 1: share of the available margin; else a whole number of units.
    pub size: f64,
    /// Limit price.
    pub limit: Option<f64>,
    /// Stop price; with a limit too, the order becomes a limit once the stop is touched.
    pub stop: Option<f64>,
    /// Stop loss of the trade to come.
    pub sl: Option<f64>,
    /// Take profit of the trade to come.
    pub tp: Option<f64>,
    /// Carried into the trade.
    pub tag: Option<NameId>,
}

impl Default for OrderRequest {
    /// A market order for everything.
    fn default() -> Self {
        Self { size: FULL_SIZE, limit: None, stop: None, sl: None, tp: None, tag: None }
    }
}

/// A request that was refused; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum OrderError {
    /// Neither a share nor whole units.
    #[error(
        "order size is {0}: give a share of the available margin (above 0, below 1) or whole units (1, 2, ...)"
    )]
    Size(f64),
    /// A long order's prices are out of order.
    #[error(
        "a long order needs sl < {reference} (its limit, stop or the current price) < tp, but sl is {sl:?} and tp {tp:?}"
    )]
    LongPrices {
        /// The order's limit, else its stop, else the current price with spread.
        reference: f64,
        /// Stop loss asked for.
        sl: Option<f64>,
        /// Take profit asked for.
        tp: Option<f64>,
    },
    /// A short order's prices are out of order.
    #[error(
        "a short order needs tp < {reference} (its limit, stop or the current price) < sl, but tp is {tp:?} and sl {sl:?}"
    )]
    ShortPrices {
        /// The order's limit, else its stop, else the current price with spread.
        reference: f64,
        /// Stop loss asked for.
        sl: Option<f64>,
        /// Take profit asked for.
        tp: Option<f64>,
    },
    /// The share of a trade to close is outside (0, 1].
    #[error("portion is {0}: give a share above 0 and at most 1")]
    Portion(f64),
    /// A stop loss or take profit that is no price.
    #[error("price is {0}: give a finite price above 0, or none")]
    Level(f64),
}

/// A pending order, or one that was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// Signed; below one in magnitude a share of the available margin.
    pub size: f64,
    /// Limit price.
    pub limit: Option<f64>,
    /// Stop price not yet touched.
    pub stop: Option<f64>,
    /// Stop loss of the trade to come.
    pub sl: Option<f64>,
    /// Take profit of the trade to come.
    pub tp: Option<f64>,
    /// The trade it closes.
    pub parent: Option<TradeId>,
    /// Carried into the trade.
    pub tag: Option<NameId>,
}

/// How a trade ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exit {
    /// Fill price; exits bear no spread.
    pub price: f64,
    /// Index of the bar it is booked on.
    pub bar: usize,
    /// Stop loss, take profit, `close`, an order on the other side, or ruin.
    pub reason: ExitReason,
}

/// A trade, open or closed. Bars are indices into the run's bars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimTrade {
    /// Signed whole units.
    pub size: f64,
    /// Fill price, spread included.
    pub entry_price: f64,
    /// Bar of the entry.
    pub entry_bar: usize,
    /// How it ended; none while open.
    pub exit: Option<Exit>,
    /// Both sides, money; 0 while open.
    pub commissions: f64,
    /// The order's tag.
    pub tag: Option<NameId>,
    /// A closing order took a part of it, or it is such a part, or an order that was netted against one opened
    /// it. The original writes such sizes as fractions.
    pub split: bool,
    pub(super) sl_order: Option<OrderId>,
    pub(super) tp_order: Option<OrderId>,
}

impl SimTrade {
    /// A closed trade from its figures, for [`Stats`](super::Stats).
    pub fn closed(size: f64, entry_price: f64, entry_bar: usize, exit: Exit, commissions: f64) -> Self {
        Self {
            size,
            entry_price,
            entry_bar,
            exit: Some(exit),
            commissions,
            tag: None,
            split: false,
            sl_order: None,
            tp_order: None,
        }
    }

    /// Its stop loss order, the last one it had once it is closed.
    pub fn sl_order(&self) -> Option<OrderId> {
        self.sl_order
    }

    /// Its take profit order, the last one it had once it is closed.
    pub fn tp_order(&self) -> Option<OrderId> {
        self.tp_order
    }

    /// Profit of a closed trade after both commissions; NaN while open.
    pub fn pnl(&self) -> f64 {
        self.exit.map_or(f64::NAN, |exit| self.size * (exit.price - self.entry_price) - self.commissions)
    }

    /// Return of a closed trade after both commissions, a fraction of the entry value; NaN while open.
    pub fn return_fraction(&self) -> f64 {
        self.exit.map_or(f64::NAN, |exit| {
            let gross = 1f64.copysign(self.size) * (exit.price / self.entry_price - 1.0);
            gross - self.commissions / (self.size.abs() * self.entry_price)
        })
    }
}

/// Something the broker did that the strategy did not ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Notice {
    /// The order was dropped: it bought not one unit, or more than the margin allows.
    Unaffordable {
        /// Bar on which it would have filled.
        bar: usize,
        /// The order.
        order: OrderId,
        /// Equity at that moment, money.
        equity: f64,
        /// Margin available at that moment, money.
        margin_available: f64,
    },
    /// An entry filled whose stop loss or take profit is no price: not above zero, or infinite. The original fails
    /// here.
    BracketNoPrice {
        /// Bar of the entry.
        bar: usize,
        /// The level.
        price: f64,
    },
    /// A stop loss or take profit that was set on a trade after its end was touched. The original fails here.
    OrderOfClosedTrade {
        /// Bar on which it was touched.
        bar: usize,
        /// The order.
        order: OrderId,
    },
    /// A stop loss or take profit lay inside the bar of a limit or stop entry, and waits for the next bar.
    BracketDelayed {
        /// Bar of the entry.
        bar: usize,
        /// The entry order.
        order: OrderId,
    },
    /// Equity fell to zero or below; the simulation ended.
    Ruined {
        /// The last bar simulated.
        bar: usize,
    },
}
