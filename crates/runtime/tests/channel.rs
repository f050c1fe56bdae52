//! Channels as their users see them: bounds, every answer to being full, closing, both kinds of ends.

use springtide_runtime::{
    Priority,
    channel::{ChannelConfig, Receiver, Refusal, Sender, Sent, WhenFull},
    exec::{Runtime, RuntimeConfig},
    observe::Observatory,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

const LONG: Duration = Duration::from_secs(30);

fn of_three(when_full: WhenFull) -> (Sender<String>, Receiver<String>) {
    let key = |text: &String| u64::from(text.as_bytes()[0]);
    ChannelConfig::new("texts").items(3).bytes(10).weigh(String::len).key(key).when_full(when_full).open()
}

fn drained(mut receiver: Receiver<String>) -> Vec<String> {
    std::iter::from_fn(|| receiver.try_recv()).collect()
}

fn fill(sender: &Sender<String>) {
    for text in ["a1", "b1", "c1"] {
        assert_eq!(sender.try_send(text.into()).expect("room"), Sent::Queued);
    }
}

fn start<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().spawn(body).expect("a thread")
}

#[test]
fn dropping_the_newest_keeps_what_is_queued() {
    let (sender, receiver) = of_three(WhenFull::DropNewest);
    fill(&sender);
    assert_eq!(sender.send_blocking("d1".into()).expect("counted"), Sent::Dropped);
    let counts = receiver.snapshot().counts;
    assert_eq!((counts.sent, counts.dropped_newest, counts.dropped_bytes, counts.dropped()), (3, 1, 2, 1));
    assert_eq!(drained(receiver), ["a1", "b1", "c1"]);
}

#[test]
fn dropping_the_oldest_makes_room_for_the_new() {
    let (sender, receiver) = of_three(WhenFull::DropOldest);
    fill(&sender);
    // Nine of ten bytes: all three must go.
    assert_eq!(sender.send_blocking("d23456789".into()).expect("counted"), Sent::Displaced(3));
    let counts = receiver.snapshot().counts;
    assert_eq!((counts.sent, counts.dropped_oldest, counts.dropped_bytes), (4, 3, 6));
    assert_eq!(drained(receiver), ["d23456789"]);
}

#[test]
fn conflating_keeps_the_newest_in_the_place_of_the_oldest() {
    let (sender, receiver) = of_three(WhenFull::Conflate);
    fill(&sender);
    assert_eq!(sender.try_send("a22".into()).expect("its key is queued"), Sent::Conflated);
    let full = sender.try_send("d1".into()).expect_err("a fourth key has no room");
    assert!(matches!(full.why, Refusal::Full { .. }));
    assert_eq!(receiver.snapshot().bytes, 7);
    assert_eq!(drained(receiver), ["a22", "b1", "c1"]);
}

#[test]
fn failing_gives_the_item_back_with_the_remedy() {
    let (sender, receiver) = of_three(WhenFull::Fail);
    fill(&sender);
    let full = sender.send_blocking("d1".into()).expect_err("full");
    assert_eq!(full.item, "d1");
    assert!(full.to_string().contains("`texts` is full (3 items, 10 bytes allowed)"), "{full}");
    let large = sender.send_blocking("01234567890".into()).expect_err("never fits");
    assert!(large.to_string().contains("11 bytes never fits channel `texts` of 10 bytes"), "{large}");
    assert_eq!(receiver.snapshot().counts.refused, 2);
    assert_eq!(drained(receiver), ["a1", "b1", "c1"]);
}

#[test]
fn a_slow_consumer_slows_its_source() {
    let (sender, mut receiver) = ChannelConfig::new("slow").items(1_000).bytes(64).weigh(Vec::len).open();
    let made = Arc::new(AtomicUsize::new(0));
    let source = {
        let made = Arc::clone(&made);
        start(move || {
            for n in 0..1_000_usize {
                sender.send_blocking(vec![0_u8; 1 + n % 7]).expect("received to the end");
                made.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let (mut taken, mut bytes) = (0, 0);
    while let Some(block) = receiver.recv_blocking() {
        taken += 1;
        bytes += block.len();
        // Ahead of the consumer are at most 64 bytes, one item that waits, and one about to be counted.
        assert!(made.load(Ordering::Relaxed) <= taken + 64 + 2);
        if taken % 100 == 0 {
            thread::yield_now();
        }
    }
    source.join().expect("no panic");
    let counts = receiver.snapshot().counts;
    assert_eq!((taken, bytes), (1_000, (0..1_000).map(|n| 1 + n % 7).sum()));
    assert!(counts.bytes_max <= 64 && counts.dropped() == 0, "{counts:?}");
    assert_eq!((counts.sent, counts.received), (1_000, 1_000));
}

#[test]
fn who_waits_is_served_in_the_order_of_arrival() {
    let (sender, mut receiver) = of_three(WhenFull::Block);
    fill(&sender);
    let (tell, order) = mpsc::channel();
    // The first in line needs nearly all room; the small ones behind it must not go past it.
    let waiters: Vec<_> = ["x12345678", "y", "z"]
        .into_iter()
        .enumerate()
        .map(|(at, text)| {
            let (own, tell) = (sender.clone(), tell.clone());
            let waiter = start(move || {
                own.send_blocking(text.into()).expect("open");
                tell.send(text).expect("test waits");
            });
            while sender.snapshot().waiting <= at {
                thread::yield_now();
            }
            waiter
        })
        .collect();
    assert!(matches!(sender.try_send("w".into()).expect_err("others wait").why, Refusal::Full { .. }));
    let first: Vec<_> = (0..2).filter_map(|_| receiver.try_recv()).collect();
    assert_eq!((first, receiver.snapshot().waiting), (vec!["a1".into(), "b1".into()], 3));
    drop(sender);
    let rest: Vec<_> = std::iter::from_fn(|| receiver.recv_blocking()).collect();
    assert_eq!(rest, ["c1", "x12345678", "y", "z"]);
    waiters.into_iter().for_each(|waiter| waiter.join().expect("no panic"));
    assert_eq!(order.try_iter().count(), 3);
}

#[test]
fn what_is_in_hand_counts_until_it_is_received() {
    let (sender, mut receiver) = of_three(WhenFull::Fail);
    fill(&sender);
    // The first call takes all three from the queue.
    for (first, next) in [("a1", "d1"), ("b1", "e1")] {
        assert_eq!(receiver.try_recv().as_deref(), Some(first));
        let seen = sender.snapshot();
        assert_eq!((seen.items, seen.bytes), (2, 4));
        assert_eq!(seen.counts.sent, seen.counts.received + 2);
        assert_eq!(sender.try_send(next.into()).expect("one has room"), Sent::Queued);
        assert!(matches!(sender.try_send("x".into()).expect_err("not two").why, Refusal::Full { .. }));
    }
    let mut many = Vec::new();
    assert_eq!((receiver.try_recv_many(&mut many, 2), many), (2, vec!["c1".to_owned(), "d1".to_owned()]));
    sender.try_send("f1".into()).expect("room");
    sender.try_send("g1".into()).expect("room");
    assert_eq!(receiver.try_recv().as_deref(), Some("e1"));
    assert_eq!(sender.snapshot().counts.items_max, 3);
    drop(receiver);
    let counts = sender.snapshot().counts;
    assert_eq!((counts.sent, counts.received, counts.abandoned), (7, 5, 2));
    assert_eq!((sender.snapshot().items, sender.snapshot().bytes), (0, 0));
}

#[test]
fn what_may_be_replaced_stays_within_reach() {
    for when_full in [WhenFull::DropOldest, WhenFull::Conflate] {
        let (sender, mut receiver) = of_three(when_full);
        fill(&sender);
        assert_eq!(receiver.try_recv().as_deref(), Some("a1"));
        sender.try_send("d1".into()).expect("room");
        let (sent, left) = match when_full {
            WhenFull::Conflate => (Sent::Conflated, ["b2", "c1", "d1"]),
            _ => (Sent::Displaced(1), ["c1", "d1", "b2"]),
        };
        assert_eq!(sender.try_send("b2".into()).expect("taken"), sent, "{when_full}");
        assert_eq!(drained(receiver), left);
    }
}

#[test]
fn whoever_has_room_is_let_in_while_the_receiver_has_items_in_hand() {
    let (sender, mut receiver) = of_three(WhenFull::Block);
    fill(&sender);
    assert_eq!(receiver.try_recv().as_deref(), Some("a1"));
    let source = {
        let sender = sender.clone();
        start(move || ["d1", "e1"].map(|text| sender.send_blocking(text.into()).expect("open")))
    };
    while sender.snapshot().waiting == 0 {
        thread::yield_now();
    }
    assert_eq!(receiver.try_recv().as_deref(), Some("b1"));
    // The receiver waits for that very sender now.
    source.join().expect("no panic");
    assert_eq!(drained(receiver), ["c1", "d1", "e1"]);
    assert_eq!(sender.snapshot().counts.waits, 1);
}

#[test]
fn asynchronous_ends_in_scopes() {
    let runtime = Runtime::new(RuntimeConfig { workers: 2, ..RuntimeConfig::default() }).expect("starts");
    let sum = runtime.run("pipeline", |scope| async move {
        let (sender, mut receiver) = ChannelConfig::new("numbers").items(16).open();
        for who in 0..4_u64 {
            let sender = sender.clone();
            scope.start(Priority::Standard, "source", LONG, async move {
                for n in 0..500 {
                    sender.send(who * 500 + n).await?;
                }
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
        drop(sender);
        let (mut sum, mut many) = (0, Vec::new());
        while receiver.recv_many(&mut many, 100).await > 0 {
            sum += many.drain(..).sum::<u64>();
        }
        sum
    });
    assert_eq!(sum.expect("no failure"), (0..2_000).sum::<u64>());
}

#[test]
fn a_cancelled_sender_leaves_the_line() {
    let runtime = Runtime::new(RuntimeConfig { workers: 1, ..RuntimeConfig::default() }).expect("starts");
    let (sender, mut receiver) = of_three(WhenFull::Block);
    fill(&sender);
    let waiting = sender.clone();
    let task = runtime.scope().spawn(Priority::High, "late", Duration::from_millis(5), async move {
        waiting.send("d1".into()).await.is_ok()
    });
    assert_eq!(runtime.run("wait", |_| task).expect("no failure"), springtide_runtime::Outcome::TimedOut);
    let seen = sender.snapshot();
    assert_eq!((seen.waiting, seen.counts.withdrawn), (0, 1));
    assert_eq!(receiver.recv_for(LONG).expect("queued").as_deref(), Some("a1"));
    receiver.close();
    assert!(sender.send_blocking("e1".into()).is_err() && sender.is_closed());
    assert_eq!(drained(receiver), ["b1", "c1"]);
}

#[test]
fn destructors_may_use_their_own_channel() {
    struct Echo(Option<Sender<Echo>>);
    impl Drop for Echo {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                let _ = sender.try_send(Echo(None));
            }
        }
    }
    let (sender, receiver) = ChannelConfig::new("echo").items(1).when_full(WhenFull::DropOldest).open();
    sender.try_send(Echo(Some(sender.clone()))).expect("room");
    assert_eq!(sender.try_send(Echo(None)).expect("displaces"), Sent::Displaced(1));
    drop(receiver);
    assert_eq!(sender.snapshot().counts.abandoned, 1);
}

#[test]
fn a_channel_is_seen_while_it_lives() {
    let seen = Observatory::new("a test");
    let name = "seen while it lives";
    let find = |state: &serde_json::Value| {
        let all = state["channels"].as_array().expect("a list").clone();
        all.into_iter().find(|channel| channel["name"] == name)
    };
    let (sender, receiver) =
        ChannelConfig::<u64>::new(name).items(2).bytes(100).when_full(WhenFull::DropNewest).open();
    (0..3).for_each(|n| assert_eq!(sender.try_send(n).expect("counted").lost(), usize::from(n == 2)));
    let channel = find(&seen.state()).expect("listed");
    assert_eq!(
        (&channel["items"], &channel["bytes"], &channel["bytes_limit"]),
        (&2.into(), &16.into(), &100.into())
    );
    assert_eq!((&channel["dropped"], &channel["when_full"]), (&1.into(), &"drop-newest".into()));
    assert!(seen.tasks().contains("channel seen while it lives: 2 of 2 items"), "{}", seen.tasks());
    let dropped = format!("tide_channel_dropped_items_total{{channel=\"{name}\",how=\"newest\"}} 1");
    assert!(seen.metrics().text().contains(&dropped), "{}", seen.metrics().text());
    drop((sender, receiver));
    assert!(find(&seen.state()).is_none());
}
