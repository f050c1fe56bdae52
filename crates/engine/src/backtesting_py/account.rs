//! Opening, reducing and closing trades, and what the account is worth meanwhile.

use super::{
    order::{Exit, Notice, SimTrade, TradeId},
    sim::Sim,
};
use crate::{broker::NameId, trade::ExitReason};

/// What a filled entry opens.
pub(super) struct Opening {
    pub price: f64,
    pub size: f64,
    pub sl: Option<f64>,
    pub tp: Option<f64>,
    pub bar: usize,
    pub tag: Option<NameId>,
    pub split: bool,
}

impl Sim<'_> {
    /// Close of the current bar: every valuation uses it, even while the bar's orders are being filled.
    pub fn mark(&self) -> f64 {
        self.bars.close[self.now]
    }

    /// Marked value of the position less what its trades cost. This order of operations is the
    /// original's: its last bits decide whether an equity counts as back at its peak.
    pub(super) fn unrealised(&self) -> f64 {
        if self.config.rules.sums_profits_by_trade {
            let mark = self.mark();
            let profit = |t: &SimTrade| t.size * (mark - t.entry_price);
            return self.open.iter().fold(0.0, |sum, id| sum + profit(self.trade(*id)));
        }
        let (mut size, mut cost) = (0.0, 0.0);
        for id in &self.open {
            let t = self.trade(*id);
            size += t.size;
            cost += t.size * t.entry_price;
        }
        self.mark() * size - cost
    }

    /// What may still be put at risk, before leverage.
    pub fn margin_available(&self) -> f64 {
        let mark = self.mark();
        let used: f64 = self.open.iter().map(|id| self.trade(*id).size.abs() * mark / self.leverage).sum();
        (self.equity_now() - used).max(0.0)
    }

    pub(super) fn open_trade(&mut self, o: Opening) {
        let id = TradeId(self.trades.len() as u32);
        self.trades.push(SimTrade {
            size: o.size,
            entry_price: o.price,
            entry_bar: o.bar,
            exit: None,
            commissions: 0.0,
            tag: o.tag,
            split: o.split,
            sl_order: None,
            tp_order: None,
        });
        self.open.push(id);
        self.cash -= self.config.commission.fee(o.size, o.price);
        for price in [o.tp, o.sl].into_iter().flatten() {
            if !(price > 0.0 && price < f64::INFINITY) {
                self.notices.push(Notice::BracketNoPrice { bar: self.now, price });
            }
        }
        // The target joins the back of the queue, the stop loss its front.
        if let Some(tp) = o.tp {
            self.place_take_profit(id, tp);
        }
        if let Some(sl) = o.sl {
            self.place_stop_loss(id, sl);
        }
    }

    /// `quantity` has the sign opposite to the trade's and at most its magnitude; `split` if it comes from a
    /// closing order.
    pub(super) fn reduce_trade(&mut self, id: TradeId, quantity: f64, split: bool, exit: Exit) {
        let left = self.trade(id).size + quantity;
        if left == 0.0 {
            return self.close_trade(id, exit);
        }
        let piece = SimTrade { size: -quantity, split, sl_order: None, tp_order: None, ..*self.trade(id) };
        let trade = &mut self.trades[id.0 as usize];
        trade.size = left;
        trade.split |= split;
        for order in [trade.sl_order, trade.tp_order].into_iter().flatten() {
            self.orders[order.0 as usize].size = -left;
        }
        let piece_id = TradeId(self.trades.len() as u32);
        self.trades.push(piece);
        self.open.push(piece_id);
        self.close_trade(piece_id, exit);
    }

    pub(super) fn close_trade(&mut self, id: TradeId, exit: Exit) {
        self.open.retain(|t| *t != id);
        let trade = *self.trade(id);
        for order in [trade.sl_order, trade.tp_order].into_iter().flatten() {
            self.unqueue(order);
        }
        let fee = &self.config.commission;
        let exit_fee = fee.fee(trade.size, exit.price);
        let entry_fee = fee.fee(trade.size, trade.entry_price);
        self.cash += trade.size * (exit.price - trade.entry_price) - exit_fee;
        let closed = &mut self.trades[id.0 as usize];
        closed.exit = Some(exit);
        closed.commissions = exit_fee + entry_fee;
        self.closed.push(id);
    }

    /// Equity has gone: close at the bar's close and stop. The walk advances over a list that shrinks
    /// under it, so every second trade stays unreported, as in the original.
    pub(super) fn ruin(&mut self) {
        let exit = Exit { price: self.mark(), bar: self.now, reason: ExitReason::MarginCall };
        let mut k = 0;
        while k < self.open.len() {
            self.close_trade(self.open[k], exit);
            k += 1;
        }
        self.cash = 0.0;
        self.equity[exit.bar..].fill(0.0);
        self.ruined = true;
        self.notices.push(Notice::Ruined { bar: exit.bar });
    }
}
