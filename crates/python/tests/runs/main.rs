//! Scripts in warm workers, with the library that is installed. `TIDE_TEST_PYTHON` names the interpreter; without
//! one that has numpy, pandas and backtesting these tests skip, and say so.
#![cfg(target_os = "linux")]

mod beside;
mod ends;
mod world;

use springtide_domain::{OwnedBars, ParamValue};
use springtide_python::{
    BarsImage, FailedRun, Fault, Finish, Message, RunLimits, ScriptAccount, ScriptEnd, ScriptRun, Shape, Work,
};
use springtide_runtime::{
    GroupOptions, Outcome, Pool, PoolConfig,
    observe::{Condition, Observatory, Watchdog, WatchdogConfig},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use world::{CROSS, World, arrow, request};

/// What a script came to.
struct Came {
    runs: Vec<ScriptRun>,
    failed: Vec<FailedRun>,
    begun: Vec<(String, usize, usize)>,
    notes: Vec<String>,
    plots: usize,
    reads: Vec<String>,
    needs: Option<String>,
    end: Option<ScriptEnd>,
    ended: springtide_python::Ended,
}

impl Came {
    fn fault(&self) -> Fault {
        let failed = || self.failed.last().map(|run| run.fault.clone());
        let told = self.end.as_ref().and_then(|end| end.fault.clone()).or_else(failed);
        told.unwrap_or_else(|| panic!("no fault: {:?} {:?}", self.end, self.ended))
    }

    fn hint(&self) -> String {
        self.fault().hint.map_or_else(|| panic!("no hint: {:?}", self.fault()), |hint| hint.code)
    }

    fn good(&self) -> &ScriptRun {
        let end = self.end.as_ref().unwrap_or_else(|| panic!("no end: {:?}", self.ended));
        assert_eq!(end.fault, None, "{:?}", self.ended.log);
        &self.runs[0]
    }
}

fn came(world: &World, work: &Work, limits: &RunLimits) -> Came {
    let (mut runs, mut plots, mut end) = (Vec::new(), 0, None);
    let (mut failed, mut begun, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reads, mut needs) = (Vec::new(), None);
    let mut sink = |message| match message {
        Message::Reads(file) => reads.push(file),
        Message::Needs(file) => needs = Some(file),
        Message::Run(run) => runs.push(*run),
        Message::Failed(run) => failed.push(*run),
        Message::Begins { strategy, number, count } => begun.push((strategy, number, count)),
        Message::Notes(so_far) => notes = so_far,
        Message::Plot(_, page) => plots += usize::from(!page.is_empty()),
        Message::End(word) => end = Some(*word),
        Message::Shape(_) | Message::Imports(_) => panic!("a shape"),
    };
    let ended = world.workers.run(work, Some(&world.bars), limits, &|| false, &mut sink).unwrap();
    Came { runs, failed, begun, notes, plots, reads, needs, end, ended }
}

fn run(world: &World, text: &str) -> Came {
    came(world, &Work::Run(Box::new(request(text))), &RunLimits::default())
}

#[test]
fn a_module_runs_on_the_data_set_and_takes_parameters() {
    let Some(world) = World::ready() else { return };
    let first = run(&world, CROSS);
    let good = first.good();
    assert!(!good.trades.is_empty() && good.bars.is_none() && good.equity.len() == world.rows());
    assert_eq!(good.stats["# Trades"], good.trades.len());
    assert_eq!(good.strategy, "Cross");
    let mut with = request(CROSS);
    with.params.insert("fast".into(), ParamValue::Int(5));
    with.account = ScriptAccount { cash: Some(50_000.0), ..ScriptAccount::default() };
    let other = came(&world, &Work::Run(Box::new(with)), &RunLimits::default());
    assert_ne!(other.good().trades, good.trades);
    assert_eq!((&other.good().params["fast"], &other.good().account["cash"]), (&5.into(), &50_000.0.into()));
    // Equal work gives equal numbers, in whatever worker.
    assert_eq!(run(&world, CROSS).good().equity, good.equity);
}

#[test]
fn a_whole_script_runs_as_it_is() {
    let Some(world) = World::ready() else { return };
    let script = format!(
        "import pandas as pd\nfrom backtesting import Backtest\n{CROSS}\n\
         data = pd.read_csv('/Users/somebody/BTC-USD-15m.csv', parse_dates=['datetime'], index_col='datetime')\n\
         data.columns = [c.strip().capitalize() for c in data.columns]\n\
         if __name__ == '__main__':\n\
         \x20   bt = Backtest(data, Cross, cash=1_000_000, commission=.002)\n\
         \x20   stats = bt.run()\n    print(stats['# Trades'], 'trades')\n    bt.run(fast=4)\n    bt.plot()\n\
         \x20   bt.optimize(fast=[3, 4, 5], maximize='Return [%]')\n"
    );
    let all = run(&world, &script);
    let good = all.good();
    assert!(good.bars.is_none(), "exactly the data set's bars");
    assert_eq!(all.runs.len(), 3);
    assert_eq!(all.runs[1].params["fast"], 4);
    assert_eq!([0, 1, 2].map(|k| all.runs[k].tried), [None, None, Some(3)]);
    assert_eq!(all.plots, 0);
    let notes = &all.end.as_ref().unwrap().notes;
    assert!(notes.iter().any(|n| n.contains("no such file beside the script; answered with")), "{notes:?}");
    assert_eq!(all.ended.log.stdout.lines().next(), Some(format!("{} trades", good.trades.len()).as_str()));
    let mut plots = request(&script);
    plots.plots = true;
    assert_eq!(came(&world, &Work::Run(Box::new(plots)), &RunLimits::default()).plots, 1);
    // Its own frame comes along when it is another.
    let half = script.replace("if __name__", "data = data.iloc[100:]\nif __name__");
    let bars = run(&world, &half).runs[0].bars.clone().expect("its own bars");
    assert_eq!((bars.close.len(), bars.time.len()), (world.rows() - 100, world.rows() - 100));
}

#[test]
fn the_data_set_is_read_as_pandas_reads_the_file() {
    let Some(world) = World::ready() else { return };
    let script = r#"
import pandas as pd, io, tide_data
from pandas.testing import assert_frame_equal
text = open("own.csv", "w"); text.write(TEXT); text.close()
for options in [{}, {"index_col": 0}, {"parse_dates": True}, {"index_col": 0, "parse_dates": True},
                {"parse_dates": ["datetime"]}, {"parse_dates": [0], "index_col": "datetime"}, {"header": 0},
                {"index_col": "datetime", "parse_dates": ["datetime"]}, {"usecols": [0, 4]}, {"nrows": 7},
                {"names": list("abcdefg"), "skiprows": 1}, {"index_col": 0, "parse_dates": [0], "dtype": str}]:
    assert_frame_equal(pd.read_csv("nowhere.csv", **options), tide_data.read_csv("own.csv", **options), check_freq=True)
assert len(pd.read_csv("own.csv")) == len(pd.read_csv("nowhere.csv"))
frame = pd.read_csv("nowhere.csv")
frame.iloc[0, 1] = -1
assert pd.read_csv("nowhere.csv").iloc[0, 1] != -1
print("ALL EQUAL")
"#;
    let script = format!("TEXT = {:?}\n{script}", world.csv);
    let all = run(&world, &script);
    assert!(all.ended.log.stdout.contains("ALL EQUAL"), "{:?}", all.end);
    assert_eq!(all.fault().kind, "NothingRan");
}

#[test]
fn a_script_that_writes_into_its_bars_changes_its_own_alone() {
    let Some(world) = World::ready() else { return };
    let script = format!(
        "{CROSS}\nclass Writes(Cross):\n    def init(self):\n        super().init()\n\
         \x20       self.data.df.iloc[:, 0] = 5.0\n\
         class Reads(Cross):\n    pass\n"
    );
    let all = run(&world, &script);
    all.good();
    let strategies: Vec<&str> = all.runs.iter().map(|run| run.strategy.as_str()).collect();
    assert_eq!(strategies, ["Writes", "Reads"]);
    let changed = all.runs[0].bars.as_ref().expect("bars of its own");
    assert!(changed.open.iter().all(|price| *price == 5.0));
    assert!(all.runs[1].bars.is_none(), "the data set's bars");
    // The next script's, too: it is another process of the same server.
    assert!(run(&world, CROSS).good().bars.is_none());
}

#[test]
fn a_file_that_pandas_cannot_read_fails_the_script_that_reads_it() {
    let Some(world) = World::ready() else { return };
    let mut bars = OwnedBars::default();
    (0..50).for_each(|i| bars.push(i * 60_000, 1.0, 2.0, 0.5, 1.5, 1.0));
    let bad = BarsImage::new("bad", arrow(&bars), Some(b"a,b\n1,2\n1,2,3,4\n")).unwrap();
    let mut faults = Vec::new();
    let script = request("import pandas as pd\npd.read_csv('nowhere.csv')\n");
    let mut sink = |message| {
        if let Message::End(end) = message {
            faults.extend(end.fault);
        }
    };
    let work = Work::Run(Box::new(script));
    let ended = world.workers.run(&work, Some(&bad), &RunLimits::default(), &|| false, &mut sink).unwrap();
    assert_eq!((ended.finish, faults[0].kind.as_str()), (Finish::Code(0), "ParserError"));
    assert_eq!(faults[0].line, Some(2));
    // Where nothing is read, the bars alone count.
    let ended = world.workers.run(
        &Work::Run(Box::new(request(CROSS))),
        Some(&bad),
        &RunLimits::default(),
        &|| false,
        &mut |message| assert!(matches!(message, Message::Run(_) | Message::Notes(_) | Message::End(_))),
    );
    assert_eq!(ended.unwrap().finish, Finish::Code(0));
}

#[test]
fn known_errors_have_hints_and_places() {
    let Some(world) = World::ready() else { return };
    let next = |line: &str| CROSS.replace("self.buy()", line);
    let cases = [
        (next("self.buy(size=1.5)"), "fractional-size", "AssertionError"),
        (next("self.buy(sl=self.data.Close[-1] * 2)"), "stop-on-wrong-side", "ValueError"),
        (next("self.quick.shift(1)"), "no-such-attribute", "AttributeError"),
        (next("self.position.entry_price"), "no-such-attribute", "AttributeError"),
        (next("self.data.Wolume[-1]"), "column-missing", "AttributeError"),
        (CROSS.replace("x.rolling(n).mean()", "x.rolling(n).mean()[3:]"), "indicator-shape", "ValueError"),
        (CROSS.replace("class", "import no_such_thing\nclass"), "no-module", "ModuleNotFoundError"),
        (CROSS.replace("class", "import numpy as np\nnp.meen\nclass"), "no-such-function", "AttributeError"),
        (CROSS.replace("self.buy()", "self.buy("), "cut-off", "SyntaxError"),
    ];
    for (script, code, kind) in cases {
        let all = run(&world, &script);
        let fault = all.fault();
        assert_eq!((all.hint().as_str(), fault.kind.as_str()), (code, kind), "{fault:?}");
        let line = fault.line.unwrap_or_else(|| panic!("{code}: no line: {fault:?}"));
        assert!(fault.context.iter().any(|(n, _)| *n == line), "{fault:?}");
        assert!(all.runs.is_empty());
    }
    let poor = run(&world, &CROSS.replace("self.buy()", "pass"));
    assert!(poor.good().no_trade.as_ref().is_some_and(|why| why.contains("never true")), "{:?}", poor.runs);
    let mut cash = request(CROSS);
    cash.account.cash = Some(1.0);
    let why = came(&world, &Work::Run(Box::new(cash)), &RunLimits::default()).good().no_trade.clone();
    assert!(why.as_ref().is_some_and(|why| why.contains("units are whole")), "{why:?}");
}

#[test]
fn shapes_are_read_without_running_anything() {
    let Some(world) = World::ready() else { return };
    let scripts = vec![
        ("a.py".to_owned(), CROSS.to_owned()),
        ("b.py".to_owned(), format!("```python\n{CROSS}\nBacktest(data, Cross).run()\n```\n")),
        ("c.py".to_owned(), "def x(:\n".to_owned()),
        ("d.py".to_owned(), "open('/tmp/x', 'w'); raise SystemExit(3)\n".to_owned()),
    ];
    let mut shapes: Vec<Result<Shape, Box<Fault>>> = Vec::new();
    let mut sink = |message| {
        if let Message::Shape(shape) = message {
            shapes.push(shape);
        }
    };
    world.workers.run(&Work::Check(scripts), None, &RunLimits::default(), &|| false, &mut sink).unwrap();
    let a = shapes[0].as_ref().unwrap();
    assert!(!a.whole && a.strategies == ["Cross"] && a.params["fast"] == ParamValue::Int(10));
    let b = shapes[1].as_ref().unwrap();
    assert!(b.whole && b.fenced);
    assert_eq!(shapes[2].as_ref().unwrap_err().line, Some(1));
    let nothing = shapes[3].as_ref().unwrap_err();
    assert_eq!(nothing.hint.as_ref().map(|hint| hint.code.as_str()), Some("nothing-ran"));
}

#[test]
fn time_output_and_early_ends_are_told() {
    let Some(world) = World::ready() else { return };
    let within = |text: &str, ms| {
        let limits = RunLimits::within(Duration::from_millis(ms));
        came(&world, &Work::Run(Box::new(request(text))), &limits)
    };
    assert_eq!(within("while True: pass", 300).ended.finish, Finish::TimedOut);
    let left = within("import os, sys\nprint('so far', flush=True)\nos._exit(7)", 20_000);
    assert_eq!((left.ended.finish, left.ended.fault().output), (Finish::Code(7), vec!["so far".to_owned()]));
    let crash = within("import ctypes\nctypes.string_at(1)", 20_000);
    assert_eq!(crash.ended.finish, Finish::Signal(11));
    let loud = within("for i in range(100000): print('line', i)", 20_000);
    assert!(loud.ended.log.stdout.ends_with("line 99999\n") && loud.ended.log.stdout.len() < 70_000);
    // And the worker is as good as before.
    run(&world, CROSS).good();
    let asked = world.workers.run(
        &Work::Run(Box::new(request("import time\ntime.sleep(100)"))),
        None,
        &RunLimits::default(),
        &|| true,
        &mut |_| {},
    );
    assert_eq!(asked.unwrap().finish, Finish::Stopped);
}

/// A worker of a pool that waits for its script is no stall, and shows what it waits for.
#[test]
fn whoever_waits_for_a_script_says_so_and_is_no_stall() {
    let Some(world) = World::ready() else { return };
    let world = Arc::new(world);
    let seen = Observatory::new("a test");
    let config = WatchdogConfig { threshold: Duration::from_millis(100), stacks: false };
    let _watchdog = Watchdog::start(config, &seen).unwrap();
    let pool = Pool::new(PoolConfig { workers: 1, name: "cpu".into(), ..PoolConfig::default() }).unwrap();
    let group = pool.group(GroupOptions::default());
    let inner = Arc::clone(&world);
    group.spawn("slow on X", move |_| {
        let script = format!("import time\ntime.sleep(1)\n{CROSS}");
        came(&inner, &Work::Run(Box::new(request(&script))), &RunLimits::default()).good().trades.len()
    });
    let mut results = group.results();
    let over = AtomicBool::new(false);
    let (told, stalls) = std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut told = false;
            while !over.load(Ordering::Relaxed) {
                let tree = seen.tasks();
                told |= tree.contains(", waiting for child ") && tree.contains(" of run ");
                std::thread::sleep(Duration::from_millis(5));
            }
            (told, seen.stalls())
        });
        let ended = results.next();
        over.store(true, Ordering::Relaxed);
        assert!(matches!(ended, Some((_, Outcome::Done(trades))) if trades > 0), "{ended:?}");
        looks.join().unwrap()
    });
    assert_eq!(stalls, []);
    assert!(told, "nobody said what the worker waits for");
}

#[test]
fn workers_tell_of_their_health() {
    let Some(world) = World::ready() else { return };
    let health = || world.health.components().remove(0);
    assert!(health().condition == Condition::Starting && !world.health.is_ready());
    run(&world, CROSS).good();
    assert_eq!(health().condition, Condition::Ok);
    // The server itself ends, which no script can do to it.
    let mut below = vec![std::process::id()];
    let mut at = 0;
    while at < below.len() {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", below[at])).into_iter().flatten().flatten();
        for task in tasks {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            below.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        at += 1;
    }
    // Whatever is called Python below this process, with all of its tree.
    for pid in below.iter().skip(1) {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains("module.serve(config)") {
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(*pid as i32).unwrap(),
                rustix::process::Signal::KILL,
            )
            .unwrap();
        }
    }
    let work = Work::Run(Box::new(request(CROSS)));
    let lost = world.workers.run(&work, Some(&world.bars), &RunLimits::default(), &|| false, &mut |_| {});
    assert!(lost.as_ref().map_or(true, |ended| ended.lost.is_some()), "{lost:?}");
    let seen = health();
    assert_eq!(seen.condition, Condition::Failed, "{seen:?}");
    assert!(seen.error.as_ref().is_some_and(|e| e.contains("a worker was lost")), "{seen:?}");
    run(&world, CROSS).good();
    assert!(health().condition == Condition::Ok && world.health.is_ready());
}
