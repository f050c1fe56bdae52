//! One bar's prices in order: the open, then the path through the extremes to the close.

use super::{
    Broker, EventKind, Side,
    exits::LegKind,
    names::MARGIN_CALL,
    orders::{FillName, Target},
};
use crate::rules::{AtOpen, Intrabar};

/// What the path meets next.
#[derive(Clone, Copy, Debug)]
enum Event {
    EntryStop(usize),
    EntryLimit(usize),
    /// A stop-limit's stop is touched: from now on it is a limit.
    Arm(usize),
    Leg(usize, usize, LegKind),
    /// A trailing stop comes alive.
    Activate(usize, usize),
}

/// An event, where it happens, and what decides between events at one price.
#[derive(Clone, Copy, Debug)]
struct Hit {
    event: Event,
    price: f64,
    /// Distance along the leg; at equal distance stops come before trails before limits, then seniority.
    order: (f64, u8, u32),
}

impl Broker<'_> {
    /// The whole bar: open phase, then three legs.
    pub(super) fn walk_bar(&mut self) {
        let i = self.bar;
        let (o, h, l, c) = (self.bars.open[i], self.bars.high[i], self.bars.low[i], self.bars.close[i]);
        self.books.touch(o);
        match self.rules.at_open {
            AtOpen::SignalFirst => {
                self.market_at_open(o);
                self.gapped_entries(o);
                self.gapped_legs(o);
            }
            AtOpen::StopFirst => {
                // Such engines ask each bar's whole range for stops and targets before they look at signals.
                self.gapped_legs(o);
                let held_back = std::mem::take(&mut self.entries);
                self.path([o, h, l, c]);
                self.entries = held_back;
                self.market_at_open(o);
                self.gapped_entries(o);
            }
        }
        self.watch(o);
        self.path([o, h, l, c]);
    }

    /// The three legs from the open to the close.
    fn path(&mut self, [o, h, l, c]: [f64; 4]) {
        let (first, second) = if self.high_first(o, h, l) { (h, l) } else { (l, h) };
        for (from, to) in [(o, first), (first, second), (second, c)] {
            if self.books.position == 0.0 && !self.has_pending() {
                return;
            }
            self.leg(from, to);
            self.books.touch(to);
            self.watch(to);
        }
    }

    /// Whether the path visits the high before the low.
    fn high_first(&self, o: f64, h: f64, l: f64) -> bool {
        let position = self.books.position;
        match self.rules.intrabar {
            Intrabar::StopFirst if position != 0.0 => position < 0.0,
            Intrabar::LimitFirst if position != 0.0 => position > 0.0,
            _ => h - o < o - l,
        }
    }

    fn watch(&mut self, price: f64) {
        self.watch_margin(price);
        self.watch_risk(price);
    }

    /// Market orders from earlier bars, in the order they were given.
    fn market_at_open(&mut self, open: f64) {
        if self.risk.stopped() {
            return;
        }
        loop {
            let entry = self.entries.iter().position(|o| o.is_market());
            let close = if self.closes.is_empty() { None } else { Some(0) };
            match (entry, close) {
                (Some(e), c) if c.is_none_or(|c| self.entries[e].seq < self.closes[c].seq) => {
                    let order = self.entries.remove(e);
                    self.fill_entry(order, self.slipped(open, order.buys()));
                }
                (_, Some(c)) => {
                    let order = self.closes.remove(c);
                    let buys = self.books.position < 0.0;
                    self.fill_close(order, self.slipped(open, buys));
                }
                _ => break,
            }
        }
    }

    /// Priced entries that the open has already passed fill there.
    fn gapped_entries(&mut self, open: f64) {
        let mut k = 0;
        while k < self.entries.len() {
            let mut order = self.entries[k];
            let buys = order.buys();
            let through_stop = order.stop.is_some_and(|s| if buys { open >= s } else { open <= s });
            if through_stop && order.limit.is_some() {
                order.stop = None;
                self.entries[k] = order;
            }
            let slack = f64::from(self.account.limit_verify_ticks) * self.mintick;
            let through_limit = order.stop.is_none()
                && order.limit.is_some_and(|p| if buys { open <= p - slack } else { open >= p + slack });
            let stop_only = through_stop && order.limit.is_none();
            if stop_only || through_limit {
                self.entries.remove(k);
                let price = if stop_only { self.slipped(open, buys) } else { open };
                self.fill_entry(order, price);
            } else {
                k += 1;
            }
        }
    }

    /// Legs of trades from earlier bars that the open has already passed fill there.
    fn gapped_legs(&mut self, open: f64) {
        while let Some((exit, leg, kind)) = self.gapped_leg(open) {
            let buys = self.exits[exit].legs[leg].side == Side::Short;
            let price = if kind == LegKind::Limit { open } else { self.slipped(open, buys) };
            self.fill_leg(exit, leg, kind, price);
        }
        for exit in 0..self.exits.len() {
            for leg in 0..self.exits[exit].legs.len() {
                let held = self.exits[exit].legs[leg];
                let activation = self.levels(&self.exits[exit], &held).activation;
                let sign = held.side.sign();
                if held.born < self.bar && !held.trailing && activation.is_some_and(|a| (open - a) * sign >= 0.0) {
                    self.activate(exit, leg, open);
                }
            }
        }
    }

    fn gapped_leg(&self, open: f64) -> Option<(usize, usize, LegKind)> {
        let slack = f64::from(self.account.limit_verify_ticks) * self.mintick;
        for (e, order) in self.exits.iter().enumerate() {
            for (k, leg) in order.legs.iter().enumerate() {
                if leg.born >= self.bar || leg.live_from > self.bar {
                    continue;
                }
                let sign = leg.side.sign();
                let levels = self.levels(order, leg);
                let below = |p: f64| (open - p) * sign <= 0.0;
                if levels.stop.is_some_and(below) {
                    return Some((e, k, LegKind::Stop));
                }
                if self.trail_stop(leg, &levels).is_some_and(below) {
                    return Some((e, k, LegKind::Trail));
                }
                if levels.limit.is_some_and(|p| (open - p) * sign >= slack) {
                    return Some((e, k, LegKind::Limit));
                }
            }
        }
        None
    }

    fn activate(&mut self, exit: usize, leg: usize, price: f64) {
        let leg = &mut self.exits[exit].legs[leg];
        leg.trailing = true;
        leg.best = price;
    }

    /// Walks from one price to another, filling what lies between in the order it is met.
    fn leg(&mut self, from: f64, to: f64) {
        let mut at = from;
        while let Some(hit) = self.next_hit(at, to) {
            at = hit.price;
            self.books.touch(at);
            match hit.event {
                Event::Arm(k) => self.entries[k].stop = None,
                Event::Activate(e, k) => self.activate(e, k, at),
                Event::EntryStop(k) => {
                    let order = self.entries.remove(k);
                    self.fill_entry(order, self.slipped(at, order.buys()));
                }
                Event::EntryLimit(k) => {
                    let order = self.entries.remove(k);
                    let level = order.limit.unwrap_or(at);
                    let price = if order.buys() { level.min(at.max(level)) } else { level };
                    self.fill_entry(order, price);
                }
                Event::Leg(e, k, kind) => {
                    let leg = self.exits[e].legs[k];
                    let buys = leg.side == Side::Short;
                    let price = if kind == LegKind::Limit { self.limit_price(e, k, at) } else { self.slipped(at, buys) };
                    self.fill_leg(e, k, kind, price);
                }
            }
        }
        self.follow_trails(to);
    }

    /// A take-profit fills at its level, or better where the price already was beyond it.
    fn limit_price(&self, exit: usize, leg: usize, at: f64) -> f64 {
        let order = &self.exits[exit];
        let leg = &order.legs[leg];
        let level = self.levels(order, leg).limit.unwrap_or(at);
        let slack = f64::from(self.account.limit_verify_ticks) * self.mintick;
        if (at - level).abs() <= slack { level } else { at }
    }

    /// Trailing stops follow the price to the end of a leg.
    fn follow_trails(&mut self, price: f64) {
        for order in &mut self.exits {
            for leg in order.legs.iter_mut().filter(|leg| leg.trailing) {
                leg.best = if leg.side == Side::Long { leg.best.max(price) } else { leg.best.min(price) };
            }
        }
    }

    fn next_hit(&self, at: f64, to: f64) -> Option<Hit> {
        let mut best: Option<Hit> = None;
        let mut offer = |event, price: f64, rank, seq| {
            let order = ((price - at).abs(), rank, seq);
            if best.is_none_or(|b: Hit| order < b.order) {
                best = Some(Hit { event, price, order });
            }
        };
        let rising = to > at;
        let (low, high) = if rising { (at, to) } else { (to, at) };
        let between = |p: f64| p >= low && p <= high;
        let slack = f64::from(self.account.limit_verify_ticks) * self.mintick;
        for (k, o) in self.entries.iter().enumerate() {
            let buys = o.buys();
            if let Some(stop) = o.stop {
                if rising == buys && between(stop) {
                    let event = if o.limit.is_some() { Event::Arm(k) } else { Event::EntryStop(k) };
                    offer(event, stop, 0, o.seq);
                }
            } else if let Some(limit) = o.limit {
                let trigger = if buys { limit - slack } else { limit + slack };
                let passed = if buys { at <= trigger } else { at >= trigger };
                if passed {
                    offer(Event::EntryLimit(k), at, 2, o.seq);
                } else if rising != buys && between(trigger) {
                    offer(Event::EntryLimit(k), trigger, 2, o.seq);
                }
            }
        }
        for (e, order) in self.exits.iter().enumerate() {
            for (k, leg) in order.legs.iter().enumerate().filter(|(_, leg)| leg.live_from <= self.bar) {
                let levels = self.levels(order, leg);
                let sign = leg.side.sign();
                // Towards profit the limit and the activation wait, towards loss the stops.
                let gaining = rising == (leg.side == Side::Long) && to != at;
                let reach = |p: f64, towards_profit: bool| {
                    let passed = if towards_profit { (at - p) * sign >= 0.0 } else { (at - p) * sign <= 0.0 };
                    if passed {
                        Some(at)
                    } else {
                        (gaining == towards_profit && between(p)).then_some(p)
                    }
                };
                if let Some(p) = levels.stop.and_then(|p| reach(p, false)) {
                    offer(Event::Leg(e, k, LegKind::Stop), p, 0, order.seq);
                }
                if let Some(p) = self.trail_stop(leg, &levels).and_then(|p| reach(p, false)) {
                    offer(Event::Leg(e, k, LegKind::Trail), p, 1, order.seq);
                }
                if let Some(p) = levels.limit.and_then(|p| reach(p + sign * slack, true)) {
                    offer(Event::Leg(e, k, LegKind::Limit), p, 2, order.seq);
                }
                if let Some(p) = levels.activation.filter(|_| !leg.trailing).and_then(|p| reach(p, true)) {
                    offer(Event::Activate(e, k), p, 3, order.seq);
                }
            }
        }
        best
    }

    /// Liquidates what the margin no longer carries: four times the shortfall, as TradingView does.
    fn watch_margin(&mut self, price: f64) {
        let margin = self.margin_percent() / 100.0;
        let held = self.books.position.abs();
        if held == 0.0 || margin == 0.0 {
            return;
        }
        let unit = price * self.point_value;
        let available = self.books.equity_at(price) - held * unit * margin;
        if available >= -1e-9 * held * unit {
            return;
        }
        let cover = self.lots(-available / (margin * unit)) * 4.0;
        let step = if self.min_qty > 0.0 { self.min_qty } else { 0.0 };
        let qty = cover.max(step).min(held);
        if qty <= 0.0 {
            return;
        }
        self.books.margin_calls += 1;
        self.books.note(self.bar, MARGIN_CALL, EventKind::MarginCall);
        self.fills_on_bar += 1;
        let buys = self.books.position < 0.0;
        let name = FillName { id: MARGIN_CALL, comment: super::NameId(0) };
        self.take(qty, self.slipped(price, buys), name, Target::Oldest);
    }
}
