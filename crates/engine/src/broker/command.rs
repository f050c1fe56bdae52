//! What a strategy may ask of the broker, in Pine's terms: prices absolute, distances in ticks,
//! quantities in contracts, `None` where the script gave nothing or `na`.

/// An interned string: an order id or comment. The strategy's front end owns the table; 0 is "".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameId(pub u32);

/// Which way an order or trade goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Side {
    Long,
    Short,
}

impl Side {
    /// +1 for long, -1 for short.
    pub fn sign(self) -> f64 {
        match self {
            Self::Long => 1.0,
            Self::Short => -1.0,
        }
    }

    /// The other side.
    pub fn opposite(self) -> Self {
        match self {
            Self::Long => Self::Short,
            Self::Short => Self::Long,
        }
    }
}

/// What happens to the other orders of a one-cancels-all group when one of them fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OcaKind {
    /// No group behaviour.
    #[default]
    None,
    /// The first complete fill cancels the others.
    Cancel,
    /// The others shrink by the filled quantity.
    Reduce,
}

/// `strategy.entry` (`is_entry`: reverses, obeys pyramiding) or `strategy.order` (nets).
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct EntryCommand {
    pub id: NameId,
    pub comment: NameId,
    pub side: Side,
    /// Contracts; `None` takes the strategy's default size.
    pub qty: Option<f64>,
    pub limit: Option<f64>,
    pub stop: Option<f64>,
    pub oca_name: NameId,
    pub oca: OcaKind,
    pub is_entry: bool,
}

/// `strategy.exit`: up to three legs (limit, stop, trail) over one reserved quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct ExitCommand {
    pub id: NameId,
    /// Entry id it belongs to; `NameId(0)` means every entry.
    pub from_entry: NameId,
    pub qty: Option<f64>,
    /// Share of the entry's quantity in percent, 100 when neither is given.
    pub qty_percent: Option<f64>,
    /// Take-profit distance from the entry price, ticks.
    pub profit: Option<f64>,
    /// Take-profit price.
    pub limit: Option<f64>,
    /// Stop-loss distance from the entry price, ticks.
    pub loss: Option<f64>,
    /// Stop-loss price.
    pub stop: Option<f64>,
    /// Price that activates the trailing stop.
    pub trail_price: Option<f64>,
    /// Distance from the entry price that activates the trailing stop, ticks.
    pub trail_points: Option<f64>,
    /// Distance of the trailing stop from the best price, ticks.
    pub trail_offset: Option<f64>,
    pub oca_name: NameId,
    pub comment: NameId,
    pub comment_profit: NameId,
    pub comment_loss: NameId,
    pub comment_trailing: NameId,
}

/// `strategy.close` (one entry id) and `strategy.close_all` (`id` = None).
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct CloseCommand {
    pub id: Option<NameId>,
    pub comment: NameId,
    pub qty: Option<f64>,
    pub qty_percent: Option<f64>,
    /// Fill at this bar's close instead of the next open.
    pub immediately: bool,
}

/// `strategy.risk.*`, set once and kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RiskRule {
    /// Entries allowed on this side only; the other side only closes.
    AllowEntryIn(Option<Side>),
    /// Largest position, contracts.
    MaxPositionSize(f64),
    /// Largest loss from the equity peak: value, and whether it is percent.
    MaxDrawdown {
        /// Money or percent.
        value: f64,
        /// Percent of the peak.
        percent: bool,
    },
    /// Largest loss within a day.
    MaxIntradayLoss {
        /// Money or percent.
        value: f64,
        /// Percent of the day's opening equity.
        percent: bool,
    },
    /// Consecutive losing days after which trading stops.
    MaxConsLossDays(f64),
    /// Filled orders a day after which trading pauses.
    MaxIntradayFilledOrders(f64),
}
