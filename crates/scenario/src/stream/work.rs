//! The reader's side.

use super::{
    feed::{self, SYMBOLS},
    signals::{Outcome, Signals},
    trade::{Trade, read, read_usual},
};
use crate::{Figures, Latencies, Meter, ScenarioError, cores};
use springtide_io::{
    http::{ClientConfig, Request},
    ws::{Batches, Connector, Deliver, Each, Feed, FeedConfig, Message, OnClose, SocketOptions},
};
use springtide_runtime::{
    Outcome as Ended, Priority,
    channel::{ChannelConfig, ChannelCounts, ChannelSnapshot, WhenFull},
    exec::{Runtime, RuntimeConfig},
};
use std::time::{Duration, Instant};

/// Most batches, and most bytes of trades, between reader and strategy.
const BATCHES: usize = 64;
const QUEUE_BYTES: usize = 1 << 20;
/// Most time for one run.
const PATIENCE: Duration = Duration::from_secs(300);

/// What to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub trades: usize,
    /// Per second; 0 as fast as they are taken.
    pub rate: u64,
    pub way: Way,
    /// Further work on each trade.
    pub work: Duration,
}

/// Between the connection and the strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing: one message after another.
    Alone,
    /// A channel that waits: nothing is lost.
    Block,
    /// A channel that keeps each symbol's newest trade.
    Conflate,
}

/// The strategy and the times of what it has done.
#[derive(Debug)]
struct Reader {
    signals: Signals,
    times: Latencies,
    timed: bool,
    work: Duration,
}

impl Reader {
    fn new(job: &Job) -> Self {
        let timed = job.rate > 0;
        let times = Latencies::with_capacity(if timed { job.trades } else { 0 });
        Self { signals: Signals::new(), times, timed, work: job.work }
    }

    #[inline]
    fn take(&mut self, trade: &Trade) {
        self.signals.take(trade);
        if !self.work.is_zero() {
            let began = Instant::now();
            while began.elapsed() < self.work {
                std::hint::spin_loop();
            }
        }
        if self.timed {
            self.times.push(Duration::from_nanos(feed::since_1970().saturating_sub(trade.due)));
        }
    }
}

/// Runs the job against the feed at `address` and returns what came of it, too.
pub(super) fn run(address: &str, job: Job) -> Result<(Figures, Outcome), ScenarioError> {
    let url = format!("ws://{address}/ws?rate={}&n={}&spin=0", job.rate, job.trades);
    let meter = Meter::start(if job.way == Way::Alone { 1 } else { cores() });
    let config = RuntimeConfig { workers: 1, name: "stream".into(), ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).map_err(ScenarioError::work)?;
    let connector = Connector::new(&ClientConfig::default()).map_err(ScenarioError::work)?;
    let (reader, queue) = match job.way {
        Way::Alone => (alone(&runtime, connector, url, job)?, None),
        Way::Block => {
            let weigh = |batch: &Vec<Trade>| batch.len() * size_of::<Trade>();
            let channel = ChannelConfig::new("trades").items(BATCHES).bytes(QUEUE_BYTES).weigh(weigh);
            let (sender, mut trades) = channel.open();
            let reading = async move {
                let mut reader = Reader::new(&job);
                while let Some(batch) = trades.recv().await {
                    batch.iter().for_each(|trade| reader.take(trade));
                }
                (reader, trades.snapshot())
            };
            let (reader, queue) = through(&runtime, connector, url, Batches::new(sender, decode), reading)?;
            (reader, Some(queue))
        }
        Way::Conflate => {
            let channel = ChannelConfig::new("trades").items(SYMBOLS).when_full(WhenFull::Conflate);
            let (sender, mut trades) = channel.key(|trade: &Trade| u64::from(trade.symbol)).open();
            let reading = async move {
                let mut reader = Reader::new(&job);
                while let Some(trade) = trades.recv().await {
                    reader.take(&trade);
                }
                (reader, trades.snapshot())
            };
            let (reader, queue) = through(&runtime, connector, url, Each::new(sender, decode), reading)?;
            (reader, Some(queue))
        }
    };
    let outcome = reader.signals.outcome();
    let mut figures = meter.stop(outcome.trades as f64, reader.times);
    figures.connections = Some(1);
    if let Some(queue) = queue {
        let lost = bounded(&queue, job, &outcome)?;
        if !job.work.is_zero() {
            figures.extra.insert("most queued, KB".into(), queue.counts.bytes_max as f64 / 1e3);
            figures.extra.insert("replaced by newer ones".into(), lost as f64);
        }
    }
    Ok((figures, outcome))
}

fn decode(message: &Message) -> Option<Trade> {
    read_usual(message.bytes())
}

/// The queue kept its bound, and every trade was read or is counted as lost. Returns how many are.
fn bounded(queue: &ChannelSnapshot, job: Job, outcome: &Outcome) -> Result<u64, ScenarioError> {
    let ChannelCounts { items_max, bytes_max, conflated, .. } = queue.counts;
    let within = items_max <= queue.bound.items && bytes_max <= queue.bound.bytes;
    ScenarioError::check("the queue stays within its bound", true, within)?;
    ScenarioError::check("trades read and replaced", job.trades as u64, outcome.trades + conflated)?;
    Ok(conflated)
}

/// One message after another on one connection.
fn alone(runtime: &Runtime, connector: Connector, url: String, job: Job) -> Result<Reader, ScenarioError> {
    let reading = async move {
        let request = Request::get(&url);
        let mut socket = connector.connect(&request, SocketOptions::default()).await?;
        let mut reader = Reader::new(&job);
        while let Some(message) = socket.next().await? {
            if let Some(trade) = read(message.bytes()) {
                reader.take(&trade);
            }
        }
        Ok::<_, springtide_io::ws::WsError>(reader)
    };
    runtime.run("reader", |_| reading).map_err(ScenarioError::work)?.map_err(ScenarioError::work)
}

/// The feed and the strategy as tasks of their own.
fn through(
    runtime: &Runtime,
    connector: Connector,
    url: String,
    deliver: impl Deliver + 'static,
    reading: impl Future<Output = (Reader, ChannelSnapshot)> + Send + 'static,
) -> Result<(Reader, ChannelSnapshot), ScenarioError> {
    let config = FeedConfig { on_close: OnClose::End, ..FeedConfig::new(Request::get(&url)) };
    let feed = Feed::new(connector, config);
    let ended = runtime.run("stream", |scope| async move {
        scope.start(Priority::High, "feed", PATIENCE, feed.run(deliver));
        scope.spawn(Priority::Critical, "strategy", PATIENCE, reading).await
    });
    match ended.map_err(ScenarioError::work)? {
        Ended::Done(read) => Ok(read),
        other => Err(ScenarioError::work(format!("the strategy did not end: {other:?}"))),
    }
}
