//! What the tests of Python strategies share.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What the program makes of these arguments.
pub fn tide(folder: &Path, python: &Path, args: &[&str]) -> Output {
    program(folder, python, args).output().expect("tide runs")
}

pub fn program(folder: &Path, python: &Path, args: &[&str]) -> Command {
    let mut tide = Command::new(env!("CARGO_BIN_EXE_tide"));
    tide.args(args)
        .current_dir(folder)
        .env_remove("TIDE_WORKSPACE")
        .env_remove("TIDE_PYTHON_PACKAGE")
        .env("TIDE_PYTHON", python);
    tide
}

/// Our own package in the folder, where this build has made its library.
pub fn package(folder: &Path) -> Option<PathBuf> {
    let test = std::env::current_exe().expect("own path");
    let name = format!("{}backtesting_native{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let beside = test.ancestors().skip(1).take(2).map(|place| place.join(&name)).filter(|path| path.exists());
    let Some(library) = beside.max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok()) else {
        eprintln!("SKIPPED: {name} is not built: name springtide-backtesting beside this package");
        return None;
    };
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backtesting/python/backtesting");
    let package = folder.join("package/backtesting");
    std::fs::create_dir_all(&package).expect("a folder");
    for entry in std::fs::read_dir(sources).expect("the package") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "py") {
            std::fs::copy(&path, package.join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    std::fs::copy(library, package.join("_native.abi3.so")).expect("a copy of the library");
    Some(folder.join("package"))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

/// An interpreter that has what scripts need.
pub fn python() -> Option<PathBuf> {
    let named = std::env::var_os("TIDE_TEST_PYTHON").map(PathBuf::from);
    let found = named.into_iter().chain(["/usr/bin/python3".into()]).find(|python| {
        let import = ["-c", "import numpy, pandas, backtesting"];
        Command::new(python).args(import).output().is_ok_and(|o| o.status.success())
    });
    if found.is_none() {
        eprintln!("SKIPPED: set TIDE_TEST_PYTHON to a Python with numpy, pandas and backtesting");
    }
    found
}

pub fn bars(folder: &Path) {
    let mut csv = String::from("datetime,open,high,low,close,volume\n");
    let mut price = 100.0f64;
    for i in 0..600i64 {
        let next = price + ((i as f64) / 9.0).sin() * 1.5;
        let (high, low) = (price.max(next) + 0.5, price.min(next) - 0.5);
        let (day, minute) = (i / 96 + 1, i % 96 * 15);
        let time = format!("2023-01-{day:02} {:02}:{:02}:00", minute / 60, minute % 60);
        csv.push_str(&format!("{time},{price:.2},{high:.2},{low:.2},{next:.2},1\n"));
        price = next;
    }
    std::fs::write(folder.join("X-USD_15m.csv"), csv).expect("writes");
}

pub const CROSS: &str = "import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover

def mean(x, n):
    return pd.Series(x).rolling(n).mean()

class Cross(Strategy):
    fast = 5
    def init(self):
        self.quick = self.I(mean, self.data.Close, self.fast)
        self.calm = self.I(mean, self.data.Close, 20)
    def next(self):
        if crossover(self.quick, self.calm):
            self.buy(tag='up')
        elif crossover(self.calm, self.quick):
            self.position.close()
";
pub const WHOLE: &str = "
if __name__ == '__main__':
    data = pd.read_csv('/Users/somebody/X.csv', parse_dates=['datetime'], index_col='datetime')
    data.columns = [c.capitalize() for c in data.columns]
    bt = Backtest(data, Cross, cash=50_000, commission=.001)
    print('trades:', bt.run()['# Trades'])
    bt.run(fast=7)
";

/// `tide` with our own package, wherever it lies.
pub fn with_package(folder: &Path, python: &Path, package: &Path, args: &[&str]) -> Output {
    program(folder, python, args).env("TIDE_PYTHON_PACKAGE", package).output().expect("tide runs")
}

/// A folder with bars and these scripts.
pub fn folder(scripts: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    for (name, script) in scripts {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, script).expect("writes");
    }
    folder
}
