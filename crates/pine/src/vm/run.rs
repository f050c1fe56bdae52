//! One run from a program and inputs to trades.

use super::bits::Mask;
use super::build::{Builder, Built, When};
use super::calendar::{Clock, Zone};
use super::columns::{self, ColumnStore};
use super::fold::{Facts, Folder, Known};
use super::functions;
use super::gates;
use super::heap::Heap;
use super::machine::{Machine, World};
use super::others::{OtherData, magnifier};
use super::security::Requests;
use super::signals::Signals;
use super::slice::Needs;
use super::values::{NameTable, Strings};
use crate::ir::{BarField, Input, InputKind, Program, Stmt};
use springtide_domain::{
    Bars, BarsView, Diagnostic, ParamValue, Params, Severity, Span, SymbolInfo, Timeframe,
};
use springtide_engine::{
    Account, Rules,
    broker::{Broker, EventKind, FinerBars, Simulation},
    rules::{AtOpen, FillAt, Sums},
};

/// The market a run trades on.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct DataContext<'a> {
    pub bars: BarsView<'a>,
    pub timeframe: Timeframe,
    pub symbol: &'a SymbolInfo,
    /// Indicator columns shared by all runs on these bars.
    pub columns: &'a ColumnStore,
    pub others: Option<&'a dyn OtherData>,
}

/// How to execute; the results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecOptions {
    /// Compute what depends on the market alone as columns, and skip bars on which nothing can happen.
    pub hoist: bool,
}

impl Default for ExecOptions {
    fn default() -> Self {
        Self { hoist: true }
    }
}

/// What the options and the rules say about computing indicators.
#[derive(Clone, Copy)]
pub(super) struct Mode {
    pub hoist: bool,
    pub sums: Sums,
}

/// Buffers that a worker keeps from run to run.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Options of the runs made with it.
    pub options: ExecOptions,
}

/// A line the script logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LogLine {
    pub bar: usize,
    /// 0 info, 1 warning, 2 error.
    pub level: u8,
    pub text: String,
}

impl std::fmt::Display for LogLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = ["info", "warning", "error"][usize::from(self.level.min(2))];
        write!(f, "bar {}: {level}: {}", self.bar, self.text)
    }
}

/// What a run leaves.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Outcome {
    pub simulation: Simulation,
    /// Title and values per bar of the script's plots, when the program kept them.
    pub plots: Vec<(String, Vec<f64>)>,
    pub logs: Vec<LogLine>,
    /// Things the person should know, one sentence each.
    pub warnings: Vec<String>,
    pub names: NameTable,
}

/// Why a run has no result.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum RunError {
    /// Told to stop.
    Stopped,
    /// The script's own mistake, found while running.
    Script { message: String, span: Span, bar: usize },
    /// Collections or strings grew beyond what a run may hold.
    Memory { bar: usize },
    /// Something this engine cannot do.
    Unsupported { feature: String, span: Span },
    /// Bars that the script asks for and nobody has.
    NoData { symbol: String, timeframe: Timeframe, span: Span },
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Script { message, bar, .. } => write!(f, "{message} (on bar {bar})"),
            Self::Memory { bar } => write!(
                f,
                "out of the memory a run may use on bar {bar}: the script's collections or strings grow without end"
            ),
            Self::Unsupported { feature, .. } => write!(f, "{feature} is not supported"),
            Self::NoData { symbol, timeframe, .. } => write!(
                f,
                "the script asks for {symbol} at {timeframe}, of which there are no bars: bring them, or shorter ones, \
                 with `tide data import FILE --symbol {symbol}`, or name their file with --data"
            ),
        }
    }
}

impl std::error::Error for RunError {}

/// A program with its inputs' values.
#[derive(Debug)]
pub struct Plan<'p> {
    pub(super) program: &'p Program,
    inputs: Vec<Known>,
    sources: Vec<Option<BarField>>,
}

impl<'p> Plan<'p> {
    /// Checks and sets the inputs; names are keys or variables. Errors name the input and what it takes.
    pub fn prepare(program: &'p Program, params: &Params) -> Result<Self, Vec<Diagnostic>> {
        let mut errors = Vec::new();
        for name in params.keys() {
            if !program.inputs.iter().any(|i| i.key == *name || i.variable == *name) {
                errors.push(bad_input(Span::default(), format!("the script has no input `{name}`")));
            }
        }
        let mut inputs = Vec::with_capacity(program.inputs.len());
        let mut sources = Vec::with_capacity(program.inputs.len());
        for input in &program.inputs {
            let given = params.get(&input.key).or_else(|| params.get(&input.variable));
            match value(input, given) {
                Ok((known, source)) => {
                    inputs.push(known);
                    sources.push(source);
                }
                Err(message) => {
                    errors.push(bad_input(input.span, message));
                    inputs.push(Known::Num(f64::NAN));
                    sources.push(None);
                }
            }
        }
        if errors.is_empty() { Ok(Self { program, inputs, sources }) } else { Err(errors) }
    }

    /// The program with its inputs' values and what is known of a market: what they decide is decided.
    pub(super) fn specialise<'f>(&self, facts: &'f Facts) -> (Folder<'f>, Vec<Stmt>)
    where
        'p: 'f,
    {
        Folder::specialise(self.program, self.inputs.clone(), self.sources.clone(), facts)
    }
}

fn bad_input(span: Span, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: "bad-input".into(),
        feature: String::new(),
        message,
        hint: String::new(),
        span,
    }
}

fn value(input: &Input, given: Option<&ParamValue>) -> Result<(Known, Option<BarField>), String> {
    let text = |s: &str| Known::Str(s.into());
    let key = &input.key;
    let number = |want: &str| match given {
        None => Ok(input.default),
        Some(v) => v.as_f64().ok_or_else(|| format!("input `{key}` takes {want}, not `{v}`")),
    };
    let known = match &input.kind {
        InputKind::Source(default) => {
            let field = match given {
                None => *default,
                Some(v) => source(&v.to_string()).ok_or_else(|| {
                    format!("input `{key}` takes a price series (open, high, low, close, hl2, hlc3, ohlc4, hlcc4, volume), not `{v}`")
                })?,
            };
            return Ok((Known::Num(f64::NAN), Some(field)));
        }
        InputKind::Int | InputKind::Time => {
            let x = number("a whole number")?;
            if x.fract() != 0.0 {
                return Err(format!("input `{key}` takes a whole number, not `{x}`"));
            }
            Known::Num(x)
        }
        InputKind::Float | InputKind::Price | InputKind::Color => Known::Num(number("a number")?),
        InputKind::Bool => match given {
            None => Known::Num(input.default),
            Some(ParamValue::Bool(b)) => Known::Num(f64::from(*b)),
            Some(v) => return Err(format!("input `{key}` takes true or false, not `{v}`")),
        },
        InputKind::Enum(members) => match given {
            None => Known::Num(input.default),
            Some(v) => {
                let name = v.to_string();
                let at = members.iter().position(|m| *m == name || m.rsplit('.').next() == Some(&name));
                Known::Num(
                    at.ok_or_else(|| format!("input `{key}` takes one of {}, not `{v}`", members.join(", ")))?
                        as f64,
                )
            }
        },
        InputKind::Str | InputKind::Timeframe | InputKind::Symbol | InputKind::Session => match given {
            None => text(&input.default_str),
            Some(v) => text(&v.to_string()),
        },
    };
    in_range(input, &known, given.is_some())?;
    Ok((known, None))
}

fn in_range(input: &Input, known: &Known, given: bool) -> Result<(), String> {
    if !given {
        return Ok(());
    }
    let key = &input.key;
    if let Some(x) = known.num()
        && (input.min.is_some_and(|m| x < m) || input.max.is_some_and(|m| x > m))
    {
        let bound = |m: Option<f64>| m.map_or("…".into(), |m| m.to_string());
        return Err(format!("input `{key}` takes {} to {}, not {x}", bound(input.min), bound(input.max)));
    }
    let same = |option: &ParamValue| match (known, option) {
        (Known::Str(a), ParamValue::Str(b)) => **a == **b,
        (Known::Num(a), option) => option.as_f64() == Some(*a),
        _ => false,
    };
    if !input.options.is_empty()
        && !matches!(input.kind, InputKind::Enum(_))
        && !input.options.iter().any(same)
    {
        let options: Vec<String> = input.options.iter().map(ToString::to_string).collect();
        return Err(format!("input `{key}` takes one of {}", options.join(", ")));
    }
    Ok(())
}

/// The price series of this name; times and indices are none.
fn source(name: &str) -> Option<BarField> {
    crate::check::builtins::bar_field(name)
        .filter(|f| !matches!(f, BarField::Time | BarField::TimeClose | BarField::BarIndex))
}

/// Runs a plan on a market. `stop` is asked now and then; when it says yes the run ends as stopped.
pub fn run(
    plan: &Plan<'_>,
    data: &DataContext<'_>,
    rules: &Rules,
    account: &Account,
    scratch: &mut Scratch,
    stop: &dyn Fn() -> bool,
) -> Result<Outcome, RunError> {
    let program = plan.program;
    let facts = functions::facts(data, data, program.version);
    let (folder, body) = plan.specialise(&facts);
    let plots: Vec<crate::ir::VarId> = program.plots.iter().map(|(_, var)| *var).collect();
    let whole = body;
    let body = Needs::slice(&folder, &whole, &plots, true);
    let mut world = world(data, program)?;
    let mut warnings = Vec::new();
    let magnified = if program.bar_magnifier { magnify(data, &mut warnings) } else { None };
    let finer = magnified.as_ref().map(|(bars, span)| FinerBars::new(data.bars.time, *span, bars.view()));
    if let Some(finer) = &finer {
        let (covered, all) = (finer.covered(), data.bars.len());
        if covered < all {
            warnings.push(format!(
                "use_bar_magnifier: finer bars cover {covered} of {all} bars; on the others fills follow the assumed path"
            ));
        }
    }
    let mode = Mode { hoist: scratch.options.hoist, sums: rules.sums };
    let requests = Requests { plan, chart: *data, mode, stop };
    let answers = requests.resolve(&folder, &body, &mut world, data, &mut Vec::new())?;
    let mut strings = std::mem::take(&mut world.strings);
    let mut builder = Builder::new(&folder, data.columns, &mut strings, mode);
    answers.into_iter().for_each(|(var, answer)| builder.give(var, answer));
    let (built, plotted) = builder.build_with_vars(&body, &plots)?;
    world.strings = strings;
    let columns = columns::compute(&built.recipes, &data.bars, data.columns, &mut |name| {
        functions::bar_column(name, &mut world)
    });
    let masks = gates::masks(&built.gates, &columns, data.bars.len());
    let mut broker = Broker::new(data.bars, account, rules, data.symbol);
    if let Some(finer) = &finer {
        broker = broker.with_finer(finer);
    }
    // Under the magnifier the broker asks for more than the chart's bars.
    let signals = Signals::find(&built, &world.strings).filter(|_| plotted.is_empty() && finer.is_none());
    let n = data.bars.len();
    let mut machine = Machine::new(&mut world, Some(broker), &built.code, &columns, &masks, stop);
    let mut series: Vec<Vec<f64>> = plotted.iter().map(|_| Vec::with_capacity(n)).collect();
    // Where orders fill at the close there is nothing to run again for: the two settings exclude each other.
    let at_close = account.process_orders_on_close || rules.fill_at == FillAt::SignalClose;
    if account.calc_on_order_fills && !at_close {
        warnings.push(LOOK_AHEAD.to_owned());
        if rules.at_open == AtOpen::StopFirst {
            warnings
                .push("calc_on_order_fills walks bars price by price: the rule at-open is not asked".into());
        }
        drive_fills(&mut machine, n, &plotted, &mut series)?;
    } else {
        match signals {
            Some(signals) => machine.broker.iter_mut().try_for_each(|b| signals.drive(b, &masks, n, stop))?,
            None => drive(&mut machine, &built, &masks, n, &plotted, &mut series)?,
        }
    }
    let broker = machine.broker.take();
    let simulation = broker.map(Broker::finish).unwrap_or_default();
    tell(&simulation, &mut warnings);
    if world.logs_dropped > 0 {
        warnings.push(format!("{} log lines were dropped", world.logs_dropped));
    }
    Ok(Outcome {
        simulation,
        plots: program.plots.iter().map(|(t, _)| t.clone()).zip(series).collect(),
        logs: std::mem::take(&mut world.logs),
        warnings,
        names: world.strings.into_names(),
    })
}

/// The finer bars that show in what order prices came, and how long a chart bar is at most.
fn magnify(data: &DataContext<'_>, warnings: &mut Vec<String>) -> Option<(Bars, i64)> {
    let need = magnifier(data);
    let found = need.as_ref().and_then(|need| need.fetch(data, Span::default()).ok());
    let (Some(need), Some(found)) = (need, found) else {
        warnings.push(format!(
            "use_bar_magnifier: there are no bars of {} shorter than {}; fills follow the bar's assumed path (bring \
             some with `tide data import FILE`)",
            data.symbol.ticker, data.timeframe
        ));
        return None;
    };
    warnings.push(format!("use_bar_magnifier: fills follow the {} bars of {}", need.timeframe, need.symbol));
    let span = if data.timeframe.is_intraday() { data.timeframe.nominal_ms() } else { i64::MAX };
    Some((found.bars, span))
}

pub(super) fn world<'w>(data: &DataContext<'w>, program: &Program) -> Result<World<'w>, RunError> {
    let zone = Zone::find(&data.symbol.timezone).ok_or_else(|| RunError::Script {
        message: format!("the symbol's time zone `{}` is unknown", data.symbol.timezone),
        span: Span::default(),
        bar: 0,
    })?;
    let enums =
        program.enums.iter().map(|e| (e.name.clone(), e.members.iter().map(|m| m.1.clone()).collect()));
    Ok(World {
        bars: data.bars,
        timeframe: data.timeframe,
        symbol: data.symbol,
        version: program.version,
        zone,
        clock: Clock::default(),
        strings: Strings::default(),
        patterns: Default::default(),
        heap: Heap::default(),
        enums: enums.collect(),
        logs: Vec::new(),
        logs_dropped: 0,
    })
}

const LOOK_AHEAD: &str = "calc_on_order_fills: calculations in the middle of a bar read its final high, low, \
    close and volume, as on TradingView's history: results may look into the future";

/// Steps through the bars; where an order fills, the script runs again at that price of the bar.
fn drive_fills(
    machine: &mut Machine<'_, '_>,
    n: usize,
    plotted: &[super::machine::Reg],
    series: &mut [Vec<f64>],
) -> Result<(), RunError> {
    for i in 0..n {
        let Some(broker) = &mut machine.broker else { return Ok(()) };
        broker.begin_bar(i);
        let mut before = None;
        while let Some(broker) = &mut machine.broker {
            if broker.has_filled() {
                broker.begin_pass();
                let before = before.get_or_insert_with(|| machine.save());
                machine.run_pass(i, before)?;
                machine.broker.iter_mut().for_each(Broker::end_pass);
            }
            if !machine.broker.as_mut().is_some_and(Broker::walk_on) {
                break;
            }
        }
        machine.run_bar(i)?;
        if let Some(broker) = &mut machine.broker {
            broker.close_bar(i);
        }
        note(machine, plotted, series);
    }
    Ok(())
}

fn note(machine: &Machine<'_, '_>, plotted: &[super::machine::Reg], series: &mut [Vec<f64>]) {
    for (reg, out) in plotted.iter().zip(series.iter_mut()) {
        out.push(machine.registers[*reg as usize]);
    }
}

/// Steps through the bars, or leaps from one that matters to the next.
fn drive(
    machine: &mut Machine<'_, '_>,
    built: &Built,
    masks: &[Mask],
    n: usize,
    plotted: &[super::machine::Reg],
    series: &mut [Vec<f64>],
) -> Result<(), RunError> {
    let leaps = plotted.is_empty()
        && built.code.histories.is_empty()
        && built.when.iter().all(|w| !matches!(w, When::Always));
    if !leaps {
        for i in 0..n {
            if let Some(broker) = &mut machine.broker {
                broker.open_bar(i);
            }
            machine.run_bar(i)?;
            if let Some(broker) = &mut machine.broker {
                broker.close_bar(i);
            }
            note(machine, plotted, series);
        }
        return Ok(());
    }
    let gate = built
        .when
        .iter()
        .filter_map(|w| match w {
            When::Gated(g) => Some(&masks[*g]),
            _ => None,
        })
        .fold(None, |all: Option<Mask>, m| Some(all.map_or_else(|| m.clone(), |a| a.or(m))));
    let engaged = built.when.iter().any(|w| matches!(w, When::Engaged));
    let mut at = 0;
    while at < n {
        let Some(broker) = &mut machine.broker else { return Ok(()) };
        let busy = engaged && (broker.position_size() != 0.0 || broker.has_pending());
        let next = if busy { at } else { gate.as_ref().and_then(|g| g.next(at)).unwrap_or(n) };
        let reached = broker.advance(next);
        if reached < next {
            // A fill on the way: only statements that look at the position can have something to say.
            if engaged {
                machine.run_bar(reached)?;
                if let Some(broker) = &mut machine.broker {
                    broker.close_bar(reached);
                }
            }
            at = reached + 1;
            continue;
        }
        if next == n {
            break;
        }
        broker.open_bar(next);
        machine.run_bar(next)?;
        if let Some(broker) = &mut machine.broker {
            broker.close_bar(next);
        }
        at = next + 1;
    }
    Ok(())
}

fn tell(simulation: &Simulation, warnings: &mut Vec<String>) {
    let counts = &simulation.counts;
    if counts.refused > 0 {
        let first =
            simulation.events.iter().find(|e| e.kind == EventKind::MarginRefused).map_or(0, |e| e.bar);
        warnings.push(format!(
            "{} entries were refused for want of margin, the first on bar {first}: the order was larger than the equity allows",
            counts.refused
        ));
    }
    if counts.empty > 0 {
        warnings.push(format!("{} orders rounded down to a quantity of 0 and placed nothing", counts.empty));
    }
    if simulation.margin_calls > 0 {
        warnings.push(format!("{} margin calls", simulation.margin_calls));
    }
    if let Some(rule) = simulation.halted {
        warnings.push(format!("{rule} stopped trading"));
    }
}
