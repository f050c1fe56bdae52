//! The command line as it was written; `commands` gives it a meaning.

use crate::{commands::money, exit, out};
use clap::{Args, Parser, Subcommand, ValueEnum};
use springtide_io::http::redact;
use std::{path::PathBuf, process::ExitCode};

/// Exit codes, shown under every `--help`.
const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 budget reached, 4 partly done, 130 interrupted.\n\
                          Data goes to stdout, progress and logs to stderr.";

/// Turns trading ideas into tested strategies, thousands at a time.
#[derive(Debug, Parser)]
#[command(name = "tide", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    /// Folder that holds the ledger and imported bars; otherwise the nearest one above with a `.tide`
    /// folder, else the current one.
    #[arg(long, global = true, value_name = "DIR", env = "TIDE_WORKSPACE")]
    pub workspace: Option<PathBuf>,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = ColorWhen::Auto, value_name = "WHEN")]
    pub color: ColorWhen,
    /// No progress, no notes; errors still show.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Write what happens as JSON lines to this file; `-` is stderr.
    #[arg(long, global = true, value_name = "FILE", env = "TIDE_LOG")]
    pub log_file: Option<PathBuf>,
    /// What is written to it: error, warn, info, debug, trace, for rooms apart: `info,springtide_io=debug`.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info", env = "TIDE_LOG_LEVEL")]
    pub log_level: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a workspace with sample bars and strategies, run them all, rank them, write a report.
    Demo(DemoArgs),
    /// Run strategies over data sets and parameters, all at once.
    #[command(visible_alias = "bt")]
    Backtest(Box<BacktestArgs>),
    /// Diagnose strategies without running them.
    Check(CheckArgs),
    /// The environment of Python strategies.
    #[command(subcommand)]
    Python(PythonCommand),
    /// Import, list and check bar data.
    #[command(subcommand)]
    Data(DataCommand),
    /// The leaderboard of recorded runs.
    Board(BoardArgs),
    /// One run: metrics, trades, equity chart.
    Show(ShowArgs),
    /// Repeat a recorded run and compare every number.
    Rerun(RerunArgs),
    /// Write a run's report, trades or bars to a file.
    Export(ExportArgs),
    /// Show broker rule presets, or one preset's rules.
    Rules(RulesArgs),
    /// Measure file, network, process and scheduling work, each result checked, beside other programs.
    Bench(BenchArgs),
    /// Watch running tide processes: queues, workers, tasks, health, memory.
    Top(TopArgs),
    /// List running tide processes, or print one's tasks, health or metrics.
    Tasks(TasksArgs),
    /// Look at what works on this machine and what does not, and say what to do about it.
    Doctor(DoctorArgs),
    /// Back up or check the ledger.
    #[command(subcommand)]
    Ledger(LedgerCommand),
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to make it; must not exist or be a demo already.
    #[arg(default_value = "tide-demo", value_name = "DIR")]
    pub folder: PathBuf,
    /// Seed of the sample bars.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Worker threads, 1 to 1024; all cores when left out.
    #[arg(short, long, value_name = "N", value_parser = money::jobs)]
    pub jobs: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PriorityArg {
    Critical,
    High,
    Standard,
    Low,
}

#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// Strategy files, folders (searched for .pine and .py) or globs.
    #[arg(required = true, value_name = "STRATEGY")]
    pub strategies: Vec<String>,
    /// Bar files (.csv, .parquet, .arrow), folders, globs, or names of imported data (`BTC-USD:15`);
    /// everything imported when left out.
    #[arg(short, long, value_name = "DATA", num_args = 1..)]
    pub data: Vec<String>,
    /// First bar: a date (2023-01-31), a time (2023-01-31T12:00) or epoch ms; UTC.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Bars before this time only.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Resample up to this bar length: 1h, 4h, 1D, 1W, 1M.
    #[arg(long, value_name = "TF")]
    pub timeframe: Option<springtide_domain::Timeframe>,
    /// Symbol name when the file's name does not tell.
    #[arg(long, value_name = "NAME")]
    pub symbol: Option<String>,
    /// Smallest price step; inferred from the prices when left out.
    #[arg(long, value_name = "STEP")]
    pub mintick: Option<f64>,
    /// Smallest quantity step.
    #[arg(long, value_name = "STEP")]
    pub min_qty: Option<f64>,
    /// Starting cash, overriding the script's.
    #[arg(long, value_name = "MONEY")]
    pub cash: Option<f64>,
    /// `0.1%`, `0.5/contract` or `1/order`, per side, overriding the script's.
    #[arg(long, value_name = "FEE", value_parser = springtide_engine::Commission::parse)]
    pub commission: Option<springtide_engine::Commission>,
    /// Ticks (`2`) or percent (`0.05%`) lost by market and stop fills, overriding the script's.
    #[arg(long, value_name = "SLIP", value_parser = springtide_engine::Slippage::parse)]
    pub slippage: Option<springtide_engine::Slippage>,
    /// Set an input of the script: its title or variable name.
    #[arg(long = "set", value_name = "NAME=V")]
    pub sets: Vec<String>,
    /// Sweep an input: NAME=LO..HI:STEP or NAME=a,b,c; several make a grid.
    #[arg(long = "sweep", value_name = "NAME=RANGE")]
    pub sweeps: Vec<String>,
    /// Sweep every input over the range its own minval, maxval, step or options give.
    #[arg(long)]
    pub sweep_inputs: bool,
    /// Refuse to start more runs than this.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub max_runs: u64,
    /// Worker threads, 1 to 1024; all cores when left out.
    #[arg(short, long, value_name = "N", value_parser = money::jobs)]
    pub jobs: Option<usize>,
    /// Who goes first when workers are short.
    #[arg(long, value_enum, default_value_t = PriorityArg::Standard)]
    pub priority: PriorityArg,
    /// Do not repeat runs the ledger already has.
    #[arg(long)]
    pub resume: bool,
    /// Stop at the first failed run.
    #[arg(long)]
    pub fail_fast: bool,
    /// Stop a single run after this long: `30s`, `500ms`, `2m`.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = money::duration)]
    pub timeout: std::time::Duration,
    /// Broker rules: tradingview (the default), backtesting_py, vectorbt, nautilus, backtrader, wickra; of Python
    /// strategies backtesting_py (the default) or backtesting_py_0_3.
    #[arg(long, value_name = "NAME")]
    pub broker: Option<String>,
    /// Change one broker rule: KEY=VALUE (`tide rules` lists them).
    #[arg(long = "rule", value_name = "KEY=VALUE")]
    pub rules: Vec<String>,
    /// Run under every broker preset (Python strategies: under both versions' rules) and report how far the result moves.
    #[arg(long, conflicts_with_all = ["broker", "rules"])]
    pub rules_spread: bool,
    /// Skip bad rows of data files instead of refusing the file; they are counted.
    #[arg(long)]
    pub skip_bad: bool,
    /// Write an HTML report of the batch.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write all trades: .csv, .parquet or .json by its ending.
    #[arg(long, value_name = "FILE")]
    pub trades: Option<PathBuf>,
    /// Send every run as a span to an OpenTelemetry collector (OTLP over HTTP, JSON), as `http://localhost:4318`.
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp: Option<String>,
    /// Append one JSON object per run to this file, which no other process may write to meanwhile.
    #[arg(long, value_name = "FILE")]
    pub log_runs: Option<PathBuf>,
    /// One JSON object per run on stdout.
    #[arg(long)]
    pub json: bool,
    /// Sort the closing table by this metric.
    #[arg(long, value_name = "METRIC", default_value = "return_pct")]
    pub sort: String,
    /// Rows of the closing table.
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub top: u32,
    #[command(flatten)]
    pub python: PythonArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    /// springtide's own `backtesting` package.
    Rust,
    /// The library of the environment.
    Original,
}

/// What Python strategies run in.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Python strategies")]
pub struct InterpreterArgs {
    /// Interpreter; otherwise that of the active environment, of `tide python setup`, or of the path.
    #[arg(long, value_name = "PATH", env = "TIDE_PYTHON")]
    pub python: Option<PathBuf>,
    /// Run scripts with all your rights where the machine has no sandbox.
    #[arg(long)]
    pub allow_unsandboxed: bool,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Python strategies")]
pub struct PythonArgs {
    #[command(flatten)]
    pub interpreter: InterpreterArgs,
    /// Which library answers to `import backtesting`; rust where it is there.
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub python_engine: Option<EngineArg>,
    /// Run each script with the other library, too, and report any difference.
    #[arg(long)]
    pub verify_engine: bool,
    /// Keep the pages of `plot()` in this folder, as RUN.html; without it they are not made. Only the original
    /// library draws: with --python-engine original.
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum PythonCommand {
    /// Make an environment with numpy, pandas, TA-Lib and the rest, pinned; with uv where there is one.
    Setup(SetupArgs),
    /// Say what is missing and how to get it; exit code 1 when strategies cannot run.
    Status {
        /// Interpreter to look at.
        #[arg(long, value_name = "PATH", env = "TIDE_PYTHON")]
        python: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Folder of the environment.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Interpreter to make it with.
    #[arg(long, value_name = "PATH")]
    pub python: Option<PathBuf>,
    /// A further package that scripts import.
    #[arg(long, value_name = "PACKAGE", num_args = 1..)]
    pub with: Vec<String>,
    /// Registry to take packages from instead of PyPI.
    #[arg(long, value_name = "URL", conflicts_with = "wheels")]
    pub index_url: Option<String>,
    /// Take packages from this folder of wheels alone, without a network.
    #[arg(long, value_name = "DIR")]
    pub wheels: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Strategy files, folders or globs.
    #[arg(required = true, value_name = "STRATEGY")]
    pub strategies: Vec<String>,
    /// One JSON object per file on stdout.
    #[arg(long)]
    pub json: bool,
    /// Stay, and check each file again when it changes; Ctrl-C ends it.
    #[arg(short = 'w', long)]
    pub watch: bool,
    #[command(flatten)]
    pub interpreter: InterpreterArgs,
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Read CSV, Parquet or Arrow files into the workspace's bar store.
    Import(ImportArgs),
    /// List imported bars.
    Ls {
        /// One JSON object per data set.
        #[arg(long)]
        json: bool,
    },
    /// Verify imported bars: checksums, order, gaps, impossible bars.
    Check {
        /// One JSON object per finding.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DateOrderArg {
    Ymd,
    Dmy,
    Mdy,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files, folders, globs, or `https://` addresses of files, fetched at once. A download that broke off is
    /// continued the next time; what has not changed is not fetched again.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Let addresses lead to this machine and private networks.
    #[arg(long)]
    pub private: bool,
    /// Give up on an address after this long, all attempts together. A silent server is given up sooner: 10 s to
    /// connect, 30 s without an answer or without data, three attempts without progress.
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = crate::commands::money::duration)]
    pub timeout: std::time::Duration,
    /// Symbol name when the file's name does not tell (one file only).
    #[arg(long, value_name = "NAME")]
    pub symbol: Option<String>,
    /// Bar length when the times do not tell.
    #[arg(long, value_name = "TF")]
    pub timeframe: Option<springtide_domain::Timeframe>,
    /// The files hold single trades (time, price, quantity, perhaps symbol), to be summed up to bars of this length;
    /// each symbol of a file becomes a data set.
    #[arg(
        long,
        value_name = "TF",
        conflicts_with_all = ["timeframe", "sort", "timezone", "date_order"]
    )]
    pub trades: Option<springtide_domain::Timeframe>,
    /// Names of the columns, from left to right, of files of trades that have no head line: `id,price,qty,time`.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "trades")]
    pub columns: Option<Vec<String>>,
    /// Skip bad rows and count them, instead of refusing the file.
    #[arg(long)]
    pub skip_bad: bool,
    /// Put disordered rows in order, instead of refusing the file.
    #[arg(long)]
    pub sort: bool,
    /// Zone of times written without one: an IANA name or `UTC+3`; UTC when left out.
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Which number of a date is the day, where the file does not tell.
    #[arg(long, value_enum, value_name = "ORDER")]
    pub date_order: Option<DateOrderArg>,
    /// Smallest price step, instead of the one seen in the prices.
    #[arg(long, value_name = "STEP")]
    pub mintick: Option<f64>,
    /// One JSON object per file on stdout.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GroupArg {
    Strategy,
    Market,
}

#[derive(Debug, Args)]
pub struct BoardArgs {
    /// Metric, column or input to sort by; `-` in front sorts ascending. `--metrics` lists them.
    #[arg(long, value_name = "METRIC", default_value = "return_pct", allow_hyphen_values = true)]
    pub sort: String,
    /// Only runs that satisfy this: `sharpe > 1 and trades >= 30 and symbol = BTC-USD`.
    #[arg(long = "where", value_name = "EXPR")]
    pub filter: Option<String>,
    /// Rows to show.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: u32,
    /// The best run of each strategy or market only.
    #[arg(long, value_enum, value_name = "BY")]
    pub group: Option<GroupArg>,
    /// Only runs of this job; `last` is the newest.
    #[arg(long, value_name = "ID")]
    pub job: Option<String>,
    /// One JSON object per run.
    #[arg(long)]
    pub json: bool,
    /// List all metrics with unit and definition.
    #[arg(long)]
    pub metrics: bool,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Run id or the start of one.
    #[arg(value_name = "RUN")]
    pub run: springtide_domain::RunId,
    /// Trades to list.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub trades: usize,
    /// Print what its script printed, and nothing else.
    #[arg(long = "log", conflicts_with = "json")]
    pub printed: bool,
    /// One JSON object with everything.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub interpreter: InterpreterArgs,
}

#[derive(Debug, Args)]
pub struct RerunArgs {
    /// Run ids or starts of ones.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<springtide_domain::RunId>,
    #[command(flatten)]
    pub interpreter: InterpreterArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Html,
    Csv,
    Parquet,
    Json,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Run id or the start of one.
    #[arg(value_name = "RUN")]
    pub run: springtide_domain::RunId,
    /// html is the report; csv and parquet hold the trades; json everything. Otherwise by the ending of --out.
    #[arg(long, value_enum)]
    pub format: Option<ExportFormat>,
    /// File to write; `RUN.FORMAT` when left out, `-` is stdout.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub interpreter: InterpreterArgs,
}

#[derive(Debug, Args)]
pub struct TopArgs {
    /// Watch this process first; otherwise the newest.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Time between looks: `500ms`, `2s`.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = money::duration)]
    pub every: std::time::Duration,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").args(["dump", "json", "health", "metrics"]))]
pub struct TasksArgs {
    /// Only this process; otherwise all.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// The tree of tasks: what runs where, what waits. `kill -USR1 PID` prints it to that process's stderr.
    #[arg(long)]
    pub dump: bool,
    /// Everything, one JSON object per process.
    #[arg(long)]
    pub json: bool,
    /// Health of the components as JSON; exit code 1 when one is not ready.
    #[arg(long)]
    pub health: bool,
    /// Metrics in Prometheus' text form: one text, each sample with the `pid` of its process.
    #[arg(long)]
    pub metrics: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Ask hosts on the network too.
    #[arg(long)]
    pub online: bool,
    /// What to ask; may be given several times.
    #[arg(long, value_name = "URL", requires = "online", default_values_t = online())]
    pub url: Vec<String>,
    /// One JSON object per finding: check, state (ok|info|warning|error), detail, fix.
    #[arg(long)]
    pub json: bool,
}

fn online() -> Vec<String> {
    vec!["https://api.binance.com/api/v3/time".into(), "https://api.coinbase.com/v2/time".into()]
}

#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Copy the ledger into one checked file while batches go on.
    Backup {
        /// File to write; an older backup is replaced.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Read all of it and say whether it is sound.
    Check,
}

#[derive(Debug, Args)]
pub struct RulesArgs {
    /// A preset; all of them when left out.
    pub preset: Option<String>,
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure; everything when left out.
    #[arg(value_name = "SCENARIO", value_parser = scenarios())]
    pub scenarios: Vec<String>,
    /// Runs of each contestant; the median counts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Part of the work to do; 1 is all of it.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = money::part)]
    pub scale: f64,
    /// Run the Python programs of this folder beside.
    #[arg(long, value_name = "DIR")]
    pub compare: Option<PathBuf>,
    /// Interpreter for them.
    #[arg(long, value_name = "PATH", default_value = "python3", requires = "compare")]
    pub python: PathBuf,
    /// Folder of the built programs that show the machine's limits; `rs/target/release` below --compare when left out.
    #[arg(long, value_name = "DIR", requires = "compare")]
    pub limits: Option<PathBuf>,
    /// Folder for input and output, kept for the next time; a temporary one when left out.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Write an HTML report with charts.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// One JSON object per scenario on stdout.
    #[arg(long)]
    pub json: bool,
    /// Run one case in this process and print its figures.
    #[arg(long, hide = true)]
    pub case: Option<String>,
    /// Be the scenario's server until stdin ends.
    #[arg(long, hide = true, conflicts_with = "case")]
    pub serve: bool,
    /// Where the server listens.
    #[arg(long, hide = true)]
    pub address: Option<String>,
}

fn scenarios() -> clap::builder::PossibleValuesParser {
    springtide_scenario::all().iter().map(|s| s.about().name).collect::<Vec<_>>().into()
}

/// The process's arguments as they may be shown and kept: without the secrets of addresses among them.
pub fn command_line() -> String {
    let words = std::env::args_os().skip(1).map(|word| redact::text(&word.to_string_lossy()));
    ["tide".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// Parses the process's arguments; help, version and usage errors end with their own code.
pub fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| match error.print() {
        Err(source) if !error.use_stderr() => exit::finish(Err(out::unwritten(&source))),
        _ => ExitCode::from(if error.use_stderr() { 2 } else { 0 }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_option_stands_in_the_way_of_another() {
        Cli::command().debug_assert();
        Cli::try_parse_from(["tide", "show", "0a0b0c0d", "--log", "--log-file", "x"])
            .expect("both are there");
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_with_what_does() {
        for (line, want) in [
            ("tide demo -j 0", "leave it out for all"),
            ("tide backtest x.pine -j 100000", "1 to 1024"),
            ("tide bench --runs 0", "1.."),
            ("tide bench --scale 0", "more than 0"),
            ("tide bench --scale nan", "more than 0"),
        ] {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line).to_string();
            assert!(error.contains(want), "{line}: {error}");
        }
        Cli::try_parse_from(["tide", "backtest", "x.pine", "-j", "1024"]).expect("the most there is");
    }
}
