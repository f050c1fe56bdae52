//! Asynchronous tasks: through a scope, with a deadline, cancellation, a handle and a place in the registry,
//! beside bare `tokio::spawn`; and from being spawned to running, beside tokio and rayon.

use springtide_runtime::{
    GroupOptions, Outcome, Pool, PoolConfig, Priority,
    exec::{Runtime, RuntimeConfig},
};
use std::{
    hint::black_box,
    sync::mpsc,
    time::{Duration, Instant},
};

const ROUNDS: usize = 9;
const TASKS: u64 = 100_000;
/// Round trips from an idle start.
const TRIPS: usize = 2_000;
const LIMIT: Duration = Duration::from_secs(60);
const WORKERS: usize = 2;

fn both() -> (Runtime, tokio::runtime::Runtime) {
    let config = RuntimeConfig { workers: WORKERS, ..RuntimeConfig::default() };
    let mut tokio = tokio::runtime::Builder::new_multi_thread();
    let tokio = tokio.worker_threads(WORKERS).enable_all().build().expect("tokio starts");
    (Runtime::new(config).expect("a runtime starts"), tokio)
}

/// Spawns and awaits.
pub fn compare() {
    let (ours, tokio) = both();
    println!("\nan empty asynchronous task, ns each, best of {ROUNDS} rounds of {TASKS} ({WORKERS} workers)");
    println!("{:>44} {:>12} {:>12} {:>8}", "", "ours", "tokio", "ratio");
    type Run<'a> = (&'a str, Box<dyn Fn() + 'a>, Box<dyn Fn() + 'a>);
    let runs: [Run<'_>; 4] = [
        (
            "spawn and await one after another",
            Box::new(|| one_by_one(&ours)),
            Box::new(|| tokio_one_by_one(&tokio)),
        ),
        (
            "spawn 100, await 100, with a deadline each",
            Box::new(|| batches(&ours, Some(LIMIT))),
            Box::new(|| tokio_batches(&tokio)),
        ),
        ("the same without deadlines", Box::new(|| batches(&ours, None)), Box::new(|| tokio_batches(&tokio))),
        ("started, the scope waits for all", Box::new(|| started(&ours)), Box::new(|| tokio_started(&tokio))),
    ];
    for (name, ours, theirs) in &runs {
        let mut best = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            for (best, run) in best.iter_mut().zip([ours, theirs]) {
                let start = Instant::now();
                run();
                *best = best.min(start.elapsed().as_nanos() as f64 / TASKS as f64);
            }
        }
        println!("{name:>44} {:>12.0} {:>12.0} {:>8.2}", best[0], best[1], best[0] / best[1]);
    }
}

fn one_by_one(runtime: &Runtime) {
    let done = runtime.run("one by one", |scope| async move {
        let mut sum = 0;
        for n in 0..TASKS {
            match scope.spawn(Priority::Standard, "empty", LIMIT, async move { n }).await {
                Outcome::Done(n) => sum += n,
                other => panic!("{other:?}"),
            }
        }
        sum
    });
    assert_eq!(done.expect("no failure"), TASKS * (TASKS - 1) / 2);
}

fn batches(runtime: &Runtime, limit: Option<Duration>) {
    let done = runtime.run("batches", move |scope| async move {
        let (mut sum, mut handles) = (0, Vec::with_capacity(100));
        for batch in 0..TASKS / 100 {
            handles.extend((0..100).map(|n| {
                let n = batch * 100 + n;
                scope.spawn(Priority::Standard, "empty", limit, async move { n })
            }));
            for handle in handles.drain(..) {
                sum += handle.await.done().unwrap_or(0);
            }
        }
        sum
    });
    assert_eq!(done.expect("no failure"), TASKS * (TASKS - 1) / 2);
}

fn started(runtime: &Runtime) {
    let done = runtime.run("started", |scope| async move {
        for n in 0..TASKS {
            scope.start(Priority::Standard, "empty", LIMIT, async move {
                black_box(n);
                Ok::<(), std::io::Error>(())
            });
        }
    });
    done.expect("no failure");
}

#[expect(clippy::disallowed_methods, reason = "what ours is compared with")]
fn tokio_one_by_one(tokio: &tokio::runtime::Runtime) {
    let sum = tokio.block_on(tokio.spawn(async {
        let mut sum = 0;
        for n in 0..TASKS {
            sum += tokio::spawn(async move { n }).await.unwrap_or(0);
        }
        sum
    }));
    assert_eq!(sum.expect("no panic"), TASKS * (TASKS - 1) / 2);
}

#[expect(clippy::disallowed_methods, reason = "what ours is compared with")]
fn tokio_batches(tokio: &tokio::runtime::Runtime) {
    let sum = tokio.block_on(tokio.spawn(async {
        let (mut sum, mut handles) = (0, Vec::with_capacity(100));
        for batch in 0..TASKS / 100 {
            handles.extend((0..100).map(|n| {
                let n = batch * 100 + n;
                tokio::spawn(async move { n })
            }));
            for handle in handles.drain(..) {
                sum += handle.await.unwrap_or(0);
            }
        }
        sum
    }));
    assert_eq!(sum.expect("no panic"), TASKS * (TASKS - 1) / 2);
}

#[expect(clippy::disallowed_methods, reason = "what ours is compared with")]
fn tokio_started(tokio: &tokio::runtime::Runtime) {
    let all = tokio.block_on(tokio.spawn(async {
        let mut set = tokio::task::JoinSet::new();
        for n in 0..TASKS {
            set.spawn(async move {
                black_box(n);
            });
        }
        set.join_all().await.len() as u64
    }));
    assert_eq!(all.expect("no panic"), TASKS);
}

/// From a sleeping pool: the time until an empty task runs that was spawned from outside.
#[expect(clippy::disallowed_methods, reason = "what ours is compared with")]
pub fn wake_up() {
    let (ours, tokio) = both();
    let pool = Pool::new(PoolConfig { workers: WORKERS, ..PoolConfig::default() }).expect("a pool starts");
    let rayon = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().expect("a rayon pool starts");
    let group = pool.group::<()>(GroupOptions { priority: Priority::Critical, ..GroupOptions::default() });
    println!(
        "\nfrom spawning an empty task from outside until it runs, workers asleep, µs, median and 99th of 100"
    );
    let row = |name: &str, spawn: &dyn Fn(mpsc::Sender<Instant>)| {
        let mut times: Vec<f64> = (0..TRIPS)
            .map(|_| {
                std::thread::sleep(Duration::from_micros(200));
                let (tell, told) = mpsc::channel();
                let start = Instant::now();
                spawn(tell);
                (told.recv().expect("it runs") - start).as_nanos() as f64 / 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{name:>44} {:>12.1} {:>12.1}", times[TRIPS / 2], times[TRIPS * 99 / 100]);
    };
    let tell = |to: &mpsc::Sender<Instant>| to.send(Instant::now()).expect("it is waited for");
    row("our pool, critical", &|to| {
        group.spawn("empty", move |_| tell(&to));
    });
    row("our runtime, critical", &|to| {
        ours.scope().start(Priority::Critical, "empty", LIMIT, async move {
            tell(&to);
            Ok::<(), std::io::Error>(())
        });
    });
    row("tokio", &|to| drop(tokio.spawn(async move { tell(&to) })));
    row("rayon", &|to| rayon.spawn(move || tell(&to)));
}
