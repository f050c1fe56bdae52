//! Workers that have more to do than they can: who is served, and how long what is urgent waits.

use crate::{Latencies, ScenarioError};
use springtide_runtime::{Group, GroupOptions, Pool, Priority, TaskCtx, exec::Runtime};
use std::time::{Duration, Instant};

/// Jobs that wait, and how long each takes.
const FLOOD: usize = 4_000;
const JOB: Duration = Duration::from_micros(100);
/// Between two urgent jobs.
const PAUSE: Duration = Duration::from_millis(1);
/// How long the shares are watched.
const WATCH: Duration = Duration::from_millis(1_500);

fn busy() {
    let start = Instant::now();
    while start.elapsed() < JOB {}
}

fn flood(group: &Group<()>, jobs: usize) {
    group.spawn_all((0..jobs).map(|_| ("flood", |_: &TaskCtx<'_>| busy())));
}

fn group(pool: &Pool, priority: Priority) -> Group<()> {
    pool.group(GroupOptions { priority, max_queued: usize::MAX, ..GroupOptions::default() })
}

/// Runs one job and waits for it.
fn probe(group: &Group<()>, times: &mut Latencies) -> Result<(), ScenarioError> {
    let start = Instant::now();
    group.spawn("urgent", |_| ());
    let done =
        group.results().filter(|(_, outcome)| *outcome == springtide_runtime::Outcome::Done(())).count();
    times.push(start.elapsed());
    ScenarioError::check("urgent jobs", 1, done)
}

/// Urgent jobs of the critical class, each while the flood, of the low class, is refilled.
pub(super) fn probe_urgently(pool: &Pool, probes: u64) -> Result<Latencies, ScenarioError> {
    let (urgent, rest) = (group(pool, Priority::Critical), group(pool, Priority::Low));
    let mut times = Latencies::with_capacity(probes as usize);
    for _ in 0..probes {
        let waiting = pool.snapshot().queued[Priority::Low] as usize;
        if waiting < FLOOD / 2 {
            flood(&rest, FLOOD - waiting);
        }
        std::thread::sleep(PAUSE);
        probe(&urgent, &mut times)?;
    }
    rest.cancel();
    Ok(times)
}

/// The same without classes: each waits behind a whole flood, in one line.
pub(super) fn probe_in_line(pool: &Pool, probes: u64) -> Result<Latencies, ScenarioError> {
    let line = group(pool, Priority::Standard);
    let mut times = Latencies::with_capacity(probes as usize);
    for _ in 0..probes {
        flood(&line, FLOOD);
        let start = Instant::now();
        line.spawn("urgent", |_| ());
        // In one line the last result is the last job's.
        let done = line.results().count();
        times.push(start.elapsed());
        ScenarioError::check("jobs", FLOOD + 1, done)?;
    }
    Ok(times)
}

/// Urgent asynchronous tasks, while steps of the low class wait.
pub(super) fn probe_asynchronously(runtime: &Runtime, probes: u64) -> Result<Latencies, ScenarioError> {
    let times = runtime.run("probes", move |scope| async move {
        let mut times = Latencies::with_capacity(probes as usize);
        let top = scope.clone();
        let flooded = scope.nest("flood", |flood| async move {
            for _ in 0..probes {
                while flood.live() < FLOOD as u32 {
                    flood.start(Priority::Low, "flood", None, async {
                        busy();
                        Ok::<(), std::io::Error>(())
                    });
                }
                tokio::time::sleep(PAUSE).await;
                let start = Instant::now();
                let done = top.spawn(Priority::Critical, "urgent", None, async {}).await.done();
                times.push(start.elapsed());
                ScenarioError::check("urgent tasks", Some(()), done)?;
            }
            flood.cancel();
            Ok(times)
        });
        flooded.await.map_err(ScenarioError::work)?
    });
    times.map_err(ScenarioError::work)?
}

/// Shares of worker time, percent, while all four classes have jobs of 50, 100, 200 and 400 µs waiting.
pub(super) fn shares(pool: &Pool) -> Result<[f64; 4], ScenarioError> {
    let groups: Vec<Group<()>> = Priority::ALL.into_iter().map(|class| group(pool, class)).collect();
    for (at, group) in groups.iter().enumerate() {
        let job = Duration::from_micros(50 << at);
        let spin = move |_: &TaskCtx<'_>| {
            let start = Instant::now();
            while start.elapsed() < job {}
        };
        group.spawn_all((0..50_000 >> at).map(|_| ("share", spin)));
    }
    let before = pool.snapshot().busy.0;
    std::thread::sleep(WATCH);
    let seen = pool.snapshot();
    groups.iter().for_each(|group| group.cancel());
    if let Some(class) = Priority::ALL.into_iter().find(|class| seen.queued[*class] == 0) {
        return Err(ScenarioError::work(format!(
            "class {} ran out of jobs while it was watched",
            class.as_str()
        )));
    }
    let spent: Vec<f64> =
        seen.busy.0.iter().zip(before).map(|(after, before)| (*after - before).as_secs_f64()).collect();
    let total: f64 = spent.iter().sum();
    Ok(std::array::from_fn(|at| 100.0 * spent[at] / total.max(1e-9)))
}
