//! Channels, permits, the pool's workers and the executor under a model checker, which runs them in thousands of orders of their
//! threads' steps and finds lost wake-ups and deadlocks: `cargo test -p springtide-runtime --features shuttle --test model`.
#![cfg(feature = "shuttle")]

mod hand_over;

use shuttle::{future::block_on, thread};
use springtide_runtime::{
    GroupOptions, Outcome, Pool, PoolConfig, Priority,
    channel::{ChannelConfig, Receiver, Refusal, Sender, WhenFull},
    permit::{Ask, LimitConfig, PermitConfig, Permits},
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Waker},
};

/// Orders tried of each case.
const ORDERS: usize = 3_000;

fn check(case: impl Fn() + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    // Whole steps of tasks run on the checker's stacks.
    config.stack_size = 1 << 18;
    let scheduler = shuttle::scheduler::PctScheduler::new(4, ORDERS);
    shuttle::Runner::new(scheduler, config).run(case);
}

fn tight(when_full: WhenFull) -> (Sender<(u64, u64)>, Receiver<(u64, u64)>) {
    // Two items, or one of weight two: items weigh what their second number says.
    let config = ChannelConfig::new("model").items(2).bytes(2).when_full(when_full);
    config.weigh(|item: &(u64, u64)| 1 + (item.1 % 2) as usize).key(|item: &(u64, u64)| item.0).open()
}

/// Three senders, one of them blocking its thread by polls; all that is sent arrives, each sender's in order.
#[test]
fn everything_sent_arrives_in_order() {
    check(|| {
        let (sender, mut receiver) = tight(WhenFull::Block);
        let senders: Vec<_> = (0..3)
            .map(|who| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for n in 0..3 {
                        if who == 0 {
                            sender.send_blocking((who, n)).expect("received to the end");
                        } else {
                            block_on(sender.send((who, n))).expect("received to the end");
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let mut next = [0; 3];
        while let Some((who, n)) = receiver.recv_blocking() {
            assert_eq!(next[who as usize], n);
            next[who as usize] = n + 1;
            let seen = receiver.snapshot();
            assert!(seen.items <= 2 && seen.bytes <= 2, "beyond the bound");
        }
        assert_eq!(next, [3; 3]);
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
    });
}

/// The receiver takes from its hand and then waits for a sender in line: whoever fits is let in at once.
#[test]
fn the_hand_strands_nobody_in_the_line() {
    check(|| {
        let (sender, mut receiver) = ChannelConfig::new("model").items(3).open();
        for n in 0..3 {
            sender.try_send(n).expect("room");
        }
        let source = {
            let sender = sender.clone();
            thread::spawn(move || (3..6).all(|n| sender.send_blocking(n).is_ok()))
        };
        let first: Vec<u64> = (0..3).filter_map(|_| receiver.try_recv()).collect();
        assert_eq!(first, [0, 1, 2]);
        assert!(source.join().expect("no panic"), "refused");
        let seen = receiver.snapshot();
        assert_eq!((seen.items, seen.counts.received, seen.counts.items_max), (3, 3, 3));
        drop(sender);
        let rest: Vec<u64> = std::iter::from_fn(|| receiver.recv_blocking()).collect();
        assert_eq!(rest, [3, 4, 5]);
    });
}

/// A sender in line that gives up while the receiver takes from its hand: the one behind it is let in by one of them.
#[test]
fn giving_up_beside_the_hand_strands_nobody() {
    check(|| {
        let (sender, mut receiver) =
            ChannelConfig::new("model").items(2).bytes(4).weigh(|n: &usize| *n).open();
        sender.try_send(1).expect("room");
        sender.try_send(2).expect("room");
        let quitter = {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut send = pin!(sender.send(4));
                let _ = send.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            })
        };
        let source = {
            let sender = sender.clone();
            thread::spawn(move || sender.send_blocking(1).is_ok())
        };
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Some(1), Some(2)));
        quitter.join().expect("no panic");
        // Its item may have come in before it gave up; then that must be received first.
        if receiver.snapshot().bytes == 4 {
            assert_eq!(receiver.try_recv(), Some(4));
        }
        assert!(source.join().expect("no panic"), "refused");
        let counts = receiver.snapshot().counts;
        assert_eq!(counts.sent + counts.withdrawn, 4);
        drop(sender);
        assert_eq!((receiver.recv_blocking(), receiver.recv_blocking()), (Some(1), None));
    });
}

/// A sender that gives up in the line neither loses another's wake-up nor its own item's count.
#[test]
fn giving_up_in_the_line_strands_nobody() {
    check(|| {
        let (sender, mut receiver) = tight(WhenFull::Block);
        let quitter = {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut send = pin!(sender.send((9, 1)));
                let mut cx = Context::from_waker(Waker::noop());
                u64::from(send.as_mut().poll(&mut cx).is_ready())
            })
        };
        let senders: Vec<_> = (0..2)
            .map(|who| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for n in 0..2 {
                        sender.send_blocking((who, n)).expect("received");
                    }
                })
            })
            .collect();
        drop(sender);
        let mut count = 0;
        while receiver.recv_blocking().is_some() {
            count += 1;
        }
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
        quitter.join().expect("no panic");
        let counts = receiver.snapshot().counts;
        assert_eq!((counts.received, counts.received + counts.withdrawn), (count, 5));
    });
}

/// When the receiver goes, every sender gets its item back, also those in line; nothing is unaccounted for.
#[test]
fn senders_learn_that_the_receiver_is_gone() {
    check(|| {
        let (sender, mut receiver) = tight(WhenFull::Block);
        let senders: Vec<_> = (0..2)
            .map(|who| {
                let sender = sender.clone();
                thread::spawn(move || {
                    let results = (0..3).map(|n| sender.send_blocking((who, n)));
                    results
                        .filter(|result| match result {
                            Ok(_) => false,
                            Err(error) => {
                                assert!(matches!(error.why, Refusal::Closed { .. }));
                                true
                            }
                        })
                        .count() as u64
                })
            })
            .collect();
        let first = receiver.recv_blocking();
        assert!(first.is_some());
        drop(receiver);
        let back: u64 = senders.into_iter().map(|sender| sender.join().expect("no panic")).sum();
        let counts = sender.snapshot().counts;
        assert_eq!(counts.received + counts.abandoned + back, 6);
        assert_eq!(counts.refused, back);
    });
}

/// Of each key the newest value arrives, whoever was in line meanwhile.
#[test]
fn conflating_ends_with_the_newest() {
    check(|| {
        let (sender, mut receiver) = tight(WhenFull::Conflate);
        let senders: Vec<_> = (0..3)
            .map(|key| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for n in 0..3 {
                        sender.send_blocking((key, n)).expect("open");
                    }
                })
            })
            .collect();
        drop(sender);
        let mut newest = [None; 3];
        while let Some((key, n)) = receiver.recv_blocking() {
            assert!(newest[key as usize] < Some(n), "an old value after a newer one");
            newest[key as usize] = Some(n);
        }
        assert_eq!(newest, [Some(2); 3]);
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
    });
}

/// Three tasks for one permit, one of which gives up: never two at a time, and nobody waits for ever.
#[test]
fn a_permit_goes_round() {
    check(|| {
        let config = PermitConfig {
            total: LimitConfig::fixed(1),
            per_key: LimitConfig::UNLIMITED,
            ..PermitConfig::default()
        };
        let permits = Permits::new(config).expect("usable limits");
        let out = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..3)
            .map(|who| {
                let (permits, out) = (permits.clone(), Arc::clone(&out));
                thread::spawn(move || {
                    let mut acquire = pin!(permits.acquire(Ask::default()));
                    if who == 0 {
                        // Looks once and leaves.
                        let _ = acquire.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        return;
                    }
                    let permit = block_on(poll_fn(|cx| acquire.as_mut().poll(cx))).expect("open");
                    assert_eq!(out.fetch_add(1, Ordering::SeqCst), 0, "two permits of one");
                    thread::yield_now();
                    out.fetch_sub(1, Ordering::SeqCst);
                    permit.answered();
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().expect("no panic"));
        let seen = permits.snapshot();
        assert_eq!((seen.in_flight, seen.waiting.0.iter().sum::<u64>()), (0, 0));
    });
}

// The critical class, as its readers never nap: the checker knows no time.
fn pool_and_group<T: Send + 'static>(workers: usize) -> (Pool, springtide_runtime::Group<T>) {
    let pool = Pool::new(PoolConfig { workers, ..PoolConfig::default() }).expect("starts");
    let group = pool.group(GroupOptions { priority: Priority::Critical, ..GroupOptions::default() });
    (pool, group)
}

/// Tasks that come while workers fall asleep, steal and wake: each is run once, and nobody sleeps over one.
#[test]
fn no_task_is_slept_over() {
    check(|| {
        let (pool, group) = pool_and_group(2);
        for n in 0..2_u64 {
            group.spawn("one", move |_| n);
        }
        group.spawn_all((2..6).map(|n| ("many", move |_: &springtide_runtime::TaskCtx<'_>| n)));
        let mut done: Vec<u64> = group.results().filter_map(|(_, outcome)| outcome.done()).collect();
        done.sort_unstable();
        assert_eq!(done, [0, 1, 2, 3, 4, 5]);
        drop(group);
        drop(pool);
    });
}

/// Tasks that wait for children of their own, more of them than there are workers.
#[test]
fn waiting_for_children_exhausts_no_worker() {
    check(|| {
        let (pool, group) = pool_and_group(1);
        for _ in 0..2 {
            group.spawn("parent", |ctx| {
                let children = ctx.group::<u64>(ctx.child_options());
                for n in 0..2 {
                    children.spawn("child", move |_| n);
                }
                children.results().filter_map(|(_, outcome)| outcome.done()).sum::<u64>()
            });
        }
        let sums: Vec<u64> = group.results().filter_map(|(_, outcome)| outcome.done()).collect();
        assert_eq!(sums, [1, 1]);
        drop(group);
        drop(pool);
    });
}

/// A group cancelled from another thread while its tasks begin: every task has one outcome.
#[test]
fn cancelling_leaves_no_task_without_an_outcome() {
    check(|| {
        let pool = Pool::new(PoolConfig { workers: 2, ..PoolConfig::default() }).expect("starts");
        let token = springtide_runtime::CancelToken::new();
        let options =
            GroupOptions { priority: Priority::Critical, cancel: token.clone(), ..GroupOptions::default() };
        let group = pool.group::<u64>(options);
        let canceller = thread::spawn(move || token.cancel());
        for n in 0..4 {
            group.spawn("task", move |_| n);
        }
        let outcomes: Vec<_> = group.results().collect();
        assert_eq!(outcomes.len(), 4);
        assert!(outcomes.iter().all(|(_, o)| matches!(o, Outcome::Done(_) | Outcome::Cancelled)));
        canceller.join().expect("no panic");
        drop(group);
        drop(pool);
    });
}
