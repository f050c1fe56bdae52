//! What it costs a run to be held: the same scripts in warm workers with and without a sandbox, in turn.
//!
//!     cargo run --release -p springtide-python --example sandbox_overhead -- PYTHON [ROUNDS] [PACKAGE]
//!
//! PYTHON has numpy, pandas and backtesting; PACKAGE is a folder with a package `backtesting` to use in its place.

use springtide_domain::{OwnedBars, SymbolInfo, Timeframe, synth::SplitMix64};
use springtide_io::BarMeta;
use springtide_python::{
    ArrowBars, BarsImage, Engine, Environment, RunLimits, ScriptRequest, Work, Worker, sealed,
};
use springtide_runtime::process::{self, Children, ChildrenConfig};
use springtide_sandbox::{self as sandbox, Sandbox, SandboxConfig, Tier};
use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

const BARS: usize = 31_066;
const ROUNDS: usize = 200;
const TIERS: [Tier; 3] = [Tier::None, Tier::Reduced, Tier::Full];
const SCRIPTS: [(&str, &str); 2] =
    [("a script that does nothing", "pass\n"), ("one that reads all bars and tests on 500", WHOLE)];
const WHOLE: &str = "
import pandas as pd
from backtesting import Backtest, Strategy
class Cross(Strategy):
    def init(self):
        self.quick = self.I(lambda x: pd.Series(x).rolling(10).mean(), self.data.Close)
        self.calm = self.I(lambda x: pd.Series(x).rolling(30).mean(), self.data.Close)
    def next(self):
        if self.quick[-1] > self.calm[-1] and not self.position:
            self.buy()
        elif self.quick[-1] < self.calm[-1] and self.position:
            self.position.close()
data = pd.read_csv('bars.csv', parse_dates=['datetime'], index_col='datetime')
data.columns = [c.strip().capitalize() for c in data.columns]
Backtest(data.iloc[-500:], Cross, cash=1_000_000).run()
";

fn main() -> ExitCode {
    if let Some(code) = process::enter(std::env::args_os()) {
        return code;
    }
    sandbox::enter(std::env::args_os());
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [python, more @ ..] = arguments.as_slice() else {
        return Err("overhead PYTHON [ROUNDS] [PACKAGE]".into());
    };
    let rounds = more.first().map_or(Ok(ROUNDS), |text| text.parse())?;
    let engine = more.get(1).map_or(Engine::Original, |folder| Engine::Folder {
        path: folder.into(),
        rules: "backtesting_py".into(),
    });
    let children = Children::new(ChildrenConfig { at_once: 16, ..ChildrenConfig::default() })?;
    let environment = Environment::inspect(&children, python.as_ref())?;
    let mut workers = Vec::new();
    for tier in TIERS {
        let config = SandboxConfig { least: tier, most: tier, ..SandboxConfig::default() };
        match Sandbox::new(&children, config) {
            Ok(sandbox) => {
                workers.push((tier, Worker::start(&children, &sandbox, &environment, &engine, &[])?))
            }
            Err(error) => println!("{tier}: {error}"),
        }
    }
    let image = BarsImage::new("X-USD 15", bars()?, None)?;
    println!(
        "| {rounds} runs each, ms: median, 10th and 90th of 100; processor time | {} |",
        tiers(&workers)
    );
    println!("|---|{}", "---:|".repeat(workers.len()));
    for (name, script) in SCRIPTS {
        let text = script.to_owned();
        let request = ScriptRequest { path: "script.py".into(), text, ..ScriptRequest::default() };
        let work = Work::Run(Box::new(request));
        let mut times = vec![Vec::new(); workers.len()];
        for round in 0..rounds + 3 {
            for ((tier, worker), times) in workers.iter_mut().zip(&mut times) {
                let started = Instant::now();
                let ended = worker.run(&work, Some(&image), &RunLimits::default(), &|| false, &mut |_| {})?;
                let took = started.elapsed();
                if !worker.is_reusable_after(&ended) || ended.broken.is_some() {
                    return Err(format!("{tier}: {ended:?}").into());
                }
                // The first ones find cold pages.
                if round >= 3 {
                    times.push((took, ended.cpu));
                }
            }
        }
        let cells: Vec<String> = times.into_iter().map(cell).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    Ok(())
}

fn tiers(workers: &[(Tier, Worker)]) -> String {
    let names: Vec<String> = workers.iter().map(|(tier, _)| format!("sandbox {tier}")).collect();
    names.join(" | ")
}

/// On a machine that does other things, too, the run's own processor time tells more than the time until its end.
fn cell(times: Vec<(Duration, Duration)>) -> String {
    let (mut wall, mut cpu): (Vec<Duration>, Vec<Duration>) = times.into_iter().unzip();
    wall.sort_unstable();
    cpu.sort_unstable();
    let at = |times: &[Duration], share: f64| {
        times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
    };
    let [low, middle, high] = [0.1, 0.5, 0.9].map(|share| at(&wall, share));
    format!("{middle:.2} ({low:.2}–{high:.2}); {:.2}", at(&cpu, 0.5))
}

/// A walk, as an Arrow file in memory.
fn bars() -> Result<ArrowBars, Box<dyn Error>> {
    let (mut bars, mut random, mut price) = (OwnedBars::default(), SplitMix64::new(1), 20_000.0_f64);
    for i in 0..BARS as i64 {
        let next = price * (1.0 + 0.002 * random.normal());
        let (high, low) = (price.max(next) + 5.0, price.min(next) - 5.0);
        bars.push(1_672_531_200_000 + i * 900_000, price, high, low, next, 1.0);
        price = next;
    }
    let (symbol, timeframe) = (SymbolInfo::default(), Timeframe::Minutes(15));
    let meta = BarMeta { symbol, timeframe, source: String::new(), report: None };
    let (bytes, places) = springtide_io::bar_file_bytes(&bars.view(), &meta)?;
    Ok(ArrowBars { file: sealed(&bytes)?, rows: places.rows, starts: places.starts })
}
