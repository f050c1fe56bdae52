//! A recorded run, run again: to show its trades, and to prove its numbers.

use crate::{
    LabError, Ledger,
    compiled::CompiledStrategy,
    dataset::{Cut, DataSet},
    execute::{AccountOverrides, ENGINE_VERSION, RunOutput, RunSpec, trades_hash},
    ledger::RunRecord,
    library::Library,
    market,
    python::{BarsOf, PythonFacts, PythonLab},
    report::RunDetail,
    strategy::{StrategyKind, StrategySource},
};
use springtide_engine::{Rules, metrics::METRICS};
use springtide_pine::vm::Scratch;
use std::path::Path;

/// The repetition of a recorded run.
#[derive(Debug)]
pub struct Replay {
    /// The bars it ran on.
    pub data: DataSet,
    /// What came out this time.
    pub output: RunOutput,
    differences: Vec<String>,
    elsewhere: String,
}

/// Starts a Python with the engine and the rules that a run was made with.
pub type StartPython<'a> = &'a dyn Fn(&PythonFacts, &Rules) -> Result<PythonLab, LabError>;

/// Repeats `record`: the strategy's text comes from the ledger, the bars from where they were, checked
/// against the recorded hash. `python` is asked where the strategy is in Python.
pub fn run(
    ledger: &Ledger,
    record: &RunRecord,
    store: &Path,
    cache: &Path,
    python: StartPython<'_>,
) -> Result<Replay, LabError> {
    let text = ledger
        .strategy_text(&record.strategy_hash)?
        .ok_or_else(|| LabError::BadRow(format!("strategy {} has no text", record.strategy_hash)))?;
    let lab = record.python.as_ref().map(|facts| python(facts, &record.rules)).transpose()?;
    let kind = if lab.is_some() { StrategyKind::Python } else { StrategyKind::Pine };
    let source = StrategySource::from_text(Path::new(&record.source), kind, text);
    let strategy = CompiledStrategy::new(source, lab.as_ref());
    if let (Some(facts), Some(lab), Some(script)) = (&record.python, &lab, strategy.python()) {
        lab.still_has(script, &facts.files)?;
    }
    let data = data(record, store, cache)?;
    let overrides = match &record.python {
        Some(facts) => facts.overrides.clone(),
        None => AccountOverrides {
            cash: Some(record.setup.account.initial_capital),
            commission: Some(record.setup.account.commission),
            slippage: Some(record.setup.account.slippage),
        },
    };
    let library = library(record, &data, store, cache)?;
    let spec = RunSpec {
        strategy: &strategy,
        data: &data,
        params: record.asked().clone(),
        rules: &record.rules,
        overrides: &overrides,
        library: &library,
        python: lab.as_ref(),
    };
    for (then, now) in record.setup.others.iter().zip(spec.others()) {
        if then.hash != now.hash {
            return Err(LabError::Data(format!(
                "the bars of {} at {} have changed since the run was recorded",
                then.symbol, then.timeframe
            )));
        }
    }
    let number = record.python.as_ref().map_or(0, |facts| facts.number);
    let elsewhere = elsewhere(record, lab.as_ref());
    let (mut output, own) = spec
        .repeat(number, &mut Scratch::default())
        .map_err(|failure| LabError::Usage(format!("the run does not repeat: {failure}{elsewhere}")))?;
    if let Some(facts) = &record.python {
        // What was said of the run, and not what is said of the repetition: that keeps no pages, for one.
        output.notes = facts.notes.clone();
    }
    let differences = compare(record, &output);
    Ok(Replay { data: own.unwrap_or(data), output, differences, elsewhere })
}

/// Where a Python run was made, if not with what the lab works with.
fn elsewhere(record: &RunRecord, lab: Option<&PythonLab>) -> String {
    let (Some(facts), Some(lab)) = (&record.python, lab) else { return String::new() };
    match lab.engine(&record.rules) {
        Some(engine) if engine.identity == facts.environment => String::new(),
        engine => facts.made_with(engine.map(|engine| &engine.interpreter)),
    }
}

fn data(record: &RunRecord, store: &Path, cache: &Path) -> Result<DataSet, LabError> {
    let setup = &record.setup;
    let cut = Cut { from_ms: setup.from_ms, to_ms: setup.to_ms, resample: setup.resample };
    let own = record.python.as_ref().is_some_and(|facts| facts.bars == BarsOf::Own);
    let symbol = (!own).then(|| record.symbol.clone());
    let wanted = market::Wanted { symbol, ..market::Wanted::default() };
    let data = market::load(&setup.data_path, store, cache, &wanted, cut)?;
    if data.hash.to_string() != record.data_hash {
        return Err(LabError::Data(format!("{} has changed since the run was recorded", setup.data_path)));
    }
    Ok(data)
}

/// The store's bars, and those the run took from files outside it.
fn library(record: &RunRecord, data: &DataSet, store: &Path, cache: &Path) -> Result<Library, LabError> {
    let mut library = Library::new(store, [data]);
    for other in &record.setup.others {
        let Some(source) = &other.source else { continue };
        let name = if source.exchange.is_empty() {
            source.ticker.clone()
        } else {
            format!("{}:{}", source.exchange, source.ticker)
        };
        let wanted = market::Wanted { symbol: Some(name), ..market::Wanted::default() };
        let found = market::load(&other.path, store, cache, &wanted, Cut::default())?;
        library.add(source.clone(), found.timeframe, found.path, found.hash, found.bars);
    }
    Ok(library)
}

fn compare(record: &RunRecord, output: &RunOutput) -> Vec<String> {
    let mut found = Vec::new();
    let hash = trades_hash(&output.simulation.trades);
    if record.trades_hash.as_ref().is_some_and(|h| *h != hash) {
        found.push("the trades".to_owned());
    }
    if let Some(then) = &record.metrics {
        for m in METRICS {
            let (a, b) = (then.get(m.name), output.metrics.get(m.name));
            if a.map(f64::to_bits) != b.map(f64::to_bits) {
                let text = |x: Option<f64>| x.map_or("none".to_owned(), |x| x.to_string());
                found.push(format!("{} (was {}, is {})", m.name, text(a), text(b)));
            }
        }
    }
    found
}

impl Replay {
    /// Everything to show of the run.
    pub fn detail(&self, record: &RunRecord, candles: bool) -> RunDetail {
        let capital = record.setup.account.initial_capital;
        RunDetail::new(record.id.as_str(), &self.data, &self.output, capital, candles)
    }

    /// What came out differently, one sentence; none when every number is equal.
    pub fn difference(&self) -> Option<String> {
        if self.differences.is_empty() {
            return None;
        }
        Some(format!(
            "differs from the record ({ENGINE_VERSION}) in {}{}",
            self.differences.join(", "),
            self.elsewhere
        ))
    }
}
