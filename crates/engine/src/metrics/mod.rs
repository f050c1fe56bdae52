//! Metrics of a run, computed in one place so that every number is comparable with every other.
//!
//! The input is what a simulation leaves behind: closed [`Trade`]s and [`EquitySegment`]s. No equity
//! per bar is ever materialised for [`compute`]; flat stretches cost nothing, stretches in a position
//! are scanned once for their extremes. What depends on the bars alone ([`Calendar`]) is made once per
//! data set and shared by a whole sweep.
//!
//! # Order of summation
//!
//! Floating-point addition is not associative, so the order is part of the definition: sums over
//! trades run in the order of the list (closing order), sums over period returns and over drawdown
//! episodes run in time order, each with one accumulator; variances take a second pass over deviations
//! from the mean. Equity at the close of bar `i` is `base + slope * close[i]`, two rounded operations
//! (no fused multiply-add). Equal input gives equal bits.
//!
//! Definitions, units and sources of every field: [`METRICS`] and `docs/metrics.md`.

mod calendar;
mod equity;
mod registry;
mod report;
mod trades;

#[cfg(test)]
mod tests;

pub(crate) use calendar::month_of;
pub use calendar::{Calendar, Period, TradingDays};
pub use equity::equity_curve;
pub use registry::{METRICS, MetricInfo, Metrics, Unit};
pub use report::{Drawdown, YearReturns, drawdowns, monthly_returns};

use crate::{EquitySegment, Trade};
use equity::EquityScan;
use springtide_domain::BarsView;
use trades::TradeStats;

/// What the metrics need beside bars, trades and segments. Money is in the account's currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricsInput {
    /// Equity before the first bar.
    pub initial_capital: f64,
    /// Annual risk-free rate, percent.
    pub risk_free_rate: f64,
    /// Money per point of price and contract; 1 for spot.
    pub point_value: f64,
    /// All commission of the run, open trades' entries included.
    pub commission_paid: f64,
    /// Trades still open after the last bar.
    pub open_trades: u32,
    /// Profit of the open trades at the last close.
    pub open_profit: f64,
    /// How many days a year has for annualisation.
    pub trading_days: TradingDays,
}

impl MetricsInput {
    /// No risk-free rate, point value 1, no commission, nothing open, days counted from the bars.
    pub fn new(initial_capital: f64) -> Self {
        Self {
            initial_capital,
            risk_free_rate: 0.0,
            point_value: 1.0,
            commission_paid: 0.0,
            open_trades: 0,
            open_profit: 0.0,
            trading_days: TradingDays::Auto,
        }
    }
}

/// All metrics of one run.
///
/// `trades` are in closing order; `segments` ascend by `from_bar`, bars before the first one have
/// the initial capital as their equity, and of several with one `from_bar` the last holds.
///
/// # Panics
///
/// When `calendar` was made from bars of another number.
pub fn compute(
    bars: &BarsView<'_>,
    calendar: &Calendar,
    trades: &[Trade],
    segments: &[EquitySegment],
    input: &MetricsInput,
) -> Metrics {
    assert_eq!(calendar.bars(), bars.len(), "the calendar belongs to other bars");
    let stats = TradeStats::of(trades, input.point_value);
    let mut scan = EquityScan::new(bars, calendar, input.initial_capital);
    for range in equity::ranges(segments, bars.len(), input.initial_capital) {
        scan.take(range);
    }
    let mut metrics = Metrics { bars: bars.len() as u32, ..Metrics::default() };
    put_trades(&mut metrics, &stats, input);
    put_equity(&mut metrics, scan, bars, calendar, input);
    metrics
}

fn put_trades(m: &mut Metrics, s: &TradeStats, input: &MetricsInput) {
    let [long, short] = s.sides;
    m.trades = s.count;
    m.wins = s.wins;
    m.losses = s.losses;
    m.net_profit = s.net_profit;
    m.gross_profit = s.gross_profit;
    m.gross_loss = s.gross_loss;
    m.profit_factor = ratio(s.gross_profit, s.gross_loss);
    m.win_rate_pct = percent(f64::from(s.wins), f64::from(s.count));
    m.expectancy = ratio(s.net_profit, f64::from(s.count));
    m.expectancy_pct = ratio(s.pct_sum, f64::from(s.count));
    m.avg_trade = m.expectancy;
    m.avg_trade_pct = m.expectancy_pct;
    m.avg_trade_geometric_pct = s.geometric_pct();
    m.avg_win = ratio(s.gross_profit, f64::from(s.wins));
    m.avg_loss = ratio(s.gross_loss, f64::from(s.losses));
    m.payoff_ratio = m.avg_win.zip(m.avg_loss).and_then(|(win, loss)| ratio(win, loss));
    m.best_trade = s.best;
    m.worst_trade = s.worst;
    m.best_trade_pct = s.best_pct;
    m.worst_trade_pct = s.worst_pct;
    m.avg_bars_in_trade = ratio(s.bars_sum as f64, f64::from(s.count));
    m.max_consecutive_wins = s.longest_wins;
    m.max_consecutive_losses = s.longest_losses;
    m.sqn = s.sqn();
    m.kelly = kelly(m);
    m.long_trades = long.count;
    m.long_net_profit = long.net_profit;
    m.long_win_rate_pct = percent(f64::from(long.wins), f64::from(long.count));
    m.short_trades = short.count;
    m.short_net_profit = short.net_profit;
    m.short_win_rate_pct = percent(f64::from(short.wins), f64::from(short.count));
    m.commission_paid = input.commission_paid;
    m.open_trades = input.open_trades;
    m.open_profit = input.open_profit;
}

/// J. L. Kelly's bet for a win probability W and a payoff ratio B: W - (1 - W) / B.
fn kelly(m: &Metrics) -> Option<f64> {
    let (rate, payoff) = m.win_rate_pct.zip(m.payoff_ratio)?;
    let won = rate / 100.0;
    finite(won - (1.0 - won) / payoff)
}

fn put_equity(
    m: &mut Metrics,
    scan: EquityScan<'_>,
    bars: &BarsView<'_>,
    calendar: &Calendar,
    input: &MetricsInput,
) {
    let initial = input.initial_capital;
    let swing = scan.finish();
    m.equity_final = swing.last;
    m.equity_peak = swing.peak;
    m.return_pct = percent(swing.last - initial, initial);
    m.buy_and_hold_pct = buy_and_hold(bars);
    m.exposure_pct = percent(swing.exposed_bars as f64, bars.len() as f64);
    m.max_drawdown = swing.max_money;
    m.max_drawdown_pct = finite(swing.max_fraction * 100.0);
    m.max_drawdown_duration_ms = swing.longest_ms;
    m.max_drawdown_duration_bars = swing.longest_bars;
    m.avg_drawdown = ratio(swing.money_sum, f64::from(swing.episodes));
    m.avg_drawdown_pct = percent(swing.fraction_sum, f64::from(swing.episodes));
    m.recovery_factor = ratio(swing.last - initial, swing.max_money);
    m.cagr_pct = cagr(swing.last, initial, calendar.years());
    m.calmar = m.cagr_pct.zip(m.max_drawdown_pct).and_then(|(gain, loss)| ratio(gain, loss));
    let per_year = calendar.periods_per_year(input.trading_days);
    m.periods_per_year = per_year;
    put_period_returns(m, &swing.returns, per_year, input.risk_free_rate);
    m.ulcer_index_pct = swing.ulcer_pct;
}

/// Sharpe (W. F. Sharpe 1994), Sortino (F. Sortino, L. Price 1994) and volatility of period returns.
fn put_period_returns(m: &mut Metrics, returns: &[f64], per_year: f64, risk_free_pct: f64) {
    if returns.len() < 2 {
        return;
    }
    let count = returns.len() as f64;
    let hurdle = risk_free_pct / 100.0 / per_year;
    let mean = returns.iter().sum::<f64>() / count;
    let (mut squares, mut downside) = (0.0, 0.0);
    for r in returns {
        let away = r - mean;
        squares += away * away;
        let short = (r - hurdle).min(0.0);
        downside += short * short;
    }
    let deviation = (squares / (count - 1.0)).sqrt();
    let year = per_year.sqrt();
    m.volatility_ann_pct = finite(deviation * year * 100.0);
    m.sharpe = ratio(mean - hurdle, deviation).and_then(|x| finite(x * year));
    m.sortino = ratio(mean - hurdle, (downside / count).sqrt()).and_then(|x| finite(x * year));
}

fn buy_and_hold(bars: &BarsView<'_>) -> Option<f64> {
    let (first, last) = (bars.close.first()?, bars.close.last()?);
    percent(last - first, *first)
}

fn cagr(last: f64, initial: f64, years: f64) -> Option<f64> {
    if !(initial > 0.0 && years > 0.0) {
        return None;
    }
    // An account that owes money has lost everything; a negative base has no real power.
    finite(((last.max(0.0) / initial).powf(1.0 / years) - 1.0) * 100.0)
}

fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

/// `top / bottom`, nothing where that is undefined or infinite.
fn ratio(top: f64, bottom: f64) -> Option<f64> {
    if bottom == 0.0 { None } else { finite(top / bottom) }
}

fn percent(part: f64, whole: f64) -> Option<f64> {
    ratio(part, whole).and_then(|x| finite(x * 100.0))
}
