//! For random programs and bars every way of running gives the same bits: whole columns or bar by bar, leaping over
//! quiet bars or not, indicators shared with earlier runs or not, plots kept or sliced away, market orders sent
//! straight from masks or not.
//!
//! `PROPTEST_CASES=5000 cargo test --release -p springtide-pine --test paths` looks longer.

mod market;
mod program;

use proptest::{prelude::*, sample::Index, strategy::ValueTree, test_runner::TestRunner};
use springtide_domain::{OwnedBars, Params, Severity, SymbolInfo, Timeframe};
use springtide_engine::{
    Rules,
    rules::{RuleError, Sums},
};
use springtide_pine::{
    check::{CompileOptions, compile_with},
    ir::Program,
    vm::{ColumnStore, DataContext, ExecOptions, Outcome, Plan, RunError, Scratch, run},
};

const PRESETS: [&str; 6] = ["tradingview", "backtesting_py", "vectorbt", "nautilus", "backtrader", "wickra"];
const SUMS: [Sums; 3] = [Sums::Exact, Sums::Rolling, Sums::TradingView];

/// One way of running.
struct Way<'a> {
    name: &'a str,
    program: &'a Program,
    hoist: bool,
    store: &'a ColumnStore,
}

/// Plots, log lines and trades as text that shows every bit.
#[derive(PartialEq)]
struct Seen {
    series: Vec<String>,
    trades: Vec<String>,
}

fn seen(result: Result<Outcome, RunError>) -> Seen {
    let out = match result {
        Ok(out) => out,
        Err(e) => return Seen { series: Vec::new(), trades: vec![e.to_string()] },
    };
    let mut series: Vec<String> = Vec::new();
    for (title, values) in &out.plots {
        for (bar, x) in values.iter().enumerate() {
            series.push(format!("{title} on bar {bar}: {x:?}"));
        }
    }
    series.extend(out.logs.iter().map(ToString::to_string));
    let names = &out.names;
    let simulation = &out.simulation;
    let mut trades: Vec<String> = Vec::new();
    for t in &simulation.trades {
        let ids = [t.entry_id, t.exit_id, t.entry_comment, t.exit_comment].map(|id| names.get(id).to_owned());
        trades.push(format!(
            "{:?} {:?} bar {} at {:?} to bar {} at {:?}, {ids:?} {:?}, profit {:?}, commission {:?}, {:?} {:?}",
            t.side, t.qty, t.entry_bar, t.entry_price, t.exit_bar, t.exit_price, t.reason, t.profit, t.commission,
            t.max_runup, t.max_drawdown
        ));
    }
    for t in &simulation.open {
        trades.push(format!(
            "open {:?} {:?} bar {} at {:?}, {}",
            t.side,
            t.qty,
            t.entry_bar,
            t.entry_price,
            names.get(t.entry_id)
        ));
    }
    trades.extend(simulation.segments.iter().map(|s| format!("{s:?}")));
    trades.push(format!(
        "{:?}, {} margin calls, {:?}",
        simulation.counts, simulation.margin_calls, simulation.halted
    ));
    Seen { series, trades }
}

fn compile(source: &str, keep_plots: bool) -> Result<Program, String> {
    let compiled = compile_with(source, &CompileOptions { keep_plots, ..CompileOptions::default() });
    let bad = compiled.diagnostics.iter().find(|d| d.severity != Severity::Warning);
    let why = bad.map(|d| {
        let at = d.span.start as usize;
        format!("{} at `{}`", d.message, source.get(at..source.len().min(at + 60)).unwrap_or(""))
    });
    compiled.program.ok_or_else(|| format!("{}\n{source}", why.unwrap_or_default()))
}

fn go(way: &Way<'_>, bars: &OwnedBars, rules: &Rules) -> Seen {
    let symbol = SymbolInfo { timezone: "America/New_York".into(), ..SymbolInfo::default() };
    let data = DataContext {
        bars: bars.view(),
        timeframe: Timeframe::Minutes(15),
        symbol: &symbol,
        columns: way.store,
        others: None,
    };
    let plan = Plan::prepare(way.program, &Params::new()).expect("no inputs");
    let mut scratch = Scratch { options: ExecOptions { hoist: way.hoist } };
    seen(run(&plan, &data, rules, &way.program.account, &mut scratch, &|| false))
}

fn first_difference(a: &[String], b: &[String]) -> String {
    let none = String::from("nothing");
    (0..a.len().max(b.len()))
        .map(|k| (a.get(k).unwrap_or(&none), b.get(k).unwrap_or(&none)))
        .find(|(a, b)| a != b)
        .map_or_else(String::new, |(a, b)| format!("\n  {a}\n  {b}"))
}

/// Compares every way of running with the plainest one: bar by bar, with plots.
fn check(source: &str, bars: &OwnedBars, rules: &Rules) -> Result<(), String> {
    let (kept, sliced) = (compile(source, true)?, compile(source, false)?);
    let (warm, none) = (ColumnStore::new(64 << 20), ColumnStore::new(0));
    let way = |name, program, hoist, store| Way { name, program, hoist, store };
    let plain = go(&way("bar by bar", &kept, false, &none), bars, rules);
    let ways = [
        way("columns", &kept, true, &warm),
        way("columns, a second time", &kept, true, &warm),
        way("columns, none shared", &kept, true, &none),
        way("bar by bar, sliced", &sliced, false, &none),
        way("columns, sliced", &sliced, true, &none),
        way("columns, sliced, shared with others", &sliced, true, &warm),
    ];
    for way in &ways {
        let other = go(way, bars, rules);
        if other.trades != plain.trades {
            let difference = first_difference(&plain.trades, &other.trades);
            return Err(format!("{}: other trades{difference}\n{source}", way.name));
        }
        if std::ptr::eq(way.program, &kept) && other.series != plain.series {
            let difference = first_difference(&plain.series, &other.series);
            return Err(format!("{}: other series{difference}\n{source}", way.name));
        }
    }
    Ok(())
}

/// A random run.
struct Case {
    source: String,
    bars: OwnedBars,
    rules: Rules,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "rules {:?}, bars:", self.rules)?;
        let b = &self.bars;
        (0..b.time.len()).try_for_each(|i| {
            let minutes = (b.time[i] - b.time[0]) / 60_000;
            writeln!(f, "{minutes} {} {} {} {} {}", b.open[i], b.high[i], b.low[i], b.close[i], b.volume[i])
        })
    }
}

fn case() -> impl Strategy<Value = Case> {
    let preset = prop_oneof![3 => Just("tradingview"), 1 => proptest::sample::select(PRESETS.to_vec())];
    let sums = proptest::sample::select(SUMS.to_vec());
    let rules = prop_oneof![2 => (preset, sums).prop_map(|(p, s)| rules_with(p, s)), 1 => any_rules()];
    (program::script(), market::bars(), rules).prop_map(|(script, bars, rules)| Case {
        source: script.to_string(),
        bars,
        rules,
    })
}

fn market_case() -> impl Strategy<Value = Case> {
    (program::market_orders(), market::bars(), any_rules()).prop_map(|(script, bars, rules)| Case {
        source: script.to_string(),
        bars,
        rules,
    })
}

fn rules_with(preset: &str, sums: Sums) -> Rules {
    Rules { sums, ..Rules::preset(preset).expect("a preset") }
}

/// A preset with any of its rules changed.
fn any_rules() -> impl Strategy<Value = Rules> {
    let changes = proptest::collection::vec(any::<Option<Index>>(), Rules::KEYS.len());
    (proptest::sample::select(PRESETS.to_vec()), changes).prop_map(|(preset, changes)| {
        let mut rules = Rules::preset(preset).expect("a preset");
        for (key, change) in Rules::KEYS.iter().zip(changes) {
            // The error names what a rule may be.
            let choices = match rules.clone().set(&format!("{key}=?")) {
                Err(RuleError::Value { choices, .. }) => choices,
                other => panic!("{key}: {other:?}"),
            };
            if let Some(change) = change {
                rules.set(&format!("{key}={}", choices[change.index(choices.len())])).expect("a choice");
            }
        }
        rules
    })
}

/// Cases of a test in CI; more when the environment says so.
fn cases(at_least: u32) -> ProptestConfig {
    let cases = ProptestConfig::default().cases;
    // 256 is what proptest takes when it is told nothing.
    let cases = if cases > 256 { cases } else { at_least };
    ProptestConfig { cases, max_shrink_time: 60_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(192))]
    #[test]
    fn all_ways_of_running_agree(case in case()) {
        check(&case.source, &case.bars, &case.rules).map_err(TestCaseError::fail)?;
    }
}

proptest! {
    #![proptest_config(cases(256))]
    #[test]
    fn market_orders_agree_under_any_rules(case in market_case()) {
        check(&case.source, &case.bars, &case.rules).map_err(TestCaseError::fail)?;
    }
}

/// Programs that once gave different answers, on a few markets under all rules.
#[test]
fn programs_that_once_differed_agree() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/paths/found");
    let mut runner = TestRunner::deterministic();
    let markets: Vec<OwnedBars> =
        (0..4).map(|_| market::bars().new_tree(&mut runner).expect("bars").current()).collect();
    let mut programs = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        let source = std::fs::read_to_string(entry.path()).expect("readable");
        programs += 1;
        for (bars, preset) in markets.iter().flat_map(|bars| PRESETS.map(|p| (bars, p))) {
            for sums in SUMS {
                check(&source, bars, &rules_with(preset, sums))
                    .unwrap_or_else(|why| panic!("{:?}: {why}", entry.path()));
            }
        }
    }
    assert!(programs >= 5);
}

/// The comparison says nothing about programs that do nothing: most trade, and some trade a lot.
#[test]
fn random_programs_trade() {
    for (cases, least, busiest) in [(case().boxed(), 80, 30), (market_case().boxed(), 100, 60)] {
        let mut runner = TestRunner::deterministic();
        let (mut trading, mut busy) = (0, 0);
        for _ in 0..200 {
            let case = cases.new_tree(&mut runner).expect("a case").current();
            let program = compile(&case.source, false).expect("compiles");
            let store = ColumnStore::new(0);
            let way = Way { name: "columns", program: &program, hoist: true, store: &store };
            let trades =
                go(&way, &case.bars, &case.rules).trades.iter().filter(|t| t.contains(" at ")).count();
            trading += u32::from(trades > 0);
            busy += u32::from(trades > 5);
        }
        assert!(trading > least && busy > busiest, "{trading} of 200 trade, {busy} more than five times");
    }
}
