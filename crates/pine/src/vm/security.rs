//! `request.security` and `request.security_lower_tf`: the needed slice of the script runs on other bars,
//! and its results are merged back to the chart's.

use super::build::Builder;
use super::columns::{self, Column, ColumnStore};
use super::fold::{Folder, blocks};
use super::functions;
use super::gates;
use super::machine::{Machine, World};
use super::merge::Spans;
use super::others::Target;
use super::run::{self, DataContext, Mode, Plan, RunError};
use super::slice::{Needs, is_heap};
use crate::ir::{ExprId, Security, SiteId, Stmt, VarId};
use springtide_domain::{
    Bars, BarsView, OwnedBars, SymbolInfo, Timeframe,
    resample::{Groups, Periods, group, join},
};
use std::{ops::Range, sync::Arc};

/// Columns of a foreign context live with it; they are few.
const CONTEXT_BUDGET_BYTES: usize = 64 << 20;

/// What a request's variable holds on the chart's bars.
pub(super) enum Answer {
    /// One value a bar.
    Column(Arc<Column>),
    /// An array a bar: a part of all the values.
    Lists(Arc<Lists>),
}

/// Values of shorter bars, and those that belong to each of the chart's.
#[derive(Debug)]
pub(super) struct Lists {
    pub values: Vec<f64>,
    pub parts: Arc<Vec<Range<usize>>>,
}

/// What all requests of a run share.
pub(super) struct Requests<'r> {
    pub plan: &'r Plan<'r>,
    /// The bars that the script trades on.
    pub chart: DataContext<'r>,
    pub mode: Mode,
    pub stop: &'r dyn Fn() -> bool,
}

/// The requests of a body, in order.
pub(super) fn collect(stmts: &[Stmt]) -> Vec<&Security> {
    fn visit<'s>(stmts: &'s [Stmt], found: &mut Vec<&'s Security>) {
        for stmt in stmts {
            match stmt {
                Stmt::Security(s) => found.push(s),
                other => blocks(other).into_iter().for_each(|b| visit(b, found)),
            }
        }
    }
    let mut found = Vec::new();
    visit(stmts, &mut found);
    found
}

/// The part of a program that a request's results need. The request stands after what it depends on; its
/// own statements follow at the end of the bar.
pub(super) fn part(folder: &Folder<'_>, body: &[Stmt], s: &Security) -> Vec<Stmt> {
    let (mut outer, inner) = Needs::slice_for(folder, body, &s.results, &s.body);
    outer.extend(inner);
    outer
}

/// Bars that a request runs on, and how they lie to the context's.
struct Ground {
    bars: Bars,
    symbol: SymbolInfo,
    lie: Lie,
}

enum Lie {
    Same,
    /// Longer bars made of the context's.
    Joined(Groups),
    /// By time.
    Apart(Spans),
}

impl Requests<'_> {
    /// Answers every request of the body.
    ///
    /// `path` holds the requests that wait for this one.
    pub fn resolve(
        &self,
        folder: &Folder<'_>,
        body: &[Stmt],
        world: &mut World<'_>,
        data: &DataContext<'_>,
        path: &mut Vec<SiteId>,
    ) -> Result<Vec<(VarId, Answer)>, RunError> {
        let mut out = Vec::new();
        for s in collect(body) {
            if path.contains(&s.site) {
                let feature = format!("{} that depends on its own result", s.name);
                return Err(RunError::Unsupported { feature, span: s.span });
            }
            path.push(s.site);
            out.extend(self.one(folder, s, world, data, path)?);
            path.pop();
        }
        Ok(out)
    }

    fn one(
        &self,
        folder: &Folder<'_>,
        s: &Security,
        world: &mut World<'_>,
        data: &DataContext<'_>,
        path: &mut Vec<SiteId>,
    ) -> Result<Vec<(VarId, Answer)>, RunError> {
        let unsupported =
            |feature: &str| RunError::Unsupported { feature: format!("{}{feature}", s.name), span: s.span };
        let lower = s.name == "request.security_lower_tf";
        let vars = &folder.program.vars;
        let nested = |t: &crate::ir::Ty| match t {
            crate::ir::Ty::Array(inner) if lower => is_heap(inner),
            t => is_heap(t),
        };
        if s.outs.iter().any(|v| nested(&vars[v.index()].ty)) {
            return Err(unsupported(" of a collection or an object"));
        }
        let flag =
            |e: ExprId| folder.truth(e).ok_or_else(|| unsupported(" with gaps or lookahead that change"));
        let (gaps, lookahead) = (flag(s.gaps)?, flag(s.lookahead)?);
        let target = Target::of(folder, s, data)?;
        if lower && target.timeframe.nominal_ms() > data.timeframe.nominal_ms() {
            let message = format!(
                "{} takes a timeframe up to the chart's {}, not {}",
                s.name, data.timeframe, target.timeframe
            );
            return Err(RunError::Script { message, span: s.span, bar: 0 });
        }
        let ground = ground(&target, data, lower, s)?;
        let store = ColumnStore::new(CONTEXT_BUDGET_BYTES);
        let context = DataContext {
            bars: ground.bars.view(),
            timeframe: target.timeframe,
            symbol: &ground.symbol,
            columns: &store,
            others: data.others,
        };
        let series = self.evaluate(s, world, &context, path)?;
        let chart = match ground.lie {
            Lie::Apart(_) => spans(&data.bars, data.timeframe, data.symbol, s)?,
            _ => Spans { opens: Vec::new(), closes: Vec::new() },
        };
        if lower {
            let parts = Arc::new(match &ground.lie {
                Lie::Apart(spans) => spans.within(&chart),
                _ => (0..data.bars.len()).map(|i| i..i + 1).collect(),
            });
            let lists = series.into_iter().map(|values| Lists { values, parts: Arc::clone(&parts) });
            return Ok(s.outs.iter().copied().zip(lists.map(|l| Answer::Lists(Arc::new(l)))).collect());
        }
        let merged = series.into_iter().map(|values| match &ground.lie {
            Lie::Same => values,
            Lie::Joined(groups) => merge(&values, groups, data.bars.len(), gaps, lookahead),
            Lie::Apart(spans) => spans.merge(&values, &chart, gaps, lookahead),
        });
        let columns = merged.map(|values| Answer::Column(Arc::new(Column::new(values))));
        Ok(s.outs.iter().copied().zip(columns).collect())
    }

    /// Runs the slice on the context's bars; one series per result.
    fn evaluate(
        &self,
        s: &Security,
        world: &mut World<'_>,
        context: &DataContext<'_>,
        path: &mut Vec<SiteId>,
    ) -> Result<Vec<Vec<f64>>, RunError> {
        let facts = functions::facts(context, &self.chart, self.plan.program.version);
        let (folder, body) = self.plan.specialise(&facts);
        let needed = part(&folder, &body, s);
        let mut own = run::world(context, folder.program)?;
        own.strings = std::mem::take(&mut world.strings);
        let nested = self.resolve(&folder, &needed, &mut own, context, path)?;
        let mut strings = std::mem::take(&mut own.strings);
        let mut builder = Builder::new(&folder, context.columns, &mut strings, self.mode);
        nested.into_iter().for_each(|(var, answer)| builder.give(var, answer));
        let (built, results) = builder.build(&needed, &s.results)?;
        own.strings = strings;
        let columns = columns::compute(&built.recipes, &context.bars, context.columns, &mut |name| {
            functions::bar_column(name, &mut own)
        });
        let n = context.bars.len();
        let masks = gates::masks(&built.gates, &columns, n);
        let mut series: Vec<Vec<f64>> = results.iter().map(|_| Vec::with_capacity(n)).collect();
        {
            let mut machine = Machine::new(&mut own, None, &built.code, &columns, &masks, self.stop);
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
}

fn ground(target: &Target, data: &DataContext<'_>, lower: bool, s: &Security) -> Result<Ground, RunError> {
    let ground = match target.need(data) {
        Some(need) => {
            let found = need.fetch(data, s.span)?;
            let spans = spans(&found.bars.view(), target.timeframe, &found.symbol, s)?;
            Ground { bars: found.bars, symbol: found.symbol, lie: Lie::Apart(spans) }
        }
        None if lower || target.timeframe.nominal_ms() == data.timeframe.nominal_ms() => {
            Ground { bars: data.bars.to_owned().into(), symbol: data.symbol.clone(), lie: Lie::Same }
        }
        None => {
            let mut periods =
                Periods::parse(target.timeframe, &data.symbol.timezone, &data.symbol.session)
                    .map_err(|e| RunError::Script { message: e.to_string(), span: s.span, bar: 0 })?;
            let groups = group(data.bars.time, data.timeframe, &mut periods);
            let bars = join(&data.bars, &groups).into();
            Ground { bars, symbol: data.symbol.clone(), lie: Lie::Joined(groups) }
        }
    };
    if !target.heikinashi {
        return Ok(ground);
    }
    let bars = heikin_ashi(&ground.bars.view()).into();
    Ok(Ground { bars, ..ground })
}

fn spans(
    bars: &BarsView<'_>,
    timeframe: Timeframe,
    symbol: &SymbolInfo,
    s: &Security,
) -> Result<Spans, RunError> {
    Spans::of(bars, timeframe, symbol).ok_or_else(|| RunError::Script {
        message: format!("{}: the time zone or session of {} cannot be read", s.name, symbol.ticker),
        span: s.span,
        bar: 0,
    })
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
