//! Python strategies as a person runs them. `TIDE_TEST_PYTHON` names an interpreter with numpy, pandas and
//! backtesting; without one these tests skip, and say so.
#![cfg(target_os = "linux")]

mod beside;
mod ends;
mod setting;
mod shown;
mod world;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};
use world::{CROSS, WHOLE, bars, lines, package, python, text, tide, with_package};

const SEARCHED: &str = "
import backtesting

class Seen(Cross):
    seen = set()
    def init(self):
        self.seen.add(self.fast)
        super().init()

if __name__ == '__main__':
    data = pd.read_csv('X.csv', parse_dates=['datetime'], index_col='datetime')
    data.columns = [c.capitalize() for c in data.columns]
    bt = Backtest(data, Seen, cash=50_000)
    bt.run()
    bt.optimize(fast=range(3, 9), constraint=lambda p: p.fast != 5, maximize='Return [%]')
    method = 'skopt' if backtesting.__version__.startswith('0.3') else 'sambo'
    search = dict(method=method, max_tries=12, random_state=1, maximize='Return [%]')
    Seen.seen.clear()
    try:
        bt.optimize(fast=range(3, 15), **search)
        print(len(Seen.seen))
    except ImportError as error:
        print('SKIPPED:', error)
";
const PINE: &str =
    "//@version=5\nstrategy(\"P\")\nif close > open\n    strategy.entry(\"L\", strategy.long)\n";

#[test]
fn without_python_the_remedy_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    std::fs::write(folder.path().join("cross.py"), CROSS).expect("writes");
    let args = ["backtest", "cross.py", "--data", "X-USD_15m.csv"];
    let out = tide(folder.path(), Path::new("/nowhere/python"), &args);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("tide python setup"), "{}", text(&out.stderr));
}

#[test]
fn modules_sweep_resume_and_repeat() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    for (name, script) in [("cross.py", CROSS), ("p.pine", PINE)] {
        std::fs::write(folder.path().join(name), script).expect("writes");
    }
    let run = |args: &[&str]| tide(folder.path(), &python, args);
    let sweep =
        ["backtest", "cross.py", "p.pine", "--data", "X-USD_15m.csv", "--sweep", "fast=4..6", "--json"];
    let first = run(&sweep);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let all = lines(&first);
    let own: Vec<&Value> = all.iter().filter(|run| !run["python"].is_null()).collect();
    assert_eq!((all.len(), own.len()), (4, 3), "beside the Pine script");
    for run in &own {
        assert_eq!(
            (run["bars"].as_u64(), run["rules"]["name"].as_str()),
            (Some(600), Some("backtesting_py"))
        );
        assert_eq!(run["metrics"]["trades"], run["python"]["stats"]["# Trades"]);
        let ours = run["metrics"]["return_pct"].as_f64().expect("a return");
        let theirs = run["python"]["stats"]["Return [%]"].as_f64().expect("a return");
        assert!((ours - theirs).abs() < 1e-9, "{ours} {theirs}");
    }
    let again = run(&[&sweep[..], &["--resume"]].concat());
    assert!(lines(&again).iter().all(|run| run["reused"] == true), "nothing is repeated");
    let id = own[0]["run"].as_str().expect("an id");
    let rerun = run(&["rerun", id]);
    assert!(rerun.status.success() && text(&rerun.stdout).contains("equal"), "{}", text(&rerun.stdout));
    let csv = run(&["export", id, "--format", "csv", "-o", "-"]);
    assert!(text(&csv.stdout).contains(",up,"), "{}", text(&csv.stdout));
    let shown = run(&["show", id]);
    assert!(text(&shown.stdout).contains("As the library reports it"));
}

#[test]
fn whole_scripts_leave_all_their_runs_and_their_output() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    std::fs::write(folder.path().join("whole.py"), format!("{CROSS}{WHOLE}")).expect("writes");
    let run = |args: &[&str]| tide(folder.path(), &python, args);
    let out = run(&["backtest", "whole.py", "--data", "X-USD_15m.csv", "--json"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let all = lines(&out);
    assert_eq!(all.len(), 2);
    assert_ne!(all[0]["run"], all[1]["run"]);
    let first = all.iter().find(|run| run["python"]["number"] == 0).expect("the first");
    let notes = first["python"]["notes"].to_string();
    assert!(notes.contains("answered with X-USD 15"), "{notes}");
    let id = first["run"].as_str().expect("an id");
    let log = run(&["show", id, "--log"]);
    assert_eq!(text(&log.stdout), format!("trades: {}\n", first["metrics"]["trades"]));
    let again = run(&["backtest", "whole.py", "--data", "X-USD_15m.csv", "--json", "--resume"]);
    let mut reused = lines(&again);
    assert!(reused.iter().all(|run| run["reused"] == true), "nothing is repeated");
    let ids = |runs: &[Value]| runs.iter().map(|run| run["run"].to_string()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&reused), ids(&all), "all runs of the script are told of");
    reused.retain(|run| run["python"]["number"] == 1);
    assert_eq!(reused.len(), 1);
    assert!(text(&again.stderr).contains("2 from the ledger"), "{}", text(&again.stderr));
    let second = all.iter().find(|run| run["python"]["number"] == 1).expect("the second");
    let rerun = run(&["rerun", second["run"].as_str().expect("an id")]);
    assert!(rerun.status.success() && text(&rerun.stdout).contains("equal"), "{}", text(&rerun.stdout));
}

#[test]
fn an_optimisation_tells_how_many_combinations_it_tried() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let Some(package) = package(folder.path()) else { return };
    bars(folder.path());
    let script = format!("{CROSS}{SEARCHED}").replace("tag='up'", "");
    std::fs::write(folder.path().join("searched.py"), script).expect("writes");
    let run = |args: &[&str]| with_package(folder.path(), &python, &package, args);
    let batch = ["backtest", "searched.py", "--data", "X-USD_15m.csv", "--json"];
    for more in [&["--verify-engine"][..], &["--broker", "backtesting_py_0_3"]] {
        let out = run(&[&batch[..], more].concat());
        let all = lines(&out);
        let number = |k: u64| all.iter().find(|run| run["python"]["number"] == k && run["status"] == "ok");
        // Without the package that searches, its search is a run that failed.
        let code = if number(2).is_some() { 0 } else { 4 };
        assert_eq!(out.status.code(), Some(code), "{}", text(&out.stderr));
        assert!(number(0).expect("a plain run")["python"]["tried"].is_null());
        let grid = number(1).expect("the grid's best");
        assert_eq!(grid["python"]["tried"], 5);
        let id = grid["run"].as_str().expect("an id");
        let shown = text(&run(&["show", id]).stdout);
        assert!(shown.contains("the best of 5 combinations"), "{shown}");
        let kept: Value = serde_json::from_slice(&run(&["show", id, "--json"]).stdout).expect("json");
        assert_eq!(kept["python"]["tried"], 5);
        let printed = text(&run(&["show", id, "--log"]).stdout);
        match number(2) {
            Some(model) => {
                assert_eq!(model["python"]["tried"].to_string(), printed.trim());
                assert!(model["python"]["tried"].as_u64() > Some(1), "{model}");
            }
            None => {
                assert!(printed.starts_with("SKIPPED: Need package"), "{printed}");
                eprintln!("{printed}");
            }
        }
    }
}

/// Return and trades are those that backtesting.py 0.3.3 itself gave for this script and these bars.
#[test]
fn scripts_run_under_the_rules_of_version_0_3_where_asked() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let Some(package) = package(folder.path()) else { return };
    bars(folder.path());
    let script = format!("{CROSS}{WHOLE}").replace("tag='up'", "");
    std::fs::write(folder.path().join("old.py"), script).expect("writes");
    let run = |args: &[&str]| with_package(folder.path(), &python, &package, args);
    let batch = ["backtest", "old.py", "--data", "X-USD_15m.csv"];
    let old = [&batch[..], &["--broker", "backtesting_py_0_3"]].concat();
    let out = run(&[&old[..], &["--json"]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let all = lines(&out);
    let first = all.iter().find(|run| run["python"]["number"] == 0).expect("the first");
    let stats = &first["python"]["stats"];
    assert_eq!(first["rules"]["name"], "backtesting_py_0_3");
    assert_eq!((&stats["# Trades"], &first["metrics"]["trades"]), (&10.into(), &10.into()));
    let near = |value: &Value, want: f64| (value.as_f64().expect("a number") - want).abs() < 1e-9 * want;
    assert!(near(&stats["Return [%]"], 331.949_015_220_000_15), "{stats}");
    assert!(near(&stats["Buy & Hold Return [%]"], 24.340_000_000_000_003), "{stats}");
    assert!(stats.get("CAGR [%]").is_none(), "{stats}");
    let id = first["run"].as_str().expect("an id");
    let rerun = run(&["rerun", id]);
    assert!(rerun.status.success() && text(&rerun.stdout).contains("equal"), "{}", text(&rerun.stdout));
    for shown in [run(&["show", id]), run(&["board"])] {
        assert!(text(&shown.stdout).contains("backtesting_py_0_3"), "{}", text(&shown.stdout));
    }
    let report = run(&[&old[..], &["--out", "report.html"]].concat());
    assert!(report.status.success(), "{}", text(&report.stderr));
    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("a report");
    assert!(page.contains("backtesting_py_0_3"));

    let both = lines(&run(&[&batch[..], &["--rules-spread", "--json"]].concat()));
    let of = |name: &str| both.iter().filter(|run| run["rules"]["name"] == name).collect::<Vec<_>>();
    assert_eq!((both.len(), of("backtesting_py").len(), of("backtesting_py_0_3").len()), (4, 2, 2));
    assert!(of("backtesting_py_0_3").iter().any(|run| run["run"] == id), "the same run");
    assert!(
        of("backtesting_py")
            .iter()
            .all(|run| near(&run["python"]["stats"]["Buy & Hold Return [%]"], 2.700_916_824_977_294_4))
    );

    std::fs::write(folder.path().join("new.py"), CROSS).expect("writes");
    let new =
        run(&["backtest", "new.py", "--data", "X-USD_15m.csv", "--broker", "backtesting_py_0_3", "--json"]);
    let fault = &lines(&new)[0]["python"]["fault"];
    assert_eq!(
        (&fault["type"], &fault["hint"]["code"]),
        (&"TypeError".into(), &"later-version".into()),
        "{fault}"
    );

    let slippage = run(&[&old[..], &["--slippage", "0.1%"]].concat());
    assert!(text(&slippage.stderr).contains("its commission is one"), "{}", text(&slippage.stderr));
    let original = run(&[&old[..], &["--python-engine", "original"]].concat());
    let told = text(&original.stderr);
    assert!(original.status.code() == Some(2) && told.contains("are the rules of 0.3.3"), "{told}");
}

#[test]
fn rules_that_a_strategy_cannot_have_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    for (name, script) in [("cross.py", CROSS), ("p.pine", PINE)] {
        std::fs::write(folder.path().join(name), script).expect("writes");
    }
    for (args, told) in [
        (vec!["cross.py", "--broker", "vectorbt"], "backtesting_py or backtesting_py_0_3"),
        (vec!["cross.py", "p.pine", "--broker", "tradingview"], "in a batch of their own"),
        (vec!["p.pine", "--broker", "backtesting_py_0_3"], "are rules of Python strategies"),
        (vec!["cross.py", "p.pine", "--broker", "backtesting_py_0_3"], "are rules of Python strategies"),
        (vec!["cross.py", "--rule", "lots=whole"], "changes the broker of Pine strategies"),
    ] {
        let args = [&["backtest"], &args[..], &["--data", "X-USD_15m.csv"]].concat();
        let out = tide(folder.path(), Path::new("/nowhere/python"), &args);
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        assert!(text(&out.stderr).contains(told), "{args:?}: {}", text(&out.stderr));
    }
}

#[test]
fn failures_say_what_it_takes_to_mend_them() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let bad = format!("print('begins')\n{}", CROSS.replace("self.buy(tag='up')", "self.buy(size=2.5)"));
    let slow = format!("{CROSS}while True: pass\n");
    for (name, script) in [("bad.py", bad.as_str()), ("cut.py", "class X(\n"), ("slow.py", slow.as_str())] {
        std::fs::write(folder.path().join(name), script).expect("writes");
    }
    let args =
        ["backtest", "bad.py", "cut.py", "slow.py", "--data", "X-USD_15m.csv", "--timeout", "2s", "--json"];
    let out = tide(folder.path(), &python, &args);
    assert_eq!(out.status.code(), Some(4), "{}", text(&out.stderr));
    let all = lines(&out);
    let of = |name: &str| all.iter().find(|run| run["strategy"] == name).expect("a run");
    let fault = &of("bad")["python"]["fault"];
    assert_eq!(
        (fault["type"].as_str(), fault["hint"]["code"].as_str()),
        (Some("AssertionError"), Some("fractional-size"))
    );
    let line = fault["line"].as_u64().expect("a line");
    let source = bad.lines().nth(line as usize - 1).expect("its source");
    assert!(source.contains("size=2.5") && fault["context"].to_string().contains("size=2.5"));
    assert_eq!(fault["output"][0], "begins");
    let cut = of("cut");
    assert!(cut["status"] == "failed" && cut["diagnostics"][0]["code"] == "cut-off", "{cut}");
    let fault = &cut["python"]["fault"];
    assert_eq!(
        (&fault["hint"]["code"], &fault["line"], &fault["column"]),
        (&"cut-off".into(), &1.into(), &8.into())
    );
    assert!(cut["error"].as_str().is_some_and(|error| error.starts_with("line 1:8: SyntaxError")), "{cut}");
    assert_eq!(of("slow")["status"], "timeout");
}

/// A batch of a quick script, one that makes a run and then goes on for ever, and one that only waits. It is
/// known to run them when the quick one is told of.
fn endless(folder: &Path, python: &Path) -> (Child, BufReader<ChildStdout>, Value) {
    let goes_on = format!("{CROSS}{WHOLE}    while True: pass\n");
    let waits = format!("import time\n{CROSS}time.sleep(1e6)\n");
    for (name, script) in
        [("quick.py", CROSS), ("goes_on.py", goes_on.as_str()), ("waits.py", waits.as_str())]
    {
        std::fs::write(folder.join(name), script).expect("writes");
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_tide"))
        .args([
            "backtest",
            "quick.py",
            "goes_on.py",
            "waits.py",
            "--data",
            "X-USD_15m.csv",
            "--json",
            "-j",
            "3",
        ])
        .current_dir(folder)
        .env_remove("TIDE_WORKSPACE")
        .env_remove("TIDE_PYTHON_PACKAGE")
        .env("TIDE_PYTHON", python)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tide starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("the quick run");
    (child, out, serde_json::from_str(&line).expect("json"))
}

/// All processes below this one.
fn descendants(of: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    let own: Vec<u32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    own.iter().flat_map(|pid| [vec![*pid], descendants(*pid)].concat()).collect()
}

/// Waits until processes are gone; one that never goes makes the test run into its limit.
fn all_end(processes: &[u32]) {
    let is_there = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Dead, but not yet taken off the table by whoever adopted it, is gone.
        !stat.is_empty() && !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    };
    while processes.iter().any(is_there) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn scratch_folders(of: u32) -> Vec<PathBuf> {
    let name = format!("springtide-scratch-{of}-");
    let all = std::fs::read_dir("/tmp").expect("a folder").flatten().map(|entry| entry.path());
    all.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&name))).collect()
}

/// What is told when the batch is resumed with a limit of time.
fn resumed(folder: &Path, python: &Path) -> Vec<Value> {
    let args = ["backtest", "quick.py", "goes_on.py", "waits.py", "--data", "X-USD_15m.csv", "--json"];
    let out = tide(folder, python, &[&args[..], &["--resume", "--timeout", "2s", "-j", "3"]].concat());
    assert_eq!(out.status.code(), Some(4), "{}", text(&out.stderr));
    lines(&out)
}

#[test]
fn an_interrupted_batch_stops_leaves_nothing_behind_and_is_resumed() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let (child, mut out, quick) = endless(folder.path(), &python);
    assert_eq!((quick["strategy"].as_str(), quick["status"].as_str()), (Some("quick"), Some("ok")));
    let (tide, below) = (child.id(), descendants(child.id()));
    assert!(below.len() >= 4, "a warden and three workers: {below:?}");
    rustix::process::kill_process(pid(tide), rustix::process::Signal::INT).expect("signalled");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("reads");
    let ended = child.wait_with_output().expect("ended");
    assert_eq!((ended.status.code(), rest.as_str()), (Some(130), ""), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains("--resume"), "{}", text(&ended.stderr));
    all_end(&below);
    assert_eq!(scratch_folders(tide), Vec::<PathBuf>::new());
    is_resumed(folder.path(), &python, &quick);
}

#[test]
fn a_killed_batch_leaves_no_process_and_is_resumed() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path());
    let (mut child, _out, quick) = endless(folder.path(), &python);
    let below = descendants(child.id());
    child.kill().expect("killed");
    child.wait().expect("ended");
    all_end(&below);
    is_resumed(folder.path(), &python, &quick);
}

/// The quick run is not repeated; the other scripts are, from their beginning, and again after a timeout.
fn is_resumed(folder: &Path, python: &Path, quick: &Value) {
    for _ in 0..2 {
        let all = resumed(folder, python);
        let of = |name: &str| all.iter().filter(|run| run["strategy"] == name).collect::<Vec<_>>();
        assert_eq!((&of("quick")[0]["run"], &of("quick")[0]["reused"]), (&quick["run"], &true.into()));
        let [last, second, first] = of("goes_on")[..] else { panic!("two runs and their end: {all:#?}") };
        for run in [first, second, last] {
            assert_eq!((&run["reused"], &run["python"]["runs"]), (&false.into(), &3.into()));
        }
        assert_eq!(
            (&first["status"], &second["status"], &last["status"]),
            (&"ok".into(), &"ok".into(), &"timeout".into())
        );
        assert_eq!(last["python"]["fault"]["type"], "Timeout");
        assert_eq!(of("waits")[0]["status"], "timeout");
        assert_eq!(all.len(), 5);
    }
}

fn pid(number: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(number as i32).expect("a process")
}
