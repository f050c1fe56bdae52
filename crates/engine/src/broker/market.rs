//! Market orders given at a close and filled at the next open, in one go: what most strategies do most of the time.

use super::{Broker, CloseCommand, EntryCommand, orders::FillMarket};
use crate::rules::FillAt;

impl Broker<'_> {
    /// [`Broker::entry`] on the current bar and [`Broker::open_bar`] of the next one, when nothing but this market
    /// order can happen between the two; false, with nothing done, when something else might. The next bar is open
    /// afterwards unless the order was not accepted.
    pub fn enter_through(&mut self, c: EntryCommand) -> bool {
        if c.limit.is_some() || c.stop.is_some() || !self.undisturbed() {
            return false;
        }
        if let Some(order) = self.accept_entry(c) {
            self.open_next(FillMarket::Entry(order));
        }
        true
    }

    /// [`Broker::close`] on the current bar and [`Broker::open_bar`] of the next one, as [`Broker::enter_through`].
    pub fn close_through(&mut self, c: CloseCommand) -> bool {
        if c.immediately || !self.undisturbed() {
            return false;
        }
        if let Some(order) = self.accept_close(c) {
            self.open_next(FillMarket::Close(order));
        }
        true
    }

    /// No order waits, none fills at a close, nothing watches the account, and there is a next bar.
    fn undisturbed(&self) -> bool {
        !self.has_pending()
            && self.legs.is_empty()
            && self.rules.fill_at == FillAt::NextOpen
            && !self.account.process_orders_on_close
            && !self.risk.watches()
            && !self.risk.stopped()
            && self.bar + 1 < self.bars.len()
    }

    fn open_next(&mut self, order: FillMarket) {
        let i = self.bar + 1;
        let open = self.bars.open[i];
        self.enter_bar(i);
        self.fill_one(order, open);
        self.walk_from_open(open);
        self.end_open();
    }
}
