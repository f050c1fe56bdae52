//! Statistics over the closed trades.

use super::{finite, ratio};
use crate::{Side, Trade};

/// One direction's share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SideStats {
    pub count: u32,
    pub wins: u32,
    pub net_profit: f64,
}

/// Sums over the trade list, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TradeStats {
    pub count: u32,
    pub wins: u32,
    pub losses: u32,
    pub net_profit: f64,
    pub gross_profit: f64,
    pub gross_loss: f64,
    pub pct_sum: f64,
    pub best: Option<f64>,
    pub worst: Option<f64>,
    pub best_pct: Option<f64>,
    pub worst_pct: Option<f64>,
    pub bars_sum: u64,
    pub longest_wins: u32,
    pub longest_losses: u32,
    /// Long, short.
    pub sides: [SideStats; 2],
    log_growth: f64,
    squares: f64,
}

/// Returns multiplied together before their logarithm is taken.
const LOG_EVERY: usize = 32;

impl TradeStats {
    pub fn of(trades: &[Trade], point_value: f64) -> Self {
        let mut stats = Self { count: trades.len() as u32, ..Self::default() };
        if trades.is_empty() {
            return stats;
        }
        stats.sums(trades);
        stats.streaks(trades);
        stats.returns(trades, point_value);
        let mean = stats.net_profit / trades.len() as f64;
        for t in trades {
            let away = t.profit - mean;
            stats.squares += away * away;
        }
        stats
    }

    fn sums(&mut self, trades: &[Trade]) {
        let (mut best, mut worst) = (f64::NEG_INFINITY, f64::INFINITY);
        for t in trades {
            let side = &mut self.sides[(t.side == Side::Short) as usize];
            let won = u32::from(t.profit > 0.0);
            side.count += 1;
            side.wins += won;
            side.net_profit += t.profit;
            self.wins += won;
            self.losses += u32::from(t.profit < 0.0);
            self.net_profit += t.profit;
            self.gross_profit += t.profit.max(0.0);
            self.gross_loss -= t.profit.min(0.0);
            best = best.max(t.profit);
            worst = worst.min(t.profit);
            self.bars_sum += u64::from(t.exit_bar.saturating_sub(t.entry_bar));
        }
        (self.best, self.worst) = (finite(best), finite(worst));
    }

    /// A trade that breaks even ends both streaks.
    fn streaks(&mut self, trades: &[Trade]) {
        let (mut wins, mut losses) = (0u32, 0u32);
        for t in trades {
            wins = (wins + 1) * u32::from(t.profit > 0.0);
            losses = (losses + 1) * u32::from(t.profit < 0.0);
            self.longest_wins = self.longest_wins.max(wins);
            self.longest_losses = self.longest_losses.max(losses);
        }
    }

    fn returns(&mut self, trades: &[Trade], point_value: f64) {
        let (mut best, mut worst) = (f64::NEG_INFINITY, f64::INFINITY);
        for group in trades.chunks(LOG_EVERY) {
            let mut growth = 1.0;
            for t in group {
                let r = trade_return(t, point_value);
                self.pct_sum += r * 100.0;
                best = best.max(r);
                worst = worst.min(r);
                growth *= (1.0 + r).max(0.0);
            }
            self.log_growth += growth.ln();
        }
        (self.best_pct, self.worst_pct) = (finite(best * 100.0), finite(worst * 100.0));
    }

    /// The constant return per trade that compounds to the same product, percent; -100 % once a trade
    /// lost its whole stake.
    pub fn geometric_pct(&self) -> Option<f64> {
        let mean = ratio_or_ruin(self.log_growth, self.count)?;
        finite((mean.exp() - 1.0) * 100.0)
    }

    /// System quality number (V. Tharp): sqrt(n) x mean profit / sample standard deviation of profit.
    pub fn sqn(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        let count = f64::from(self.count);
        let deviation = (self.squares / (count - 1.0)).sqrt();
        ratio(count.sqrt() * (self.net_profit / count), deviation)
    }
}

fn ratio_or_ruin(log_growth: f64, count: u32) -> Option<f64> {
    if count == 0 || log_growth.is_nan() {
        return None;
    }
    Some(log_growth / f64::from(count))
}

/// Profit net of commission as a fraction of what the entry was worth.
fn trade_return(t: &Trade, point_value: f64) -> f64 {
    t.profit / (t.entry_price * t.qty * point_value)
}
