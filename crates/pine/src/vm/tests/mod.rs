//! Scripts run on a handful of bars.

mod collections;
mod fills;
mod requests;
mod text;
mod times;

use super::{ColumnStore, DataContext, ExecOptions, OtherData, Outcome, Plan, RunError, Scratch, run};
use crate::check::{CompileOptions, compile_with};
use springtide_domain::{OwnedBars, SymbolInfo, Timeframe};
use springtide_engine::Rules;

/// Bars of an hour from midnight on; each is open, high, low, close.
fn hours(bars: &[[f64; 4]]) -> OwnedBars {
    let mut out = OwnedBars::default();
    for (i, [o, h, l, c]) in bars.iter().enumerate() {
        out.push(1_704_067_200_000 + i as i64 * 3_600_000, *o, *h, *l, *c, 1_000.0);
    }
    out
}

/// So many bars that go up and down.
fn waves(n: usize) -> OwnedBars {
    let price = |i: usize| 100.0 + 10.0 * (i as f64 * 0.37).sin();
    let bars: Vec<[f64; 4]> = (0..n)
        .map(|i| {
            let (o, c) = (price(i), price(i + 1));
            [o, o.max(c) + 1.0, o.min(c) - 1.0, c]
        })
        .collect();
    hours(&bars)
}

fn symbol() -> SymbolInfo {
    SymbolInfo { ticker: "TEST".into(), min_qty: 1e-4, ..SymbolInfo::default() }
}

fn execute(source: &str, bars: &OwnedBars, options: ExecOptions) -> Result<Outcome, RunError> {
    execute_with(source, bars, options, None)
}

fn execute_with(
    source: &str,
    bars: &OwnedBars,
    options: ExecOptions,
    others: Option<&dyn OtherData>,
) -> Result<Outcome, RunError> {
    let compiled = compile_with(source, &CompileOptions { keep_plots: true, ..Default::default() });
    let program = compiled.program.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
    let plan = Plan::prepare(&program, &Default::default()).unwrap();
    let (store, symbol) = (ColumnStore::new(1 << 20), symbol());
    let data = DataContext {
        bars: bars.view(),
        timeframe: Timeframe::Minutes(60),
        symbol: &symbol,
        columns: &store,
        others,
    };
    let mut scratch = Scratch { options };
    run(&plan, &data, &Rules::default(), &program.account, &mut scratch, &|| false)
}

/// Runs a script; where nothing is hoisted into columns it must plot the same.
fn outcome(source: &str, bars: &OwnedBars) -> Outcome {
    outcome_with(source, bars, None)
}

fn outcome_with(source: &str, bars: &OwnedBars, others: Option<&dyn OtherData>) -> Outcome {
    let out = execute_with(source, bars, ExecOptions::default(), others).unwrap();
    let plain = execute_with(source, bars, ExecOptions { hoist: false }, others).unwrap();
    let bits = |o: &Outcome| -> Vec<Vec<u64>> {
        o.plots.iter().map(|(_, v)| v.iter().map(|x| x.to_bits()).collect()).collect()
    };
    assert_eq!(bits(&out), bits(&plain), "with columns and without: {source}");
    assert_eq!(out.simulation.trades, plain.simulation.trades, "{source}");
    out
}

/// The values of the plot with this title.
fn plot(out: &Outcome, title: &str) -> Vec<f64> {
    out.plots.iter().find(|(t, _)| t == title).unwrap_or_else(|| panic!("no plot {title}")).1.clone()
}

/// Plots on the last bar; the script is `body` in a strategy.
fn last(version: u8, body: &str) -> Vec<(String, f64)> {
    let source = format!("//@version={version}\nstrategy(\"t\")\n{body}");
    let out = outcome(&source, &waves(40));
    out.plots.iter().map(|(t, v)| (t.clone(), *v.last().unwrap())).collect()
}

/// Each plot of `body` is 1 on the last bar: a script that checks itself.
fn holds(version: u8, body: &str) {
    for (title, x) in last(version, body) {
        assert_eq!(x, 1.0, "{title} in\n{body}");
    }
}
