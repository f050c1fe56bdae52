//! Workers, and bars to run on.

use springtide_domain::{OwnedBars, SymbolInfo, Timeframe};
use springtide_io::BarMeta;
use springtide_python::{ArrowBars, BarsImage, Engine, Environment, ScriptRequest, Workers, WorkersConfig};
use springtide_runtime::{
    observe::Health,
    process::{Children, ChildrenConfig, WardenProgram},
};
use springtide_sandbox::{LauncherProgram, Sandbox, SandboxConfig, Tier};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

const LAUNCHER: &str = env!("CARGO_BIN_EXE_python_launcher");

/// A strategy that trades on any market.
pub const CROSS: &str = "
import pandas as pd
from backtesting import Strategy
from backtesting.lib import crossover

def mean(values, n):
    x = pd.Series(values)
    return x.rolling(n).mean()

class Cross(Strategy):
    fast = 10
    slow = 30
    def init(self):
        self.quick = self.I(mean, self.data.Close, self.fast)
        self.calm = self.I(mean, self.data.Close, self.slow)
    def next(self):
        if crossover(self.quick, self.calm):
            self.buy()
        elif crossover(self.calm, self.quick):
            self.position.close()
";

pub struct World {
    pub workers: Workers,
    pub bars: BarsImage,
    pub csv: String,
    rows: usize,
    pub health: Health,
}

impl World {
    /// In the best sandbox there is; `None`, said aloud, where Python lacks what scripts need.
    pub fn ready() -> Option<Self> {
        Self::with(Tier::Full)
    }

    pub fn with(most: Tier) -> Option<Self> {
        Self::that_sees(most, None)
    }

    /// With a folder that its scripts can read.
    pub fn that_sees(most: Tier, folder: Option<&Path>) -> Option<Self> {
        let warden = WardenProgram { path: LAUNCHER.into(), ..WardenProgram::default() };
        let children = ChildrenConfig { warden, at_once: 16, ..ChildrenConfig::default() };
        let children = Arc::new(Children::new(children).unwrap());
        let launcher = LauncherProgram { path: LAUNCHER.into(), ..LauncherProgram::default() };
        let least = most.min(Tier::Reduced);
        let config = SandboxConfig { least, most, launcher, ..SandboxConfig::default() };
        let sandbox = match Sandbox::new(&children, config) {
            Ok(sandbox) if sandbox.tier() == most || most == Tier::Full => sandbox,
            other => {
                eprintln!("SKIPPED: no {most} sandbox here: {other:?}");
                return None;
            }
        };
        let mut environment = environment(&children)?;
        environment.folders.extend(folder.map(Path::to_owned));
        let health = Health::default();
        let config = WorkersConfig {
            children,
            sandbox,
            environment,
            engine: Engine::Original,
            preload: Vec::new(),
            health: Some(health.component("python workers")),
        };
        let (bars, csv) = bars();
        let image = BarsImage::new("X-USD 15", arrow(&bars), Some(csv.as_bytes())).unwrap();
        Some(Self { workers: Workers::new(config), bars: image, csv, rows: bars.close.len(), health })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// Bars as an Arrow file in memory.
pub fn arrow(bars: &OwnedBars) -> ArrowBars {
    let meta = BarMeta {
        symbol: SymbolInfo::default(),
        timeframe: Timeframe::Minutes(15),
        source: String::new(),
        report: None,
    };
    let (bytes, places) = springtide_io::bar_file_bytes(&bars.view(), &meta).unwrap();
    let file = springtide_python::sealed(&bytes).unwrap();
    ArrowBars { file, rows: places.rows, starts: places.starts }
}

fn environment(children: &Children) -> Option<Environment> {
    let named = std::env::var_os("TIDE_TEST_PYTHON").map(PathBuf::from);
    let usual = ["/usr/bin/python3", "/usr/local/bin/python3"].map(PathBuf::from);
    let found =
        named.into_iter().chain(usual).find_map(|python| Environment::inspect(children, &python).ok());
    let has_all =
        |e: &Environment| ["numpy", "pandas", "backtesting"].iter().all(|p| e.packages.contains_key(*p));
    match found {
        Some(environment) if has_all(&environment) => Some(environment),
        other => {
            eprintln!(
                "SKIPPED: set TIDE_TEST_PYTHON to a Python with numpy, pandas and backtesting: {other:?}"
            );
            None
        }
    }
}

/// A walk that turns, and the file it might have come from: with spaces and an empty last column, as they are.
fn bars() -> (OwnedBars, String) {
    let mut bars = OwnedBars::default();
    let mut csv = String::from("datetime, open, high, low, close, volume,\n");
    let mut price = 100.0_f64;
    for i in 0..2_000_i64 {
        let next = price + (i as f64 / 25.0).sin() * 0.8;
        let (high, low) = (price.max(next) + 0.25, price.min(next) - 0.25);
        let time = 1_672_531_200_000 + i * 900_000;
        let [open, high, low, close] = [price, high, low, next].map(|x| (x * 100.0).round() / 100.0);
        bars.push(time, open, high, low, close, 1.5);
        let (day, minute) = (i / 96, i % 96 * 15);
        let date = format!("2023-01-{:02} {:02}:{:02}:00", day + 1, minute / 60, minute % 60);
        csv.push_str(&format!("{date}, {open}, {high}, {low}, {close}, 1.5,\n"));
        price = next;
    }
    (bars, csv)
}

pub fn request(text: &str) -> ScriptRequest {
    ScriptRequest { path: "script.py".into(), text: text.into(), ..ScriptRequest::default() }
}
