//! One run: a compiled strategy on one data set with one set of parameters and rules.

use crate::{
    compiled::{Code, CompiledStrategy},
    dataset::DataSet,
    ledger::{OtherUse, RunRecord, Setup, now_ms},
    library::Library,
    python::{self, PythonLab, Recorded},
};
use serde::{Deserialize, Serialize};
use springtide_domain::{ContentHash, Params, RunId, RunStatus};
use springtide_engine::{
    Account, Commission, Rules, Slippage, Trade,
    broker::Simulation,
    metrics::{self, Metrics, MetricsInput},
};
use springtide_pine::ir::Program;
use springtide_pine::vm::{self, DataContext, NameTable, Plan, RunError, Scratch};
use std::time::{Duration, Instant};

/// Version that goes into run ids: numbers may change between versions, so runs of another version are
/// other runs. The last number is raised with every change after which a run may come out differently.
pub const ENGINE_VERSION: &str = concat!("springtide ", env!("CARGO_PKG_VERSION"), " numbers 3");

/// What the command line changes in a script's account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AccountOverrides {
    pub cash: Option<f64>,
    pub commission: Option<Commission>,
    pub slippage: Option<Slippage>,
}

impl AccountOverrides {
    /// The account a script runs with.
    pub fn apply(&self, script: &Account) -> Account {
        let mut account = script.clone();
        account.initial_capital = self.cash.unwrap_or(account.initial_capital);
        account.commission = self.commission.unwrap_or(account.commission);
        account.slippage = self.slippage.unwrap_or(account.slippage);
        account
    }
}

/// What identifies and describes a run before it starts.
#[derive(Clone, Debug)]
pub struct RunSpec<'a> {
    /// The strategy.
    pub strategy: &'a CompiledStrategy,
    /// The bars.
    pub data: &'a DataSet,
    /// Values of inputs that differ from the script's own.
    pub params: Params,
    /// Broker rules; of a strategy in Python, those of its library.
    pub rules: &'a Rules,
    /// Command line overrides.
    pub overrides: &'a AccountOverrides,
    /// Bars that the script may ask for beside the market's own.
    pub library: &'a Library,
    /// Runs what is in Python.
    pub python: Option<&'a PythonLab>,
}

/// Everything a run leaves, before it is cut down to a record.
#[derive(Debug)]
pub struct RunOutput {
    /// Trades, equity, order counts.
    pub simulation: Simulation,
    /// Statistics.
    pub metrics: Metrics,
    /// Texts of order ids and comments.
    pub names: NameTable,
    /// What the script logged.
    pub logs: Vec<String>,
    /// Things the person should know: look-ahead, ignored settings, rejected orders.
    pub notes: Vec<String>,
}

impl RunSpec<'_> {
    /// The account after overrides.
    pub fn account(&self) -> Account {
        let script = self.strategy.program().map_or_else(Account::default, |p| p.account.clone());
        self.overrides.apply(&script)
    }

    /// The run's identity.
    pub fn id(&self) -> RunId {
        self.id_with(&self.others())
    }

    fn id_with(&self, others: &[OtherUse]) -> RunId {
        if self.strategy.python().is_some() {
            return python::id(self, 0, &python::Reads::new());
        }
        let account = serde_json::to_string(&self.account()).unwrap_or_default();
        let rules = serde_json::to_string(self.rules).unwrap_or_default();
        let data = covering(self.data.identity(), others);
        RunId::compute(self.strategy.source.hash, &self.params, data, ENGINE_VERSION, &account, &rules)
    }

    /// Bars beside the market's own that the script will ask for, and what it will get.
    pub fn others(&self) -> Vec<OtherUse> {
        let asks = |p: &&std::sync::Arc<Program>| p.bar_magnifier || p.has_requests();
        let Some(program) = self.strategy.program().filter(asks) else { return Vec::new() };
        match Plan::prepare(program, &self.params) {
            Ok(plan) => self.library.uses(&vm::needs(&plan, &self.context()), &self.data.symbol),
            Err(_) => Vec::new(),
        }
    }

    fn context(&self) -> DataContext<'_> {
        DataContext {
            bars: self.data.bars.view(),
            timeframe: self.data.timeframe,
            symbol: &self.data.symbol,
            columns: &self.data.columns,
            others: Some(self.library),
        }
    }

    /// Runs it to the end. `stop` is asked now and then; when it says yes the run ends as stopped.
    pub fn run(&self, scratch: &mut Scratch, stop: &dyn Fn() -> bool) -> Result<RunOutput, RunFailure> {
        let Code::Pine(program) = self.strategy.runnable().map_err(RunFailure::Script)? else {
            return self.repeat(0, scratch).map(|(output, _)| output);
        };
        let plan = Plan::prepare(program, &self.params).map_err(|diagnostics| {
            RunFailure::Script(diagnostics.first().map_or_else(String::new, |d| d.message.clone()))
        })?;
        let account = self.account();
        let context = self.context();
        let outcome =
            vm::run(&plan, &context, self.rules, &account, scratch, stop).map_err(RunFailure::from)?;
        let point_value = self.data.symbol.point_value;
        let open = &outcome.simulation.open;
        let input = MetricsInput {
            risk_free_rate: account.risk_free_rate,
            point_value,
            commission_paid: outcome.simulation.commission_paid,
            open_trades: open.len() as u32,
            open_profit: outcome.simulation.open_profit,
            ..MetricsInput::new(account.initial_capital)
        };
        let metrics = metrics::compute(
            &context.bars,
            &self.data.calendar,
            &outcome.simulation.trades,
            &outcome.simulation.segments,
            &input,
        );
        self.data.bars.check().map_err(RunFailure::Data)?;
        Ok(RunOutput {
            simulation: outcome.simulation,
            metrics,
            names: outcome.names,
            logs: outcome.logs.iter().map(ToString::to_string).collect(),
            notes: outcome.warnings,
        })
    }

    /// Runs it again, the `number`-th run of a script that makes several. The bars come along where they are not
    /// those of the data set.
    ///
    /// # Errors
    /// When it fails.
    pub fn repeat(
        &self,
        number: usize,
        scratch: &mut Scratch,
    ) -> Result<(RunOutput, Option<DataSet>), RunFailure> {
        match self.strategy.runnable().map_err(RunFailure::Script)? {
            Code::Pine(_) => self.run(scratch, &|| false).map(|output| (output, None)),
            Code::Python(script) => self.python_lab()?.repeat(self, script, number),
        }
    }

    fn python_lab(&self) -> Result<&PythonLab, RunFailure> {
        self.python.ok_or_else(|| RunFailure::Script("there is no Python to run it in".into()))
    }

    /// Runs it and gives everything to be recorded, the run that stands for all of a script last. A script in
    /// Python ends after `wall`; others are stopped by `stop`.
    pub fn record_all(
        &self,
        job: i64,
        scratch: &mut Scratch,
        wall: Duration,
        stop: &dyn Fn() -> bool,
        cancelled: &dyn Fn() -> bool,
    ) -> Vec<Recorded> {
        match (&self.strategy.code, self.python) {
            (Some(Code::Python(script)), Some(lab)) => lab.record(self, script, job, wall, cancelled),
            _ => {
                let (record, output) = self.record(job, scratch, stop);
                vec![Recorded { record, output, data: None }]
            }
        }
    }

    /// Runs it and cuts the outcome down to what the ledger keeps.
    pub fn record(
        &self,
        job: i64,
        scratch: &mut Scratch,
        stop: &dyn Fn() -> bool,
    ) -> (RunRecord, Option<RunOutput>) {
        let started = Instant::now();
        let result = self.run(scratch, stop);
        let elapsed_us = started.elapsed().as_micros() as u64;
        match result {
            Ok(output) => {
                let mut record = self.blank(job, RunStatus::Ok, None);
                record.elapsed_us = elapsed_us;
                record.metrics = Some(output.metrics.clone());
                record.trades_hash = Some(trades_hash(&output.simulation.trades));
                (record, Some(output))
            }
            Err(failure) => {
                let mut record = self.blank(job, failure.status(), Some(failure.to_string()));
                record.elapsed_us = elapsed_us;
                (record, None)
            }
        }
    }

    /// A record with everything known beforehand.
    pub fn blank(&self, job: i64, status: RunStatus, error: Option<String>) -> RunRecord {
        let others = self.others();
        RunRecord {
            id: self.id_with(&others),
            job,
            finished_ms: now_ms(),
            strategy: self.strategy.name.clone(),
            source: self.strategy.source.path.display().to_string(),
            strategy_hash: self.strategy.source.hash.to_string(),
            data: self.data.name.clone(),
            data_hash: self.data.hash.to_string(),
            symbol: self.data.symbol.ticker.clone(),
            timeframe: self.data.timeframe.to_string(),
            setup: Setup {
                account: self.account(),
                data_path: self.data.path.display().to_string(),
                resample: self.data.cut.resample,
                from_ms: self.data.cut.from_ms,
                to_ms: self.data.cut.to_ms,
                engine: ENGINE_VERSION.into(),
                others,
            },
            rules: self.rules.clone(),
            params: self.params.clone(),
            status,
            error,
            diagnostics: self.strategy.diagnostics.clone(),
            bars: self.data.bars.len() as u64,
            elapsed_us: 0,
            metrics: None,
            trades_hash: None,
            python: None,
            log: None,
        }
    }
}

/// The identity of data together with that of the other bars a run takes.
fn covering(data: ContentHash, others: &[OtherUse]) -> ContentHash {
    if others.is_empty() {
        return data;
    }
    // Where a file lies does not change what is in it.
    let parts = others.iter().map(|o| (&o.symbol, o.timeframe, &o.source, &o.hash));
    let text = serde_json::to_string(&parts.collect::<Vec<_>>()).unwrap_or_default();
    ContentHash::of_parts(&[&data.0, text.as_bytes()])
}

/// Hash over every number of every trade, bit for bit.
pub fn trades_hash(trades: &[Trade]) -> String {
    let mut bytes = Vec::with_capacity(trades.len() * 64);
    for t in trades {
        bytes.extend(t.entry_bar.to_le_bytes());
        bytes.extend(t.exit_bar.to_le_bytes());
        let numbers = [
            t.side.sign() * t.qty,
            t.entry_price,
            t.exit_price,
            t.commission,
            t.profit,
            t.max_runup,
            t.max_drawdown,
        ];
        bytes.extend(numbers.iter().flat_map(|x| x.to_bits().to_le_bytes()));
    }
    ContentHash::of(&bytes).short(32)
}

/// Why a run has no metrics.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum RunFailure {
    Script(String),
    /// The bars changed while they were used.
    Data(String),
    Panic(String),
    Timeout(std::time::Duration),
    Cancelled,
    /// Told to stop; the caller knows whether by deadline or by the person.
    Stopped,
}

impl RunFailure {
    /// The status it is recorded with.
    pub fn status(&self) -> RunStatus {
        match self {
            Self::Script(_) | Self::Data(_) | Self::Panic(_) => RunStatus::Failed,
            Self::Timeout(_) => RunStatus::Timeout,
            Self::Cancelled | Self::Stopped => RunStatus::Cancelled,
        }
    }
}

impl std::fmt::Display for RunFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Script(message) | Self::Data(message) => f.write_str(message),
            Self::Panic(message) => write!(f, "internal error: {message}; please report it with the script"),
            Self::Timeout(limit) => write!(f, "stopped after {limit:?}; --timeout sets the limit"),
            Self::Cancelled | Self::Stopped => f.write_str("cancelled"),
        }
    }
}

impl From<RunError> for RunFailure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Stopped => Self::Stopped,
            other => Self::Script(other.to_string()),
        }
    }
}
