//! How many contracts an order gets, what they cost, and whether the account can carry them.

use super::{Broker, Side, grid::Grid};
use crate::{
    account::{Commission, QtyType},
    rules::{FeeInSize, Lots},
};

/// What quantities are multiples of; none when they may be anything.
pub(super) fn lot_grid(lots: Lots, min_qty: f64) -> Option<Grid> {
    match lots {
        Lots::Fractional => None,
        Lots::Whole => Some(Grid::new(1.0)),
        Lots::MinQty => (min_qty > 0.0).then(|| Grid::new(min_qty)),
    }
}

impl Broker<'_> {
    /// Contracts of an order without quantity at `price` with `equity`.
    ///
    /// Percent commission is part of the budget (`fee-in-size = inside`): quantity = budget /
    /// (price x (1 + rate)); commission per contract adds to the unit cost; commission per order is taken
    /// off the budget.
    pub(super) fn size_default(&self, price: f64, equity: f64) -> f64 {
        let budget = match self.account.qty_type {
            QtyType::Fixed => return self.lots(self.account.qty_value),
            QtyType::Cash => self.account.qty_value,
            QtyType::PercentOfEquity => equity * self.account.qty_value / 100.0,
        };
        let unit = price * self.point_value;
        let inside = self.rules.fee_in_size == FeeInSize::Inside;
        let qty = match self.account.commission {
            _ if !inside => budget / unit,
            Commission::Percent(percent) => budget / (unit * (1.0 + percent / 100.0)),
            Commission::PerContract(money) => budget / (unit + money),
            Commission::PerOrder(money) => (budget - money) / unit,
        };
        if qty.is_finite() && qty > 0.0 { self.lots(qty) } else { 0.0 }
    }

    /// Rounds a quantity down to what can be traded.
    pub(super) fn lots(&self, qty: f64) -> f64 {
        match &self.lots {
            Some(grid) => grid.down(qty),
            None => qty,
        }
    }

    /// Commission of a fill, money.
    pub(super) fn fee(&self, qty: f64, price: f64) -> f64 {
        match self.account.commission {
            Commission::Percent(percent) => qty * price * self.point_value * percent / 100.0,
            Commission::PerContract(money) => qty * money,
            Commission::PerOrder(money) => money,
        }
    }

    /// The share of a fill's commission that falls on `part` of its `qty` contracts.
    pub(super) fn fee_share(&self, part: f64, qty: f64, price: f64) -> f64 {
        match self.account.commission {
            Commission::PerOrder(money) => money * (part / qty),
            _ => self.fee(part, price),
        }
    }

    /// Whether `qty` more contracts on this side at `price` are within the margin that the equity allows.
    pub(super) fn can_add(&self, side: Side, qty: f64, price: f64) -> bool {
        let margin = self.margin_of(side);
        if margin == 0.0 {
            return true;
        }
        let needed = (qty + self.held(side)) * price * self.point_value * margin;
        // A relative hair of slack: an order sized to exactly all equity must pass its own check.
        needed <= self.books.equity_at(price) * (1.0 + 1e-10)
    }
}
