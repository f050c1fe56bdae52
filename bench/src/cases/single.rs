//! One SMA cross, 10/30, with its statistics.

use super::{argument, market};
use crate::{
    contest::{Measured, Setup},
    table::{Comparison, Verdict, number},
};
use serde_json::{Value, json};
use springtide_domain::Params;
use springtide_pine::vm::Scratch;

const WITH_TEXT: &str = "springtide, from the script's text";
const WITHOUT: &str = "springtide, checked before";

/// Beside RaptorBT, vectorbt and backtesting.py.
pub fn compare(setup: &Setup) -> Result<Vec<Comparison>, String> {
    let data = setup.data.to_str().ok_or("the data's path is no text")?;
    let bars = market::load(data)?.bars.len();
    let right = |r: &Value| is_right(r, setup.known);
    let mut entries = vec![
        setup.own(WITH_TEXT, "single", &[data, "text"]).check(right).into_base(),
        setup.own(WITHOUT, "single", &[data, "program"]).check(right),
    ];
    entries.extend(setup.rival("RaptorBT", "raptor.py", &["single", data], None).map(|e| e.check(right)));
    entries.extend(
        setup.rival("vectorbt with stats", "vector.py", &["single", data], None).map(|e| e.check(right)),
    );
    let python = setup.rival("backtesting.py", "backtesting_py.py", &["single", data], None);
    entries.extend(python.map(|e| e.check(|r| has_entries(r, setup.known))));
    let mut comparison = Comparison {
        title: format!("One run: SMA cross 10/30 over {bars} bars"),
        note:
            "From bars in memory to all statistics, indicators computed in the time. Checked: final equity \
               and entries (of backtesting.py, which charges its fee another way, the entries)."
                .into(),
        rate: None,
        unit: ("ms", 1e3),
        entries,
        verdicts: Vec::new(),
    };
    let under = |name: &str, limit: f64| {
        comparison
            .measured(name)
            .map(|m| (format!("{} ms", number(m.median() * 1e3)), m.median() * 1e3 < limit))
    };
    let verdicts = vec![
        Verdict::new("under 3 ms with parsing and checking", under(WITH_TEXT, 3.0)),
        Verdict::new("under 0.5 ms without", under(WITHOUT, 0.5)),
    ];
    comparison.verdicts = verdicts;
    Ok(vec![comparison])
}

fn is_right(result: &Value, known: bool) -> Result<(), String> {
    has_entries(result, known)?;
    let equity = result["equity"].as_f64().unwrap_or(f64::NAN);
    if !equity.is_finite() || known && !market::near(equity, market::KNOWN.0) {
        return Err(format!("final equity {equity}"));
    }
    Ok(())
}

fn has_entries(result: &Value, known: bool) -> Result<(), String> {
    match result["entries"].as_u64() {
        Some(n) if n > 0 && (!known || n == market::KNOWN.1) => Ok(()),
        n => Err(format!("{n:?} entries")),
    }
}

/// Runs in one round, so that the clock's steps do not show.
const RUNS: u32 = 20;

/// Ours: `DATA text|program`.
pub fn own(arguments: &[&str]) -> Result<Measured, String> {
    let loaded = market::load(argument(arguments, 0)?)?;
    let parse = argument(arguments, 1)? == "text";
    let rules = market::rules("vectorbt")?;
    let program = market::compile();
    let mut scratch = Scratch::default();
    let mut measured = Measured::of(|| {
        let mut last = (f64::NAN, 0);
        for _ in 0..RUNS {
            let data = market::fresh(&loaded)?;
            let parsed = parse.then(market::compile);
            let strategy = parsed.as_ref().unwrap_or(&program);
            last = market::run(strategy, &data, Params::new(), &rules, &mut scratch)?;
        }
        Ok(json!({ "equity": last.0, "entries": last.1 }))
    })?;
    measured.seconds.iter_mut().for_each(|s| *s /= f64::from(RUNS));
    Ok(measured)
}
