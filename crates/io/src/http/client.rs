//! The client: from a request to its answer, with everything between.

use super::{
    answer::{Answer, Source, Timing},
    body::{Clock, Failed},
    cache::Cache,
    config::ClientConfig,
    connect::{Dialer, Origin},
    connections::Means,
    error::{Cause, HttpError, Phase, Place},
    exchange::{Exchange, Opened},
    follow::FailedOnce,
    host::{Drivers, Host},
    request::Request,
    retries::failure_of,
    stream::Streamed,
};
use hyper::header::HeaderValue;
use springtide_runtime::locks::{Mutex, lock};
use springtide_runtime::{
    Label, Priority, exec,
    exec::Named,
    limit::{GiveUp, Jitter, Retry, Verdict},
    observe,
    permit::{PermitConfig, Permits},
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// A client. Clones share connections, limits and cache; connections end with the last of them.
///
/// It belongs to the tokio runtime in which it is first used.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) config: ClientConfig,
    pub(super) means: Means,
    pub(super) hosts: Mutex<HashMap<Origin, Arc<Host>>>,
    pub(super) cache: Option<Cache>,
    pub(super) permits: Permits,
    pub(super) agent: HeaderValue,
    jitter: Mutex<Jitter>,
    start: Instant,
    swept: Mutex<Instant>,
}

/// A client that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct ClientError(
    /// What is wrong.
    pub(crate) String,
);

impl Client {
    /// A client with these settings.
    ///
    /// # Errors
    /// When a limit, a certificate or the cache's folder is unusable.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let dialer = Dialer::new(&config).map_err(ClientError)?;
        let agent = HeaderValue::from_str(&config.user_agent);
        let agent = agent.map_err(|_| ClientError("the user agent cannot stand in a header".into()))?;
        let cache = config.cache.clone().map(Cache::open).transpose().map_err(ClientError)?;
        let permits = Permits::new(PermitConfig {
            name: "http".into(),
            total: config.in_all,
            per_key: config.per_host,
            max_waiting: config.waiting_max,
            ..PermitConfig::default()
        });
        let permits = permits.map_err(|error| ClientError(error.to_string()))?;
        let start = Instant::now();
        let inner = Inner {
            means: Means { dialer: Arc::new(dialer), drivers: Drivers::new(config.scope.clone()) },
            cache,
            permits,
            agent,
            hosts: Mutex::default(),
            jitter: Mutex::new(Jitter::random()),
            start,
            swept: Mutex::new(start),
            config,
        };
        let inner = Arc::new(inner);
        observe::show(&inner);
        Ok(Self { inner })
    }

    /// The settings.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// Sends a request and reads the whole answer, trying again where that may help.
    ///
    /// # Errors
    /// When there is no answer within the deadlines, or one of status 400 and above (unless
    /// [`Request::any_status`]).
    pub async fn fetch(&self, request: Request) -> Result<Answer, HttpError> {
        self.fetch_watched(request, &|_| {}).await
    }

    /// As [`Client::fetch`]; `waits` hears when a wait between two attempts begins (true) and ends.
    pub(super) async fn fetch_watched(
        &self,
        request: Request,
        waits: &(dyn Fn(bool) + Sync),
    ) -> Result<Answer, HttpError> {
        if let Some(cache) = self.inner.cache.as_ref().filter(|_| request.uses_cache()) {
            // Boxed, so that requests that use no cache do not make room for it.
            return Box::pin(cache.fetch(self, request, waits)).await;
        }
        self.fetch_uncached(request, waits).await
    }

    pub(super) async fn fetch_uncached(
        &self,
        request: Request,
        waits: &(dyn Fn(bool) + Sync),
    ) -> Result<Answer, HttpError> {
        let mut call = Call::new(&self.inner, request);
        loop {
            let failed = match call.whole().await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let wait = call.failed(failed)?;
            waits(true);
            call.rest(wait).await;
            waits(false);
        }
    }

    /// Sends a request and hands out the body as it comes. Attempts are repeated until the answer's head is there;
    /// what goes wrong in the body is the caller's to handle (or see [`Client::download`]).
    ///
    /// # Errors
    /// As [`Client::fetch`], until the head is there.
    pub async fn stream(&self, request: Request) -> Result<Streamed, HttpError> {
        let mut call = Call::new(&self.inner, request);
        loop {
            let failed = match call.open().await {
                Ok(opened) => return Ok(Streamed::new(call, opened)),
                Err(failed) => failed,
            };
            let wait = call.failed(failed)?;
            call.rest(wait).await;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.means.drivers.end();
    }
}

impl Inner {
    /// Time since the client was made.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn jitter(&self) -> f64 {
        lock(&self.jitter).draw()
    }

    pub(super) fn host(&self, origin: Origin) -> Result<Arc<Host>, Cause> {
        self.sweep();
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(&origin) {
            return Ok(Arc::clone(host));
        }
        let host = Arc::new(Host::new(origin.clone(), &self.config)?);
        hosts.insert(origin, Arc::clone(&host));
        Ok(host)
    }

    /// Now and then closes connections that nobody uses.
    fn sweep(&self) {
        let mut swept = lock(&self.swept);
        if swept.elapsed() < self.config.idle / 2 {
            return;
        }
        *swept = Instant::now();
        drop(swept);
        lock(&self.hosts).values().for_each(|host| host.sweep());
    }
}

/// One request on its way, over all its attempts.
pub(super) struct Call {
    pub(super) inner: Arc<Inner>,
    pub(super) request: Request,
    pub(super) clock: Clock,
    pub(super) class: Priority,
    pub(super) owner: u64,
    /// How it is shown among those who wait at its host.
    pub(super) label: Label,
    pub(super) places: Places,
    retry: Retry,
    /// Where the last attempt went.
    pub(super) host: Option<Arc<Host>>,
    pub(super) timing: Timing,
}

/// What a task waits for, as the tree of tasks shows it. Empty outside of one, where nobody sees it.
#[derive(Clone)]
pub(super) struct Places {
    pub(super) headers: Label,
    pub(super) body: Label,
}

impl Places {
    fn of(url: &str) -> Self {
        let of = |what: &str| Label::from(Arc::<str>::from(format!("{what} {url}")));
        Self { headers: of("headers of"), body: of("body of") }
    }
}

/// A failed attempt, and the answer's headers where there were any.
pub(super) struct FailedAttempt {
    pub(super) phase: Phase,
    pub(super) cause: Cause,
    pub(super) headers: Option<Box<hyper::HeaderMap>>,
    /// Whether the server may have acted on the request.
    pub(super) sent: bool,
}

impl From<Failed> for FailedAttempt {
    fn from((phase, cause): Failed) -> Self {
        Self { phase, cause, headers: None, sent: matches!(phase, Phase::Headers | Phase::Body) }
    }
}

impl Call {
    pub(super) fn new(inner: &Arc<Inner>, request: Request) -> Self {
        let clock = Clock::new(request.deadlines.unwrap_or(inner.config.deadlines));
        let retry = Retry::new(
            request.retry.unwrap_or(inner.config.retry),
            inner.now(),
            Some(inner.now() + clock.deadlines.total),
        );
        let asking = exec::asking();
        let (class, owner) = asking.unwrap_or_default();
        let places = match asking {
            Some(_) => Places::of(&request.shown_url()),
            None => Places { headers: "".into(), body: "".into() },
        };
        Self {
            inner: Arc::clone(inner),
            class: request.class.unwrap_or(class),
            owner: request.owner.unwrap_or(owner),
            label: request.shown_label(),
            places,
            request,
            clock,
            retry,
            host: None,
            timing: Timing::default(),
        }
    }

    /// Rests between two attempts; then the next one begins.
    pub(super) async fn rest(&mut self, wait: Duration) {
        sleep(wait).named(format!("a rest before attempt {}", self.retry.attempt())).await;
        self.retry.begin(self.inner.now());
    }

    pub(super) fn is_first_attempt(&self) -> bool {
        self.retry.past().is_empty()
    }

    /// This attempt got further than those before.
    pub(super) fn progress(&mut self) {
        self.retry.progress();
    }

    /// One attempt, up to the answer's head.
    pub(super) async fn open(&mut self) -> Result<Opened, FailedAttempt> {
        if let Some(problem) = &self.request.problem {
            return Err((Phase::Request, Cause::BadRequest(problem.clone())).into());
        }
        Exchange::run(self).await
    }

    /// One attempt, the body included.
    async fn whole(&mut self) -> Result<Answer, FailedAttempt> {
        let opened = self.open().await?;
        let Opened { status, headers, url, mut reader } = opened;
        let began = Instant::now();
        let body = reader.collect().named(self.places.body.clone()).await?;
        self.timing.body = began.elapsed();
        let timing = self.finish_timing();
        let method = self.request.method.clone();
        Ok(Answer { method, status, headers, body, url, source: Source::Server, timing })
    }

    pub(super) fn finish_timing(&mut self) -> Timing {
        self.timing.total = self.clock.start.elapsed();
        self.timing.failed = self.retry.past().to_vec();
        std::mem::take(&mut self.timing)
    }

    /// Decides about a failed attempt: how long to wait before the next, or the error.
    pub(super) fn failed(&mut self, failed: FailedAttempt) -> Result<Duration, HttpError> {
        let now = self.inner.now();
        if let Some(host) = &self.host {
            host.counts.failures[failed.phase as usize].fetch_add(1, Relaxed);
        }
        let failure = failure_of(&failed, self.request.may_repeat());
        let random = self.inner.jitter();
        let verdict = match &self.host {
            Some(host) => self.retry.failed(failure, random, &mut lock(&host.budget), now),
            // Nothing about such a request changes by waiting.
            None => Verdict::Stop(GiveUp::Final),
        };
        let (url, phase, cause) = (self.request.shown_url(), failed.phase.as_str(), failed.cause.to_string());
        match verdict {
            Verdict::Again(wait) => {
                tracing::info!(
                    url,
                    phase,
                    cause,
                    wait_ms = wait.as_millis() as u64,
                    "request is tried again"
                );
                if let Some(host) = &self.host {
                    host.counts.retries.fetch_add(1, Relaxed);
                }
                if let (Some(follow), Some(last)) = (&self.request.follow, self.retry.past().last()) {
                    follow.again(&FailedOnce {
                        attempt: self.retry.past().len() as u32,
                        phase: failed.phase,
                        cause: &failed.cause,
                        took: last.took,
                        rest: wait,
                    });
                }
                Ok(wait)
            }
            Verdict::Stop(why) => {
                tracing::warn!(url, phase, cause, "request failed");
                Err(self.error(failed.phase, failed.cause, Some(why)))
            }
        }
    }

    pub(super) fn error(&self, phase: Phase, cause: Cause, why: Option<GiveUp>) -> HttpError {
        let host = self.host.as_ref().map_or_else(String::new, |host| host.name.to_string());
        let past = self.retry.past().len() as u32;
        let place = Place {
            method: self.request.method.to_string(),
            url: self.request.shown_url(),
            host,
            // A verdict has already put the failed attempt among the past ones.
            attempt: if why.is_some() { past.max(1) } else { past + 1 },
            elapsed: self.clock.start.elapsed(),
            gave_up: why.filter(|why| *why != GiveUp::Final),
        };
        HttpError::new(place, phase, cause)
    }
}
