//! Snippets with what they must give, by hand: series, trades, diagnostics.
//!
//! `PINE_SUITE_UPDATE=1` writes what came out into the files where it differs; read the difference before you
//! keep it. The format is described in `case.rs`.

mod case;

use case::{Case, same, show};
use springtide_domain::{ParamValue, Params, Severity, SourceMap, SymbolInfo, Timeframe};
use springtide_engine::{Rules, broker::Side};
use springtide_pine::{
    check::{CompileOptions, compile_with},
    vm::{ColumnStore, DataContext, ExecOptions, Outcome, Plan, Scratch, run},
};
use std::path::{Path, PathBuf};

const BARS: &str = "10 11 12 13 14";

/// Runs the snippet and says what came out, one line a series, trade or diagnostic.
fn outcome(case: &Case) -> Vec<String> {
    let (source, added) = complete(&case.source);
    let compiled = compile_with(&source, &CompileOptions { keep_plots: true, ..CompileOptions::default() });
    let map = SourceMap::new(&source);
    let mut lines: Vec<String> = Vec::new();
    for d in &compiled.diagnostics {
        let (line, column) = map.line_col(d.span.start);
        let kind = match d.severity {
            Severity::Error => "error",
            Severity::Unsupported => "unsupported",
            Severity::Warning => "warning",
        };
        lines.push(format!("{kind} {}:{column} {}", line - added.min(line), d.message));
    }
    let Some(program) = compiled.program else { return lines };
    let get = |key: &str, otherwise: &str| case.setting(key).unwrap_or(otherwise).to_owned();
    let timeframe: Timeframe = get("step", "60").parse().expect("a timeframe");
    let bars = case::bars(&get("bars", BARS), time(&get("time", "2024-01-01 00:00")), timeframe.nominal_ms());
    let symbol = symbol(&get("symbol", ""));
    let rules = Rules::preset(&get("rules", "tradingview")).expect("rules");
    let plan = match Plan::prepare(&program, &params(&get("set", ""))) {
        Ok(plan) => plan,
        Err(errors) => {
            lines.extend(errors.iter().map(|d| format!("refused: {}", d.message)));
            return lines;
        }
    };
    let go = |hoist| {
        let store = ColumnStore::new(1 << 20);
        let data =
            DataContext { bars: bars.view(), timeframe, symbol: &symbol, columns: &store, others: None };
        let mut scratch = Scratch { options: ExecOptions { hoist } };
        match run(&plan, &data, &rules, &program.account, &mut scratch, &|| false) {
            Ok(out) => told(&out),
            Err(e) => vec![format!("stops: {e}")],
        }
    };
    let found = go(true);
    assert_eq!(found, go(false), "{}: bar by bar it gives something else", case.name);
    lines.extend(found);
    lines
}

/// The source with what it leaves out, and the number of lines put before it.
fn complete(source: &str) -> (String, usize) {
    let mut head = String::new();
    if !source.contains("//@version") {
        head += "//@version=6\n";
    }
    if !["strategy(", "indicator(", "study("].iter().any(|call| source.lines().any(|l| l.starts_with(call))) {
        head += "strategy(\"case\", initial_capital = 1000000, default_qty_type = strategy.fixed, default_qty_value = 1)\n";
    }
    let added = head.lines().count();
    match source.split_once('\n') {
        // The declaration follows the version.
        Some((first, rest)) if first.starts_with("//@version") => (format!("{first}\n{head}{rest}"), added),
        _ => (head + source, added),
    }
}

fn told(out: &Outcome) -> Vec<String> {
    let mut lines: Vec<String> =
        out.plots.iter().map(|(title, values)| format!("{title}: {}", case::series(values))).collect();
    let names = &out.names;
    let side = |s: Side| if s == Side::Long { "long" } else { "short" };
    for t in &out.simulation.trades {
        let comment = |id| Some(names.get(id)).filter(|c| !c.is_empty());
        let signal =
            comment(t.exit_comment).map_or_else(|| t.reason.signal(names.get(t.exit_id)), Into::into);
        lines.push(format!(
            "{} {}: {} @ {} -> {} @ {}, {} -> {signal}, profit {}",
            side(t.side),
            show(t.qty),
            t.entry_bar,
            show(t.entry_price),
            t.exit_bar,
            show(t.exit_price),
            comment(t.entry_comment).unwrap_or(names.get(t.entry_id)),
            show(t.profit)
        ));
    }
    for t in &out.simulation.open {
        lines.push(format!(
            "{} {}: {} @ {} open, {}",
            side(t.side),
            show(t.qty),
            t.entry_bar,
            show(t.entry_price),
            names.get(t.entry_id)
        ));
    }
    lines.extend(out.logs.iter().map(|l| format!("log {l}")));
    lines.extend(out.warnings.iter().map(|w| format!("note: {w}")));
    lines
}

/// Milliseconds of `2024-01-01 00:00`, UTC.
fn time(text: &str) -> i64 {
    let parsed = springtide_pine::compile(&format!(
        "//@version=6\nstrategy(\"t\")\nx = input.time(timestamp(\"{text} +0000\"))"
    ));
    parsed.program.expect("a date").inputs[0].default as i64
}

fn symbol(text: &str) -> SymbolInfo {
    let mut symbol = SymbolInfo { ticker: "TEST".into(), ..SymbolInfo::default() };
    for (key, value) in text.split_whitespace().filter_map(|w| w.split_once('=')) {
        let number = || value.parse().expect("a number");
        match key {
            "mintick" => symbol.mintick = number(),
            "min_qty" => symbol.min_qty = number(),
            "point_value" => symbol.point_value = number(),
            "timezone" => symbol.timezone = value.into(),
            "session" => symbol.session = value.into(),
            "exchange" => symbol.exchange = value.into(),
            _ => panic!("unknown part of a symbol: {key}"),
        }
    }
    symbol
}

fn params(text: &str) -> Params {
    let value = |v: &str| match (v.parse::<i64>(), v.parse::<f64>(), v) {
        (Ok(i), ..) => ParamValue::Int(i),
        (_, Ok(f), _) => ParamValue::Float(f),
        (.., "true" | "false") => ParamValue::Bool(v == "true"),
        _ => ParamValue::Str(v.into()),
    };
    text.split(';')
        .filter_map(|p| p.split_once('='))
        .map(|(k, v)| (k.trim().into(), value(v.trim())))
        .collect()
}

fn check(case: &Case, found: &[String]) -> Result<(), String> {
    let wanted = &case.expected;
    if wanted.len() == found.len() && wanted.iter().zip(found).all(|(w, f)| same(w, f)) {
        return Ok(());
    }
    let list = |lines: &[String]| lines.iter().map(|l| format!("    {l}\n")).collect::<String>();
    Err(format!("line {} {}\n  wanted:\n{}  found:\n{}", case.line, case.name, list(wanted), list(found)))
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<_> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "pine")).collect();
    files.sort();
    files
}

#[test]
fn every_case_gives_what_it_says() {
    let update = std::env::var("PINE_SUITE_UPDATE").is_ok_and(|v| v == "1");
    let (mut cases_run, mut wrong) = (0, Vec::new());
    for file in files() {
        let text = std::fs::read_to_string(&file).expect("readable");
        let (head, mut cases) = case::read(&text);
        for case in &mut cases {
            cases_run += 1;
            let found = outcome(case);
            assert!(update || !case.expected.is_empty(), "{}: {} expects nothing", file.display(), case.name);
            if let Err(why) = check(case, &found) {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                wrong.push(format!("{name} {why}"));
                case.expected = found;
            }
        }
        if update {
            std::fs::write(&file, case::write(&head, &cases)).expect("writable");
        } else if text != case::write(&head, &cases) && wrong.is_empty() {
            wrong.push(format!("{}: not in the layout that an update writes", file.display()));
        }
    }
    assert!(wrong.is_empty() || update, "{} of {cases_run} cases differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases_run >= 150, "{cases_run} cases");
}

#[test]
fn expectations_are_compared_word_by_word() {
    assert!(same("a: na*2 10/4 3", "a: na na 2.5 3"));
    assert!(same("long 1: 0 @ 10, L -> X", "long 1: 0 @ 10.0000000001, L -> X"));
    assert!(!same("a: 1 2", "a: 1 2 3") && !same("a: 1 2", "a: 1 2.1") && !same("a: na", "a: 0"));
    assert_eq!(case::series(&[f64::NAN, f64::NAN, f64::NAN, 1.0, 1.0, 0.1 + 0.2]), "na*3 1 1 0.3");
    let (head, cases) = case::read("head\n//--- a\n//- bars: 1 2\nplot(close)\n//= plot: 1 2\n");
    assert_eq!(case::write(&head, &cases), "head\n//--- a\n//- bars: 1 2\nplot(close)\n//= plot: 1 2\n");
}
