//! The program as a person runs it.

#[path = "common/program.rs"]
mod program;

use program::{CROSS, bars, code, text, tide};
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

#[test]
fn the_demo_ends_with_a_report_and_the_next_command() {
    let folder = tempfile::tempdir().expect("folder");
    let out = tide(folder.path(), &["demo"]);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("SMA cross") && text(&out.stderr).contains("tide backtest"));
    let page = std::fs::read_to_string(folder.path().join("tide-demo/report.html")).expect("report");
    assert!(page.contains("application/json") && !page.contains("http://") && !page.contains("src="));
}

#[test]
fn json_lines_resume_and_partial_failure() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    bars(at, "X-USD_15m.csv");
    std::fs::write(at.join("cross.pine"), CROSS).expect("writes");
    let run = |extra: &[&str]| {
        let mut args =
            vec!["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--sweep", "Fast=2..9", "--json", "-q"];
        args.extend(extra);
        tide(at, &args)
    };
    let first = run(&[]);
    assert_eq!(code(&first), 0, "{}", text(&first.stderr));
    let lines: Vec<serde_json::Value> =
        text(&first.stdout).lines().map(|l| serde_json::from_str(l).expect("json")).collect();
    assert_eq!(lines.len(), 8);
    for line in &lines {
        assert_eq!((line["status"].as_str(), line["bars"].as_u64()), (Some("ok"), Some(600)));
        assert!(line["metrics"]["trades"].as_f64().is_some_and(|n| n > 0.0));
    }
    let again = run(&["--resume"]);
    assert!(text(&again.stdout).lines().all(|l| l.contains("\"reused\":true")), "nothing is repeated");

    let slip = tide(at, &["board", "--where", "sharp > 1"]);
    assert!(
        code(&slip) == 2 && text(&slip.stderr).contains("did you mean `sharpe`"),
        "{}",
        text(&slip.stderr)
    );
    let by_input = tide(at, &["board", "--where", "Fast <= 3", "--json"]);
    assert_eq!(text(&by_input.stdout).lines().count(), 2, "{}", text(&by_input.stderr));

    let id = lines[0]["run"].as_str().expect("id");
    let rerun = tide(at, &["rerun", id]);
    assert!(code(&rerun) == 0 && text(&rerun.stdout).contains("equal"), "{}", text(&rerun.stdout));
    let csv = tide(at, &["export", id, "--format", "csv", "-o", "-"]);
    assert!(text(&csv.stdout).starts_with("run,strategy,"));

    std::fs::write(at.join("broken.pine"), "//@version=5\nstrategy(\"B\")\nx = nowhere + 1\n")
        .expect("writes");
    let partly =
        tide(at, &["backtest", "cross.pine", "broken.pine", "--data", "X-USD_15m.csv", "-q", "--json"]);
    assert_eq!(code(&partly), 4, "{}", text(&partly.stderr));
    assert!(text(&partly.stdout).contains("\"failed\"") && text(&partly.stdout).contains("\"ok\""));
}

/// Into a pipe a table is as wide as it needs to be.
#[test]
fn equal_runs_are_counted_and_inputs_told_in_full() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    bars(at, "X-USD_15m.csv");
    let script = CROSS.replace("Fast", "The period of the average that follows the price closely");
    for name in ["one.pine", "copy.pine", "again.pine"] {
        std::fs::write(at.join(name), &script).expect("writes");
    }
    let sweep = "The period of the average that follows the price closely=2..3";
    let run = |extra: &[&str]| {
        let mut args = vec!["backtest", "one.pine", "copy.pine", "again.pine", "--data", "X-USD_15m.csv"];
        args.extend(["--sweep", sweep]);
        args.extend(extra);
        let out = tide(at, &args);
        assert_eq!(code(&out), 0, "{}", text(&out.stderr));
        (text(&out.stdout), text(&out.stderr))
    };
    let equal = "note: 4 runs are the same as another: equal script, data and settings\n";
    for extra in [&[][..], &["--resume"]] {
        let (table, told) = run(extra);
        assert!(told.contains(equal), "{told}");
        assert_eq!(table.lines().count(), 3, "{table}");
        for value in 2..4 {
            assert!(table.contains(&format!("follows the price closely={value} ")), "{table}");
        }
    }
    let (all, told) = run(&["--json"]);
    assert!(all.lines().count() == 6 && !told.contains("the same"), "{told}");
}

/// A script that asks for another market and for the shorter bars within its own.
#[test]
fn other_bars_are_found_named_and_part_of_the_run() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    bars(at, "X-USD_15m.csv");
    bars(at, "Y-USD_15m.csv");
    let script = "//@version=6\nstrategy(\"Asks\", use_bar_magnifier=true)\n\
                  y = request.security(\"Y-USD\", \"60\", ta.sma(close, 3))\n\
                  parts = request.security_lower_tf(syminfo.tickerid, \"15\", close)\n\
                  if parts.size() == 4 and close > y\n    strategy.entry(\"L\", strategy.long)\n    \
                  strategy.exit(\"X\", \"L\", limit=close * 1.02, stop=close * 0.98)\n";
    std::fs::write(at.join("asks.pine"), script).expect("writes");
    let run = |extra: &[&str]| {
        let mut args =
            vec!["backtest", "asks.pine", "--data", "X-USD_15m.csv", "--timeframe", "60", "--json", "-q"];
        args.extend(extra);
        let out = tide(at, &args);
        let line = text(&out.stdout).lines().next().map(str::to_owned).unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(&line).expect("a line")
    };
    let missing = run(&[]);
    let error = missing["error"].as_str().expect("an error");
    assert!(error.contains("Y-USD at 60") && error.contains("tide data import"), "{error}");
    assert_eq!(code(&tide(at, &["data", "import", "Y-USD_15m.csv"])), 0);
    let found = run(&[]);
    assert_eq!(found["status"], "ok", "{found}");
    assert!(found["metrics"]["trades"].as_f64().is_some_and(|n| n > 0.0), "{found}");
    let id = found["run"].as_str().expect("id").to_owned();
    let shown = text(&tide(at, &["show", &id, "--json"]).stdout);
    let setup = &serde_json::from_str::<serde_json::Value>(&shown).expect("json")["setup"]["others"];
    let others = setup.as_array().expect("a list");
    assert_eq!(others.len(), 2, "{setup}");
    assert!(others.iter().all(|o| o["hash"].as_str().is_some_and(|h| !h.is_empty())), "{setup}");
    let rerun = tide(at, &["rerun", &id]);
    assert!(code(&rerun) == 0 && text(&rerun.stdout).contains("equal"), "{}", text(&rerun.stdout));

    // Other bars make another run, and the recorded one cannot be repeated.
    let csv = std::fs::read_to_string(at.join("Y-USD_15m.csv")).expect("reads").replace("100.00,", "100.25,");
    std::fs::write(at.join("Y-USD_15m.csv"), csv).expect("writes");
    assert_eq!(code(&tide(at, &["data", "import", "Y-USD_15m.csv"])), 0);
    let other = run(&["--resume"]);
    assert!(other["status"] == "ok" && other["run"] != found["run"] && other["reused"] == false, "{other}");
    let rerun = tide(at, &["rerun", &id]);
    assert!(text(&rerun.stderr).contains("changed since"), "{}", text(&rerun.stderr));
}

#[test]
fn usage_errors_name_the_remedy() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    bars(at, "X-USD_15m.csv");
    std::fs::write(at.join("cross.pine"), CROSS).expect("writes");
    for (args, want) in [
        // First, while there is no ledger yet.
        (vec!["board"], "tide backtest"),
        (vec!["backtest", "nowhere/", "--data", "X-USD_15m.csv"], "no such file"),
        (vec!["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--set", "Fsat=3"], "\"Fast\""),
        (vec!["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--sweep", "Fast=2..12"], "takes 2 to 9"),
        (vec!["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--broker", "mt5"], "tradingview"),
        (vec!["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--commission", "1"], "/order"),
    ] {
        let out = tide(at, &args);
        assert_eq!(code(&out), 2, "{args:?}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains(want), "{args:?}: {}", text(&out.stderr));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_program_watches_its_own_children() {
    let folder = tempfile::tempdir().expect("folder");
    for case in ["sequential", "concurrent"] {
        let out = tide(folder.path(), &["bench", "process", "--case", case, "--scale", "0.1"]);
        assert_eq!(code(&out), 0, "{}", text(&out.stderr));
        let figures: serde_json::Value = serde_json::from_slice(&out.stdout).expect("figures");
        assert_eq!(figures["items"], 50.0);
        assert!(figures["cpu_s"].as_f64() > Some(0.0), "the children's time counts: {figures}");
    }
}

/// A running batch is found by its socket, told of by `tide tasks` and by SIGUSR1, and stopped by SIGTERM.
#[test]
fn a_running_batch_can_be_watched_and_stopped() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    bars(at, "X-USD_15m.csv");
    let script = CROSS.replace("maxval = 9", "maxval = 999999");
    std::fs::write(at.join("cross.pine"), script).expect("writes");
    let run = at.join("run");
    let mut batch = Command::new(env!("CARGO_BIN_EXE_tide"))
        .args(["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--sweep", "Fast=2..99999", "-j", "1"])
        .args(["--log-file", "tide.log", "--otlp", "http://127.0.0.1:1"])
        .current_dir(at)
        .env_remove("TIDE_WORKSPACE")
        .env("XDG_RUNTIME_DIR", &run)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tide starts");
    let tasks = |extra: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tide"))
            .arg("tasks")
            .args(extra)
            .env("XDG_RUNTIME_DIR", &run)
            .output()
            .expect("tide runs")
    };
    let pid = batch.id().to_string();
    let tree = loop {
        let tree = text(&tasks(&["--dump"]).stdout);
        if tree.contains("Cross on X-USD 15 Fast=") {
            break tree;
        }
        assert!(batch.try_wait().expect("asks").is_none(), "the batch ended before it was seen");
    };
    assert!(tree.starts_with(&format!("process {pid}: ")) && tree.contains("worker 0\n"), "{tree}");
    assert!(text(&tasks(&[]).stdout).contains(&pid));
    let state: serde_json::Value =
        serde_json::from_slice(&tasks(&["--json", "--pid", &pid]).stdout).expect("json");
    assert!(state["sections"]["process"]["memory_kib"].as_u64().is_some_and(|kib| kib > 1_000), "{state}");
    assert_eq!(state["sections"]["batch"]["planned"], 99_998);
    assert_eq!(code(&tasks(&["--pid", "1"])), 2, "no such process");
    let health = tasks(&["--health"]);
    let told: serde_json::Value = serde_json::from_slice(&health.stdout).expect("json");
    let of = |name: &str| {
        let all = told["components"].as_array().expect("components");
        all.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name}: {told}"))
    };
    for name in ["ledger", "log", "scheduler"] {
        assert!(of(name)["condition"] == "ok" && of(name)["since_ms"].is_u64(), "{told}");
    }
    // Of its collector a batch is not in need.
    assert!(of("otlp")["condition"].is_string() && told["ready"] == true && code(&health) == 0, "{told}");

    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success());
    signal("-USR1");
    // The dump comes through stderr before the closing words.
    let mut told = BufReader::new(batch.stderr.take().expect("piped")).lines().map(|l| l.expect("text"));
    assert!(told.any(|line| line.starts_with(&format!("process {pid}: "))));
    signal("-TERM");
    assert!(told.any(|line| line.contains("--resume")));
    assert_eq!(batch.wait().expect("ends").code(), Some(130));
    assert!(text(&tasks(&[]).stderr).contains("no tide process"));
}

#[test]
fn the_doctor_looks_at_everything_and_the_ledger_can_be_backed_up() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    bars(at, "X-USD_15m.csv");
    std::fs::write(at.join("cross.pine"), CROSS).expect("writes");
    let run = tide(at, &["backtest", "cross.pine", "--data", "X-USD_15m.csv", "-q"]);
    assert_eq!(code(&run), 0, "{}", text(&run.stderr));
    let out = tide(at, &["doctor", "--json"]);
    assert_eq!(code(&out), 0, "{}", text(&out.stdout));
    let findings: Vec<serde_json::Value> =
        text(&out.stdout).lines().map(|l| serde_json::from_str(l).expect("json")).collect();
    let of =
        |check: &str| findings.iter().find(|f| f["check"] == check).unwrap_or_else(|| panic!("no {check}"));
    for check in
        ["descriptors", "processes", "memory", "disk-space", "disk-speed", "clock", "files", "sandbox"]
    {
        assert!(of(check)["detail"].as_str().is_some_and(|d| !d.is_empty()));
    }
    assert!(of("ledger")["detail"].as_str().is_some_and(|d| d.contains("sound, 1 runs")), "{}", of("ledger"));
    for finding in &findings {
        let to_do = matches!(finding["state"].as_str(), Some("warning" | "error"));
        assert_eq!(
            to_do,
            finding["fix"].as_str().is_some_and(|f| !f.is_empty()),
            "a remedy for each: {finding}"
        );
    }

    let backup = tide(at, &["ledger", "backup", "copy.db"]);
    assert_eq!(code(&backup), 0, "{}", text(&backup.stderr));
    let ledger = at.join(".tide/ledger.db");
    std::fs::write(&ledger, b"this is not a database, it is a sentence of some length about one")
        .expect("writes");
    let broken = tide(at, &["doctor", "--json"]);
    assert_eq!(code(&broken), 1, "a broken ledger is an error");
    assert!(text(&broken.stdout).contains("tide ledger backup"), "{}", text(&broken.stdout));
    // An empty file is no damaged one: nothing can be lost with it.
    std::fs::write(&ledger, b"").expect("writes");
    let empty = tide(at, &["doctor", "--json"]);
    let told = text(&empty.stdout);
    let told = told.lines().find(|line| line.contains("\"ledger\"")).expect("a finding");
    assert!(
        told.contains("warning") && told.contains("is empty") && told.contains("delete the file"),
        "{told}"
    );
    std::fs::copy(at.join("copy.db"), &ledger).expect("copies");
    let sound = tide(at, &["ledger", "check"]);
    assert!(text(&sound.stdout).contains("sound; 1 ok"), "{} {}", text(&sound.stdout), text(&sound.stderr));
}

#[test]
fn the_log_is_json_lines_of_what_happened() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    bars(at, "X-USD_15m.csv");
    std::fs::write(at.join("cross.pine"), CROSS).expect("writes");
    std::fs::write(at.join("bad.pine"), "//@version=5\nstrategy(\"B\")\nx = nothing\n").expect("writes");
    let batch = [
        "--log-file",
        "tide.log",
        "--log-level",
        "debug",
        "-q",
        "backtest",
        "cross.pine",
        "bad.pine",
        "--data",
        "X-USD_15m.csv",
    ];
    assert_eq!(code(&tide(at, &batch)), 4);
    let log = std::fs::read_to_string(at.join("tide.log")).expect("a log");
    let events: Vec<serde_json::Value> =
        log.lines().map(|l| serde_json::from_str(l).expect("JSON lines")).collect();
    let told = |message: &str| events.iter().filter(|e| e["message"] == message).collect::<Vec<_>>();
    assert_eq!((told("job begins").len(), told("job ends").len()), (1, 1), "{log}");
    assert_eq!(told("job ends")[0]["failed"], 1);
    assert_eq!((told("run recorded").len(), told("run failed").len()), (1, 1), "{log}");
    assert!(told("run failed")[0]["error"].as_str().is_some_and(|e| e.contains("nothing")), "{log}");
    assert!(events.iter().all(|e| e["timestamp"].is_string() && e["level"].is_string()));
    let wrong = tide(at, &["--log-file", "x.log", "--log-level", "loud", "board"]);
    assert!(code(&wrong) == 2 && text(&wrong.stderr).contains("--log-level"), "{}", text(&wrong.stderr));
}

/// Answers every POST with 200 and gives the bodies.
fn collector() -> (String, std::sync::mpsc::Receiver<serde_json::Value>) {
    use std::io::{Read, Write};
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", server.local_addr().expect("an address"));
    let (bodies, received) = std::sync::mpsc::channel();
    let serve = move || {
        for stream in server.incoming() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            loop {
                let (mut head, mut length) = (String::new(), 0);
                while !head.ends_with("\r\n\r\n") {
                    if stream.read_line(&mut head).expect("a head") == 0 {
                        break;
                    }
                }
                if head.is_empty() {
                    break;
                }
                assert!(head.starts_with("POST /v1/traces "), "{head}");
                for line in head.lines() {
                    if let Some((name, value)) = line.split_once(':')
                        && name.eq_ignore_ascii_case("content-length")
                    {
                        length = value.trim().parse().expect("a length");
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).expect("a body");
                if bodies.send(serde_json::from_slice(&body).expect("JSON")).is_err() {
                    return;
                }
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    .expect("answers");
            }
        }
    };
    std::thread::Builder::new().spawn(serve).expect("a thread");
    (url, received)
}

#[test]
fn runs_are_sent_as_spans_and_a_dead_collector_costs_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    bars(at, "X-USD_15m.csv");
    std::fs::write(at.join("cross.pine"), CROSS).expect("writes");
    let (url, bodies) = collector();
    let url = url.replace("http://", "http://user:pa55word@");
    let batch = ["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--sweep", "Fast=2..5", "--otlp", &url];
    let out = tide(at, &batch);
    assert!(code(&out) == 0 && !text(&out.stderr).contains("otlp"), "{}", text(&out.stderr));
    let spans: Vec<serde_json::Value> = bodies
        .try_iter()
        .flat_map(|b| b["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans").clone())
        .collect();
    assert_eq!(spans.len(), 5, "four runs and their job");
    let root = spans.iter().find(|s| s["name"] == "job").expect("the job");
    let told = root["attributes"].to_string();
    assert!(told.contains("tide backtest cross.pine") && told.contains("[hidden]@127.0.0.1"), "{told}");
    assert!(!told.contains("pa55word"), "{told}");
    for span in spans.iter().filter(|s| s["name"] != "job") {
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&root["traceId"], &root["spanId"]));
        let time = |key: &str| span[key].as_str().and_then(|t| t.parse::<u64>().ok()).expect("nanoseconds");
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
        assert_eq!(span["status"]["code"], 1);
    }
    let dead =
        tide(at, &["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--otlp", "http://127.0.0.1:1"]);
    assert!(
        code(&dead) == 0 && text(&dead.stderr).contains("2 spans were not delivered"),
        "{}",
        text(&dead.stderr)
    );
}

#[test]
fn a_watched_script_is_checked_again_when_it_changes() {
    let folder = tempfile::tempdir().expect("folder");
    let script = folder.path().join("cross.pine");
    std::fs::write(&script, CROSS).expect("writes");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tide"))
        .args(["check", "--watch", "."])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("tide runs");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
    // The program says something or ends: a test that hangs here is told by the test runner.
    let mut until = |word: &str| {
        let found = lines.by_ref().map_while(Result::ok).any(|line| line.contains(word));
        assert!(found, "it ended before it said `{word}`");
    };
    until("1 ok");
    until("Watching");
    std::fs::write(&script, CROSS.replace("close, n", "close, nothing")).expect("writes");
    until("1 cannot run");
    std::fs::write(&script, CROSS).expect("writes");
    until("1 ok");
    child.kill().expect("ends");
    child.wait().expect("ends");
}

/// Answers every request with the file, in a thread that ends with the process.
fn serve(file: Vec<u8>) -> String {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = listener.local_addr().expect("address");
    let thread = std::thread::Builder::new().name("server".into());
    let answer = move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepts");
            let mut lines = BufReader::new(stream.try_clone().expect("clones")).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|l| !l.is_empty())) {}
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", file.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&file)).expect("sends");
        }
    };
    drop(thread.spawn(answer).expect("starts"));
    format!("http://{address}")
}

#[test]
fn bars_are_imported_from_an_address() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    bars(at, "source.csv");
    let url = serve(std::fs::read(at.join("source.csv")).expect("reads"));
    let url = format!("{url}/files/X-USD_15m.csv?token=geheim");
    // An address of this machine only by the person's word, and no secret in what is said.
    let out = tide(at, &["data", "import", &url]);
    assert_eq!(code(&out), 1);
    assert!(text(&out.stderr).contains("this machine") && !text(&out.stderr).contains("geheim"));
    let out = tide(at, &["data", "import", "--private", &url]);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("fetched X-USD_15m.csv"), "{}", text(&out.stderr));
    assert!(text(&tide(at, &["data", "ls"]).stdout).contains("X-USD"));
    // What was imported needs no second copy.
    let left = std::fs::read_dir(at.join(".tide/cache/fetched")).expect("reads").count();
    assert_eq!(left, 0);
}

#[test]
fn trades_are_summed_up_to_bars() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    let start = 1_704_067_200_000i64;
    let trade = |i: i64| {
        format!("{},{},{}.25,1\n", start + i * 20_000, ["A-USD", "B-USD"][i as usize % 2], 100 + i % 7)
    };
    let trades: String =
        std::iter::once("ts_ms,symbol,price,qty\n".to_owned()).chain((0..900).map(trade)).collect();
    std::fs::write(at.join("trades.csv"), trades).expect("writes");
    let plain = tide(at, &["data", "import", "trades.csv"]);
    assert!(code(&plain) == 1 && text(&plain.stderr).contains("--trades 1m"), "{}", text(&plain.stderr));
    let out = tide(at, &["data", "import", "trades.csv", "--trades", "15m"]);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("A-USD 15: 20 bars"), "{}", text(&out.stdout));
    std::fs::write(at.join("C-USD_trades.csv"), format!("id,ts,price\n1,{start},5\n2,{start},x\n"))
        .expect("writes");
    let args = ["data", "import", "C-USD_trades.csv", "--trades", "15m"];
    let bad = tide(at, &args);
    assert!(code(&bad) == 1 && text(&bad.stderr).contains("line 3: the price `x`"), "{}", text(&bad.stderr));
    let out = tide(at, &[&args[..], &["--skip-bad"]].concat());
    let said = text(&out.stdout);
    assert!(code(&out) == 0 && said.contains("1 bad rows left out"), "{said}{}", text(&out.stderr));
    assert!(said.contains("columns not used: id"), "{said}");
    std::fs::write(at.join("cross.pine"), CROSS).expect("writes");
    let run = tide(at, &["backtest", "cross.pine", "--data", "B-USD:15", "--json", "-q"]);
    assert!(
        code(&run) == 0 && text(&run.stdout).contains("\"bars\":20"),
        "{}{}",
        text(&run.stdout),
        text(&run.stderr)
    );
}

#[test]
fn runs_are_appended_to_a_log() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    bars(at, "X-USD_15m.csv");
    std::fs::write(at.join("cross.pine"), CROSS).expect("writes");
    // A line that a kill left unfinished goes.
    std::fs::write(at.join("runs.jsonl"), "{\"run\":\"a\"}\n{\"ru").expect("writes");
    let args = [
        "backtest",
        "cross.pine",
        "--data",
        "X-USD_15m.csv",
        "--sweep",
        "Fast=2..4",
        "--log-runs",
        "runs.jsonl",
        "-q",
    ];
    assert_eq!(code(&tide(at, &args)), 0);
    let log = std::fs::read_to_string(at.join("runs.jsonl")).expect("reads");
    let runs: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!((runs.len(), log.ends_with('\n')), (4, true));
    assert!(runs[1..].iter().all(|run| run["strategy"] == "Cross"), "{runs:?}");
}
