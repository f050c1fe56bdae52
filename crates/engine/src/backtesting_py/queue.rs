//! Placing orders, and one pass of the broker over the queue.

use super::{
    account::Opening,
    order::{Exit, Notice, Order, OrderError, OrderId, OrderRequest, SimTrade, TradeId},
    sim::Sim,
};
use crate::trade::ExitReason;

/// How an order that may fill on this bar fills.
struct Fill {
    price: f64,
    /// Bar the fill is booked on: the previous one for market orders under `trade_on_close`.
    stamp: usize,
    /// The stop price that was touched.
    stop: Option<f64>,
    market: bool,
}

impl Fill {
    fn exit(&self, reason: ExitReason) -> Exit {
        Exit { price: self.price, bar: self.stamp, reason }
    }
}

impl Sim<'_> {
    /// Places a buy order, first examined on the next bar.
    pub fn buy(&mut self, request: OrderRequest) -> Result<OrderId, OrderError> {
        self.place(request, 1.0)
    }

    /// Places a sell order, first examined on the next bar.
    pub fn sell(&mut self, request: OrderRequest) -> Result<OrderId, OrderError> {
        self.place(request, -1.0)
    }

    fn place(&mut self, r: OrderRequest, sign: f64) -> Result<OrderId, OrderError> {
        let share = r.size > 0.0 && r.size < 1.0;
        let units = if self.config.rules.takes_negative_sizes { r.size.abs() } else { r.size };
        let whole = units >= 1.0 && units.fract() == 0.0;
        if !share && !whole {
            return Err(OrderError::Size(r.size));
        }
        let order = Order {
            size: sign * r.size,
            limit: truthy(r.limit),
            stop: truthy(r.stop),
            sl: truthy(r.sl),
            tp: truthy(r.tp),
            parent: None,
            tag: r.tag,
        };
        self.check_prices(&order)?;
        if self.config.exclusive_orders {
            self.make_exclusive();
        }
        let id = self.add(order);
        self.queue.push(id);
        Ok(id)
    }

    fn check_prices(&self, o: &Order) -> Result<(), OrderError> {
        let reference =
            o.limit.or(o.stop).unwrap_or_else(|| self.mark() * (1.0 + self.config.spread.copysign(o.size)));
        let (sl, tp) = (o.sl, o.tp);
        let (low, high) = if o.size > 0.0 { (sl, tp) } else { (tp, sl) };
        if low.unwrap_or(f64::NEG_INFINITY) < reference && reference < high.unwrap_or(f64::INFINITY) {
            Ok(())
        } else if o.size > 0.0 {
            Err(OrderError::LongPrices { reference, sl, tp })
        } else {
            Err(OrderError::ShortPrices { reference, sl, tp })
        }
    }

    /// Cancels pending orders and closes open trades. The walk advances over a list that shrinks under
    /// it, so the order behind each cancelled one survives, as in the original.
    fn make_exclusive(&mut self) {
        let mut k = 0;
        while k < self.queue.len() {
            if !self.is_contingent(self.queue[k]) {
                self.cancel(self.queue[k]);
            }
            k += 1;
        }
        for k in 0..self.open.len() {
            self.queue_close(self.open[k], 1.0);
        }
    }

    /// Removes a pending order; a stop loss or take profit is forgotten by its trade. Nothing happens
    /// to an order that is no longer pending.
    pub fn cancel(&mut self, id: OrderId) {
        if !self.unqueue(id) {
            return;
        }
        if let Some(trade) = self.order(id).parent {
            let trade = &mut self.trades[trade.0 as usize];
            if trade.sl_order == Some(id) {
                trade.sl_order = None;
            } else if trade.tp_order == Some(id) {
                trade.tp_order = None;
            }
        }
    }

    /// Orders `portion` (above 0, at most 1) of a trade closed at the next fill, at least one unit.
    pub fn close(&mut self, trade: TradeId, portion: f64) -> Result<OrderId, OrderError> {
        if !(portion > 0.0 && portion <= 1.0) {
            return Err(OrderError::Portion(portion));
        }
        Ok(self.queue_close(trade, portion))
    }

    /// Orders `portion` of every open trade closed.
    pub fn close_position(&mut self, portion: f64) -> Result<(), OrderError> {
        if !(portion > 0.0 && portion <= 1.0) {
            return Err(OrderError::Portion(portion));
        }
        for k in 0..self.open.len() {
            self.queue_close(self.open[k], portion);
        }
        Ok(())
    }

    pub(super) fn queue_close(&mut self, trade: TradeId, portion: f64) -> OrderId {
        let t = self.trade(trade);
        let units = (t.size.abs() * portion).round_ties_even().max(1.0);
        let size = units.copysign(-t.size);
        let tag = t.tag;
        let id =
            self.add(Order { size, limit: None, stop: None, sl: None, tp: None, parent: Some(trade), tag });
        self.queue.insert(0, id);
        id
    }

    /// Replaces the trade's stop loss; none removes it. A price on the wrong side is taken and fires.
    pub fn set_sl(&mut self, trade: TradeId, price: Option<f64>) -> Result<(), OrderError> {
        let price = level(price)?;
        if let Some(old) = self.trade(trade).sl_order {
            self.cancel(old);
        }
        if let Some(price) = price {
            self.place_stop_loss(trade, price);
        }
        Ok(())
    }

    /// Replaces the trade's take profit; none removes it.
    pub fn set_tp(&mut self, trade: TradeId, price: Option<f64>) -> Result<(), OrderError> {
        let price = level(price)?;
        if let Some(old) = self.trade(trade).tp_order {
            self.cancel(old);
        }
        if let Some(price) = price {
            self.place_take_profit(trade, price);
        }
        Ok(())
    }

    pub(super) fn place_stop_loss(&mut self, trade: TradeId, price: f64) {
        let order = self.closing_order(trade, None, Some(price));
        self.trades[trade.0 as usize].sl_order = Some(order);
        self.queue.insert(0, order);
    }

    pub(super) fn place_take_profit(&mut self, trade: TradeId, price: f64) {
        let order = self.closing_order(trade, Some(price), None);
        self.trades[trade.0 as usize].tp_order = Some(order);
        if self.config.rules.targets_join_front {
            self.queue.insert(0, order);
        } else {
            self.queue.push(order);
        }
    }

    fn closing_order(&mut self, trade: TradeId, limit: Option<f64>, stop: Option<f64>) -> OrderId {
        let t = self.trade(trade);
        self.add(Order { size: -t.size, limit, stop, sl: None, tp: None, parent: Some(trade), tag: t.tag })
    }

    fn add(&mut self, order: Order) -> OrderId {
        self.orders.push(order);
        OrderId(self.orders.len() as u32 - 1)
    }

    pub(super) fn unqueue(&mut self, id: OrderId) -> bool {
        let place = self.queue.iter().position(|o| *o == id);
        if let Some(place) = place {
            self.queue.remove(place);
        }
        place.is_some()
    }

    /// True for an order that depends on its trade: the current stop loss or take profit, under some rules every
    /// closing order.
    pub fn is_contingent(&self, id: OrderId) -> bool {
        let parent = self.order(id).parent;
        parent.is_some_and(|t| self.config.rules.closes_are_contingent || self.is_bracket(id, t))
    }

    /// True for the trade's current stop loss or take profit.
    pub fn is_bracket(&self, id: OrderId, trade: TradeId) -> bool {
        let t = self.trade(trade);
        t.sl_order == Some(id) || t.tp_order == Some(id)
    }

    /// Examines the pending orders against the current bar, again and again while a fill asks for it.
    pub(super) fn fill_orders(&mut self) {
        while !self.queue.is_empty() && self.pass() {}
    }

    /// One pass; true when brackets of this bar's entries must be examined at once.
    fn pass(&mut self) -> bool {
        let mut again = false;
        for id in self.queue.clone() {
            if !self.queue.contains(&id) {
                continue;
            }
            let Some(fill) = self.try_fill(id) else { continue };
            match self.order(id).parent {
                Some(trade) => self.fill_closing(id, trade, &fill),
                None => again |= self.fill_entry(id, &fill),
            }
        }
        again
    }

    fn try_fill(&mut self, id: OrderId) -> Option<Fill> {
        let i = self.now;
        let (open, high, low) = (self.bars.open[i], self.bars.high[i], self.bars.low[i]);
        let order = *self.order(id);
        let long = order.size > 0.0;
        let stop = order.stop;
        let reaching = self.config.rules.reaching_touches;
        if let Some(s) = stop {
            if !touched(if long { (s, high) } else { (low, s) }, reaching) {
                return None;
            }
            // A touched stop is spent: a stop-limit is a plain limit from here on.
            self.orders[id.0 as usize].stop = None;
        }
        let follows_close = self.config.rules.brackets_trade_on_close || !self.is_contingent(id);
        let delayed = self.config.trade_on_close && follows_close;
        if let Some(limit) = order.limit {
            let price = limit_price(long, limit, stop, (open, high, low), reaching)?;
            return Some(Fill { price, stamp: i, stop, market: false });
        }
        let base = if delayed { self.bars.close[i - 1] } else { open };
        let market = stop.is_none();
        let price = match stop {
            Some(s) if long => base.max(s),
            Some(s) => base.min(s),
            None => base,
        };
        Some(Fill { price, stamp: if market && delayed { i - 1 } else { i }, stop, market })
    }

    fn fill_closing(&mut self, id: OrderId, trade: TradeId, fill: &Fill) {
        let (t, size) = (*self.trade(trade), self.order(id).size);
        let quantity = t.size.abs().min(size.abs()).copysign(size);
        if t.exit.is_none() {
            self.reduce_trade(trade, quantity, true, fill.exit(self.closing_reason(id, &t)));
        }
        if self.config.rules.keeps_filled_stops && self.trade(trade).sl_order == Some(id) {
            self.orders[id.0 as usize].stop = fill.stop;
        }
        // Closing the trade took its brackets away; one set after its end is still here.
        if self.unqueue(id) && t.exit.is_some() && self.is_bracket(id, trade) {
            self.notices.push(Notice::OrderOfClosedTrade { bar: self.now, order: id });
        }
    }

    fn closing_reason(&self, id: OrderId, t: &SimTrade) -> ExitReason {
        if t.sl_order == Some(id) {
            ExitReason::Stop
        } else if t.tp_order == Some(id) {
            ExitReason::Limit
        } else {
            ExitReason::Close
        }
    }

    /// True when the new trade's brackets act on this very bar.
    fn fill_entry(&mut self, id: OrderId, fill: &Fill) -> bool {
        let order = *self.order(id);
        let adjusted = fill.price * (1.0 + self.config.spread.copysign(order.size));
        let unit = adjusted + self.config.commission.fee(order.size, fill.price) / order.size.abs();
        let mut need = order.size;
        if order.size.abs() < 1.0 {
            let budget = self.margin_available() * self.leverage * order.size.abs();
            need = floor_divide(budget, unit).trunc().copysign(order.size);
            if need == 0.0 || !need.is_finite() {
                return self.drop_unaffordable(id);
            }
        }
        let mut split = false;
        if !self.config.hedging {
            (need, split) = self.net_against_opposite(need, fill);
        }
        if need.abs() * unit > self.margin_available() * self.leverage {
            return self.drop_unaffordable(id);
        }
        let mut again = false;
        if need != 0.0 {
            let (sl, tp, bar, tag) = (order.sl, order.tp, fill.stamp, order.tag);
            self.open_trade(Opening { price: adjusted, size: need, sl, tp, bar, tag, split });
            again = self.brackets_act_now(id, &order, fill);
        }
        self.unqueue(id);
        again
    }

    fn drop_unaffordable(&mut self, order: OrderId) -> bool {
        let (equity, margin_available) = (self.equity_now(), self.margin_available());
        self.notices.push(Notice::Unaffordable { bar: self.now, order, equity, margin_available });
        self.unqueue(order);
        false
    }

    /// Closes opposite trades, oldest first; gives what is left to open, and whether it was counted
    /// against a trade that had been split.
    fn net_against_opposite(&mut self, mut need: f64, fill: &Fill) -> (f64, bool) {
        let mut split = false;
        for id in self.open.clone() {
            let size = self.trade(id).size;
            if size.signum() == need.signum() {
                continue;
            }
            if need.abs() >= size.abs() {
                split |= self.trade(id).split;
                self.close_trade(id, fill.exit(ExitReason::Reverse));
                need += size;
            } else {
                self.reduce_trade(id, need, split, fill.exit(ExitReason::Reverse));
                need = 0.0;
            }
            if need == 0.0 {
                break;
            }
        }
        (need, split)
    }

    fn brackets_act_now(&mut self, id: OrderId, order: &Order, fill: &Fill) -> bool {
        if order.sl.is_none() && order.tp.is_none() {
            return false;
        }
        if fill.market {
            return true;
        }
        let (high, low) = (self.bars.high[self.now], self.bars.low[self.now]);
        let (tp_inside, sl_inside) = if order.size > 0.0 {
            (order.tp.is_some_and(|tp| tp <= high), order.sl.is_some_and(|sl| sl >= low))
        } else {
            (order.tp.is_some_and(|tp| tp >= low), order.sl.is_some_and(|sl| sl <= high))
        };
        let stopped_in = fill.stop.is_some() && order.limit.is_none();
        if self.config.rules.targets_act_on_stop_entries && stopped_in && tp_inside && !sl_inside {
            return true;
        }
        if tp_inside || sl_inside {
            self.notices.push(Notice::BracketDelayed { bar: self.now, order: id });
        }
        false
    }
}

fn level(price: Option<f64>) -> Result<Option<f64>, OrderError> {
    match price {
        Some(p) if !(p > 0.0 && p < f64::INFINITY) => Err(OrderError::Level(p)),
        level => Ok(level),
    }
}

/// Zero is no price, as in the original.
fn truthy(price: Option<f64>) -> Option<f64> {
    price.filter(|p| *p != 0.0)
}

/// Whether the one price lies below the other, or `reaching` it is enough.
fn touched((below, above): (f64, f64), reaching: bool) -> bool {
    below < above || reaching && below == above
}

/// Fill price of a limit order on the bar `(open, high, low)`, `stop` being a stop price touched on it.
/// None when not touched, or when it must have been touched before the stop was.
fn limit_price(
    long: bool,
    limit: f64,
    stop: Option<f64>,
    bar: (f64, f64, f64),
    reaching: bool,
) -> Option<f64> {
    let (open, high, low) = bar;
    let from = stop.unwrap_or(open);
    if long {
        let before = stop.is_some_and(|s| touched((limit, s), reaching));
        (touched((low, limit), reaching) && !before).then(|| from.min(limit))
    } else {
        let before = stop.is_some_and(|s| touched((s, limit), reaching));
        (touched((limit, high), reaching) && !before).then(|| from.max(limit))
    }
}

/// Floor of `a / b` by way of the remainder, which stays right where the quotient would round up.
fn floor_divide(a: f64, b: f64) -> f64 {
    if b == 0.0 {
        return a / b;
    }
    let rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest != 0.0 && (b < 0.0) != (rest < 0.0) {
        quotient -= 1.0;
    }
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}

#[cfg(test)]
mod tests {
    use super::{floor_divide, limit_price};

    #[test]
    fn floor_divide_keeps_to_the_remainder() {
        // 0.6 / 0.2 rounds to 3 while 0.6 holds 0.2 only twice, with a remainder.
        assert_eq!(floor_divide(0.6, 0.2), 2.0);
        assert_eq!(floor_divide(7.0, 2.0), 3.0);
        assert_eq!(floor_divide(-7.0, 2.0), -4.0);
        assert_eq!(floor_divide(7.0, -2.0), -4.0);
        assert_eq!(floor_divide(1.0, 0.0), f64::INFINITY);
    }

    #[test]
    fn limits_improve_through_gaps_and_wait_behind_stops() {
        let bar = (10.0, 12.0, 8.0);
        assert_eq!(limit_price(true, 11.0, None, bar, true), Some(10.0));
        assert_eq!(limit_price(true, 9.0, None, bar, true), Some(9.0));
        assert_eq!(limit_price(true, 7.0, None, bar, true), None);
        assert_eq!(limit_price(true, 9.0, Some(11.0), bar, true), None);
        assert_eq!(limit_price(true, 11.5, Some(11.0), bar, true), Some(11.0));
        assert_eq!(limit_price(false, 9.0, None, bar, true), Some(10.0));
        assert_eq!(limit_price(false, 11.0, Some(9.0), bar, true), None);
        // A level that the bar just reaches, and a limit at its own stop.
        assert_eq!(limit_price(true, 8.0, None, bar, true), Some(8.0));
        assert_eq!(limit_price(true, 8.0, None, bar, false), None);
        assert_eq!(limit_price(true, 11.0, Some(11.0), bar, true), None);
        assert_eq!(limit_price(true, 11.0, Some(11.0), bar, false), Some(11.0));
    }
}
