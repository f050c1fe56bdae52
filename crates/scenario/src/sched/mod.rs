//! The scheduler itself: what a job costs on its way, who gets the workers when all want them, and how long an
//! urgent job waits while they are flooded.

mod flood;

use crate::{
    About, Case, Figures, Latencies, Latency, Meter, Mode, Place, Programs, Rival, Scenario, ScenarioError,
    Target, cores,
};
use springtide_runtime::{
    GroupOptions, Outcome, Pool, PoolConfig, Priority, TaskCtx,
    exec::{Runtime, RuntimeConfig},
};
use std::{process::Command, time::Duration};

/// Empty jobs at full scale.
const JOBS: u64 = 400_000;
/// Urgent jobs at full scale.
const PROBES: u64 = 400;
/// Of those, where each waits for a whole flood.
const SLOW_PROBES: u64 = 10;
/// Owners within a class.
const OWNERS: u64 = 8;
/// A job that takes longer is broken.
const LIMIT: Duration = Duration::from_secs(60);

const RIVAL: &str = include_str!("rival.py");

/// The scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scheduling;

static ABOUT: About = About {
    name: "sched",
    title: "Scheduling of jobs",
    work: "400,000 empty jobs whose results come back, ours in four weighted classes of eight owners each and with deadline, \
           cancellation and accounting; then urgent jobs while 4,000 jobs of 100 µs wait; then all four classes with \
           more work than there is time for",
    check: "every job's result, once; that every urgent job came back",
    unit: "jobs",
    latency_of: "one urgent job, from being asked for until its result is back, while 4,000 others of 100 µs wait",
    cases: &[
        Case { name: "sequential", mode: Mode::Sequential, cold: false },
        Case { name: "concurrent", mode: Mode::Concurrent, cold: false },
        Case { name: "async", mode: Mode::Concurrent, cold: false },
    ],
    targets: &[
        Target::faster("concurrent", "python, threads", 20.0),
        Target::faster("async", "python, asyncio", 5.0),
    ],
    claims: &[],
    serves: false,
};

impl Scenario for Scheduling {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn prepare(&self, _place: &Place) -> Result<(), ScenarioError> {
        Ok(())
    }

    fn run(&self, case: &str, place: &Place) -> Result<Figures, ScenarioError> {
        let (jobs, probes) = (place.scaled(JOBS), place.scaled(PROBES));
        match case {
            "sequential" => one_by_one(jobs / 10, place.scaled(SLOW_PROBES)),
            "concurrent" => at_once(jobs, probes),
            "async" => asynchronous(jobs, probes),
            other => Err(ScenarioError::NoCase { scenario: ABOUT.name, case: other.into() }),
        }
    }

    fn rivals(&self, place: &Place, programs: &Programs) -> Vec<Rival> {
        let (jobs, probes) = (place.scaled(JOBS), place.scaled(SLOW_PROBES));
        let rival = |name, way: &'static str| {
            let python = programs.python.clone();
            Rival {
                name,
                mode: Mode::Concurrent,
                cold: false,
                command: Box::new(move || {
                    let mut command = Command::new(&python);
                    command.args(["-B", "-c", RIVAL, way]).args([jobs.to_string(), probes.to_string()]);
                    command
                }),
                items: Box::new(|json| json["n"].as_f64().unwrap_or(0.0)),
                verify: Box::new(move |json| {
                    ScenarioError::check("sum", sum(jobs), json["sum"].as_u64().unwrap_or(0))
                }),
                more: |json, figures| figures.latency = latency(&json["ms"]),
            }
        };
        vec![rival("python, threads", "threads"), rival("python, asyncio", "asyncio")]
    }
}

/// Sum of the numbers below.
fn sum(jobs: u64) -> u64 {
    jobs * jobs.saturating_sub(1) / 2
}

/// Percentiles of times in ms, sorted, from a rival's JSON.
fn latency(ms: &serde_json::Value) -> Option<Latency> {
    let mut times = Latencies::default();
    for ms in ms.as_array()? {
        times.push(Duration::try_from_secs_f64(ms.as_f64()? / 1e3).ok()?);
    }
    times.summary()
}

fn pool(workers: usize) -> Result<Pool, ScenarioError> {
    // A short burst, so that the shares of a short measurement are not coloured by its use.
    let critical_burst = Duration::from_millis(2);
    Pool::new(PoolConfig { workers, critical_burst, name: "cpu".into(), ..PoolConfig::default() })
        .map_err(ScenarioError::work)
}

/// One worker, one line: the next job is asked for when the one before is back, and nothing is urgent.
fn one_by_one(jobs: u64, probes: u64) -> Result<Figures, ScenarioError> {
    let pool = pool(1)?;
    let group = pool.group(GroupOptions { deadline: Some(LIMIT), ..GroupOptions::default() });
    let meter = Meter::start(1);
    let mut total = 0;
    for n in 0..jobs {
        group.spawn("empty", move |_| n);
        total += group.results().filter_map(|(_, outcome)| outcome.done()).sum::<u64>();
    }
    let figures = meter.stop(jobs as f64, Latencies::default());
    ScenarioError::check("sum", sum(jobs), total)?;
    let waits = flood::probe_in_line(&pool, probes)?;
    Ok(Figures { latency: waits.summary(), ..figures })
}

/// All workers, four classes, eight owners in each.
fn at_once(jobs: u64, probes: u64) -> Result<Figures, ScenarioError> {
    let pool = pool(cores())?;
    let owners = Priority::ALL.into_iter().flat_map(|class| (0..OWNERS).map(move |owner| (class, owner)));
    let groups: Vec<_> = owners
        .map(|(priority, owner)| {
            pool.group(GroupOptions { priority, owner, deadline: Some(LIMIT), ..GroupOptions::default() })
        })
        .collect();
    let meter = Meter::start(cores());
    let mut total = 0;
    // In rounds, so that the queues stay short enough to fit into the caches, as they do in a feeding loop.
    let (lines, per_round) = (groups.len() as u64, 8_192);
    for first in (0..jobs).step_by(per_round as usize) {
        let last = (first + per_round).min(jobs);
        for (line, group) in groups.iter().enumerate() {
            let numbers = (first..last).filter(|n| n % lines == line as u64);
            group.spawn_all(numbers.map(|n| ("empty", move |_: &TaskCtx<'_>| n)));
        }
        for group in &groups {
            total += group.results().filter_map(|(_, outcome)| outcome.done()).sum::<u64>();
        }
    }
    let mut figures = meter.stop(jobs as f64, Latencies::default());
    ScenarioError::check("sum", sum(jobs), total)?;
    figures.latency = flood::probe_urgently(&pool, probes)?.summary();
    for (class, share) in Priority::ALL.into_iter().zip(flood::shares(&pool)?) {
        figures.extra.insert(format!("worker_time_{}_pct", class.as_str()), share);
    }
    Ok(figures)
}

/// Asynchronous tasks in a scope, a hundred under way at a time.
fn asynchronous(jobs: u64, probes: u64) -> Result<Figures, ScenarioError> {
    let config = RuntimeConfig { workers: cores(), name: "io".into(), ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).map_err(ScenarioError::work)?;
    let meter = Meter::start(cores());
    let total = runtime.run("jobs", move |scope| async move {
        let (mut total, mut handles) = (0, Vec::with_capacity(100));
        for first in (0..jobs).step_by(100) {
            handles.extend((first..(first + 100).min(jobs)).map(|n| {
                let class = Priority::ALL[n as usize % 4];
                scope.spawn(class, "empty", LIMIT, async move { n })
            }));
            for handle in handles.drain(..) {
                if let Outcome::Done(n) = handle.await {
                    total += n;
                }
            }
        }
        total
    });
    let mut figures = meter.stop(jobs as f64, Latencies::default());
    ScenarioError::check("sum", sum(jobs), total.map_err(ScenarioError::work)?)?;
    figures.latency = flood::probe_asynchronously(&runtime, probes)?.summary();
    Ok(figures)
}
