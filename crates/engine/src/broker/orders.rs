//! Entries and closes: placing, replacing, cancelling, filling.

use super::{
    Broker, CloseCommand, EntryCommand, EventKind, NameId, OcaKind, RiskRule, Side,
    names::{CLOSE_ALL, RISK},
};
use crate::rules::SizeAt;

/// A pending `strategy.entry` or `strategy.order`.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryOrder {
    pub id: NameId,
    pub comment: NameId,
    pub side: Side,
    /// None: the default size, taken at the fill.
    pub qty: Option<f64>,
    pub limit: Option<f64>,
    pub stop: Option<f64>,
    pub oca_name: NameId,
    pub oca: OcaKind,
    pub is_entry: bool,
    pub seq: u32,
    pub bar: usize,
}

impl EntryOrder {
    pub fn is_market(&self) -> bool {
        self.limit.is_none() && self.stop.is_none()
    }

    pub fn buys(&self) -> bool {
        self.side == Side::Long
    }
}

/// A pending `strategy.close` or `strategy.close_all`.
#[derive(Clone, Copy, Debug)]
pub(super) struct CloseOrder {
    pub id: Option<NameId>,
    pub comment: NameId,
    pub qty: f64,
    pub immediately: bool,
    pub seq: u32,
}

/// What a fill is of, for the trade list.
#[derive(Clone, Copy, Debug)]
pub(super) struct FillName {
    pub id: NameId,
    pub comment: NameId,
}

/// Which open trades a closing fill takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Oldest,
    Entry(NameId),
    Key(u32),
}

impl Broker<'_> {
    /// Places or replaces an entry (or a raw order). Without effect while risk rules have stopped
    /// trading, when pyramiding forbids it, when the quantity rounds down to nothing or when the account
    /// could not carry it; the last two are noted.
    pub fn entry(&mut self, c: EntryCommand) {
        if self.risk.stopped() {
            return;
        }
        let before = self.entries.len();
        self.entries.retain(|o| !(o.id == c.id && o.is_entry == c.is_entry));
        self.books.counts.cancelled += (before - self.entries.len()) as u32;
        if c.is_entry && self.at_entry_limit(c.side) {
            return;
        }
        let close = self.close_price();
        let qty = match c.qty {
            Some(q) => Some(self.lots(q.abs())),
            None if self.rules.size_at == SizeAt::SignalClose => Some(self.size_default(close, self.equity())),
            None => None,
        };
        if qty == Some(0.0) {
            self.books.counts.empty += 1;
            self.books.note(self.bar, c.id, EventKind::ZeroQuantity);
            return;
        }
        let market = c.limit.is_none() && c.stop.is_none();
        if let (Some(qty), true) = (qty, market)
            && !self.can_carry(c.side, qty + self.held(c.side), close, self.equity())
            && self.held(c.side.opposite()) == 0.0
        {
            self.refuse(c.id);
            return;
        }
        let buys = c.side == Side::Long;
        let order = EntryOrder {
            id: c.id,
            comment: c.comment,
            side: c.side,
            qty,
            limit: c.limit.map(|p| self.on_grid(p, !buys)),
            stop: c.stop.map(|p| self.on_grid(p, buys)),
            oca_name: c.oca_name,
            oca: c.oca,
            is_entry: c.is_entry,
            seq: self.next_seq(),
            bar: self.bar,
        };
        self.books.counts.placed += 1;
        self.entries.push(order);
    }

    /// Places a market order that closes one entry's trades, or all; nothing when none is open.
    pub fn close(&mut self, c: CloseCommand) {
        let open: f64 =
            self.books.open.iter().filter(|t| c.id.is_none_or(|id| t.entry_id == id)).map(|t| t.qty).sum();
        if open == 0.0 {
            return;
        }
        let qty = match (c.qty, c.qty_percent) {
            (Some(qty), _) => self.lots(qty.abs()).min(open),
            (None, Some(percent)) if percent < 100.0 => self.lots(open * percent.max(0.0) / 100.0),
            _ => open,
        };
        if qty <= 0.0 {
            self.books.counts.empty += 1;
            return;
        }
        // One pending close per id: a script that asks on every bar does not stack them up.
        self.closes.retain(|o| o.id != c.id);
        let seq = self.next_seq();
        self.books.counts.placed += 1;
        self.closes.push(CloseOrder { id: c.id, comment: c.comment, qty, immediately: c.immediately, seq });
    }

    /// Drops pending orders of this id.
    pub fn cancel(&mut self, id: NameId) {
        let before = self.entries.len() + self.exits.len();
        self.entries.retain(|o| o.id != id);
        self.exits.retain(|o| o.command.id != id);
        self.books.counts.cancelled += (before - self.entries.len() - self.exits.len()) as u32;
    }

    /// Drops all pending orders.
    pub fn cancel_all(&mut self) {
        self.books.counts.cancelled += (self.entries.len() + self.exits.len() + self.closes.len()) as u32;
        self.entries.clear();
        self.exits.clear();
        self.closes.clear();
    }

    /// Sets a risk rule; it holds from now on.
    pub fn risk(&mut self, rule: RiskRule) {
        let r = &mut self.risk;
        match rule {
            RiskRule::AllowEntryIn(side) => r.allow = side,
            RiskRule::MaxPositionSize(contracts) => r.max_position = Some(contracts),
            RiskRule::MaxDrawdown { value, percent } => r.max_drawdown = Some((value, percent)),
            RiskRule::MaxIntradayLoss { value, percent } => r.max_intraday_loss = Some((value, percent)),
            RiskRule::MaxConsLossDays(days) => r.max_cons_loss_days = Some(days as u32),
            RiskRule::MaxIntradayFilledOrders(count) => r.max_intraday_fills = Some(count as u32),
        }
    }

    /// Contracts held on this side.
    pub(super) fn held(&self, side: Side) -> f64 {
        (self.books.position * side.sign()).max(0.0)
    }

    /// No further entry is allowed on this side.
    fn at_entry_limit(&self, side: Side) -> bool {
        self.held(side) > 0.0 && self.books.open.len() >= self.account.pyramiding.max(1) as usize
    }

    fn refuse(&mut self, id: NameId) {
        self.books.counts.refused += 1;
        self.books.note(self.bar, id, EventKind::MarginRefused);
    }

    /// Fills an entry (already taken off the list) at `price`, slippage included.
    pub(super) fn fill_entry(&mut self, order: EntryOrder, price: f64) {
        self.fills_on_bar += 1;
        self.risk.day_fills += 1;
        let name = FillName { id: order.id, comment: order.comment };
        let against = self.held(order.side.opposite());
        let mut qty = order.qty;
        if order.is_entry {
            if against > 0.0 {
                self.take(against, price, name, Target::Oldest);
            }
            let forbidden = self.risk.allow.is_some_and(|side| side != order.side);
            if forbidden || (order.is_market() && self.at_entry_limit(order.side)) {
                self.settle_oca(&order, 0.0);
                return;
            }
        } else if against > 0.0 {
            let asked = qty.unwrap_or_else(|| self.size_default(price, self.books.equity_at(price)));
            let closing = asked.min(against);
            self.take(closing, price, name, Target::Oldest);
            if asked - closing <= asked * 1e-12 {
                self.settle_oca(&order, asked);
                return;
            }
            qty = Some(asked - closing);
        }
        let equity = self.books.equity_at(price);
        let mut qty = qty.unwrap_or_else(|| self.size_default(price, equity));
        if let Some(cap) = self.risk.max_position {
            qty = self.lots(qty.min(cap - self.held(order.side)).max(0.0));
        }
        if qty <= 0.0 {
            self.books.counts.empty += 1;
            self.books.note(self.bar, order.id, EventKind::ZeroQuantity);
        } else if !self.can_carry(order.side, qty + self.held(order.side), price, equity) {
            self.refuse(order.id);
        } else {
            let fee = self.fee(qty, price);
            let key = self.books.enter(self.bar, order.side, qty, price, fee, order.id, order.comment);
            self.attach_exits(key);
        }
        self.settle_oca(&order, qty);
    }

    /// What an entry's fill does to the others of its group.
    fn settle_oca(&mut self, order: &EntryOrder, filled: f64) {
        if order.oca_name == NameId(0) {
            return;
        }
        let same = |o: &EntryOrder| o.oca_name == order.oca_name && o.oca == order.oca;
        match order.oca {
            OcaKind::None => {}
            OcaKind::Cancel => self.entries.retain(|o| !same(o)),
            OcaKind::Reduce => {
                for o in self.entries.iter_mut().filter(|o| same(o)) {
                    o.qty = o.qty.map(|q| q - filled);
                }
                self.entries.retain(|o| o.qty.is_none_or(|q| q > 1e-12));
            }
        }
    }

    /// Fills a close order at `price`, slippage included.
    pub(super) fn fill_close(&mut self, order: CloseOrder, price: f64) {
        if self.books.open.is_empty() {
            return;
        }
        self.fills_on_bar += 1;
        self.risk.day_fills += 1;
        self.books.counts.filled += 1;
        let name = FillName { id: order.id.unwrap_or(CLOSE_ALL), comment: order.comment };
        self.take(order.qty, price, name, order.id.map_or(Target::Oldest, Target::Entry));
    }

    /// Closes up to `qty` contracts. Under the FIFO rule the oldest trade goes first whatever was named.
    pub(super) fn take(&mut self, qty: f64, price: f64, name: FillName, target: Target) {
        let mut left = qty;
        while left > 1e-12 * qty {
            let index = match target {
                Target::Entry(id) if self.account.close_entries_any => {
                    self.books.open.iter().position(|t| t.entry_id == id)
                }
                Target::Key(key) if self.account.close_entries_any => {
                    self.books.open.iter().position(|t| t.key == key)
                }
                _ => (!self.books.open.is_empty()).then_some(0),
            };
            let Some(index) = index else { break };
            let part = left.min(self.books.open[index].qty);
            let fee = self.fee(part, price);
            self.books.leave(self.bar, index, part, price, fee, name.id, name.comment);
            left -= part;
        }
        if self.books.open.is_empty() {
            self.drop_flat_exits();
        }
    }

    /// Fills what may fill at this bar's close.
    pub(super) fn fill_at_close(&mut self) {
        let close = self.close_price();
        let all = self.account.process_orders_on_close || self.rules.fill_at == crate::rules::FillAt::SignalClose;
        loop {
            let entry = self.entries.iter().position(|o| all && o.is_market());
            let exit = self.closes.iter().position(|o| all || o.immediately);
            match (entry, exit) {
                (Some(e), x) if x.is_none_or(|x| self.entries[e].seq < self.closes[x].seq) => {
                    let order = self.entries.remove(e);
                    self.fill_entry(order, self.slipped(close, order.buys()));
                }
                (_, Some(x)) => {
                    let order = self.closes.remove(x);
                    let buys = self.books.position < 0.0;
                    self.fill_close(order, self.slipped(close, buys));
                }
                _ => break,
            }
        }
    }

    /// A new day: intraday limits start over, losing days are counted.
    pub(super) fn roll_day(&mut self, i: usize) {
        let day = self.bars.time[i].div_euclid(86_400_000);
        if day == self.risk.day {
            return;
        }
        let equity = if i == 0 { self.account.initial_capital } else { self.books.equity_at(self.bars.close[i - 1]) };
        if self.risk.day != i64::MIN {
            let lost = equity < self.risk.day_start_equity;
            self.risk.cons_loss_days = if lost { self.risk.cons_loss_days + 1 } else { 0 };
        }
        self.risk.day = day;
        self.risk.day_start_equity = equity;
        self.risk.day_fills = 0;
        self.risk.halted_today = false;
        if self.risk.max_cons_loss_days.is_some_and(|max| self.risk.cons_loss_days >= max) {
            self.halt("strategy.risk.max_cons_loss_days", false, self.bars.open[i]);
        }
    }

    /// Compares the account at `price` with the risk rules.
    pub(super) fn watch_risk(&mut self, price: f64) {
        if self.risk.stopped() || !self.risk.watches() {
            return;
        }
        let equity = self.books.equity_at(price);
        if let Some((value, percent)) = self.risk.max_drawdown {
            let peak = self.books.watch_equity(&self.bars, self.bar.saturating_sub(1)).peak().max(equity);
            if peak - equity >= if percent { peak * value / 100.0 } else { value } {
                self.halt("strategy.risk.max_drawdown", false, price);
                return;
            }
        }
        if let Some((value, percent)) = self.risk.max_intraday_loss {
            let start = self.risk.day_start_equity;
            if start - equity >= if percent { start * value / 100.0 } else { value } {
                self.halt("strategy.risk.max_intraday_loss", true, price);
                return;
            }
        }
        if self.risk.max_intraday_fills.is_some_and(|max| self.risk.day_fills >= max) {
            self.halt("strategy.risk.max_intraday_filled_orders", true, price);
        }
    }

    fn halt(&mut self, why: &'static str, today: bool, price: f64) {
        if today {
            self.risk.halted_today = true;
        } else {
            self.risk.halted = Some(why);
        }
        self.cancel_all();
        self.books.note(self.bar, RISK, EventKind::RiskHalt);
        let all = self.books.position.abs();
        if all > 0.0 {
            self.fills_on_bar += 1;
            let buys = self.books.position < 0.0;
            self.take(all, self.slipped(price, buys), FillName { id: RISK, comment: NameId(0) }, Target::Oldest);
        }
    }
}
