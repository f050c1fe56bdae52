//! Bars beside the chart's: of other symbols, of shorter timeframes.

use super::fold::{Folder, Known, blocks};
use super::functions;
use super::run::{DataContext, Plan, RunError};
use super::security::{collect, part};
use super::slice::Needs;
use crate::ir::{Expr, ExprId, Security, SiteId, Stmt, VarId};
use springtide_domain::{Bars, Span, SymbolInfo, Timeframe};

/// Bars of other symbols or finer timeframes, for scripts that ask for them.
pub trait OtherData: Sync {
    /// The bars of a symbol, written as scripts do (`EXCHANGE:TICKER` or `TICKER`), at a timeframe; made of
    /// shorter ones where need be. None when there are none. `chart` is what the script trades: of several
    /// that fit its exchange is preferred.
    fn find(&self, symbol: &str, timeframe: Timeframe, chart: &SymbolInfo) -> Option<OtherBars>;

    /// The shortest timeframe there is of a symbol.
    fn finest(&self, symbol: &str, chart: &SymbolInfo) -> Option<Timeframe>;
}

/// What was found.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct OtherBars {
    pub bars: Bars,
    pub symbol: SymbolInfo,
}

/// Bars that a run asks [`OtherData`] for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// As the script writes it, or the chart's own.
    pub symbol: String,
    /// Bar length.
    pub timeframe: Timeframe,
}

/// What a request is for.
pub(super) struct Target {
    /// Another symbol than the context's, as written.
    pub other: Option<String>,
    pub timeframe: Timeframe,
    pub heikinashi: bool,
}

impl Target {
    /// Reads a request's symbol and timeframe, which must be known before the first bar.
    pub fn of(folder: &Folder<'_>, s: &Security, data: &DataContext<'_>) -> Result<Self, RunError> {
        let timeframe = timeframe(folder, s, data)?;
        let mut heikinashi = false;
        let text = symbol_text(folder, s.symbol, &mut heikinashi, s)?;
        let other = (!is_symbol(&text, data.symbol)).then_some(text);
        Ok(Self { other, timeframe, heikinashi })
    }

    /// What must be asked for, when the context's own bars do not do.
    pub fn need(&self, data: &DataContext<'_>) -> Option<Need> {
        let finer = self.timeframe.nominal_ms() < data.timeframe.nominal_ms();
        let symbol = match &self.other {
            Some(text) => text.clone(),
            None if finer => full_name(data.symbol),
            None => return None,
        };
        Some(Need { symbol, timeframe: self.timeframe })
    }
}

impl Need {
    /// Asks for it.
    pub(super) fn fetch(&self, data: &DataContext<'_>, span: Span) -> Result<OtherBars, RunError> {
        let found = data.others.and_then(|o| o.find(&self.symbol, self.timeframe, data.symbol));
        found.filter(|f| !f.bars.is_empty()).ok_or_else(|| RunError::NoData {
            symbol: self.symbol.clone(),
            timeframe: self.timeframe,
            span,
        })
    }
}

/// `EXCHANGE:TICKER`, or the ticker alone.
pub(super) fn full_name(symbol: &SymbolInfo) -> String {
    if symbol.exchange.is_empty() {
        symbol.ticker.clone()
    } else {
        format!("{}:{}", symbol.exchange, symbol.ticker)
    }
}

/// Whether a script means this symbol; an exchange counts where both name one.
pub fn is_symbol(text: &str, symbol: &SymbolInfo) -> bool {
    let (exchange, ticker) = text.rsplit_once(':').unwrap_or(("", text));
    let same = |a: &str, b: &str| a.is_empty() || b.is_empty() || a.eq_ignore_ascii_case(b);
    text.is_empty() || (ticker.eq_ignore_ascii_case(&symbol.ticker) && same(exchange, &symbol.exchange))
}

fn timeframe(folder: &Folder<'_>, s: &Security, data: &DataContext<'_>) -> Result<Timeframe, RunError> {
    let unsupported = || RunError::Unsupported {
        feature: format!("{} with a timeframe that changes", s.name),
        span: s.span,
    };
    let known = folder.known(s.timeframe).ok_or_else(unsupported)?;
    let Known::Str(text) = known else { return Err(unsupported()) };
    if text.is_empty() {
        return Ok(data.timeframe);
    }
    text.parse().map_err(|e: springtide_domain::timeframe::BadTimeframe| RunError::Script {
        message: e.to_string(),
        span: s.span,
        bar: 0,
    })
}

/// The symbol as text, looked for through variables and the `ticker.*` functions.
fn symbol_text(
    folder: &Folder<'_>,
    id: ExprId,
    heikinashi: &mut bool,
    s: &Security,
) -> Result<String, RunError> {
    if let Some(Known::Str(text)) = folder.known(id) {
        return Ok(text.to_string());
    }
    let changing =
        || RunError::Unsupported { feature: format!("{} with a symbol that changes", s.name), span: s.span };
    match &folder.program.exprs[id.index()] {
        Expr::Call { name, args, .. } => match (*name, args.as_slice()) {
            ("ticker.heikinashi", [symbol, ..]) => {
                *heikinashi = true;
                symbol_text(folder, *symbol, heikinashi, s)
            }
            ("ticker.standard", [symbol, ..]) => {
                let text = symbol_text(folder, *symbol, heikinashi, s)?;
                *heikinashi = false;
                Ok(text)
            }
            ("ticker.modify", [symbol, ..]) | ("ticker.inherit", [_, symbol, ..]) => {
                symbol_text(folder, *symbol, heikinashi, s)
            }
            ("ticker.new", [prefix, ticker, ..]) => {
                let text = |e: &ExprId| symbol_text(folder, *e, &mut false, s);
                Ok(format!("{}:{}", text(prefix)?, text(ticker)?).trim_start_matches(':').to_owned())
            }
            (name, _) if name.starts_with("ticker.") => {
                Err(RunError::Unsupported { feature: name.into(), span: s.span })
            }
            _ => Err(changing()),
        },
        Expr::Var(var) => match single_definition(folder, *var) {
            Some(next) => symbol_text(folder, next, heikinashi, s),
            None => Err(changing()),
        },
        Expr::Select(c, a, b) => match folder.truth(*c) {
            Some(chosen) => symbol_text(folder, if chosen { *a } else { *b }, heikinashi, s),
            None => Err(changing()),
        },
        _ => Err(changing()),
    }
}

/// The expression of a variable with exactly one assignment in the program.
fn single_definition(folder: &Folder<'_>, var: VarId) -> Option<ExprId> {
    fn visit(stmts: &[Stmt], var: VarId, found: &mut Vec<ExprId>) {
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

// ---- what a run will ask for --------------------------------------------------------------------

/// Bars beside the chart's that a run of `plan` asks for, in the order it does, each once. What
/// identifies a run must cover them. Requests that fail before they ask are left out.
pub fn needs(plan: &Plan<'_>, data: &DataContext<'_>) -> Vec<Need> {
    let mut found = Vec::new();
    if plan.program.has_requests() {
        let facts = functions::facts(data, data, plan.program.version);
        let (folder, whole) = plan.specialise(&facts);
        let plots: Vec<VarId> = plan.program.plots.iter().map(|(_, var)| *var).collect();
        let body = Needs::slice(&folder, &whole, &plots, true);
        gather(plan, &folder, &body, (data, data), &mut Vec::new(), &mut found);
    }
    if plan.program.bar_magnifier
        && let Some(need) = magnifier(data)
    {
        found.push(need);
    }
    let mut once: Vec<Need> = Vec::new();
    found.into_iter().for_each(|need| {
        if !once.contains(&need) {
            once.push(need)
        }
    });
    once
}

fn gather(
    plan: &Plan<'_>,
    folder: &Folder<'_>,
    body: &[Stmt],
    (data, chart): (&DataContext<'_>, &DataContext<'_>),
    path: &mut Vec<SiteId>,
    found: &mut Vec<Need>,
) {
    for s in collect(body) {
        let Ok(target) = Target::of(folder, s, data) else { continue };
        if path.contains(&s.site) {
            continue;
        }
        let mut symbol = data.symbol.clone();
        if let Some(need) = target.need(data) {
            let bars = need.fetch(data, s.span);
            found.push(need);
            let Ok(bars) = bars else { continue };
            symbol = bars.symbol;
        }
        let context = DataContext { symbol: &symbol, timeframe: target.timeframe, ..*data };
        let facts = functions::facts(&context, chart, plan.program.version);
        let (inner, body) = plan.specialise(&facts);
        path.push(s.site);
        let needed = part(&inner, &body, s);
        gather(plan, &inner, &needed, (&context, chart), path, found);
        path.pop();
    }
}

// ---- the bar magnifier --------------------------------------------------------------------------

/// The bars that show the order of prices within the chart's; none when there is nothing finer.
pub(super) fn magnifier(data: &DataContext<'_>) -> Option<Need> {
    let symbol = full_name(data.symbol);
    let finest = data.others?.finest(&symbol, data.symbol)?;
    let wanted = magnifier_timeframe(data.timeframe);
    let timeframe = if finest.nominal_ms() > wanted.nominal_ms() { finest } else { wanted };
    (timeframe.nominal_ms() < data.timeframe.nominal_ms()).then_some(Need { symbol, timeframe })
}

/// The timeframe that TradingView's bar magnifier takes for a chart's.
pub(super) fn magnifier_timeframe(chart: Timeframe) -> Timeframe {
    use Timeframe::{Days, Minutes, Seconds};
    const DAY: i64 = 24 * 60;
    match chart.nominal_ms() / 60_000 {
        0 if chart.nominal_ms() < 30_000 => Seconds(1),
        0 => Seconds(5),
        1..5 => Seconds(10),
        5..10 => Seconds(30),
        10..15 => Minutes(1),
        15..30 => Minutes(2),
        30..60 => Minutes(5),
        60..240 => Minutes(10),
        240..DAY => Minutes(30),
        m if m < 3 * DAY => Minutes(60),
        m if m < 7 * DAY => Minutes(240),
        _ => Days(1),
    }
}
