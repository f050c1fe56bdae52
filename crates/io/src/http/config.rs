//! Settings of a client.

use super::{cache::CacheConfig, guard::AddressRule, resolve::Resolve};
use springtide_runtime::{
    exec::Scope,
    limit::{BreakerConfig, RateLimiter, RetryBudgetConfig, RetryConfig},
    permit::LimitConfig,
};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// How long each part of a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Name, connection and TLS together.
    pub connect: Duration,
    /// From sending the request to the answer's head.
    pub headers: Duration,
    /// Between two pieces of the body.
    pub body: Duration,
    /// Everything, waits and retries included.
    pub total: Duration,
}

impl Default for Deadlines {
    /// 10 s to connect, 30 s for the head, 30 s between pieces, 120 s in all.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            headers: Duration::from_secs(30),
            body: Duration::from_secs(30),
            total: Duration::from_secs(120),
        }
    }
}

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/2 where TLS agrees on it, else HTTP/1.1.
    #[default]
    Negotiate,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 without asking, also without TLS.
    Http2,
}

/// Settings of a [`super::Client`].
#[derive(Clone)]
pub struct ClientConfig {
    /// Sent with every request that does not set its own.
    pub user_agent: String,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// Largest body, unpacked, in bytes.
    pub body_max: u64,
    /// Largest head of an answer, in bytes.
    pub head_max: usize,
    /// Ask for compressed bodies and unpack them.
    pub unpack: bool,
    /// Redirects followed.
    pub redirects_max: u32,
    /// Which version of HTTP is spoken.
    pub version: Version,
    /// Requests in flight to one host, and thereby connections to it.
    pub per_host: LimitConfig,
    /// Requests in flight in all.
    pub in_all: LimitConfig,
    /// Requests that may wait for a place; more are refused.
    pub waiting_max: usize,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// Which addresses may be reached.
    pub addresses: AddressRule,
    /// When failed requests are tried again.
    pub retry: RetryConfig,
    /// How many of all requests may be retries, per host.
    pub retry_budget: RetryBudgetConfig,
    /// When a host is left alone; none never leaves one alone.
    pub breaker: Option<BreakerConfig>,
    /// Rate limits, shared with whoever else uses them.
    pub limiter: Option<RateLimiter>,
    /// Weight per minute of hosts that tell how much of it is used (`x-mbx-used-weight-1m`), by host.
    pub weights_per_minute: BTreeMap<String, u64>,
    /// Where answers are kept for conditional requests.
    pub cache: Option<CacheConfig>,
    /// Where its connections and batches run as tasks, so that they are scheduled and seen like all others;
    /// connections are driven in the high class, since all classes' requests go over them, batches in the class of
    /// the task that asks. The client must end before the scope. Without one they are tasks of tokio's alone.
    pub scope: Option<Scope>,
    /// Certificates (DER) of authorities trusted besides the usual ones.
    pub authorities: Vec<Vec<u8>>,
    /// How names become addresses; the system's way unless set.
    pub resolver: Option<Arc<dyn Resolve>>,
}

impl Default for ClientConfig {
    /// Bodies up to 64 MiB, heads up to 64 KiB, ten redirects, up to 256 requests per host (as many as it
    /// answers without delay, from 16 on) and 1,024 in all, 30 s idle, all addresses, no rate limits, no cache.
    fn default() -> Self {
        Self {
            user_agent: concat!("springtide/", env!("CARGO_PKG_VERSION")).into(),
            deadlines: Deadlines::default(),
            body_max: 64 << 20,
            head_max: 64 << 10,
            unpack: true,
            redirects_max: 10,
            version: Version::default(),
            per_host: LimitConfig::gradient(16, 256),
            in_all: LimitConfig::fixed(1_024),
            waiting_max: 65_536,
            idle: Duration::from_secs(30),
            addresses: AddressRule::Any,
            retry: RetryConfig::default(),
            retry_budget: RetryBudgetConfig::default(),
            breaker: Some(BreakerConfig::default()),
            limiter: None,
            weights_per_minute: BTreeMap::new(),
            cache: None,
            scope: None,
            authorities: Vec::new(),
            resolver: None,
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("user_agent", &self.user_agent)
            .field("deadlines", &self.deadlines)
            .field("body_max", &self.body_max)
            .field("per_host", &self.per_host)
            .field("version", &self.version)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
