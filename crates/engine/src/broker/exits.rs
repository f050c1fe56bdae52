//! `strategy.exit`: legs over reserved quantities, attached to each entry fill.

use super::{Broker, ExitCommand, NameId, OpenTrade, Side};
use crate::rules::{BracketAnchor, BracketLive};

/// One `strategy.exit` id with its levels as last issued.
#[derive(Clone, Debug)]
pub(super) struct ExitOrder {
    pub command: ExitCommand,
    pub seq: u32,
    pub legs: Vec<Leg>,
    /// Entry fills on which this id has done its work: it is not armed for them again.
    done: Vec<u32>,
    /// Close of the bar that issued it last.
    anchor: f64,
}

/// An exit's hold on one entry fill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub key: u32,
    pub side: Side,
    pub entry_price: f64,
    pub qty: f64,
    /// Cannot act before this bar.
    pub live_from: usize,
    /// The bar it was attached on: it meets the rest of that bar, not its open.
    pub born: usize,
    pub trailing: bool,
    pub best: f64,
    /// Levels given together with the entry are moved in this proportion.
    scale: f64,
}

/// A leg's prices.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Levels {
    pub stop: Option<f64>,
    pub limit: Option<f64>,
    pub activation: Option<f64>,
    pub offset: Option<f64>,
}

/// What made a leg fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LegKind {
    Stop,
    Trail,
    Limit,
}

impl ExitOrder {
    fn covers(&self, entry: NameId) -> bool {
        self.command.from_entry == NameId(0) || self.command.from_entry == entry
    }

    pub fn comment(&self, kind: LegKind) -> NameId {
        let own = match kind {
            LegKind::Stop => self.command.comment_loss,
            LegKind::Trail => self.command.comment_trailing,
            LegKind::Limit => self.command.comment_profit,
        };
        if own == NameId(0) { self.command.comment } else { own }
    }
}

impl Broker<'_> {
    /// Places or modifies an exit. Without effect when it names no level, or when nothing it covers is
    /// open or pending.
    pub fn exit(&mut self, c: ExitCommand) {
        let trails = (c.trail_price.is_some() || c.trail_points.is_some()) && c.trail_offset.is_some();
        let has_level = c.profit.or(c.limit).or(c.loss).or(c.stop).is_some() || trails;
        if !has_level || self.risk.stopped() {
            return;
        }
        let anchor = self.close_price();
        let same = |o: &ExitOrder| o.command.id == c.id && o.command.from_entry == c.from_entry;
        let index = match self.exits.iter().position(same) {
            Some(index) => {
                let order = &mut self.exits[index];
                order.command = c;
                order.anchor = anchor;
                order.legs.iter_mut().for_each(|leg| leg.scale = 1.0);
                index
            }
            None => {
                let covers = |id| c.from_entry == NameId(0) || c.from_entry == id;
                let open = self.books.open.iter().any(|t| covers(t.entry_id));
                if !open && !self.entries.iter().any(|o| covers(o.id)) {
                    return;
                }
                self.books.counts.placed += 1;
                let seq = self.next_seq();
                self.exits.push(ExitOrder { command: c, seq, legs: Vec::new(), done: Vec::new(), anchor });
                self.exits.len() - 1
            }
        };
        for k in 0..self.books.open.len() {
            let trade = self.books.open[k];
            self.attach(index, &trade, 1.0, self.bar);
        }
    }

    /// Gives a new entry fill its legs from the exits that wait for it.
    pub(super) fn attach_exits(&mut self, key: u32) {
        let Some(trade) = self.books.open.iter().find(|t| t.key == key).copied() else { return };
        let live = match self.rules.bracket_live {
            BracketLive::EntryBar => self.bar,
            BracketLive::NextBar => self.bar + 1,
        };
        for index in 0..self.exits.len() {
            let anchor = self.exits[index].anchor;
            let scale = match self.rules.bracket_anchor {
                BracketAnchor::Fill if anchor > 0.0 => trade.entry_price / anchor,
                _ => 1.0,
            };
            self.attach(index, &trade, scale, live);
        }
    }

    fn attach(&mut self, index: usize, trade: &OpenTrade, scale: f64, live_from: usize) {
        let order = &self.exits[index];
        let taken = order.legs.iter().any(|leg| leg.key == trade.key) || order.done.contains(&trade.key);
        if taken || !order.covers(trade.entry_id) {
            return;
        }
        let asked = match (order.command.qty, order.command.qty_percent) {
            (Some(qty), _) => self.lots(qty.abs()),
            (None, Some(percent)) if percent < 100.0 => self.lots(trade.qty * percent.max(0.0) / 100.0),
            _ => trade.qty,
        };
        let reserved: f64 = self
            .exits
            .iter()
            .flat_map(|o| &o.legs)
            .filter(|leg| leg.key == trade.key)
            .map(|leg| leg.qty)
            .sum();
        let qty = asked.min(trade.qty - reserved);
        if qty > trade.qty * 1e-12 {
            self.exits[index].legs.push(Leg {
                key: trade.key,
                side: trade.side,
                entry_price: trade.entry_price,
                qty,
                live_from,
                born: self.bar,
                trailing: false,
                best: f64::NAN,
                scale,
            });
        }
    }

    /// A leg's prices now.
    pub(super) fn levels(&self, order: &ExitOrder, leg: &Leg) -> Levels {
        let c = &order.command;
        let sign = leg.side.sign();
        let long = leg.side == Side::Long;
        let tick = self.mintick;
        let away = |ticks: f64| leg.entry_price + sign * ticks.trunc() * tick;
        let scaled = |price: f64| if leg.scale == 1.0 { price } else { price * leg.scale };
        // With both an absolute and a relative level the one reached first counts.
        let nearer = |a: Option<f64>, b: Option<f64>, higher: bool| match (a, b) {
            (Some(a), Some(b)) => Some(if higher { a.max(b) } else { a.min(b) }),
            (a, b) => a.or(b),
        };
        let stop = nearer(c.stop.map(scaled), c.loss.map(|t| away(-t)), long);
        let limit = nearer(c.limit.map(scaled), c.profit.map(away), !long);
        let trails = c.trail_offset.is_some();
        let points = c.trail_points.map(|t| leg.entry_price + sign * t.ceil() * tick);
        Levels {
            stop: stop.map(|p| self.on_grid(p, !long)),
            limit: limit.map(|p| self.on_grid(p, long)),
            activation: c.trail_price.or(points).filter(|_| trails).map(|p| self.on_grid(p, long)),
            offset: c.trail_offset.map(|t| t.ceil().max(0.0) * tick),
        }
    }

    /// Where a leg's trailing stop stands; none before its activation.
    pub(super) fn trail_stop(&self, leg: &Leg, levels: &Levels) -> Option<f64> {
        let offset = levels.offset.filter(|_| leg.trailing)?;
        Some(self.on_grid(leg.best - leg.side.sign() * offset, leg.side == Side::Short))
    }

    /// Fills a leg at `price`, slippage included.
    pub(super) fn fill_leg(&mut self, exit: usize, leg: usize, kind: LegKind, price: f64) {
        let order = &mut self.exits[exit];
        let gone = order.legs.remove(leg);
        order.done.push(gone.key);
        let name = super::orders::FillName { id: order.command.id, comment: order.comment(kind) };
        self.fills_on_bar += 1;
        self.risk.day_fills += 1;
        self.books.counts.filled += 1;
        let qty = gone.qty.min(self.books.position.abs());
        self.take(qty, price, name, super::orders::Target::Key(gone.key));
        self.trim_legs();
    }

    /// Legs never hold more than what is open: after a close that named no leg, the rest shrinks.
    pub(super) fn trim_legs(&mut self) {
        if !self.account.close_entries_any {
            return;
        }
        let open = &self.books.open;
        for order in &mut self.exits {
            order.legs.retain(|leg| open.iter().any(|t| t.key == leg.key));
        }
    }

    /// Flat: legs are void; an exit stays only for a pending entry it covers.
    pub(super) fn drop_flat_exits(&mut self) {
        let entries = &self.entries;
        self.exits.retain_mut(|o| {
            o.legs.clear();
            o.done.clear();
            entries.iter().any(|e| o.covers(e.id))
        });
    }
}
