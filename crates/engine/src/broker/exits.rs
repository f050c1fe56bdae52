//! `strategy.exit`: legs over reserved quantities, one for each entry fill it covers.

use super::{
    Broker, ExitCommand, NameId, Side,
    books::Holding,
    orders::{EntryOrder, FillName, Target},
};
use crate::{
    rules::{BracketAnchor, BracketLive},
    trade::ExitReason,
};

/// One `strategy.exit` id as last issued.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExitOrder {
    pub command: ExitCommand,
    pub seq: u32,
    /// The bar that issued it last.
    bar: usize,
}

impl ExitOrder {
    pub fn covers(&self, entry: NameId) -> bool {
        self.command.from_entry == NameId(0) || self.command.from_entry == entry
    }

    fn comment(&self, kind: LegKind) -> NameId {
        let own = match kind {
            LegKind::Stop => self.command.comment_loss,
            LegKind::Trail => self.command.comment_trailing,
            LegKind::Limit => self.command.comment_profit,
        };
        if own == NameId(0) { self.command.comment } else { own }
    }
}

/// An exit's hold on one entry fill. Prices are NaN where there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    /// The exit's number.
    pub exit: u32,
    /// The entry fill's number.
    pub key: u32,
    pub side: Side,
    pub qty: f64,
    /// It has filled: the exit is not armed again for this entry fill.
    pub done: bool,
    /// Cannot act before this bar.
    pub live_from: usize,
    /// The moment it was attached: it meets the rest of the path from there, not the price that stood then.
    pub born: u32,
    pub stop: f64,
    pub limit: f64,
    /// Price that brings the trailing stop to life.
    pub activation: f64,
    /// Distance of the trailing stop from the best price.
    pub offset: f64,
    pub trailing: bool,
    /// Best price since the activation.
    pub best: f64,
    entry_price: f64,
    /// Levels given together with the entry are moved in this proportion.
    scale: f64,
}

impl Leg {
    /// It can act on this bar.
    pub fn live(&self, bar: usize) -> bool {
        !self.done && self.live_from <= bar
    }

    /// It was there before this moment and meets its price.
    pub fn carried(&self, bar: usize, moment: u32) -> bool {
        self.live(bar) && self.born < moment
    }

    /// Brings the trailing stop to life when `price` has reached its activation.
    pub fn activate_at(&mut self, price: f64) {
        if !self.trailing && (price - self.activation) * self.side.sign() >= 0.0 {
            (self.trailing, self.best) = (true, price);
        }
    }
}

/// What made a leg fill; at one price in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LegKind {
    Stop,
    Trail,
    Limit,
}

impl Broker<'_> {
    /// Places or modifies an exit. Without effect when it names no level, or when nothing it covers is
    /// open or pending.
    pub fn exit(&mut self, c: ExitCommand) {
        let levels = [c.profit, c.limit, c.loss, c.stop, c.trail_price, c.trail_points];
        if levels.iter().all(|l| l.is_none_or(f64::is_nan)) || self.risk.stopped() {
            return;
        }
        let same = |o: &ExitOrder| o.command.id == c.id && o.command.from_entry == c.from_entry;
        let index = match self.exits.iter().position(same) {
            Some(index) => {
                let order = &mut self.exits[index];
                (order.command, order.bar) = (c, self.bar);
                self.relevel(index);
                index
            }
            None => {
                let order = ExitOrder { command: c, seq: self.next_seq(), bar: self.bar };
                let open = self.books.holdings.iter().any(|h| order.covers(h.entry_id));
                if !open && !self.entries.iter().any(|e| order.covers(e.id)) {
                    return;
                }
                self.books.counts.placed += 1;
                self.exits.push(order);
                self.exits.len() - 1
            }
        };
        for k in 0..self.books.holdings.len() {
            self.attach(index, self.books.holdings[k], 1.0, self.bar);
        }
        // A trail whose activation the close has passed is alive from this close on.
        let (seq, close) = (self.exits[index].seq, self.price());
        self.legs
            .iter_mut()
            .filter(|leg| leg.exit == seq && !leg.done)
            .for_each(|leg| leg.activate_at(close));
    }

    /// Gives a new entry fill its legs from the exits that wait for it.
    pub(super) fn attach_exits(&mut self, holding: Holding, entry: &EntryOrder) {
        let live = match self.rules.bracket_live {
            BracketLive::EntryBar => self.bar,
            BracketLive::NextBar => self.bar + 1,
        };
        for index in 0..self.exits.len() {
            let together = self.exits[index].bar == entry.bar;
            let scale = match self.rules.bracket_anchor {
                BracketAnchor::Fill if together => holding.price / entry.reference,
                _ => 1.0,
            };
            self.attach(index, holding, scale, live);
        }
    }

    fn attach(&mut self, index: usize, holding: Holding, scale: f64, live_from: usize) {
        let order = self.exits[index];
        let taken = self.legs.iter().any(|leg| leg.exit == order.seq && leg.key == holding.key);
        if taken || !order.covers(holding.entry_id) {
            return;
        }
        let asked = match (order.command.qty, order.command.qty_percent) {
            (Some(qty), _) => self.lots(qty.abs()),
            (None, Some(percent)) if percent < 100.0 => self.lots(holding.left * percent.max(0.0) / 100.0),
            _ => holding.left,
        };
        let others = self.legs.iter().filter(|leg| leg.key == holding.key && !leg.done);
        let qty = asked.min(holding.left - others.map(|leg| leg.qty).sum::<f64>());
        if qty <= holding.left * 1e-12 {
            return;
        }
        self.legs.push(Leg {
            exit: order.seq,
            key: holding.key,
            side: holding.side,
            qty,
            done: false,
            live_from,
            born: self.moment,
            stop: f64::NAN,
            limit: f64::NAN,
            activation: f64::NAN,
            offset: f64::NAN,
            trailing: false,
            best: f64::NAN,
            entry_price: holding.price,
            scale,
        });
        let last = self.legs.len() - 1;
        self.legs[last] = self.leveled(self.legs[last], &order.command);
        self.legs[last].activate_at(holding.price);
    }

    /// New levels for the legs of a modified exit. A trail goes on from its best price, unless its activation was
    /// moved beyond it: then it waits anew.
    fn relevel(&mut self, index: usize) {
        let order = self.exits[index];
        for k in 0..self.legs.len() {
            if self.legs[k].exit == order.seq {
                let mut leg = self.leveled(Leg { scale: 1.0, ..self.legs[k] }, &order.command);
                if leg.trailing && (leg.best - leg.activation) * leg.side.sign() < 0.0 {
                    (leg.trailing, leg.best) = (false, f64::NAN);
                }
                self.legs[k] = leg;
            }
        }
    }

    /// The leg with its prices from the command.
    fn leveled(&self, leg: Leg, c: &ExitCommand) -> Leg {
        let sign = leg.side.sign();
        let long = leg.side == Side::Long;
        let given = |level: Option<f64>| level.unwrap_or(f64::NAN);
        let away = |ticks: f64| leg.entry_price + sign * ticks * self.mintick;
        let scaled = |price: f64| if leg.scale == 1.0 { price } else { price * leg.scale };
        // With both an absolute and a relative level the one reached first counts; NaN yields.
        let nearer = |a: f64, b: f64, higher: bool| if higher { a.max(b) } else { a.min(b) };
        let stop = nearer(scaled(given(c.stop)), away(-given(c.loss).trunc()), long);
        let limit = nearer(scaled(given(c.limit)), away(given(c.profit).trunc()), !long);
        let activation = c.trail_price.unwrap_or_else(|| away(given(c.trail_points).ceil()));
        let offset = given(c.trail_offset).ceil().max(0.0) * self.mintick;
        Leg {
            stop: self.on_grid(stop, !long),
            limit: self.on_grid(limit, long),
            activation: self.on_grid(activation, long),
            offset,
            ..leg
        }
    }

    /// Where a leg's trailing stop stands; NaN before its activation.
    pub(super) fn trail_stop(&self, leg: &Leg) -> f64 {
        if leg.trailing {
            self.on_grid(leg.best - leg.side.sign() * leg.offset, leg.side == Side::Short)
        } else {
            f64::NAN
        }
    }

    /// Fills a leg at `price`, slippage included.
    pub(super) fn fill_leg(&mut self, index: usize, kind: LegKind, price: f64) {
        let leg = self.legs[index];
        self.legs[index].done = true;
        let Some(order) = self.exits.iter().find(|o| o.seq == leg.exit) else { return };
        let reason = match kind {
            LegKind::Stop => ExitReason::Stop,
            LegKind::Trail => ExitReason::Trail,
            LegKind::Limit => ExitReason::Limit,
        };
        let name = FillName { id: order.command.id, comment: order.comment(kind), reason };
        self.count_fill();
        let qty = leg.qty.min(self.books.position.abs());
        self.take(qty, qty, price, name, Target::Key(leg.key));
    }

    /// Legs never hold more than what is left of their entry fill.
    pub(super) fn trim_legs(&mut self) {
        if self.legs.is_empty() {
            return;
        }
        let holdings = &self.books.holdings;
        self.legs.retain(|leg| holdings.iter().any(|h| h.key == leg.key));
        for h in holdings {
            let mut left = h.left;
            for leg in self.legs.iter_mut().filter(|leg| leg.key == h.key && !leg.done) {
                leg.qty = leg.qty.min(left);
                left -= leg.qty;
            }
        }
    }

    /// Flat: legs are void; an exit stays only for a pending entry it covers.
    pub(super) fn drop_flat_exits(&mut self) {
        self.legs.clear();
        let entries = &self.entries;
        self.exits.retain(|o| entries.iter().any(|e| o.covers(e.id)));
    }
}
