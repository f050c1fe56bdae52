//! The simulation's state and its main loop.

use super::{
    order::{Config, ConfigError, Exit, Notice, Order, OrderId, SimTrade, TradeId},
    stats::{IndexKind, Stats},
};
use crate::{EquitySegment, Side, Trade, broker::NameId};
use springtide_domain::BarsView;

/// What a broker step left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The strategy's turn.
    Running,
    /// Equity is gone; the run is over, the strategy is not asked again.
    Ruined,
}

/// All open trades together, marked at the current close.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Signed units.
    pub size: f64,
    /// Profit before the exits' commission, money.
    pub pl: f64,
    /// Profit in percent of the entries' value; a fraction where the rules say so.
    pub pl_pct: f64,
}

/// One simulation over one data set.
///
/// Either [`run`](Self::run) it, or drive it: [`step_broker`](Self::step_broker) for each bar from
/// warm-up + 1, orders after each step that says [`Step::Running`], then [`finish`](Self::finish).
#[derive(Debug)]
pub struct Sim<'a> {
    pub(super) bars: BarsView<'a>,
    pub(super) config: Config,
    pub(super) leverage: f64,
    pub(super) now: usize,
    pub(super) cash: f64,
    pub(super) orders: Vec<Order>,
    pub(super) queue: Vec<OrderId>,
    pub(super) trades: Vec<SimTrade>,
    pub(super) open: Vec<TradeId>,
    pub(super) closed: Vec<TradeId>,
    pub(super) equity: Vec<f64>,
    pub(super) segments: Vec<EquitySegment>,
    pub(super) notices: Vec<Notice>,
    pub(super) ruined: bool,
    stepped: bool,
}

impl<'a> Sim<'a> {
    /// An account before its first bar.
    pub fn new(bars: BarsView<'a>, config: Config) -> Result<Self, ConfigError> {
        let config = config.settled()?;
        Ok(Self {
            leverage: 1.0 / config.margin,
            cash: config.cash,
            equity: vec![f64::NAN; bars.len()],
            now: bars.len().saturating_sub(1),
            bars,
            config,
            orders: Vec::new(),
            queue: Vec::new(),
            trades: Vec::new(),
            open: Vec::new(),
            closed: Vec::new(),
            segments: Vec::new(),
            notices: Vec::new(),
            ruined: false,
            stepped: false,
        })
    }

    /// Other prices for the same bars; orders placed already stay. Before the first step.
    ///
    /// # Panics
    /// When their number differs.
    pub fn set_bars(&mut self, bars: BarsView<'a>) {
        assert_eq!(bars.len(), self.bars.len(), "other prices for the same bars");
        self.bars = bars;
    }

    /// Simulates all bars; `next` is the strategy, asked after every bar from `warmup + 1` on.
    pub fn run(&mut self, warmup: usize, mut next: impl FnMut(&mut Self)) {
        for bar in warmup + 1..self.bars.len() {
            if self.step_broker(bar) == Step::Ruined {
                break;
            }
            next(self);
        }
        self.finish();
    }

    /// Fills pending orders on `bar` and records its equity. Bars ascend by one, from 1 or later.
    ///
    /// # Panics
    ///
    /// When `bar` is 0 or past the last bar: the first bar has no previous close to fill at.
    pub fn step_broker(&mut self, bar: usize) -> Step {
        assert!(bar > 0 && bar < self.bars.len(), "bar {bar} of {}", self.bars.len());
        self.now = bar;
        self.stepped = true;
        self.fill_orders();
        let equity = self.equity_now();
        self.equity[bar] = equity;
        if equity <= 0.0 {
            self.ruin();
        }
        self.note_segment();
        if self.ruined { Step::Ruined } else { Step::Running }
    }

    /// Ends the run: with `finalize_trades` orders everything closed and works the last bar once more,
    /// then fills the equity before the first step. Called once, after the last step.
    pub fn finish(&mut self) {
        if self.config.finalize_trades && !self.ruined && self.stepped {
            // Each order goes to the front: the last one given fills first.
            let mut open = self.open.clone();
            if !self.config.rules.finalizes_latest_first {
                open.reverse();
            }
            open.into_iter().for_each(|trade| {
                self.queue_close(trade, 1.0);
            });
            self.step_broker(self.bars.len() - 1);
        }
        let first = self.equity.iter().copied().find(|e| !e.is_nan()).unwrap_or(self.config.cash);
        for equity in self.equity.iter_mut().take_while(|e| e.is_nan()) {
            *equity = first;
        }
    }

    fn note_segment(&mut self) {
        let (mut base, mut slope) = (self.cash, 0.0);
        if !self.ruined {
            for id in &self.open {
                let t = &self.trades[id.0 as usize];
                base -= t.size * t.entry_price;
                slope += t.size;
            }
        }
        let same = self.segments.last().is_some_and(|s| s.base == base && s.slope == slope);
        if !same {
            self.segments.push(EquitySegment { from_bar: self.now as u32, base, slope });
        }
    }

    /// Index of the bar of the last step; before the first, of the last bar, which orders placed then are
    /// checked against.
    pub fn now(&self) -> usize {
        self.now
    }

    /// Settings of the account.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Cash, open trades' entries not deducted.
    pub fn cash(&self) -> f64 {
        self.cash
    }

    /// Changes the cash, as a deposit or withdrawal would.
    pub fn set_cash(&mut self, cash: f64) {
        self.cash = cash;
    }

    /// Equity at the current bar's close.
    pub fn equity_now(&self) -> f64 {
        self.cash + self.unrealised()
    }

    /// Equity per bar; complete after [`finish`](Self::finish), NaN where not yet known.
    pub fn equity(&self) -> &[f64] {
        &self.equity
    }

    /// All open trades together.
    pub fn position(&self) -> Position {
        let open = || self.open.iter().map(|id| self.trade(*id));
        let pl = self.unrealised();
        let pl_pct = if self.config.rules.weighs_profit_by_units {
            self.profit_by_units()
        } else {
            let invested: f64 = open().map(|t| t.size.abs() * t.entry_price).sum();
            if invested > 0.0 { pl / invested * 100.0 } else { 0.0 }
        };
        Position { size: open().map(|t| t.size).sum(), pl, pl_pct }
    }

    /// Profit of the open trades, a fraction, weighted by their units; NaN without any.
    fn profit_by_units(&self) -> f64 {
        let (open, mark) = (self.open.iter().map(|id| self.trade(*id)), self.mark());
        let units: f64 = open.clone().map(|t| t.size.abs()).sum();
        let profit = |t: &SimTrade| 1f64.copysign(t.size) * (mark / t.entry_price - 1.0);
        open.map(|t| profit(t) * (t.size.abs() / units)).sum()
    }

    /// Pending orders, first examined first.
    pub fn queue(&self) -> &[OrderId] {
        &self.queue
    }

    /// An order, pending or not.
    pub fn order(&self, id: OrderId) -> &Order {
        &self.orders[id.0 as usize]
    }

    /// Open trades in opening order.
    pub fn open_trades(&self) -> &[TradeId] {
        &self.open
    }

    /// A trade, open or closed.
    pub fn trade(&self, id: TradeId) -> &SimTrade {
        &self.trades[id.0 as usize]
    }

    /// Closed trades in closing order.
    pub fn closed_ids(&self) -> &[TradeId] {
        &self.closed
    }

    /// Closed trades in closing order.
    pub fn closed_trades(&self) -> impl ExactSizeIterator<Item = &SimTrade> {
        self.closed.iter().map(|id| &self.trades[id.0 as usize])
    }

    /// The trade's stop loss, kept after it fired; none when never set or cancelled.
    pub fn stop_loss(&self, trade: &SimTrade) -> Option<f64> {
        trade.sl_order.and_then(|id| self.order(id).stop)
    }

    /// The trade's take profit, kept after it filled; none when never set or cancelled.
    pub fn take_profit(&self, trade: &SimTrade) -> Option<f64> {
        trade.tp_order.and_then(|id| self.order(id).limit)
    }

    /// What the broker did unasked.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// True once equity was gone.
    pub fn is_ruined(&self) -> bool {
        self.ruined
    }

    /// The original's statistics of a finished run; the bars' times are a UTC date index.
    pub fn stats(&self, warmup: usize) -> Stats {
        self.stats_with(warmup, IndexKind::Datetime, 0.0)
    }

    /// As [`stats`](Self::stats) for another kind of index and a yearly risk-free rate (a fraction).
    pub fn stats_with(&self, warmup: usize, index: IndexKind, risk_free_rate: f64) -> Stats {
        let trades: Vec<SimTrade> = self.closed_trades().copied().collect();
        let rules = self.config.rules;
        Stats::compute(
            &self.bars,
            index,
            self.bars.time,
            &self.equity,
            &trades,
            warmup,
            risk_free_rate,
            rules,
        )
    }

    /// The equity track as the engine's metrics take it.
    pub fn segments(&self) -> &[EquitySegment] {
        &self.segments
    }

    /// The closed trades as the engine's metrics take them. `max_runup` and `max_drawdown` are measured
    /// at the closes of the bars in between and at the exit.
    pub fn engine_trades(&self) -> Vec<Trade> {
        self.closed_trades().filter_map(|t| Some(self.engine_trade(t, t.exit?))).collect()
    }

    fn engine_trade(&self, t: &SimTrade, exit: Exit) -> Trade {
        let inside = self.bars.close.get(t.entry_bar..exit.bar).unwrap_or(&[]);
        let marks = inside.iter().chain(std::iter::once(&exit.price));
        let (worst, best) = marks
            .map(|price| t.size * (price - t.entry_price))
            .fold((0.0f64, 0.0f64), |(worst, best), profit| (worst.min(profit), best.max(profit)));
        let tag = t.tag.unwrap_or(NameId(0));
        Trade {
            side: if t.size > 0.0 { Side::Long } else { Side::Short },
            qty: t.size.abs(),
            entry_bar: t.entry_bar as u32,
            exit_bar: exit.bar as u32,
            entry_price: t.entry_price,
            exit_price: exit.price,
            entry_id: tag,
            exit_id: NameId(0),
            entry_comment: NameId(0),
            exit_comment: NameId(0),
            reason: exit.reason,
            commission: t.commissions,
            profit: t.pnl(),
            max_runup: best,
            max_drawdown: -worst,
            entry_seq: 0,
            exit_seq: 0,
        }
    }
}
