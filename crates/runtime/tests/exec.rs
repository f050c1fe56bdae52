//! Asynchronous tasks: structure, outcomes, deadlines, and who goes first. Order is forced by gates, never by
//! waiting and hoping; a deadline of milliseconds is given only where passing it is what is tested.

mod common;

use common::{Random, seeds};
use springtide_runtime::{
    CancelToken, Group, GroupOptions, Outcome, Priority, StopReason,
    exec::{Cause, Named, Runtime, RuntimeConfig, RuntimeError, Scope, TaskNode, TaskPhase, within},
};
use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
};

fn runtime(workers: usize) -> Runtime {
    Runtime::new(RuntimeConfig { workers, name: "test".into(), ..RuntimeConfig::default() }).unwrap()
}

/// Counts its own end.
struct Tail(Arc<AtomicUsize>);

impl Drop for Tail {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn tail(count: &Arc<AtomicUsize>) -> Tail {
    Tail(Arc::clone(count))
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A step that holds its thread until the gate is opened or dropped; returns once it is held.
fn hold(scope: &Scope, priority: Priority) -> (mpsc::Sender<()>, springtide_runtime::exec::Task<()>) {
    let (gate, closed) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let task = scope.spawn(priority, "held", None, async move {
        begun.send(()).unwrap();
        let _ = closed.recv();
    });
    begins.recv().unwrap();
    (gate, task)
}

#[test]
fn every_task_has_its_outcome() {
    let runtime = runtime(2);
    let sum = runtime
        .run("sum", |scope| async move {
            let tasks: Vec<_> = (0..5_000_u64)
                .map(|n| {
                    scope.spawn(Priority::ALL[n as usize % 4], "part", None, async move {
                        for _ in 0..n % 4 {
                            yield_once().await;
                        }
                        n
                    })
                })
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.done().unwrap();
            }
            sum
        })
        .unwrap();
    assert_eq!(sum, 4_999 * 5_000 / 2);
    let counts = runtime.snapshot().total();
    assert_eq!(counts.done, 5_001, "the parts and the run");
    assert!(counts.steps >= 5_000 + 5_000 * 3 / 2, "{counts:?}");
    assert_eq!(runtime.tree().tasks(), 0);
}

#[test]
fn an_error_cancels_the_others_and_reaches_the_owner() {
    let ended = Arc::new(AtomicUsize::new(0));
    let tails = [tail(&ended), tail(&ended)];
    let error = runtime(2)
        .run("run", |scope| async move {
            let [first, second] = tails;
            let result = scope
                .nest("fetch", |inner| async move {
                    inner.start(Priority::High, "waits for ever", None, async move {
                        let _tail = first;
                        std::future::pending::<Result<(), io::Error>>().await
                    });
                    inner.start(Priority::High, "fails", None, async {
                        yield_once().await;
                        Err(io::Error::other("no such page"))
                    });
                    let _tail = second;
                    std::future::pending::<()>().await;
                })
                .await;
            result.unwrap_err()
        })
        .unwrap();
    assert_eq!(error.label.as_str(), "fails");
    assert!(matches!(&error.cause, Cause::Error(e) if e.to_string() == "no such page"), "{error}");
    assert!(error.to_string().ends_with("`fails` failed: no such page"), "{error}");
    assert_eq!(ended.load(Ordering::SeqCst), 2, "the sibling's and the body's futures were dropped before");
}

#[test]
fn a_panic_reaches_who_holds_the_handle_or_else_the_scope() {
    let runtime = runtime(2);
    let report = runtime
        .run("handle", |scope| async move {
            scope.spawn(Priority::High, "bad", None, async { panic!("value was {}", 7) }).await
        })
        .unwrap();
    let Outcome::Panicked(report) = report else { panic!("{report:?}") };
    assert!(report.starts_with("value was 7 (") && report.contains("exec.rs:"), "{report}");

    let run = runtime.run("no handle", |scope| async move {
        scope.start::<_, io::Error>(Priority::High, "bad", None, async { panic!("started") });
    });
    let Err(RuntimeError::Failed(failure)) = run else { panic!("{run:?}") };
    assert!(matches!(&failure.cause, Cause::Panicked(report) if report.starts_with("started")), "{failure}");

    let run = runtime.run("handle dropped late", |scope| async move {
        let task = scope.spawn(Priority::High, "bad", None, async { panic!("unseen") });
        while !task.is_ended() {
            yield_once().await;
        }
    });
    let Err(RuntimeError::Failed(failure)) = run else { panic!("{run:?}") };
    assert!(matches!(&failure.cause, Cause::Panicked(report) if report.starts_with("unseen")), "{failure}");

    let run = runtime.run("the run itself", |_| async { panic!("body") });
    let Err(RuntimeError::Panicked { report, .. }) = run else { panic!("{run:?}") };
    assert!(report.starts_with("body"), "{report}");
}

#[test]
fn failures_nobody_can_be_told_of_are_kept() {
    let runtime = runtime(2);
    let run = runtime.run("two fail", |scope| async move {
        let (go, gone) = oneshot::channel::<()>();
        scope.start(Priority::High, "second", None, async move {
            // Its step goes on while the first failure cancels the scope.
            let _ = go.send(());
            Err(io::Error::other("second"))
        });
        scope.start(Priority::High, "first", None, async move {
            let _ = gone.await;
            Err(io::Error::other("first"))
        });
        std::future::pending::<()>().await;
    });
    assert!(matches!(run, Err(RuntimeError::Failed(_))));
    let task = runtime
        .run("handle leaves its scope", |scope| async move {
            scope
                .nest("inner", |inner| async move {
                    Some(inner.spawn(Priority::High, "panics", None, async { panic!("late") }))
                })
                .await
        })
        .unwrap();
    drop(task);
    let (count, kept) = runtime.unreported();
    assert!(count >= 1, "{kept:?}");
    let last = kept.last().unwrap();
    assert_eq!(last.label.as_str(), "panics");
    assert!(last.cause.contains("late"), "{last:?}");
}

#[test]
fn dropping_a_handle_cancels_its_task_and_the_scope_waits_for_the_end() {
    let ended = Arc::new(AtomicUsize::new(0));
    let runtime = runtime(2);
    let in_task = tail(&ended);
    runtime
        .run("run", |scope| async move {
            let task = scope.spawn(Priority::High, "waits", None, async move {
                let _tail = in_task;
                std::future::pending::<()>().await;
            });
            yield_once().await;
            drop(task);
        })
        .unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert_eq!(runtime.snapshot().total().cancelled, 1);
}

#[test]
fn deadlines_drop_what_waits_and_what_is_queued() {
    let ended = Arc::new(AtomicUsize::new(0));
    let runtime = runtime(1);
    let scope = runtime.scope();
    // Both threads that could run a step are held.
    let (gate, held) = hold(&scope, Priority::High);
    let (second_gate, second_held) = hold(&scope, Priority::High);
    let queued = tail(&ended);
    let late = scope.spawn(Priority::High, "queued", Duration::from_millis(5), async move {
        let _tail = queued;
    });
    while !late.is_ended() {
        thread::yield_now();
    }
    assert_eq!(ended.load(Ordering::SeqCst), 1, "its future is gone though no thread was free");
    drop((gate, second_gate));
    let waiting = tail(&ended);
    let outcomes = runtime
        .run("run", |scope| async move {
            let waits = scope.spawn(Priority::High, "waits", Duration::from_millis(5), async move {
                let _tail = waiting;
                std::future::pending::<()>().await;
            });
            let in_time = scope.spawn(Priority::High, "in time", Duration::from_secs(3_600), async { 7 });
            (late.await, waits.await, in_time.await, held.await, second_held.await)
        })
        .unwrap();
    let done = || Outcome::Done(());
    assert_eq!(outcomes, (Outcome::TimedOut, Outcome::TimedOut, Outcome::Done(7), done(), done()));
    assert_eq!(ended.load(Ordering::SeqCst), 2);
    assert_eq!(runtime.snapshot().total().timed_out, 2);
}

/// The task of the outermost scope, as soon as it is told to stop.
fn stopping(runtime: &Runtime) -> TaskNode {
    loop {
        let tree = runtime.tree();
        match tree.root.tasks.first() {
            Some(task) if task.stopping.is_some() => return task.clone(),
            _ => thread::yield_now(),
        }
    }
}

#[test]
fn a_task_that_ignores_its_deadline_is_shown_and_counted() {
    let runtime = runtime(1);
    let scope = runtime.scope();
    // On a busy machine a short deadline can pass before the task begins, which then never does.
    let mut limit = Duration::from_millis(2);
    let (gate, task, deaf) = loop {
        let (gate, closed) = mpsc::channel::<()>();
        let (begins, began) = mpsc::channel::<()>();
        let task = scope.spawn(Priority::Low, "deaf", limit, async move {
            let _ = begins.send(());
            let _ = closed.recv();
        });
        if began.recv().is_ok() {
            break (gate, task, stopping(&runtime));
        }
        assert_eq!(runtime.run("run", |_| task).unwrap(), Outcome::TimedOut);
        limit *= 2;
    };
    assert_eq!((deaf.label.as_str(), deaf.phase), ("deaf", TaskPhase::Running));
    assert_eq!(deaf.stopping, Some(StopReason::TimedOut));
    let running: Vec<_> = runtime.snapshot().workers.into_iter().flat_map(|worker| worker.running).collect();
    assert_eq!(running[0].stopping, Some(StopReason::TimedOut));
    drop(gate);
    let outcome = runtime.run("run", |_| task).unwrap();
    assert_eq!(outcome, Outcome::Done(()), "it ended by itself, so its value counts");
    assert_eq!(runtime.snapshot().total().overdue, 1);
}

#[test]
fn what_is_too_late_from_the_outset_never_begins() {
    let runtime = runtime(1);
    let outcomes = runtime.run("run", |scope| async move {
        let mut outcomes = Vec::new();
        // Of the first few the runtime does not know yet that they are short; later ones it hands over.
        for n in 0..50 {
            let limit = if n % 2 == 0 { Duration::from_secs(60) } else { Duration::ZERO };
            outcomes.push(scope.spawn(Priority::High, "task", limit, async move { n }).await);
        }
        outcomes
    });
    let expected = |n| if n % 2 == 0 { Outcome::Done(n) } else { Outcome::TimedOut };
    assert_eq!(outcomes.unwrap(), (0..50).map(expected).collect::<Vec<_>>());
}

#[test]
fn a_scope_that_is_given_up_ends_before_the_task_that_opened_it() {
    let runtime = runtime(2);
    let scope = runtime.scope();
    let (gate, closed) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let inner_ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&inner_ended);
    let nesting = scope.clone();
    let parent = scope.spawn(Priority::High, "parent", None, async move {
        nesting
            .nest("inner", |inner| async move {
                inner.start::<_, io::Error>(Priority::High, "child", None, async move {
                    begun.send(()).unwrap();
                    let _ = closed.recv();
                    flag.store(true, Ordering::SeqCst);
                    Ok(())
                });
                std::future::pending::<()>().await;
            })
            .await
    });
    begins.recv().unwrap();
    parent.cancel();
    // Its future is gone, but the child holds a thread: the parent has not ended.
    assert!(!parent.is_ended());
    let tree = runtime.tree();
    assert_eq!(tree.root.tasks[0].phase, TaskPhase::Ending);
    assert_eq!(tree.root.tasks[0].scopes[0].tasks[0].label.as_str(), "child");
    drop(gate);
    let outcome = runtime.run("run", |_| parent).unwrap();
    assert!(inner_ended.load(Ordering::SeqCst));
    assert!(matches!(outcome, Outcome::Cancelled), "{outcome:?}");
}

/// A chain of scopes, each opened by a task of the one before.
fn chain(scope: Scope, depth: usize, reached: Arc<AtomicUsize>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        reached.fetch_add(1, Ordering::SeqCst);
        if depth == 0 {
            return std::future::pending().await;
        }
        let below = scope.nest("link", |inner| async move {
            let next = chain(inner.clone(), depth - 1, reached);
            inner.spawn(Priority::Standard, "link", None, next).await
        });
        assert!(matches!(below.await, Ok(Outcome::Cancelled)));
    })
}

#[test]
fn a_deep_tree_is_cancelled_without_deep_recursion() {
    let runtime = runtime(1);
    let reached = Arc::new(AtomicUsize::new(0));
    let scope = runtime.scope();
    let task =
        scope.spawn(Priority::Standard, "top", None, chain(scope.clone(), 3_000, Arc::clone(&reached)));
    while reached.load(Ordering::SeqCst) <= 3_000 {
        thread::yield_now();
    }
    // On a thread whose stack could not hold three thousand of anything.
    let cancel = move || {
        task.cancel();
        task
    };
    let task = thread::Builder::new().stack_size(128 << 10).spawn(cancel).unwrap().join().unwrap();
    assert_eq!(runtime.run("run", |_| task).unwrap(), Outcome::Cancelled);
}

#[test]
fn cancelling_the_token_or_dropping_the_runtime_ends_everything() {
    let ended = Arc::new(AtomicUsize::new(0));
    let token = CancelToken::new();
    let runtime = Runtime::under(RuntimeConfig { workers: 1, ..RuntimeConfig::default() }, &token).unwrap();
    let waits = tail(&ended);
    let waiting = runtime.scope().spawn(Priority::High, "waits", None, async move {
        let _tail = waits;
        std::future::pending::<()>().await;
    });
    token.cancel();
    assert!(waiting.is_ended());
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    let run = runtime.run("late", |_| async {});
    assert!(matches!(run, Err(RuntimeError::Cancelled { .. })), "{run:?}");
    drop(waiting);
    drop(runtime);

    let runtime = self::runtime(2);
    let scope = runtime.scope();
    let held = tail(&ended);
    let (begun, begins) = mpsc::channel();
    let task = scope.spawn(Priority::High, "in a step", None, async move {
        let _tail = held;
        begun.send(()).unwrap();
        thread::sleep(Duration::from_millis(20));
    });
    begins.recv().unwrap();
    drop(runtime);
    assert_eq!(ended.load(Ordering::SeqCst), 2, "dropping waits for steps");
    assert!(task.is_ended());
    // The scope outlives the runtime: nothing begins in it.
    let after = scope.spawn(Priority::High, "after the end", None, async {});
    assert!(after.is_ended());
}

#[test]
fn sockets_and_timers_work_on_every_thread() {
    let runtime = runtime(2);
    let echoed = runtime
        .run("echo", |scope| async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let served = scope.clone();
            let server = scope.spawn(Priority::High, "server", None, async move {
                served
                    .nest("connections", |inner| async move {
                        for _ in 0..20 {
                            let (mut socket, _) = listener.accept().await.unwrap();
                            inner.start(Priority::High, "connection", None, async move {
                                let mut buffer = [0; 64];
                                loop {
                                    let read = socket.read(&mut buffer).await?;
                                    if read == 0 {
                                        return Ok::<_, io::Error>(());
                                    }
                                    // Some of the steps are long, so that workers take part.
                                    if buffer[0] % 16 == 0 {
                                        thread::sleep(Duration::from_micros(300));
                                    }
                                    socket.write_all(&buffer[..read]).await?;
                                }
                            });
                        }
                    })
                    .await
            });
            let clients: Vec<_> = (0..20_u8)
                .map(|n| {
                    scope.spawn(Priority::Standard, "client", Duration::from_secs(60), async move {
                        let mut socket = TcpStream::connect(address).await.unwrap();
                        let mut echoed = 0;
                        for round in 0..50_u8 {
                            let sent = [n.wrapping_add(round); 16];
                            socket.write_all(&sent).await.unwrap();
                            let mut back = [0; 16];
                            socket.read_exact(&mut back).await.unwrap();
                            echoed += usize::from(back == sent);
                            if round % 10 == 0 {
                                tokio::time::sleep(Duration::from_micros(100)).await;
                            }
                        }
                        echoed
                    })
                })
                .collect();
            let mut echoed = 0;
            for client in clients {
                echoed += client.await.done().unwrap();
            }
            server.await.done().unwrap().unwrap();
            echoed
        })
        .unwrap();
    assert_eq!(echoed, 1_000);
}

#[test]
fn critical_steps_start_first() {
    let runtime = runtime(1);
    let scope = runtime.scope();
    let (gate, held) = hold(&scope, Priority::Standard);
    let (second_gate, second_held) = hold(&scope, Priority::Standard);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    // Not of the class whose steps have just turned out long: those are not for the reactor's thread.
    for class in [Priority::Low, Priority::High, Priority::Critical] {
        for _ in 0..20 {
            let order = Arc::clone(&order);
            tasks.push(scope.spawn(class, "step", None, async move { order.lock().unwrap().push(class) }));
        }
    }
    // One of the two goes on alone.
    drop(gate);
    let done = runtime.run("wait", |_| async move {
        for task in tasks {
            task.await.done().unwrap();
        }
        held.await.done()
    });
    assert_eq!(done.unwrap(), Some(()));
    assert_eq!(order.lock().unwrap()[..20], [Priority::Critical; 20]);
    drop(second_gate);
    assert_eq!(runtime.run("wait", |_| second_held).unwrap(), Outcome::Done(()));
}

#[test]
fn a_waiting_task_holds_no_worker() {
    let runtime = runtime(1);
    let gate = Arc::new(Semaphore::new(0));
    let ran = runtime
        .run("run", |scope| async move {
            let waiting: Vec<_> = (0..10_000)
                .map(|_| {
                    let gate = Arc::clone(&gate);
                    scope.spawn(Priority::Critical, "waits", None, async move {
                        gate.acquire().await.unwrap().forget();
                    })
                })
                .collect();
            // The lowest class runs while ten thousand of the highest wait.
            let ran = scope.spawn(Priority::Low, "runs", None, async { 1 }).await;
            gate.add_permits(10_000);
            for task in waiting {
                task.await.done().unwrap();
            }
            ran
        })
        .unwrap();
    assert_eq!(ran, Outcome::Done(1));
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Keeps all classes busy with steps, or tasks of the pool, of different lengths; returns the shares of a span
/// of 1.5 s of worker time in steady state.
fn saturated_shares(runtime: &Runtime, classes: &[(Priority, u64, bool)]) -> [f64; 4] {
    let over = Arc::new(AtomicBool::new(false));
    let scope = runtime.scope();
    let mut tasks = Vec::new();
    let mut groups = Vec::new();
    for &(class, micros, steps) in classes {
        if steps {
            for _ in 0..64 {
                let over = Arc::clone(&over);
                tasks.push(scope.spawn(class, "spin", None, async move {
                    while !over.load(Ordering::Relaxed) {
                        spin(Duration::from_micros(micros));
                        yield_once().await;
                    }
                }));
            }
        } else {
            let group = runtime.pool().group::<()>(GroupOptions {
                priority: class,
                max_queued: usize::MAX,
                ..GroupOptions::default()
            });
            group.spawn_all((0..200_000).map(|_| {
                ("spin", move |_: &springtide_runtime::TaskCtx| spin(Duration::from_micros(micros)))
            }));
            groups.push(group);
        }
    }
    let busy = || runtime.snapshot().busy.0;
    let busy_for = |time: Duration| {
        let goal = busy().iter().sum::<Duration>() + time;
        while busy().iter().sum::<Duration>() < goal {
            thread::sleep(Duration::from_millis(1));
        }
        busy()
    };
    let begin = busy_for(Duration::from_millis(300));
    let end = busy_for(Duration::from_millis(1_500));
    over.store(true, Ordering::Relaxed);
    drop(groups);
    runtime
        .run("end", |_| async move {
            for task in tasks {
                task.await.done().unwrap();
            }
        })
        .unwrap();
    let spent: Vec<f64> = end.iter().zip(begin).map(|(end, begin)| (*end - begin).as_secs_f64()).collect();
    let total: f64 = spent.iter().sum();
    std::array::from_fn(|class| spent[class] / total)
}

fn assert_shares(shares: [f64; 4], weights: [f64; 4]) {
    for (share, weight) in shares.iter().zip(weights) {
        // Steps are charged by the clock: on a busy machine some are charged for time that they did not have.
        assert!((share - weight).abs() <= 0.05, "{shares:?}");
    }
}

fn small_burst(workers: usize) -> Runtime {
    let critical_burst = Duration::from_millis(1);
    Runtime::new(RuntimeConfig { workers, critical_burst, ..RuntimeConfig::default() }).unwrap()
}

#[test]
fn steps_share_time_by_weight_whatever_their_length() {
    let classes = [
        (Priority::Critical, 20, true),
        (Priority::High, 50, true),
        (Priority::Standard, 150, true),
        (Priority::Low, 400, true),
    ];
    assert_shares(saturated_shares(&small_burst(2), &classes), [0.4, 0.3, 0.2, 0.1]);
}

#[test]
fn steps_and_tasks_of_the_pool_share_one_order() {
    let classes = [
        (Priority::Critical, 50, true),
        (Priority::High, 200, false),
        (Priority::Standard, 30, true),
        (Priority::Low, 1_000, false),
    ];
    assert_shares(saturated_shares(&small_burst(2), &classes), [0.4, 0.3, 0.2, 0.1]);
}

#[test]
fn an_idle_class_leaves_its_share_to_the_others() {
    let classes = [(Priority::High, 50, true), (Priority::Low, 300, true)];
    assert_shares(saturated_shares(&small_burst(2), &classes), [0.0, 0.75, 0.0, 0.25]);
}

/// Takes a worker until the sender is dropped.
fn busy_worker(runtime: &Runtime) -> (Group<()>, mpsc::Sender<()>) {
    let group = runtime.pool().group(GroupOptions::default());
    let (gate, closed) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    group.spawn("long", move |_| {
        begun.send(()).unwrap();
        let _ = closed.recv();
    });
    begins.recv().unwrap();
    (group, gate)
}

#[test]
fn steps_are_served_while_every_worker_computes() {
    let runtime = runtime(1);
    let (group, gate) = busy_worker(&runtime);
    group.spawn_all((0..100).map(|_| ("queued", |_: &springtide_runtime::TaskCtx| ())));
    // The only worker is taken, yet tasks run to their ends, timers included.
    let outcome = runtime
        .run("run", |scope| async move {
            scope
                .spawn(Priority::High, "ticks", Duration::from_secs(60), async {
                    for _ in 0..3 {
                        // Long steps too, which the reactor leaves to workers while there are any.
                        thread::sleep(Duration::from_millis(2));
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                })
                .await
        })
        .unwrap();
    assert_eq!(outcome, Outcome::Done(()));
    drop(gate);
    assert_eq!(group.results().count(), 101);
}

#[test]
fn long_steps_leave_the_reactor_to_workers() {
    let runtime = runtime(2);
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&threads);
    runtime
        .run("run", |scope| async move {
            let tasks: Vec<_> = (0..16)
                .map(|_| {
                    let threads = Arc::clone(&threads);
                    scope.spawn(Priority::High, "long", None, async move {
                        for _ in 0..4 {
                            thread::sleep(Duration::from_millis(2));
                            let name = thread::current().name().unwrap_or_default().to_owned();
                            threads.lock().unwrap().insert(name);
                            yield_once().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.done().unwrap();
            }
        })
        .unwrap();
    assert!(seen.lock().unwrap().contains("test-0") && seen.lock().unwrap().contains("test-1"), "{seen:?}");
}

/// Steps that follow from each other are handed over from one to the next; whoever comes meanwhile has a turn.
#[test]
fn a_chain_of_steps_lets_others_go_on() {
    let runtime = runtime(1);
    let (_group, gate) = busy_worker(&runtime);
    // The reactor alone is left for the chain and for whoever is to end it.
    let over = Arc::new(AtomicBool::new(false));
    let (in_chain, until) = (Arc::clone(&over), Arc::clone(&over));
    let (started, starts) = mpsc::channel();
    let chain = runtime.scope().spawn(Priority::Critical, "chain", None, {
        let scope = runtime.scope();
        async move {
            let mut links = 0_u64;
            while !in_chain.load(Ordering::SeqCst) {
                links += scope.spawn(Priority::Critical, "link", None, async { 1 }).await.done().unwrap_or(0);
                if links == 1_000 {
                    started.send(()).unwrap();
                }
            }
            links
        }
    });
    starts.recv().unwrap();
    let other = runtime.scope().spawn(Priority::Low, "other", None, async move {
        until.store(true, Ordering::SeqCst);
    });
    let (links, other) = runtime.run("run", |_| async move { (chain.await, other.await) }).unwrap();
    assert_eq!(other, Outcome::Done(()));
    assert!(links.done().is_some_and(|links| links >= 1_000));
    drop(gate);
    // What was not queued is counted and charged like everything else.
    let counts = runtime.snapshot().total();
    assert!(counts.done >= 1_002 && counts.steps >= counts.done, "{counts:?}");
}

#[test]
fn an_endless_stream_of_ready_work_lets_others_go_on() {
    let runtime = runtime(1);
    let outcome = runtime
        .run("run", |scope| async move {
            let gate = Arc::new(Semaphore::new(usize::MAX >> 4));
            let greedy = scope.spawn(Priority::High, "greedy", None, async move {
                loop {
                    // Always ready, and yet it yields now and then: tokio's budget is spent.
                    drop(gate.acquire().await);
                }
            });
            let other = scope.spawn(Priority::High, "other", Duration::from_secs(60), async {
                for _ in 0..10 {
                    yield_once().await;
                }
            });
            let outcome = other.await;
            greedy.cancel();
            (outcome, greedy.await)
        })
        .unwrap();
    assert_eq!(outcome, (Outcome::Done(()), Outcome::<()>::Cancelled));
}

#[test]
fn the_tree_says_where_each_task_waits() {
    let runtime = runtime(1);
    let scope = runtime.scope();
    let (ready, readies) = mpsc::channel();
    let nesting = scope.clone();
    let task = scope.spawn(Priority::High, "outer", Duration::from_secs(3_600), async move {
        nesting
            .nest("pages", |inner| async move {
                let fetch = inner.spawn(Priority::Low, "fetch", None, async move {
                    async {
                        let body = std::future::pending::<()>().named("the body");
                        let head = std::future::pending::<()>().named("the head");
                        ready.send(()).unwrap();
                        tokio::join!(body, head);
                    }
                    .named("a page")
                    .await;
                });
                fetch.named("the fetch").await
            })
            .await
    });
    readies.recv().unwrap();
    let tree = loop {
        let tree = runtime.tree();
        let waiting = |t: &springtide_runtime::exec::TaskNode| t.phase == TaskPhase::Waiting;
        let outer = &tree.root.tasks[0];
        if waiting(outer) && outer.scopes.iter().all(|scope| scope.tasks.iter().all(waiting)) {
            break tree;
        }
        thread::yield_now();
    };
    let outer = &tree.root.tasks[0];
    assert_eq!(outer.waiting[0].what.as_str(), "the fetch");
    assert!(outer.remaining.unwrap() > Duration::from_secs(3_500));
    let fetch = &outer.scopes[0].tasks[0];
    let places: Vec<(usize, &str)> = fetch.waiting.iter().map(|w| (w.depth, w.what.as_str())).collect();
    assert_eq!(places, [(0, "a page"), (1, "the body"), (1, "the head")]);
    assert!(fetch.waiting[0].location.contains("exec.rs:"), "{:?}", fetch.waiting[0]);
    let text = tree.to_string();
    for part in ["scope `pages` (owner 0, 1 tasks)", "`fetch` low: waiting for", "at the body (", " left"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    task.cancel();
    assert!(task.is_ended());
}

#[test]
fn within_says_what_was_late() {
    let late =
        runtime(1).run("run", |_| within(Duration::from_millis(1), std::future::pending::<()>())).unwrap();
    assert_eq!(late.unwrap_err().to_string(), "not done within 1ms");
}

#[test]
fn wakes_from_other_threads_are_never_lost() {
    let runtime = runtime(2);
    let scope = runtime.scope();
    for round in 0..300 {
        let (sender, receiver) = oneshot::channel();
        let task = scope.spawn(Priority::ALL[round % 4], "receives", None, receiver);
        let thread = thread::Builder::new().spawn(move || sender.send(round).unwrap()).unwrap();
        let outcome = runtime.run("wait", |_| task).unwrap();
        assert_eq!(outcome, Outcome::Done(Ok(round)));
        thread.join().unwrap();
    }
}

/// A random tree of tasks that wait, fail, panic, cancel and run late.
fn grow(scope: Scope, seed: u64, depth: u32, begun: Arc<AtomicU64>, ended: Arc<AtomicU64>) -> Growth {
    Box::pin(async move {
        struct Ended(Arc<AtomicU64>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        begun.fetch_add(1, Ordering::SeqCst);
        let _ended = Ended(Arc::clone(&ended));
        let mut random = Random(seed);
        for _ in 0..random.below(3) {
            yield_once().await;
        }
        match random.below(12) {
            0 => panic!("by chance"),
            1 => return Err("by chance".into()),
            2 => tokio::time::sleep(Duration::from_micros(random.below(500))).await,
            3 => std::future::pending().await,
            4 => scope.cancel(),
            _ => {}
        }
        if depth == 0 {
            return Ok(());
        }
        let result = scope
            .nest("branch", |inner| async move {
                let mut tasks = Vec::new();
                for _ in 0..random.between(1, 4) {
                    let class = Priority::ALL[random.below(4) as usize];
                    let limit = Duration::from_micros(random.magnitude(200, 20_000));
                    let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
                    let future = grow(inner.clone(), random.next(), depth - 1, begun, ended);
                    if random.below(3) == 0 {
                        inner.start(class, "started", limit, future);
                    } else {
                        tasks.push(inner.spawn(class, "spawned", limit, future));
                    }
                }
                for task in tasks {
                    if random.below(4) == 0 {
                        drop(task);
                    } else {
                        task.await;
                    }
                }
            })
            .await;
        result.map_err(Into::into)
    })
}

type Growth = Pin<Box<dyn Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send>>;

#[test]
fn random_trees_end_whole() {
    seeds(60, |seed| {
        let runtime = runtime(1 + (seed % 3) as usize);
        let (begun, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (b, e) = (Arc::clone(&begun), Arc::clone(&ended));
        let run = runtime.run("tree", move |scope| async move {
            let limit = Duration::from_secs(1);
            scope.spawn(Priority::High, "root", limit, grow(scope.clone(), seed, 4, b, e)).await
        });
        drop(run);
        // Every future that began is gone, and every task is accounted for.
        assert_eq!(begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst));
        assert_eq!(runtime.tree().tasks(), 0);
        let counts = runtime.snapshot().total();
        assert!(counts.ended() >= begun.load(Ordering::SeqCst), "{counts:?}");
        drop(runtime);
    });
}

#[test]
fn what_is_too_late_may_spawn_with_a_deadline_when_it_is_dropped() {
    struct SpawnsOnDrop(springtide_runtime::exec::Scope, mpsc::Sender<()>);
    impl Drop for SpawnsOnDrop {
        fn drop(&mut self) {
            let told = self.1.clone();
            // Earlier than whatever the watcher has in mind.
            self.0.start::<_, io::Error>(
                Priority::High,
                "last words",
                Duration::from_millis(1),
                async move {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                    Ok(())
                },
            );
            told.send(()).unwrap();
        }
    }
    let runtime = runtime(1);
    let (tell, told) = mpsc::channel();
    let words = SpawnsOnDrop(runtime.scope(), tell);
    let late = runtime.scope().spawn(Priority::High, "late", Duration::from_millis(2), async move {
        let _words = words;
        std::future::pending::<()>().await;
    });
    assert_eq!(runtime.run("run", |_| late).unwrap(), Outcome::TimedOut);
    told.recv().unwrap();
    // The watcher lives on: it ends what was spawned by the destructor, too.
    while runtime.tree().tasks() > 0 {
        thread::yield_now();
    }
}
