//! A small strategy, swept over its length on random walks: batches of any size without a file.

use springtide_domain::{ContentHash, Params, SymbolInfo, synth};
use springtide_engine::Rules;
use springtide_lab::{
    batch::{Market, Plan},
    compiled::CompiledStrategy,
    dataset::{Cut, DataSet},
    execute::AccountOverrides,
    strategy::{StrategyKind, StrategySource},
    sweep::{Axis, grid_for},
};
use springtide_runtime::Pool;
use std::{path::Path, sync::Arc};

pub const SCRIPT: &str = r#"//@version=6
strategy("Cross", initial_capital = 10000)
length = input.int(10, "Length", minval = 1)
average = ta.sma(close, length)
if ta.crossover(close, average)
    strategy.entry("Long", strategy.long)
if ta.crossunder(close, average)
    strategy.close("Long")
"#;

/// So many lengths of each script on so many walks.
pub fn plan(scripts: Vec<String>, lengths: usize, markets: u64, bars: usize, pool: &Pool) -> Plan {
    let source = |text| StrategySource::from_text(Path::new("cross.pine"), StrategyKind::Pine, text);
    let sources = scripts.into_iter().map(source).collect();
    let sweep = [Axis::parse(&format!("Length=2..{}", lengths + 1)).expect("an axis")];
    let strategies = CompiledStrategy::all(sources, pool, None).into_iter().map(|strategy| {
        let (grid, _) = grid_for(strategy.inputs(), &Params::new(), &sweep, false);
        (Arc::new(strategy), grid)
    });
    let market = |seed: u64| {
        let spec = synth::SynthSpec { seed, bars, ..synth::SynthSpec::default() };
        let (walk, hash) = (synth::bars(&spec).into(), ContentHash::of(&seed.to_le_bytes()));
        let (path, symbol) = (format!("walk{seed}"), SymbolInfo::default());
        let data = DataSet::new(Path::new(&path), symbol, spec.timeframe, walk, hash, Cut::default());
        Market::Ready(Arc::new(data.expect("a walk is data")))
    };
    Plan {
        strategies: strategies.collect(),
        markets: (0..markets).map(market).collect(),
        library_rules: Vec::new(),
        rules: vec![Arc::new(Rules::default())],
        overrides: AccountOverrides::default(),
        library: Arc::default(),
        python: None,
    }
}
