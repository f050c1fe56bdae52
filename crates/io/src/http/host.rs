//! What is kept of each host: connections, places, breaker, retry budget, counts.

use super::{
    config::ClientConfig,
    connect::Origin,
    connections::{Connections, Failure, Means, Sender, Time, Usable},
    error::{Cause, Phase},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, client::conn::TrySendError, header::HeaderValue};
use springtide_runtime::{
    Label, Priority,
    exec::{Scope, Task},
    limit::{Admission, Breaker, Epoch, Outcome, RetryBudget},
    locks::{Mutex, lock},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// A request's body.
pub(super) type Payload = Full<Bytes>;

/// The tasks that make and drive connections: they end with the client.
#[derive(Clone)]
pub(super) struct Drivers(Arc<Crew>);

/// None once it has ended.
enum Crew {
    Tokio(Mutex<Option<JoinSet<()>>>),
    /// Dropping the handles ends the tasks; a panic of one is the scope's.
    Scope(Scope, Mutex<Option<Vec<Task<()>>>>),
}

impl Drivers {
    pub(super) fn new(scope: Option<Scope>) -> Self {
        Self(Arc::new(match scope {
            Some(scope) => Crew::Scope(scope, Mutex::new(Some(Vec::new()))),
            None => Crew::Tokio(Mutex::new(Some(JoinSet::new()))),
        }))
    }

    pub(super) fn run(&self, label: Label, future: impl Future<Output = ()> + Send + 'static) {
        match &*self.0 {
            Crew::Tokio(set) => {
                let mut set = lock(set);
                let Some(set) = &mut *set else { return };
                while set.try_join_next().is_some() {}
                set.spawn(future);
            }
            Crew::Scope(scope, tasks) => {
                // Neither begins nor ends under the lock: in a cancelled scope a task is dropped where it is
                // spawned, and a panic that is found in an ended one cancels the scope.
                let task = scope.spawn(Priority::High, label, None, future);
                let mut tasks = lock(tasks);
                let Some(live) = &mut *tasks else { return };
                let ended: Vec<_> = live.extract_if(.., |task| task.is_ended()).collect();
                live.push(task);
                drop(tasks);
                drop(ended);
            }
        }
    }

    /// Ends all of them. They hold on to each other, so that nobody else would.
    pub(super) fn end(&self) {
        match &*self.0 {
            Crew::Tokio(set) => {
                let set = lock(set).take();
                drop(set);
            }
            Crew::Scope(_, tasks) => {
                let tasks = lock(tasks).take();
                drop(tasks);
            }
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Drivers {
    fn execute(&self, future: F) {
        self.run("a stream of HTTP/2".into(), future);
    }
}

/// What a task waits for at a host, as the tree of tasks shows it.
pub(super) struct Waits {
    pub(super) rate: Label,
    pub(super) place: Label,
    pub(super) connection: Label,
}

impl Waits {
    fn of(host: &str) -> Self {
        let of = |what: &str| Label::from(Arc::<str>::from(format!("{what} {host}")));
        Self { rate: of("the rate limit of"), place: of("a permit for"), connection: of("a connection to") }
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
    pub(super) waits: Waits,
    pub(super) authority: HeaderValue,
    pub(super) budget: Mutex<RetryBudget>,
    pub(super) breaker: Option<Mutex<Breaker>>,
    pub(super) counts: Arc<Counts>,
    pub(super) connections: Connections,
    pub(super) idle_max: Duration,
    /// The host answered with HTTP/1 before.
    pub(super) plain: AtomicBool,
    pub(super) head_max: usize,
}

impl Host {
    pub(super) fn new(origin: Origin, config: &ClientConfig) -> Result<Self, Cause> {
        let authority = origin.authority();
        let value = HeaderValue::from_str(&authority)
            .map_err(|_| Cause::BadRequest("the URL's host cannot stand in a header".into()))?;
        // Without TLS and without being told so, nobody speaks HTTP/2.
        let plain = !origin.tls && config.version != super::config::Version::Http2;
        let name: Arc<str> = format!("{}:{}", origin.host, origin.port).into();
        Ok(Self {
            waits: Waits::of(&name),
            name,
            authority: value,
            budget: Mutex::new(RetryBudget::new(config.retry_budget)),
            breaker: config.breaker.map(|breaker| Mutex::new(Breaker::new(breaker))),
            counts: Arc::default(),
            connections: Connections::default(),
            idle_max: config.idle,
            plain: AtomicBool::new(plain),
            head_max: config.head_max,
            origin,
        })
    }

    /// A connection: one at rest, a shared one, one that comes free, or a new one; `fresh` takes none that was at
    /// rest. The waiting is boxed: most requests need none, and thousands may be under way.
    pub(super) async fn lease(
        self: &Arc<Self>,
        means: &Means,
        time: Time,
        fresh: bool,
    ) -> Result<Lease, Failure> {
        let (usable, waited) = match self.connections.at_hand(fresh, self.idle_max) {
            Some(usable) => (usable, false),
            None => (Box::pin(self.wait(means, time, fresh)).await?, true),
        };
        let Usable { sender, reused } = usable;
        Ok(Lease { host: Arc::clone(self), sender, reused, waited })
    }

    /// Closes connections that have been at rest too long.
    pub(super) fn sweep(&self) {
        self.connections.sweep(self.idle_max);
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

/// A connection in use.
pub(super) struct Lease {
    host: Arc<Host>,
    sender: Sender,
    /// It was used before.
    pub(super) reused: bool,
    /// It was not at hand.
    pub(super) waited: bool,
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
            self.host.connections.forget_shared();
        }
    }

    /// The answer was read to its end: the connection can serve the next request.
    pub(super) fn give_back(self) {
        if let Sender::Own(sender) = self.sender {
            self.host.connections.give_back(sender);
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
