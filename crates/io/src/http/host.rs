//! What is kept of each host: connections, places, breaker, retry budget, counts.

use super::{
    config::ClientConfig,
    connect::{Dialed, Dialer, Origin},
    error::{Cause, Phase},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
    header::HeaderValue,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use springtide_runtime::limit::{Admission, Breaker, Epoch, Outcome, RetryBudget};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// A request's body.
pub(super) type Payload = Full<Bytes>;

/// Bytes of one stream, and of one connection, that HTTP/2 may send ahead of our reading.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tasks that drive connections: they end with the client.
#[derive(Clone, Default)]
pub(super) struct Drivers(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Drivers {
    fn execute(&self, future: F) {
        let mut set = lock(&self.0);
        while set.try_join_next().is_some() {}
        set.spawn(future);
    }
}

/// Counts of one host. All only grow, except `open` and `in_flight`.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) answers: AtomicU64,
    pub(super) failures: [AtomicU64; Phase::ALL.len()],
    pub(super) bytes: AtomicU64,
    pub(super) dialed: AtomicU64,
    pub(super) reused: AtomicU64,
    /// Connections that had died in the pool, found out by using them.
    pub(super) stale: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) open_max: AtomicU64,
}

/// One host under one rule.
pub(super) struct Host {
    pub(super) origin: Origin,
    /// Host and port, as shown.
    pub(super) name: Arc<str>,
    pub(super) authority: HeaderValue,
    pub(super) budget: Mutex<RetryBudget>,
    pub(super) breaker: Option<Mutex<Breaker>>,
    pub(super) counts: Arc<Counts>,
    idle: Mutex<VecDeque<Idle>>,
    idle_max: Duration,
    shared: Mutex<Option<http2::SendRequest<Payload>>>,
    /// Whoever may be the first to find out that a host speaks HTTP/2 does so alone.
    gate: tokio::sync::Mutex<()>,
    /// The host answered with HTTP/1 before.
    plain: AtomicBool,
    head_max: usize,
}

struct Idle {
    sender: http1::SendRequest<Payload>,
    since: Instant,
}

impl Host {
    pub(super) fn new(origin: Origin, config: &ClientConfig) -> Result<Self, Cause> {
        let authority = origin.authority();
        let value = HeaderValue::from_str(&authority)
            .map_err(|_| Cause::BadRequest("the URL's host cannot stand in a header".into()))?;
        // Without TLS and without being told so, nobody speaks HTTP/2.
        let plain = !origin.tls && config.version != super::config::Version::Http2;
        Ok(Self {
            name: format!("{}:{}", origin.host, origin.port).into(),
            authority: value,
            budget: Mutex::new(RetryBudget::new(config.retry_budget)),
            breaker: config.breaker.map(|breaker| Mutex::new(Breaker::new(breaker))),
            counts: Arc::default(),
            idle: Mutex::default(),
            idle_max: config.idle,
            shared: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
            plain: AtomicBool::new(plain),
            head_max: config.head_max,
            origin,
        })
    }

    /// A connection: one at rest, a shared one, or a new one; `fresh` takes none that was at rest. What makes a new
    /// one is boxed: most requests find one, and thousands may wait at a time.
    pub(super) async fn lease(
        self: &Arc<Self>,
        dialer: &Dialer,
        drivers: &Drivers,
        deadline: Instant,
        limit: Duration,
        fresh: bool,
    ) -> Result<Lease, (Phase, Cause)> {
        if let Some(lease) = self.at_hand(fresh) {
            return Ok(lease);
        }
        if self.plain.load(Relaxed) {
            return Box::pin(self.dial(dialer, drivers, deadline, limit)).await;
        }
        let late = (Phase::Connect, Cause::Timeout { what: "no connection", limit });
        let gate = timeout_at(deadline, self.gate.lock()).await;
        let Ok(guard) = gate else { return Err(late) };
        if let Some(lease) = self.at_hand(fresh) {
            return Ok(lease);
        }
        if self.plain.load(Relaxed) {
            drop(guard);
        }
        Box::pin(self.dial(dialer, drivers, deadline, limit)).await
    }

    /// A connection that need not be made.
    fn at_hand(self: &Arc<Self>, fresh: bool) -> Option<Lease> {
        let mut shared = lock(&self.shared);
        if let Some(sender) = &*shared {
            if !sender.is_closed() {
                let sender = Sender::Shared(sender.clone());
                return Some(Lease { host: Arc::clone(self), sender, reused: true });
            }
            *shared = None;
        }
        drop(shared);
        if fresh {
            return None;
        }
        let mut idle = lock(&self.idle);
        while let Some(Idle { sender, since }) = idle.pop_back() {
            if since.elapsed() >= self.idle_max {
                // Those before it are older still.
                idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some(Lease { host: Arc::clone(self), sender: Sender::Own(sender), reused: true });
            }
        }
        None
    }

    async fn dial(
        self: &Arc<Self>,
        dialer: &Dialer,
        drivers: &Drivers,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Lease, (Phase, Cause)> {
        let Dialed { wire, http2 } = dialer.dial(&self.origin, deadline, limit).await?;
        let transport = |error| (Phase::Connect, Cause::Transport(error));
        let io = TokioIo::new(wire);
        let open = Open::new(Arc::clone(&self.counts));
        let sender = if http2 {
            let (sender, connection) = http2::Builder::new(drivers.clone())
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(u32::try_from(self.head_max).unwrap_or(u32::MAX))
                .handshake(io)
                .await
                .map_err(transport)?;
            drive(drivers, connection, open);
            *lock(&self.shared) = Some(sender.clone());
            Sender::Shared(sender)
        } else {
            self.plain.store(true, Relaxed);
            let (sender, connection) = http1::Builder::new()
                .max_buf_size(self.head_max.max(8 << 10))
                .handshake(io)
                .await
                .map_err(transport)?;
            drive(drivers, connection, open);
            Sender::Own(sender)
        };
        Ok(Lease { host: Arc::clone(self), sender, reused: false })
    }

    /// Closes connections that have been at rest too long.
    pub(super) fn sweep(&self) {
        let mut idle = lock(&self.idle);
        while idle.front().is_some_and(|i| i.since.elapsed() >= self.idle_max || i.sender.is_closed()) {
            idle.pop_front();
        }
    }

    pub(super) fn idle(&self) -> usize {
        lock(&self.idle).len()
    }

    /// May a request go, by the host's breaker?
    pub(super) fn admit(self: &Arc<Self>, now: Duration) -> Result<Watch, Cause> {
        let Some(breaker) = &self.breaker else { return Ok(Watch { host: None, epoch: None }) };
        match lock(breaker).admit(now) {
            Admission::Yes(epoch) => Ok(Watch { host: Some(Arc::clone(self)), epoch: Some(epoch) }),
            Admission::No { wait } => Err(Cause::BreakerOpen { wait }),
        }
    }
}

/// Runs a connection until it ends. Its error reaches whoever waits for an answer on it.
fn drive<T, E>(drivers: &Drivers, connection: T, open: Open)
where
    T: Future<Output = Result<(), E>> + Send + 'static,
{
    use hyper::rt::Executor;
    drivers.execute(async move {
        let _ = connection.await;
        drop(open);
    });
}

/// Counts a connection while it is open.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: Arc<Counts>) -> Self {
        counts.dialed.fetch_add(1, Relaxed);
        let open = counts.open.fetch_add(1, Relaxed) + 1;
        counts.open_max.fetch_max(open, Relaxed);
        Self(counts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// A connection in use.
pub(super) struct Lease {
    host: Arc<Host>,
    sender: Sender,
    /// It was used before.
    pub(super) reused: bool,
}

enum Sender {
    Own(http1::SendRequest<Payload>),
    Shared(http2::SendRequest<Payload>),
}

/// A request that got no answer.
pub(super) struct Unanswered {
    pub(super) error: hyper::Error,
    /// It is certain that none of it was sent.
    pub(super) unsent: bool,
}

impl From<TrySendError<Request<Payload>>> for Unanswered {
    fn from(mut error: TrySendError<Request<Payload>>) -> Self {
        let unsent = error.take_message().is_some();
        Self { error: error.into_error(), unsent }
    }
}

impl Lease {
    /// Waits until the connection takes a request.
    pub(super) async fn ready(&mut self) -> Result<(), hyper::Error> {
        match &mut self.sender {
            Sender::Own(sender) => sender.ready().await,
            Sender::Shared(sender) => sender.ready().await,
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Shared(_))
    }

    pub(super) async fn send(&mut self, request: Request<Payload>) -> Result<Response<Incoming>, Unanswered> {
        match &mut self.sender {
            Sender::Own(sender) => Ok(sender.try_send_request(request).await?),
            Sender::Shared(sender) => Ok(sender.try_send_request(request).await?),
        }
    }

    /// The connection is dead: nobody else shall get it.
    pub(super) fn discard(self) {
        if let Sender::Shared(_) = self.sender {
            // Perhaps a new one already: then it is made once more, which happens seldom and does no harm.
            *lock(&self.host.shared) = None;
        }
    }

    /// The answer was read to its end: the connection can serve the next request.
    pub(super) fn give_back(self) {
        let Sender::Own(sender) = self.sender else { return };
        if !sender.is_closed() {
            lock(&self.host.idle).push_back(Idle { sender, since: Instant::now() });
        }
    }
}

/// An admitted request, until its outcome is known; without one it counts as neither good nor bad.
pub(super) struct Watch {
    host: Option<Arc<Host>>,
    epoch: Option<Epoch>,
}

impl Watch {
    pub(super) fn report(&mut self, outcome: Outcome, now: Duration) {
        if let (Some(host), Some(epoch)) = (&self.host, self.epoch.take())
            && let Some(breaker) = &host.breaker
        {
            lock(breaker).report(epoch, outcome, now);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.report(Outcome::Unknown, Duration::ZERO);
    }
}
