//! The account's books: open and closed trades, money, the equity track.

use super::{
    NameId, Side,
    orders::{FillName, Target},
};
use crate::{EquitySegment, Trade};
use springtide_domain::BarsView;

/// A trade that is still open.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct OpenTrade {
    /// Number of the entry fill that opened it; exits are attached to it.
    pub key: u32,
    pub side: Side,
    /// Contracts left.
    pub qty: f64,
    pub entry_bar: u32,
    pub entry_price: f64,
    pub entry_id: NameId,
    pub entry_comment: NameId,
    /// Entry commission of what is left, money.
    pub commission: f64,
    /// Money, >= 0, of what is left.
    pub max_runup: f64,
    /// Money, >= 0, of what is left.
    pub max_drawdown: f64,
    pub entry_seq: u32,
    /// Highest and lowest price since the entry, up to but not including bar `unseen`.
    high: f64,
    low: f64,
    unseen: usize,
}

impl OpenTrade {
    /// A trade that another engine says is open; `swing` is its best and worst open profit so far, both >= 0.
    pub fn reported(
        side: Side,
        qty: f64,
        entry_bar: u32,
        entry_price: f64,
        entry_id: NameId,
        swing: (f64, f64),
    ) -> Self {
        Self {
            key: 0,
            side,
            qty,
            entry_bar,
            entry_price,
            entry_id,
            entry_comment: NameId(0),
            commission: 0.0,
            max_runup: swing.0,
            max_drawdown: swing.1,
            entry_seq: 0,
            high: entry_price,
            low: entry_price,
            unseen: entry_bar as usize,
        }
    }

    /// Takes the bars before `next` that were not walked price by price into the extremes.
    fn catch_up(&mut self, bars: &BarsView<'_>, next: usize) {
        if self.unseen < next {
            let range = self.unseen..next;
            let (high, low) = extremes(&bars.high[range.clone()], &bars.low[range]);
            self.high = self.high.max(high);
            self.low = self.low.min(low);
            self.unseen = next;
        }
    }

    /// Best and worst open profit of `qty` contracts so far, both >= 0.
    fn swing(&self, qty: f64, point_value: f64) -> (f64, f64) {
        let sign = self.side.sign() * qty * point_value;
        let (a, b) = (sign * (self.high - self.entry_price), sign * (self.low - self.entry_price));
        (a.max(b).max(0.0), (-a.min(b)).max(0.0))
    }
}

/// Highest high and lowest low.
fn extremes(high: &[f64], low: &[f64]) -> (f64, f64) {
    (
        fold(high, f64::NEG_INFINITY, |a, b| if b > a { b } else { a }),
        fold(low, f64::INFINITY, |a, b| if b < a { b } else { a }),
    )
}

/// Folds by a plain comparison, eight lanes at a time, so that they become vector code and none waits for
/// another. (`f64::max` has to mind NaN, which costs several instructions.)
#[inline]
fn fold(values: &[f64], start: f64, better: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [start; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        for (lane, value) in lanes.iter_mut().zip(eight) {
            *lane = better(*lane, *value);
        }
    }
    let lanes = [0, 1, 2, 3].map(|k| better(lanes[k], lanes[k + 4]));
    let best = better(better(lanes[0], lanes[2]), better(lanes[1], lanes[3]));
    rest.iter().fold(best, |a, b| better(a, *b))
}

/// Orders by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct OrderCounts {
    pub placed: u32,
    pub filled: u32,
    pub cancelled: u32,
    /// Refused for want of margin.
    pub refused: u32,
    /// Rounded down to nothing.
    pub empty: u32,
}

/// Something a person should know about an order that did not become a trade.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct BrokerEvent {
    pub bar: u32,
    pub id: NameId,
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Margin needed was more than the equity.
    MarginRefused,
    /// The quantity rounded down to nothing.
    ZeroQuantity,
    /// The position was (partly) liquidated.
    MarginCall,
    /// A `strategy.risk.*` rule stopped trading.
    RiskHalt,
}

/// What a finished simulation leaves.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Simulation {
    /// In closing order.
    pub trades: Vec<Trade>,
    /// Oldest first.
    pub open: Vec<OpenTrade>,
    pub segments: Vec<EquitySegment>,
    pub counts: OrderCounts,
    pub margin_calls: u32,
    pub halted: Option<&'static str>,
    pub commission_paid: f64,
    /// Of the open trades at the last close, commissions not included.
    pub open_profit: f64,
    /// The first few; `counts` has them all.
    pub events: Vec<BrokerEvent>,
}

const EVENTS_MAX: usize = 64;

/// Extremes of equity on bar closes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EquityWatch {
    next: usize,
    peak: f64,
    trough: f64,
    pub drawdown: f64,
    pub runup: f64,
}

/// What is left of an entry fill for the exits that name it. Under the FIFO rule a fill takes the oldest
/// trade whatever it named, so this is not the trade list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding {
    pub key: u32,
    pub entry_id: NameId,
    pub side: Side,
    pub price: f64,
    pub left: f64,
}

#[derive(Debug)]
pub(super) struct Books<'a> {
    bars: BarsView<'a>,
    initial: f64,
    point_value: f64,
    /// Bars before this one are whole in what a trade has seen: the current bar until its close.
    pub seen: usize,
    /// Signed contracts.
    pub position: f64,
    pub open: Vec<OpenTrade>,
    pub holdings: Vec<Holding>,
    pub closed: Vec<Trade>,
    pub net_profit: f64,
    pub gross_profit: f64,
    pub gross_loss: f64,
    pub wins: u32,
    pub losses: u32,
    pub evens: u32,
    pub commission_paid: f64,
    pub counts: OrderCounts,
    pub margin_calls: u32,
    /// Largest position on each side.
    pub max_held: (f64, f64),
    /// Trade pieces opened and closed so far.
    pub fills: u32,
    /// What the last fill left of it.
    segment: (f64, f64),
    segments: Vec<EquitySegment>,
    events: Vec<BrokerEvent>,
    watch: EquityWatch,
    keys: u32,
}

impl<'a> Books<'a> {
    pub fn new(bars: BarsView<'a>, initial: f64, point_value: f64) -> Self {
        // A guess that spares most runs the copying of growing lists.
        let trades = (bars.len() / 64).clamp(4, 512);
        Self {
            bars,
            initial,
            point_value,
            seen: 0,
            position: 0.0,
            open: Vec::new(),
            holdings: Vec::new(),
            closed: Vec::with_capacity(trades),
            net_profit: 0.0,
            gross_profit: 0.0,
            gross_loss: 0.0,
            wins: 0,
            losses: 0,
            evens: 0,
            commission_paid: 0.0,
            counts: OrderCounts::default(),
            margin_calls: 0,
            max_held: (0.0, 0.0),
            fills: 0,
            segment: (initial, 0.0),
            segments: Vec::with_capacity(2 * trades),
            events: Vec::new(),
            watch: EquityWatch { peak: initial, trough: initial, ..EquityWatch::default() },
            keys: 0,
        }
    }

    pub fn note(&mut self, bar: usize, id: NameId, kind: EventKind) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(BrokerEvent { bar: bar as u32, id, kind });
        }
    }

    /// Equity at a price is `base + slope * price`.
    #[inline]
    pub fn segment(&self) -> (f64, f64) {
        self.segment
    }

    fn sum_segment(&self) -> (f64, f64) {
        let mut base = self.initial + self.net_profit;
        for t in &self.open {
            base -= t.commission + t.side.sign() * t.qty * t.entry_price * self.point_value;
        }
        (base, self.position * self.point_value)
    }

    pub fn equity_at(&self, price: f64) -> f64 {
        let (base, slope) = self.segment();
        if slope == 0.0 { base } else { base + slope * price }
    }

    pub fn open_profit(&self, price: f64) -> f64 {
        self.open.iter().map(|t| t.side.sign() * t.qty * (price - t.entry_price) * self.point_value).sum()
    }

    pub fn avg_price(&self) -> f64 {
        match self.open.as_slice() {
            [] => f64::NAN,
            [only] => only.entry_price,
            trades => {
                let money: f64 = trades.iter().map(|t| t.qty * t.entry_price).sum();
                money / trades.iter().map(|t| t.qty).sum::<f64>()
            }
        }
    }

    /// Opens a trade.
    pub fn enter(
        &mut self,
        bar: usize,
        side: Side,
        qty: f64,
        price: f64,
        fee: f64,
        id: NameId,
        comment: NameId,
    ) -> Holding {
        self.keys += 1;
        self.fills += 1;
        self.commission_paid += fee;
        self.open.push(OpenTrade {
            key: self.keys,
            side,
            qty,
            entry_bar: bar as u32,
            entry_price: price,
            entry_id: id,
            entry_comment: comment,
            commission: fee,
            max_runup: 0.0,
            max_drawdown: 0.0,
            entry_seq: self.fills,
            high: price,
            low: price,
            unseen: self.seen,
        });
        let holding = Holding { key: self.keys, entry_id: id, side, price, left: qty };
        self.holdings.push(holding);
        self.after_fill(bar);
        holding
    }

    /// Closes `qty` of the open trade at `index`; `fee` is the exit's share.
    pub fn leave(&mut self, bar: usize, index: usize, qty: f64, price: f64, fee: f64, name: FillName) {
        self.fills += 1;
        let trade = &mut self.open[index];
        trade.catch_up(&self.bars, self.seen);
        trade.high = trade.high.max(price);
        trade.low = trade.low.min(price);
        let whole = qty >= trade.qty * (1.0 - 1e-12);
        let share = if whole { 1.0 } else { qty / trade.qty };
        let qty = if whole { trade.qty } else { qty };
        let entry_fee = trade.commission * share;
        let gross = trade.side.sign() * self.point_value * qty * (price - trade.entry_price);
        let (max_runup, max_drawdown) = trade.swing(qty, self.point_value);
        let profit = gross - entry_fee - fee;
        // Built in its place: a trade is large enough that moving it about shows.
        self.closed.push(Trade {
            side: trade.side,
            qty,
            entry_bar: trade.entry_bar,
            exit_bar: bar as u32,
            entry_price: trade.entry_price,
            exit_price: price,
            entry_id: trade.entry_id,
            exit_id: name.id,
            entry_comment: trade.entry_comment,
            exit_comment: name.comment,
            reason: name.reason,
            commission: entry_fee + fee,
            profit,
            max_runup,
            max_drawdown,
            entry_seq: trade.entry_seq,
            exit_seq: self.fills,
        });
        if !whole {
            trade.qty -= qty;
            trade.commission -= entry_fee;
        } else if self.open.len() == 1 {
            self.open.clear();
        } else {
            self.open.remove(index);
        }
        self.book(profit, fee);
        self.after_fill(bar);
    }

    fn book(&mut self, profit: f64, fee: f64) {
        self.commission_paid += fee;
        self.net_profit += profit;
        if profit > 0.0 {
            self.wins += 1;
            self.gross_profit += profit;
        } else if profit < 0.0 {
            self.losses += 1;
            self.gross_loss -= profit;
        } else {
            self.evens += 1;
        }
    }

    /// Takes `qty` off what is left of the entry fills for their exits: the named ones first.
    pub fn release(&mut self, qty: f64, target: Target) {
        if self.open.is_empty() {
            self.holdings.clear();
            return;
        }
        let mut left = qty;
        for pass in 0..2 {
            for h in &mut self.holdings {
                let named = match target {
                    Target::Oldest => true,
                    Target::Entry(id) => h.entry_id == id,
                    Target::Key(key) => h.key == key,
                };
                if named || pass == 1 {
                    let part = left.min(h.left);
                    (h.left, left) = (h.left - part, left - part);
                }
            }
        }
        self.holdings.retain(|h| h.left > 1e-12 * qty);
    }

    fn after_fill(&mut self, bar: usize) {
        // Summed anew: repeated addition and subtraction would leave dust where flat must be 0.
        self.position = self.open.iter().fold(0.0, |sum, t| sum + t.side.sign() * t.qty);
        if self.position > self.max_held.0 {
            self.max_held.0 = self.position;
        }
        if -self.position > self.max_held.1 {
            self.max_held.1 = -self.position;
        }
        self.segment = self.sum_segment();
        let (base, slope) = self.segment;
        let segment = EquitySegment { from_bar: bar as u32, base, slope };
        match self.segments.last_mut() {
            Some(last) if last.from_bar == segment.from_bar => *last = segment,
            _ => self.segments.push(segment),
        }
    }

    /// The price was met while walking the current bar.
    pub fn touch(&mut self, price: f64) {
        for t in &mut self.open {
            t.high = t.high.max(price);
            t.low = t.low.min(price);
        }
    }

    /// Before bar `i` is walked price by price: earlier bars are taken in whole.
    pub fn begin_walk(&mut self, i: usize) {
        self.open.iter_mut().for_each(|t| t.catch_up(&self.bars, i));
    }

    /// Bar `i` has been walked.
    pub fn end_walk(&mut self, i: usize) {
        self.open.iter_mut().for_each(|t| t.unseen = i + 1);
    }

    /// Brings the open trades' excursions up to and including the current bar.
    pub fn settle_excursions(&mut self, next: usize) {
        for t in &mut self.open {
            t.catch_up(&self.bars, next);
            (t.max_runup, t.max_drawdown) = t.swing(t.qty, self.point_value);
        }
    }

    /// Extremes of equity at closes up to and including `bar`.
    pub fn watch_equity(&mut self, bar: Option<usize>) -> EquityWatch {
        let end = bar.map_or(0, |i| i + 1);
        let start = self.watch.next;
        let mut at = self.segments.partition_point(|s| s.from_bar as usize <= start);
        for i in start..end {
            while self.segments.get(at).is_some_and(|s| s.from_bar as usize <= i) {
                at += 1;
            }
            let equity = match at.checked_sub(1).map(|k| self.segments[k]) {
                Some(s) => s.base + s.slope * self.bars.close[i],
                None => self.initial,
            };
            let w = &mut self.watch;
            w.peak = w.peak.max(equity);
            w.trough = w.trough.min(equity);
            w.drawdown = w.drawdown.max(w.peak - equity);
            w.runup = w.runup.max(equity - w.trough);
        }
        self.watch.next = start.max(end);
        self.watch
    }

    pub fn finish(self, halted: Option<&'static str>) -> Simulation {
        let last = self.bars.close.last().copied().unwrap_or(f64::NAN);
        Simulation {
            open_profit: self.open_profit(last),
            trades: self.closed,
            open: self.open,
            segments: self.segments,
            counts: self.counts,
            margin_calls: self.margin_calls,
            halted,
            commission_paid: self.commission_paid,
            events: self.events,
        }
    }
}
