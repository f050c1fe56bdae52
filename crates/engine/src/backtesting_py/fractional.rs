//! Fractional units: the simulation trades whole units of rescaled prices.

use super::{Exit, SimTrade};
use springtide_domain::{BarsView, OwnedBars};

/// One hundred-millionth, a satoshi of a bitcoin.
pub const DEFAULT_FRACTIONAL_UNIT: f64 = 1e-8;

/// Bars priced per fraction: prices times `unit`, volume divided by it. Run the simulation on these and
/// read its trades through [`SimTrade::unscaled`]; profits, returns and statistics need no change.
pub fn scale_bars(bars: &BarsView<'_>, unit: f64) -> OwnedBars {
    let times = |column: &[f64]| column.iter().map(|x| x * unit).collect();
    OwnedBars {
        time: bars.time.to_vec(),
        open: times(bars.open),
        high: times(bars.high),
        low: times(bars.low),
        close: times(bars.close),
        volume: bars.volume.iter().map(|x| x / unit).collect(),
    }
}

impl SimTrade {
    /// The trade in whole units again.
    pub fn unscaled(&self, unit: f64) -> Self {
        Self {
            size: self.size * unit,
            entry_price: self.entry_price / unit,
            exit: self.exit.map(|exit| Exit { price: exit.price / unit, ..exit }),
            ..*self
        }
    }
}
