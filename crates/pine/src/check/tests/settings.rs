//! `strategy()` and inputs.

use crate::check::{CompileOptions, Defaults, compile, compile_with};
use crate::ir::{BarField, InputKind, Program};
use springtide_domain::ParamValue;
use springtide_engine::{Commission, QtyType, Slippage};

#[track_caller]
fn program(source: &str) -> Program {
    let compiled = compile(source);
    compiled.program.unwrap_or_else(|| panic!("{:#?}", compiled.diagnostics))
}

#[test]
fn settings_are_read() {
    let p = program(
        "//@version=5\ncash = 100 * 50\nstrategy(\"A title\", overlay=true, pyramiding=3, initial_capital=cash, default_qty_type=strategy.percent_of_equity, default_qty_value=25.5, commission_type=strategy.commission.cash_per_order, commission_value=2, slippage=4, process_orders_on_close=true, close_entries_rule=\"ANY\", margin_long=50, calc_on_order_fills=true, backtest_fill_limits_assumption=2)",
    );
    let a = &p.account;
    assert_eq!((p.title.as_str(), p.is_strategy, p.version), ("A title", true, 5));
    assert_eq!((a.initial_capital, a.qty_type, a.qty_value), (5000.0, QtyType::PercentOfEquity, 25.5));
    assert_eq!((a.commission, a.slippage), (Commission::PerOrder(2.0), Slippage::Ticks(4.0)));
    assert_eq!((a.pyramiding, a.margin_long, a.margin_short), (3, 50.0, 0.0));
    assert!(a.process_orders_on_close && a.close_entries_any && a.calc_on_order_fills);
    assert_eq!(a.limit_verify_ticks, 2);
    assert!(p.declared.iter().any(|d| d == "margin_long") && !p.declared.iter().any(|d| d == "margin_short"));
}

#[test]
fn defaults_depend_on_version_and_date() {
    let source = |v: u8| format!("//@version={v}\nstrategy(\"x\")");
    let five = program(&source(5)).account;
    assert_eq!(
        (five.initial_capital, five.qty_type, five.qty_value, five.margin_long),
        (1e6, QtyType::Fixed, 1.0, 0.0)
    );
    let six = program(&source(6)).account;
    assert_eq!(
        (six.initial_capital, six.qty_type, six.margin_long, six.margin_short),
        (1e6, QtyType::Fixed, 100.0, 100.0)
    );
    let options = CompileOptions { defaults: Defaults::V6From2026_09, ..CompileOptions::default() };
    let later = compile_with(&source(6), &options).program.expect("a program").account;
    assert_eq!(
        (later.initial_capital, later.qty_type, later.qty_value),
        (1e5, QtyType::PercentOfEquity, 100.0)
    );
    let unchanged = compile_with(&source(5), &options).program.expect("a program").account;
    assert_eq!(unchanged, five);
    let said: Vec<_> = compile(&source(6)).diagnostics.into_iter().map(|d| d.code).collect();
    assert_eq!(said, ["default-sizing"]);
}

#[test]
fn ignored_settings_are_said() {
    let source = "//@version=5\nstrategy(\"x\", calc_on_every_tick=true, use_bar_magnifier=true)";
    let compiled = compile(source);
    let said: Vec<_> = compiled.diagnostics.iter().map(|d| d.code.as_str()).collect();
    assert_eq!(said, ["ignored-argument"]);
    assert!(compiled.program.expect("a program").bar_magnifier);
}

#[test]
fn a_script_declares_itself_once() {
    let codes = |source: &str| compile(source).diagnostics.into_iter().map(|d| d.code).collect::<Vec<_>>();
    assert_eq!(codes("//@version=5\nx = close"), ["no-declaration"]);
    assert_eq!(codes("//@version=5\nstrategy(\"x\")\nindicator(\"y\")"), ["declared-twice"]);
    assert_eq!(codes("//@version=5\nlibrary(\"x\")"), ["unsupported-feature"]);
    assert_eq!(codes("//@version=5\nstrategy(\"x\", initial_capital=input.float(3.0))"), ["not-constant"]);
    assert!(!program("//@version=5\nindicator(\"x\")\nplot(close)").is_strategy);
}

#[test]
fn inputs_of_version_5() {
    let p = program(
        r#"//@version=5
strategy("x")
len = input.int(14, "Length", minval=2, maxval=50, step=2)
mult = input.float(1.5)
src = input.source(hlc3, "Source")
kind = input.string("A", "Kind", options=["A", "B"])
tf = input.timeframe("D", "Length")
from = input.time(timestamp("01 Jan 2020 00:00 +0000"), "From")
on = input(true, "On")
a = input(7)
"#,
    );
    let by = |i: usize| &p.inputs[i];
    assert_eq!((by(0).key.as_str(), &by(0).kind, by(0).default), ("Length", &InputKind::Int, 14.0));
    assert_eq!((by(0).min, by(0).max, by(0).step), (Some(2.0), Some(50.0), Some(2.0)));
    assert_eq!((by(1).key.as_str(), by(1).variable.as_str(), by(1).default), ("mult", "mult", 1.5));
    assert_eq!(by(2).kind, InputKind::Source(BarField::Hlc3));
    assert_eq!(by(3).options, [ParamValue::Str("A".into()), ParamValue::Str("B".into())]);
    assert_eq!((by(4).key.as_str(), by(4).default_str.as_str()), ("Length #2", "D"));
    assert_eq!((by(5).kind.clone(), by(5).default), (InputKind::Time, 1_577_836_800_000.0));
    assert_eq!((by(6).kind.clone(), by(6).default), (InputKind::Bool, 1.0));
    assert_eq!((by(7).kind.clone(), by(7).default), (InputKind::Int, 7.0));
}

#[test]
fn inputs_of_version_4() {
    let p = program(
        r#"//@version=4
strategy("x")
len = input(title="Len", type=input.integer, defval=9, minval=1)
src = input(close, type=input.source)
other = input(hl2, "Other")
res = input("60", type=input.resolution)
when = input(timestamp("2020-01-01"), "When", input.time)
from = input(timestamp(2020, 1, 1, 0, 0), type=input.time)
mult = input(2.0, "Mult", step=0.5)
c = input(color.red, type=input.color)
old = input(5, type=integer)
"#,
    );
    let kinds: Vec<_> = p.inputs.iter().map(|i| i.kind.clone()).collect();
    assert_eq!(
        kinds,
        [
            InputKind::Int,
            InputKind::Source(BarField::Close),
            InputKind::Source(BarField::Hl2),
            InputKind::Timeframe,
            InputKind::Time,
            InputKind::Time,
            InputKind::Float,
            InputKind::Color,
            InputKind::Int
        ]
    );
    assert_eq!((p.inputs[4].default, p.inputs[5].default), (1_577_836_800_000.0, 1_577_836_800_000.0));
}

#[test]
fn enum_inputs_name_their_members() {
    let p = program(
        "//@version=6\nenum Mode\n    fast = \"Fast one\"\n    slow\nstrategy(\"x\")\nm = input.enum(Mode.slow, \"Mode\")",
    );
    assert_eq!(p.inputs[0].kind, InputKind::Enum(vec!["fast".into(), "slow".into()]));
    assert_eq!(p.inputs[0].default, 1.0);
    assert_eq!(p.enums[0].members[0], ("fast".into(), "Fast one".into()));
}

#[test]
fn plots_are_kept_on_demand() {
    let source =
        "//@version=5\nindicator(\"x\")\na = ta.sma(close, 3)\nplot(a, \"avg\")\nplot(close > open ? 1 : 0)";
    assert!(program(source).plots.is_empty());
    let options = CompileOptions { keep_plots: true, ..CompileOptions::default() };
    let p = compile_with(source, &options).program.expect("a program");
    let titles: Vec<_> = p.plots.iter().map(|(t, _)| t.as_str()).collect();
    assert_eq!(titles, ["avg", "plot 2"]);
    assert_eq!(p.body.len(), 3);
}
