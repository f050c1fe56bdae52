//! A process read from outside: the socket, its rights, and what it tells of a pool at work.

use springtide_runtime::{
    GroupOptions, Outcome, Pool, PoolConfig, Priority,
    observe::{ControlError, ControlServer, Observatory, PoolView, ask},
};
use std::{
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    sync::mpsc,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("exists").permissions().mode() & 0o777
}

#[test]
fn a_pool_at_work_is_seen_through_the_socket() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("run/1.sock");
    let pool =
        Pool::new(PoolConfig { workers: 1, name: "cpu".into(), ..PoolConfig::default() }).expect("pool");
    let seen = Observatory::new("a test");
    let server = ControlServer::start(&path, seen).expect("listens");
    assert_eq!((mode(&path), mode(&folder.path().join("run"))), (0o600, 0o700));

    let group = pool.group(GroupOptions { priority: Priority::High, ..GroupOptions::default() });
    let (go, wait) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel();
    group.spawn("first", move |_| {
        started.send(()).expect("test waits");
        wait.recv().expect("test sends");
    });
    running.recv().expect("runs");
    group.spawn("second", |_| ());

    let state: serde_json::Value =
        serde_json::from_str(&ask(&path, "state", PATIENCE).expect("answers")).expect("json");
    let view: PoolView = serde_json::from_value(state["pools"]["cpu"].clone()).expect("a pool");
    assert_eq!(view.workers[0].running[0].label, "first");
    assert_eq!((view.classes[1].name.as_str(), view.classes[1].queued), ("high", 1));
    let tree = ask(&path, "tasks", PATIENCE).expect("answers");
    assert!(tree.contains("└─ first [high] for "), "{tree}");

    go.send(()).expect("task waits");
    assert!(group.results().all(|(_, outcome)| matches!(outcome, Outcome::Done(()))));
    let metrics = ask(&path, "metrics", PATIENCE).expect("answers");
    assert!(
        metrics.contains("tide_pool_tasks_total{pool=\"cpu\",class=\"high\",outcome=\"done\"} 2"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"));

    drop(server);
    assert!(!path.exists(), "the socket goes with the server");
}

/// A task that goes on counts before it has ended: its class has its share, its worker is busy.
#[test]
fn running_tasks_have_their_share_of_worker_time() {
    let pool =
        Pool::new(PoolConfig { workers: 2, name: "cpu".into(), ..PoolConfig::default() }).expect("pool");
    let group = pool.group(GroupOptions { priority: Priority::Low, ..GroupOptions::default() });
    let (open, gate) = mpsc::channel::<()>();
    let gate = std::sync::Arc::new(std::sync::Mutex::new(gate));
    for _ in 0..2 {
        let gate = std::sync::Arc::clone(&gate);
        group.spawn("long", move |ctx| {
            // A parent that waits for a child: the time is the child's, and counts once.
            let below = ctx.group(ctx.child_options());
            below.spawn("child", move |_| gate.lock().expect("not poisoned").recv().is_ok());
            below.results().count()
        });
    }
    let began = std::time::Instant::now();
    let view = loop {
        let view = PoolView::from(&pool.snapshot());
        if view.classes[3].busy_ms >= 200.0 {
            break view;
        }
        assert!(began.elapsed() < PATIENCE, "not counted: {view:#?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(view.classes[3].done, 0, "none has ended");
    let (workers, in_all): (f64, f64) = (
        view.workers.iter().map(|worker| worker.busy_ms).sum(),
        view.classes.iter().map(|class| class.busy_ms).sum(),
    );
    assert!((workers - in_all).abs() < 1e-6, "{workers} and {in_all}");
    assert!(in_all <= 2.0 * view.uptime_ms + 1.0, "time counted twice: {view:#?}");
    drop(open);
    assert_eq!(group.results().count(), 2);
}

#[test]
fn odd_clients_are_answered_or_left() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("1.sock");
    std::fs::write(&path, "left behind").expect("writes");
    let server = ControlServer::start(&path, Observatory::new("a test")).expect("replaces what is there");
    let odd = ask(&path, "weather", PATIENCE);
    assert!(matches!(odd, Err(ControlError::Unknown { .. })), "{odd:?}");
    let long = ask(&path, &"x".repeat(100_000), PATIENCE);
    assert!(long.is_err(), "a question too long is no question");
    // One that connects and says nothing holds the others up for its patience only.
    let silent = UnixStream::connect(&path).expect("connects");
    assert!(ask(&path, "health", PATIENCE).expect("answers").contains("\"live\":true"));
    drop((silent, server));
}

#[test]
fn a_path_that_cannot_be_an_address_is_refused_with_the_remedy() {
    let path = Path::new("/tmp").join("x".repeat(120));
    let error = ControlServer::start(&path, Observatory::new("a test")).expect_err("too long");
    assert!(error.to_string().contains("shorter folder"), "{error}");
}
