//! The account a strategy trades with: what Pine's `strategy()` call and the command line set.

use serde::{Deserialize, Serialize};

/// How an order without a quantity is sized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QtyType {
    /// So many contracts.
    Fixed,
    /// Money for so much in the quote currency.
    Cash,
    /// So many percent of equity.
    PercentOfEquity,
}

/// What a fill costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum Commission {
    /// Percent of quantity x price x point value, per side.
    Percent(f64),
    /// Money per contract, per side.
    PerContract(f64),
    /// Money per order, per side.
    PerOrder(f64),
}

impl Commission {
    /// Reads `0.1%`, `0.5/contract`, `1/order`; the error says what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let help = "write `0.1%`, `0.5/contract` or `1/order`";
        let number = |t: &str| not_negative(t).map_err(|why| format!("{why}; {help}"));
        if let Some(t) = text.strip_suffix('%') {
            number(t).map(Self::Percent)
        } else if let Some(t) = text.strip_suffix("/contract") {
            number(t).map(Self::PerContract)
        } else if let Some(t) = text.strip_suffix("/order") {
            number(t).map(Self::PerOrder)
        } else {
            Err(format!("`{text}` does not say what it is a fee on; {help}"))
        }
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
        _ => Err(format!("`{text}` is no number of 0 or more")),
    }
}

/// What market and stop fills lose against the trader; limits lose nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum Slippage {
    /// So many ticks of the symbol.
    Ticks(f64),
    /// So many percent of the price.
    Percent(f64),
}

impl Slippage {
    /// Reads `2` (ticks), `2t`, `2 ticks`, `0.05%`; the error says what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(t) = text.strip_suffix('%') {
            return not_negative(t).map(Self::Percent);
        }
        let t = text.trim_end_matches("ticks").trim_end_matches('t').trim();
        not_negative(t)
            .map(Self::Ticks)
            .map_err(|why| format!("{why}; write ticks (`2`) or percent (`0.05%`)"))
    }
}

/// Settings of the simulated account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Account {
    pub initial_capital: f64,
    pub qty_type: QtyType,
    pub qty_value: f64,
    pub commission: Commission,
    pub slippage: Slippage,
    /// Entries allowed in one direction; 0 and 1 both mean one.
    pub pyramiding: u32,
    /// Margin of long positions, percent of position value; 0 switches margin checks off.
    pub margin_long: f64,
    /// Margin of short positions, percent of position value; 0 switches margin checks off.
    pub margin_short: f64,
    pub process_orders_on_close: bool,
    /// `close_entries_rule = "ANY"`: a closing order takes the entry it names, not the oldest.
    pub close_entries_any: bool,
    /// Re-run the script after every fill.
    pub calc_on_order_fills: bool,
    /// Ticks that price must go beyond a limit before it fills.
    pub limit_verify_ticks: u32,
    /// Annual risk-free rate, percent.
    pub risk_free_rate: f64,
}

impl Default for Account {
    /// Pine v5's defaults.
    fn default() -> Self {
        Self {
            initial_capital: 1_000_000.0,
            qty_type: QtyType::Fixed,
            qty_value: 1.0,
            commission: Commission::Percent(0.0),
            slippage: Slippage::Ticks(0.0),
            pyramiding: 0,
            margin_long: 0.0,
            margin_short: 0.0,
            process_orders_on_close: false,
            close_entries_any: false,
            calc_on_order_fills: false,
            limit_verify_ticks: 0,
            risk_free_rate: 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_and_slips() {
        assert_eq!(Commission::parse("0.1%"), Ok(Commission::Percent(0.1)));
        assert_eq!(Commission::parse("0.5/contract"), Ok(Commission::PerContract(0.5)));
        assert_eq!(Commission::parse("1/order"), Ok(Commission::PerOrder(1.0)));
        assert!(["1", "-1%", "nan%"].iter().all(|t| Commission::parse(t).is_err()));
        assert_eq!(Slippage::parse("2"), Ok(Slippage::Ticks(2.0)));
        assert_eq!(Slippage::parse("2 ticks"), Ok(Slippage::Ticks(2.0)));
        assert_eq!(Slippage::parse("0.05%"), Ok(Slippage::Percent(0.05)));
    }
}
