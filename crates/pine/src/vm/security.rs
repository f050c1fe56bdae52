//! `request.security`: the needed slice of the script runs on other bars, and its results are merged
//! back to the chart's.

use super::build::Builder;
use super::columns::{self, Column, ColumnStore};
use super::fold::{Folder, blocks};
use super::functions;
use super::machine::{Machine, World};
use super::run::{DataContext, Mode, RunError, mask};
use super::slice::Needs;
use crate::ir::{Expr, Security, Stmt, VarId};
use springtide_domain::{
    BarsView, OwnedBars, Timeframe,
    resample::{Groups, Periods, group, join},
};
use std::sync::Arc;

/// Columns of a foreign context live with it; they are few.
const CONTEXT_BUDGET_BYTES: usize = 64 << 20;

/// Resolves every request of the body to chart-length columns.
///
/// `whole` is the body before it was sliced: what a request depends on may be nothing to the chart.
pub(super) fn resolve(
    folder: &Folder<'_>,
    whole: &[Stmt],
    body: &[Stmt],
    world: &mut World<'_>,
    data: &DataContext<'_>,
    mode: Mode,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<(VarId, Arc<Column>)>, RunError> {
    let mut found = Vec::new();
    collect(body, &mut found);
    let mut out = Vec::new();
    for security in found {
        for (var, column) in one(folder, whole, security, world, data, mode, stop)? {
            out.push((var, Arc::new(column)));
        }
    }
    Ok(out)
}

fn collect<'s>(stmts: &'s [Stmt], found: &mut Vec<&'s Security>) {
    for stmt in stmts {
        match stmt {
            Stmt::Security(s) => found.push(s),
            other => blocks(other).into_iter().for_each(|b| collect(b, found)),
        }
    }
}

fn one(
    folder: &Folder<'_>,
    body: &[Stmt],
    s: &Security,
    world: &mut World<'_>,
    data: &DataContext<'_>,
    mode: Mode,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<(VarId, Column)>, RunError> {
    let unsupported = |feature: &str| RunError::Unsupported { feature: feature.into(), span: s.span };
    let wanted = timeframe(folder, s, data)?;
    let heikinashi = symbol(folder, s, data)?;
    let flag =
        |e| folder.truth(e).ok_or_else(|| unsupported("request.security with gaps or lookahead that change"));
    let (gaps, lookahead) = (flag(s.gaps)?, flag(s.lookahead)?);
    if s.name == "request.security_lower_tf" {
        return Err(unsupported("request.security_lower_tf without finer bars"));
    }
    let (chart, target) = (data.timeframe.nominal_ms(), wanted.nominal_ms());
    if target < chart {
        return Err(unsupported(&format!(
            "request.security of {wanted} on {} bars: finer bars are needed and",
            data.timeframe
        )));
    }
    let n = data.bars.len();
    let (bars, groups): (OwnedBars, Option<Groups>) = if target == chart {
        (data.bars.to_owned(), None)
    } else {
        let mut periods = Periods::parse(wanted, &data.symbol.timezone, &data.symbol.session)
            .map_err(|e| RunError::Script { message: e.to_string(), span: s.span, bar: 0 })?;
        let groups = group(data.bars.time, data.timeframe, &mut periods);
        (join(&data.bars, &groups), Some(groups))
    };
    let bars = if heikinashi { heikin_ashi(&bars.view()) } else { bars };
    let store = ColumnStore::new(CONTEXT_BUDGET_BYTES);
    let context = DataContext {
        bars: bars.view(),
        timeframe: wanted,
        symbol: data.symbol,
        columns: &store,
        others: data.others,
    };
    let series = evaluate(folder, body, s, world, &context, mode, stop)?;
    let merged = series.into_iter().map(|values| match &groups {
        None => values,
        Some(groups) => merge(&values, groups, n, gaps, lookahead),
    });
    Ok(s.outs.iter().copied().zip(merged.map(Column::new)).collect())
}

fn timeframe(folder: &Folder<'_>, s: &Security, data: &DataContext<'_>) -> Result<Timeframe, RunError> {
    let unsupported = || RunError::Unsupported {
        feature: "request.security with a timeframe that changes".into(),
        span: s.span,
    };
    let known = folder.known(s.timeframe).ok_or_else(unsupported)?;
    let super::fold::Known::Str(text) = known else { return Err(unsupported()) };
    if text.is_empty() {
        return Ok(data.timeframe);
    }
    text.parse().map_err(|e: springtide_domain::timeframe::BadTimeframe| RunError::Script {
        message: e.to_string(),
        span: s.span,
        bar: 0,
    })
}

/// Checks that the request is for the chart's symbol; true for its Heikin-Ashi bars.
fn symbol(folder: &Folder<'_>, s: &Security, data: &DataContext<'_>) -> Result<bool, RunError> {
    let mut id = s.symbol;
    let mut heikinashi = false;
    loop {
        match &folder.program.exprs[id.index()] {
            Expr::Call { name: "ticker.heikinashi", args, .. } => {
                heikinashi = true;
                id = args[0];
            }
            Expr::Call { name: "ticker.standard" | "ticker.modify" | "ticker.inherit", args, .. }
                if !args.is_empty() =>
            {
                id = args[0]
            }
            Expr::Call { name, .. } if name.starts_with("ticker.") && *name != "ticker.new" => {
                return Err(RunError::Unsupported { feature: (*name).into(), span: s.span });
            }
            Expr::Var(var) => match single_definition(folder, *var) {
                Some(next) => id = next,
                None => break,
            },
            _ => break,
        }
    }
    let Some(super::fold::Known::Str(text)) = folder.known(id) else {
        return Err(RunError::Unsupported {
            feature: "request.security with a symbol that changes".into(),
            span: s.span,
        });
    };
    let ticker = text.rsplit(':').next().unwrap_or("");
    if text.is_empty() || ticker == data.symbol.ticker {
        return Ok(heikinashi);
    }
    Err(RunError::Unsupported {
        feature: format!("request.security of another symbol (`{text}`)"),
        span: s.span,
    })
}

/// The expression of a variable with exactly one assignment in the program.
fn single_definition(folder: &Folder<'_>, var: VarId) -> Option<crate::ir::ExprId> {
    fn visit(stmts: &[Stmt], var: VarId, found: &mut Vec<crate::ir::ExprId>) {
        for stmt in stmts {
            if let Stmt::Set(v, e) = stmt
                && *v == var
            {
                found.push(*e);
            }
            blocks(stmt).into_iter().for_each(|b| visit(b, var, found));
        }
    }
    let mut found = Vec::new();
    visit(&folder.program.body, var, &mut found);
    if found.len() == 1 { found.pop() } else { None }
}

/// Runs the slice on the context's bars; one series per result.
fn evaluate(
    folder: &Folder<'_>,
    body: &[Stmt],
    s: &Security,
    world: &mut World<'_>,
    context: &DataContext<'_>,
    mode: Mode,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Vec<f64>>, RunError> {
    let (outer, inner) = Needs::slice_for(folder, body, &s.results, &s.body);
    // The request stands after what it depends on; its own statements follow at the end of the bar.
    let mut whole = outer;
    whole.extend(inner);
    let mut own = World {
        bars: context.bars,
        timeframe: context.timeframe,
        symbol: world.symbol,
        version: world.version,
        zone: world.zone.clone(),
        clock: Default::default(),
        strings: std::mem::take(&mut world.strings),
        patterns: Default::default(),
        heap: Default::default(),
        enums: world.enums.clone(),
        logs: Vec::new(),
        logs_dropped: 0,
    };
    let nested = resolve(folder, body, &whole, &mut own, context, mode, stop)?;
    let mut strings = std::mem::take(&mut own.strings);
    let mut builder = Builder::new(folder, context.columns, &mut strings, mode);
    for (var, column) in nested {
        builder.give(var, column);
    }
    let (built, results) = builder.build(&whole, &s.results)?;
    own.strings = strings;
    let columns = columns::compute(&built.recipes, &context.bars, context.columns, &mut |name| {
        functions::bar_column(name, &mut own)
    });
    let n = context.bars.len();
    let masks: Vec<_> = built.gates.iter().map(|g| mask(g, &columns, n)).collect();
    let mut series: Vec<Vec<f64>> = results.iter().map(|_| Vec::with_capacity(n)).collect();
    {
        let mut machine = Machine::new(&mut own, None, &built.code, &columns, &masks, stop);
        for i in 0..n {
            machine.run_bar(i)?;
            for (reg, out) in results.iter().zip(&mut series) {
                out.push(machine.registers[*reg as usize]);
            }
        }
    }
    world.strings = own.strings;
    Ok(series)
}

/// A value of the higher timeframe is seen on the chart bar that completes it; with lookahead from the
/// period's first chart bar on.
fn merge(values: &[f64], groups: &Groups, n: usize, gaps: bool, lookahead: bool) -> Vec<f64> {
    let mut out = Vec::with_capacity(n);
    for i in 0..n {
        let g = groups.index[i] as usize;
        let first = groups.first_bar[g] as usize == i;
        let (at, fresh) = if lookahead {
            (Some(g), first)
        } else if groups.is_last[i] {
            (Some(g), true)
        } else {
            (g.checked_sub(1), false)
        };
        out.push(match at {
            Some(k) if fresh || !gaps => values[k],
            _ => f64::NAN,
        });
    }
    out
}

fn heikin_ashi(bars: &BarsView<'_>) -> OwnedBars {
    let mut out = OwnedBars::default();
    let mut before: Option<(f64, f64)> = None;
    for i in 0..bars.len() {
        let (o, h, l, c) = (bars.open[i], bars.high[i], bars.low[i], bars.close[i]);
        let close = (o + h + l + c) / 4.0;
        let open = before.map_or((o + c) / 2.0, |(o, c)| (o + c) / 2.0);
        out.push(bars.time[i], open, h.max(open).max(close), l.min(open).min(close), close, bars.volume[i]);
        before = Some((open, close));
    }
    out
}
