//! Scripts with files and modules of their own beside them.

use crate::world::{CROSS, folder, lines, python, text, tide};
use serde_json::Value;
use std::path::Path;

const DATA: [&str; 3] = ["--data", "X-USD_15m.csv", "--json"];
/// Bars of its own, from a file that is named while it runs.
const MADE: &str = "
import os
def bars(path, **options):
    frame = pd.read_csv(path, parse_dates=['datetime'], index_col='datetime', **options)
    return frame.rename(columns=str.capitalize)
for name in ['one', 'two']:
    Backtest(bars(os.path.join(os.path.dirname(__file__), 'sub', name + '.csv')), Cross, cash=50_000).run()
";

/// Half of the bars and a third, as files of the script.
fn own_bars(folder: &Path) {
    let all = std::fs::read_to_string(folder.join("X-USD_15m.csv")).expect("bars");
    std::fs::create_dir_all(folder.join("sub")).expect("a folder");
    for (name, rows) in [("one", 300), ("two", 200)] {
        let part: String = all.split_inclusive('\n').take(rows + 1).collect();
        std::fs::write(folder.join("sub").join(name).with_extension("csv"), part).expect("writes");
    }
}

fn backtest<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["backtest"], args, &DATA].concat()
}

fn id(run: &Value) -> &str {
    run["run"].as_str().expect("an id")
}

#[test]
fn files_that_are_named_at_run_time_are_read_and_gone_ones_missed() {
    let Some(python) = python() else { return };
    let folder = folder(&[("made.py", &format!("{CROSS}{MADE}"))]);
    own_bars(folder.path());
    let run = |args: &[&str]| tide(folder.path(), &python, args);
    let first = run(&backtest(&["made.py"]));
    let mut all = lines(&first);
    all.sort_by_key(|run| run["python"]["number"].as_u64());
    assert_eq!(all.len(), 2, "{}", text(&first.stderr));
    for (run, bars) in all.iter().zip([300, 200]) {
        assert_eq!(
            (&run["status"], &run["bars"], &run["python"]["bars"]),
            (&"ok".into(), &bars.into(), &"own".into())
        );
        assert!(run["python"]["files"]["sub/one.csv"].is_string(), "{run}");
        assert!(!run["python"]["notes"].to_string().contains("no such file"), "{run}");
    }
    let reused = |args: &[&str]| lines(&run(&[&backtest(args)[..], &["--resume"]].concat()));
    assert!(reused(&["made.py"]).iter().all(|run| run["reused"] == true));
    let rerun = run(&["rerun", id(&all[0])]);
    assert!(rerun.status.success() && text(&rerun.stdout).contains("equal"), "{}", text(&rerun.stderr));

    let two = folder.path().join("sub/two.csv");
    let kept = std::fs::read_to_string(&two).expect("reads");
    std::fs::write(&two, kept.lines().take(150).collect::<Vec<_>>().join("\n")).expect("writes");
    let changed = reused(&["made.py"]);
    assert!(
        changed.len() == 2 && changed.iter().all(|run| run["reused"] == false),
        "the file is part of the run"
    );
    std::fs::remove_file(&two).expect("removed");
    let rerun = run(&["rerun", id(&all[0])]);
    let told = text(&rerun.stderr);
    assert!(
        !rerun.status.success() && told.contains("sub/two.csv: the run read this file, which is gone"),
        "{told}"
    );
    std::fs::write(&two, kept).expect("writes");
    assert!(run(&["rerun", id(&all[0]), id(&all[1])]).status.success());
}

#[test]
fn packed_files_other_encodings_and_long_files_concern_only_who_reads_them() {
    let Some(python) = python() else { return };
    let whole = |read: &str| {
        format!(
            "{CROSS}{}Backtest({read}, Cross, cash=50_000).run()\n",
            MADE.split("for name").next().expect("bars")
        )
    };
    let folder = folder(&[
        ("gz.py", &whole("bars('one.csv.gz')")),
        ("latin.py", &whole("bars('latin.csv', encoding='latin-1', comment='#')")),
        ("big.py", &whole("bars('big.csv')")),
        ("aside.py", &format!("{CROSS}# pd.read_csv\nNAME = 'big.csv'\n")),
    ]);
    own_bars(folder.path());
    let pack =
        "import gzip, shutil; shutil.copyfileobj(open('sub/one.csv', 'rb'), gzip.open('one.csv.gz', 'wb'))";
    let packed = std::process::Command::new(&python).args(["-c", pack]).current_dir(folder.path()).status();
    assert!(packed.expect("python").success());
    let mut latin = b"# \xe9\n".to_vec();
    latin.extend(std::fs::read(folder.path().join("sub/two.csv")).expect("reads"));
    std::fs::write(folder.path().join("latin.csv"), latin).expect("writes");
    std::fs::File::create(folder.path().join("big.csv")).expect("a file").set_len(65 << 20).expect("length");
    let all = lines(&tide(folder.path(), &python, &backtest(&["gz.py", "latin.py", "big.py", "aside.py"])));
    let of = |name: &str| all.iter().find(|run| run["strategy"] == name).expect("a run");
    assert_eq!((&of("gz")["bars"], &of("latin")["bars"]), (&300.into(), &200.into()), "{all:?}");
    let fault = &of("big")["python"]["fault"];
    let message = fault["message"].as_str().expect("a message");
    assert!(
        fault["type"] == "NotGiven" && message.contains("67108864") && message.contains("--data"),
        "{fault}"
    );
    let aside = of("aside");
    assert!(
        aside["status"] == "ok" && aside["python"]["notes"].to_string().contains("`big.csv` beside"),
        "{aside}"
    );
}

#[test]
fn modules_beside_a_script_come_along() {
    let Some(python) = python() else { return };
    let script = format!("from helpers import length\n{CROSS}").replace("fast = 5", "fast = length()");
    let helpers = "from lib.numbers import five\ndef length():\n    return five\n";
    let folder = folder(&[
        ("s.py", &script),
        ("helpers.py", helpers),
        ("lib/__init__.py", ""),
        ("lib/numbers.py", "five = 5\n"),
        ("wrong.py", &format!("import amiss\n{CROSS}")),
        ("amiss.py", "def f(:\n"),
        ("lacks.py", &format!("import nowhere_at_all\n{CROSS}")),
    ]);
    let run = |args: &[&str]| tide(folder.path(), &python, args);
    let check = run(&["check", "s.py"]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    let first = run(&backtest(&["s.py"]));
    let all = lines(&first);
    assert!(all.len() == 1 && all[0]["status"] == "ok", "{}", text(&first.stderr));
    let files: Vec<&String> = all[0]["python"]["files"].as_object().expect("files").keys().collect();
    assert_eq!(files, ["helpers.py", "lib/__init__.py", "lib/numbers.py"]);
    assert!(run(&["rerun", id(&all[0])]).status.success());
    std::fs::write(folder.path().join("lib/numbers.py"), "five = 6\n").expect("writes");
    let changed = lines(&run(&[&backtest(&["s.py"])[..], &["--resume"]].concat()));
    assert!(changed[0]["reused"] == false && changed[0]["run"] != all[0]["run"]);
    let rerun = text(&run(&["rerun", id(&all[0])]).stderr);
    assert!(rerun.contains("lib/numbers.py: the run read this file, which has changed since"), "{rerun}");

    let check = run(&["check", "wrong.py"]);
    assert!(text(&check.stdout).contains("`amiss.py` beside the script: line 1"), "{}", text(&check.stdout));
    let failed = lines(&run(&backtest(&["wrong.py", "lacks.py"])));
    let of = |name: &str| failed.iter().find(|run| run["strategy"] == name).expect("a run");
    assert_eq!(of("wrong")["python"]["fault"]["type"], "SyntaxError");
    let hint = of("lacks")["python"]["fault"]["hint"]["text"].as_str().expect("a hint");
    assert!(hint.contains("nor a file beside the script"), "{hint}");
}
