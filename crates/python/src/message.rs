//! What a run tells of itself.

use crate::stats::Stats;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use springtide_domain::{OwnedBars, Params};
use std::collections::BTreeMap;

/// A script's shape, by its syntax.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Shape {
    /// It makes its own `Backtest`; otherwise it only defines strategies.
    pub whole: bool,
    /// Names of the strategies.
    pub strategies: Vec<String>,
    /// Their attributes with plain values.
    pub params: Params,
    /// A markdown fence had to be taken off.
    pub fenced: bool,
    /// Tables that it names.
    pub files: Vec<String>,
    /// Modules that its import statements may mean, without those of the standard library.
    pub imports: Vec<String>,
}

/// Advice on a known class of error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// The class.
    pub code: String,
    /// What to do.
    pub text: String,
}

/// One step on the way to an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Frame {
    pub file: String,
    pub line: Option<u32>,
    pub function: String,
    pub source: String,
}

/// An error of a script: what a person or a program needs to mend it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Type of the first cause.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its message.
    pub message: String,
    /// The script.
    pub file: Option<String>,
    /// Line of the script, from 1.
    pub line: Option<u32>,
    /// Character of that line, from 1; older interpreters do not tell.
    #[serde(default)]
    pub column: Option<u32>,
    /// Function of the script.
    pub function: Option<String>,
    /// Lines of the script around it, with their numbers.
    pub context: Vec<(u32, String)>,
    /// Errors that it became on the way up, outermost first.
    pub within: Vec<String>,
    /// The innermost steps, the last one last.
    pub trace: Vec<Frame>,
    /// Advice, where the class is known.
    pub hint: Option<Hint>,
    /// Last lines of what was printed.
    #[serde(default)]
    pub output: Vec<String>,
}

impl Fault {
    /// One that has no exception behind it.
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), ..Self::default() }
    }

    /// One line: type, message, place.
    pub fn line_text(&self) -> String {
        let place = self.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let mut text = format!("{place}{}: {}", self.kind, first_line(&self.message));
        if let Some(hint) = &self.hint {
            text.push_str(&format!(" ({})", hint.text));
        }
        text
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A closed trade as the library reports it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ScriptTrade {
    /// Units, negative when short.
    pub size: f64,
    pub entry_bar: u32,
    pub exit_bar: u32,
    pub entry_price: f64,
    pub exit_price: f64,
    /// Stop loss and take profit at its end.
    pub sl: Option<f64>,
    pub tp: Option<f64>,
    /// Net of commission.
    pub pnl: f64,
    pub commission: f64,
    pub tag: String,
}

/// A trade that is open at the end.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct OpenPosition {
    pub size: f64,
    pub entry_bar: u32,
    pub entry_price: f64,
    pub pl: f64,
    pub tag: String,
}

/// One `Backtest.run`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptRun {
    /// Name of the strategy's class.
    pub strategy: String,
    /// What it was run with.
    pub params: BTreeMap<String, Value>,
    /// Cash, commission and the other settings of `Backtest`.
    pub account: BTreeMap<String, Value>,
    /// Equity at the close of every bar.
    pub equity: Vec<f64>,
    /// In closing order.
    pub trades: Vec<ScriptTrade>,
    /// Oldest first.
    pub open: Vec<OpenPosition>,
    /// The library's own statistics, in its order.
    pub stats: Stats,
    /// The bars it ran on, where they are not those of the data set.
    pub bars: Option<OwnedBars>,
    /// Its own bars have times.
    pub dated: bool,
    /// The script had been given the data set by then: its own bars may come of it.
    pub from_given: bool,
    /// Of the best run of an optimisation: how many combinations of parameters were run to find it.
    pub tried: Option<u64>,
    /// Why there is no trade, where there is none.
    pub no_trade: Option<String>,
    /// Time that the call took.
    pub elapsed_us: u64,
}

/// One `Backtest.run` that raised.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct FailedRun {
    /// Name of the strategy's class; empty where a script ended outside of any run.
    pub strategy: String,
    /// What it was run with.
    pub params: BTreeMap<String, Value>,
    /// What it raised.
    pub fault: Fault,
}

/// The last word of a script.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ScriptEnd {
    /// What ended it, unless it came to its end.
    pub fault: Option<Fault>,
    /// That is the last failed run once more, with what it became on its way up.
    pub again: bool,
    /// Things to know.
    pub notes: Vec<String>,
}
