//! What is done with trades: bars of a second, an average, crossings; and what must come of it.

use super::{
    feed::{SYMBOLS, Trades},
    trade::Trade,
};
use crate::ScenarioError;
use serde::{Deserialize, Serialize};

/// Weight of the newest price in an average of 20.
const ALPHA: f64 = 2.0 / 21.0;
/// How far from the average a price counts as above or below it.
const ABOVE: f64 = 1.0005;
const BELOW: f64 = 0.9995;

/// One symbol's bar in the making, average and side.
#[derive(Clone, Copy, Debug)]
struct Market {
    second: u64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    ema: f64,
    /// 1 above the average, -1 below, 0 at first.
    side: i8,
}

/// The strategy: all symbols, and what was counted.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    markets: Vec<Option<Market>>,
    trades: u64,
    bars: u64,
    signals: u64,
    /// Of the last bar of every symbol, so that bars are not computed for nothing.
    checksum: f64,
}

impl Signals {
    pub(super) fn new() -> Self {
        Self { markets: vec![None; SYMBOLS], trades: 0, bars: 0, signals: 0, checksum: 0.0 }
    }

    #[inline]
    pub(super) fn take(&mut self, trade: &Trade) {
        self.trades += 1;
        let (price, quantity, second) = (trade.price, trade.quantity, trade.time_ms / 1_000);
        let begin = |ema, side| Market {
            second,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: quantity,
            ema,
            side,
        };
        let Some(market) = &mut self.markets[trade.symbol as usize] else {
            self.markets[trade.symbol as usize] = Some(begin(price, 0));
            return;
        };
        if market.second == second {
            market.high = market.high.max(price);
            market.low = market.low.min(price);
            market.close = price;
            market.volume += quantity;
        } else {
            self.bars += 1;
            self.checksum += market.volume * (market.high - market.low) + market.close - market.open;
            *market = begin(market.ema, market.side);
        }
        market.ema += ALPHA * (price - market.ema);
        let side = if price > market.ema * ABOVE {
            1
        } else if price < market.ema * BELOW {
            -1
        } else {
            market.side
        };
        self.signals += u64::from(side != market.side);
        market.side = side;
    }

    pub(super) fn outcome(&self) -> Outcome {
        std::hint::black_box(self.checksum);
        let ema = self.markets.iter().flatten().map(|m| m.ema).sum::<f64>();
        Outcome { trades: self.trades, bars: self.bars, signals: self.signals, ema: format!("{ema:.9}") }
    }
}

/// What came of so many trades.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    #[serde(rename = "msgs")]
    pub trades: u64,
    pub bars: u64,
    pub signals: u64,
    /// Sum of the averages, nine decimals.
    pub ema: String,
}

impl Outcome {
    /// What must come of the first `count` trades: read and reckoned the plain way.
    pub(super) fn of(trades: &Trades, count: usize) -> Result<Self, ScenarioError> {
        let mut signals = Signals::new();
        for number in 0..count {
            let trade = super::trade::read(trades.text(number));
            signals
                .take(&trade.ok_or_else(|| ScenarioError::work(format!("trade {number} cannot be read")))?);
        }
        Ok(signals.outcome())
    }
}
