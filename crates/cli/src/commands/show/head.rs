//! The first lines of a run: what it was, with which inputs, in which account.

use crate::{
    output::group,
    term::{Paint, printable},
};
use serde_json::Value;
use springtide_engine::{
    Account, Commission, Slippage,
    account::QtyType,
    rules::{LIBRARIES, PRESETS},
};
use springtide_lab::{ledger::RunRecord, report::export::iso, strategy::StrategyKind};
use std::{collections::BTreeMap, path::Path};

/// Everything that is known without computing anything.
pub fn head(run: &RunRecord, paint: Paint) -> String {
    let inputs: Vec<String> = run.params.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mut lines = vec![format!("{}  {}", paint.bold(&run.strategy), paint.dim(&run.id))];
    let mut line = |text: String| lines.push(printable(&text).into_owned());
    line(place(run));
    if !inputs.is_empty() {
        line(format!("inputs  {}", inputs.join("  ")));
    }
    let mut setting = match &run.python {
        Some(facts) => library_account(&facts.account),
        // Nothing is known of the account of a script that did not begin.
        None if StrategyKind::of(Path::new(&run.source)) == Some(StrategyKind::Python) => Vec::new(),
        None => account(&run.setup.account),
    };
    // A failure is not about the usual rules.
    if !setting.is_empty() || ![PRESETS[0], LIBRARIES[0]].contains(&run.rules.name.as_str()) {
        setting.push(format!("rules {}", run.rules.name));
        line(setting.join("  "));
    }
    // What tells how a script ended after its runs took no time of its own.
    let took = match run.elapsed_us {
        0 => String::new(),
        us => format!(" in {} µs", group(us as f64, 0)),
    };
    let status = run.status.as_str();
    lines.push(paint.dim(format!("{status}{took}, recorded {}, {}", iso(run.finished_ms), run.setup.engine)));
    lines.join("\n") + "\n"
}

/// Market, bars, script; of a run that did not begin, what it was to run on.
fn place(run: &RunRecord) -> String {
    match run.bars {
        0 => format!("{}, {}", run.data, run.source),
        bars => format!("{} {}, {} bars, {}", run.symbol, run.timeframe, group(bars as f64, 0), run.source),
    }
}

fn account(account: &Account) -> Vec<String> {
    let size = match account.qty_type {
        QtyType::Fixed if account.qty_value == 1.0 => "1 contract".into(),
        QtyType::Fixed => format!("{} contracts", account.qty_value),
        QtyType::Cash => format!("for {} in cash", account.qty_value),
        QtyType::PercentOfEquity => format!("{} % of equity", account.qty_value),
    };
    let commission = match account.commission {
        Commission::Percent(percent) => format!("{percent} %"),
        Commission::PerContract(money) => format!("{money} per contract"),
        Commission::PerOrder(money) => format!("{money} per order"),
    };
    let slippage = match account.slippage {
        Slippage::Ticks(1.0) => "1 tick".into(),
        Slippage::Ticks(ticks) => format!("{ticks} ticks"),
        Slippage::Percent(percent) => format!("{percent} %"),
    };
    vec![
        format!("cash {}", group(account.initial_capital, 0)),
        format!("size {size}"),
        format!("commission {commission}"),
        format!("slippage {slippage}"),
    ]
}

/// The settings of `Backtest`: of those that are on or off, the ones that are on.
fn library_account(settings: &BTreeMap<String, Value>) -> Vec<String> {
    let shown = |(name, value): (&String, &Value)| match (name.as_str(), value) {
        (_, Value::Bool(false)) => None,
        (_, Value::Bool(true)) => Some(name.clone()),
        ("cash", Value::Number(cash)) => Some(format!("cash {}", group(cash.as_f64()?, 0))),
        ("commission" | "spread", Value::Number(share)) => {
            Some(format!("{name} {} %", percent(share.as_f64()?)))
        }
        (_, Value::String(text)) => Some(format!("{name} {text}")),
        _ => Some(format!("{name} {value}")),
    };
    settings.iter().filter_map(shown).collect()
}

/// A share in percent, without the dust of the multiplication.
fn percent(share: f64) -> f64 {
    (share * 1e14).round() / 1e12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_told_in_words() {
        let mut of = Account {
            commission: Commission::Percent(0.1),
            slippage: Slippage::Ticks(0.0),
            ..Account::default()
        };
        let told = account(&of).join("  ");
        assert!(told.ends_with("size 1 contract  commission 0.1 %  slippage 0 ticks"), "{told}");
        of.qty_type = QtyType::PercentOfEquity;
        of.commission = Commission::PerOrder(2.0);
        of.slippage = Slippage::Percent(0.05);
        let told = account(&of).join("  ");
        assert!(told.ends_with("size 1 % of equity  commission 2 per order  slippage 0.05 %"), "{told}");
        let settings = serde_json::json!({
            "cash": 1_000_000, "commission": 0.0007, "margin": 0.5, "hedging": false, "trade_on_close": true
        });
        let settings = settings.as_object().expect("a map").clone().into_iter().collect();
        let told = library_account(&settings).join("  ");
        assert_eq!(told, "cash 1,000,000  commission 0.07 %  margin 0.5  trade_on_close");
    }
}
