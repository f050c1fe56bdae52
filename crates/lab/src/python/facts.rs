//! What the ledger keeps of a Python run besides what all runs have.

use crate::execute::AccountOverrides;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use springtide_python::{Fault, ScriptRun};
use std::collections::BTreeMap;

/// How a run came about, and what the library itself says of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PythonFacts {
    /// `rust` or `original`.
    pub engine: String,
    /// Versions of the library, the interpreter and the packages.
    pub environment: String,
    /// The strategy's class.
    pub strategy: String,
    /// Which of the script's runs it is, from 0, and how many there are.
    pub number: usize,
    /// Runs of the script.
    pub runs: usize,
    /// What the command line changed in its account.
    pub overrides: AccountOverrides,
    /// What `run()` was called with.
    pub params: BTreeMap<String, Value>,
    /// Cash, commission and the other settings of `Backtest`.
    pub account: BTreeMap<String, Value>,
    /// The library's own statistics.
    pub stats: BTreeMap<String, Value>,
    /// Things to know.
    pub notes: Vec<String>,
    /// What ended the script; with runs recorded, what ended it after them.
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

/// Relative difference that the two sides' sums of the same numbers may have.
const TOLERANCE: f64 = 1e-9;

type Side<'a> = (&'a [ScriptRun], Option<&'a Fault>);

/// Compares what two libraries made of a script: what is equal, or the first thing that differs.
pub(super) fn compare(
    (ours, our_fault): (&Vec<ScriptRun>, Option<&Fault>),
    (theirs, their_fault): (&Vec<ScriptRun>, Option<&Fault>),
) -> Result<String, String> {
    faults((ours, our_fault), (theirs, their_fault))?;
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

fn faults((_, ours): Side<'_>, (_, theirs): Side<'_>) -> Result<(), String> {
    let kind = |fault: Option<&Fault>| fault.map(|f| (f.kind.clone(), f.line));
    let text = |fault: Option<&Fault>| fault.map_or_else(|| "no error".into(), Fault::line_text);
    if kind(ours) == kind(theirs) {
        return Ok(());
    }
    Err(format!("{} here, {} there", text(ours), text(theirs)))
}

/// Number of statistics that are equal.
fn run(a: &ScriptRun, b: &ScriptRun) -> Result<usize, String> {
    if a.trades.len() != b.trades.len() {
        return Err(format!("{} trades here, {} there", a.trades.len(), b.trades.len()));
    }
    for (number, (x, y)) in a.trades.iter().zip(&b.trades).enumerate() {
        let same = (x.size, x.entry_bar, x.exit_bar, &x.tag) == (y.size, y.entry_bar, y.exit_bar, &y.tag)
            && close(x.entry_price, y.entry_price)
            && close(x.exit_price, y.exit_price)
            && close(x.pnl, y.pnl);
        if !same {
            return Err(format!("trade {}: {x:?} here, {y:?} there", number + 1));
        }
    }
    if a.equity.len() != b.equity.len() {
        return Err(format!("{} bars here, {} there", a.equity.len(), b.equity.len()));
    }
    if let Some(bar) = (0..a.equity.len()).find(|i| !close(a.equity[*i], b.equity[*i])) {
        return Err(format!("equity of bar {bar}: {} here, {} there", a.equity[bar], b.equity[bar]));
    }
    for (name, x) in &a.stats {
        let y = b.stats.get(name).ok_or_else(|| format!("{name} is missing there"))?;
        let same = match (x.as_f64(), y.as_f64()) {
            (Some(x), Some(y)) => close(x, y),
            _ => x == y,
        };
        if !same {
            return Err(format!("{name}: {x} here, {y} there"));
        }
    }
    match b.stats.keys().find(|name| !a.stats.contains_key(*name)) {
        Some(name) => Err(format!("{name} is missing here")),
        None => Ok(a.stats.len()),
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
            stats: BTreeMap::from([("Return [%]".into(), 1.0.into()), ("SQN".into(), Value::Null)]),
            bars: None,
            dated: true,
            no_trade: None,
            elapsed_us: 0,
        }
    }

    #[test]
    fn differences_are_named() {
        let a = vec![sample()];
        assert_eq!(compare((&a, None), (&a, None)).unwrap(), "1 runs, 0 trades, 2 statistics");
        let mut b = a.clone();
        b[0].stats.insert("Return [%]".into(), (1.0 + 1e-12).into());
        assert!(compare((&a, None), (&b, None)).is_ok());
        b[0].stats.insert("SQN".into(), 2.0.into());
        assert!(compare((&a, None), (&b, None)).unwrap_err().contains("SQN"));
        let mut c = a.clone();
        c[0].equity[1] = 102.0;
        assert!(compare((&a, None), (&c, None)).unwrap_err().contains("bar 1"));
        assert!(compare((&a, None), (&Vec::new(), None)).is_err());
        let fault = Fault::new("ValueError", "x");
        assert!(compare((&a, Some(&fault)), (&a, None)).unwrap_err().contains("no error there"));
    }
}
