//! What is known about a traded instrument.

use serde::{Deserialize, Serialize};

/// The kind of instrument, Pine's `syminfo.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum SymbolKind {
    Crypto,
    Stock,
    Forex,
    Futures,
    Index,
    Fund,
}

/// Contract details that decide rounding, sizes and calendar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SymbolInfo {
    /// `BTC-USD`, without exchange.
    pub ticker: String,
    /// Exchange prefix, may be empty.
    pub exchange: String,
    /// Smallest price step.
    pub mintick: f64,
    /// Smallest quantity step; quantities are floored to it.
    pub min_qty: f64,
    /// Money per price point and contract.
    pub point_value: f64,
    /// IANA zone of the exchange, `UTC` for crypto.
    pub timezone: String,
    /// Regular session, `24x7` or `HHMM-HHMM`, optionally `:days` with 1 = Sunday.
    pub session: String,
    /// Quote currency, `USD`.
    pub currency: String,
    /// Base currency, `BTC`; may be empty.
    pub base_currency: String,
    /// Kind of instrument.
    pub kind: SymbolKind,
}

impl Default for SymbolInfo {
    fn default() -> Self {
        Self {
            ticker: "SYMBOL".into(),
            exchange: String::new(),
            mintick: 0.01,
            min_qty: 1e-6,
            point_value: 1.0,
            timezone: "UTC".into(),
            session: "24x7".into(),
            currency: "USD".into(),
            base_currency: String::new(),
            kind: SymbolKind::Crypto,
        }
    }
}
