//! What the scheduler costs: tasks of a fixed amount of work through this pool and through rayon, asynchronous tasks
//! beside tokio's, all in one run, and the cost of one decision of the policy.
//!
//!     cargo run --release -p springtide-runtime --example overhead [tasks [parts]]
//!
//! `parts` are any of `decision,jobs,async,wake,shares,memory`; all without it.
//!
//! The work of a task is a fixed number of multiplications, calibrated to the time asked for on one thread
//! beforehand, so that losses by the second worker show. Rounds of both pools alternate; the best of each
//! counts, since noise only ever adds. `cpu` is processor time of all threads, which other programs on the
//! machine disturb less than they do the wall clock.

mod spin;
mod tasks;

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use spin::{processor_ns, steps_per_us, work};
use springtide_runtime::{
    GroupOptions, Pool, PoolConfig, Priority, TaskCtx,
    policy::{Policy, PolicyConfig},
};
use std::{
    hint::black_box,
    sync::mpsc,
    time::{Duration, Instant},
};

const ROUNDS: usize = 7;

fn main() {
    let tasks: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(50_000);
    let parts = std::env::args().nth(2);
    let wanted = |part: &str| parts.as_ref().is_none_or(|parts| parts.split(',').any(|p| p == part));
    let per_us = steps_per_us();
    if wanted("decision") {
        let (settled, alone) = decision_ns();
        println!("weighted decision with its settlement (4 classes of 8 owners): {settled:.0} ns");
        println!("the decision alone, charged and not settled: {alone:.0} ns");
    }
    if wanted("jobs") {
        jobs(tasks, per_us);
    }
    if wanted("async") {
        tasks::compare();
    }
    if wanted("wake") {
        tasks::wake_up();
    }
    if wanted("shares") {
        shares(per_us);
    }
    if wanted("memory") {
        queue_a_million();
    }
}

fn jobs(tasks: u64, per_us: u64) {
    println!("per task, best of {ROUNDS} rounds: wall time (speed-up by the second worker), cpu time\n");
    let [all, one, spawn, channel, iter] =
        ["pool spawn_all", "pool spawn", "rayon spawn", "rayon spawn + channel", "rayon par_iter"];
    println!("{:>8} {:>8} {all:>30} {one:>30} {spawn:>30} {channel:>30} {iter:>30}", "work", "workers");
    // All pools live to the end: the time of threads that have gone would be missing from the sum.
    let pools = [1, 2].map(|workers| (workers, Pools::new(workers)));
    for work_us in [0, 10] {
        let steps = per_us * work_us;
        let tasks = if work_us == 0 { tasks * 10 } else { tasks };
        let mut single = [f64::NAN; 5];
        for (workers, pools) in &pools {
            let best = measure(pools, tasks, steps);
            print!("{work_us:>5} µs {workers:>8}");
            for (single, cost) in single.iter_mut().zip(best) {
                let scale =
                    if *workers == 1 { String::new() } else { format!(" ({:.2}x)", *single / cost.wall) };
                *single = cost.wall;
                print!(" {:>30}", format!("{:.0} ns{scale}, cpu {:.0} ns", cost.wall, cost.cpu));
            }
            println!();
        }
    }
}

/// Nanoseconds per task.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

/// Measures `run`, which runs `tasks` tasks.
fn cost(tasks: u64, run: impl FnOnce() -> u64) -> Cost {
    let (cpu, start) = (processor_ns(), Instant::now());
    black_box(run());
    let wall = start.elapsed().as_nanos() as f64 / tasks as f64;
    Cost { wall, cpu: processor_ns().saturating_sub(cpu) as f64 / tasks as f64 }
}

/// Both pools with equally many workers.
struct Pools {
    ours: Pool,
    rayon: rayon::ThreadPool,
}

impl Pools {
    fn new(workers: usize) -> Self {
        Self {
            ours: Pool::new(PoolConfig { workers, ..PoolConfig::default() }).expect("a pool starts"),
            rayon: rayon::ThreadPoolBuilder::new().num_threads(workers).build().expect("a rayon pool starts"),
        }
    }
}

fn measure(Pools { ours: pool, rayon }: &Pools, tasks: u64, steps: u64) -> [Cost; 5] {
    let mut best = [Cost { wall: f64::INFINITY, cpu: f64::INFINITY }; 5];
    for _ in 0..ROUNDS {
        let costs = [
            cost(tasks, || spawn_all(pool, tasks, steps)),
            cost(tasks, || spawn(pool, tasks, steps)),
            cost(tasks, || rayon_spawn(rayon, tasks, steps)),
            cost(tasks, || rayon_channel(rayon, tasks, steps)),
            cost(tasks, || rayon_iter(rayon, tasks, steps)),
        ];
        for (best, cost) in best.iter_mut().zip(costs) {
            *best = Cost { wall: best.wall.min(cost.wall), cpu: best.cpu.min(cost.cpu) };
        }
    }
    best
}

fn spawn_all(pool: &Pool, tasks: u64, steps: u64) -> u64 {
    let group = pool.group(GroupOptions { max_queued: usize::MAX, ..GroupOptions::default() });
    group.spawn_all((0..tasks).map(|n| ("work", move |_: &TaskCtx| work(n, steps))));
    group.results().filter_map(|(_, outcome)| outcome.done()).fold(0, u64::wrapping_add)
}

fn spawn(pool: &Pool, tasks: u64, steps: u64) -> u64 {
    let group = pool.group(GroupOptions { max_queued: usize::MAX, ..GroupOptions::default() });
    for n in 0..tasks {
        group.spawn("work", move |_| work(n, steps));
    }
    group.results().filter_map(|(_, outcome)| outcome.done()).fold(0, u64::wrapping_add)
}

/// One closure per task, nothing delivered: results are thrown away.
fn rayon_spawn(pool: &rayon::ThreadPool, tasks: u64, steps: u64) -> u64 {
    pool.in_place_scope_fifo(|scope| {
        for n in 0..tasks {
            scope.spawn_fifo(move |_| {
                black_box(work(n, steps));
            });
        }
    });
    0
}

/// What does the same as a group: one closure per task, each result delivered as it comes.
fn rayon_channel(pool: &rayon::ThreadPool, tasks: u64, steps: u64) -> u64 {
    let (sender, results) = mpsc::channel();
    pool.in_place_scope_fifo(|scope| {
        for n in 0..tasks {
            let sender = sender.clone();
            scope.spawn_fifo(move |_| sender.send((n, work(n, steps))).expect("the receiver waits"));
        }
        drop(sender);
        results.iter().fold(0, |sum, (_, value)| u64::wrapping_add(sum, value))
    })
}

/// Rayon at its best: one loop split in halves, no closure per task, no result before the end.
fn rayon_iter(pool: &rayon::ThreadPool, tasks: u64, steps: u64) -> u64 {
    pool.install(|| (0..tasks).into_par_iter().map(|n| work(n, steps)).reduce(|| 0, u64::wrapping_add))
}

/// A decision with its settlement, each settled before the next; and decisions alone, a thousand in a row, which are
/// settled while no clock runs.
fn decision_ns() -> (f64, f64) {
    let mut policy = Policy::new(PolicyConfig::default()).expect("default weights are usable");
    let owners = Priority::ALL.into_iter().flat_map(|class| (0..8).map(move |owner| (class, owner)));
    let flows: Vec<_> = owners.map(|(class, owner)| policy.open(class, owner)).collect();
    flows.iter().for_each(|flow| policy.arrive(*flow, 10_000_000));
    let cost = |i: u64| 90_000 + i * 7_919 % 20_000;
    let (decisions, in_a_row) = (10_000, 1_000);
    let mut settled = || {
        let start = Instant::now();
        for i in 0..decisions {
            let decision = policy.decide(1).expect("there is work");
            policy.settle(decision.flow, 1, decision.charge_each, cost(i));
        }
        start.elapsed().as_nanos() as f64 / decisions as f64
    };
    let with_settlement = (0..100).map(|_| settled()).fold(f64::INFINITY, f64::min);
    let mut taken = Vec::with_capacity(in_a_row);
    let mut alone = || {
        let start = Instant::now();
        taken.extend((0..in_a_row).map_while(|_| policy.decide(1)));
        let ns = start.elapsed().as_nanos() as f64 / in_a_row as f64;
        for (i, decision) in taken.drain(..).enumerate() {
            policy.settle(decision.flow, 1, decision.charge_each, cost(i as u64));
        }
        ns
    };
    (with_settlement, (0..1_000).map(|_| alone()).fold(f64::INFINITY, f64::min))
}

/// Shares of worker time while all four classes have work waiting, in tasks of 50, 100, 200 and 400 µs.
fn shares(per_us: u64) {
    // A small burst, so that its use does not colour a short measurement.
    let config = PoolConfig { workers: 2, critical_burst: Duration::from_millis(1), ..PoolConfig::default() };
    let pool = Pool::new(config).expect("a pool starts");
    let groups: Vec<_> = Priority::ALL
        .into_iter()
        .enumerate()
        .map(|(i, priority)| {
            let group =
                pool.group(GroupOptions { priority, max_queued: usize::MAX, ..GroupOptions::default() });
            let steps = per_us * (50 << i);
            group.spawn_all((0..100_000).map(|n| ("work", move |_: &TaskCtx| work(n, steps))));
            group
        })
        .collect();
    let before = pool.snapshot().busy.0;
    std::thread::sleep(Duration::from_secs(3));
    let busy = pool.snapshot().busy.0;
    groups.iter().for_each(|group| group.cancel());
    let spent: Vec<f64> =
        busy.iter().zip(before).map(|(after, before)| (*after - before).as_secs_f64()).collect();
    let total: f64 = spent.iter().sum();
    let shares: Vec<String> = spent.iter().map(|s| format!("{:.1}", 100.0 * s / total)).collect();
    println!("\nmeasured shares under saturation, weights 40/30/20/10: {} %", shares.join("/"));
}

/// Memory of queued tasks: resident size before and after queuing a million behind a blocked worker.
fn queue_a_million() {
    let pool = Pool::new(PoolConfig { workers: 1, ..PoolConfig::default() }).expect("a pool starts");
    let (open, gate) = mpsc::channel::<()>();
    let blocker = pool.group(GroupOptions { priority: Priority::Critical, ..GroupOptions::default() });
    blocker.spawn("blocker", move |_| gate.recv().is_err());
    let group = pool.group::<u64>(GroupOptions { max_queued: usize::MAX, ..GroupOptions::default() });
    let before = resident_bytes();
    let start = Instant::now();
    group.spawn_all((0..1_000_000_u64).map(|n| ("queued", move |_: &TaskCtx| n)));
    let ns = start.elapsed().as_nanos() as f64 / 1e6;
    let bytes = resident_bytes().saturating_sub(before) as f64 / 1e6;
    println!("a million queued tasks: {bytes:.0} bytes and {ns:.0} ns to queue each");
    drop(open);
    group.cancel();
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
