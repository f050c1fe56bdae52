//! The strategy and the bars that several comparisons share.

use springtide_domain::Params;
use springtide_engine::Rules;
use springtide_io::{ImportOptions, LoadedBars, load_any};
use springtide_lab::{
    compiled::CompiledStrategy,
    dataset::{Cut, DataSet},
    execute::{AccountOverrides, RunSpec},
    library::Library,
    strategy::{StrategyKind, StrategySource},
};
use springtide_pine::vm::Scratch;
use std::path::Path;

/// The script whose inputs are swept.
pub const SCRIPT: &str = include_str!("../../sma_cross.pine");
/// Final equity and entries of 10/30 on the bars whose figures are known, filled at the next open.
pub const KNOWN: (f64, u64) = (36_322.732_974, 684);
/// How far figures of two programs may lie apart: they sum in different orders.
pub const TOLERANCE: f64 = 1e-9;

/// Reads the script as a person's file is read.
pub fn compile() -> CompiledStrategy {
    let source = StrategySource::from_text(Path::new("sma_cross.pine"), StrategyKind::Pine, SCRIPT.into());
    CompiledStrategy::new(source, None)
}

/// Parses a file of bars into memory.
pub fn load(path: &str) -> Result<LoadedBars, String> {
    load_any(Path::new(path), &ImportOptions::default(), None).map_err(|e| e.to_string())
}

/// A market with nothing computed yet.
pub fn fresh(loaded: &LoadedBars) -> Result<DataSet, String> {
    let LoadedBars { bars, symbol, timeframe, hash, .. } = loaded.clone();
    DataSet::new(Path::new("bars.csv"), symbol, timeframe, bars, hash, Cut::default())
}

/// A named set of broker rules.
pub fn rules(preset: &str) -> Result<Rules, String> {
    Rules::preset(preset).ok_or_else(|| format!("there are no rules called {preset}"))
}

/// Runs the script with given inputs: final equity and entries, open ones included.
pub fn run(
    strategy: &CompiledStrategy,
    data: &DataSet,
    params: Params,
    rules: &Rules,
    scratch: &mut Scratch,
) -> Result<(f64, u64), String> {
    let (overrides, library) = (AccountOverrides::default(), Library::default());
    let spec =
        RunSpec { strategy, data, params, rules, overrides: &overrides, library: &library, python: None };
    let output = spec.run(scratch, &|| false).map_err(|e| e.to_string())?;
    let entries = output.simulation.trades.len() + output.simulation.open.len();
    Ok((output.metrics.equity_final, entries as u64))
}

/// True when two amounts are equal but for rounding.
pub fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}
