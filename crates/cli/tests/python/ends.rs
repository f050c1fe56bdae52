//! How scripts end that do not come to a good end, and what is said of runs that are not what was asked for.

use crate::world::{bars, lines, package, python, text, tide, with_package};
use serde_json::Value;
use std::path::Path;

/// A module of two strategies, of which one orders what cannot be; in whatever order they stand.
fn module(first: &str, second: &str) -> String {
    let class = |name: &str| {
        let order = if name == "Bad" { "self.buy(size=2.5)" } else { "self.buy()" };
        format!(
            "class {name}(Strategy):\n    def init(self): pass\n    def next(self):\n\
             \x20       if len(self.data) == 20: {order}\n\
             \x20       if len(self.data) == 30: self.position.close()\n"
        )
    };
    format!("from backtesting import Strategy\n{}{}", class(first), class(second))
}

const READS: &str = "import pandas as pd
from backtesting import Backtest, Strategy
data = pd.read_csv(filepath_or_buffer='X.csv', parse_dates=['datetime'], index_col='datetime')
data.columns = [c.capitalize() for c in data.columns]
class S(Strategy):
    n = 5
    def init(self): pass
    def next(self):
        if len(self.data) % 50 == 0: self.buy(size=1)
        if len(self.data) % 50 == self.n: self.position.close()
";

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), text).expect("writes");
}

fn of<'a>(all: &'a [Value], class: &str) -> &'a Value {
    all.iter()
        .find(|run| run["python"]["strategy"] == class)
        .unwrap_or_else(|| panic!("no {class}: {all:#?}"))
}

#[test]
fn each_strategy_of_a_module_is_a_run_of_its_own() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    for (first, second) in [("Good", "Bad"), ("Bad", "Good")] {
        write(folder.path(), "two.py", module(first, second));
        let batch = ["backtest", "two.py", "--data", "X-USD_15m.csv", "--json"];
        let out = tide(folder.path(), &python, &batch);
        assert_eq!(out.status.code(), Some(4), "{}", text(&out.stderr));
        let all = lines(&out);
        assert_eq!(all.len(), 2);
        let (good, bad) = (of(&all, "Good"), of(&all, "Bad"));
        assert_eq!((&good["status"], &good["python"]["fault"]), (&"ok".into(), &Value::Null));
        assert_eq!(
            (&bad["status"], &bad["python"]["fault"]["hint"]["code"]),
            (&"failed".into(), &"fractional-size".into())
        );
        assert_ne!(good["run"], bad["run"]);
        let told = text(&out.stderr);
        assert!(told.contains("1 ok, 1 failed") && told.contains("two.Bad on X-USD 15: line"), "{told}");
        let failed =
            tide(folder.path(), &python, &["board", "--where", "status != ok", "--job", "last", "--json"]);
        assert_eq!(lines(&failed).iter().map(|run| &run["run"]).collect::<Vec<_>>(), [&bad["run"]]);
        let again = tide(folder.path(), &python, &[&batch[..], &["--resume"]].concat());
        assert!(lines(&again).iter().all(|run| run["reused"] == true) && lines(&again).len() == 2);
    }
    // Also where one of them never comes to its end.
    let endless = module("Bad", "Good").replace("self.buy(size=2.5)", "exec('while True: pass')");
    write(folder.path(), "endless.py", endless);
    let out = tide(
        folder.path(),
        &python,
        &["backtest", "endless.py", "--data", "X-USD_15m.csv", "--timeout", "2s", "--json"],
    );
    let all = lines(&out);
    assert_eq!(out.status.code(), Some(4), "{}", text(&out.stderr));
    assert_eq!((&of(&all, "Bad")["status"], &of(&all, "Good")["status"]), (&"timeout".into(), &"ok".into()));
    assert_eq!((all.len(), of(&all, "Good")["metrics"]["trades"].as_u64()), (2, Some(1)));
}

#[test]
fn a_script_that_fails_after_its_runs_has_failed() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let ends = [
        ("late", "bt.run()\nraise ValueError('late')", "failed", "ValueError", 2),
        ("endless", "print('one', flush=True)\nwhile True: pass", "timeout", "Timeout", 1),
        (
            "caught",
            "S.next = lambda self: self.buy(size=2.5)\ntry: bt.run()\nexcept Exception as e: print(e)",
            "failed",
            "AssertionError",
            1,
        ),
    ];
    for (name, end, ..) in ends {
        write(
            folder.path(),
            &format!("{name}.py"),
            format!("{READS}bt = Backtest(data, S, cash=1e6)\nbt.run()\n{end}\n"),
        );
    }
    let args = [
        "backtest",
        "late.py",
        "endless.py",
        "caught.py",
        "--data",
        "X-USD_15m.csv",
        "--timeout",
        "3s",
        "--json",
    ];
    let out = tide(folder.path(), &python, &args);
    assert_eq!(out.status.code(), Some(4), "{}", text(&out.stderr));
    let (all, told) = (lines(&out), text(&out.stderr));
    for (name, _, status, kind, good) in ends {
        let runs: Vec<&Value> = all.iter().filter(|run| run["strategy"] == name).collect();
        let (ok, failed): (Vec<&Value>, Vec<&Value>) = runs.iter().partition(|run| run["status"] == "ok");
        assert_eq!((ok.len(), failed.len()), (good, 1), "{name}: {told}");
        assert_eq!(
            (&failed[0]["status"], &failed[0]["python"]["fault"]["type"]),
            (&status.into(), &kind.into())
        );
        for run in &runs {
            let notes = run["python"]["notes"].to_string();
            assert!(notes.contains("answered with X-USD 15"), "{name}: {notes}");
            assert_eq!(
                run["status"] == "ok",
                notes.contains("the script failed after this run"),
                "{name}: {notes}"
            );
        }
        assert!(told.contains(&format!("failed {name} on X-USD 15")), "{told}");
        let id = failed[0]["run"].as_str().expect("an id");
        let shown = text(&tide(folder.path(), &python, &["show", id]).stdout);
        assert!(shown.contains(&format!("{status}, recorded")), "it took no time of its own: {shown}");
    }
    assert!(told.contains("4 ok, 3 failed"), "{told}");
}

#[test]
fn what_a_script_raises_is_cut_and_paints_nothing() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let end = "print('\\x1b[8mprinted')\nraise ValueError('\\x1b[8mraised' + 'y' * 3_000_000)\n";
    write(folder.path(), "loud.py", format!("from backtesting import Backtest\nif False: Backtest()\n{end}"));
    let run = |args: &[&str]| {
        let out = tide(folder.path(), &python, args);
        (text(&out.stdout), text(&out.stderr))
    };
    let (all, told) = run(&["backtest", "loud.py", "--data", "X-USD_15m.csv", "--color", "never", "--json"]);
    let line = told.lines().find(|line| line.starts_with("failed loud on X-USD 15")).expect("a line");
    let run_of: Value = serde_json::from_str(&all).expect("json");
    let id = run_of["run"].as_str().expect("an id");
    assert!(line.contains("\\u{1b}[8mraisedyyy") && line.contains("yy… (`tide show "), "{line}");
    assert!(line.chars().count() < 400 && !told.contains('\x1b'), "{told}");
    let shown = run(&["show", id, "--color", "never"]).0;
    assert!(shown.contains("\\u{1b}[8mraisedyyy") && !shown.contains('\x1b'), "{shown}");
    let shown = run(&["show", id, "--color", "always"]).0;
    assert!(shown.contains("\x1b[31m") && !shown.contains("\x1b[8m"), "{shown}");
    assert_eq!(run(&["show", id, "--log"]).0, "\x1b[8mprinted\n", "to a pipe it goes as it is");
}

#[test]
fn sources_are_read_as_python_reads_them_and_a_bad_one_fails_alone() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let good = module("Good", "Other");
    let bytes = |text: &[u8]| [text, good.as_bytes()].concat();
    write(folder.path(), "bom.py", bytes(b"\xef\xbb\xbf"));
    write(folder.path(), "latin.py", bytes(b"# -*- coding: latin-1 -*-\n# caf\xe9\n"));
    write(folder.path(), "bad.py", bytes(b"# caf\xe9\n"));
    let out = tide(
        folder.path(),
        &python,
        &["backtest", "bom.py", "latin.py", "bad.py", "--data", "X-USD_15m.csv", "--json"],
    );
    assert_eq!(out.status.code(), Some(4), "{}", text(&out.stderr));
    let all = lines(&out);
    let status = |stem: &str| {
        let of = all.iter().filter(|run| run["source"] == format!("{stem}.py"));
        of.map(|run| run["status"].as_str().expect("a status")).collect::<Vec<_>>()
    };
    assert_eq!(
        (status("bom"), status("latin"), status("bad")),
        (vec!["ok"; 2], vec!["ok"; 2], vec!["failed"])
    );
    assert!(text(&out.stderr).contains("no UTF-8 text at byte 5"), "{}", text(&out.stderr));
}

#[test]
fn runs_on_other_bars_and_runs_without_trades_are_pointed_out() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let own = READS.replace(
        "data = pd.read_csv(filepath_or_buffer='X.csv', parse_dates=['datetime'], index_col='datetime')",
        "data = pd.DataFrame({k: [10.0 + i % 7 for i in range(300)] for k in ['open', 'high', 'low', 'close']}, \
         pd.date_range('2020-01-01', periods=300, freq='D'))",
    );
    write(folder.path(), "own.py", format!("{own}Backtest(data, S).run()\n"));
    write(folder.path(), "part.py", format!("{READS}Backtest(data.iloc[:300], S).run()\n"));
    write(folder.path(), "poor.py", format!("{READS}Backtest(data, S, cash=5).optimize(n=[3, 4, 5])\n"));
    let long = "from backtesting import Strategy\nimport pandas as pd\nclass L(Strategy):\n    def init(self):\n\
                \x20       self.m = self.I(lambda x: pd.Series(x).rolling(5000).mean(), self.data.Close, name='SLOW')\n\
                \x20   def next(self):\n        if self.m[-1] > 0: self.buy()\n";
    write(folder.path(), "long.py", long);
    let package = package(folder.path());
    let run = |args: &[&str]| match &package {
        Some(package) => with_package(folder.path(), &python, package, args),
        None => tide(folder.path(), &python, args),
    };
    let batch = ["backtest", "own.py", "part.py", "poor.py", "long.py", "--data", "X-USD_15m.csv"];
    let out = run(&[&batch[..], &["--json"]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let (all, told) = (lines(&out), text(&out.stderr));
    let of = |name: &str| all.iter().find(|run| run["strategy"] == name).expect("a run");
    let market =
        |name: &str| ["symbol", "timeframe", "data"].map(|field| of(name)[field].as_str().expect("text"));
    assert_eq!(
        (market("own"), &of("own")["python"]["bars"]),
        (["own data", "1D", "own data 1D"], &"own".into())
    );
    assert_eq!(
        (market("part"), &of("part")["python"]["bars"]),
        (["X-USD", "15", "X-USD 15, changed"], &"changed".into())
    );
    assert_eq!(
        (market("long"), &of("long")["python"]["bars"]),
        (["X-USD", "15", "X-USD 15"], &"given".into())
    );
    assert!(
        told.contains("1 run on data that the script brings along") && told.contains("own (own data 1D)"),
        "{told}"
    );
    assert!(
        told.contains("1 run on bars that the script has made") && told.contains("part (X-USD 15, changed)"),
        "{told}"
    );
    // The twelve orders of one combination, not those of all that were tried.
    let poor = of("poor")["python"]["no_trade"].as_str().expect("why");
    assert!(
        poor.starts_with("12 orders were placed") && poor.contains("were cancelled, as the account"),
        "{poor}"
    );
    let why = of("long")["python"]["no_trade"].as_str().expect("why");
    assert!(why.contains("the indicators are longer than the data: SLOW has no value"), "{why}");
    assert!(
        told.contains("2 runs took no trade.") && told.contains(&format!("long on X-USD 15: {why}")),
        "{told}"
    );
    let own = of("own")["run"].as_str().expect("an id");
    let again = run(&["rerun", own, of("part")["run"].as_str().expect("an id")]);
    assert!(
        again.status.success() && text(&again.stdout).matches("equal").count() == 2,
        "{}",
        text(&again.stdout)
    );
    let ranked = run(&["board", "--where", "symbol = \"X-USD\"", "--json"]);
    assert!(lines(&ranked).len() == 3 && lines(&ranked).iter().all(|run| run["run"] != own));
    assert!(text(&run(&["board"]).stdout).contains("own data 1D"));
}

/// The output kept with a run.
fn log(folder: &Path, python: &Path, run: &Value) -> String {
    let shown = tide(folder, python, &["show", run["run"].as_str().expect("an id"), "--log"]);
    text(&shown.stdout)
}

#[test]
fn what_was_printed_is_kept_however_a_script_ends() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let ends = [
        ("sleeps", "import time; time.sleep(60)"),
        ("spins", "while True: pass"),
        ("leaves", "import os; os._exit(3)"),
        ("closes", "import atexit; atexit.register(print, 'at the exit')"),
        (
            "waits",
            "import threading, time; threading.Thread(target=lambda: (time.sleep(0.3), print('at the exit'))).start()",
        ),
    ];
    for (name, end) in ends {
        write(folder.path(), &format!("{name}.py"), format!("{READS}print('before it ends')\n{end}\n"));
        let file = format!("{name}.py");
        let batch = ["backtest", &file, "--data", "X-USD_15m.csv", "--json", "-q", "--timeout", "4s"];
        let all = lines(&tide(folder.path(), &python, &batch));
        let kept = log(folder.path(), &python, &all[0]);
        assert!(kept.contains("before it ends"), "{name}: {kept}\n{all:#?}");
        assert_eq!(kept.contains("at the exit"), ["closes", "waits"].contains(&name), "{name}: {kept}");
    }
}

#[test]
fn runs_in_threads_are_all_recorded() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let threads = "import concurrent.futures as f\n\
                   with f.ThreadPoolExecutor(4) as pool:\n\
                   \x20   list(pool.map(lambda n: Backtest(data, S).run(n=n), [3, 5, 7, 9]))\n";
    write(folder.path(), "threads.py", format!("{READS}{threads}"));
    let batch = ["backtest", "threads.py", "--data", "X-USD_15m.csv", "--json", "-q"];
    let all = lines(&tide(folder.path(), &python, &batch));
    let mut inputs: Vec<i64> = all.iter().filter_map(|run| run["params"]["n"].as_i64()).collect();
    inputs.sort_unstable();
    assert_eq!(inputs, [3, 5, 7, 9], "{all:#?}");
}

#[test]
fn what_is_set_is_not_searched_for() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let search =
        "stats = Backtest(data, S).optimize(n=[3, 5, 7], maximize='# Trades')\nprint(stats._strategy.n)\n";
    write(folder.path(), "search.py", format!("{READS}{search}"));
    let batch = ["backtest", "search.py", "--data", "X-USD_15m.csv", "--json", "-q", "--sweep", "n=9,11"];
    let all = lines(&tide(folder.path(), &python, &batch));
    let mut found: Vec<(i64, i64)> = all
        .iter()
        .map(|run| (run["params"]["n"].as_i64().expect("n"), run["python"]["tried"].as_i64().expect("tried")))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [(9, 1), (11, 1)], "{all:#?}");
}

#[test]
fn whatever_ends_one_strategy_of_a_module_the_next_runs() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let two = module("Bad", "Good").replace("self.buy(size=2.5)", "raise KeyboardInterrupt");
    write(folder.path(), "two.py", two);
    let batch = ["backtest", "two.py", "--data", "X-USD_15m.csv", "--json", "-q"];
    let all = lines(&tide(folder.path(), &python, &batch));
    assert_eq!(of(&all, "Good")["status"], "ok", "{all:#?}");
    assert_eq!(of(&all, "Bad")["python"]["fault"]["type"], "KeyboardInterrupt", "{all:#?}");
}

#[test]
fn prices_that_pandas_reads_less_exactly_are_those_of_the_data() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let csv = std::fs::read_to_string(folder.path().join("X-USD_15m.csv")).expect("reads");
    // Prices with all of a float's digits, as other programs write them.
    let long = |field: &str| {
        field.parse::<f64>().map_or_else(|_| field.to_owned(), |x| format!("{}", x * 16.530_610_3))
    };
    let line = |line: &str| line.split(',').map(long).collect::<Vec<_>>().join(",");
    let csv: Vec<String> = csv.lines().map(line).collect();
    write(folder.path(), "X-USD_15m.csv", csv.join("\n"));
    write(folder.path(), "reads.py", format!("{READS}Backtest(data, S, cash=1e6).run()\n"));
    let batch = ["backtest", "reads.py", "--data", "X-USD_15m.csv", "--json", "-q"];
    let all = lines(&tide(folder.path(), &python, &batch));
    assert_eq!(
        (all[0]["status"].as_str(), all[0]["data"].as_str()),
        (Some("ok"), Some("X-USD 15")),
        "{all:#?}"
    );
    assert!(all[0]["metrics"]["trades"].as_f64().is_some_and(|n| n > 5.0), "{all:#?}");
}
