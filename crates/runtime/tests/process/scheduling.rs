//! Who runs when, and how waiting ends.

use super::*;
use springtide_runtime::{
    CancelToken, GroupOptions, Outcome, Pool, PoolConfig, Priority,
    process::{Child, Ending, Input},
};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake},
    thread::Thread,
};

fn options(priority: Priority, owner: u64) -> ChildOptions {
    ChildOptions { priority, owner, ..ChildOptions::new("test") }
}

/// A child that waits until its input ends.
fn gate(children: &Children) -> Child {
    let mut spec = ChildSpec::new("cat");
    spec.stdin = Input::Stream { buffer_bytes: 1 };
    let child = children.spawn(spec, ChildOptions::new("gate")).unwrap();
    eventually("the gate is there", || child.pid().is_some());
    child
}

#[test]
fn at_most_so_many_run() {
    let children = Children::new(config(2)).unwrap();
    let mut gates = vec![gate(&children), gate(&children)];
    let third = children.spawn(ChildSpec::new("/bin/true"), ChildOptions::new("third")).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(third.pid(), None);
    let shown: Vec<bool> = children.snapshot().children.iter().map(|child| child.pid.is_some()).collect();
    assert_eq!(shown, [true, true, false]);
    drop(gates.pop());
    assert!(third.wait().unwrap().is_success());
    drop(gates);
}

#[test]
fn urgent_children_go_first_and_owners_take_turns() {
    let children = Children::new(config(1)).unwrap();
    let mut gate = gate(&children);
    let folder = tempfile::tempdir().unwrap();
    let mut waiting = Vec::new();
    let mut ask = |name: &str, priority, owner| {
        let mut spec = shell(&format!("echo {name} >> order"));
        spec.folder = Some(folder.path().into());
        waiting.push(children.spawn(spec, options(priority, owner)).unwrap());
    };
    ["a1", "a2", "a3"].iter().for_each(|name| ask(name, Priority::Standard, 1));
    ask("b1", Priority::Standard, 2);
    ask("now", Priority::Critical, 3);
    drop(gate.stdin.take());
    waiting.into_iter().for_each(|child| assert!(child.wait().unwrap().is_success()));
    let order = std::fs::read_to_string(folder.path().join("order")).unwrap();
    let place = |name: &str| order.lines().position(|line| line == name).unwrap();
    assert_eq!(place("now"), 0, "{order}");
    assert!(place("b1") < place("a3") && place("a1") < place("a2"), "{order}");
}

#[test]
fn a_token_ends_what_runs_and_what_waits() {
    let children = Children::new(config(1)).unwrap();
    let cancel = CancelToken::new();
    let spawn = |script: &str| {
        children
            .spawn(shell(script), ChildOptions { cancel: cancel.clone(), ..ChildOptions::new("c") })
            .unwrap()
    };
    let (running, waiting) = (spawn("exec sleep 1000"), spawn("exec sleep 1000"));
    eventually("it starts", || running.pid().is_some());
    cancel.cancel();
    assert_eq!(running.wait().unwrap().ending, Ending::Cancelled);
    assert!(matches!(waiting.wait().unwrap_err(), ProcessError::Cancelled));
    assert!(matches!(spawn("exit 0").wait().unwrap_err(), ProcessError::Cancelled), "also what comes late");
    assert_eq!(children.snapshot().counts.cancelled, 3);
}

#[test]
fn a_dropped_handle_ends_its_child() {
    let children = children();
    let child = children.spawn(shell("exec sleep 1000"), ChildOptions::new("dropped")).unwrap();
    eventually("it starts", || child.pid().is_some());
    let pid = child.pid().unwrap();
    drop(child);
    eventually("it ends", || !is_alive(pid) && children.snapshot().children.is_empty());
}

#[test]
fn pool_tasks_wait_for_children_and_take_them_along() {
    let pool = Pool::new(PoolConfig { workers: 3, ..PoolConfig::default() }).unwrap();
    let children = Arc::new(children());
    let group = |deadline| pool.group::<Ending>(GroupOptions { deadline, ..GroupOptions::default() });
    let wait = |script: &'static str| {
        let children = Arc::clone(&children);
        move |task: &springtide_runtime::TaskCtx<'_>| {
            children
                .spawn(shell(script), ChildOptions::new("in a task"))
                .unwrap()
                .wait_in(task)
                .unwrap()
                .ending
        }
    };
    let ordinary = group(None);
    ordinary.spawn("ordinary", wait("exit 3"));
    assert_eq!(ordinary.results().next().unwrap().1, Outcome::Done(Ending::Code(3)));

    let hasty = group(Some(Duration::from_millis(200)));
    hasty.spawn("too long", wait("exec sleep 1000"));
    assert_eq!(hasty.results().next().unwrap().1, Outcome::TimedOut);

    let cancelled = group(None);
    cancelled.spawn("cancelled", wait("exec sleep 1000"));
    eventually("it starts", || children.snapshot().children.iter().any(|child| child.pid.is_some()));
    cancelled.cancel();
    assert_eq!(cancelled.results().next().unwrap().1, Outcome::Cancelled);
    eventually("no child is left", || children.snapshot().children.is_empty());
    let counts = children.snapshot().counts;
    assert_eq!((counts.failed, counts.limited + counts.cancelled), (1, 2));
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_child_is_a_future() {
    let children = children();
    let exit = block_on(async {
        let mut spec = shell("cat; echo '{\"n\":1}' >&3; exit 4");
        spec.stdin = Input::Stream { buffer_bytes: 3 };
        spec.stdout = springtide_runtime::process::Output::Stream { buffer_bytes: 3 };
        spec.progress = Some(springtide_runtime::process::ProgressChannel::default());
        let mut child = children.spawn(spec, ChildOptions::new("async")).unwrap();
        let mut input = child.stdin.take().unwrap();
        input.send(b"hello world").await.unwrap();
        drop(input);
        let mut text = Vec::new();
        let mut output = child.stdout.take().unwrap();
        while let Some(chunk) = output.chunk().await {
            text.extend(chunk);
        }
        assert_eq!(text, b"hello world");
        assert_eq!(child.event().await.unwrap()["n"], 1);
        assert!(child.event().await.is_none());
        child.await
    });
    assert_eq!(exit.unwrap().ending, Ending::Code(4));
}
