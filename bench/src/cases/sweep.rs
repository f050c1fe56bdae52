//! 1,380 SMA crosses on one market, from the script's text, with all statistics of each.

use super::{argument, count, market, tide};
use crate::{
    contest::{Done, Entry, Measured, Setup},
    table::{Comparison, Verdict, number},
};
use serde_json::{Value, json};
use springtide_domain::{ParamValue, Params};
use springtide_pine::vm::Scratch;
use springtide_runtime::{GroupOptions, Outcome, Pool, PoolConfig, TaskCtx};
use std::{cell::RefCell, collections::HashMap, sync::Arc};

const OURS: &str = "springtide, two workers";
const RIVAL: &str = "RaptorBT";

fn combinations() -> Vec<(i64, i64)> {
    (5..=50).flat_map(|fast| (55..=200).step_by(5).map(move |slow| (fast, slow))).collect()
}

/// Beside RaptorBT and vectorbt.
pub fn compare(setup: &Setup) -> Result<Vec<Comparison>, String> {
    let data = setup.data.to_str().ok_or("the data's path is no text")?;
    let bars = market::load(data)?.bars.len();
    let own = |name: &str, preset: &str, workers: &str| setup.own(name, "sweep", &[data, preset, workers]);
    let ours = own(OURS, "vectorbt", "2").check(|r| is_known(r, setup.known));
    let truth = ours.outcome.as_ref().ok().map(|m| m.result.clone());
    let equal = |entry: Entry| match &truth {
        Some(truth) => entry.check(|r| is_equal(r, truth)),
        None => entry,
    };
    let mut entries = vec![
        ours.into_base(),
        equal(own("springtide, one worker", "vectorbt", "1")),
        own("springtide, two workers, TradingView's rules", "tradingview", "2").check(is_complete),
        equal(recorded(data)),
    ];
    entries.extend(setup.rival(RIVAL, "raptor.py", &["sweep", data], None).map(equal));
    entries.extend(setup.rival("vectorbt", "vector.py", &["sweep", data, "plain"], None).map(equal));
    let statistics = ["sweep", data, "statistics"];
    entries.extend(setup.rival("vectorbt + Sharpe, drawdown", "vector.py", &statistics, None).map(equal));
    let mut comparison = Comparison {
        title: format!("Sweep: {} SMA crosses over {bars} bars", combinations().len()),
        note: "From script and arrays in memory to the statistics of every run; RaptorBT and springtide give all \
               of theirs, vectorbt final equity and trade count. The line with the ledger is the whole program: it \
               parses the CSV file and every run is on disk at the end. Checked: every final equity and entry count \
               equals ours to 1e-9 (but under TradingView's rules, which fill other sizes)."
            .into(),
        rate: Some(("M bars/s", (combinations().len() * bars) as f64 / 1e6)),
        unit: ("ms", 1e3),
        entries,
        verdicts: Vec::new(),
    };
    comparison.verdicts = verdicts(&comparison);
    Ok(vec![comparison])
}

fn verdicts(c: &Comparison) -> Vec<Verdict> {
    let speed = c.speed(OURS).map(|s| (format!("{} million", number(s)), s >= 500.0));
    let times = c.ratio(RIVAL, OURS).map(|r| (format!("{}x", number(r)), r >= 15.0));
    let memory = c.measured(OURS).map(|m| {
        let mb = m.peak_kb as f64 / 1024.0;
        (format!("{} MB", number(mb)), mb < 150.0)
    });
    let default = c
        .ratio("springtide, two workers, TradingView's rules", OURS)
        .map(|r| (format!("{}x the time", number(r)), r < 1.1));
    vec![
        Verdict::new("at least 500 million bars per second", speed),
        Verdict::new("at least 15 times RaptorBT", times),
        Verdict::new("under 150 MB", memory),
        Verdict::new("the default rules are as fast", default),
    ]
}

/// Through the program, ledger and all.
fn recorded(data: &str) -> Entry {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/sma_cross.pine");
    let arguments = [
        "-q",
        "backtest",
        script,
        "--data",
        data,
        "--sweep",
        "Fast=5..50:1",
        "--sweep",
        "Slow=55..200:5",
        "--broker",
        "vectorbt",
        "-j",
        "2",
        "--json",
    ];
    tide::measure("tide backtest, two workers, with the ledger", &arguments, read_lines)
}

/// The runs of `--json`, which come as they finish, in the order of the combinations.
fn read_lines(done: &Done) -> Result<Value, String> {
    let mut found = HashMap::new();
    for line in done.stdout.lines() {
        let run: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let input = |name: &str| run["params"][name].as_i64().unwrap_or(-1);
        let trades = run["metrics"]["trades"].as_u64().unwrap_or(0)
            + run["metrics"]["open_trades"].as_u64().unwrap_or(0);
        found.insert((input("Fast"), input("Slow")), (run["metrics"]["equity_final"].clone(), trades));
    }
    let of = |pair: &(i64, i64)| found.get(pair).cloned().unwrap_or_default();
    let runs: Vec<(Value, u64)> = combinations().iter().map(of).collect();
    Ok(json!({
        "equity": runs.iter().map(|r| r.0.clone()).collect::<Vec<_>>(),
        "entries": runs.iter().map(|r| r.1).collect::<Vec<_>>(),
    }))
}

fn columns(result: &Value) -> Result<(Vec<f64>, Vec<u64>), String> {
    let list = |name: &str| result[name].as_array().cloned().unwrap_or_default();
    let equity: Vec<f64> = list("equity").iter().filter_map(Value::as_f64).collect();
    let entries: Vec<u64> = list("entries").iter().filter_map(Value::as_u64).collect();
    let wanted = combinations().len();
    if equity.len() != wanted || entries.len() != wanted {
        return Err(format!("{} equities and {} counts of {wanted}", equity.len(), entries.len()));
    }
    Ok((equity, entries))
}

fn is_complete(result: &Value) -> Result<(), String> {
    let (equity, entries) = columns(result)?;
    let odd = equity.iter().filter(|e| !e.is_finite()).count() + entries.iter().filter(|n| **n == 0).count();
    if odd > 0 { Err(format!("{odd} runs without trades or equity")) } else { Ok(()) }
}

fn is_equal(result: &Value, truth: &Value) -> Result<(), String> {
    let ((equity, entries), (true_equity, true_entries)) = (columns(result)?, columns(truth)?);
    let other = equity.iter().zip(&true_equity).filter(|(a, b)| !market::near(**a, **b)).count();
    let counts = entries.iter().zip(&true_entries).filter(|(a, b)| a != b).count();
    if other + counts > 0 { Err(format!("{other} equities and {counts} counts differ")) } else { Ok(()) }
}

/// Ours is checked against a figure of another program, so that all equal is not all wrong.
fn is_known(result: &Value, known: bool) -> Result<(), String> {
    is_complete(result)?;
    let (equity, _) = columns(result)?;
    if known && !market::near(equity[0], KNOWN_FIRST) {
        return Err(format!("5/55 ends at {}", equity[0]));
    }
    Ok(())
}

/// Final equity of 5/55 as RaptorBT 0.13.4 gives it.
const KNOWN_FIRST: f64 = 44_776.169_522_874_45;

/// Ours: `DATA PRESET WORKERS`.
pub fn own(arguments: &[&str]) -> Result<Measured, String> {
    let loaded = market::load(argument(arguments, 0)?)?;
    let rules = Arc::new(market::rules(argument(arguments, 1)?)?);
    let workers = count(argument(arguments, 2)?)?;
    let pool = Pool::new(PoolConfig { workers, ..PoolConfig::default() }).map_err(|e| e.to_string())?;
    Measured::of(|| {
        let strategy = Arc::new(market::compile());
        let data = Arc::new(market::fresh(&loaded)?);
        let job = |(fast, slow): (i64, i64)| {
            let (strategy, data, rules) = (Arc::clone(&strategy), Arc::clone(&data), Arc::clone(&rules));
            let body = move |_: &TaskCtx<'_>| {
                let params = Params::from([
                    ("Fast".into(), ParamValue::Int(fast)),
                    ("Slow".into(), ParamValue::Int(slow)),
                ]);
                SCRATCH.with_borrow_mut(|scratch| market::run(&strategy, &data, params, &rules, scratch))
            };
            ("run", body)
        };
        let group = pool.group(GroupOptions::default());
        let mut runs = vec![(f64::NAN, 0); combinations().len()];
        let mut failed = None;
        group.feed(combinations().into_iter().map(job), |index, outcome| match outcome {
            Outcome::Done(Ok(run)) => runs[index as usize] = run,
            Outcome::Done(Err(error)) => failed = Some(error),
            _ => failed = Some("a run was lost".into()),
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let (equity, entries): (Vec<f64>, Vec<u64>) = runs.into_iter().unzip();
        Ok(json!({ "equity": equity, "entries": entries }))
    })
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}
