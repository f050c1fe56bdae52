//! Runs that fail, scripts that go on or end by it, and what is said of runs that came to nothing.

use crate::{
    came, run,
    world::{CROSS, World, request},
};
use springtide_python::{Finish, Message, RunLimits, Shape, Work};
use std::time::Duration;

/// A whole script of one strategy, ended by these lines.
fn whole(next: &str, end: &str) -> String {
    format!(
        "import sys, pandas as pd\nfrom backtesting import Backtest, Strategy\n\
         data = pd.read_csv('nowhere.csv', parse_dates=['datetime'], index_col='datetime')\n\
         data.columns = [c.strip().capitalize() for c in data.columns]\n\
         class S(Strategy):\n    def init(self): pass\n    def next(self):\n        {next}\n\
         bt = Backtest(data, S, cash=1_000_000)\n{end}\n"
    )
}

#[test]
fn a_strategy_that_fails_keeps_no_other_from_its_turn() {
    let Some(world) = World::ready() else { return };
    let bad = "class Bad(Cross):\n    def next(self): self.buy(size=2.5)\n";
    let good = "class Good(Cross):\n    pass\n";
    for (classes, begun) in [([bad, good], ["Bad", "Good"]), ([good, bad], ["Good", "Bad"])] {
        let script = format!("{CROSS}\n{}", classes.concat());
        let all = run(&world, &script);
        assert_eq!(all.end.as_ref().and_then(|end| end.fault.clone()), None);
        assert_eq!((all.runs.len(), all.runs[0].strategy.as_str()), (1, "Good"));
        assert_eq!((all.failed.len(), all.failed[0].strategy.as_str()), (1, "Bad"));
        let line = all.failed[0].fault.line.expect("a line") as usize;
        assert!(script.lines().nth(line - 1).expect("its text").contains("size=2.5"));
        let told: Vec<(&str, usize, usize)> =
            all.begun.iter().map(|(s, k, n)| (s.as_str(), *k, *n)).collect();
        assert_eq!(told, [(begun[0], 0, 2), (begun[1], 1, 2)]);
        // The rest of a module whose first strategy had a process of its own.
        let mut rest = request(&script);
        rest.skip = 1;
        let rest = came(&world, &Work::Run(Box::new(rest)), &RunLimits::default());
        assert_eq!((rest.runs.len() + rest.failed.len(), rest.begun[0].0.as_str()), (1, begun[1]));
    }
}

#[test]
fn the_error_of_a_run_is_told_whatever_the_script_makes_of_it() {
    let Some(world) = World::ready() else { return };
    let within = |end: &str| run(&world, &whole("self.buy(size=2.5)", end));
    for (end, again, outer) in [
        ("bt.run()", true, 0),
        ("try: bt.run()\nexcept Exception as e: raise RuntimeError('it broke') from e", true, 1),
        ("try: bt.run()\nexcept Exception as e: print(e)", false, 0),
        ("try: bt.run()\nexcept Exception: sys.exit(1)", false, 0),
    ] {
        let all = within(end);
        let word = all.end.as_ref().expect("an end");
        assert_eq!((all.failed.len(), word.again, word.fault.is_some()), (1, again, again), "{end}");
        for fault in word.fault.iter().chain([&all.failed[0].fault]) {
            assert_eq!((fault.kind.as_str(), fault.line), ("AssertionError", Some(8)), "{end}: {fault:?}");
            assert_eq!(fault.hint.as_ref().map(|hint| hint.code.as_str()), Some("fractional-size"));
        }
        assert_eq!(word.fault.as_ref().map_or(0, |fault| fault.within.len()), outer);
    }
    // An error that has nothing to do with it is one more.
    let other = within("try: bt.run()\nexcept Exception: pass\ndata.nothing");
    assert_eq!((other.failed.len(), other.fault().kind.as_str()), (1, "AttributeError"));
    assert!(!other.end.expect("an end").again);
    // One that comes of the arguments has no line of the strategy; it has the call's.
    let call = run(&world, &whole("pass", "try: bt.run(nothing=1)\nexcept Exception: pass"));
    assert_eq!((call.fault().kind.as_str(), call.fault().line), ("AttributeError", Some(10)));
}

#[test]
fn notes_come_as_they_arise() {
    let Some(world) = World::ready() else { return };
    let limits = RunLimits::within(Duration::from_secs(5));
    let endless = request(&whole("pass", "bt.run()\nbt.plot()\nwhile True: pass"));
    let all = came(&world, &Work::Run(Box::new(endless)), &limits);
    assert_eq!((all.ended.finish, all.runs.len(), all.end.is_none()), (Finish::TimedOut, 1, true));
    let [read, plot] = &all.notes[..] else { panic!("{:?}", all.notes) };
    assert!(
        read.contains("answered with X-USD 15") && plot.contains("plot() wrote nothing"),
        "{:?}",
        all.notes
    );
    let warned = run(&world, &whole("if len(self.data) == 9: self.buy(size=1)", "bt.run()"));
    let place = "script.py:10: UserWarning: Some trades remain open";
    assert!(warned.ended.log.stderr.contains(place), "{}", warned.ended.log.stderr);
}

#[test]
fn a_run_that_takes_too_much_memory_is_told_of() {
    let Some(world) = World::ready() else { return };
    let hog = whole(
        "pass",
        "bt.run()\nprint('first done', flush=True)\nimport numpy as np\nx = []\n\
         while True: x.append(np.ones(20_000_000))",
    );
    let own = run(&world, &hog);
    assert_eq!((own.runs.len(), own.hint().as_str(), own.fault().line), (1, "memory", Some(14)));
    assert_eq!(own.ended.log.stdout, "first done\n");
    // Without a limit of its own its worker is ended; what it has told by then is kept.
    let limits = RunLimits { address_space_bytes: 6 << 30, ..RunLimits::default() };
    let lost = came(&world, &Work::Run(Box::new(request(&hog))), &limits);
    let fault = lost.ended.fault();
    assert_eq!((lost.runs.len(), lost.ended.log.stdout.as_str()), (1, "first done\n"));
    assert_eq!(
        (fault.kind.as_str(), fault.hint.map(|hint| hint.code)),
        ("WorkerLost", Some("memory".into()))
    );
    assert_eq!(fault.message.trim(), fault.message);
    run(&world, CROSS).good();
}

#[test]
fn scripts_are_found_in_what_surrounds_them() {
    let Some(world) = World::ready() else { return };
    let plain = "import pandas\nBacktest(data, S)\n";
    let texts = [
        (format!("Here's the fixed version:\n\n```python\n{plain}"), true),
        (format!("Here's the fixed version:\n```python\n{plain}```\nIt works now.\n"), true),
        (format!("```\n{plain}"), true),
        (format!("{plain}```\nThis was the program.\n"), true),
        (format!("It begins:\n```\n{plain}```\n"), true),
        (plain.to_owned(), false),
    ];
    let scripts = texts.iter().map(|(text, _)| ("a.py".to_owned(), text.clone())).collect();
    let mut shapes: Vec<Shape> = Vec::new();
    let mut sink = |message| {
        if let Message::Shape(shape) = message {
            shapes.push(shape.unwrap_or_else(|fault| panic!("{fault:?}")));
        }
    };
    world.workers.run(&Work::Check(scripts), None, &RunLimits::default(), &|| false, &mut sink).unwrap();
    assert_eq!(shapes.len(), texts.len());
    for (shape, (text, fenced)) in shapes.iter().zip(&texts) {
        assert_eq!((shape.whole, shape.fenced), (true, *fenced), "{text}");
    }
    // The error of a program within is the program's, at its own line.
    let cut = run(&world, "Here you are:\n```python\nimport pandas\nx = (1,\n");
    assert_eq!((cut.hint().as_str(), cut.fault().line, cut.fault().column), ("cut-off", Some(4), Some(5)));
}

#[test]
fn what_pandas_takes_is_taken() {
    let Some(world) = World::ready() else { return };
    let script = "import inspect, io, pandas as pd\n\
                  one = pd.read_csv('nowhere.csv', index_col=0)\n\
                  other = pd.read_csv(filepath_or_buffer='nowhere.csv', index_col=0)\n\
                  assert one.equals(other)\n\
                  assert len(pd.read_csv(filepath_or_buffer=io.StringIO('a\\n1\\n'))) == 1\n\
                  assert 'usecols' in inspect.signature(pd.read_csv).parameters\n\
                  print('ALL EQUAL')\npd.read_csv('nowhere.csv', filepath_or_buffer='nowhere.csv')\n";
    let all = run(&world, script);
    assert_eq!(all.ended.log.stdout, "ALL EQUAL\n", "{:?}", all.end);
    assert_eq!((all.fault().kind.as_str(), all.fault().line), ("TypeError", Some(8)));
}

#[test]
fn runs_without_a_trade_say_why() {
    let Some(world) = World::ready() else { return };
    let mean = |n: usize, next: &str| {
        format!(
            "import pandas as pd\nfrom backtesting import Strategy\nclass S(Strategy):\n    def init(self):\n\
             \x20       self.m = self.I(lambda x: pd.Series(x).rolling({n}).mean(), self.data.Close, name='SLOW')\n\
             \x20   def next(self):\n        {next}\n"
        )
    };
    let cases = [
        (
            mean(5_000, "if self.m[-1] > 0: self.buy()"),
            "are longer than the data: SLOW has no value on any of the 2000",
        ),
        (mean(2_000, "self.buy()"), "next() was never called; the indicators are longer than the data: SLOW"),
        (mean(1_990, "pass"), "never true on the 10 of 2000 bars on which SLOW has a value"),
        (
            mean(5, "if len(self.data) % 100 == 9: self.buy(limit=1)"),
            "20 orders were placed and none was filled",
        ),
        (
            mean(5, "if len(self.data) % 100 == 9: self.buy(size=10**9)"),
            "20 were cancelled, as the account could not pay",
        ),
        (mean(5, "if len(self.data) == 9: self.buy(limit=1)"), "; 1 was waiting for a price at the end"),
    ];
    for (script, why) in cases {
        let all = run(&world, &script);
        let told = all.good().no_trade.clone();
        assert!(told.as_ref().is_some_and(|told| told.contains(why)), "{why}: {told:?}");
    }
}

#[test]
fn more_errors_have_hints() {
    let Some(world) = World::ready() else { return };
    for (script, code) in [
        (CROSS.replace("self.buy()", "self.buy(size=float('nan'))"), "size-not-a-number"),
        ("import os\nos.makedirs('/home/x/results')\n".into(), "read-only"),
        ("import pandas\npandas.DataFrame({'a': [1]}).to_csv('out/a.csv')\n".into(), "read-only"),
        (
            "import os, sys\nif not os.path.exists('/data/x.csv'):\n    print('no file')\n    sys.exit(1)\n"
                .into(),
            "file-missing",
        ),
    ] {
        assert_eq!(run(&world, &script).hint(), code, "{script}");
    }
    let left = whole("pass", "")
        .replace("class S", "import os\nif not os.path.exists('x.csv'): sys.exit()\nclass S");
    let fault = run(&world, &left).fault();
    assert!(fault.hint.is_some_and(|hint| hint.text.contains("take the check out")));
}
