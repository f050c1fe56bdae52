//! `strategy.risk.*`: limits on the account that stop trading for the day or for good.

use super::{
    Broker, EventKind, NameId, RiskRule, Side,
    orders::{FillName, Target},
};
use crate::trade::ExitReason;

/// Limits as set, and what they watch.
#[derive(Debug, Default)]
pub(super) struct Risk {
    pub allow: Option<Side>,
    pub max_position: Option<f64>,
    watching: bool,
    max_drawdown: Option<(f64, bool)>,
    max_intraday_loss: Option<(f64, bool)>,
    max_cons_loss_days: Option<u32>,
    max_intraday_fills: Option<u32>,
    /// Highest closed equity so far.
    booked_peak: f64,
    day: Option<i64>,
    day_start_equity: f64,
    pub day_fills: u32,
    cons_loss_days: u32,
    halted_today: bool,
    pub halted: Option<&'static str>,
}

impl Risk {
    /// Something has to be looked at on every bar.
    #[inline]
    pub fn watches(&self) -> bool {
        self.watching
    }

    /// No orders are taken or filled now.
    pub fn stopped(&self) -> bool {
        self.halted.is_some() || self.halted_today
    }
}

const DAY_MS: i64 = 86_400_000;

impl Broker<'_> {
    /// Sets a risk rule; it holds from now on.
    pub fn risk(&mut self, rule: RiskRule) {
        let r = &mut self.risk;
        match rule {
            RiskRule::AllowEntryIn(side) => r.allow = side,
            RiskRule::MaxPositionSize(contracts) => r.max_position = Some(contracts),
            RiskRule::MaxDrawdown { value, percent } => r.max_drawdown = Some((value, percent)),
            RiskRule::MaxIntradayLoss { value, percent } => r.max_intraday_loss = Some((value, percent)),
            RiskRule::MaxConsLossDays(days) => r.max_cons_loss_days = Some(days as u32),
            RiskRule::MaxIntradayFilledOrders(count) => r.max_intraday_fills = Some(count as u32),
        }
        r.watching = r.max_drawdown.is_some()
            || r.max_intraday_loss.is_some()
            || r.max_cons_loss_days.is_some()
            || r.max_intraday_fills.is_some();
    }

    /// A new day: intraday limits start over, losing days are counted.
    pub(super) fn roll_day(&mut self, i: usize) {
        let day = self.bars.time[i].div_euclid(DAY_MS);
        if self.risk.day == Some(day) {
            return;
        }
        let equity =
            if i == 0 { self.account.initial_capital } else { self.books.equity_at(self.bars.close[i - 1]) };
        let risk = &mut self.risk;
        if risk.day.is_some() && equity != risk.day_start_equity {
            risk.cons_loss_days = if equity < risk.day_start_equity { risk.cons_loss_days + 1 } else { 0 };
        }
        risk.day = Some(day);
        risk.day_start_equity = equity;
        risk.day_fills = 0;
        risk.halted_today = false;
        if risk.max_cons_loss_days.is_some_and(|max| risk.cons_loss_days >= max) {
            self.halt(Some("strategy.risk.max_cons_loss_days"), self.bars.open[i]);
        }
    }

    /// Compares the account at `price` with the limits.
    pub(super) fn watch_risk(&mut self, price: f64) {
        if self.risk.stopped() || !self.risk.watches() {
            return;
        }
        let equity = self.books.equity_at(price);
        if let Some((value, percent)) = self.risk.max_drawdown {
            // Measured on TradingView: from the highest closed equity, and only where a closing fill books something;
            // a loss on paper alone stops nothing.
            let booked = self.books.closed.last().is_some_and(|t| t.exit_bar as usize == self.bar);
            let capital = self.account.initial_capital;
            let peak = self.risk.booked_peak.max(capital).max(capital + self.books.net_profit);
            self.risk.booked_peak = peak;
            if booked && peak - equity >= if percent { peak * value / 100.0 } else { value } {
                self.halt(Some("strategy.risk.max_drawdown"), price);
                return;
            }
        }
        if let Some((value, percent)) = self.risk.max_intraday_loss {
            let start = self.risk.day_start_equity;
            if start - equity >= if percent { start * value / 100.0 } else { value } {
                self.halt(None, price);
                return;
            }
        }
        if self.risk.max_intraday_fills.is_some_and(|max| self.risk.day_fills >= max) {
            self.halt(None, price);
        }
    }

    /// Cancels and closes everything; for good with a reason, else until the next day.
    fn halt(&mut self, for_good: Option<&'static str>, price: f64) {
        match for_good {
            Some(why) => self.risk.halted = Some(why),
            None => self.risk.halted_today = true,
        }
        self.cancel_all();
        self.books.note(self.bar, NameId(0), EventKind::RiskHalt);
        let all = self.books.position.abs();
        if all > 0.0 {
            self.count_fill();
            let buys = self.books.position < 0.0;
            let name = FillName { id: NameId(0), comment: NameId(0), reason: ExitReason::Risk };
            self.take(all, all, self.slipped(price, buys), name, Target::Oldest);
        }
    }
}
