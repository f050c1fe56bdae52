//! The server of the scenario: trades as WebSocket messages, all made before the first is asked for.
//!
//! `ws://ADDRESS/ws?n=N&rate=R&spin=S`: the first N trades, as fast as they are taken (rate 0) or R per second. Then
//! each trade's `E` is the time at which it was due, nanoseconds since 1970, so that a reader cannot hide that it was
//! late; what is due is sent every 100 µs, or with `spin=1` each trade by itself, at the price of a core.

use crate::{Rng, ScenarioError};
use std::{
    fmt::Write as _,
    io::{Read, Write as _},
    net::TcpStream as Blocking,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tokio_websockets::ServerBuilder;

/// Symbols, `SYM000` and on.
pub(super) const SYMBOLS: usize = 50;
/// Digits of `E`.
const STAMP: usize = 19;
const TICK: Duration = Duration::from_micros(100);
/// A client that takes nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// All messages as they go over the wire, frames and all.
pub(super) struct Trades {
    bytes: Vec<u8>,
    /// Where each message begins, and the end.
    starts: Vec<u32>,
    /// Where each message's `E` stands.
    stamps: Vec<u32>,
}

impl Trades {
    /// The first `count` trades: equal everywhere.
    pub(super) fn new(count: usize) -> Self {
        let mut random = Rng(77);
        let mut prices: Vec<i64> = (1..=SYMBOLS as i64).map(|n| 10_000 * n).collect();
        let mut time = 1_704_067_200_000_u64;
        let mut trades = Self {
            bytes: Vec::with_capacity(120 * count),
            starts: Vec::with_capacity(count + 1),
            stamps: Vec::with_capacity(count),
        };
        let mut text = String::new();
        for number in 0..count {
            time += random.below(3);
            let symbol = random.below(SYMBOLS as u64) as usize;
            let step = prices[symbol] / 1_000;
            let moved = random.below(2 * step as u64 + 1) as i64 - step;
            prices[symbol] = (prices[symbol] + moved).max(1_000);
            let (price, quantity) = (prices[symbol], 1 + random.below(100_000));
            let maker = random.next_bits() & 1 == 0;
            text.clear();
            let _ = write!(
                text,
                "{{\"e\":\"trade\",\"E\":{:0STAMP$},\"s\":\"SYM{symbol:03}\",\"t\":{number},\"p\":\"{}.{:02}\",\"q\":\"{}.{:04}\",\
                 \"T\":{time},\"m\":{maker}}}",
                1_700_000_000_000_000_000_u64,
                price / 100,
                price % 100,
                quantity / 10_000,
                quantity % 10_000
            );
            trades.push(&text);
        }
        trades.starts.push(trades.bytes.len() as u32);
        trades
    }

    /// One text frame, unmasked (RFC 6455, 5.2).
    fn push(&mut self, text: &str) {
        self.starts.push(self.bytes.len() as u32);
        self.bytes.push(0x81);
        match u8::try_from(text.len()) {
            Ok(length @ ..126) => self.bytes.push(length),
            _ => {
                self.bytes.push(126);
                self.bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
            }
        }
        let stamp = text.find("\"E\":").map_or(0, |at| at + 4);
        self.stamps.push((self.bytes.len() + stamp) as u32);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn len(&self) -> usize {
        self.stamps.len()
    }

    /// The text of one message, without its frame.
    pub(super) fn text(&self, number: usize) -> &[u8] {
        let frame = &self.bytes[self.starts[number] as usize..self.starts[number + 1] as usize];
        &frame[if frame[1] == 126 { 4 } else { 2 }..]
    }

    fn frames(&self, from: usize, to: usize) -> &[u8] {
        &self.bytes[self.starts[from] as usize..self.starts[to] as usize]
    }
}

/// Listens on a free port until `stop` returns.
pub(super) fn serve(
    trades: Trades,
    announce: &mut dyn FnMut(&str),
    stop: &mut dyn FnMut(),
) -> Result<(), ScenarioError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ScenarioError::work)?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)));
    let listener = listener.map_err(|e| ScenarioError::work(format!("the feed cannot listen: {e}")))?;
    let address = listener.local_addr().map_err(ScenarioError::work)?;
    let (ended, end) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new().name("feed".into());
    let thread = thread.spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = accept(listener, Arc::new(trades)) => {}
                _ = end => {}
            }
        });
    });
    let thread = thread.map_err(ScenarioError::work)?;
    announce(&address.to_string());
    stop();
    // It hears of the end by this being gone, too.
    drop(ended);
    thread.join().map_err(|_| ScenarioError::work("the feed panicked"))
}

async fn accept(listener: TcpListener, trades: Arc<Trades>) {
    let mut connections = JoinSet::new();
    loop {
        // A connection that could not be accepted is the client's to notice.
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, Arc::clone(&trades)));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// What a client asks for.
#[derive(Clone, Copy)]
struct Ask {
    count: usize,
    rate: u64,
    spin: bool,
}

/// The handshake, and a thread of its own for what follows: pacing by 100 µs is no work for a reactor.
async fn connection(stream: TcpStream, trades: Arc<Trades>) {
    let Ok((request, socket)) = ServerBuilder::new().accept(stream).await else { return };
    let query = request.uri().query().unwrap_or_default().to_owned();
    let value = |name: &str| -> Option<u64> {
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let count = value("n").map_or(trades.len(), |n| trades.len().min(n as usize));
    let ask = Ask { count, rate: value("rate").unwrap_or(0), spin: value("spin") == Some(1) };
    let Ok(stream) = socket.into_inner().into_std() else { return };
    let send = move || {
        // A client that goes away ends its feed.
        let _ = stream.set_nonblocking(false).and_then(|()| send(stream, &trades, ask));
    };
    // Its end is waited for: a client that has gone ends it at once, one that only stands still within the patience.
    let _ = tokio::task::spawn_blocking(send).await;
}

fn send(mut stream: Blocking, trades: &Trades, ask: Ask) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if ask.rate == 0 {
        stream.write_all(trades.frames(0, ask.count))?;
    } else {
        paced(&mut stream, trades, ask)?;
    }
    // A close of status 1000.
    stream.write_all(&[0x88, 2, 0x03, 0xE8])?;
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut rest = [0; 512];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}

fn paced(stream: &mut Blocking, trades: &Trades, ask: Ask) -> std::io::Result<()> {
    exact_sleeps();
    let (begin, clock) = (since_1970(), Instant::now());
    let due_ns = |number: usize| (number as u128 * 1_000_000_000 / u128::from(ask.rate)) as u64;
    let mut frames = Vec::new();
    let mut sent = 0;
    while sent < ask.count {
        let elapsed = clock.elapsed().as_nanos();
        let due = ((elapsed * u128::from(ask.rate) / 1_000_000_000) as usize + 1).min(ask.count);
        if due > sent {
            frames.clear();
            frames.extend_from_slice(trades.frames(sent, due));
            for number in sent..due {
                let at = (trades.stamps[number] - trades.starts[sent]) as usize;
                write_digits(&mut frames[at..at + STAMP], begin + due_ns(number));
            }
            stream.write_all(&frames)?;
            sent = due;
        }
        if ask.spin {
            std::hint::spin_loop();
        } else {
            std::thread::sleep(TICK);
        }
    }
    Ok(())
}

/// A sleep of 100 µs ends up to 50 µs late unless the kernel is told that this thread minds.
fn exact_sleeps() {
    // Where it cannot be set, sleeps are less exact, which the latencies then show.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000));
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Nanoseconds, comparable between processes.
pub(super) fn since_1970() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |t| t.as_nanos() as u64)
}
