//! What a running process shows of itself, and what it keeps to itself.
#![cfg(target_os = "linux")]

#[path = "common/program.rs"]
mod program;

use program::{CROSS, bars, code, text, tide};
use std::{
    io::{BufRead, BufReader, Lines, Read},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

fn workspace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    bars(folder.path(), "X-USD_15m.csv");
    std::fs::write(folder.path().join("cross.pine"), CROSS).expect("writes");
    folder
}

/// A running program with its words; ended when dropped.
struct Running {
    child: Child,
    told: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tide"))
            .args(args)
            .current_dir(folder)
            .env_remove("TIDE_WORKSPACE")
            .env("XDG_RUNTIME_DIR", folder.join("run"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tide starts");
        let told = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, told }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Reads on until a line that holds `word`; the program ends, or the test runner ends this, where none does.
    fn until(&mut self, word: &str) -> String {
        let line = self.told.by_ref().map_while(Result::ok).find(|line| line.contains(word));
        line.unwrap_or_else(|| panic!("it ended before it said `{word}`"))
    }

    fn dumps_and_goes_on(&mut self) {
        let begins = format!("process {}: tide ", self.child.id());
        for _ in 0..2 {
            self.signal("-USR1");
            self.until(&begins);
        }
        assert!(self.child.try_wait().expect("asks").is_none(), "it ended");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn what_a_killed_process_leaves_behind_goes_with_the_next_one() {
    let folder = workspace();
    let script = CROSS.replace("maxval = 9", "maxval = 999999");
    std::fs::write(folder.path().join("long.pine"), script).expect("writes");
    let long = ["backtest", "long.pine", "--data", "X-USD_15m.csv", "--sweep", "Fast=2..99999", "-j", "1"];
    let [mut killed, mut lives] = [(); 2].map(|()| Running::start(folder.path(), &long));
    let socket = |of: &Running| folder.path().join(format!("run/springtide/{}.sock", of.child.id()));
    for one in [&mut killed, &mut lives] {
        one.until("99,998 runs");
    }
    killed.child.kill().expect("kill");
    killed.child.wait().expect("ends");
    assert!(socket(&killed).exists(), "nobody was there to remove it");
    let mut next = Running::start(folder.path(), &["backtest", "cross.pine", "--data", "X-USD_15m.csv"]);
    next.until("1 ok");
    assert!(!socket(&killed).exists() && socket(&lives).exists());
}

/// Takes connections and never says a word.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

#[test]
fn a_silent_collector_holds_nobody_up_and_what_is_lost_is_told_also_when_quiet() {
    let folder = workspace();
    let (_collector, address) = silent();
    let url = format!("http://{address}");
    let batch = ["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--otlp", &url, "-q"];
    let start = Instant::now();
    let out = tide(folder.path(), &batch);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("Cross"), "{}", text(&out.stdout));
    let told = text(&out.stderr);
    assert!(
        told.contains("warning: otlp: 2 spans were not delivered: the collector did not answer within 3 s"),
        "{told}"
    );
    // Far more than it takes, far less than a request's two minutes.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn a_signal_ends_the_wait_for_a_collector() {
    let folder = workspace();
    let (_collector, address) = silent();
    let url = format!("http://{address}");
    let mut batch =
        Running::start(folder.path(), &["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--otlp", &url]);
    batch.until("job 1: ");
    let start = Instant::now();
    batch.signal("-TERM");
    // A machine that takes so long for that may have let the three seconds pass.
    let is_slow = start.elapsed() > Duration::from_secs(1);
    let why = batch.until("spans were not delivered");
    assert!(is_slow || why.ends_with("interrupted"), "{why}");
    assert_eq!(batch.child.wait().expect("ends").code(), Some(0), "the batch had ended well");
    let mut table = String::new();
    batch.child.stdout.take().expect("piped").read_to_string(&mut table).expect("reads");
    assert!(table.contains("Cross"), "{table}");
}

#[test]
fn a_collector_that_is_no_address_is_refused_before_anything_runs() {
    let folder = workspace();
    for url in ["localhost:4318", "http://me:pa55word@h:port/"] {
        let out = tide(folder.path(), &["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--otlp", url]);
        let told = text(&out.stderr);
        assert!(
            code(&out) == 2 && told.contains("--otlp") && told.contains("http://localhost:4318"),
            "{told}"
        );
        assert!(!told.contains("pa55word"), "{told}");
    }
    assert!(!folder.path().join(".tide").exists(), "nothing was begun");
}

/// SIGUSR1 prints what runs and ends nothing, whatever the command.
#[test]
fn every_command_dumps_its_tasks_on_a_signal() {
    let folder = workspace();
    let (listener, address) = silent();
    let url = format!("http://{address}/X-USD_15m.csv");
    let mut check = Running::start(folder.path(), &["check", "--watch", "."]);
    check.until("Watching");
    check.dumps_and_goes_on();
    let mut import = Running::start(folder.path(), &["data", "import", "--private", &url]);
    let _held = listener.accept().expect("it asks");
    import.dumps_and_goes_on();
    let mut bench = Running::start(folder.path(), &["bench", "http", "--serve", "--scale", "0.01"]);
    let mut address = String::new();
    let out = bench.child.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut address).expect("its address");
    assert!(address.contains(':'), "{address}");
    bench.dumps_and_goes_on();
}

#[test]
fn figures_of_several_processes_are_one_text() {
    let folder = workspace();
    let start = || {
        let mut server = Running::start(folder.path(), &["bench", "http", "--serve", "--scale", "0.01"]);
        let mut address = String::new();
        BufReader::new(server.child.stdout.as_mut().expect("piped"))
            .read_line(&mut address)
            .expect("an address");
        server
    };
    let both = [start(), start()];
    let out = Command::new(env!("CARGO_BIN_EXE_tide"))
        .args(["tasks", "--metrics"])
        .env("XDG_RUNTIME_DIR", folder.path().join("run"))
        .output()
        .expect("tide runs");
    let all = text(&out.stdout);
    assert!(all.ends_with("# EOF\n") && all.matches("# EOF").count() == 1, "{all}");
    let types: Vec<&str> = all.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let mut once = types.clone();
    once.sort_unstable();
    once.dedup();
    assert!(!types.is_empty() && once.len() == types.len(), "{all}");
    for running in &both {
        assert!(all.contains(&format!("tide_stalls_total{{pid=\"{}\"}} ", running.child.id())), "{all}");
    }
}

#[test]
fn secrets_of_a_command_line_are_nowhere_kept() {
    let folder = workspace();
    let at = folder.path();
    let url = "http://user:pa55word@127.0.0.1:1/?token=SEKRET";
    let out = tide(
        at,
        &[
            "--log-file",
            "tide.log",
            "backtest",
            "cross.pine",
            "--data",
            "X-USD_15m.csv",
            "--otlp",
            url,
            "--out",
            "r.html",
        ],
    );
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let read = |name: &str| String::from_utf8_lossy(&std::fs::read(at.join(name)).expect(name)).into_owned();
    let kept = [read("tide.log"), read(".tide/ledger.db"), read("r.html"), text(&out.stderr)];
    for text in &kept {
        assert!(!text.contains("pa55word") && !text.contains("SEKRET"), "{}", text.escape_debug());
    }
    for text in &kept[..3] {
        assert!(text.contains("[hidden]@127.0.0.1:1/?token=[hidden]"), "{}", text.escape_debug());
    }
}

#[test]
fn damaged_bars_are_told_with_their_remedy() {
    let folder = workspace();
    let at = folder.path();
    assert_eq!(code(&tide(at, &["data", "import", "X-USD_15m.csv"])), 0);
    let file = at.join("data/X-USD/15.arrow");
    let sound = std::fs::read(&file).expect("imported");
    std::fs::write(&file, &sound[..sound.len() / 2]).expect("cuts");
    let named = tide(at, &["backtest", "cross.pine", "--data", "x-usd:15"]);
    let told = text(&named.stderr);
    assert!(
        code(&named) == 1 && told.contains("are damaged") && told.contains("tide data import FILE"),
        "{told}"
    );
    // Where everything imported is meant, it is a market that failed, and no other is left out for it.
    let all = tide(at, &["backtest", "cross.pine", "--json", "-q"]);
    let line: serde_json::Value = serde_json::from_slice(&all.stdout).expect("one run");
    assert_eq!((code(&all), &line["data"], &line["status"]), (4, &"X-USD 15".into(), &"failed".into()));
    assert!(line["error"].as_str().is_some_and(|e| e.contains("tide data import FILE")), "{line}");
    assert_eq!(code(&tide(at, &["data", "import", "X-USD_15m.csv"])), 0, "importing again puts it right");
    assert_eq!(code(&tide(at, &["backtest", "cross.pine", "--data", "X-USD:15", "-q"])), 0);
}

/// Whatever is asked for: one line that says what is wrong, no panic.
#[test]
fn a_full_stdout_is_told_in_a_line() {
    let folder = workspace();
    let at = folder.path();
    assert_eq!(code(&tide(at, &["backtest", "cross.pine", "--data", "X-USD_15m.csv", "-q"])), 0);
    let commands: [&[&str]; 8] = [
        &["--help"],
        &["board"],
        &["board", "--metrics"],
        &["check", "--json", "cross.pine"],
        &["data", "import", "--json", "X-USD_15m.csv"],
        &["data", "ls"],
        &["doctor"],
        &["backtest", "cross.pine", "--data", "X-USD_15m.csv", "-q", "--json"],
    ];
    for command in commands {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("opens");
        let child = Command::new(env!("CARGO_BIN_EXE_tide"))
            .args(command)
            .current_dir(at)
            .env_remove("TIDE_WORKSPACE")
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn();
        let out = child.expect("tide starts").wait_with_output().expect("ends");
        let told = text(&out.stderr);
        assert_eq!(code(&out), 1, "{command:?}: {told}");
        assert_eq!(told.matches("cannot write to stdout: No space left").count(), 1, "{command:?}: {told}");
        assert!(!told.contains("panicked"), "{command:?}: {told}");
    }
}

/// Files in a folder that is perhaps not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn an_interrupted_import_leaves_nothing_and_the_next_one_clears_up() {
    let folder = workspace();
    let at = folder.path();
    let mut csv = String::from("time,open,high,low,close,volume\n");
    (0..1_500_000_i64)
        .for_each(|i| csv.push_str(&format!("{},100.25,102.5,99.75,101.5,1\n", 1_000_000_000 + i * 60)));
    std::fs::write(at.join("L-USD_1m.csv"), csv).expect("writes");
    let unfinished = |at: &Path| names(&at.join("data")).iter().any(|name| name.ends_with(".unfinished"));
    for (signal, left) in [("-INT", false), ("-TERM", false), ("-KILL", true)] {
        let mut import = Running::start(at, &["data", "import", "L-USD_1m.csv"]);
        while !unfinished(at) {
            assert!(import.child.try_wait().expect("asks").is_none(), "it ended before it was interrupted");
            std::thread::sleep(Duration::from_millis(2));
        }
        import.signal(signal);
        if !left {
            import.until("Interrupted; 0 of 1 files were imported");
        }
        assert_eq!(import.child.wait().expect("ends").code(), (!left).then_some(130), "{signal}");
        assert_eq!(unfinished(at), left, "{signal}");
    }
    assert_eq!(code(&tide(at, &["data", "import", "X-USD_15m.csv"])), 0);
    assert_eq!(names(&at.join("data")), ["X-USD"]);
}

#[test]
fn an_interrupted_bench_leaves_nothing() {
    let folder = workspace();
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).expect("makes");
    for name in ["-INT", "-TERM"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tide"))
            .args(["bench", "files"])
            .env("TMPDIR", &temporary)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tide starts");
        let input = || names(&temporary).first().map(|name| names(&temporary.join(name)).len());
        while input().is_none_or(|files| files == 0) {
            assert!(child.try_wait().expect("asks").is_none(), "it ended before it was interrupted");
            std::thread::sleep(Duration::from_millis(2));
        }
        let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
        let out = child.wait_with_output().expect("ends");
        assert_eq!((code(&out), names(&temporary).len()), (130, 0), "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains("Interrupted"), "{}", text(&out.stderr));
    }
}

#[test]
fn what_a_bench_could_not_do_in_the_end_is_refused_before_it_measures() {
    let folder = workspace();
    let at = folder.path();
    let bad: [&[&str]; 3] = [&["--compare", "/nonexistent"], &["--out", "/proc/x.html"], &["--out", "."]];
    for option in bad {
        let started = Instant::now();
        let out = tide(at, &[&["bench", "files"], option].concat());
        assert!(
            matches!(code(&out), 1 | 2) && text(&out.stderr).contains(option[1]),
            "{}",
            text(&out.stderr)
        );
        assert!(started.elapsed() < Duration::from_secs(5), "{option:?}");
    }
}

#[test]
fn a_process_that_is_stopped_hides_no_other() {
    let folder = workspace();
    let start = || {
        let mut server = Running::start(folder.path(), &["bench", "http", "--serve", "--scale", "0.01"]);
        let out = server.child.stdout.as_mut().expect("piped");
        BufReader::new(out).read_line(&mut String::new()).expect("an address");
        server
    };
    let all = [start(), start(), start()];
    // Its socket lies there for ever.
    let mut dead = start();
    dead.signal("-KILL");
    dead.child.wait().expect("ends");
    all[1..].iter().for_each(|stopped| stopped.signal("-STOP"));
    let tasks = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_tide"))
            .args([&["tasks"], args].concat())
            .env("XDG_RUNTIME_DIR", folder.path().join("run"))
            .output()
            .expect("tide runs");
        (code(&out), text(&out.stdout), text(&out.stderr))
    };
    let pids = all.each_ref().map(|running| running.child.id().to_string());
    let started = Instant::now();
    let (ending, out, err) = tasks(&[]);
    assert!(started.elapsed() < Duration::from_millis(3_800), "asked all at once: {:?}", started.elapsed());
    assert_eq!(ending, 0, "{err}");
    let row = |pid: &str| out.lines().find(|line| line.trim_start().starts_with(pid)).unwrap_or_default();
    assert!(row(&pids[0]).contains("tide bench http"), "{out}");
    assert!(pids[1..].iter().all(|pid| row(pid).contains("does not answer within 2.0 s")), "{out}");
    assert!(row(&dead.child.id().to_string()).is_empty(), "{out}");
    let (ending, out, err) = tasks(&["--health"]);
    let line: serde_json::Value = serde_json::from_str(&out).expect("one line");
    assert_eq!((ending, line["pid"].to_string(), &line["ready"]), (1, pids[0].clone(), &true.into()));
    assert!(pids[1..].iter().all(|pid| err.contains(&format!("process {pid} does not answer"))), "{err}");
    assert_eq!(tasks(&["--metrics"]).0, 4);
    let started = Instant::now();
    assert_eq!(tasks(&["--json", "--pid", &pids[0]]).0, 0);
    assert!(
        started.elapsed() < Duration::from_millis(1_500),
        "only that one is asked: {:?}",
        started.elapsed()
    );
    assert_eq!(tasks(&["--json", "--pid", &pids[1]]).0, 1);
    assert_eq!(tasks(&["--pid", "1"]).0, 2);
}
