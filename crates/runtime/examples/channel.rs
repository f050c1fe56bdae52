//! What a channel costs beside others, in one run: items of 64 bytes from one or four threads to one, through
//! channels of 1,024 items; and one item back and forth within a thread.
//!
//!     cargo run --release -p springtide-runtime --example channel [items]
//!
//! Rounds alternate; the best of each counts, since noise only ever adds. Ours counts bytes, waits and drops; the
//! others count nothing.

use springtide_runtime::channel::ChannelConfig;
use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
};

type Item = [u64; 8];

const ROUNDS: usize = 7;
const ITEMS_MAX: usize = 1_024;

fn main() {
    let items: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(400_000);
    println!("ns per item of 64 bytes, {ITEMS_MAX} at most queued, best of {ROUNDS} rounds");
    println!("{:>28} {:>12} {:>12} {:>12}", "", "in a thread", "1 thread", "4 threads");
    let mut best = [[f64::INFINITY; 3]; 5];
    for _ in 0..ROUNDS {
        let rows: [fn(u64, u64) -> u64; 5] = [ours, ours_many, tokio_mpsc, flume, kanal];
        for (best, run) in best.iter_mut().zip(rows) {
            for (best, threads) in best.iter_mut().zip([0, 1, 4]) {
                let start = Instant::now();
                assert_eq!(run(items, threads), items * items.saturating_sub(1) / 2, "items were lost");
                *best = best.min(start.elapsed().as_nanos() as f64 / items as f64);
            }
        }
    }
    let names = ["springtide", "springtide, recv_many", "tokio mpsc", "flume", "kanal"];
    for (name, [alone, one, four]) in names.into_iter().zip(best) {
        println!("{name:>28} {alone:>12.0} {one:>12.0} {four:>12.0}");
    }
}

fn item(n: u64) -> Item {
    let mut item = [0; 8];
    item[0] = n;
    item
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park();
    }
}

/// Numbers in parts, one for each thread.
fn parts(items: u64, threads: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..threads).map(move |part| items * part / threads..items * (part + 1) / threads)
}

/// Sends from `threads` threads and sums up in this one; with none, sends and receives in turn. `$send` sends the
/// item of the number `$n` through `$sender`; `$receive` gives the sum of what came, `None` at the end.
macro_rules! measure {
    ($items:expr, $threads:expr, $sender:ident, $n:ident => $send:expr, $receive:expr) => {{
        if $threads == 0 {
            return block_on(async {
                let mut sum = 0;
                for $n in 0..$items {
                    black_box($send.await.is_ok());
                    sum += $receive.unwrap_or(0);
                }
                sum
            });
        }
        thread::scope(|scope| {
            for part in parts($items, $threads) {
                let $sender = $sender.clone();
                scope.spawn(move || {
                    block_on(async {
                        for $n in part {
                            black_box($send.await.is_ok());
                        }
                    })
                });
            }
            drop($sender);
            block_on(async {
                let mut sum = 0;
                while let Some(part) = $receive {
                    sum += part;
                }
                sum
            })
        })
    }};
}

fn ours(items: u64, threads: u64) -> u64 {
    let (sender, mut receiver) = ChannelConfig::new("bench").items(ITEMS_MAX).open();
    measure!(items, threads, sender, n => sender.send(item(n)), receiver.recv().await.map(|item| item[0]))
}

/// Takes all that is queued at a time.
fn ours_many(items: u64, threads: u64) -> u64 {
    let (sender, mut receiver) = ChannelConfig::new("bench").items(ITEMS_MAX).open();
    let mut many = Vec::new();
    measure!(items, threads, sender, n => sender.send(item(n)), {
        let count = receiver.recv_many(&mut many, ITEMS_MAX).await;
        (count > 0).then(|| many.drain(..).map(|item| item[0]).sum::<u64>())
    })
}

fn tokio_mpsc(items: u64, threads: u64) -> u64 {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(ITEMS_MAX);
    measure!(items, threads, sender, n => sender.send(item(n)), receiver.recv().await.map(|item| item[0]))
}

fn flume(items: u64, threads: u64) -> u64 {
    let (sender, receiver) = flume::bounded(ITEMS_MAX);
    let receive = || receiver.recv_async();
    measure!(items, threads, sender, n => sender.send_async(item(n)), receive().await.ok().map(|item| item[0]))
}

fn kanal(items: u64, threads: u64) -> u64 {
    let (sender, receiver) = kanal::bounded_async(ITEMS_MAX);
    measure!(items, threads, sender, n => sender.send(item(n)), receiver.recv().await.ok().map(|item| item[0]))
}
