//! What is told of a run: its parameters, its account, its failures, and how it is repeated.

use crate::world::{CROSS, WHOLE, folder, lines, package, program, python, text, tide, with_package};
use serde_json::{Value, json};
use std::{path::Path, process::Output};

const DATA: [&str; 2] = ["--data", "X-USD_15m.csv"];

fn backtest<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["backtest"], args, &DATA].concat()
}

fn id(run: &Value) -> &str {
    run["run"].as_str().expect("an id")
}

fn all_equal(rerun: &Output, runs: usize) {
    let told = text(&rerun.stdout);
    assert!(rerun.status.success(), "{told}{}", text(&rerun.stderr));
    assert_eq!(told.matches(": equal").count(), runs, "{told}");
}

#[test]
fn parameters_stand_where_those_of_other_runs_do() {
    let Some(python) = python() else { return };
    let best = "    bt.optimize(fast=[4, 6], maximize='Return [%]')\n";
    let folder = folder(&[("whole.py", &format!("{CROSS}{WHOLE}{best}"))]);
    let run = |args: &[&str]| tide(folder.path(), &python, args);
    let mut all = lines(&run(&backtest(&["whole.py", "--json"])));
    all.sort_by_key(|run| run["python"]["number"].as_u64());
    let [plain, called, best] = &all[..] else { panic!("three runs: {all:?}") };
    assert_eq!((&plain["params"], &called["params"]), (&json!({}), &json!({ "fast": 7 })));
    let fast = best["params"]["fast"].as_i64().expect("the best one");
    assert!([4, 6].contains(&fast) && best["params"] == best["python"]["params"]);
    let closing = run(&backtest(&["whole.py"]));
    let board = run(&["board"]);
    for (table, name) in [(&closing, "closing table"), (&board, "board")] {
        let table = text(&table.stdout);
        assert!(table.contains("fast=7") && table.contains(&format!("fast={fast}")), "{name}: {table}");
    }
    assert!(text(&run(&["show", id(called)]).stdout).contains("inputs  fast=7"));
    let filtered = lines(&run(&["board", "--where", "fast = 7", "--json"]));
    assert_eq!((filtered.len(), id(&filtered[0])), (1, id(called)));
    all_equal(&run(&["rerun", id(plain), id(called), id(best)]), 3);
}

#[test]
fn of_several_strategies_each_is_named_and_has_its_own_inputs() {
    let Some(python) = python() else { return };
    let two = format!(
        "{CROSS}\nclass Other(Strategy):\n    def init(self): pass\n    def next(self):\n        \
                       if not self.position: self.buy()\n"
    );
    let folder = folder(&[("two.py", &two), ("cross.py", CROSS)]);
    let run = |args: &[&str]| tide(folder.path(), &python, args);
    let all = lines(&run(&backtest(&["two.py", "cross.py", "--set", "fast=9", "--json"])));
    let of = |name: &str| {
        all.iter().find(|run| run["strategy"] == name).unwrap_or_else(|| panic!("{name}: {all:?}"))
    };
    for (name, params) in
        [("cross", json!({ "fast": 9 })), ("two.Cross", json!({ "fast": 9 })), ("two.Other", json!({}))]
    {
        assert_eq!(of(name)["params"], params, "{name}");
    }
    assert!(of("two.Other")["python"]["notes"].to_string().contains("has no attribute 'fast' to set"));
    all_equal(&run(&["rerun", id(of("cross")), id(of("two.Cross")), id(of("two.Other"))]), 3);
    let again = lines(&run(&backtest(&["two.py", "cross.py", "--set", "fast=9", "--json", "--resume"])));
    assert!(again.len() == 3 && again.iter().all(|run| run["reused"] == true), "{again:?}");
}

#[test]
fn a_run_is_told_once_and_in_words() {
    let Some(python) = python() else { return };
    let printed = "\nprint('said once')\n";
    let flat = CROSS.replace("self.buy(tag='up')", "pass");
    let pine = "//@version=5\nstrategy(\"P\", commission_type=strategy.commission.percent, commission_value=0.1)\n\
                if close > open\n    strategy.entry(\"L\", strategy.long)\n";
    let folder =
        folder(&[("whole.py", &format!("{CROSS}{printed}{WHOLE}")), ("flat.py", &flat), ("p.pine", pine)]);
    let run = |args: &[&str]| tide(folder.path(), &python, args);
    let all = lines(&run(&backtest(&["whole.py", "flat.py", "p.pine", "--json"])));
    let shown = |name: &str| {
        let run_of = all.iter().find(|run| run["strategy"] == name && run["params"] == json!({}));
        text(&run(&["show", id(run_of.expect("a run"))]).stdout)
    };
    let whole = shown("whole");
    assert!(whole.contains("cash 50,000  commission 0.1 %  margin 1"), "{whole}");
    assert_eq!(whole.matches("answered with X-USD 15").count(), 1, "{whole}");
    assert!(!whole.contains("log:") && !whole.contains("said once"), "{whole}");
    let stats = whole.split("As the library reports it\n").nth(1).expect("statistics");
    assert!(stats.starts_with("Start "), "in the library's order: {stats}");
    let flat = shown("flat");
    assert_eq!(flat.matches("equity 10,000.00 at every bar's close").count(), 1, "{flat}");
    assert!(!flat.contains('\u{28ff}') && !flat.contains("equity at bar closes"), "{flat}");
    let pine = shown("P");
    assert!(pine.contains("size 1 contract  commission 0.1 %  slippage 0 ticks"), "{pine}");
}

#[test]
fn a_failure_is_told_without_what_it_never_had() {
    let Some(python) = python() else { return };
    let bad = format!("print('begins')\n{}", CROSS.replace("self.buy(tag='up')", "self.buy(size=2.5)"));
    let folder = folder(&[("bad.py", &bad), ("cut.py", "class X(\n")]);
    let run = |args: &[&str]| tide(folder.path(), &python, args);
    let all = lines(&run(&backtest(&["bad.py", "cut.py", "--json"])));
    for (name, needed) in [("bad", "Last lines of output (--log shows all)"), ("cut", "X-USD 15, cut.py")] {
        let failed = id(all.iter().find(|run| run["strategy"] == name).expect("a run"));
        let out = run(&["show", failed]);
        let (told, notes) = (text(&out.stdout), text(&out.stderr));
        assert!(out.status.success() && told.contains(needed), "{told}{notes}");
        assert_eq!(told.matches("Error: ").count(), 1, "{told}");
        for absent in ["--printed", "rules", " 0 bars", "Percent(", "Ticks(", "Fixed", "commission"] {
            assert!(!told.contains(absent), "{name}, {absent}: {told}");
        }
        assert!(!notes.contains("tide export"), "{notes}");
        let export = run(&["export", failed, "--format", "html"]);
        let told = text(&export.stderr);
        assert!(export.status.code() == Some(2) && told.contains("has nothing to export"), "{told}");
    }
}

/// The interpreter is known by nothing but `--python`.
#[test]
fn runs_of_another_interpreter_are_shown_repeated_and_exported_with_it() {
    let Some(python) = python() else { return };
    let folder = folder(&[("cross.py", CROSS)]);
    let named = python.to_str().expect("a path");
    let run = |args: &[&str]| {
        let mut tide = program(folder.path(), &python, args);
        tide.env_remove("TIDE_PYTHON").env_remove("VIRTUAL_ENV").env_remove("XDG_DATA_HOME");
        tide.env("PATH", "/nowhere").env("HOME", folder.path()).output().expect("tide runs")
    };
    let all = lines(&run(&[&backtest(&["cross.py", "--json"])[..], &["--python", named]].concat()));
    let made = id(&all[0]);
    let interpreter = &all[0]["python"]["interpreter"];
    let path = interpreter["path"].as_str().expect("a path");
    assert!(
        interpreter["version"].as_str().is_some_and(|v| v.starts_with("3.")) && Path::new(path).is_file()
    );
    let (shown, rerun) = (run(&["show", made]), run(&["rerun", made]));
    let export = run(&["export", made, "--format", "csv", "-o", "-"]);
    assert_eq!((rerun.status.code(), export.status.code()), (Some(2), Some(2)));
    for told in [text(&shown.stdout), text(&rerun.stderr), text(&export.stderr)] {
        assert!(told.contains(&format!("--python {path} takes that one")), "{told}");
    }
    let with = |args: &[&str]| run(&[args, &["--python", path]].concat());
    assert!(text(&with(&["show", made]).stdout).contains(" trades\n"));
    all_equal(&with(&["rerun", made]), 1);
    assert!(text(&with(&["export", made, "--format", "csv", "-o", "-"]).stdout).contains(",up,"));
}

#[test]
fn pages_of_plots_are_the_original_librarys() {
    let Some(python) = python() else { return };
    let script = format!("{CROSS}{WHOLE}    bt.plot()\n");
    let folder = folder(&[("whole.py", &script)]);
    let pages = folder.path().join("pages");
    let plots = backtest(&["whole.py", "--json", "--plots", "pages"]);
    let original = [&plots[..], &["--python-engine", "original"]].concat();
    let out = tide(folder.path(), &python, &original);
    let all = lines(&out);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(all.iter().all(|run| run["python"]["engine"] == "original"));
    assert!(all[0]["python"]["environment"].as_str().is_some_and(|e| e.starts_with("backtesting 0.")));
    let kept: Vec<_> = std::fs::read_dir(&pages).expect("a folder").flatten().map(|e| e.path()).collect();
    let [page] = &kept[..] else { panic!("one page: {kept:?}") };
    let drawn = all.iter().find(|run| run["python"]["number"] == 1).expect("the second");
    assert!(id(drawn).starts_with(page.file_stem().and_then(|s| s.to_str()).expect("a name")));
    assert!(std::fs::read_to_string(page).expect("a page").contains("bokeh"));
    let shown = text(&tide(folder.path(), &python, &["show", id(drawn)]).stdout);
    assert!(
        shown.contains("plot(): the page is pages/") && !shown.contains("plot() wrote nothing"),
        "{shown}"
    );
    std::fs::remove_dir_all(&pages).expect("removed");

    let help = text(&tide(folder.path(), &python, &["backtest", "--help"]).stdout);
    let said = help.split("--plots").nth(1).expect("the option").split("--").nth(1).unwrap_or_default();
    assert!(said.starts_with("python-engine original"), "{said}");
    let Some(package) = package(folder.path()) else { return };
    let refused = with_package(folder.path(), &python, &package, &plots);
    let told = text(&refused.stderr);
    assert!(refused.status.code() == Some(2) && told.contains("--python-engine original"), "{told}");
    assert!(!pages.exists(), "no empty folder");
}

#[test]
fn two_engines_are_compared_and_the_first_difference_is_named() {
    let Some(python) = python() else { return };
    let differs = CROSS.replace("import pandas as pd", "import backtesting\nimport pandas as pd");
    let differs = differs
        .replace("self.buy(tag='up')", "self.buy(size=1 if '/package/' in backtesting.__file__ else 2)");
    let folder = folder(&[("cross.py", CROSS), ("differs.py", &differs)]);
    let Some(package) = package(folder.path()) else { return };
    let run = |args: &[&str]| with_package(folder.path(), &python, &package, args);
    let same = run(&backtest(&["cross.py", "--verify-engine", "--json"]));
    assert_eq!(same.status.code(), Some(0), "{}", text(&same.stderr));
    assert!(text(&same.stderr).contains("engines: 0 of 1 scripts differ"), "{}", text(&same.stderr));
    let notes = lines(&same)[0]["python"]["notes"].to_string();
    assert!(notes.contains("rust and original agree: 1 runs, "), "{notes}");
    let other = run(&backtest(&["differs.py", "--verify-engine"]));
    let told = text(&other.stderr);
    assert_eq!(other.status.code(), Some(4), "{told}");
    assert!(told.contains("differs from original: run 1: trade 1 of "), "{told}");
    assert!(told.contains("(long, from bar ") && told.contains("): size 1 here, 2 there"), "{told}");
    assert!(!told.contains("ScriptTrade") && told.contains("engines: 1 of 1 scripts differ"), "{told}");
}

/// Every field of `python` in a run's JSON is described, and none that is not there.
#[test]
fn the_documents_describe_the_record() {
    let Some(python) = python() else { return };
    let folder = folder(&[("cross.py", CROSS)]);
    let all = lines(&tide(folder.path(), &python, &backtest(&["cross.py", "--json"])));
    let fields = |text: &str| -> Vec<String> {
        let rows =
            text.lines().skip_while(|line| !line.starts_with("| ")).take_while(|line| line.starts_with('|'));
        let names = rows
            .skip(2)
            .filter_map(|row| row.split('|').nth(1))
            .flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    };
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md"));
    let page = page.expect("the page");
    let section = page.split("## The `python` of a run").nth(1).expect("the section");
    for (text, object) in [(page.as_str(), &all[0]), (section, &all[0]["python"])] {
        let own: Vec<String> = object.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(fields(text), own);
    }
}
