//! A batch that is resumed repeats nothing that is in the ledger, whatever the plan's shape.

#[path = "common/cross.rs"]
mod cross;

use springtide_domain::{Params, RunId, RunStatus};
use springtide_lab::{
    LabError, Ledger,
    batch::{self, BatchOptions, BatchSummary, Market, Plan, Progress},
    execute::RunSpec,
    ledger::{LedgerWriter, RunRecord},
    python::PythonFacts,
};
use springtide_python::{Fault, Log};
use springtide_runtime::{CancelToken, Pool, PoolConfig, Priority, observe::Health};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

fn pool() -> Pool {
    Pool::new(PoolConfig { workers: 2, ..PoolConfig::default() }).unwrap()
}

/// Scripts told apart by a comment, the fourth broken, swept over so many lengths, on so many markets.
fn plan(scripts: usize, lengths: usize, markets: u64, pool: &Pool) -> Plan {
    let text = |i| if i == 3 { "strategy(".to_owned() } else { format!("{}// {i}\n", cross::SCRIPT) };
    cross::plan((0..scripts).map(text).collect(), lengths, markets, 200, pool)
}

/// Runs a plan; the summary, and what was announced: id to (reused, final equity's bits, error).
type Told = BTreeMap<RunId, (bool, Option<u64>, Option<String>)>;

fn run(plan: &Plan, ledger: &Ledger, pool: &Pool) -> (BatchSummary, Told) {
    let told: Arc<Mutex<Told>> = Arc::default();
    let options = BatchOptions {
        priority: Priority::Standard,
        timeout: Duration::from_secs(600),
        resume: true,
        fail_fast: false,
        command: "test".into(),
    };
    let on_run = {
        let told = Arc::clone(&told);
        Box::new(move |run: &springtide_lab::ledger::RunRecord, reused: bool| {
            let equity = run.metrics.as_ref().map(|m| m.equity_final.to_bits());
            told.lock().unwrap().insert(run.id.clone(), (reused, equity, run.error.clone()));
        })
    };
    let progress = Arc::new(Progress::default());
    let summary =
        batch::run(plan, &options, pool, ledger, &CancelToken::new(), &progress, on_run, None).unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    (summary, told)
}

#[test]
fn nothing_finished_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let pool = pool();
    // Small grids on several markets, then one grid larger than what is looked up at once.
    let small = plan(3, 2, 4, &pool);
    let (first, told) = run(&small, &ledger, &pool);
    assert_eq!((first.ok, first.failed, first.reused), (24, 0, 0));
    let (again, told_again) = run(&small, &ledger, &pool);
    assert_eq!((again.ok, again.failed, again.reused), (0, 0, 24));
    for (id, (reused, equity, _)) in &told_again {
        assert!(*reused && *equity == told[id].1, "{id}");
    }
    let wider = plan(3, 700, 1, &pool);
    let (summary, told) = run(&wider, &ledger, &pool);
    // Two lengths of each script are known on the first market.
    assert_eq!((summary.ok, summary.reused, told.len()), (2_094, 6, 2_100));
}

#[test]
fn what_cannot_run_is_told_each_time_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let pool = pool();
    let mut plan = plan(5, 1, 2, &pool);
    plan.markets.push(Market::Broken {
        name: "X".into(),
        path: "x.csv".into(),
        error: "no such file".into(),
    });
    for round in 0..2 {
        let (summary, told) = run(&plan, &ledger, &pool);
        // Four good scripts and one broken, on two markets and a missing one.
        assert_eq!((summary.planned, summary.failed), (15, 7));
        assert_eq!((summary.ok, summary.reused), if round == 0 { (8, 0) } else { (0, 8) });
        assert_eq!(told.values().filter(|t| t.2.is_some()).count(), 7);
    }
}

#[test]
fn a_run_is_found_by_the_beginning_of_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let pool = pool();
    let (_, told) = run(&plan(1, 300, 1, &pool), &ledger, &pool);
    for id in told.keys() {
        assert_eq!(&ledger.find(id).unwrap().id, id);
        let upper: RunId = id.as_str()[..20].to_ascii_uppercase().parse().unwrap();
        assert_eq!(&ledger.find(&upper).unwrap().id, id);
    }
    let nobody: RunId = "ffffffffffffffffffffffffffffffff".parse().unwrap();
    assert!(matches!(ledger.find(&nobody), Err(LabError::NoSuchRun(_))));
}

/// A plan's first run.
fn first(plan: &Plan) -> RunSpec<'_> {
    let Market::Ready(data) = &plan.markets[0] else { panic!("a market") };
    RunSpec {
        strategy: &plan.strategies[0].0,
        data,
        params: Params::new(),
        rules: &plan.rules[0],
        overrides: &plan.overrides,
        library: &plan.library,
        python: None,
    }
}

#[test]
fn what_a_script_left_decides_whether_it_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let plan = plan(1, 1, 1, &pool());
    let spec = first(&plan);
    let job = ledger.begin_job("test", 1).unwrap();
    let leave = |fault: Option<&str>, seconds: u64, printed: &str| {
        let fault = fault.map(|kind| Fault::new(kind, "x"));
        let facts = PythonFacts { engine: "rust".into(), fault, ..PythonFacts::default() };
        let log = Log { stdout: printed.into(), stderr: String::new() };
        let record = RunRecord {
            python: Some(Box::new(facts)),
            elapsed_us: seconds * 1_000_000,
            log: Some(Arc::new(log)).filter(|log| !log.is_empty()),
            ..spec.blank(job, RunStatus::Ok, None)
        };
        let writer = LedgerWriter::start(ledger.clone(), Box::new(|_| {})).unwrap();
        writer.record(record).unwrap();
        writer.finish().unwrap();
    };
    let id = spec.id();
    for (fault, finished) in [
        (None, true),
        (Some("ValueError"), true),
        (Some("Timeout"), false),
        (Some("ModuleNotFoundError"), false),
    ] {
        leave(fault, 3, "");
        assert_eq!(ledger.finished_among(&[&id]).unwrap().contains_key(&id), finished, "{fault:?}");
    }
    // A repetition's output takes the place of the earlier one, also where there is none.
    leave(None, 3, "hello");
    assert_eq!(ledger.log(&id).unwrap().map(|log| log.stdout).as_deref(), Some("hello"));
    leave(None, 6, "");
    assert_eq!(ledger.log(&id).unwrap(), None);
    let hash = spec.strategy.source.hash;
    let known = ledger.durations([hash].into_iter(), "rust").unwrap();
    let (script, bars) = (hash.to_string(), spec.data.bars.len() as u64);
    assert_eq!(known.of(&script, &spec.data.hash.to_string(), bars), Some(Duration::from_secs(6)));
    assert_eq!(known.of(&script, "other data", 2 * bars), Some(Duration::from_secs(12)));
    assert_eq!(known.of("another script", &spec.data.hash.to_string(), bars), None);
    assert_eq!(ledger.durations([hash].into_iter(), "original").unwrap().of(&script, "", 1), None);
}

#[test]
fn a_writer_that_panics_makes_the_process_dead() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let health = Health::default();
    ledger.database().watch(health.component("ledger"));
    assert!(health.is_ready());
    let plan = plan(1, 1, 1, &pool());
    let spec = first(&plan);
    let job = ledger.begin_job("test", 1).unwrap();
    let writer = LedgerWriter::start(ledger.clone(), Box::new(|_| panic!("nobody to tell"))).unwrap();
    writer.record(spec.blank(job, RunStatus::Ok, None)).unwrap();
    assert!(matches!(writer.finish(), Err(LabError::WriterStopped)));
    assert!(!health.is_live() && !health.is_ready());
    let seen = &health.components()[0];
    assert!(seen.error.as_ref().is_some_and(|e| e.contains("panicked")), "{seen:?}");
}
