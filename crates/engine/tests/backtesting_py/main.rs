//! Replays recorded scenarios (`record.py`) and demands the original's trades, equity and statistics.
//!
//! `SPRINGTIDE_SCENARIOS=FILE` replays another recording beside the committed one.

mod real_data;

use serde_json::Value;
use springtide_domain::OwnedBars;
use springtide_engine::backtesting_py::{
    Commission, Config, IndexKind, OrderRequest, Rules, Sim, SimTrade, Span, StatValue,
};
use springtide_engine::broker::NameId;

const GOLDEN: &str = include_str!("golden.jsonl");
const GOLDEN_0_3: &str = include_str!("golden_0_3.jsonl");

#[test]
fn committed_scenarios() {
    let summary = replay_all(GOLDEN);
    assert!(summary.scenarios >= 60 && summary.trades > 500, "{summary:?}");
}

#[test]
fn committed_scenarios_of_version_0_3() {
    let summary = replay_all(GOLDEN_0_3);
    assert!(summary.scenarios >= 55 && summary.trades > 500, "{summary:?}");
    // They are those of a version: under the other's rules most come out otherwise.
    let otherwise = GOLDEN_0_3.replace("\"version\":\"0.3.3\",", "");
    let differ = otherwise.lines().filter(|line| {
        let s: Value = serde_json::from_str(line).unwrap();
        !replay(&s, &mut Summary::default()).is_empty()
    });
    assert!(differ.count() * 10 >= summary.scenarios * 9);
}

#[test]
fn scenarios_named_by_the_environment() {
    let Ok(path) = std::env::var("SPRINGTIDE_SCENARIOS") else {
        eprintln!("SKIPPED: SPRINGTIDE_SCENARIOS names no recording");
        return;
    };
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    eprintln!("{:?}", replay_all(&text));
}

/// The engine's own metrics read the same run: equity from segments equals equity per bar.
#[test]
fn segments_and_trades_carry_the_run_into_the_metrics() {
    use springtide_engine::metrics::{Calendar, MetricsInput, compute, equity_curve};
    for line in GOLDEN.lines() {
        let s: Value = serde_json::from_str(line).unwrap();
        let bars = bars(&s);
        let sim = run(&s, &bars).0;
        let cash = s["cash"].as_f64().unwrap();
        let curve = equity_curve(&bars.view(), sim.segments(), cash);
        for (bar, (a, b)) in curve.iter().zip(sim.equity()).enumerate().skip(1) {
            assert!(near(*a, *b, 1e-9) || (a - b).abs() < 1e-9 * cash, "bar {bar}: {a} {b}");
        }
        if s["index"] != "number" {
            let view = bars.view();
            let trades = sim.engine_trades();
            let m = compute(&view, &Calendar::new(&view), &trades, sim.segments(), &MetricsInput::new(cash));
            assert_eq!(m.trades as usize, sim.closed_trades().len());
            let commissions: f64 = trades.iter().map(|t| t.commission).sum();
            assert!(near(commissions, sim.stats(0).commissions, 1e-9));
        }
    }
}

#[derive(Debug, Default)]
#[allow(dead_code)] // read through Debug
struct Summary {
    scenarios: usize,
    trades: usize,
    partial: usize,
    same_bar: usize,
    ruined: usize,
    refused: usize,
    unaffordable: usize,
    statistics: usize,
}

fn replay_all(text: &str) -> Summary {
    let (mut summary, mut bad) = (Summary::default(), Vec::new());
    for line in text.lines() {
        let s: Value = serde_json::from_str(line).unwrap();
        let differences = replay(&s, &mut summary);
        if !differences.is_empty() {
            bad.push(format!("seed {}: {}", s["seed"], differences.join("; ")));
        }
    }
    let shown: Vec<_> = bad.iter().take(10).collect();
    assert!(bad.is_empty(), "{} of {} differ:\n{shown:#?}", bad.len(), summary.scenarios);
    summary
}

fn number(v: &Value) -> f64 {
    match v {
        Value::String(word) => word.parse().unwrap(),
        _ => v.as_f64().unwrap_or_else(|| panic!("{v} is no number")),
    }
}

fn near(a: f64, b: f64, relative: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= relative * a.abs().max(b.abs())
}

fn bars(s: &Value) -> OwnedBars {
    let mut bars = OwnedBars::default();
    for (time, row) in s["time"].as_array().unwrap().iter().zip(s["bars"].as_array().unwrap()) {
        let p: Vec<f64> = row.as_array().unwrap().iter().map(number).collect();
        bars.push(time.as_i64().unwrap(), p[0], p[1], p[2], p[3], f64::NAN);
    }
    bars
}

/// Those of the version that recorded it; recordings of 0.6.6 do not say so.
fn rules(s: &Value) -> Rules {
    if s["version"] == "0.3.3" { Rules::V0_3 } else { Rules::V0_6 }
}

fn config(s: &Value) -> Config {
    let flag = |name: &str| s[name].as_bool().unwrap();
    let commission = match &s["commission"] {
        Value::Array(pair) => Commission::Fixed { fixed: number(&pair[0]), relative: number(&pair[1]) },
        Value::String(_) => Commission::Callback(Box::new(|size: f64, price: f64| {
            0.5 + size.abs() * 0.01 + if size > 0.0 { price * 1e-3 } else { price * 5e-4 }
        })),
        share => Commission::Relative(number(share)),
    };
    Config {
        cash: number(&s["cash"]),
        spread: number(&s["spread"]),
        commission,
        margin: number(&s["margin"]),
        trade_on_close: flag("trade_on_close"),
        hedging: flag("hedging"),
        exclusive_orders: flag("exclusive_orders"),
        finalize_trades: flag("finalize_trades"),
        rules: rules(s),
    }
}

/// The finished simulation, refused requests, and what the account looked like after each bar.
fn run<'a>(s: &Value, bars: &'a OwnedBars) -> (Sim<'a>, u64, Vec<[f64; 7]>) {
    let mut sim = Sim::new(bars.view(), config(s)).unwrap();
    let (mut refused, mut probes) = (0, Vec::new());
    sim.run(s["warmup"].as_u64().unwrap() as usize, |sim| {
        let bar = sim.now();
        for op in s["ops"][bar].as_array().unwrap() {
            refused += u64::from(!apply(sim, op, bars.close[bar]));
        }
        let p = sim.position();
        let (orders, trades) = (sim.queue().len() as f64, sim.open_trades().len() as f64);
        probes.push([bar as f64, orders, trades, p.size, p.pl, p.pl_pct, sim.equity_now()]);
    });
    (sim, refused, probes)
}

/// False when the request was refused.
fn apply(sim: &mut Sim<'_>, op: &Value, close: f64) -> bool {
    let price = |v: &Value| v.as_f64().map(|factor| close * factor);
    let pick = |len: usize| op[1].as_u64().map_or(0, |k| k as usize % len);
    match op[0].as_str().unwrap() {
        "o" => order(sim, op, price),
        "p" => sim.close_position(number(&op[1])).map(|()| true).unwrap(),
        "x" if !sim.queue().is_empty() => {
            sim.cancel(sim.queue()[pick(sim.queue().len())]);
            true
        }
        kind @ ("c" | "s" | "t") if !sim.open_trades().is_empty() => {
            let trade = sim.open_trades()[pick(sim.open_trades().len())];
            match kind {
                "c" => sim.close(trade, number(&op[2])).map(|_| ()),
                "s" => sim.set_sl(trade, price(&op[2])),
                _ => sim.set_tp(trade, price(&op[2])),
            }
            .unwrap();
            true
        }
        "x" | "c" | "s" | "t" => true,
        other => panic!("unknown operation {other}"),
    }
}

fn order(sim: &mut Sim<'_>, op: &Value, price: impl Fn(&Value) -> Option<f64>) -> bool {
    let mut request = OrderRequest {
        limit: price(&op[2]),
        stop: price(&op[3]),
        sl: price(&op[4]),
        tp: price(&op[5]),
        tag: op[6].as_u64().map(|tag| NameId(tag as u32)),
        ..OrderRequest::default()
    };
    let buy = match &op[1] {
        Value::String(side) => side == "buy",
        size => {
            request.size = number(size).abs();
            number(size) > 0.0
        }
    };
    if buy { sim.buy(request) } else { sim.sell(request) }.is_ok()
}

fn replay(s: &Value, summary: &mut Summary) -> Vec<String> {
    let bars = bars(s);
    let (sim, refused, probes) = run(s, &bars);
    let want = &s["expect"];
    let mut bad = Vec::new();
    let reported = if rules(s) == Rules::V0_3 { 5 } else { 8 };
    compare_trades(&sim, reported, want["trades"].as_array().unwrap(), &mut bad);
    let cash = number(&s["cash"]);
    for (bar, (got, want)) in sim.equity().iter().zip(want["equity"].as_array().unwrap()).enumerate() {
        let want = number(want);
        if *got != want {
            bad.push(format!("equity of bar {bar}: {got}, not {want}"));
        }
    }
    if refused != want["refused"].as_u64().unwrap() {
        bad.push(format!("{refused} requests refused, not {}", want["refused"]));
    }
    compare_probes(&probes, want["probes"].as_array().unwrap(), cash, &mut bad);
    compare_stats(s, &sim, &want["stats"], &mut bad);
    count(&sim, refused, want, summary);
    bad.truncate(4);
    bad
}

fn count(sim: &Sim<'_>, refused: u64, want: &Value, summary: &mut Summary) {
    use springtide_engine::backtesting_py::Notice;
    summary.scenarios += 1;
    summary.trades += sim.closed_trades().len();
    summary.same_bar += sim.closed_trades().filter(|t| t.exit.is_some_and(|e| e.bar == t.entry_bar)).count();
    summary.ruined += usize::from(sim.is_ruined());
    summary.refused += refused as usize;
    summary.unaffordable += sim.notices().iter().filter(|n| matches!(n, Notice::Unaffordable { .. })).count();
    summary.statistics += want["stats"].as_object().unwrap().len();
    let entries: std::collections::HashSet<_> =
        sim.closed_trades().map(|t| (t.entry_bar, t.entry_price.to_bits(), t.tag)).collect();
    summary.partial += sim.closed_trades().len() - entries.len();
}

/// `reported`: how many of the exact columns this version has in its table.
fn compare_trades(sim: &Sim<'_>, reported: usize, want: &[Value], bad: &mut Vec<String>) {
    if sim.closed_trades().len() != want.len() {
        bad.push(format!("{} trades, not {}", sim.closed_trades().len(), want.len()));
    }
    for (k, (t, want)) in sim.closed_trades().zip(want).enumerate() {
        let exit = t.exit.unwrap();
        let exact = [
            Some(t.size),
            Some(t.entry_bar as f64),
            Some(exit.bar as f64),
            Some(t.entry_price),
            Some(exit.price),
            sim.stop_loss(t),
            sim.take_profit(t),
            t.tag.map(|tag| f64::from(tag.0)),
        ];
        let expected: Vec<Option<f64>> =
            want.as_array().unwrap()[..8].iter().map(|v| (!v.is_null()).then(|| number(v))).collect();
        if exact[..reported] != expected[..reported] {
            bad.push(format!("trade {k}: {exact:?}, not {expected:?}"));
        }
        compare_money(k, t, want, bad);
    }
}

fn compare_money(k: usize, t: &SimTrade, want: &Value, bad: &mut Vec<String>) {
    let worth = (t.size * t.entry_price).abs();
    for (name, got, want, scale) in [
        ("PnL", t.pnl(), &want[8], worth),
        ("ReturnPct", t.return_fraction(), &want[9], 1.0),
        ("Commission", t.commissions, &want[10], 0.0),
    ] {
        // A version that has no such column has no such cost.
        let want = if want.is_null() && name == "Commission" { 0.0 } else { number(want) };
        if !(near(got, want, 1e-12) || (got - want).abs() <= 1e-12 * scale) {
            bad.push(format!("trade {k}: {name} {got}, not {want}"));
        }
    }
}

fn compare_probes(got: &[[f64; 7]], want: &[Value], cash: f64, bad: &mut Vec<String>) {
    if got.len() != want.len() {
        bad.push(format!("asked the strategy {} times, not {}", got.len(), want.len()));
    }
    for (got, want) in got.iter().zip(want) {
        let want: Vec<f64> = want.as_array().unwrap().iter().map(number).collect();
        let exact = got[..4] == want[..4];
        let money = |k: usize, scale: f64| near(got[k], want[k], 1e-12) || (got[k] - want[k]).abs() <= scale;
        // Sums of large opposite positions cancel; what is left carries their rounding.
        if !exact || !money(4, 1e-10 * cash) || !money(5, 1e-9) || !money(6, 1e-10 * cash) {
            bad.push(format!("after bar {}: {got:?}, not {want:?}", want[0]));
        }
    }
}

fn compare_stats(s: &Value, sim: &Sim<'_>, want: &Value, bad: &mut Vec<String>) {
    let kind = if s["index"] == "number" { IndexKind::Number } else { IndexKind::Datetime };
    let rows = sim.stats_with(s["warmup"].as_u64().unwrap() as usize, kind, 0.0).rows();
    let want = want.as_object().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let expected: Vec<&str> = want.keys().map(String::as_str).collect();
    let (mut a, mut b) = (names.clone(), expected.clone());
    a.sort_unstable();
    b.sort_unstable();
    if a != b {
        bad.push(format!("rows {names:?}, not {expected:?}"));
    }
    // Volatility is the root of a difference of two numbers near one: what is left of it when it is tiny
    // carries their rounding, and the Sharpe ratio divides by it.
    let volatility = want.get("Volatility (Ann.) [%]").map_or(f64::NAN, number) / 100.0;
    let cancelled = (1e-15 / (volatility * volatility)).clamp(1e-9, 1e-6);
    for (name, value) in rows {
        let relative =
            if matches!(name, "Volatility (Ann.) [%]" | "Sharpe Ratio") { cancelled } else { 1e-9 };
        if let Some(want) = want.get(name)
            && !same_stat(value, want, relative)
        {
            bad.push(format!("{name}: {value:?}, not {want}"));
        }
    }
}

fn same_stat(got: StatValue, want: &Value, relative: f64) -> bool {
    match (got, want) {
        // Version 0.3.3 writes them as fractions on a plain index.
        (StatValue::Count(n), _) => want.as_f64() == Some(n as f64),
        (StatValue::Index(i), _) => want.as_f64() == Some(i as f64),
        (StatValue::Span(Span::Time(ms)), _) => want["ms"].as_i64() == Some(ms),
        (StatValue::Number(x) | StatValue::Span(Span::Number(x)), Value::Number(_) | Value::String(_)) => {
            // Differences of nearly equal numbers are compared at the scale of percent.
            near(x, number(want), relative) || (x - number(want)).abs() < 1e-11
        }
        _ => false,
    }
}
