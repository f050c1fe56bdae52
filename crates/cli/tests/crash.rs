//! A batch that is killed at any moment, and then resumed, has every run once and repeats none that it told of.
//!
//! Rounds: `TIDE_CRASH_ROUNDS` (3 without it); `cargo xtask crash-loop` runs hundreds. A failing round names its
//! seed; `TIDE_CRASH_SEED` starts from there.

use springtide_domain::synth::SplitMix64;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

/// Runs of one batch: Fast 2..40 by 2, Slow 41..100 by 1.
const PLANNED: usize = 20 * 60;
const SCRIPT: &str = "//@version=6\nstrategy(\"Cross\", initial_capital = 10000)\n\
     fast = ta.sma(close, input.int(5, \"Fast\"))\nslow = ta.sma(close, input.int(50, \"Slow\"))\n\
     if ta.crossover(fast, slow)\n    strategy.entry(\"L\", strategy.long)\n\
     if ta.crossunder(fast, slow)\n    strategy.close(\"L\")\n";

/// What a batch announced on its standard output.
#[derive(Default)]
struct Told {
    run: BTreeSet<String>,
    reused: BTreeSet<String>,
}

impl Told {
    fn line(&mut self, line: &str) {
        let json: serde_json::Value = serde_json::from_str(line).expect("a whole JSON line");
        assert_eq!(json["status"], "ok", "{line}");
        let id = json["run"].as_str().expect("a run id").to_owned();
        let set = if json["reused"] == true { &mut self.reused } else { &mut self.run };
        assert!(set.insert(id), "told of twice: {line}");
    }

    fn all(&self) -> BTreeSet<String> {
        self.run.union(&self.reused).cloned().collect()
    }
}

/// Runs the batch; with a limit it is killed that long after its start, unless it ends before.
/// Returns what it told and whether it was killed.
fn batch(folder: &Path, kill_after: Option<Duration>) -> (Told, bool) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tide"))
        .args(["backtest", "cross.pine", "--data", "X-USD_15m.csv", "--resume", "--json", "-q", "-j", "2"])
        .args(["--sweep", "Fast=2..40:2", "--sweep", "Slow=41..100"])
        .current_dir(folder)
        .env_remove("TIDE_WORKSPACE")
        .stdout(Stdio::piped())
        .spawn()
        .expect("tide starts");
    let lines = BufReader::new(child.stdout.take().expect("piped"));
    let (over, ended) = mpsc::channel();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let told = read(lines);
            // The receiver is gone when the limit passed first.
            let _ = over.send(());
            told
        });
        if kill_after.is_some_and(|limit| ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout)) {
            child.kill().expect("killed");
        }
        let told = reader.join().expect("reads");
        let status = child.wait().expect("ended");
        assert!(status.success() || status.code().is_none(), "{status}");
        (told, !status.success())
    })
}

fn read(mut lines: impl BufRead) -> Told {
    let mut told = Told::default();
    let mut line = String::new();
    while lines.read_line(&mut line).expect("readable") > 0 {
        // A killed writer may leave half a line: not announced.
        if line.ends_with('\n') {
            told.line(&line);
        }
        line.clear();
    }
    told
}

fn whole_batch_ms(folder: &Path) -> u64 {
    let started = Instant::now();
    batch(folder, None);
    started.elapsed().as_millis() as u64
}

fn fresh(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let mut csv = String::from("time,open,high,low,close,volume\n");
    let mut random = SplitMix64::new(7);
    let mut price = 100.0f64;
    for i in 0..3_000i64 {
        let next = (price * (1.0 + 0.004 * random.normal())).max(1.0);
        let (high, low) = (price.max(next) + 0.1, price.min(next) - 0.1);
        csv.push_str(&format!("{},{price:.2},{high:.2},{low:.2},{next:.2},1\n", 1_672_531_200 + i * 900));
        price = next;
    }
    std::fs::write(folder.path().join("X-USD_15m.csv"), csv).expect("writes");
    std::fs::write(folder.path().join("cross.pine"), script).expect("writes");
    folder
}

fn round(seed: u64, longest_ms: u64) -> u32 {
    let folder = fresh(SCRIPT);
    let mut random = SplitMix64::new(seed);
    let mut known = BTreeSet::new();
    let mut kills = 0;
    loop {
        let limit =
            (kills < 3).then(|| Duration::from_micros((random.uniform() * longest_ms as f64 * 1e3) as u64));
        let (told, killed) = batch(folder.path(), limit);
        let lost: Vec<_> = known.difference(&told.reused).collect();
        let repeated: Vec<_> = known.intersection(&told.run).collect();
        assert!(repeated.is_empty(), "seed {seed}: announced, then run again: {repeated:?}");
        // Reused runs are told before and among new ones; a batch that was killed early may not have come to all.
        assert!(killed || lost.is_empty(), "seed {seed}: announced, then lost: {lost:?}");
        known.extend(told.all());
        if !killed {
            break;
        }
        kills += 1;
    }
    assert_eq!(known.len(), PLANNED, "seed {seed}");
    let ledger = springtide_lab::Ledger::open(&folder.path().join(".tide/ledger.db")).expect("opens");
    assert_eq!(ledger.database().check().expect("checks"), Vec::<String>::new(), "seed {seed}");
    kills
}

#[test]
fn a_killed_batch_resumes_without_loss_or_repetition() {
    let number = |name: &str| std::env::var(name).ok().map(|v| v.parse::<u64>().expect("a number"));
    let (rounds, seed) = (number("TIDE_CRASH_ROUNDS").unwrap_or(3), number("TIDE_CRASH_SEED").unwrap_or(1));
    let longest_ms = whole_batch_ms(fresh(SCRIPT).path());
    let mut kills = 0;
    for seed in seed..seed + rounds {
        kills += round(seed, longest_ms);
        println!("seed {seed}: {kills} kills so far");
    }
    println!("{rounds} rounds, {kills} kills, nothing lost or repeated");
}
