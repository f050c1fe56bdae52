//! What the ledger keeps of a Python run besides what all runs have.

use super::Reads;
use crate::execute::AccountOverrides;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use springtide_domain::{ParamValue, Params};
use springtide_python::{Fault, ScriptRun, ScriptTrade, Stats};
use std::collections::BTreeMap;

/// How a run came about, and what the library itself says of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PythonFacts {
    /// `rust` or `original`.
    pub engine: String,
    /// Versions of the library, the interpreter and the packages.
    pub environment: String,
    /// The interpreter; none in records of versions that did not keep it.
    #[serde(default)]
    pub interpreter: Option<Interpreter>,
    /// The strategy's class.
    pub strategy: String,
    /// Which of the script's runs it is, from 0, and how many there are.
    pub number: usize,
    /// Runs of the script.
    pub runs: usize,
    /// What the command line changed in its account.
    pub overrides: AccountOverrides,
    /// Of the best run of an optimisation: how many combinations of parameters were run to find it. The more there
    /// were, the less its result proves.
    #[serde(default)]
    pub tried: Option<u64>,
    /// Attributes that the command line set, whether or not the strategy has them: with them the script is run
    /// again. None in older records, whose run's own parameters are these.
    #[serde(default)]
    pub set: Option<Params>,
    /// What `run()` was called with, and of `optimize()` the best combination.
    pub params: BTreeMap<String, Value>,
    /// Cash, commission and the other settings of `Backtest`.
    pub account: BTreeMap<String, Value>,
    /// The library's own statistics, in its order.
    pub stats: Stats,
    /// Things to know.
    pub notes: Vec<String>,
    /// Which bars it ran on.
    #[serde(default)]
    pub bars: BarsOf,
    /// Hashes of the files beside the script that it read, and of the modules that it imported.
    #[serde(default)]
    pub files: Reads,
    /// Why it took no trade, where it took none.
    #[serde(default)]
    pub no_trade: Option<String>,
    /// Of a failed run, what it raised, or what ended the script.
    pub fault: Option<Fault>,
    /// Tier of the sandbox, and what to say where it is not full.
    pub sandbox: String,
    /// What the sandbox could not hold.
    pub warning: Option<String>,
    /// Processor time of the whole script.
    pub cpu_us: u64,
    /// Most memory of the whole script, that of imported modules included.
    pub peak_bytes: u64,
}

/// A Python that runs were made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Interpreter {
    pub path: String,
    pub version: String,
}

impl PythonFacts {
    /// Its parameters as those of other runs are.
    pub fn inputs(&self) -> Params {
        self.params.iter().map(|(name, value)| (name.clone(), param(value))).collect()
    }

    /// What it was made with, and how to take that again instead of what is taken now; goes behind a complaint.
    pub fn made_with(&self, now: Option<&Interpreter>) -> String {
        match &self.interpreter {
            Some(then) if now.is_none_or(|now| now.path != then.path) => format!(
                "; it was made with Python {} at {} ({}): --python {} takes that one",
                then.version, then.path, self.environment, then.path
            ),
            _ => format!("; it was made with {}", self.environment),
        }
    }
}

/// Where the bars of a run come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BarsOf {
    /// They are the data set's.
    #[default]
    Given,
    /// The script had the data set and made something else of it: a part, longer bars, other prices.
    Changed,
    /// The script has brought them along.
    Own,
}

impl BarsOf {
    /// What goes behind the name of the market.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Given | Self::Own => "",
            Self::Changed => ", changed",
        }
    }
}

fn param(value: &Value) -> ParamValue {
    match value {
        Value::Bool(b) => ParamValue::Bool(*b),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => ParamValue::Int(whole),
            (None, number) => ParamValue::Float(number.unwrap_or(f64::MAX)),
        },
        Value::String(text) => ParamValue::Str(text.clone()),
        Value::Null => ParamValue::Str("None".into()),
        other => ParamValue::Str(other.to_string()),
    }
}

/// Relative difference that the two sides' sums of the same numbers may have.
const TOLERANCE: f64 = 1e-9;

/// Compares what two libraries made of a script: what is equal, or the first thing that differs.
pub(super) fn compare(
    (ours, our_faults): (&[ScriptRun], &[Fault]),
    (theirs, their_faults): (&[ScriptRun], &[Fault]),
) -> Result<String, String> {
    faults(our_faults, their_faults)?;
    if ours.len() != theirs.len() {
        return Err(format!("{} runs here, {} there", ours.len(), theirs.len()));
    }
    let (mut trades, mut stats) = (0, 0);
    for (number, (a, b)) in ours.iter().zip(theirs).enumerate() {
        stats += run(a, b).map_err(|what| format!("run {}: {what}", number + 1))?;
        trades += a.trades.len();
    }
    Ok(format!("{} runs, {trades} trades, {stats} statistics", ours.len()))
}

fn faults(ours: &[Fault], theirs: &[Fault]) -> Result<(), String> {
    let kind = |fault: Option<&Fault>| fault.map(|f| (f.kind.clone(), f.line));
    let text = |fault: Option<&Fault>| fault.map_or_else(|| "no error".into(), Fault::line_text);
    for number in 0..ours.len().max(theirs.len()) {
        let (a, b) = (ours.get(number), theirs.get(number));
        if kind(a) != kind(b) {
            return Err(format!("{} here, {} there", text(a), text(b)));
        }
    }
    Ok(())
}

/// Number of statistics that are equal.
fn run(a: &ScriptRun, b: &ScriptRun) -> Result<usize, String> {
    if a.trades.len() != b.trades.len() {
        return Err(format!("{} trades here, {} there", a.trades.len(), b.trades.len()));
    }
    for (number, (x, y)) in a.trades.iter().zip(&b.trades).enumerate() {
        if let Some((field, here, there)) = first_field(x, y) {
            let (side, bar) = (if x.size > 0.0 { "long" } else { "short" }, x.entry_bar);
            return Err(format!(
                "trade {} of {} ({side}, from bar {bar}): {field} {here} here, {there} there",
                number + 1,
                a.trades.len()
            ));
        }
    }
    if a.tried != b.tried {
        let count = |tried: Option<u64>| tried.unwrap_or(1);
        return Err(format!("{} combinations tried here, {} there", count(a.tried), count(b.tried)));
    }
    if a.equity.len() != b.equity.len() {
        return Err(format!("{} bars here, {} there", a.equity.len(), b.equity.len()));
    }
    if let Some(bar) = (0..a.equity.len()).find(|i| !close(a.equity[*i], b.equity[*i])) {
        return Err(format!("equity of bar {bar}: {} here, {} there", a.equity[bar], b.equity[bar]));
    }
    for (name, x) in a.stats.iter() {
        let y = b.stats.get(name).ok_or_else(|| format!("{name} is missing there"))?;
        let same = match (x.as_f64(), y.as_f64()) {
            (Some(x), Some(y)) => close(x, y),
            _ => x == y,
        };
        if !same {
            return Err(format!("{name}: {} here, {} there", shown(x), shown(y)));
        }
    }
    match b.stats.iter().find(|(name, _)| a.stats.get(name).is_none()) {
        Some((name, _)) => Err(format!("{name} is missing here")),
        None => Ok(a.stats.len()),
    }
}

/// The first field in which two trades differ, and both its values.
fn first_field(a: &ScriptTrade, b: &ScriptTrade) -> Option<(&'static str, String, String)> {
    let number = |name, x: f64, y: f64| (!close(x, y)).then(|| (name, x.to_string(), y.to_string()));
    let bar = |name, x: u32, y: u32| (x != y).then(|| (name, x.to_string(), y.to_string()));
    let tag = || (a.tag != b.tag).then(|| ("tag", quoted(&a.tag), quoted(&b.tag)));
    number("size", a.size, b.size)
        .or_else(|| bar("entry bar", a.entry_bar, b.entry_bar))
        .or_else(|| number("entry price", a.entry_price, b.entry_price))
        .or_else(|| bar("exit bar", a.exit_bar, b.exit_bar))
        .or_else(|| number("exit price", a.exit_price, b.exit_price))
        .or_else(|| number("profit", a.pnl, b.pnl))
        .or_else(tag)
}

fn quoted(text: &str) -> String {
    format!("`{text}`")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "no value".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ScriptRun {
        ScriptRun {
            strategy: "S".into(),
            params: BTreeMap::new(),
            account: BTreeMap::new(),
            equity: vec![100.0, 101.0],
            trades: Vec::new(),
            open: Vec::new(),
            stats: [("Return [%]", 1.0.into()), ("SQN", Value::Null)].into_iter().collect(),
            bars: None,
            dated: true,
            from_given: true,
            tried: None,
            no_trade: None,
            elapsed_us: 0,
        }
    }

    #[test]
    fn differences_are_named() {
        let a = vec![sample()];
        assert_eq!(compare((&a, &[]), (&a, &[])).unwrap(), "1 runs, 0 trades, 2 statistics");
        let mut b = a.clone();
        let stats = |x: f64, sqn: Value| [("Return [%]", x.into()), ("SQN", sqn)].into_iter().collect();
        b[0].stats = stats(1.0 + 1e-12, Value::Null);
        assert!(compare((&a, &[]), (&b, &[])).is_ok());
        b[0].stats = stats(1.0, 2.0.into());
        assert_eq!(compare((&a, &[]), (&b, &[])).unwrap_err(), "run 1: SQN: no value here, 2.0 there");
        let searched = vec![ScriptRun { tried: Some(9), ..sample() }];
        assert!(compare((&searched, &[]), (&a, &[])).unwrap_err().contains("9 combinations"));
        let mut c = a.clone();
        c[0].equity[1] = 102.0;
        assert!(compare((&a, &[]), (&c, &[])).unwrap_err().contains("bar 1"));
        assert!(compare((&a, &[]), (&[], &[])).is_err());
        let fault = Fault::new("ValueError", "x");
        assert!(compare((&a, &[fault]), (&a, &[])).unwrap_err().contains("no error there"));
    }

    #[test]
    fn of_a_trade_the_field_and_both_values_are_named() {
        let trade = ScriptTrade {
            size: -2.0,
            entry_bar: 7,
            exit_bar: 9,
            entry_price: 10.0,
            exit_price: 11.0,
            sl: None,
            tp: None,
            pnl: -2.0,
            commission: 0.0,
            tag: String::new(),
        };
        let of = |trade: &ScriptTrade| vec![ScriptRun { trades: vec![trade.clone()], ..sample() }];
        let told = |other: ScriptTrade| compare((&of(&trade), &[]), (&of(&other), &[]));
        let place = "run 1: trade 1 of 1 (short, from bar 7)";
        for (other, field) in [
            (ScriptTrade { size: -3.0, ..trade.clone() }, "size -2 here, -3 there"),
            (ScriptTrade { exit_bar: 10, exit_price: 12.5, ..trade.clone() }, "exit bar 9 here, 10 there"),
            (ScriptTrade { exit_price: 12.5, ..trade.clone() }, "exit price 11 here, 12.5 there"),
            (ScriptTrade { tag: "x".into(), ..trade.clone() }, "tag `` here, `x` there"),
        ] {
            assert_eq!(told(other).unwrap_err(), format!("{place}: {field}"));
        }
        assert!(told(trade.clone()).is_ok());
    }

    #[test]
    fn parameters_are_inputs_as_those_of_other_runs() {
        let params =
            serde_json::json!({ "n": 3, "x": 1.5, "on": true, "kind": "ema", "none": null, "l": [1] });
        let params = params.as_object().unwrap().clone().into_iter().collect();
        let shown: Vec<String> = PythonFacts { params, ..PythonFacts::default() }
            .inputs()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(shown, ["kind=ema", "l=[1]", "n=3", "none=None", "on=true", "x=1.5"]);
    }
}
