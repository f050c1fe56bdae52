//! A connection kept up.

use super::{
    deliver::{Deliver, Gone},
    error::{WsCause, WsError},
    socket::{Connector, Socket, SocketOptions},
};
use crate::http::{Phase, Request};
use springtide_runtime::limit::{Admission, Breaker, BreakerConfig, Epoch, Jitter, Outcome, RetryConfig};
use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Most messages gathered before they are handed over.
const GATHERED_MAX: u64 = 256;

/// What a close by the other side means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnClose {
    /// Nothing: venues close connections once a day. Connect again.
    #[default]
    Reconnect,
    /// The feed has come to its end.
    End,
}

/// What a feed is and how it is kept up.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// URL, headers, address rule, deadlines.
    pub request: Request,
    /// Limits of the connection.
    pub socket: SocketOptions,
    /// Sent as text after every connecting: subscriptions.
    pub hello: Vec<String>,
    /// Waits between attempts: `base`, doubling up to `cap`, each made random; gives up after `attempts_max` failed
    /// attempts in a row. A connection that brought a message begins anew.
    pub retry: RetryConfig,
    /// Stops connecting for a while when that fails too often.
    pub breaker: BreakerConfig,
    /// What a close by the other side means.
    pub on_close: OnClose,
}

impl FeedConfig {
    /// Goes on for ever, with waits from 250 ms to 30 s; the breaker's and the socket's usual settings.
    pub fn new(request: Request) -> Self {
        let retry = RetryConfig {
            attempts_max: u32::MAX,
            base: Duration::from_millis(250),
            cap: Duration::from_secs(30),
            ..RetryConfig::default()
        };
        Self {
            request,
            socket: SocketOptions::default(),
            hello: Vec::new(),
            retry,
            breaker: BreakerConfig::default(),
            on_close: OnClose::default(),
        }
    }
}

/// What a feed is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedPhase {
    /// It makes a connection.
    Connecting,
    /// It reads.
    Open,
    /// It waits before the next attempt.
    Waiting,
    /// It has ended.
    Ended,
}

/// What a feed did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedCounts {
    /// Connections made.
    pub opened: u64,
    /// Attempts that failed, and connections that broke.
    pub failures: u64,
    /// Messages that came.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that nobody knew what to do with.
    pub unknown: u64,
    /// Messages that a channel refused.
    pub refused: u64,
    /// Times that the breaker kept it from trying.
    pub held_back: u64,
}

/// A feed as seen from outside, also while it runs.
#[derive(Clone, Debug, Default)]
pub struct FeedState {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    opened: AtomicU64,
    failures: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    unknown: AtomicU64,
    refused: AtomicU64,
    held_back: AtomicU64,
}

impl FeedState {
    /// What it is doing now.
    pub fn phase(&self) -> FeedPhase {
        match self.shared.phase.load(Relaxed) {
            0 => FeedPhase::Connecting,
            1 => FeedPhase::Open,
            2 => FeedPhase::Waiting,
            _ => FeedPhase::Ended,
        }
    }

    /// What it did so far.
    pub fn counts(&self) -> FeedCounts {
        let Shared { opened, failures, messages, bytes, unknown, refused, held_back, .. } = &*self.shared;
        let get = |count: &AtomicU64| count.load(Relaxed);
        FeedCounts {
            opened: get(opened),
            failures: get(failures),
            messages: get(messages),
            bytes: get(bytes),
            unknown: get(unknown),
            refused: get(refused),
            held_back: get(held_back),
        }
    }

    fn enter(&self, phase: FeedPhase) {
        self.shared.phase.store(phase as u8, Relaxed);
    }
}

/// A connection that is made again whenever it ends.
#[derive(Debug)]
pub struct Feed {
    connector: Connector,
    config: FeedConfig,
    state: FeedState,
}

/// How a connection ended.
enum End {
    /// Nobody reads any more.
    Gone,
    /// The other side closed it.
    Closed(WsError),
    /// It failed.
    Failed(WsError),
}

impl Feed {
    /// A feed; it begins with [`Feed::run`].
    pub fn new(connector: Connector, config: FeedConfig) -> Self {
        Self { connector, config, state: FeedState::default() }
    }

    /// To look at it while it runs.
    pub fn state(&self) -> FeedState {
        self.state.clone()
    }

    /// Connects, hands on what comes, and connects again, until nobody takes the messages any more, or the other
    /// side closes and [`OnClose::End`] says that this is the end. Dropping the future ends it at once.
    ///
    /// # Errors
    /// When connecting cannot succeed, or failed as often in a row as it may.
    pub async fn run(self, mut deliver: impl Deliver) -> Result<(), WsError> {
        let result = self.keep_up(&mut deliver).await;
        self.state.enter(FeedPhase::Ended);
        result
    }

    async fn keep_up(&self, deliver: &mut impl Deliver) -> Result<(), WsError> {
        let (start, counts) = (Instant::now(), &self.state.shared);
        let (mut breaker, mut jitter) = (Breaker::new(self.config.breaker), Jitter::random());
        let mut failed_in_a_row = 0;
        loop {
            let epoch = self.admitted(&mut breaker, start).await;
            let before = counts.messages.load(Relaxed);
            let end = self.once(deliver).await;
            let brought = counts.messages.load(Relaxed) > before;
            let good = brought || matches!(end, End::Closed(_));
            breaker.report(epoch, if good { Outcome::Success } else { Outcome::Failure }, start.elapsed());
            let error = match end {
                End::Gone => return Ok(()),
                End::Closed(_) if self.config.on_close == OnClose::End => return Ok(()),
                End::Closed(error) | End::Failed(error) => error,
            };
            counts.failures.fetch_add(1, Relaxed);
            failed_in_a_row = if brought { 1 } else { failed_in_a_row + 1 };
            if !error.may_pass() || failed_in_a_row >= self.config.retry.attempts_max {
                return Err(error.after(failed_in_a_row));
            }
            self.state.enter(FeedPhase::Waiting);
            sleep(self.config.retry.backoff(failed_in_a_row, jitter.draw())).await;
        }
    }

    /// Waits until the breaker lets an attempt through.
    async fn admitted(&self, breaker: &mut Breaker, start: Instant) -> Epoch {
        loop {
            match breaker.admit(start.elapsed()) {
                Admission::Yes(epoch) => return epoch,
                Admission::No { wait } => {
                    self.state.enter(FeedPhase::Waiting);
                    self.state.shared.held_back.fetch_add(1, Relaxed);
                    sleep(wait).await;
                }
            }
        }
    }

    /// One connection, from its making to its end.
    async fn once(&self, deliver: &mut impl Deliver) -> End {
        self.state.enter(FeedPhase::Connecting);
        let connected = self.connector.connect(&self.config.request, self.config.socket).await;
        let mut socket = match connected {
            Ok(socket) => socket,
            Err(error) => return End::Failed(error),
        };
        for text in &self.config.hello {
            if let Err(error) = socket.send(text.clone()).await {
                return End::Failed(error);
            }
        }
        let number = self.state.shared.opened.fetch_add(1, Relaxed) + 1;
        self.state.enter(FeedPhase::Open);
        deliver.opened(number);
        loop {
            let end = self.gather(&mut socket, deliver).await;
            match deliver.flush().await {
                Ok(refused) => _ = self.state.shared.refused.fetch_add(refused, Relaxed),
                Err(Gone) => {
                    socket.close().await;
                    return End::Gone;
                }
            }
            match end {
                None => {}
                Some(Ok(())) => {
                    let (code, reason) = socket.closed().unwrap_or((1005, ""));
                    let cause = WsCause::Closed { code, reason: reason.to_owned() };
                    let shown = self.config.request.shown_url();
                    return End::Closed(WsError::new(&shown, Phase::Body, cause));
                }
                Some(Err(error)) => return End::Failed(error),
            }
        }
    }

    /// Waits for a message and takes what else is there; returns the connection's end, when it came.
    async fn gather(&self, socket: &mut Socket, deliver: &mut impl Deliver) -> Option<Result<(), WsError>> {
        let (mut messages, mut bytes, mut unknown) = (0, 0, 0);
        let end = poll_fn(|cx| {
            while messages < GATHERED_MAX {
                match socket.poll_next(cx) {
                    Poll::Ready(Ok(Some(message))) => {
                        messages += 1;
                        bytes += message.bytes().len() as u64;
                        unknown += u64::from(!deliver.message(&message));
                    }
                    Poll::Ready(Ok(None)) => return Poll::Ready(Some(Ok(()))),
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Poll::Pending if messages == 0 => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(None)
        })
        .await;
        let counts = &self.state.shared;
        counts.messages.fetch_add(messages, Relaxed);
        counts.bytes.fetch_add(bytes, Relaxed);
        counts.unknown.fetch_add(unknown, Relaxed);
        end
    }
}
