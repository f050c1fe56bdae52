//! The executor: steps that are handed over within a thread while others wake, cancel or drop the same task, while other
//! work comes, while threads go to sleep, and while the runtime ends. A wake-up that is lost is a deadlock, which the
//! checker finds; a task whose step ran twice at once would trip [`Alone`] or the executor's own guard.

use super::check;
use shuttle::{
    future::block_on,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use springtide_runtime::{
    GroupOptions, Outcome, Priority,
    exec::{Runtime, RuntimeConfig, Scope, Task},
};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

fn runtime() -> Runtime {
    Runtime::new(RuntimeConfig { workers: 1, ..RuntimeConfig::default() }).expect("starts")
}

/// Rings that one task waits for.
#[derive(Clone, Default)]
struct Bell(Arc<Mutex<(u32, Option<Waker>)>>);

impl Bell {
    fn ring(&self) {
        let waker = {
            let mut bell = self.0.lock().expect("no panic");
            bell.0 += 1;
            bell.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Until it has rung so often.
    async fn rung(&self, times: u32) {
        poll_fn(|cx| {
            let mut bell = self.0.lock().expect("no panic");
            if bell.0 >= times {
                return Poll::Ready(());
            }
            bell.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// A future whose polls must come one at a time, and not after its end.
struct Alone<F> {
    future: Pin<Box<F>>,
    polled: AtomicBool,
    over: bool,
    /// Held until the future is dropped.
    _tail: Arc<str>,
}

impl<F: Future> Future for Alone<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        assert!(!self.over, "polled after its end");
        assert!(!self.polled.swap(true, Ordering::SeqCst), "two steps at once");
        thread::yield_now();
        let poll = self.future.as_mut().poll(cx);
        self.polled.store(false, Ordering::SeqCst);
        self.over = poll.is_ready();
        poll
    }
}

/// Spawns a task that holds on to its name, as its cell does: what is left of either is seen by the name's count.
fn spawn<F>(scope: &Scope, name: &Arc<str>, future: F) -> Task<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let _tail = Arc::clone(name);
    let future = Alone { future: Box::pin(future), polled: AtomicBool::new(false), over: false, _tail };
    scope.spawn(Priority::High, Arc::clone(name), None, future)
}

fn name() -> Arc<str> {
    Arc::from("task")
}

/// Steps of a scope are handed over once it is known what they cost.
async fn learn_the_cost(scope: &Scope) {
    let known = scope.spawn(Priority::High, "known", None, async {}).await;
    assert_eq!(known, Outcome::Done(()));
}

fn nothing_is_left(name: &Arc<str>) {
    assert_eq!(Arc::strong_count(name), 1, "a task or its future is left");
}

/// Two tasks that wake each other in turn, and a thread outside that wakes both in between.
#[test]
fn woken_from_within_and_from_outside() {
    check(|| {
        let (runtime, name, bells) = (runtime(), name(), [Bell::default(), Bell::default()]);
        let outside = {
            let bells = bells.clone();
            thread::spawn(move || bells.iter().for_each(Bell::ring))
        };
        let (task, inner) = (Arc::clone(&name), bells.clone());
        let ran = runtime.run("run", |scope| async move {
            learn_the_cost(&scope).await;
            let [ours, theirs] = inner.clone();
            let answers = spawn(&scope, &task, async move {
                for n in 1..=3 {
                    theirs.rung(n).await;
                    ours.ring();
                }
            });
            let [ours, theirs] = inner;
            for n in 1..=3 {
                theirs.ring();
                ours.rung(n).await;
            }
            answers.await
        });
        assert_eq!(ran.expect("no failure"), Outcome::Done(()));
        outside.join().expect("no panic");
        drop((runtime, bells));
        nothing_is_left(&name);
    });
}

/// One step wakes two tasks: the hand holds one, and what it held goes ahead into the queue.
#[test]
fn two_woken_in_one_step() {
    check(|| {
        let (runtime, name) = (runtime(), name());
        let task = Arc::clone(&name);
        let ran = runtime.run("run", |scope| async move {
            learn_the_cost(&scope).await;
            let bells = [Bell::default(), Bell::default(), Bell::default()];
            let tasks: Vec<_> = bells
                .clone()
                .into_iter()
                .map(|bell| {
                    spawn(&scope, &task, async move {
                        bell.rung(1).await;
                        bell.rung(2).await;
                    })
                })
                .collect();
            let back = Bell::default();
            let echo = spawn(&scope, &task, {
                let back = back.clone();
                async move { back.ring() }
            });
            for _ in 0..2 {
                bells.iter().for_each(Bell::ring);
                back.rung(1).await;
            }
            for task in tasks {
                assert_eq!(task.await, Outcome::Done(()));
            }
            echo.await
        });
        assert_eq!(ran.expect("no failure"), Outcome::Done(()));
        drop(runtime);
        nothing_is_left(&name);
    });
}

/// A thread outside cancels a task, or drops its handle, while another task wakes it, and it that one.
fn ended_from_outside(end: impl Fn(Task<()>) -> Option<Outcome<()>> + Copy + Send + Sync + 'static) {
    check(move || {
        let (runtime, name, bell) = (runtime(), name(), Bell::default());
        let (task, inner) = (Arc::clone(&name), bell.clone());
        let (tell, told) = shuttle::sync::mpsc::channel();
        let outside = thread::spawn(move || {
            let woken: Task<()> = told.recv().expect("told of the task");
            end(woken)
        });
        let ran = runtime.run("run", |scope| async move {
            learn_the_cost(&scope).await;
            let back = Bell::default();
            let waits = {
                // However it ends, also before it began, the other goes on.
                let (bell, last) = (inner.clone(), RingsAtLast(back.clone()));
                async move {
                    for n in 1..=3 {
                        bell.rung(n).await;
                        last.0.ring();
                    }
                }
            };
            tell.send(spawn(&scope, &task, waits)).expect("somebody listens");
            inner.ring();
            back.rung(1).await;
            inner.ring();
            inner.ring();
        });
        ran.expect("no failure");
        let outcome = outside.join().expect("no panic");
        assert!(matches!(outcome, None | Some(Outcome::Done(()) | Outcome::Cancelled)), "{outcome:?}");
        drop((runtime, bell));
        nothing_is_left(&name);
    });
}

struct RingsAtLast(Bell);

impl Drop for RingsAtLast {
    fn drop(&mut self) {
        self.0.ring();
    }
}

#[test]
fn cancelled_while_it_is_woken() {
    ended_from_outside(|task| {
        task.cancel();
        Some(block_on(task))
    });
}

#[test]
fn dropped_while_it_is_woken() {
    ended_from_outside(|task| {
        // Looks once, so that the end may have somebody to tell who is not there any more.
        let mut task = pin!(task);
        match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    });
}

/// Urgent work comes while steps are handed over: the step in hand goes back to the queue, and neither is slept over.
#[test]
fn other_work_comes_meanwhile() {
    check(|| {
        let (runtime, name) = (runtime(), name());
        let group = runtime
            .pool()
            .group::<u32>(GroupOptions { priority: Priority::Critical, ..GroupOptions::default() });
        let task = Arc::clone(&name);
        let outside = thread::spawn(move || {
            group.spawn("one", |_| 1);
            group.spawn("two", |_| 2);
            group.results().filter_map(|(_, outcome)| outcome.done()).sum::<u32>()
        });
        let ran = runtime.run("run", |scope| async move {
            learn_the_cost(&scope).await;
            let mut sum = 0;
            for n in 0..3 {
                sum += spawn(&scope, &task, async move { n }).await.done().expect("not stopped");
            }
            sum
        });
        assert_eq!(ran.expect("no failure"), 3);
        assert_eq!(outside.join().expect("no panic"), 3);
        drop(runtime);
        nothing_is_left(&name);
    });
}

/// The runtime ends under tasks that wake each other without end: every future is dropped, and every task.
#[test]
fn the_runtime_ends_with_a_step_in_hand() {
    check(|| {
        let (runtime, name, bells) = (runtime(), name(), [Bell::default(), Bell::default()]);
        let scope = runtime.scope();
        let tasks: Vec<_> = [(0, 1), (1, 0)]
            .into_iter()
            .map(|(ours, theirs)| {
                let bells = bells.clone();
                spawn(&scope, &name, async move {
                    for n in 1.. {
                        bells[ours].rung(n).await;
                        bells[theirs].ring();
                    }
                })
            })
            .collect();
        bells[0].ring();
        drop(scope);
        drop(runtime);
        for task in tasks {
            assert!(matches!(block_on(task), Outcome::Cancelled));
        }
        drop(bells);
        nothing_is_left(&name);
    });
}
