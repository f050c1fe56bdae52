//! The watchdog: what blocks is told with its task, its thread and its stack; what works is left alone.
#![cfg(target_os = "linux")]

use springtide_runtime::{
    GroupOptions, OutsideWait, Pool, PoolConfig, Priority,
    exec::{Named, Runtime, RuntimeConfig},
    observe::{Condition, Observatory, StallView, Watchdog, WatchdogConfig},
};
use std::{
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn watch(seen: &Observatory) -> Watchdog {
    let config = WatchdogConfig { threshold: Duration::from_millis(40), stacks: true };
    Watchdog::start(config, seen).expect("a thread")
}

/// Waits until a stall is known that `is` it.
fn await_stall(seen: &Observatory, is: impl Fn(&StallView) -> bool) -> StallView {
    let start = Instant::now();
    loop {
        if let Some(stall) = seen.stalls().into_iter().find(&is) {
            return stall;
        }
        assert!(start.elapsed() < PATIENCE, "not noticed: {:#?}", seen.stalls());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[inline(never)]
fn blocks_its_worker(gate: &Receiver<()>) {
    let _ = std::hint::black_box(gate.recv());
}

fn pool(workers: usize) -> Pool {
    Pool::new(PoolConfig { workers, name: "cpu".into(), ..PoolConfig::default() }).expect("starts")
}

#[test]
fn a_step_that_blocks_is_told_with_its_place_and_stack() {
    let seen = Observatory::new("a test");
    let _watchdog = watch(&seen);
    let runtime = Runtime::new(RuntimeConfig { workers: 1, name: "io".into(), ..RuntimeConfig::default() })
        .expect("starts");
    let (open, gate) = mpsc::channel::<()>();
    let task = runtime.scope().spawn(Priority::High, "careless", None, async move {
        async move { blocks_its_worker(&gate) }.named("the gate").await;
    });
    let stall = await_stall(&seen, |stall| !stall.over);
    assert!(
        stall.task.contains("`careless` [high] of scope `runtime`, at the gate (") && stall.tid > 0,
        "{stall:#?}"
    );
    assert!(!stall.computes && stall.kernel.starts_with('S') && stall.pool == "io", "{stall:#?}");
    assert!(stall.stack.iter().any(|name| name.contains("blocks_its_worker")), "{stall:#?}");
    let health = seen.health().components();
    assert_eq!(health[0].condition, Condition::Degraded);
    assert!(health[0].error.as_ref().is_some_and(|text| text.contains("`careless`")), "{health:?}");
    assert!(seen.tasks().contains("blocks_its_worker"), "{}", seen.tasks());
    assert!(seen.metrics().text().contains("tide_stalls_total 1"));

    drop(open);
    let over = await_stall(&seen, |stall| stall.over);
    assert!(over.for_ms >= 40.0, "{over:?}");
    assert_eq!(runtime.run("end", |_| task).expect("no failure").done(), Some(()));
    let start = Instant::now();
    while seen.health().components()[0].condition != Condition::Ok {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_task_that_waits_for_nothing_of_its_own_is_told_and_one_that_computes_is_not() {
    let seen = Observatory::new("a test");
    let _watchdog = watch(&seen);
    let pool = pool(2);
    let (open, gate) = mpsc::channel::<()>();
    let group = pool.group(GroupOptions::default());
    group.spawn("busy", |ctx| while ctx.should_stop().is_none() {});
    group.spawn("stuck", move |_| blocks_its_worker(&gate));
    let stall = await_stall(&seen, |stall| !stall.over);
    assert!(stall.task.contains("`stuck`"), "{stall:#?}");
    drop(open);
    await_stall(&seen, |stall| stall.over);
    assert!(seen.stalls().iter().all(|stall| stall.task.contains("`stuck`")), "{:#?}", seen.stalls());
}

#[test]
fn a_task_that_waits_for_its_children_is_no_stall() {
    let seen = Observatory::new("a test");
    let _watchdog = watch(&seen);
    let pool = pool(2);
    let group = pool.group(GroupOptions::default());
    group.spawn("parent", |ctx| {
        let children = ctx.group(ctx.child_options());
        // Two, so that the parent helps with one and then waits for the other.
        for _ in 0..2 {
            children.spawn("child", |_| {
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(200) {}
            });
        }
        children.results().count()
    });
    assert_eq!(group.results().count(), 1);
    assert_eq!(seen.stalls(), []);
}

#[test]
fn a_wait_on_purpose_is_shown_and_no_stall_until_its_own_deadline() {
    let seen = Observatory::new("a test");
    let _watchdog = watch(&seen);
    let pool = pool(2);
    let (open, gate) = mpsc::channel::<()>();
    let (done, stuck_gate) = mpsc::channel::<()>();
    let until = Instant::now() + Duration::from_millis(700);
    let group = pool.group(GroupOptions::default());
    group.spawn("waits", move |_| {
        let _waits = OutsideWait::begin("the printer", Some(until));
        blocks_its_worker(&gate);
    });
    group.spawn("stuck", move |_| blocks_its_worker(&stuck_gate));
    // Who is blocked beside it is noticed all the same.
    let stall = await_stall(&seen, |stall| !stall.over && stall.task.contains("`stuck`"));
    assert!(!stall.task.contains("printer"), "{stall:#?}");
    let tree = seen.tasks();
    assert!(
        tree.contains("─ waits [standard] for ") && tree.contains(", waiting for the printer for "),
        "{tree}"
    );
    let late = await_stall(&seen, |stall| stall.task.contains("`waits`"));
    assert!(Instant::now() >= until, "before its time: {late:#?}");
    assert!(late.task.contains("waits for the printer past its time"), "{late:#?}");
    drop((open, done));
    await_stall(&seen, |stall| stall.over && stall.task.contains("`waits`"));
    assert_eq!(group.results().count(), 2);
}

#[test]
fn a_wait_is_over_with_its_guard_and_steps_have_none() {
    let seen = Observatory::new("a test");
    let _watchdog = watch(&seen);
    let pool = pool(1);
    let (open, gate) = mpsc::channel::<()>();
    let group = pool.group(GroupOptions::default());
    group.spawn("after", move |_| {
        drop(OutsideWait::begin("nothing", None));
        blocks_its_worker(&gate);
    });
    await_stall(&seen, |stall| !stall.over && stall.task.contains("`after`"));
    drop(open);
    drop(group);
    let runtime = Runtime::new(RuntimeConfig { workers: 1, name: "io".into(), ..RuntimeConfig::default() })
        .expect("starts");
    let (open, gate) = mpsc::channel::<()>();
    let task = runtime.scope().spawn(Priority::High, "step", None, async move {
        let _waits = OutsideWait::begin("what it should await", None);
        blocks_its_worker(&gate);
    });
    await_stall(&seen, |stall| !stall.over && stall.task.contains("`step`"));
    drop(open);
    assert_eq!(runtime.run("end", |_| task).expect("no failure").done(), Some(()));
}

#[test]
fn a_reactor_that_is_blocked_by_a_library_is_told() {
    let seen = Observatory::new("a test");
    let runtime = Runtime::new(RuntimeConfig { workers: 1, name: "io".into(), ..RuntimeConfig::default() })
        .expect("starts");
    let _watchdog = watch(&seen);
    let (open, gate) = mpsc::channel::<()>();
    // As a library does that spawns on tokio by itself.
    let task = runtime.scope().spawn(Priority::High, "caller", None, async move {
        #[expect(clippy::disallowed_methods, reason = "plays a library")]
        tokio::spawn(async move { blocks_its_worker(&gate) }).await.is_ok()
    });
    let stall = await_stall(&seen, |stall| !stall.over && stall.thread == "reactor");
    assert!(stall.task.contains("something that a library runs on the reactor"), "{stall:#?}");
    assert!(stall.stack.iter().any(|name| name.contains("blocks_its_worker")), "{stall:#?}");
    drop(open);
    await_stall(&seen, |stall| stall.over);
    assert_eq!(runtime.run("end", |_| task).expect("no failure").done(), Some(true));
    let state = seen.state();
    assert!(state["pools"]["io"]["lag_p99_ms"].as_f64().is_some_and(|lag| lag >= 30.0), "{state:#}");
}
