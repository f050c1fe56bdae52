//! `tide backtest`: many strategies x many markets x many parameters, at once.

use super::{
    Context, helpers,
    money::time_ms,
    rules::{find, find_library},
};
use crate::{
    args::{BacktestArgs, PriorityArg, command_line},
    commands::board::board,
    exit::{CommandResult, Ending},
    interrupt::Cancels,
    observe,
    otlp::Exporter,
    output::{count, group, run_json, si},
    progress::{Display, seconds},
    python::{Python, falls_back},
    run_log::RunLog,
};
use springtide_domain::{ParamValue, Params, Severity};
use springtide_engine::{
    Rules,
    metrics::METRICS,
    rules::{LIBRARIES, PRESETS},
};
use springtide_lab::{
    LabError, Ledger,
    batch::{self, BatchOptions, BatchSummary, Market, OnOutput, OnRun, Plan, Progress},
    compiled::CompiledStrategy,
    dataset::Cut,
    execute::AccountOverrides,
    ledger::{BoardQuery, RunRecord},
    library::Library,
    market::{self, Wanted},
    paths::expand,
    python::{DIFFERS, NOT_COMPARED, PythonLab},
    report::export::{TradeOwner, iso},
    report_batch::{self, TradeSink},
    strategy::{StrategyKind, StrategySource},
    sweep::{Axis, grid_for},
};
use springtide_runtime::locks::{Mutex, lock};
use springtide_runtime::{CancelToken, Pool, PoolConfig, Priority};
use std::{collections::BTreeSet, path::Path, sync::Arc, time::Instant};

mod notes;

/// Plans, runs, reports.
pub fn run(context: &Context, args: &BacktestArgs) -> CommandResult {
    let command = command_line();
    // First of all: a batch that runs for hours should not end with a slip of the pen.
    let exporter =
        args.otlp.as_deref().map(|url| Exporter::start(url, &command, context.seen.health())).transpose()?;
    let _visible = observe::serve(context.term, &context.seen);
    let mut flush = Flush { exporter: exporter.as_ref(), ..Flush::default() };
    let ending = batch(context, args, command, &mut flush);
    let Flush { stop, cancels, summary, .. } = flush;
    if let Some(exporter) = exporter {
        // Everything has been told; only spans are left, and an interruption ends the wait for them.
        let _cancels = cancels.map_or_else(|| context.signals.cancels(&stop), Ok)?;
        if let Some(problem) = exporter.finish(summary.as_ref(), &stop) {
            context.term.warn(&format!("otlp: {problem}"));
        }
    }
    ending
}

/// What the last delivery of spans needs of the batch.
#[derive(Default)]
struct Flush<'e> {
    exporter: Option<&'e Exporter>,
    /// Cancelled when somebody interrupts what comes after the batch.
    stop: CancelToken,
    cancels: Option<Cancels>,
    summary: Option<BatchSummary>,
}

/// The batch itself, from the plan to the last word about it.
fn batch(context: &Context, args: &BacktestArgs, command: String, flush: &mut Flush<'_>) -> CommandResult {
    let ledger = context.workspace.ledger()?;
    ledger.database().watch(context.seen.health().component("ledger"));
    let pool = Pool::new(PoolConfig { workers: workers(args), name: "cpu".into(), ..PoolConfig::default() })
        .map_err(|e| LabError::Usage(e.to_string()))?;
    let plan = plan(context, args, &pool)?;
    let planned = plan.count()?;
    if plan.is_empty() || planned == 0 {
        return Err(LabError::Usage("nothing to run".into()));
    }
    if planned > args.max_runs {
        return Err(LabError::Usage(format!(
            "{} runs are planned, more than --max-runs {}: narrow the sweep or raise the limit",
            group(planned as f64, 0),
            group(args.max_runs as f64, 0)
        )));
    }
    tell_plan(context, &plan, planned);
    let outcome = execute(context, args, command, &ledger, &plan, &pool, flush.exporter)?;
    flush.summary = Some(outcome.summary.clone());
    // From here to the end of the flush: closing the ledger takes time, too.
    flush.cancels = flush.exporter.map(|_| context.signals.cancels(&flush.stop)).transpose()?;
    close(context, args, &ledger, &plan, &outcome)
}

struct Executed {
    summary: BatchSummary,
    runs: Vec<RunRecord>,
    elapsed: std::time::Duration,
    bars: u64,
}

/// Records kept in memory for the closing table and the report; the ledger has all of them.
const KEPT_RUNS: usize = 200_000;

fn execute(
    context: &Context,
    args: &BacktestArgs,
    command: String,
    ledger: &Ledger,
    plan: &Plan,
    pool: &Pool,
    exporter: Option<&Exporter>,
) -> Result<Executed, LabError> {
    let cancel = CancelToken::new();
    let progress = Arc::new(Progress::default());
    observe::show_batch(&context.seen, &progress);
    let sink = args.trades.as_deref().map(TradeSink::create).transpose()?.map(|s| Arc::new(Mutex::new(s)));
    let kept = Arc::new(Mutex::new(Vec::new()));
    let log = args.log_runs.as_deref().map(RunLog::open).transpose()?.map(Arc::new);
    let on_run: OnRun = {
        let (kept, json, log) = (Arc::clone(&kept), args.json, log.clone());
        let export = exporter.map(Exporter::recorder);
        Box::new(move |run: &RunRecord, reused: bool| {
            if let Some(log) = &log {
                log.append(&run_json(run, reused));
            }
            if let (Some(export), false) = (&export, reused) {
                export(run);
            }
            if json {
                println!("{}", run_json(run, reused));
            }
            let mut kept = lock(&kept);
            if kept.len() < KEPT_RUNS {
                kept.push(run.clone());
            }
        })
    };
    let on_output: Option<OnOutput> = sink.clone().map(|sink| {
        Arc::new(
            move |run: &RunRecord,
                  data: &springtide_lab::dataset::DataSet,
                  output: &springtide_lab::execute::RunOutput| {
                let owner = TradeOwner {
                    run: run.id.to_string(),
                    strategy: run.strategy.clone(),
                    symbol: run.symbol.clone(),
                    timeframe: run.timeframe.clone(),
                };
                let rows = springtide_lab::report::detail::trade_rows(data, output);
                lock(&sink).add(&owner, rows);
            },
        ) as OnOutput
    });
    let options = BatchOptions {
        priority: priority(args.priority),
        timeout: args.timeout,
        resume: args.resume,
        fail_fast: args.fail_fast,
        command,
    };
    let display = Display::start(context.term, Arc::clone(&progress), pool.registry())
        .map_err(|source| LabError::File { path: "progress".into(), source })?;
    let (_speaks, _cancels) =
        (context.signals.speak_through(display.speaker()), context.signals.cancels(&cancel)?);
    let started = Instant::now();
    let summary = batch::run(plan, &options, pool, ledger, &cancel, &progress, on_run, on_output);
    let elapsed = started.elapsed();
    display.finish();
    let summary = summary?;
    if let Some(sink) = sink {
        let path = lock(&sink).finish()?;
        context.term.note(&format!("trades: {}", path.display()));
    }
    if let Some(log) = log {
        log.finish()?;
    }
    let runs = std::mem::take(&mut *lock(&kept));
    let bars = progress.bars.load(std::sync::atomic::Ordering::Relaxed);
    Ok(Executed { summary, runs, elapsed, bars })
}

fn close(
    context: &Context,
    args: &BacktestArgs,
    ledger: &Ledger,
    plan: &Plan,
    done: &Executed,
) -> CommandResult {
    let Executed { summary, runs, elapsed, bars } = done;
    let lower_is_better = METRICS.iter().any(|m| m.name == args.sort && m.higher_is_better == Some(false));
    if !args.json {
        let query = BoardQuery {
            sort: args.sort.clone(),
            descending: !lower_is_better,
            filter: None,
            top: args.top,
            group: None,
            job: Some(summary.job),
        };
        let best = if summary.reused == 0 {
            ledger.board(&query)?
        } else {
            best_of(runs, &args.sort, !lower_is_better, args.top)
        };
        print!("{}", board(&best, &args.sort, context.term.table, context.term.color_out));
        if args.rules_spread {
            print!("{}", spread(context, runs));
        }
    }
    notes::failures(context, runs);
    notes::idle(context, runs);
    notes::other_bars(context, runs);
    if !args.json {
        notes::equal(context, runs);
    }
    let differing = differences(context, args, runs);
    let paint = context.term.err();
    let rate = *bars as f64 / elapsed.as_secs_f64().max(1e-6);
    context.term.note_painted(&format!(
        "job {}: {}, {}{} in {}, {} bars/s",
        summary.job,
        paint.green(format!("{} ok", group(summary.ok as f64, 0))),
        if summary.failed > 0 {
            paint.red(format!("{} failed", group(summary.failed as f64, 0)))
        } else {
            "0 failed".into()
        },
        if summary.reused > 0 {
            format!(", {} from the ledger", group(summary.reused as f64, 0))
        } else {
            String::new()
        },
        seconds(*elapsed),
        si(rate)
    ));
    if let Some(out) = &args.out {
        let title = format!(
            "{} on {}",
            count(plan.strategies.len() as u64, "strategy", "strategies"),
            count(plan.markets.len() as u64, "market", "markets")
        );
        report_batch::write(
            out,
            &title,
            &command_line(),
            iso(springtide_lab::ledger::now_ms()),
            runs,
            &args.sort,
            !lower_is_better,
            plan,
        )?;
        context.term.note(&format!("report: {}", out.display()));
    }
    if summary.interrupted {
        context
            .term
            .note("Interrupted. What finished is kept; the same command with --resume does the rest.");
        return Ok(Ending::Interrupted);
    }
    let bad = summary.failed > 0 || summary.stopped_early || differing > 0;
    Ok(if bad { Ending::Partly } else { Ending::Ok })
}

fn best_of(runs: &[RunRecord], sort: &str, descending: bool, top: u32) -> Vec<RunRecord> {
    let key = |r: &RunRecord| r.metrics.as_ref().and_then(|m| m.get(sort));
    let mut best: Vec<RunRecord> = runs.iter().filter(|r| r.metrics.is_some()).cloned().collect();
    best.sort_by(|a, b| {
        springtide_lab::report::page::rank(key(a), key(b), descending).then_with(|| a.id.cmp(&b.id))
    });
    // Equal runs are one in the ledger, too.
    best.dedup_by(|a, b| a.id == b.id);
    best.truncate(top as usize);
    best
}

/// Runs on which the two libraries do not agree; each is told.
fn differences(context: &Context, args: &BacktestArgs, runs: &[RunRecord]) -> usize {
    if !args.python.verify_engine {
        return 0;
    }
    let facts = runs.iter().filter_map(|run| Some((run, run.python.as_ref().filter(|f| f.number == 0)?)));
    let (late, compared): (Vec<_>, Vec<_>) =
        facts.partition(|(_, facts)| facts.notes.iter().any(|note| note.starts_with(NOT_COMPARED)));
    let told = compared
        .iter()
        .filter_map(|(run, facts)| Some((run, facts.notes.iter().find(|note| note.starts_with(DIFFERS))?)));
    let told: Vec<_> = told.collect();
    for (run, note) in told.iter().take(20) {
        context.term.note(&format!("{} on {}: {note}", run.strategy, run.data));
    }
    let paint = context.term.err();
    let count = format!("{} of {} scripts differ", told.len(), compared.len());
    let count = if told.is_empty() { paint.green(count) } else { paint.red(count) };
    let late = match late.len() {
        0 => String::new(),
        n => format!("; {n} were not compared, for one of the two had too little time"),
    };
    context.term.note_painted(&format!("engines: {count}{late}"));
    told.len()
}

fn spread(context: &Context, runs: &[RunRecord]) -> String {
    use crate::table::{Cell, Column, render};
    let ok: Vec<&RunRecord> = runs.iter().filter(|r| r.metrics.is_some()).collect();
    let Some(spread) = springtide_lab::report::page::spread(&ok) else { return String::new() };
    let mut columns = vec![Column::text("strategy"), Column::left("market")];
    columns.extend(spread.presets.iter().map(|p| Column::right(p)));
    columns.push(Column::right("spread"));
    let percent =
        |x: Option<f64>| x.map_or_else(|| Cell::from("–"), |x| Cell::signed(format!("{} %", group(x, 2)), x));
    let rows: Vec<Vec<Cell>> = spread
        .rows
        .iter()
        .take(40)
        .map(|r| {
            let mut cells: Vec<Cell> = vec![r.strategy.clone().into(), r.market.clone().into()];
            cells.extend(r.returns.iter().map(|x| percent(*x)));
            cells.push(r.spread.map_or_else(|| "–".to_owned(), |x| format!("{} points", group(x, 2))).into());
            cells
        })
        .collect();
    format!(
        "\nReturn by broker rules alone\n{}",
        render(&columns, &rows, context.term.table, context.term.color_out)
    )
}

fn priority(arg: PriorityArg) -> Priority {
    match arg {
        PriorityArg::Critical => Priority::Critical,
        PriorityArg::High => Priority::High,
        PriorityArg::Standard => Priority::Standard,
        PriorityArg::Low => Priority::Low,
    }
}

fn tell_plan(context: &Context, plan: &Plan, planned: u64) {
    let broken = plan.strategies.iter().filter(|(s, _)| s.runnable().is_err()).count();
    let note = if broken > 0 { format!(" ({broken} cannot run)") } else { String::new() };
    context.term.note(&format!(
        "{}{note} on {}: {}",
        count(plan.strategies.len() as u64, "strategy", "strategies"),
        count(plan.markets.len() as u64, "market", "markets"),
        count(planned, "run", "runs")
    ));
    let warned: BTreeSet<String> = plan
        .strategies
        .iter()
        .flat_map(|(s, _)| {
            s.diagnostics
                .iter()
                .filter(|d| d.severity == Severity::Warning)
                .map(|d| format!("{}: {}", s.name, d.message))
        })
        .collect();
    for text in warned.iter().take(5) {
        context.term.note_as(&context.term.err().yellow("warning:"), text);
    }
    if warned.len() > 5 {
        context.term.note(&format!("... and {} more warnings; `tide check` shows them", warned.len() - 5));
    }
}

fn plan(context: &Context, args: &BacktestArgs, pool: &Pool) -> Result<Plan, LabError> {
    let files = expand(&args.strategies, &|path| StrategyKind::of(path).is_some())?;
    let sources = StrategySource::read_all(files)?;
    let rules = rules(args, &sources)?;
    let python = python(context, args, &sources)?;
    let compiled = CompiledStrategy::all(sources, pool, python.as_ref());
    let sets = sets(&args.sets)?;
    let sweeps: Vec<Axis> = args.sweeps.iter().map(|t| Axis::parse(t)).collect::<Result<_, _>>()?;
    let mut unknown: Option<BTreeSet<String>> = None;
    let mut strategies = Vec::new();
    for strategy in helpers::without(context, &args.strategies, compiled) {
        let (grid, missing) = grid_for(strategy.inputs(), &sets, &sweeps, args.sweep_inputs);
        if strategy.code.is_some() {
            let missing: BTreeSet<String> = missing.into_iter().collect();
            unknown = Some(match unknown {
                Some(all) => all.intersection(&missing).cloned().collect(),
                None => missing,
            });
        }
        strategies.push((Arc::new(strategy), grid));
    }
    if let Some(name) = unknown.and_then(|u| u.into_iter().next()) {
        return Err(LabError::Usage(no_such_input(&name, &strategies)));
    }
    // Among many strategies each takes what it can; a single one that cannot is a slip of the pen.
    if let [(strategy, grid)] = &strategies[..]
        && let Some(why) = strategy.refuses(grid)
    {
        return Err(LabError::Usage(why));
    }
    let markets = markets(context, args)?;
    let ready = markets.iter().filter_map(|m| match m {
        Market::Ready(data) => Some(&**data),
        Market::Broken { .. } => None,
    });
    let library = Arc::new(Library::new(&context.workspace.data(), ready));
    Ok(Plan {
        strategies,
        library,
        library_rules: python.as_ref().map_or_else(Vec::new, |lab| lab.rules()),
        python,
        markets,
        rules: rules.into_iter().map(Arc::new).collect(),
        overrides: AccountOverrides { cash: args.cash, commission: args.commission, slippage: args.slippage },
    })
}

/// What runs the Python strategies, if there are any.
fn python(
    context: &Context,
    args: &BacktestArgs,
    sources: &[StrategySource],
) -> Result<Option<Arc<PythonLab>>, LabError> {
    let in_python = || sources.iter().filter(|s| s.kind == StrategyKind::Python);
    let count = in_python().count();
    if count == 0 {
        return Ok(None);
    }
    let rules = library_rules(args)?;
    let found = Python::find(&args.python, context.seen.health())?;
    if let Some(warning) = found.warning() {
        context.term.note_as(&context.term.err().yellow("warning:"), &format!("scripts: {warning}"));
    }
    if falls_back(&args.python)? {
        context.term.note("Python strategies use the original library: springtide's own is not there.");
    }
    let texts = in_python().map(|s| s.text.as_str());
    Ok(Some(Arc::new(found.lab(&args.python, &rules, texts, workers(args).min(count))?)))
}

/// Names of the rules of the Python strategies.
fn library_rules(args: &BacktestArgs) -> Result<Vec<&'static str>, LabError> {
    match &args.broker {
        _ if args.rules_spread => Ok(LIBRARIES.to_vec()),
        Some(name) => Ok(vec![find_library(name)?]),
        None => Ok(vec![LIBRARIES[0]]),
    }
}

fn workers(args: &BacktestArgs) -> usize {
    args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn no_such_input(name: &str, strategies: &[(Arc<CompiledStrategy>, springtide_lab::sweep::Grid)]) -> String {
    let all: BTreeSet<String> =
        strategies.iter().flat_map(|(s, _)| s.inputs().iter().map(|i| format!("{:?}", i.key))).collect();
    let list: Vec<String> = all.into_iter().take(12).collect();
    format!(
        "no strategy has an input `{name}`; there are {}",
        if list.is_empty() { "none".into() } else { list.join(", ") }
    )
}

fn sets(texts: &[String]) -> Result<Params, LabError> {
    texts
        .iter()
        .map(|text| {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| LabError::Usage(format!("--set {text}: expected NAME=VALUE")))?;
            Ok((name.trim().to_owned(), ParamValue::parse(value.trim())))
        })
        .collect()
}

/// Rules of the Pine strategies; none where there are none.
fn rules(args: &BacktestArgs, sources: &[StrategySource]) -> Result<Vec<Rules>, LabError> {
    if !sources.is_empty() && sources.iter().all(|source| source.kind == StrategyKind::Python) {
        return match args.rules.first() {
            None => Ok(Vec::new()),
            Some(rule) => Err(LabError::Usage(format!(
                "--rule {rule} changes the broker of Pine strategies; Python strategies run under their library's own \
                 rules: --broker {}",
                LIBRARIES.join(" or ")
            ))),
        };
    }
    if args.rules_spread {
        return PRESETS.iter().map(|p| find(p)).collect();
    }
    let mut rules = find(args.broker.as_deref().unwrap_or(PRESETS[0]))?;
    for rule in &args.rules {
        rules.set(rule).map_err(|e| LabError::Usage(format!("--rule {e}")))?;
    }
    Ok(vec![rules])
}

fn markets(context: &Context, args: &BacktestArgs) -> Result<Vec<Market>, LabError> {
    let time = |text: &Option<String>, flag: &str| {
        text.as_deref().map(time_ms).transpose().map_err(|e| LabError::Usage(format!("{flag}: {e}")))
    };
    let cut = Cut {
        from_ms: time(&args.from, "--from")?,
        to_ms: time(&args.to, "--to")?,
        resample: args.timeframe,
    };
    let wanted = Wanted {
        symbol: args.symbol.clone(),
        mintick: args.mintick,
        min_qty: args.min_qty,
        skip_bad: args.skip_bad,
    };
    let (store, cache) = (context.workspace.data(), context.workspace.cache());
    let names = market::find(&args.data, &store)?;
    let markets: Vec<Market> = names
        .iter()
        .map(|name| match market::load(name, &store, &cache, &wanted, cut) {
            Ok(data) => Market::Ready(Arc::new(data)),
            Err(error) => {
                Market::Broken { name: data_name(name, &store), path: name.clone(), error: error.to_string() }
            }
        })
        .collect();
    for market in &markets {
        if let Market::Broken { name, error, .. } = market {
            context.term.note_as(&context.term.err().red("data"), &format!("{name}: {error}"));
        }
    }
    Ok(markets)
}

/// What a file that cannot be read is called: imported bars as they are named, `BTC-USD 15`.
fn data_name(path: &str, store: &Path) -> String {
    let file = Path::new(path);
    let name = |part: Option<&std::ffi::OsStr>| part.map(|name| name.to_string_lossy().into_owned());
    let stem = name(file.file_stem()).unwrap_or_else(|| path.to_owned());
    let folder = file.parent().filter(|folder| folder.parent() == Some(store));
    match name(folder.and_then(Path::file_name)) {
        Some(symbol) => format!("{symbol} {stem}"),
        None => stem,
    }
}
