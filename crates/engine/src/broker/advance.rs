//! Bars on which the strategy has nothing to say.

use super::{Broker, orders::EntryOrder};

impl Broker<'_> {
    /// Does the broker's work for the bars after the current one and before `to` without the strategy.
    /// Stops on the first bar with a fill and returns it: it is open and the strategy must run on it. Returns
    /// `to`, not yet opened, when nothing happened.
    ///
    /// Flat without orders this costs nothing; with orders at fixed prices, or a position whose margin may
    /// run out, one scan of highs and lows.
    pub fn advance(&mut self, to: usize) -> usize {
        let mut next = self.opened.map_or(0, |i| i + 1);
        while next < to && self.may_stir() {
            next = self.quiet_until(next, to);
            if next < to {
                if self.open_bar(next) > 0 {
                    return next;
                }
                self.close_bar(next);
                next += 1;
            }
        }
        if to > self.opened.map_or(0, |i| i + 1) {
            self.skip_to(to - 1);
        }
        to
    }

    /// Something could happen without the strategy.
    #[inline]
    fn may_stir(&self) -> bool {
        let orders = !(self.entries.is_empty() && self.closes.is_empty() && self.legs.is_empty());
        orders || self.risk.watches() || (self.books.position != 0.0 && self.margin_may_run_out())
    }

    /// The margin of the position depends on the price, or is short at any.
    fn margin_may_run_out(&self) -> bool {
        let margin = self.margin();
        let (base, per_point) = self.free_margin(margin);
        margin > 0.0 && (per_point != 0.0 || base < 0.0)
    }

    /// The current bar becomes `i`, on which and before which nothing happened.
    fn skip_to(&mut self, i: usize) {
        self.bar = i;
        self.opened = Some(i);
        self.fills_on_bar = 0;
        self.expected = self.books.position;
        self.books.seen = i + 1;
    }

    /// The first bar of `from..to` that needs a look; `to` when none does.
    fn quiet_until(&self, from: usize, to: usize) -> usize {
        // A trailing stop moves with every bar, and limits on the account watch every bar.
        if !self.closes.is_empty()
            || self.risk.watches()
            || self.entries.iter().any(EntryOrder::is_market)
            || self.legs.iter().any(|leg| leg.trailing && !leg.done)
        {
            return from;
        }
        let (mut above, mut below) = self.fences();
        if self.books.position != 0.0 {
            let margin = self.margin();
            let (base, per_point) = self.free_margin(margin);
            if margin > 0.0 && per_point == 0.0 && base < 0.0 {
                return from;
            }
            if margin > 0.0 && per_point < 0.0 {
                above = above.min(-base / per_point * (1.0 - 1e-9));
            }
            if margin > 0.0 && per_point > 0.0 {
                below = below.max(-base / per_point * (1.0 + 1e-9));
            }
        }
        if above == f64::INFINITY && below == f64::NEG_INFINITY {
            return to;
        }
        let bars = self.bars.high[from..to].iter().zip(&self.bars.low[from..to]);
        bars.into_iter().position(|(high, low)| *high >= above || *low <= below).map_or(to, |k| from + k)
    }
}
