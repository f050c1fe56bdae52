//! Bars on which the strategy has nothing to say.

use super::Broker;

impl Broker<'_> {
    /// Does the broker's work for the bars after the current one and before `to` without the strategy.
    /// Stops on the first bar with a fill and returns it: it is open and the strategy must run on it. Returns
    /// `to`, not yet opened, when nothing happened.
    ///
    /// Flat or in a position without orders this costs a scan of the closes at most.
    pub fn advance(&mut self, to: usize) -> usize {
        let mut next = self.opened.map_or(0, |i| i + 1);
        while next < to {
            if !self.has_pending() && !self.risk.watches() {
                match self.quiet_until(next, to) {
                    Some(bar) => next = bar,
                    None => break,
                }
            }
            if self.open_bar(next) > 0 {
                return next;
            }
            next += 1;
        }
        if to > 0 && to > self.opened.map_or(0, |i| i + 1) {
            self.opened = Some(to - 1);
            self.bar = to - 1;
        }
        to
    }

    /// The first bar of `from..to` on which the margin may run out; none when no bar needs a look.
    fn quiet_until(&self, from: usize, to: usize) -> Option<usize> {
        let margin = self.margin_percent() / 100.0;
        if self.books.position == 0.0 || margin == 0.0 {
            return None;
        }
        // Free margin at price p is base + (slope - |slope| * margin) * p: it falls with p for a short and,
        // below full margin, rises with p for a long.
        let (base, slope) = self.books.segment();
        let per_point = slope - slope.abs() * margin;
        let short = |price: f64| base + per_point * price < 0.0;
        let worst = if per_point < 0.0 { &self.bars.high[from..to] } else { &self.bars.low[from..to] };
        worst.iter().position(|p| short(*p)).map(|k| from + k)
    }
}
