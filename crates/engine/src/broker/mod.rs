//! The broker: orders in, fills and trades out.
//!
//! It follows TradingView's broker emulator where the rules say `tradingview`, and answers the questions
//! on which other engines differ as [`Rules`] declares. One bar runs as: orders pending from earlier bars
//! meet the open, then the path through the bar (`walk`); the strategy runs on the closed bar; orders
//! that may fill at the close do.

mod advance;
mod books;
pub mod command;
mod exits;
mod grid;
mod market;
mod orders;
mod path;
mod risk;
mod sizing;
mod walk;

pub use books::{BrokerEvent, EventKind, OpenTrade, OrderCounts, Simulation};
pub use command::{CloseCommand, EntryCommand, ExitCommand, NameId, OcaKind, RiskRule, Side};
pub use path::FinerBars;

use crate::{
    Account, Rules, Trade,
    account::Slippage,
    rules::{FillAt, MarginCheck, Ticks},
};
use books::Books;
use exits::{ExitOrder, Leg};
use grid::Grid;
use orders::{CloseOrder, EntryOrder};
use risk::Risk;
use sizing::lot_grid;
use springtide_domain::{BarsView, SymbolInfo};

/// One strategy's simulated account on one market.
#[derive(Debug)]
pub struct Broker<'a> {
    bars: BarsView<'a>,
    account: Account,
    rules: Rules,
    mintick: f64,
    /// Grid of prices; none where levels stay as computed.
    ticks: Option<Grid>,
    /// Grid of quantities.
    lots: Option<Grid>,
    point_value: f64,
    /// Of a long's and of a short's worth, what the account must have.
    margins: (f64, f64),
    /// The bar being worked on.
    bar: usize,
    /// The last bar that was opened; none before the first.
    opened: Option<usize>,
    books: Books<'a>,
    entries: Vec<EntryOrder>,
    exits: Vec<ExitOrder>,
    legs: Vec<Leg>,
    closes: Vec<CloseOrder>,
    seq: u32,
    fills_on_bar: usize,
    /// Counts the moments at which orders meet a price that stands: opens, and places of the path where the
    /// strategy ran.
    moment: u32,
    place: path::Place,
    finer: Option<&'a FinerBars<'a>>,
    /// The price the account is marked at while the strategy runs in the middle of a bar.
    mark: Option<f64>,
    /// Position after the market orders that the strategy has given on this bar.
    expected: f64,
    risk: Risk,
}

impl<'a> Broker<'a> {
    /// A flat account before the first bar.
    pub fn new(bars: BarsView<'a>, account: &Account, rules: &Rules, symbol: &SymbolInfo) -> Self {
        let mintick = if symbol.mintick > 0.0 { symbol.mintick } else { 0.01 };
        Self {
            bars,
            account: account.clone(),
            rules: rules.clone(),
            mintick,
            ticks: (rules.ticks == Ticks::Round).then(|| Grid::new(mintick)),
            lots: lot_grid(rules.lots, symbol.min_qty),
            point_value: symbol.point_value,
            margins: match rules.margin {
                MarginCheck::Off => (0.0, 0.0),
                _ => (account.margin_long / 100.0, account.margin_short / 100.0),
            },
            bar: 0,
            opened: None,
            books: Books::new(bars, account.initial_capital, symbol.point_value),
            entries: Vec::new(),
            exits: Vec::new(),
            legs: Vec::new(),
            closes: Vec::new(),
            seq: 0,
            fills_on_bar: 0,
            moment: 0,
            place: path::Place::default(),
            finer: None,
            mark: None,
            expected: 0.0,
            risk: Risk::default(),
        }
    }

    /// Takes the order of prices within a bar from finer bars, where there are any.
    pub fn with_finer(mut self, finer: &'a FinerBars<'a>) -> Self {
        self.finer = Some(finer);
        self
    }

    /// Moves to bar `i`: orders pending from earlier bars meet its open, then its path; margin and risk
    /// limits are watched. Returns the number of fills.
    pub fn open_bar(&mut self, i: usize) -> usize {
        self.enter_bar(i);
        if self.something_waits() {
            self.walk_bar();
        }
        self.end_open();
        self.fills_on_bar
    }

    fn end_open(&mut self) {
        self.books.seen = self.bar + 1;
        self.expected = self.books.position;
    }

    fn enter_bar(&mut self, i: usize) {
        self.bar = i;
        self.opened = Some(i);
        self.moment += 1;
        self.fills_on_bar = 0;
        self.books.seen = i;
        if self.risk.watches() {
            self.roll_day(i);
        }
    }

    /// After the strategy ran on bar `i`: orders that fill at its close do. Returns the number of fills.
    pub fn close_bar(&mut self, i: usize) -> usize {
        debug_assert_eq!(self.bar, i, "the bar must be opened before it is closed");
        let before = self.fills_on_bar;
        let at_close = self.account.process_orders_on_close
            || self.rules.fill_at == FillAt::SignalClose
            || self.closes.iter().any(|c| c.immediately);
        if at_close && !self.risk.stopped() {
            self.fill_at_close();
        }
        self.fills_on_bar - before
    }

    /// The bar that is open; none before the first.
    pub fn current_bar(&self) -> Option<usize> {
        self.opened
    }

    /// True while any order waits.
    pub fn has_pending(&self) -> bool {
        !(self.entries.is_empty() && self.exits.is_empty() && self.closes.is_empty())
    }

    /// Signed contracts held.
    pub fn position_size(&self) -> f64 {
        self.books.position
    }

    /// Average entry price of the open position; NaN when flat.
    pub fn position_avg_price(&self) -> f64 {
        self.books.avg_price()
    }

    /// Id of the entry that opened the position; empty when flat.
    pub fn position_entry_name(&self) -> NameId {
        self.books.open.first().map_or(NameId(0), |t| t.entry_id)
    }

    /// Initial capital plus closed and open profit at the current close.
    pub fn equity(&self) -> f64 {
        self.books.equity_at(self.price())
    }

    /// Sum of closed trades' profit less the commission of all fills so far: an entry's is booked with the entry.
    pub fn net_profit(&self) -> f64 {
        self.books.net_profit - self.books.open.iter().map(|t| t.commission).sum::<f64>()
    }

    /// Profit of open trades at the current close, entry commissions not included.
    pub fn open_profit(&self) -> f64 {
        self.books.open_profit(self.price())
    }

    /// Sum of winning trades' profit.
    pub fn gross_profit(&self) -> f64 {
        self.books.gross_profit
    }

    /// Sum of losing trades' loss, positive.
    pub fn gross_loss(&self) -> f64 {
        self.books.gross_loss
    }

    /// Starting money.
    pub fn initial_capital(&self) -> f64 {
        self.account.initial_capital
    }

    /// Closed trades with a profit.
    pub fn wins(&self) -> u32 {
        self.books.wins
    }

    /// Closed trades with a loss.
    pub fn losses(&self) -> u32 {
        self.books.losses
    }

    /// Closed trades that broke even.
    pub fn evens(&self) -> u32 {
        self.books.evens
    }

    /// Trades closed so far, in closing order.
    pub fn closed_trades(&self) -> &[Trade] {
        &self.books.closed
    }

    /// Trades still open, oldest first, with excursions up to the current bar.
    pub fn open_trades(&mut self) -> &[OpenTrade] {
        let seen = if self.mark.is_some() { self.books.seen } else { self.opened.map_or(0, |i| i + 1) };
        self.books.settle_excursions(seen);
        &self.books.open
    }

    /// Number of trades still open.
    pub fn open_count(&self) -> usize {
        self.books.open.len()
    }

    /// Largest fall of equity from its peak so far on bar closes, money.
    pub fn max_drawdown(&mut self) -> f64 {
        self.books.watch_equity(self.closed_bar()).drawdown
    }

    /// Largest rise of equity from its trough so far on bar closes, money.
    pub fn max_runup(&mut self) -> f64 {
        self.books.watch_equity(self.closed_bar()).runup
    }

    /// Largest position held so far, contracts: both sides, long, short.
    pub fn max_contracts_held(&self) -> (f64, f64, f64) {
        let (long, short) = self.books.max_held;
        (long.max(short), long, short)
    }

    /// Price at which equity is no more than the margin it needs: a long's rounded down to the tick, a short's up, and
    /// negative where only such a price would do. NaN when flat or without margin.
    pub fn margin_liquidation_price(&self) -> f64 {
        let margin = self.margin();
        let size = self.books.position * self.point_value;
        if size == 0.0 || margin == 0.0 {
            return f64::NAN;
        }
        let (base, slope) = self.books.segment();
        let price = -base / (slope - size.abs() * margin);
        if price.is_finite() { self.on_grid(price, size < 0.0) } else { f64::NAN }
    }

    /// What the open trades cost at their entries, money; NaN when neither side needs margin.
    pub fn capital_held(&self) -> f64 {
        if self.margin_of(Side::Long) == 0.0 && self.margin_of(Side::Short) == 0.0 {
            return f64::NAN;
        }
        self.books.open.iter().fold(0.0, |sum, t| sum + t.qty * t.entry_price * self.point_value)
    }

    /// Commission paid so far, both sides, money.
    pub fn commission_paid(&self) -> f64 {
        self.books.commission_paid
    }

    /// Why trading stopped for good, if it did.
    pub fn halted(&self) -> Option<&'static str> {
        self.risk.halted
    }

    /// Contracts an entry without quantity would have at the current close.
    pub fn default_entry_qty(&self, price: f64) -> f64 {
        self.size_default(price, self.equity())
    }

    /// Ends the simulation.
    pub fn finish(mut self) -> Simulation {
        self.books.settle_excursions(self.opened.map_or(0, |i| i + 1));
        self.books.finish(self.risk.halted)
    }

    /// The price the account is marked at and orders are sized with: the bar's close, or the place of its
    /// path where the strategy runs.
    pub fn price(&self) -> f64 {
        self.mark.unwrap_or_else(|| self.bars.close[self.bar])
    }

    /// The last bar that is over for the account.
    fn closed_bar(&self) -> Option<usize> {
        if self.mark.is_some() { self.bar.checked_sub(1) } else { self.opened }
    }

    /// Whether the current bar has to be looked at.
    fn something_waits(&self) -> bool {
        self.has_pending()
            || !self.legs.is_empty()
            || (self.books.position != 0.0 && (self.risk.watches() || self.margin_may_fail(self.bar)))
    }

    fn next_seq(&mut self) -> u32 {
        self.seq += 1;
        self.seq
    }

    /// Part of the position's worth that the account must have; 0 where nothing asks for it.
    fn margin(&self) -> f64 {
        self.margin_of(if self.books.position >= 0.0 { Side::Long } else { Side::Short })
    }

    fn margin_of(&self, side: Side) -> f64 {
        match side {
            Side::Long => self.margins.0,
            Side::Short => self.margins.1,
        }
    }

    /// Free margin at price p is `base + per_point * p`.
    fn free_margin(&self, margin: f64) -> (f64, f64) {
        let (base, slope) = self.books.segment();
        (base, slope - slope.abs() * margin)
    }

    /// Market and stop fills lose slippage; buyers pay more, sellers get less.
    fn slipped(&self, price: f64, buys: bool) -> f64 {
        let sign = if buys { 1.0 } else { -1.0 };
        match self.account.slippage {
            Slippage::Ticks(ticks) if ticks > 0.0 => price + sign * ticks * self.mintick,
            Slippage::Percent(percent) if percent > 0.0 => price * (1.0 + sign * percent / 100.0),
            _ => price,
        }
    }

    /// A level on the tick grid: stops away from the trader, limits in the trader's favour; both mean up
    /// for a buy stop and a sell limit, down for a sell stop and a buy limit.
    fn on_grid(&self, price: f64, up: bool) -> f64 {
        match &self.ticks {
            Some(grid) => grid.snap(price, up),
            None => price,
        }
    }
}
