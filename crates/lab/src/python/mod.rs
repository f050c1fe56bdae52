//! Strategies written in Python for backtesting.py: what they are, and their runs as the ledger has them.

mod convert;
mod facts;
mod files;
mod told;

pub use facts::{BarsOf, Interpreter, PythonFacts};
pub use files::Reads;

use crate::{
    LabError,
    dataset::DataSet,
    execute::{ENGINE_VERSION, RunFailure, RunOutput, RunSpec, trades_hash},
    ledger::RunRecord,
    strategy::StrategySource,
};
use files::{Imported, Neighbours, Shelves};
use springtide_domain::{ContentHash, Diagnostic, ParamValue, RunId, RunStatus, Severity, Span};
use springtide_engine::{Commission, Rules, Slippage, backtesting_py::Rules as Version};
use springtide_pine::ir::{Input, InputKind};
use springtide_python::{
    Beside, Fault, Log, Message, RunLimits, ScriptAccount, ScriptRequest, ScriptRun, Shape, Work, Workers,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use told::{Failure, Telling, Told};

/// Runs of one script that are recorded.
const RUNS_MAX: usize = 1_000;
/// Scripts that one process looks at.
const CHECKED_AT_ONCE: usize = 32;

/// A Python strategy after checking.
#[derive(Clone, Debug)]
pub struct PythonScript {
    /// What it is.
    pub shape: Shape,
    /// Attributes of its strategies, for `--set` and `--sweep`.
    pub inputs: Vec<Input>,
    /// What lies beside it.
    neighbours: Arc<Neighbours>,
}

/// One of the libraries that can answer to `import backtesting`.
#[derive(Debug)]
pub struct PythonEngine {
    /// `rust` or `original`.
    pub name: String,
    /// The version whose rules it follows.
    pub rules: Version,
    /// Its version and that of everything it works with.
    pub identity: String,
    /// The Python that it works in.
    pub interpreter: Interpreter,
    /// Workers that have imported it.
    pub workers: Workers,
}

/// Runs Python strategies.
#[derive(Debug)]
pub struct PythonLab {
    /// What runs are made with, one for each of the rules; at least one.
    pub engines: Vec<PythonEngine>,
    /// What each run is compared with; empty, or one for each of the rules.
    pub verify: Vec<PythonEngine>,
    /// Where pages of `plot()` go.
    pub plots: Option<PathBuf>,
    shelves: Shelves,
}

/// One `Backtest.run` of a script, or the failure of a script that has none.
#[derive(Debug)]
pub struct Recorded {
    /// For the ledger.
    pub record: RunRecord,
    /// Trades, equity, metrics.
    pub output: Option<RunOutput>,
    /// The bars it was on, where they were not those of the data set.
    pub data: Option<DataSet>,
}

/// That engine of several which follows the rules of this name.
fn with_rules<'e>(engines: &'e [PythonEngine], name: &str) -> Option<&'e PythonEngine> {
    engines.iter().find(|engine| engine.rules.name == name)
}

impl PythonLab {
    /// One that has looked at nothing yet; see its fields.
    pub fn new(engines: Vec<PythonEngine>, verify: Vec<PythonEngine>, plots: Option<PathBuf>) -> Self {
        Self { engines, verify, plots, shelves: Shelves::default() }
    }

    /// A checked script with what lies beside it.
    pub fn script(&self, shape: Shape, source: &StrategySource) -> PythonScript {
        let inputs = shape.params.iter().map(|(name, value)| input(name, value)).collect();
        let neighbours = Neighbours::of(source, &shape, &self.shelves, &|modules| self.imports(modules));
        PythonScript { shape, inputs, neighbours: Arc::new(neighbours) }
    }

    /// What modules beside scripts import; nothing is known of those that are too much for the process that looks.
    fn imports(&self, modules: &[(String, String)]) -> Vec<Imported> {
        let mut all = Vec::new();
        let mut sink = |message| {
            if let Message::Imports(told) = message {
                all.push(told.map_err(|fault: Box<Fault>| fault.line_text()));
            }
        };
        let work = Work::Imports(modules.to_vec());
        // What became of the process is told where the script is run that imports them.
        let _ = self.engines[0].workers.run(&work, None, &RunLimits::default(), &|| false, &mut sink);
        all
    }

    /// That the files which a run has read are there and as they were.
    ///
    /// # Errors
    /// Names the first that is gone or has changed.
    pub fn still_has(&self, script: &PythonScript, reads: &Reads) -> Result<(), LabError> {
        script.neighbours.still_has(reads, &self.shelves)
    }

    /// The rules that every strategy runs under, as records have them.
    pub fn rules(&self) -> Vec<Arc<Rules>> {
        let named = self.engines.iter().filter_map(|engine| Rules::of_library(engine.rules.name));
        named.map(Arc::new).collect()
    }

    /// What runs of these rules are made with.
    pub fn engine(&self, rules: &Rules) -> Option<&PythonEngine> {
        with_rules(&self.engines, &rules.name)
    }

    /// Shapes of scripts, in their order.
    pub fn check(&self, scripts: &[(String, String)]) -> Vec<Result<Shape, Box<Fault>>> {
        let ask = |scripts: &[(String, String)]| {
            let mut shapes = Vec::new();
            let mut sink = |message| {
                if let Message::Shape(shape) = message {
                    shapes.push(shape);
                }
            };
            let work = Work::Check(scripts.to_vec());
            let workers = &self.engines[0].workers;
            let ended = workers.run(&work, None, &RunLimits::default(), &|| false, &mut sink);
            (shapes, ended)
        };
        let mut all = Vec::new();
        for chunk in scripts.chunks(CHECKED_AT_ONCE) {
            let (shapes, _) = ask(chunk);
            if shapes.len() == chunk.len() {
                all.extend(shapes);
                continue;
            }
            // One of them was too much for the process that looked; which one is found by looking at each alone.
            all.extend(chunk.iter().map(|script| {
                let (mut shapes, ended) = ask(std::slice::from_ref(script));
                let fault = || match ended {
                    Ok(ended) => Box::new(ended.fault()),
                    Err(error) => Box::new(Fault::new("Worker", error.to_string())),
                };
                shapes.pop().unwrap_or_else(|| Err(fault()))
            }));
        }
        all
    }

    fn tell(
        &self,
        engine: Option<&PythonEngine>,
        spec: &RunSpec<'_>,
        script: &PythonScript,
        wall: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Result<(Told, Reads), String> {
        let engine =
            engine.ok_or_else(|| format!("no library here follows the rules {}", spec.rules.name))?;
        let account = script_account(spec, &engine.rules)?;
        let mut request = ScriptRequest {
            path: file_name(&spec.strategy.source.path),
            text: spec.strategy.source.text.clone(),
            params: spec.params.clone(),
            account,
            beside: Beside::default(),
            plots: self.plots.is_some(),
            skip: 0,
        };
        let image = spec.data.image().map_err(|e| format!("the bars cannot be shared: {e}"))?;
        let mut all: Option<Told> = None;
        let (mut giving, mut read) = (script.neighbours.first(), Reads::new());
        loop {
            request.beside = giving.beside(&self.shelves);
            let mut telling = Telling::default();
            let work = Work::Run(Box::new(request.clone()));
            let ended = engine
                .workers
                .run(&work, Some(&image), &RunLimits::within(wall), stop, &mut |message| {
                    telling.hear(message)
                })
                .map_err(|error| error.to_string())?;
            spec.data.bars.check()?;
            let told = telling.over(ended);
            // What it has told by then is told again, by a process that has the file.
            if let Some(name) = &told.needs
                && giving.add(name, &self.shelves)
            {
                continue;
            }
            read.extend(giving.hashes(&told.reads));
            let told = match all.take() {
                Some(before) => Told::and(before, told),
                None => told,
            };
            match told.next {
                // The strategies that are left have a process of their own, whatever it was that ended this one.
                Some(next) if next > request.skip && !script.shape.whole && !told.is_cut_short() => {
                    request.skip = next;
                    all = Some(told);
                }
                _ => return Ok((told, read)),
            }
        }
    }

    /// Runs a script and gives all its runs, the first one last: once that is recorded, all are.
    pub fn record(
        &self,
        spec: &RunSpec<'_>,
        script: &PythonScript,
        job: i64,
        wall: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Vec<Recorded> {
        let asked = self.engine(spec.rules);
        let (engine, mut told, read) = match (asked, self.tell(asked, spec, script, wall, stop)) {
            (Some(engine), Ok((told, read))) => (engine, told, read),
            (_, outcome) => {
                let status = if stop() { RunStatus::Cancelled } else { RunStatus::Failed };
                return vec![Recorded::without_run(spec.blank(job, status, outcome.err()))];
            }
        };
        let difference = self.difference(spec, script, &told, wall, stop);
        if told.is_cut_short() || difference.is_some() && stop() {
            // Whatever it has come to, the script has not: with --resume it begins again.
            return vec![Recorded::without_run(spec.blank(job, RunStatus::Cancelled, None))];
        }
        let notes: Vec<String> = told.notes.iter().cloned().chain(difference).collect();
        let facts = |number: usize| PythonFacts {
            engine: engine.name.clone(),
            environment: engine.identity.clone(),
            interpreter: Some(engine.interpreter.clone()),
            overrides: spec.overrides.clone(),
            set: Some(spec.params.clone()),
            number,
            runs: told.count(),
            sandbox: engine.workers.tier().to_string(),
            warning: engine.workers.tier().warning().map(str::to_owned),
            cpu_us: told.ended.cpu.as_micros() as u64,
            peak_bytes: told.ended.peak_bytes,
            notes: notes.clone(),
            files: read.clone(),
            ..PythonFacts::default()
        };
        let log = Some(Arc::new(told.ended.log.clone())).filter(|log: &Arc<Log>| !log.is_empty());
        // Where a script has several strategies its own name does not tell which one ran.
        let several = script.shape.strategies.len() > 1
            || told.runs.iter().any(|run| run.strategy != told.runs[0].strategy);
        let mut all: Vec<Recorded> = Vec::new();
        let facts: Vec<PythonFacts> = (0..told.count()).map(facts).collect();
        let mut runs = std::mem::take(&mut told.runs).into_iter();
        for (number, mut facts) in facts.into_iter().enumerate() {
            let mut one = match told.failure(number) {
                Some(failure) => Recorded::failed(spec, job, failure, facts, &told.ended, wall, log.clone()),
                None => {
                    let Some(run) = runs.next() else { break };
                    if let Some(later) = told.failure_after(number).filter(|_| script.shape.whole) {
                        facts.notes.push(format!(
                            "the script failed after this run: {}",
                            later.run.fault.line_text()
                        ));
                    }
                    Recorded::new(spec, job, run, facts, &told.ended, log.clone())
                }
            };
            if several
                && let Some(class) = one.record.python.as_ref().map(|f| &f.strategy).filter(|c| !c.is_empty())
            {
                one.record.strategy = format!("{}.{class}", one.record.strategy);
            }
            self.keep_plots(&told.plots, number, &mut one.record);
            all.push(one);
        }
        all.reverse();
        all
    }

    /// What another library makes of the script, where it is to be compared.
    fn difference(
        &self,
        spec: &RunSpec<'_>,
        script: &PythonScript,
        told: &Told,
        wall: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Option<String> {
        let (engine, other) = (self.engine(spec.rules)?, with_rules(&self.verify, &spec.rules.name)?);
        let theirs = match self.tell(Some(other), spec, script, wall, stop) {
            Ok((theirs, _)) => theirs,
            Err(problem) => return Some(format!("{DIFFERS} {}: it did not run: {problem}", other.name)),
        };
        // What only one of them had the time for is no difference.
        let late = |told: &Told| told.failures.iter().any(|f| f.status == RunStatus::Timeout);
        let where_late = match (late(told), late(&theirs)) {
            (true, false) => Some(&engine.name),
            (false, true) => Some(&other.name),
            _ => None,
        };
        if let Some(name) = where_late {
            return Some(format!(
                "{NOT_COMPARED} {}: its time was over with {name}; --timeout gives it more",
                other.name
            ));
        }
        let faults = |told: &Told| told.failures.iter().map(|f| f.run.fault.clone()).collect::<Vec<_>>();
        let found = facts::compare((&told.runs, &faults(told)), (&theirs.runs, &faults(&theirs)));
        Some(match found {
            Ok(text) => format!("{} and {} agree: {text}", engine.name, other.name),
            Err(text) => format!("{DIFFERS} {}: {text}", other.name),
        })
    }

    fn keep_plots(&self, plots: &[(usize, Vec<u8>)], number: usize, record: &mut RunRecord) {
        let (Some(folder), Some(facts)) = (&self.plots, &mut record.python) else { return };
        let path = folder.join(format!("{}.html", record.id.short()));
        // Of several pages of one run the last one stays.
        let Some((_, page)) = plots.iter().rfind(|(run, _)| *run == number) else { return };
        // A page that cannot be written is no reason to lose the run.
        facts.notes.push(match crate::report::export::write_file(&path, |out| out.write_all(page)) {
            Ok(()) => format!("plot(): the page is {}", path.display()),
            Err(error) => format!("plot(): the page could not be kept: {error}"),
        });
    }

    /// Runs a recorded run's script again and gives the run of that number.
    ///
    /// # Errors
    /// When the script fails or has no such run any more.
    pub fn repeat(
        &self,
        spec: &RunSpec<'_>,
        script: &PythonScript,
        number: usize,
    ) -> Result<(RunOutput, Option<DataSet>), RunFailure> {
        let wall = Duration::from_secs(600);
        let engine = self.engine(spec.rules);
        let (mut told, _) = self.tell(engine, spec, script, wall, &|| false).map_err(RunFailure::Script)?;
        let Some(place) = told.good(number) else {
            let failed = told.failure(number).or(told.failures.last());
            let why = failed.map_or_else(|| "it makes fewer runs now".into(), |f| f.run.fault.line_text());
            return Err(RunFailure::Script(why));
        };
        let run = told.runs.swap_remove(place);
        let lines = told.ended.log.stdout.lines().map(str::to_owned).collect();
        convert::output(spec, run, Vec::new(), lines)
    }
}

/// Begins the note of a run on which two libraries do not agree.
pub const DIFFERS: &str = "differs from";
/// Begins the note of a script that only one of two libraries brought to its end in time.
pub const NOT_COMPARED: &str = "not compared with";

impl Recorded {
    fn without_run(record: RunRecord) -> Self {
        Self { record, output: None, data: None }
    }

    fn failed(
        spec: &RunSpec<'_>,
        job: i64,
        failure: &Failure,
        mut facts: PythonFacts,
        ended: &springtide_python::Ended,
        wall: Duration,
        log: Option<Arc<Log>>,
    ) -> Self {
        let error = match failure.status {
            RunStatus::Timeout => RunFailure::Timeout(wall).to_string(),
            _ => failure.run.fault.line_text(),
        };
        facts.strategy = failure.run.strategy.clone();
        facts.params = failure.run.params.clone();
        facts.fault = Some(failure.run.fault.clone());
        let mut record = spec.blank(job, failure.status, Some(error));
        record.id = id(spec, failure.number, &facts.files);
        if !failure.run.params.is_empty() {
            record.params = facts.inputs();
        }
        // The whole script's time goes with its first run.
        record.elapsed_us = if failure.number == 0 { ended.wall.as_micros() as u64 } else { 0 };
        record.python = Some(Box::new(facts));
        record.log = log;
        Self::without_run(record)
    }

    fn new(
        spec: &RunSpec<'_>,
        job: i64,
        run: ScriptRun,
        mut facts: PythonFacts,
        ended: &springtide_python::Ended,
        log: Option<Arc<Log>>,
    ) -> Self {
        facts.strategy = run.strategy.clone();
        facts.tried = run.tried;
        facts.params = run.params.clone();
        facts.account = run.account.clone();
        facts.stats = run.stats.clone();
        facts.no_trade = run.no_trade.clone();
        facts.notes.extend(run.no_trade.iter().map(|why| format!("no trade: {why}")));
        facts.bars = match (&run.bars, run.from_given) {
            (None, _) => BarsOf::Given,
            (Some(_), true) => BarsOf::Changed,
            (Some(_), false) => BarsOf::Own,
        };
        let bars_of = facts.bars;
        let number = facts.number;
        let elapsed = if number == 0 { ended.wall.as_micros() as u64 } else { run.elapsed_us };
        let capital = convert::capital(&run);
        let bars = run.equity.len() as u64;
        let converted = convert::output(spec, run, facts.notes.clone(), Vec::new());
        let mut record = match &converted {
            Ok(_) => spec.blank(job, RunStatus::Ok, None),
            Err(failure) => spec.blank(job, failure.status(), Some(failure.to_string())),
        };
        record.id = id(spec, number, &facts.files);
        record.elapsed_us = elapsed.min(ended.wall.as_micros() as u64);
        record.bars = bars;
        record.params = facts.inputs();
        record.setup.account.initial_capital = capital;
        record.python = Some(Box::new(facts));
        record.log = log;
        let (output, data) = match converted {
            Ok((output, data)) => (Some(output), data),
            Err(_) => (None, None),
        };
        if let Some(data) = &data {
            record.symbol = data.symbol.ticker.clone();
            record.timeframe = data.timeframe.to_string();
            record.data = format!("{}{}", data.name, bars_of.mark());
        }
        if let Some(output) = &output {
            record.metrics = Some(output.metrics.clone());
            record.trades_hash = Some(trades_hash(&output.simulation.trades));
        }
        Self { record, output, data }
    }
}

/// Identity of a script's `number`-th run, which has read these of the files beside it.
pub fn id(spec: &RunSpec<'_>, number: usize, reads: &Reads) -> RunId {
    let engine = spec.python.and_then(|lab| lab.engine(spec.rules));
    let identity = engine.map_or("", |engine| &engine.identity);
    let engine = format!("{ENGINE_VERSION}; {identity}");
    let account =
        serde_json::to_string(&(spec.overrides.cash, spec.overrides.commission, spec.overrides.slippage))
            .unwrap_or_default();
    let rules = &spec.rules.name;
    let place = if number == 0 { rules.clone() } else { format!("{rules} #{number}") };
    let files = spec.strategy.python().and_then(|script| script.neighbours.identity(reads));
    let data = match files {
        Some(files) => ContentHash::of_parts(&[&spec.data.identity().0, &files.0]),
        None => spec.data.identity(),
    };
    RunId::compute(spec.strategy.source.hash, &spec.params, data, &engine, &account, &place)
}

fn script_account(spec: &RunSpec<'_>, rules: &Version) -> Result<ScriptAccount, String> {
    let commission = spec.overrides.commission.map(|c| match c {
        Commission::Percent(percent) => serde_json::json!(percent / 100.0),
        Commission::PerContract(money) => serde_json::json!({ "per_unit": money }),
        Commission::PerOrder(money) => serde_json::json!([money, 0.0]),
    });
    let spread = match spec.overrides.slippage {
        None => None,
        Some(Slippage::Percent(percent)) => Some(percent / 100.0),
        Some(Slippage::Ticks(0.0)) => Some(0.0),
        Some(Slippage::Ticks(_)) => {
            return Err("a Python strategy takes --slippage in percent (its `spread`), not in ticks".into());
        }
    };
    if rules.commission_moves_entries {
        let version = rules.version;
        if spread.is_some_and(|spread| spread != 0.0) {
            return Err(format!("version {version} has no spread for --slippage: its commission is one"));
        }
        if commission.as_ref().is_some_and(|commission| !commission.is_number()) {
            return Err(format!("version {version} takes --commission in percent only"));
        }
        return Ok(ScriptAccount { cash: spec.overrides.cash, commission, spread: None });
    }
    Ok(ScriptAccount { cash: spec.overrides.cash, commission, spread })
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "strategy.py".into(), |name| name.to_string_lossy().into_owned())
}

impl PythonScript {
    /// What is amiss beside it; it can run, and fails where it needs that.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let warning = |problem: &String| Diagnostic {
            severity: Severity::Warning,
            code: "beside".into(),
            feature: String::new(),
            message: problem.clone(),
            hint: String::new(),
            span: Span::new(0, 0),
        };
        self.neighbours.problems().map(warning).collect()
    }
}

fn input(name: &str, value: &ParamValue) -> Input {
    let (kind, default, text) = match value {
        ParamValue::Bool(b) => (InputKind::Bool, f64::from(*b), String::new()),
        ParamValue::Int(i) => (InputKind::Int, *i as f64, String::new()),
        ParamValue::Float(x) => (InputKind::Float, *x, String::new()),
        ParamValue::Str(text) => (InputKind::Str, f64::NAN, text.clone()),
    };
    Input {
        key: name.into(),
        variable: name.into(),
        kind,
        default,
        default_str: text,
        min: None,
        max: None,
        step: None,
        options: Vec::new(),
        span: Span::new(0, 0),
    }
}

/// A script's fault as the diagnostics of other languages are.
pub fn diagnostic(fault: &Fault, text: &str) -> Diagnostic {
    let line = fault.line.unwrap_or(1).max(1) as usize;
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let start = start.min(text.len());
    let line = text[start..].lines().next().unwrap_or("");
    let before = fault.column.map_or(0, |column| column.max(1) as usize - 1);
    let before: usize = line.chars().take(before).map(char::len_utf8).sum();
    let (start, length) = (start + before, line.len() - before);
    Diagnostic {
        severity: Severity::Error,
        code: fault.hint.as_ref().map_or_else(|| "python".into(), |hint| hint.code.clone()),
        feature: String::new(),
        message: match fault.message.as_str() {
            "" => fault.kind.clone(),
            message => format!("{}: {message}", fault.kind),
        },
        hint: fault.hint.as_ref().map(|hint| hint.text.clone()).unwrap_or_default(),
        span: Span::new(start, start + length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_shown_at_its_line() {
        let fault = Fault { line: Some(2), ..Fault::new("ValueError", "bad") };
        let text = "one\ntwo\nthree";
        let span = diagnostic(&fault, text).span;
        assert_eq!(&text[span.start as usize..span.end as usize], "two");
        assert_eq!(diagnostic(&Fault { line: Some(99), ..fault.clone() }, text).span, Span::new(13, 13));
        let column = Fault { line: Some(1), column: Some(3), ..fault };
        let span = diagnostic(&column, "é§ö\n").span;
        assert_eq!((span.start, span.end), (4, 6), "counted in characters");
        assert_eq!(diagnostic(&Fault { column: Some(9), ..column }, "one").span, Span::new(3, 3));
    }
}
