//! One bar's prices in order: what the open fills, and what a leg of the path meets.

use super::{
    Broker, EventKind, NameId, Side,
    exits::{Leg, LegKind},
    orders::{EntryOrder, FillName, Target, take_at},
};
use crate::{
    rules::{AtOpen, Intrabar},
    trade::ExitReason,
};

/// What the path meets next.
#[derive(Clone, Copy, Debug)]
enum Event {
    EntryStop(usize),
    EntryLimit(usize),
    /// A stop-limit's stop is touched: from now on it is a limit.
    Arm(usize),
    Leg(usize, LegKind),
    /// A trailing stop comes alive.
    Activate(usize),
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
        let open = self.bars.open[i];
        match self.rules.at_open {
            AtOpen::SignalFirst => {
                self.fill_market_at_open(open);
            }
            AtOpen::StopFirst => {
                // Such engines ask each bar's whole range for the stops and targets of what is held before
                // they look at the signals of the last close.
                if !self.legs.is_empty() {
                    self.books.begin_walk(i);
                    self.books.touch(open);
                    self.gapped_legs(open);
                    let held_back = std::mem::take(&mut self.entries);
                    self.path();
                    self.entries = held_back;
                    // What is still there has met this bar; only newer legs may act on it again.
                    let next = i + 1;
                    self.legs.iter_mut().for_each(|leg| leg.live_from = leg.live_from.max(next));
                }
                self.fill_market_at_open(open);
            }
        }
        self.walk_from_open(open);
    }

    /// The rest of the bar, once the market orders have filled at its open.
    pub(super) fn walk_from_open(&mut self, open: f64) {
        if !self.needs_walk() {
            return;
        }
        let i = self.bar;
        self.books.begin_walk(i);
        match self.rules.at_open {
            AtOpen::SignalFirst => {
                self.books.touch(open);
                self.gapped_entries(open);
                self.gapped_legs(open);
            }
            AtOpen::StopFirst => self.gapped_entries(open),
        }
        self.watch(open);
        if self.open_settles(i) {
            return;
        }
        self.path();
        self.books.end_walk(i);
    }

    /// Nothing but the margin could act on the rest of bar `i`, and its prices cannot make that fail: the bar then
    /// counts as one that was not walked.
    fn open_settles(&self, i: usize) -> bool {
        self.entries.is_empty()
            && self.legs.is_empty()
            && !self.risk.watches()
            && self.finer.is_none()
            && !self.margin_may_fail(i)
    }

    /// Whether anything can happen between the open and the close.
    fn needs_walk(&self) -> bool {
        !self.entries.is_empty()
            || !self.legs.is_empty()
            || (self.books.position != 0.0 && (self.risk.watches() || self.margin_may_fail(self.bar)))
            || (self.risk.watches() && self.fills_on_bar > 0)
    }

    /// Whether the path visits the high before the low.
    pub(super) fn high_first(&self, o: f64, h: f64, l: f64) -> bool {
        let position = self.books.position;
        match self.rules.intrabar {
            Intrabar::StopFirst if position != 0.0 => position < 0.0,
            Intrabar::LimitFirst if position != 0.0 => position > 0.0,
            _ => h - o < o - l,
        }
    }

    pub(super) fn watch(&mut self, price: f64) {
        if self.books.position != 0.0 {
            self.watch_margin(price);
        }
        self.watch_risk(price);
    }

    fn fill_market_at_open(&mut self, open: f64) {
        if !self.risk.stopped() {
            self.fill_market(open, true);
        }
    }

    /// Ticks a price must go beyond a limit, as a distance.
    fn slack(&self) -> f64 {
        f64::from(self.account.limit_verify_ticks) * self.mintick
    }

    /// Priced entries that the price has already passed fill there: buys first, then by seniority.
    pub(super) fn gapped_entries(&mut self, open: f64) {
        let slack = self.slack();
        for order in self.entries.iter_mut().filter(|o| !o.limit.is_nan()) {
            if (open - order.stop) * order.side.sign() >= 0.0 {
                order.stop = f64::NAN;
            }
        }
        loop {
            let stopped = |o: &EntryOrder| (open - o.stop) * o.side.sign() >= 0.0;
            let passed =
                |o: &EntryOrder| stopped(o) || (o.stop.is_nan() && (o.limit - open) * o.side.sign() >= slack);
            let buy = self.entries.iter().position(|o| o.buys() && passed(o));
            let Some(k) = buy.or_else(|| self.entries.iter().position(passed)) else { break };
            let order = take_at(&mut self.entries, k);
            let price = if stopped(&order) { self.slipped(open, order.buys()) } else { open };
            self.fill_entry(&order, price);
        }
    }

    /// Legs from earlier bars that the open has already passed fill there, the youngest first.
    pub(super) fn gapped_legs(&mut self, open: f64) {
        while let Some((k, kind)) = self.gapped_leg(open) {
            let buys = self.legs[k].side == Side::Short;
            let price = if kind == LegKind::Limit { open } else { self.slipped(open, buys) };
            self.fill_leg(k, kind, price);
        }
        let (bar, moment) = (self.bar, self.moment);
        self.legs.iter_mut().filter(|leg| leg.carried(bar, moment)).for_each(|leg| leg.activate_at(open));
        self.follow_trails(open);
    }

    fn gapped_leg(&self, open: f64) -> Option<(usize, LegKind)> {
        let slack = self.slack();
        self.legs.iter().enumerate().rev().filter(|(_, leg)| leg.carried(self.bar, self.moment)).find_map(
            |(k, leg)| {
                let gain = |p: f64| (open - p) * leg.side.sign();
                if gain(leg.stop) <= 0.0 {
                    Some((k, LegKind::Stop))
                } else if gain(self.trail_stop(leg)) <= 0.0
                    || (leg.offset == 0.0 && gain(leg.activation) >= 0.0)
                {
                    Some((k, LegKind::Trail))
                } else if gain(leg.limit) >= slack {
                    Some((k, LegKind::Limit))
                } else {
                    None
                }
            },
        )
    }

    /// Walks from one price to another, filling what lies between in the order it is met. A limit fills at
    /// its level, or at the price the walk was at when that was better already.
    pub(super) fn leg(&mut self, from: f64, to: f64) {
        if self.entries.is_empty() && self.legs.is_empty() {
            return;
        }
        let mut at = from;
        while let Some(hit) = self.next_hit(at, to) {
            self.follow_trails(hit.price);
            let before = at;
            at = hit.price;
            self.books.touch(at);
            match hit.event {
                Event::Arm(k) => self.entries[k].stop = f64::NAN,
                Event::Activate(k) => (self.legs[k].trailing, self.legs[k].best) = (true, at),
                Event::EntryStop(k) => {
                    let order = take_at(&mut self.entries, k);
                    self.fill_entry(&order, self.slipped(at, order.buys()));
                }
                Event::EntryLimit(k) => {
                    let order = take_at(&mut self.entries, k);
                    let price = if order.buys() { order.limit.min(before) } else { order.limit.max(before) };
                    self.fill_entry(&order, price);
                }
                Event::Leg(k, LegKind::Limit) => {
                    let Leg { side, limit, .. } = self.legs[k];
                    let price = if side == Side::Long { limit.max(before) } else { limit.min(before) };
                    self.fill_leg(k, LegKind::Limit, price);
                }
                Event::Leg(k, kind) => {
                    let buys = self.legs[k].side == Side::Short;
                    self.fill_leg(k, kind, self.slipped(at, buys));
                }
            }
            // A fill with slippage is at a loss against the price it happened at.
            self.books.touch(at);
        }
        self.follow_trails(to);
    }

    /// Trailing stops follow the price.
    fn follow_trails(&mut self, price: f64) {
        for leg in self.legs.iter_mut().filter(|leg| leg.trailing) {
            leg.best = if leg.side == Side::Long { leg.best.max(price) } else { leg.best.min(price) };
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
        let slack = self.slack();
        for (k, o) in self.entries.iter().enumerate() {
            let buys = o.buys();
            if !o.stop.is_nan() {
                if rising == buys && between(o.stop) {
                    let event = if o.limit.is_nan() { Event::EntryStop(k) } else { Event::Arm(k) };
                    offer(event, o.stop, 0, o.seq);
                }
            } else if !o.limit.is_nan() {
                let trigger = o.limit - o.side.sign() * slack;
                if (trigger - at) * o.side.sign() >= 0.0 {
                    offer(Event::EntryLimit(k), at, 2, o.seq);
                } else if rising != buys && between(trigger) {
                    offer(Event::EntryLimit(k), trigger, 2, o.seq);
                }
            }
        }
        for (k, leg) in self.legs.iter().enumerate().filter(|(_, leg)| leg.live(self.bar)) {
            if leg.trailing && leg.offset == 0.0 {
                offer(Event::Leg(k, LegKind::Trail), at, 1, leg.exit);
                continue;
            }
            // Towards profit the limit and the activation wait, towards loss the stops.
            let gaining = rising == (leg.side == Side::Long) && to != at;
            if gaining {
                let limit = leg.limit + leg.side.sign() * slack;
                if between(limit) {
                    offer(Event::Leg(k, LegKind::Limit), limit, 2, leg.exit);
                }
                if !leg.trailing && between(leg.activation) {
                    let event =
                        if leg.offset == 0.0 { Event::Leg(k, LegKind::Trail) } else { Event::Activate(k) };
                    offer(event, leg.activation, 1, leg.exit);
                }
            } else {
                if between(leg.stop) {
                    offer(Event::Leg(k, LegKind::Stop), leg.stop, 0, leg.exit);
                }
                let trail = self.trail_stop(leg);
                if between(trail) {
                    offer(Event::Leg(k, LegKind::Trail), trail, 1, leg.exit);
                }
            }
        }
        best
    }

    /// Whether somewhere in bar `i` the margin of the position may not suffice.
    pub(super) fn margin_may_fail(&self, i: usize) -> bool {
        let margin = self.margin();
        if margin == 0.0 {
            return false;
        }
        let (base, per_point) = self.free_margin(margin);
        if per_point == 0.0 {
            return base < 0.0;
        }
        base + per_point * self.bars.high[i] < 0.0 || base + per_point * self.bars.low[i] < 0.0
    }

    /// Liquidates what the margin no longer carries: four times the shortfall, as TradingView does.
    fn watch_margin(&mut self, price: f64) {
        let margin = self.margin();
        let held = self.books.position.abs();
        if margin == 0.0 {
            return;
        }
        let unit = price * self.point_value;
        let available = self.books.equity_at(price) - held * unit * margin;
        if available >= -1e-9 * held * unit {
            return;
        }
        // A shortfall below a lot costs one whole contract.
        let cover = self.lots(-available / (margin * unit)) * 4.0;
        let qty = if cover > 0.0 { cover } else { 1.0 }.min(held);
        if qty <= 0.0 {
            return;
        }
        self.books.margin_calls += 1;
        self.books.note(self.bar, NameId(0), EventKind::MarginCall);
        self.count_fill();
        let buys = self.books.position < 0.0;
        let name = FillName { id: NameId(0), comment: NameId(0), reason: ExitReason::MarginCall };
        self.take(qty, qty, self.slipped(price, buys), name, Target::Oldest);
    }

    /// Levels whose touch needs a closer look, for bars on which the script stays silent: above and below.
    pub(super) fn fences(&self) -> (f64, f64) {
        let (mut above, mut below) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut fence = |level: f64, up: bool| {
            if up {
                above = above.min(level);
            } else {
                below = below.max(level);
            }
        };
        for EntryOrder { stop, limit, side, .. } in &self.entries {
            let long = *side == Side::Long;
            if stop.is_nan() { fence(*limit, !long) } else { fence(*stop, long) }
        }
        for Leg { stop, limit, activation, side, .. } in self.legs.iter().filter(|leg| !leg.done) {
            let long = *side == Side::Long;
            fence(*stop, !long);
            fence(*limit, long);
            fence(*activation, long);
        }
        (above, below)
    }
}
