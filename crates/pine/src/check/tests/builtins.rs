//! The tables themselves.

use crate::check::builtins::{self, Kind, Need, Value};
use crate::check::types::T;
use springtide_domain::Severity;

#[test]
fn indicators_pass_what_the_engine_takes() {
    for sig in builtins::tables().functions.values().flatten().filter(|s| s.kind == Kind::Ta) {
        let func = sig.ta.expect("an indicator");
        assert_eq!(sig.params.len(), func.arity(), "{}", sig.name);
        let outputs = match &sig.ret {
            T::Tuple(parts) => parts.len(),
            _ => 1,
        };
        assert_eq!(outputs, func.outputs(), "{}", sig.name);
        for (own, engine) in sig.params.iter().zip(func.params()) {
            assert!(own.need != Need::Optional, "{} leaves {} open", sig.name, own.name);
            assert_eq!(own.name, engine.name, "{}", sig.name);
        }
    }
}

#[test]
fn overloads_of_a_function_are_of_one_kind() {
    for (name, sigs) in &builtins::tables().functions {
        assert!(sigs.iter().all(|s| s.kind == sigs[0].kind), "{name}");
    }
}

#[test]
fn renamed_names_exist() {
    for name in ["sma", "rsi", "study", "security", "tostring", "max", "heikinashi"] {
        let new = builtins::renamed_function(name).expect("a new name");
        assert!(builtins::tables().functions.contains_key(new), "{new}");
    }
    for name in ["tr", "red", "tickerid", "n", "circles"] {
        let new = builtins::renamed_variable(name).expect("a new name");
        assert!(builtins::tables().variables.contains_key(new), "{new}");
    }
}

/// Functions that scripts may name and no backtest computes: one call of each.
const REFUSED: &[(&str, &str)] = &[
    ("box.get_bottom", "box.get_bottom(box.new(0, 1, 2, 3))"),
    ("box.get_left", "box.get_left(box.new(0, 1, 2, 3))"),
    ("box.get_right", "box.get_right(box.new(0, 1, 2, 3))"),
    ("box.get_top", "box.get_top(box.new(0, 1, 2, 3))"),
    ("label.get_text", "str.length(label.get_text(label.new(0, 1)))"),
    ("label.get_x", "label.get_x(label.new(0, 1))"),
    ("label.get_y", "label.get_y(label.new(0, 1))"),
    ("line.get_price", "line.get_price(line.new(0, 1, 2, 3), 4)"),
    ("line.get_x1", "line.get_x1(line.new(0, 1, 2, 3))"),
    ("line.get_x2", "line.get_x2(line.new(0, 1, 2, 3))"),
    ("line.get_y1", "line.get_y1(line.new(0, 1, 2, 3))"),
    ("line.get_y2", "line.get_y2(line.new(0, 1, 2, 3))"),
    ("request.currency_rate", "request.currency_rate(\"USD\", \"EUR\")"),
    ("request.dividends", "request.dividends(syminfo.tickerid)"),
    ("request.earnings", "request.earnings(syminfo.tickerid)"),
    ("request.economic", "request.economic(\"US\", \"GDP\")"),
    ("request.financial", "request.financial(syminfo.tickerid, \"NET_INCOME\", \"FQ\")"),
    ("request.footprint", "request.footprint(100)"),
    ("request.quandl", "request.quandl(\"X/Y\")"),
    ("request.seed", "request.seed(\"a\", \"b\", close)"),
    ("request.splits", "request.splits(syminfo.tickerid)"),
    ("ticker.kagi", "str.length(ticker.kagi(syminfo.tickerid, 3))"),
    ("ticker.linebreak", "str.length(ticker.linebreak(syminfo.tickerid, 3))"),
    ("ticker.pointfigure", "str.length(ticker.pointfigure(syminfo.tickerid, \"hl\", \"ATR\", 14, 3))"),
    ("ticker.renko", "str.length(ticker.renko(syminfo.tickerid, \"ATR\", 10))"),
];

/// Functions with code of their own in the checker; what they become is made of other names.
const OWN_CODE: &[&str] = &[
    "chart.point.copy",
    "chart.point.from_index",
    "chart.point.from_time",
    "chart.point.new",
    "chart.point.now",
    "iff",
    "indicator",
    "input",
    "input.bool",
    "input.color",
    "input.enum",
    "input.float",
    "input.int",
    "input.price",
    "input.session",
    "input.source",
    "input.string",
    "input.symbol",
    "input.text_area",
    "input.time",
    "input.timeframe",
    "library",
    "log.error",
    "log.info",
    "log.warning",
    "max_bars_back",
    "offset",
    "request.security",
    "request.security_lower_tf",
    "runtime.error",
    "strategy",
    "ta.pivot_point_levels",
    "timestamp",
];

/// Whatever the checker accepts the executor computes; what it does not is in a list, with nothing besides.
#[test]
fn every_function_is_computed_or_listed() {
    let refused: Vec<&str> = REFUSED.iter().map(|(name, _)| *name).collect();
    let mut missing = Vec::new();
    let mut names: Vec<_> = builtins::tables().functions.iter().collect();
    names.sort_by_key(|(name, _)| **name);
    for (name, sigs) in names {
        let listed = refused.contains(name);
        let done = match sigs[0].kind {
            // Indicators are the engine's, and every one is driven there by its number.
            Kind::Ta | Kind::Draw => true,
            Kind::Pure | Kind::State | Kind::Mut | Kind::Order => crate::vm::supports(name),
            Kind::Special => OWN_CODE.contains(name),
            Kind::Unsupported => false,
        };
        if done == listed {
            missing.push(*name);
        }
    }
    assert!(missing.is_empty(), "neither computed nor refused, or both: {missing:?}");
    for name in refused.iter().chain(OWN_CODE) {
        assert!(builtins::tables().functions.contains_key(name), "{name} is no function of the language");
    }
}

#[test]
fn every_refusal_names_the_function() {
    for (name, call) in REFUSED {
        let source =
            format!("//@version=6\nstrategy(\"t\")\nstrategy.entry(\"a\", strategy.long, qty = {call})");
        let compiled = crate::check::compile(&source);
        let found: Vec<_> = compiled.diagnostics.iter().filter(|d| d.feature == *name).collect();
        assert!(compiled.program.is_none() && found.len() == 1, "{name}: {:?}", compiled.diagnostics);
        assert_eq!(
            (found[0].severity, found[0].code.as_str()),
            (Severity::Unsupported, "unsupported-feature")
        );
        assert!(found[0].message.contains(name), "{}", found[0].message);
    }
}

/// Variables that scripts may name and no backtest knows.
const REFUSED_VARIABLES: &[&str] = &[
    "ask",
    "bid",
    "box.all",
    "chart.left_visible_bar_time",
    "chart.right_visible_bar_time",
    "dividends.future_amount",
    "dividends.future_ex_date",
    "dividends.future_pay_date",
    "earnings.future_eps",
    "earnings.future_period_end_time",
    "earnings.future_revenue",
    "earnings.future_time",
    "label.all",
    "line.all",
    "linefill.all",
    "polyline.all",
    "syminfo.country",
    "syminfo.current_contract",
    "syminfo.employees",
    "syminfo.expiration_date",
    "syminfo.industry",
    "syminfo.isin",
    "syminfo.recommendations_buy",
    "syminfo.recommendations_buy_strong",
    "syminfo.recommendations_date",
    "syminfo.recommendations_hold",
    "syminfo.recommendations_sell",
    "syminfo.recommendations_sell_strong",
    "syminfo.recommendations_total",
    "syminfo.sector",
    "syminfo.shareholders",
    "syminfo.shares_outstanding_float",
    "syminfo.shares_outstanding_total",
    "syminfo.target_price_average",
    "syminfo.target_price_date",
    "syminfo.target_price_estimates",
    "syminfo.target_price_high",
    "syminfo.target_price_low",
    "syminfo.target_price_median",
    "table.all",
];

#[test]
fn every_variable_is_computed_or_listed() {
    let mut names: Vec<_> = builtins::tables().variables.values().collect();
    names.sort_by_key(|v| v.name);
    let refused: Vec<_> = names
        .iter()
        .filter(|v| match v.value {
            Value::Get => !crate::vm::supports(v.name),
            Value::Unsupported => true,
            Value::Bar(_) | Value::Ta(_) | Value::Num(_) | Value::Str(_) => false,
        })
        .map(|v| v.name)
        .collect();
    assert_eq!(refused, REFUSED_VARIABLES);
    for name in REFUSED_VARIABLES {
        let source =
            format!("//@version=6\nstrategy(\"t\")\nx = {name}\nif not na(x)\n    strategy.close_all()");
        let compiled = crate::check::compile(&source);
        let found = compiled.diagnostics.iter().find(|d| d.feature == *name);
        assert!(found.is_some_and(|d| d.message.contains(name)), "{name}: {:?}", compiled.diagnostics);
    }
}
