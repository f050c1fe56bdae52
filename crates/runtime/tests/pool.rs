//! The pool under stress. Order is forced by channels and gates, never by waiting and hoping; a deadline of
//! milliseconds is given only where passing it is what is tested.

use springtide_runtime::{
    CancelToken, Group, GroupOptions, Label, Outcome, Pool, PoolConfig, PoolError, Priority, Snapshot,
    StopReason, TaskCtx, Weights,
};
use std::{
    collections::HashSet,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

fn pool(workers: usize) -> Pool {
    Pool::new(PoolConfig { workers, name: "test".into(), ..PoolConfig::default() }).unwrap()
}

fn options(priority: Priority) -> GroupOptions {
    GroupOptions { priority, ..GroupOptions::default() }
}

/// A task that holds its worker until the gate is opened or dropped.
fn hold<T: Send + Default>(group: &Group<T>, label: &'static str) -> mpsc::Sender<()> {
    let (gate, closed) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    group.spawn(label, move |_| {
        begun.send(()).unwrap();
        let _ = closed.recv();
        T::default()
    });
    begins.recv().unwrap();
    gate
}

/// Runs until it is told to stop.
fn run_until_stopped(ctx: &TaskCtx<'_>) -> StopReason {
    loop {
        if let Some(why) = ctx.should_stop() {
            return why;
        }
        thread::yield_now();
    }
}

/// Reads the registry until it shows what is awaited.
fn await_snapshot(pool: &Pool, what: impl Fn(&Snapshot) -> bool) -> Snapshot {
    loop {
        let snapshot = pool.snapshot();
        if what(&snapshot) {
            return snapshot;
        }
        thread::yield_now();
    }
}

#[test]
fn every_task_has_one_outcome() {
    let pool = pool(3);
    let group = pool.group(options(Priority::Standard));
    for n in 0..5_000_u64 {
        assert_eq!(group.spawn("double", move |_| n * 2), n);
    }
    let mut seen = HashSet::new();
    for (index, outcome) in group.results() {
        assert_eq!(outcome, Outcome::Done(index * 2));
        assert!(seen.insert(index));
    }
    assert_eq!(seen.len(), 5_000);
    assert_eq!(group.outstanding(), 0);
    assert_eq!(pool.snapshot().total().done, 5_000);
}

#[test]
fn a_group_can_be_used_again_after_its_results_were_read() {
    let pool = pool(2);
    let group = pool.group(options(Priority::High));
    assert_eq!(group.next(), None);
    for round in 0..100 {
        group.spawn("round", move |_| round);
        assert_eq!(group.next(), Some((round, Outcome::Done(round))));
        assert_eq!(group.try_next(), None);
    }
    assert_eq!(group.next_within(Duration::from_secs(3_600)), None, "nothing is on its way");
}

#[test]
fn next_within_gives_up() {
    let pool = pool(1);
    let group = pool.group(options(Priority::High));
    let gate = hold::<u32>(&group, "held");
    assert_eq!(group.next_within(Duration::from_millis(2)), None);
    assert_eq!(group.outstanding(), 1);
    drop(gate);
    assert_eq!(group.next_within(Duration::from_secs(3_600)), Some((0, Outcome::Done(0))));
}

#[test]
fn panics_are_outcomes_and_workers_live_on() {
    let pool = pool(1);
    let group = pool.group(options(Priority::Standard));
    for n in 0..50_u32 {
        group.spawn("may panic", move |_| {
            assert!(n % 2 == 0, "odd number {n}");
            n
        });
    }
    let (mut done, mut panicked) = (0, 0);
    for (index, outcome) in group.results() {
        match outcome {
            Outcome::Done(n) => done += usize::from(u64::from(n) == index),
            Outcome::Panicked(report) => {
                assert!(report.contains(&format!("odd number {index}")), "{report}");
                assert!(report.contains("pool.rs:"), "{report}");
                panicked += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((done, panicked), (25, 25));
    let counts = pool.snapshot().total();
    assert_eq!((counts.done, counts.failed), (25, 25));
}

#[test]
fn a_panicking_destructor_is_an_outcome_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("destructor");
        }
    }
    let pool = pool(1);
    let group = pool.group::<()>(options(Priority::Standard));
    let gate = hold(&group, "held");
    let bomb = Bomb;
    group.spawn("never run", move |_| std::mem::forget(bomb));
    group.cancel();
    let first = group.next().unwrap();
    assert!(
        matches!(&first, (1, Outcome::Panicked(report)) if report.starts_with("destructor")),
        "{first:?}"
    );
    drop(gate);
    assert_eq!(group.next(), Some((0, Outcome::Done(()))), "it never asked, so its result counts");
}

#[test]
fn cancelling_ends_queued_tasks_now_and_running_ones_when_they_ask() {
    let pool = pool(2);
    let token = CancelToken::new();
    let group = pool.group(GroupOptions { cancel: token.clone(), ..options(Priority::Standard) });
    let (begun, begins) = mpsc::channel();
    for _ in 0..2 {
        let begun = begun.clone();
        group.spawn("running", move |ctx| {
            begun.send(()).unwrap();
            assert_eq!(run_until_stopped(ctx), StopReason::Cancelled);
        });
    }
    begins.recv().unwrap();
    begins.recv().unwrap();
    for _ in 0..1_000 {
        group.spawn("queued", |_| unreachable!("cancelled before it began"));
    }
    token.cancel();
    assert_eq!(group.results().filter(|(_, outcome)| *outcome == Outcome::Cancelled).count(), 1_002);
    group.spawn("late", |_| unreachable!("the group is cancelled"));
    assert_eq!(group.next(), Some((1_002, Outcome::Cancelled)));
    assert_eq!(pool.snapshot().total().cancelled, 1_003);
}

#[test]
fn queued_tasks_are_cancelled_while_every_worker_is_stuck() {
    let pool = pool(1);
    let stuck = pool.group(options(Priority::Standard));
    let gate = hold::<()>(&stuck, "stuck");
    let group = pool.group::<()>(options(Priority::Standard));
    group.spawn_all((0..100).map(|_| ("queued", |_: &TaskCtx| ())));
    group.cancel();
    assert_eq!(group.results().filter(|(_, o)| *o == Outcome::Cancelled).count(), 100);
    drop(group);
    drop(gate);
}

/// Brings the only worker of a pool into a held task with `tasks`, of the same group, in its hands: repeats until
/// the policy takes them for short tasks and hands them out as one batch.
fn with_batch_in_hand<F>(pool: &Pool, tasks: impl Fn() -> Vec<F>) -> (mpsc::Sender<()>, Group<()>)
where
    F: FnOnce(&TaskCtx<'_>) + Send + 'static,
{
    loop {
        let group = pool.group(GroupOptions::default());
        group.spawn_all((0..2_000).map(|_| ("short", |_: &TaskCtx| ())));
        assert_eq!(group.results().count(), 2_000);
        // Another owner, whose tasks' cost says nothing about those of the first.
        let blocker = pool.group(GroupOptions { owner: 1, ..GroupOptions::default() });
        let blocked = hold::<()>(&blocker, "blocker");
        let (gate, closed) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        group.spawn("held with a batch in hand", move |_| {
            begun.send(()).unwrap();
            let _ = closed.recv();
        });
        group.spawn_all(tasks().into_iter().map(|task| ("in hand", task)));
        drop(blocked);
        begins.recv().unwrap();
        if pool.snapshot().queued_total() == 0 {
            return (gate, group);
        }
        drop(gate);
    }
}

#[test]
fn tasks_in_a_workers_hands_are_cancelled_too() {
    let pool = pool(1);
    let (gate, group) = with_batch_in_hand(&pool, || vec![|_: &TaskCtx| (); 5]);
    group.cancel();
    let mut cancelled: Vec<u64> = (0..5)
        .filter_map(|_| group.next())
        .filter_map(|(index, outcome)| (outcome == Outcome::Cancelled).then_some(index))
        .collect();
    cancelled.sort_unstable();
    drop(gate);
    assert_eq!(cancelled, [2_001, 2_002, 2_003, 2_004, 2_005], "while the one before them was still held");
}

#[test]
fn cancelling_puts_the_tasks_of_others_back() {
    let pool = pool(1);
    let (gate, group) = with_batch_in_hand(&pool, || vec![|_: &TaskCtx| (); 5]);
    let other = pool.group::<()>(GroupOptions::default());
    other.cancel();
    assert_eq!(pool.snapshot().queued_total(), 5);
    drop(gate);
    assert_eq!(group.results().filter(|(_, o)| *o == Outcome::Done(())).count(), 6);
}

#[test]
fn dropping_a_group_waits_for_its_running_tasks_and_drops_the_rest() {
    let pool = pool(2);
    let running = Arc::new(AtomicUsize::new(0));
    let group = pool.group(options(Priority::Standard));
    let (begun, begins) = mpsc::channel();
    for _ in 0..100 {
        let (running, begun) = (Arc::clone(&running), begun.clone());
        group.spawn("loop", move |ctx| {
            running.fetch_add(1, Ordering::SeqCst);
            begun.send(()).unwrap();
            run_until_stopped(ctx);
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }
    begins.recv().unwrap();
    drop(group);
    assert_eq!(running.load(Ordering::SeqCst), 0);
    assert_eq!(pool.snapshot().queued_total(), 0);
}

#[test]
fn dropping_one_group_leaves_others_of_the_same_token_alone() {
    let pool = pool(1);
    let token = CancelToken::new();
    let open = || pool.group(GroupOptions { cancel: token.clone(), ..GroupOptions::default() });
    let (first, second) = (open(), open());
    let gate = hold(&second, "held");
    first.spawn("queued", |_| ());
    second.spawn("queued", |_| ());
    drop(first);
    drop(gate);
    assert_eq!(second.results().filter(|(_, o)| *o == Outcome::Done(())).count(), 2);
    assert!(!token.is_cancelled());
}

#[test]
fn dropping_the_pool_cancels_what_is_left_and_joins() {
    let pool = pool(2);
    let group = pool.group(options(Priority::Low));
    let (begun, begins) = mpsc::channel();
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    group.spawn("running", move |ctx| {
        begun.send(()).unwrap();
        run_until_stopped(ctx);
        flag.store(true, Ordering::SeqCst);
    });
    begins.recv().unwrap();
    let other = hold(&group, "held");
    group.spawn_all((0..500).map(|_| ("queued", |_: &TaskCtx| ())));
    let registry = pool.registry();
    drop(other);
    drop(pool);
    assert!(ended.load(Ordering::SeqCst));
    assert_eq!(group.results().count(), 502);
    group.spawn("after the end", |_| ());
    assert_eq!(group.next(), Some((502, Outcome::Cancelled)));
    assert_eq!(registry.snapshot().total().ended(), 503);
}

#[test]
fn a_task_may_drop_the_last_handle_of_its_pool() {
    let pool = Arc::new(pool(2));
    let group = pool.group(GroupOptions::default());
    let (go, gone) = mpsc::channel::<()>();
    let handle = Arc::clone(&pool);
    group.spawn("drops the pool", move |_| {
        let _ = gone.recv();
        drop(handle);
    });
    drop(pool);
    drop(go);
    assert_eq!(group.next(), Some((0, Outcome::Done(()))));
}

#[test]
fn a_deadline_stops_the_task_that_asks() {
    let pool = pool(2);
    let group =
        pool.group(GroupOptions { deadline: Some(Duration::from_millis(5)), ..GroupOptions::default() });
    for _ in 0..20 {
        group.spawn("endless", |ctx| {
            assert!(ctx.remaining().is_some());
            assert_eq!(run_until_stopped(ctx), StopReason::TimedOut);
            assert_eq!(ctx.remaining(), Some(Duration::ZERO));
        });
    }
    assert_eq!(group.results().filter(|(_, o)| *o == Outcome::TimedOut).count(), 20);
    assert_eq!(pool.snapshot().total().timed_out, 20);
}

#[test]
fn a_shorter_deadline_is_not_overslept_behind_a_longer_one() {
    let pool = pool(2);
    let long =
        pool.group(GroupOptions { deadline: Some(Duration::from_secs(3_600)), ..GroupOptions::default() });
    let gate = hold::<()>(&long, "an hour");
    let short =
        pool.group(GroupOptions { deadline: Some(Duration::from_millis(1)), ..GroupOptions::default() });
    for _ in 0..50 {
        short.spawn("a millisecond", |ctx| assert_eq!(run_until_stopped(ctx), StopReason::TimedOut));
        assert_eq!(short.next().unwrap().1, Outcome::TimedOut);
    }
    drop(gate);
}

#[test]
fn a_task_deaf_to_its_deadline_is_named_and_its_result_kept() {
    let pool = pool(1);
    let group = pool.group(GroupOptions {
        deadline: Some(Duration::from_millis(1)),
        owner: 7,
        ..GroupOptions::default()
    });
    let gate = hold::<u32>(&group, "deaf");
    let snapshot = await_snapshot(&pool, |s| s.overdue().any(|t| t.stopping == Some(StopReason::TimedOut)));
    let overdue = snapshot.overdue().next().unwrap();
    assert_eq!((overdue.label.as_str(), overdue.owner), ("deaf", 7));
    assert!(overdue.elapsed > overdue.overdue.unwrap());
    drop(gate);
    assert_eq!(group.next(), Some((0, Outcome::Done(0))));
    assert_eq!(pool.snapshot().total().overdue, 1);
    assert_eq!(pool.snapshot().overdue().count(), 0);
}

#[test]
fn critical_work_starts_before_everything_queued() {
    let pool = pool(1);
    let order = Arc::new(Mutex::new(Vec::new()));
    let queue = |class: Priority, count: usize| {
        let group = pool.group(options(class));
        for _ in 0..count {
            let order = Arc::clone(&order);
            group.spawn(class.as_str(), move |_| order.lock().unwrap().push(class));
        }
        group
    };
    let blocker = pool.group(options(Priority::Standard));
    let gate = hold::<()>(&blocker, "blocker");
    let groups = [queue(Priority::High, 100), queue(Priority::Low, 100), queue(Priority::Critical, 20)];
    drop(gate);
    groups.iter().for_each(|group| assert!(group.results().count() > 0));
    let order = order.lock().unwrap();
    assert_eq!(order[..20], [Priority::Critical; 20]);
    assert_eq!(order.len(), 220);
}

#[test]
fn critical_work_starts_before_the_rest_of_a_batch_in_hand() {
    let pool = pool(1);
    let started = Arc::new(AtomicU64::new(0));
    let tasks = || {
        let task = |started: &Arc<AtomicU64>| {
            let started = Arc::clone(started);
            move |_: &TaskCtx| {
                started.fetch_add(1, Ordering::SeqCst);
            }
        };
        (0..5).map(|_| task(&started)).collect()
    };
    let (gate, batch) = with_batch_in_hand(&pool, tasks);
    let before = started.load(Ordering::SeqCst);
    let critical = pool.group(options(Priority::Critical));
    let count = Arc::clone(&started);
    critical.spawn("critical", move |_| count.load(Ordering::SeqCst));
    drop(gate);
    assert_eq!(critical.next(), Some((0, Outcome::Done(before))), "nothing ran before it");
    assert_eq!(batch.results().count(), 6);
}

#[test]
fn a_small_owner_is_not_shut_out_by_a_large_one() {
    let pool = pool(1);
    let order = Arc::new(Mutex::new(Vec::new()));
    let blocker = pool.group(GroupOptions { owner: 99, ..GroupOptions::default() });
    let gate = hold::<()>(&blocker, "blocker");
    let queue = |owner: u64, count: usize| {
        let group = pool.group(GroupOptions { owner, ..GroupOptions::default() });
        for _ in 0..count {
            let order = Arc::clone(&order);
            group.spawn("task", move |_| {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(300) {
                    std::hint::spin_loop();
                }
                order.lock().unwrap().push(owner);
            });
        }
        group
    };
    let large = queue(1, 400);
    let small = queue(2, 5);
    drop(gate);
    assert_eq!(small.results().count(), 5);
    drop(large);
    let before = order.lock().unwrap().iter().take_while(|owner| **owner == 1).count();
    assert!(before < 100, "{before} tasks of the large batch ran before the first of the small one");
}

#[test]
fn many_owners_and_groups_at_once() {
    let pool = pool(4);
    let total = AtomicU64::new(0);
    thread::scope(|scope| {
        for producer in 0..8_u64 {
            let (pool, total) = (&pool, &total);
            scope.spawn(move || {
                for owner in 0..25 {
                    let class = Priority::ALL[(owner % 4) as usize];
                    let group = pool.group(GroupOptions {
                        owner: producer * 100 + owner,
                        max_queued: 3 + owner as usize,
                        ..options(class)
                    });
                    group.feed((0..60_u64).map(|n| ("n", move |_: &TaskCtx| n)), |_, outcome| {
                        total.fetch_add(outcome.done().unwrap(), Ordering::Relaxed);
                    });
                }
            });
        }
    });
    assert_eq!(total.load(Ordering::Relaxed), 8 * 25 * (0..60).sum::<u64>());
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.total().done, 8 * 25 * 60);
    assert_eq!(snapshot.queued_total(), 0);
}

#[test]
fn feed_bounds_what_is_on_its_way() {
    let pool = pool(2);
    let group = pool.group(GroupOptions { max_queued: 100, ..GroupOptions::default() });
    let (drawn, seen, most) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let jobs = (0..20_000_u64).map(|n| {
        let ahead = drawn.fetch_add(1, Ordering::Relaxed) + 1 - seen.load(Ordering::Relaxed);
        most.fetch_max(ahead, Ordering::Relaxed);
        ("streamed", move |_: &TaskCtx| n)
    });
    let count = group.feed(jobs, |index, outcome| {
        assert_eq!(outcome, Outcome::Done(index));
        seen.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!((count, seen.load(Ordering::Relaxed)), (20_000, 20_000));
    assert!(most.load(Ordering::Relaxed) <= 100, "{most:?} tasks on their way");
}

#[test]
fn feed_ends_when_cancelled() {
    let pool = pool(2);
    let group = pool.group(GroupOptions { max_queued: 10, ..GroupOptions::default() });
    let mut outcomes = 0_u64;
    let drawn = group.feed((0_u64..).map(|n| ("endless", move |_: &TaskCtx| n)), |index, _| {
        outcomes += 1;
        if index == 1_000 {
            group.cancel();
        }
    });
    assert_eq!(drawn, outcomes);
    assert!(drawn >= 1_001);
}

#[test]
fn spawn_waits_for_room_and_is_released_by_cancelling() {
    let pool = pool(1);
    let group = pool.group(GroupOptions { max_queued: 4, ..GroupOptions::default() });
    let gate = hold::<()>(&group, "held");
    let spawned = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..10 {
                group.spawn("queued", |_| ());
                spawned.fetch_add(1, Ordering::SeqCst);
            }
        });
        await_snapshot(&pool, |s| s.queued_total() == 4);
        assert!(spawned.load(Ordering::SeqCst) <= 4, "the fifth waits for room");
        group.cancel();
    });
    assert_eq!(spawned.load(Ordering::SeqCst), 10);
    drop(gate);
    assert_eq!(group.results().count(), 11);
}

#[test]
fn a_panicking_iterator_leaves_no_task_without_outcome() {
    let pool = pool(1);
    let group = pool.group(GroupOptions::default());
    let jobs = (0..10_u32).map(|n| {
        assert!(n < 5, "the source breaks");
        ("job", move |_: &TaskCtx| n)
    });
    let broken = panic::catch_unwind(AssertUnwindSafe(|| group.spawn_all(jobs)));
    assert!(broken.is_err());
    assert_eq!(group.results().filter(|(_, o)| *o == Outcome::Cancelled).count(), 5);
}

fn fibonacci(ctx: &TaskCtx<'_>, n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let children = ctx.group::<u64>(ctx.child_options());
    for k in [n - 1, n - 2] {
        children.spawn("fibonacci", move |ctx| fibonacci(ctx, k));
    }
    children.results().map(|(_, outcome)| outcome.done().unwrap()).sum()
}

#[test]
fn tasks_wait_for_children_without_exhausting_workers() {
    for workers in [1, 2, 3] {
        let pool = pool(workers);
        let group = pool.group(GroupOptions::default());
        for _ in 0..4 {
            group.spawn("root", |ctx| fibonacci(ctx, 11));
        }
        assert_eq!(group.results().map(|(_, o)| o.done().unwrap()).collect::<Vec<_>>(), [89; 4]);
        let snapshot = await_snapshot(&pool, |s| s.workers.iter().all(|w| w.running.is_empty()));
        let busy: Duration = snapshot.workers.iter().map(|w| w.busy).sum();
        let limit = snapshot.uptime * workers as u32;
        assert!(busy <= limit, "time counted twice: {busy:?} of {limit:?}");
    }
}

#[test]
fn children_with_bounded_queues_do_not_block_their_parent() {
    let pool = pool(2);
    let group = pool.group(GroupOptions::default());
    for _ in 0..8 {
        group.spawn("parent", |ctx| {
            let children = ctx.group(GroupOptions { max_queued: 2, ..ctx.child_options() });
            children.spawn_all((0..50_u64).map(|n| ("child", move |_: &TaskCtx| n)));
            children.results().filter_map(|(_, o)| o.done()).sum::<u64>()
        });
    }
    assert!(group.results().all(|(_, o)| o == Outcome::Done(49 * 50 / 2)));
}

#[test]
fn children_end_with_their_parents_deadline() {
    let pool = pool(2);
    let group =
        pool.group(GroupOptions { deadline: Some(Duration::from_millis(20)), ..GroupOptions::default() });
    group.spawn("parent", |ctx| {
        let patient = GroupOptions { deadline: Some(Duration::from_secs(3_600)), ..ctx.child_options() };
        let children = ctx.group(patient);
        for _ in 0..4 {
            children.spawn("child", |ctx| {
                assert!(ctx.remaining().unwrap() <= Duration::from_millis(20), "its own hour is cut short");
                run_until_stopped(ctx);
            });
        }
        children.results().map(|(_, o)| o == Outcome::TimedOut).collect::<Vec<_>>()
    });
    // The parent itself never asks, so that its result counts.
    assert_eq!(group.next(), Some((0, Outcome::Done(vec![true; 4]))));
}

#[test]
fn a_childs_shorter_deadline_leaves_its_parent_alone() {
    let pool = pool(1);
    let group =
        pool.group(GroupOptions { deadline: Some(Duration::from_secs(3_600)), ..GroupOptions::default() });
    group.spawn("parent", |ctx| {
        let hasty = GroupOptions { deadline: Some(Duration::from_millis(1)), ..ctx.child_options() };
        let children = ctx.group(hasty);
        children.spawn("child", |ctx| {
            run_until_stopped(ctx);
        });
        (children.next().unwrap().1, ctx.should_stop())
    });
    assert_eq!(group.next(), Some((0, Outcome::Done((Outcome::TimedOut, None)))));
}

#[test]
fn cancelling_reaches_children_of_children() {
    let pool = pool(2);
    let group = pool.group(GroupOptions::default());
    let (begun, begins) = mpsc::channel();
    group.spawn("parent", move |ctx| {
        let children = ctx.group(ctx.child_options());
        children.spawn("child", move |ctx| {
            let grandchildren = ctx.group(ctx.child_options());
            grandchildren.spawn("grandchild", move |ctx| {
                begun.send(()).unwrap();
                run_until_stopped(ctx)
            });
            grandchildren.next().unwrap().1
        });
        children.next().unwrap().1
    });
    begins.recv().unwrap();
    group.cancel();
    assert_eq!(group.next(), Some((0, Outcome::Done(Outcome::Done(Outcome::Cancelled)))));
}

#[test]
fn a_parent_that_returns_early_takes_its_children_along() {
    let pool = pool(2);
    let group = pool.group(GroupOptions::default());
    let alive = Arc::new(AtomicUsize::new(0));
    for _ in 0..50 {
        let alive = Arc::clone(&alive);
        group.spawn("parent", move |ctx| {
            let children = ctx.group(ctx.child_options());
            for _ in 0..10 {
                let alive = Arc::clone(&alive);
                children.spawn("child", move |ctx| {
                    alive.fetch_add(1, Ordering::SeqCst);
                    run_until_stopped(ctx);
                    alive.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
    }
    assert_eq!(group.results().filter(|(_, o)| *o == Outcome::Done(())).count(), 50);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn idle_workers_steal_from_a_batch_in_hand() {
    let pool = pool(2);
    let group = pool.group(GroupOptions::default());
    let blocker = pool.group::<()>(GroupOptions { owner: 1, ..GroupOptions::default() });
    while pool.snapshot().workers.iter().all(|w| w.stolen == 0) {
        group.spawn_all((0..5_000).map(|_| ("short", |_: &TaskCtx| ())));
        assert_eq!(group.results().count(), 5_000);
        let gates = [hold(&blocker, "blocker"), hold(&blocker, "blocker")];
        // Two tasks of what looks like a batch of short ones wait for each other: they end only on two workers.
        let (left, right) = (mpsc::channel(), mpsc::channel());
        group.spawn("left", move |_| {
            left.0.send(()).unwrap();
            right.1.recv().unwrap();
        });
        group.spawn("right", move |_| {
            right.0.send(()).unwrap();
            left.1.recv().unwrap();
        });
        group.spawn_all((0..30).map(|_| ("filler", |_: &TaskCtx| ())));
        drop(gates);
        assert!(group.results().all(|(_, o)| o == Outcome::Done(())));
    }
}

#[test]
fn the_registry_shows_what_runs() {
    let pool = pool(2);
    let group = pool.group(GroupOptions { owner: 3, ..options(Priority::High) });
    let gate = hold::<()>(&group, "first");
    let other = hold::<()>(&group, "second");
    let low = pool.group::<()>(options(Priority::Low));
    low.spawn_all((0..9).map(|n| (format!("queued {n}"), |_: &TaskCtx| ())));
    let snapshot = pool.snapshot();
    let mut labels: Vec<&str> =
        snapshot.workers.iter().flat_map(|w| &w.running).map(|r| r.label.as_str()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["first", "second"]);
    assert!(
        snapshot.workers.iter().flat_map(|w| &w.running).all(|r| (r.class, r.owner) == (Priority::High, 3))
    );
    assert_eq!(snapshot.queued[Priority::Low], 9);
    drop((gate, other));
    assert_eq!(group.results().count() + low.results().count(), 11);
    let snapshot = pool.snapshot();
    assert!(snapshot.workers.iter().all(|w| w.running.is_empty()));
    assert_eq!(snapshot.counts[Priority::Low].done, 9);
    assert_eq!(snapshot.counts[Priority::High].done, 2);
    assert!(snapshot.busy[Priority::High] > Duration::ZERO);
}

#[test]
fn cancelling_at_any_moment_loses_no_outcome() {
    let pool = pool(3);
    for round in 0..150_u64 {
        let token = CancelToken::new();
        let group =
            pool.group(GroupOptions { cancel: token.clone(), max_queued: 16, ..GroupOptions::default() });
        let nested = pool.group(GroupOptions::default());
        nested.spawn("canceller", move |_| {
            for _ in 0..round * 20 {
                std::hint::spin_loop();
            }
            token.cancel();
        });
        let count = group.spawn_all((0..200_u64).map(|n| {
            ("mixed", move |ctx: &TaskCtx| {
                if n % 3 == 0 {
                    let children = ctx.group(ctx.child_options());
                    children.spawn_all((0..3).map(|k| ("child", move |_: &TaskCtx| k)));
                    return children.results().count() as u64;
                }
                assert!(n % 7 != 0, "sometimes");
                n
            })
        }));
        let mut seen = HashSet::new();
        for (index, outcome) in group.results() {
            assert!(seen.insert(index));
            match outcome {
                Outcome::Done(value) => assert_eq!(value, if index % 3 == 0 { 3 } else { index }),
                Outcome::Panicked(report) => assert!(report.starts_with("sometimes"), "{report}"),
                Outcome::Cancelled => {}
                Outcome::TimedOut => panic!("there is no deadline"),
            }
        }
        assert_eq!((seen.len() as u64, count), (200, 200));
    }
}

#[test]
fn pools_come_and_go() {
    for round in 0..200 {
        let pool = pool(1 + round % 4);
        let group = pool.group(GroupOptions { max_queued: 8, ..GroupOptions::default() });
        for n in 0..round % 7 {
            group.spawn("task", move |_| n);
        }
        if round % 3 == 0 {
            drop(pool);
            assert_eq!(group.results().count(), round % 7);
        } else if round % 3 == 1 {
            drop(group);
        }
    }
}

#[test]
fn bad_settings_are_refused() {
    let none = Pool::new(PoolConfig { workers: 0, ..PoolConfig::default() });
    assert!(matches!(none, Err(PoolError::NoWorkers)));
    let flood = Pool::new(PoolConfig { workers: 100_000, ..PoolConfig::default() });
    assert!(matches!(flood, Err(PoolError::TooMany { workers: 100_000 })), "{flood:?}");
    let weightless = PoolConfig { weights: Weights([1.0, 1.0, 0.0, 1.0]), ..PoolConfig::default() };
    let error = Pool::new(weightless).unwrap_err().to_string();
    assert!(error.contains("`standard`"), "{error}");
}

#[test]
fn labels_come_from_any_text() {
    let shared: Arc<str> = "shared".into();
    let labels = [Label::from("literal"), Label::from(String::from("owned")), Label::from(shared)];
    assert_eq!(labels.each_ref().map(Label::as_str), ["literal", "owned", "shared"]);
}
