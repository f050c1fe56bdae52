//! The original's statistics, under the original's names.
//!
//! They differ from [`metrics`](crate::metrics) by design: profit factor and expectancy are taken on
//! returns, annual figures compound a geometric mean, and undefined values are NaN.

use super::{
    Rules, SimTrade,
    periods::{self, Period},
};
use springtide_domain::BarsView;

/// What the bars' `time` column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// Milliseconds since the epoch.
    Datetime,
    /// Nanoseconds since the epoch.
    DatetimeNanos,
    /// Plain numbers: nothing annual is defined.
    Number,
}

impl IndexKind {
    /// Ticks of a date index; none of plain numbers.
    fn ticks_per_ms(self) -> Option<i64> {
        match self {
            Self::Datetime => Some(1),
            Self::DatetimeNanos => Some(1_000_000),
            Self::Number => None,
        }
    }
}

/// A length on the index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Milliseconds, or nanoseconds where the index has them.
    Time(i64),
    /// Index steps of a plain index, or NaN where there is none.
    Number(f64),
}

/// One row's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StatValue {
    /// A number; NaN where undefined.
    Number(f64),
    /// A count.
    Count(usize),
    /// A value of the index.
    Index(i64),
    /// A length on the index.
    Span(Span),
}

/// A stretch below the equity peak, from the last bar at it to the first back at it (or the last bar).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode {
    /// Last bar at the peak.
    pub start: usize,
    /// First bar back at the peak, or the last bar.
    pub end: usize,
    /// Deepest fall, a fraction of the peak.
    pub depth: f64,
}

/// All rows. Percentages are percent; NaN where undefined.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Stats {
    pub index: IndexKind,
    pub start: i64,
    pub end: i64,
    pub exposure_time_pct: f64,
    pub equity_final: f64,
    pub equity_peak: f64,
    pub commissions: f64,
    pub return_pct: f64,
    pub buy_and_hold_return_pct: f64,
    pub return_ann_pct: f64,
    pub volatility_ann_pct: f64,
    pub cagr_pct: f64,
    pub sharpe_ratio: f64,
    pub sortino_ratio: f64,
    pub calmar_ratio: f64,
    pub alpha_pct: f64,
    pub beta: f64,
    pub max_drawdown_pct: f64,
    pub avg_drawdown_pct: f64,
    pub max_drawdown_duration: Span,
    pub avg_drawdown_duration: Span,
    pub trades: usize,
    pub win_rate_pct: f64,
    pub best_trade_pct: f64,
    pub worst_trade_pct: f64,
    pub avg_trade_pct: f64,
    pub max_trade_duration: Span,
    pub avg_trade_duration: Span,
    pub profit_factor: f64,
    pub expectancy_pct: f64,
    pub sqn: f64,
    pub kelly_criterion: f64,
    /// Drawdown episodes in time order.
    pub episodes: Vec<Episode>,
    /// Which version's definitions.
    pub rules: Rules,
}

impl Stats {
    /// Names of all rows there can be, in their order.
    pub const NAMES: &[&str] = &[
        "Start",
        "End",
        "Duration",
        "Exposure Time [%]",
        "Equity Final [$]",
        "Equity Peak [$]",
        "Commissions [$]",
        "Return [%]",
        "Buy & Hold Return [%]",
        "Return (Ann.) [%]",
        "Volatility (Ann.) [%]",
        "CAGR [%]",
        "Sharpe Ratio",
        "Sortino Ratio",
        "Calmar Ratio",
        "Alpha [%]",
        "Beta",
        "Max. Drawdown [%]",
        "Avg. Drawdown [%]",
        "Max. Drawdown Duration",
        "Avg. Drawdown Duration",
        "# Trades",
        "Win Rate [%]",
        "Best Trade [%]",
        "Worst Trade [%]",
        "Avg. Trade [%]",
        "Max. Trade Duration",
        "Avg. Trade Duration",
        "Profit Factor",
        "Expectancy [%]",
        "SQN",
        "Kelly Criterion",
    ];

    /// From a finished run's equity and its closed trades in closing order. `wall` is the bars' time in the
    /// zone whose days, weeks and months count; `bars.time` for UTC.
    ///
    /// # Panics
    ///
    /// Without bars, or with another number of equities.
    pub fn compute(
        bars: &BarsView<'_>,
        index: IndexKind,
        wall: &[i64],
        equity: &[f64],
        trades: &[SimTrade],
        warmup: usize,
        risk_free_rate: f64,
        rules: Rules,
    ) -> Self {
        assert!(!bars.is_empty() && equity.len() == bars.len(), "one equity per bar, at least one bar");
        let mut stats = Self::blank(bars, index, rules);
        let period = Period::of(bars.time, index.ticks_per_ms().unwrap_or(1));
        stats.put_account(bars, equity, warmup);
        stats.put_drawdowns(bars, equity, &period);
        stats.put_annual(wall, equity, &period, risk_free_rate);
        stats.put_beta(bars, equity, risk_free_rate);
        stats.put_trades(bars, trades, &period);
        stats
    }

    fn blank(bars: &BarsView<'_>, index: IndexKind, rules: Rules) -> Self {
        let (nan, none) = (f64::NAN, Span::Number(f64::NAN));
        Self {
            index,
            start: bars.time[0],
            end: bars.time[bars.len() - 1],
            exposure_time_pct: nan,
            equity_final: nan,
            equity_peak: nan,
            commissions: 0.0,
            return_pct: nan,
            buy_and_hold_return_pct: nan,
            return_ann_pct: 0.0,
            volatility_ann_pct: nan,
            cagr_pct: nan,
            sharpe_ratio: nan,
            sortino_ratio: nan,
            calmar_ratio: nan,
            alpha_pct: nan,
            beta: nan,
            max_drawdown_pct: nan,
            avg_drawdown_pct: nan,
            max_drawdown_duration: none,
            avg_drawdown_duration: none,
            trades: 0,
            win_rate_pct: nan,
            best_trade_pct: nan,
            worst_trade_pct: nan,
            avg_trade_pct: nan,
            max_trade_duration: none,
            avg_trade_duration: none,
            profit_factor: nan,
            expectancy_pct: nan,
            sqn: nan,
            kelly_criterion: nan,
            episodes: Vec::new(),
            rules,
        }
    }

    fn put_account(&mut self, bars: &BarsView<'_>, equity: &[f64], warmup: usize) {
        let (first, last) = (equity[0], equity[equity.len() - 1]);
        self.equity_final = last;
        self.equity_peak = equity.iter().copied().fold(f64::NAN, f64::max);
        self.return_pct = (last - first) / first * 100.0;
        let held_from = if self.rules.holds_from_warmup { warmup } else { 0 };
        if let Some(&from) = bars.close.get(held_from) {
            self.buy_and_hold_return_pct = (bars.close[bars.len() - 1] - from) / from * 100.0;
        }
    }

    fn put_drawdowns(&mut self, bars: &BarsView<'_>, equity: &[f64], period: &Period) {
        let falls = falls(equity);
        self.max_drawdown_pct = -max(falls.iter().copied()) * 100.0;
        self.episodes = episodes(&falls);
        if self.episodes.is_empty() {
            // The original then takes the falls themselves for durations and for peaks.
            let some = || falls.iter().copied().filter(|d| *d != 0.0);
            self.avg_drawdown_pct = -mean(some()) * 100.0;
            self.max_drawdown_duration = Span::Number(max(some()));
            self.avg_drawdown_duration = Span::Number(mean(some()));
            return;
        }
        self.avg_drawdown_pct = -mean(self.episodes.iter().map(|e| e.depth)) * 100.0;
        let lengths: Vec<i64> = self.episodes.iter().map(|e| bars.time[e.end] - bars.time[e.start]).collect();
        (self.max_drawdown_duration, self.avg_drawdown_duration) = self.longest_and_mean(&lengths, period);
    }

    fn put_annual(&mut self, wall: &[i64], equity: &[f64], period: &Period, risk_free_rate: f64) {
        let mut annual = 0.0;
        if let Some(ticks_per_ms) = self.index.ticks_per_ms() {
            let bins = period.bins(wall, self.rules.bins_follow_period);
            let returns = periods::returns(bins.rule, wall, ticks_per_ms, equity);
            let mean_growth = if self.rules.first_bin_left_out {
                geometric_mean(&returns)
            } else {
                geometric_mean(&[&[f64::NAN], &*returns].concat())
            };
            let (n, growth) = (bins.per_year, mean_growth + 1.0);
            annual = growth.powf(n) - 1.0;
            let spread = (variance(&returns) + growth.powi(2)).powf(n) - growth.powf(2.0 * n);
            self.volatility_ann_pct = spread.sqrt() * 100.0;
            self.cagr_pct = self.compound_growth(equity, ticks_per_ms);
            self.sharpe_ratio = (annual * 100.0 - risk_free_rate * 100.0) / nonzero(self.volatility_ann_pct);
            let downside = mean(returns.iter().map(|r| r.min(0.0).powi(2))).sqrt();
            self.sortino_ratio = (annual - risk_free_rate) / (downside * n.sqrt());
        }
        self.return_ann_pct = annual * 100.0;
        self.calmar_ratio = annual / nonzero(-self.max_drawdown_pct / 100.0);
        if self.rules.ratios_end_at_zero {
            for ratio in [&mut self.sharpe_ratio, &mut self.sortino_ratio, &mut self.calmar_ratio] {
                if *ratio < 0.0 {
                    *ratio = 0.0;
                }
            }
        }
    }

    fn compound_growth(&self, equity: &[f64], ticks_per_ms: i64) -> f64 {
        // Whole seconds: the original drops what is finer.
        let years = ((self.end - self.start) / (1_000 * ticks_per_ms)) as f64 / 86_400.0 / 365.25;
        if years == 0.0 {
            return f64::NAN;
        }
        ((equity[equity.len() - 1] / equity[0]).powf(1.0 / years) - 1.0) * 100.0
    }

    fn put_beta(&mut self, bars: &BarsView<'_>, equity: &[f64], risk_free_rate: f64) {
        let (own, market) = (log_returns(equity), log_returns(bars.close));
        if own.len() > 1 {
            let (mean_own, mean_market) = (mean(own.iter().copied()), mean(market.iter().copied()));
            let (mut both, mut square) = (0.0, 0.0);
            for (x, m) in own.iter().zip(&market) {
                both += (x - mean_own) * (m - mean_market);
                square += (m - mean_market) * (m - mean_market);
            }
            self.beta = both / square;
        }
        let free = risk_free_rate * 100.0;
        self.alpha_pct = self.return_pct - free - self.beta * (self.buy_and_hold_return_pct - free);
    }

    fn put_trades(&mut self, bars: &BarsView<'_>, trades: &[SimTrade], period: &Period) {
        let pnl: Vec<f64> = trades.iter().map(SimTrade::pnl).collect();
        let returns: Vec<f64> = trades.iter().map(SimTrade::return_fraction).collect();
        let count = trades.len() as f64;
        self.trades = trades.len();
        self.commissions = trades.iter().map(|t| t.commissions).sum();
        self.exposure_time_pct = exposure(trades, bars.len()) * 100.0;
        let won = pnl.iter().filter(|p| **p > 0.0).count() as f64 / count;
        self.win_rate_pct = won * 100.0;
        self.best_trade_pct = max(returns.iter().copied()) * 100.0;
        self.worst_trade_pct = -max(returns.iter().map(|r| -r)) * 100.0;
        self.avg_trade_pct = geometric_mean(&returns) * 100.0;
        let (gains, pains) = (some(&returns, |r| r > 0.0), some(&returns, |r| r < 0.0));
        self.profit_factor = sum(&gains) / nonzero(sum(&pains).abs());
        self.expectancy_pct = mean(returns.iter().copied()) * 100.0;
        self.sqn = count.sqrt() * mean(pnl.iter().copied()) / nonzero(variance(&pnl).sqrt());
        let win = mean(pnl.iter().copied().filter(|p| *p > 0.0));
        let loss = -mean(pnl.iter().copied().filter(|p| *p < 0.0));
        self.kelly_criterion = won - (1.0 - won) / (win / loss);
        let lengths: Vec<i64> = trades.iter().map(|t| duration(t, bars.time)).collect();
        (self.max_trade_duration, self.avg_trade_duration) = self.longest_and_mean(&lengths, period);
    }

    /// Lengths on a date index are rounded up to the period's smallest unit; others are left alone.
    fn longest_and_mean(&self, lengths: &[i64], period: &Period) -> (Span, Span) {
        let mean = mean(lengths.iter().map(|x| *x as f64));
        let Some(longest) = lengths.iter().max() else {
            return (Span::Number(f64::NAN), Span::Number(f64::NAN));
        };
        match self.index {
            IndexKind::Number => (Span::Number(*longest as f64), Span::Number(mean)),
            _ => (period.round_up(*longest as f64), period.round_up(mean)),
        }
    }

    /// Every row with the original's name, in its order. Commissions appear only when there were any,
    /// CAGR only on a date index.
    pub fn rows(&self) -> Vec<(&'static str, StatValue)> {
        use StatValue::{Count, Index, Number};
        let length = self.end - self.start;
        let length = match self.index {
            IndexKind::Number => Span::Number(length as f64),
            _ => Span::Time(length),
        };
        let values = [
            Index(self.start),
            Index(self.end),
            StatValue::Span(length),
            Number(self.exposure_time_pct),
            Number(self.equity_final),
            Number(self.equity_peak),
            Number(self.commissions),
            Number(self.return_pct),
            Number(self.buy_and_hold_return_pct),
            Number(self.return_ann_pct),
            Number(self.volatility_ann_pct),
            Number(self.cagr_pct),
            Number(self.sharpe_ratio),
            Number(self.sortino_ratio),
            Number(self.calmar_ratio),
            Number(self.alpha_pct),
            Number(self.beta),
            Number(self.max_drawdown_pct),
            Number(self.avg_drawdown_pct),
            StatValue::Span(self.max_drawdown_duration),
            StatValue::Span(self.avg_drawdown_duration),
            Count(self.trades),
            Number(self.win_rate_pct),
            Number(self.best_trade_pct),
            Number(self.worst_trade_pct),
            Number(self.avg_trade_pct),
            StatValue::Span(self.max_trade_duration),
            StatValue::Span(self.avg_trade_duration),
            Number(self.profit_factor),
            Number(self.expectancy_pct),
            Number(self.sqn),
            Number(self.kelly_criterion),
        ];
        let shown = |name: &&str| match *name {
            "Commissions [$]" => self.commissions != 0.0,
            "CAGR [%]" => self.index != IndexKind::Number,
            _ => true,
        } && !self.rules.rows_left_out.contains(name);
        Self::NAMES.iter().copied().zip(values).filter(|(name, _)| shown(name)).collect()
    }
}

fn duration(t: &SimTrade, time: &[i64]) -> i64 {
    t.exit.map_or(0, |exit| time[exit.bar] - time[t.entry_bar])
}

/// Share of bars within the entry and exit bar of some closed trade, both included.
fn exposure(trades: &[SimTrade], bars: usize) -> f64 {
    let mut change = vec![0i64; bars + 1];
    for t in trades {
        if let Some(exit) = t.exit
            && exit.bar >= t.entry_bar
        {
            change[t.entry_bar] += 1;
            change[exit.bar + 1] -= 1;
        }
    }
    let mut depth = 0;
    let covered = change[..bars].iter().filter(|step| {
        depth += **step;
        depth > 0
    });
    covered.count() as f64 / bars as f64
}

/// Fall below the running peak at each bar, a fraction of it.
fn falls(equity: &[f64]) -> Vec<f64> {
    let mut peak = f64::NEG_INFINITY;
    let fall = |e: &f64| {
        peak = peak.max(*e);
        1.0 - e / peak
    };
    equity.iter().map(fall).collect()
}

/// Pairs of neighbours among the bars at the peak (and the last bar) that have bars between them.
fn episodes(falls: &[f64]) -> Vec<Episode> {
    let last = falls.len() - 1;
    let mut found = Vec::new();
    let mut start: Option<usize> = None;
    for (end, fall) in falls.iter().enumerate() {
        if *fall != 0.0 && end != last {
            continue;
        }
        if let Some(start) = start
            && end > start + 1
        {
            found.push(Episode { start, end, depth: max(falls[start..=end].iter().copied()) });
        }
        start = Some(end);
    }
    found
}

fn log_returns(values: &[f64]) -> Vec<f64> {
    values.windows(2).map(|w| (w[1] / w[0]).ln()).collect()
}

/// NaN counts as no change; one total loss makes the mean zero.
fn geometric_mean(returns: &[f64]) -> f64 {
    let growth = || returns.iter().map(|r| if r.is_nan() { 1.0 } else { r + 1.0 });
    if growth().any(|g| g <= 0.0) {
        return 0.0;
    }
    let logs: Vec<f64> = growth().map(f64::ln).collect();
    (sum(&logs) / logs.len() as f64).exp() - 1.0
}

/// Sample variance; NaN of fewer than two values.
fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let mean = sum(values) / values.len() as f64;
    let squares: Vec<f64> = values.iter().map(|v| (v - mean) * (v - mean)).collect();
    sum(&squares) / (values.len() - 1) as f64
}

/// Summed as numpy sums, in halves down to blocks of eight lanes: a volatility is the difference of two numbers
/// that are nearly the same, and shows the last bits; a search guided by a statistic goes elsewhere for one of them.
fn sum(values: &[f64]) -> f64 {
    if values.len() > 128 {
        let half = values.len() / 2;
        let (first, second) = values.split_at(half - half % 8);
        return sum(first) + sum(second);
    }
    let (blocks, rest) = values.as_chunks::<8>();
    let lanes = blocks.iter().copied().reduce(|mut lanes, block| {
        lanes.iter_mut().zip(block).for_each(|(lane, v)| *lane += v);
        lanes
    });
    let start = lanes.map_or(0.0, |l| ((l[0] + l[1]) + (l[2] + l[3])) + ((l[4] + l[5]) + (l[6] + l[7])));
    rest.iter().fold(start, |sum, v| sum + v)
}

/// NaN of nothing.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    sum(&values) / values.len() as f64
}

fn some(values: &[f64], which: impl Fn(f64) -> bool) -> Vec<f64> {
    values.iter().copied().filter(|v| which(*v)).collect()
}

/// NaN of nothing.
fn max(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NAN, f64::max)
}

fn nonzero(x: f64) -> f64 {
    if x == 0.0 { f64::NAN } else { x }
}
