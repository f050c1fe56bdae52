//! Entries and closes: placing, replacing, cancelling, filling.

use super::{Broker, CloseCommand, EntryCommand, EventKind, NameId, OcaKind, Side};
use crate::{
    rules::{FillAt, SizeAt},
    trade::ExitReason,
};

/// A pending `strategy.entry` or `strategy.order`. Prices are NaN where there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryOrder {
    pub id: NameId,
    pub comment: NameId,
    pub side: Side,
    /// NaN: the default size, taken at the fill.
    pub qty: f64,
    /// Contracts on the other side that were expected when it was placed: the position after the market
    /// orders of the same pass. A priced entry trades this much on top of its own quantity, wherever the
    /// position is by then.
    pub carry: f64,
    /// Placed while the position was on its own side: pyramiding is asked again at the fill.
    pub adds: bool,
    pub limit: f64,
    pub stop: f64,
    pub oca_name: NameId,
    pub oca: OcaKind,
    pub is_entry: bool,
    pub seq: u32,
    /// Bar that placed it, and the price the script expected: its own level, else the close.
    pub bar: usize,
    pub reference: f64,
}

impl EntryOrder {
    pub fn is_market(&self) -> bool {
        self.limit.is_nan() && self.stop.is_nan()
    }

    pub fn buys(&self) -> bool {
        self.side == Side::Long
    }
}

/// A pending `strategy.close` or `strategy.close_all`.
#[derive(Clone, Copy, Debug)]
pub(super) struct CloseOrder {
    pub id: Option<NameId>,
    /// Side of the position it closes; it does nothing to the other side.
    pub side: Side,
    pub comment: NameId,
    pub qty: f64,
    pub immediately: bool,
    pub seq: u32,
}

/// A market order that is filled now.
#[derive(Clone, Copy, Debug)]
pub(super) enum FillMarket {
    Entry(EntryOrder),
    Close(CloseOrder),
}

/// What a closing fill is of, for the trade list.
#[derive(Clone, Copy, Debug)]
pub(super) struct FillName {
    pub id: NameId,
    pub comment: NameId,
    pub reason: ExitReason,
}

/// Which open trades a closing fill takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Oldest,
    Entry(NameId),
    Key(u32),
}

/// `Vec::remove` without moving memory for the last one, which it mostly is.
pub(super) fn take_at<T: Copy>(list: &mut Vec<T>, k: usize) -> T {
    let taken = list[k];
    if k + 1 == list.len() {
        list.truncate(k);
    } else {
        list.remove(k);
    }
    taken
}

/// What remains of this much or less is rounding.
const DUST: f64 = 1e-12;

impl Broker<'_> {
    /// Places or replaces an entry (or a raw order). Without effect while risk rules have stopped
    /// trading, when pyramiding forbids it, when the quantity rounds down to nothing or when the account
    /// could not carry it; the last two are noted.
    pub fn entry(&mut self, c: EntryCommand) {
        if let Some(order) = self.accept_entry(c) {
            self.entries.push(order);
        }
    }

    /// The order, unless there is a reason not to take it.
    pub(super) fn accept_entry(&mut self, c: EntryCommand) -> Option<EntryOrder> {
        if self.risk.stopped() {
            return None;
        }
        if !self.entries.is_empty() {
            let before = self.entries.len();
            self.entries.retain(|o| o.id != c.id || o.is_entry != c.is_entry);
            self.books.counts.cancelled += (before - self.entries.len()) as u32;
        }
        if c.is_entry && self.at_entry_limit(c.side) {
            return None;
        }
        let close = self.price();
        let qty = match c.qty {
            Some(qty) => self.lots(qty.abs()),
            None if self.rules.size_at == SizeAt::SignalClose => self.size_default(close, self.equity()),
            None => f64::NAN,
        };
        if qty <= 0.0 {
            self.books.counts.empty += 1;
            self.books.note(self.bar, c.id, EventKind::ZeroQuantity);
            return None;
        }
        let buys = c.side == Side::Long;
        let (limit, stop) = (c.limit.unwrap_or(f64::NAN), c.stop.unwrap_or(f64::NAN));
        let against = self.held(c.side.opposite());
        let order = EntryOrder {
            id: c.id,
            comment: c.comment,
            side: c.side,
            qty,
            carry: (self.expected * -c.side.sign()).max(0.0),
            adds: self.held(c.side) > 0.0,
            limit: self.on_grid(limit, !buys),
            stop: self.on_grid(stop, buys),
            oca_name: c.oca_name,
            oca: c.oca,
            is_entry: c.is_entry,
            seq: self.next_seq(),
            bar: self.bar,
            reference: c.limit.or(c.stop).unwrap_or(close),
        };
        if c.qty.is_some() && order.is_market() && against == 0.0 && !self.can_add(c.side, qty, close) {
            self.refuse(c.id);
            return None;
        }
        if order.is_market() {
            self.expect(c.side, qty, c.is_entry);
        }
        self.books.counts.placed += 1;
        Some(order)
    }

    /// Takes a market order of this pass into the position expected after it.
    fn expect(&mut self, side: Side, qty: f64, reverses: bool) {
        if reverses && self.expected * side.sign() < 0.0 {
            self.expected = 0.0;
        }
        if !qty.is_nan() {
            self.expected += side.sign() * qty;
        }
    }

    /// Places a market order that closes one entry's trades, or all; nothing when none is open.
    pub fn close(&mut self, c: CloseCommand) {
        if let Some(order) = self.accept_close(c) {
            self.closes.push(order);
        }
    }

    /// The order, when there is something to close.
    pub(super) fn accept_close(&mut self, c: CloseCommand) -> Option<CloseOrder> {
        let covered = self.books.holdings.iter().filter(|h| c.id.is_none_or(|id| h.entry_id == id));
        let open: f64 = covered.map(|h| h.left).sum();
        if open == 0.0 {
            return None;
        }
        let qty = match (c.qty, c.qty_percent) {
            (Some(qty), _) => self.lots(qty.abs()).min(open),
            (None, Some(percent)) if percent < 100.0 => self.lots(open * percent.max(0.0) / 100.0),
            _ => open,
        };
        if qty <= 0.0 {
            self.books.counts.empty += 1;
            return None;
        }
        let seq = self.next_seq();
        let side = if self.books.position > 0.0 { Side::Long } else { Side::Short };
        self.expect(side.opposite(), qty, false);
        self.books.counts.placed += 1;
        Some(CloseOrder { id: c.id, side, comment: c.comment, qty, immediately: c.immediately, seq })
    }

    /// Drops pending orders of this id.
    pub fn cancel(&mut self, id: NameId) {
        let before = self.entries.len() + self.exits.len();
        self.entries.retain(|o| o.id != id);
        for order in self.exits.iter().filter(|o| o.command.id == id) {
            self.legs.retain(|leg| leg.exit != order.seq);
        }
        self.exits.retain(|o| o.command.id != id);
        self.books.counts.cancelled += (before - self.entries.len() - self.exits.len()) as u32;
    }

    /// Drops all pending orders.
    pub fn cancel_all(&mut self) {
        self.books.counts.cancelled += (self.entries.len() + self.exits.len() + self.closes.len()) as u32;
        self.entries.clear();
        self.exits.clear();
        self.legs.clear();
        self.closes.clear();
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

    pub(super) fn count_fill(&mut self) {
        self.fills_on_bar += 1;
        self.risk.day_fills += 1;
        self.books.counts.filled += 1;
    }

    /// Fills an entry (already taken off the list) at `price`, slippage included.
    pub(super) fn fill_entry(&mut self, order: &EntryOrder, price: f64) {
        let before = self.books.fills;
        if order.is_entry {
            self.fill_reversing(order, price);
        } else {
            self.fill_netting(order, price);
        }
        if self.books.fills > before {
            self.count_fill();
        }
    }

    /// `strategy.entry`: closes the other side first, then opens.
    fn fill_reversing(&mut self, order: &EntryOrder, price: f64) {
        let against = self.held(order.side.opposite());
        let name = FillName { id: order.id, comment: order.comment, reason: ExitReason::Reverse };
        // A market order turns the position whatever it is by now; a priced one trades what it was placed for.
        let priced = !order.is_market() && !order.qty.is_nan();
        let total = if priced { order.qty + order.carry } else { order.qty + against };
        let left = if order.qty.is_nan() { f64::NAN } else { total - against };
        let forbidden = self.risk.allow.is_some_and(|side| side != order.side);
        let crowded = (order.is_market() || order.adds) && self.at_entry_limit(order.side);
        let dust = left <= total * DUST;
        let opens = !forbidden && !crowded && !dust;
        if opens && order.is_market() && self.flips_beyond_margin(order.side, against, left, price) {
            self.refuse(order.id);
            return;
        }
        if against > 0.0 {
            let taken = if priced { against.min(total) } else { against };
            // One order pays one fee per order, shared with what it opens.
            let whole = if opens && left > 0.0 { taken + left } else { taken };
            self.take(taken, whole, price, name, Target::Oldest);
        }
        let opened = if opens { self.open(order, left, against, price) } else { 0.0 };
        self.settle_oca(order, if priced { against.min(total) + opened } else { against + opened });
    }

    /// Two opposite entries of one moment: the first one's margin is not free yet when the second is weighed, and
    /// when both together are more than the equity allows the second is dropped whole.
    fn flips_beyond_margin(&self, side: Side, against: f64, qty: f64, price: f64) -> bool {
        let fresh = self.books.open.iter().all(|t| t.entry_bar as usize == self.bar);
        let margin = self.margin_of(side);
        if against == 0.0 || !fresh || qty.is_nan() {
            return false;
        }
        let needed = (against + qty) * price * self.point_value * margin;
        needed > self.books.equity_at(price) * (1.0 + 1e-10)
    }

    /// `strategy.order`: adds to the position or takes from it.
    fn fill_netting(&mut self, order: &EntryOrder, price: f64) {
        let against = self.held(order.side.opposite());
        let asked = if order.qty.is_nan() {
            self.size_default(price, self.books.equity_at(price))
        } else {
            order.qty
        };
        let closed = asked.min(against);
        if closed > 0.0 {
            let name = FillName { id: order.id, comment: order.comment, reason: ExitReason::Order };
            self.take(closed, asked, price, name, Target::Oldest);
        }
        let opened =
            if asked - closed > asked * DUST { self.open(order, asked - closed, closed, price) } else { 0.0 };
        self.settle_oca(order, closed + opened);
    }

    /// Opens up to `qty` contracts (NaN: the default size) within limits and margin; `closed` have been closed by
    /// the same order.
    fn open(&mut self, order: &EntryOrder, qty: f64, closed: f64, price: f64) -> f64 {
        let mut qty = if qty.is_nan() { self.size_default(price, self.books.equity_at(price)) } else { qty };
        if let Some(cap) = self.risk.max_position {
            qty = self.lots(qty.min(cap - self.held(order.side)).max(0.0));
        }
        if qty <= 0.0 {
            self.books.counts.empty += 1;
            self.books.note(self.bar, order.id, EventKind::ZeroQuantity);
            return 0.0;
        }
        if !self.can_add(order.side, qty, price) {
            self.refuse(order.id);
            return 0.0;
        }
        let fee = self.fee_share(qty, qty + closed, price);
        let holding = self.books.enter(self.bar, order.side, qty, price, fee, order.id, order.comment);
        self.attach_exits(holding, order);
        qty
    }

    /// What an order's fill does to the others of its group.
    fn settle_oca(&mut self, order: &EntryOrder, filled: f64) {
        if order.oca_name == NameId(0) {
            return;
        }
        let same = |o: &EntryOrder| o.oca_name == order.oca_name && o.oca == order.oca;
        match order.oca {
            OcaKind::None => {}
            OcaKind::Cancel => self.entries.retain(|o| !same(o)),
            OcaKind::Reduce => {
                self.entries.iter_mut().filter(|o| same(o)).for_each(|o| o.qty -= filled);
                self.entries.retain(|o| o.qty.is_nan() || o.qty > DUST);
            }
        }
    }

    /// Fills a close order at `price`, slippage included. Several of one pass add up, to what is left of the
    /// entries they name and never beyond.
    pub(super) fn fill_close(&mut self, order: CloseOrder, price: f64) {
        if self.held(order.side) == 0.0 {
            return;
        }
        let covered = self.books.holdings.iter().filter(|h| order.id.is_none_or(|id| h.entry_id == id));
        let qty = order.qty.min(covered.map(|h| h.left).sum());
        if qty <= 0.0 {
            return;
        }
        self.count_fill();
        let (id, reason) = match order.id {
            Some(id) => (id, ExitReason::Close),
            None => (NameId(0), ExitReason::CloseAll),
        };
        let name = FillName { id, comment: order.comment, reason };
        self.take(qty, qty, price, name, order.id.map_or(Target::Oldest, Target::Entry));
    }

    /// Closes up to `qty` contracts of an order of `whole`. Under the FIFO rule the oldest trade goes first whatever
    /// was named.
    pub(super) fn take(&mut self, qty: f64, whole: f64, price: f64, name: FillName, target: Target) {
        let mut left = qty;
        while left > DUST * qty {
            let any = self.account.close_entries_any;
            let index = match target {
                Target::Entry(id) if any => self.books.open.iter().position(|t| t.entry_id == id),
                Target::Key(key) if any => self.books.open.iter().position(|t| t.key == key),
                _ => (!self.books.open.is_empty()).then_some(0),
            };
            let Some(index) = index else { break };
            let part = left.min(self.books.open[index].qty);
            let fee = self.fee_share(part, whole, price);
            self.books.leave(self.bar, index, part, price, fee, name);
            left -= part;
        }
        self.books.release(qty - left.max(0.0), target);
        if self.books.open.is_empty() {
            self.drop_flat_exits();
        } else {
            self.trim_legs();
        }
    }

    /// Fills what may fill at this bar's close.
    pub(super) fn fill_at_close(&mut self) {
        let close = self.price();
        let all = self.account.process_orders_on_close || self.rules.fill_at == FillAt::SignalClose;
        self.fill_market(close, all);
        if self.account.process_orders_on_close {
            self.gapped_entries(close);
        }
        self.books.touch(close);
        if self.books.closed.last().is_some_and(|t| t.exit_bar as usize == self.bar) {
            self.watch_risk(close);
        }
    }

    /// Fills market orders at `price` in the order they were given; only immediate closes unless `all`.
    pub(super) fn fill_market(&mut self, price: f64, all: bool) {
        loop {
            let entry = if all { self.entries.iter().position(EntryOrder::is_market) } else { None };
            let close = self.closes.iter().position(|o| all || o.immediately);
            match (entry, close) {
                (Some(e), x) if x.is_none_or(|x| self.entries[e].seq < self.closes[x].seq) => {
                    let order = take_at(&mut self.entries, e);
                    self.fill_one(FillMarket::Entry(order), price);
                }
                (_, Some(x)) => {
                    let order = take_at(&mut self.closes, x);
                    self.fill_one(FillMarket::Close(order), price);
                }
                _ => break,
            }
        }
    }

    /// Fills one market order (already taken off its list) at `price`, which slippage is added to.
    #[inline]
    pub(super) fn fill_one(&mut self, order: FillMarket, price: f64) {
        match order {
            FillMarket::Entry(order) => self.fill_entry(&order, self.slipped(price, order.buys())),
            FillMarket::Close(order) => {
                let buys = self.books.position < 0.0;
                self.fill_close(order, self.slipped(price, buys));
            }
        }
    }
}
