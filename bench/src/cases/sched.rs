//! What the scheduler costs, beside rayon: tasks of a known amount of work on two workers.

// The same work as in the scheduler's own example, from the same file.
#[path = "../../../crates/runtime/examples/overhead/spin.rs"]
mod spin;

use crate::{
    contest::{Entry, Measured, ROUNDS},
    table::{Comparison, Verdict, number},
};
use serde_json::Value;
use spin::{processor_ns, steps_per_us, work};
use springtide_runtime::{GroupOptions, Pool, PoolConfig, TaskCtx};
use std::{hint::black_box, sync::mpsc};

const WORKERS: usize = 2;
const OURS: &str = "springtide group";
const RIVAL: &str = "rayon scope, results by channel";
const PLAIN: &str = "the work alone, one thread";

/// Tasks of 10 µs and empty ones.
pub fn compare() -> Result<Vec<Comparison>, String> {
    let pool =
        Pool::new(PoolConfig { workers: WORKERS, ..PoolConfig::default() }).map_err(|e| e.to_string())?;
    let rayon = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().map_err(|e| e.to_string())?;
    let per_us = steps_per_us();
    Ok(vec![
        compare_tasks(&pool, &rayon, 10, per_us, 50_000),
        compare_tasks(&pool, &rayon, 0, per_us, 500_000),
    ])
}

/// All three in turn, round by round, so that what disturbs one disturbs all.
fn compare_tasks(pool: &Pool, rayon: &rayon::ThreadPool, us: u64, per_us: u64, tasks: u64) -> Comparison {
    let steps = us * per_us;
    let mut seconds = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        let costs = [
            processor_time(|| ours(pool, tasks, steps)),
            processor_time(|| rayon_channel(rayon, tasks, steps)),
            processor_time(|| (0..tasks).map(|n| work(n, steps)).fold(0, u64::wrapping_add)),
        ];
        for (list, cost) in seconds.iter_mut().zip(costs).filter(|_| round > 0) {
            list.push(cost / tasks as f64);
        }
    }
    let entries = [OURS, RIVAL, PLAIN].iter().zip(seconds).map(|(name, seconds)| Entry {
        name: (*name).into(),
        ours: *name == OURS,
        base: *name == OURS,
        outcome: Ok(Measured { version: String::new(), seconds, peak_kb: 0, result: Value::Null }),
    });
    let mut comparison = Comparison {
        title: format!("Scheduler: tasks of {us} µs on {WORKERS} workers"),
        note: "Processor time of all threads per task; each task is a closure of its own whose result is delivered. \
               What is above the work alone is the scheduler's cost."
            .into(),
        rate: None,
        unit: ("µs", 1e6),
        entries: entries.collect(),
        verdicts: Vec::new(),
    };
    comparison.verdicts = vec![verdict(&comparison)];
    comparison
}

fn verdict(c: &Comparison) -> Verdict {
    let median = |name: &str| c.measured(name).map_or(f64::NAN, Measured::median);
    let cost = |name: &str| (median(name) - median(PLAIN)) * 1e9;
    let (ours, theirs) = (cost(OURS), cost(RIVAL));
    let text = format!("{} ns and {} ns", number(ours), number(theirs));
    Verdict::new("cost per task at most twice rayon's", Some((text, ours <= 2.0 * theirs.max(0.0))))
}

/// Processor time of all threads that some work takes, seconds.
fn processor_time(run: impl FnOnce() -> u64) -> f64 {
    let before = processor_ns();
    black_box(run());
    processor_ns().saturating_sub(before) as f64 / 1e9
}

fn ours(pool: &Pool, tasks: u64, steps: u64) -> u64 {
    let group = pool.group(GroupOptions { max_queued: usize::MAX, ..GroupOptions::default() });
    group.spawn_all((0..tasks).map(|n| ("work", move |_: &TaskCtx<'_>| work(n, steps))));
    group.results().filter_map(|(_, outcome)| outcome.done()).fold(0, u64::wrapping_add)
}

fn rayon_channel(pool: &rayon::ThreadPool, tasks: u64, steps: u64) -> u64 {
    let (sender, results) = mpsc::channel();
    pool.in_place_scope_fifo(|scope| {
        for n in 0..tasks {
            let sender = sender.clone();
            // The receiver outlives the scope: a send cannot fail.
            scope.spawn_fifo(move |_| {
                let _ = sender.send(work(n, steps));
            });
        }
        drop(sender);
        results.iter().fold(0, u64::wrapping_add)
    })
}
