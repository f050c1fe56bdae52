//! The account's books: open and closed trades, money, the equity track.

use super::{NameId, Side};
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
    /// Highest and lowest price since the entry.
    high: f64,
    low: f64,
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

impl EquityWatch {
    pub fn peak(&self) -> f64 {
        self.peak
    }
}

#[derive(Debug)]
pub(super) struct Books {
    initial: f64,
    point_value: f64,
    /// Signed contracts.
    pub position: f64,
    pub open: Vec<OpenTrade>,
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
    pub max_held: (f64, f64),
    segments: Vec<EquitySegment>,
    events: Vec<BrokerEvent>,
    /// Bars before this one are in the open trades' high and low.
    marked: usize,
    watch: EquityWatch,
    keys: u32,
    fills: u32,
}

impl Books {
    pub fn new(initial: f64, point_value: f64) -> Self {
        Self {
            initial,
            point_value,
            position: 0.0,
            open: Vec::new(),
            closed: Vec::new(),
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
            segments: Vec::new(),
            events: Vec::new(),
            marked: 0,
            watch: EquityWatch { peak: initial, trough: initial, ..EquityWatch::default() },
            keys: 0,
            fills: 0,
        }
    }

    pub fn note(&mut self, bar: usize, id: NameId, kind: EventKind) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(BrokerEvent { bar: bar as u32, id, kind });
        }
    }

    /// Equity at `price`, as `base + slope * price`.
    pub fn segment(&self) -> (f64, f64) {
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

    /// Opens a trade; returns its key.
    pub fn enter(&mut self, bar: usize, side: Side, qty: f64, price: f64, commission: f64, id: NameId, comment: NameId) -> u32 {
        self.keys += 1;
        self.fills += 1;
        self.counts.filled += 1;
        self.commission_paid += commission;
        self.open.push(OpenTrade {
            key: self.keys,
            side,
            qty,
            entry_bar: bar as u32,
            entry_price: price,
            entry_id: id,
            entry_comment: comment,
            commission,
            max_runup: 0.0,
            max_drawdown: 0.0,
            entry_seq: self.fills,
            high: price,
            low: price,
        });
        self.after_fill(bar);
        self.keys
    }

    /// Closes `qty` of the open trade at `index`; `commission` is the exit's share.
    pub fn leave(&mut self, bar: usize, index: usize, qty: f64, price: f64, commission: f64, id: NameId, comment: NameId) {
        self.touch(price);
        self.fills += 1;
        let trade = &mut self.open[index];
        let whole = qty >= trade.qty * (1.0 - 1e-12);
        let share = if whole { 1.0 } else { qty / trade.qty };
        let qty = if whole { trade.qty } else { qty };
        let entry_commission = trade.commission * share;
        let sign = trade.side.sign() * self.point_value * qty;
        let gross = sign * (price - trade.entry_price);
        let swing = [sign * (trade.high - trade.entry_price), sign * (trade.low - trade.entry_price)];
        let closed = Trade {
            side: trade.side,
            qty,
            entry_bar: trade.entry_bar,
            exit_bar: bar as u32,
            entry_price: trade.entry_price,
            exit_price: price,
            entry_id: trade.entry_id,
            exit_id: id,
            entry_comment: trade.entry_comment,
            exit_comment: comment,
            commission: entry_commission + commission,
            profit: gross - entry_commission - commission,
            max_runup: swing[0].max(swing[1]).max(0.0),
            max_drawdown: -swing[0].min(swing[1]).min(0.0),
            entry_seq: trade.entry_seq,
            exit_seq: self.fills,
        };
        if whole {
            self.open.remove(index);
        } else {
            trade.qty -= qty;
            trade.commission -= entry_commission;
        }
        self.book(closed, commission);
        self.after_fill(bar);
    }

    fn book(&mut self, trade: Trade, commission: f64) {
        self.commission_paid += commission;
        self.net_profit += trade.profit;
        if trade.profit > 0.0 {
            self.wins += 1;
            self.gross_profit += trade.profit;
        } else if trade.profit < 0.0 {
            self.losses += 1;
            self.gross_loss -= trade.profit;
        } else {
            self.evens += 1;
        }
        self.closed.push(trade);
    }

    fn after_fill(&mut self, bar: usize) {
        // Summed anew: repeated addition and subtraction would leave dust where flat must be 0.
        self.position = self.open.iter().map(|t| t.side.sign() * t.qty).sum();
        self.max_held.0 = self.max_held.0.max(self.position);
        self.max_held.1 = self.max_held.1.max(-self.position);
        let (base, slope) = self.segment();
        let segment = EquitySegment { from_bar: bar as u32, base, slope };
        match self.segments.last_mut() {
            Some(last) if last.from_bar == segment.from_bar => *last = segment,
            _ => self.segments.push(segment),
        }
    }

    /// The price was seen while the trades were open.
    pub fn touch(&mut self, price: f64) {
        for t in &mut self.open {
            t.high = t.high.max(price);
            t.low = t.low.min(price);
        }
    }

    /// The bar's own path has been walked: bars before `next` are in the extremes.
    pub fn marked_to(&mut self, next: usize) {
        self.marked = self.marked.max(next);
    }

    /// Takes whole bars before `next` that were not walked into the open trades' extremes.
    pub fn sync_excursions(&mut self, bars: &BarsView<'_>, next: usize) {
        let point_value = self.point_value;
        for t in &mut self.open {
            let from = self.marked.max(t.entry_bar as usize);
            if from < next {
                t.high = bars.high[from..next].iter().copied().fold(t.high, f64::max);
                t.low = bars.low[from..next].iter().copied().fold(t.low, f64::min);
            }
            let sign = t.side.sign() * t.qty * point_value;
            let swing = [sign * (t.high - t.entry_price), sign * (t.low - t.entry_price)];
            t.max_runup = swing[0].max(swing[1]).max(0.0);
            t.max_drawdown = -swing[0].min(swing[1]).min(0.0);
        }
        self.marked = self.marked.max(next);
    }

    /// Extremes of equity up to and including `bar`, at closes.
    pub fn watch_equity(&mut self, bars: &BarsView<'_>, bar: usize) -> EquityWatch {
        let start = self.watch.next;
        let mut at = self.segments.partition_point(|s| s.from_bar as usize <= start);
        for i in start..=bar {
            while self.segments.get(at).is_some_and(|s| s.from_bar as usize <= i) {
                at += 1;
            }
            let equity = match at.checked_sub(1).map(|k| self.segments[k]) {
                Some(s) => s.base + s.slope * bars.close[i],
                None => self.initial,
            };
            let w = &mut self.watch;
            w.peak = w.peak.max(equity);
            w.trough = w.trough.min(equity);
            w.drawdown = w.drawdown.max(w.peak - equity);
            w.runup = w.runup.max(equity - w.trough);
        }
        self.watch.next = self.watch.next.max(bar + 1);
        self.watch
    }

    pub fn finish(self, halted: Option<&'static str>) -> Simulation {
        Simulation {
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
