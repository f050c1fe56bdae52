//! What a client is doing, for people and for metrics.

use super::{
    cache::CacheCounts,
    client::Client,
    error::Phase,
    host::{Host, lock},
};
use springtide_runtime::{limit::BreakerState, permit::PermitSnapshot};
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// The state of a client at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSnapshot {
    /// All hosts that were asked, by name.
    pub hosts: Vec<HostSnapshot>,
    /// Requests in flight and waiting for a place.
    pub permits: PermitSnapshot,
    /// The cache, where there is one.
    pub cache: Option<CacheCounts>,
}

/// One host. Numbers without "now" count since the client was made.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSnapshot {
    /// Host and port.
    pub host: Arc<str>,
    /// Requests in flight now.
    pub in_flight: u32,
    /// Requests that may be in flight now, as far as one host goes.
    pub limit: u32,
    /// Connections open now.
    pub open: u64,
    /// Of those, at rest now.
    pub idle: usize,
    /// Most connections open at once.
    pub open_max: u64,
    /// Connections made.
    pub dialed: u64,
    /// Requests sent on a connection that was there already.
    pub reused: u64,
    /// Connections that turned out to be dead when they were used again.
    pub stale: u64,
    /// Requests sent, retries and redirects included.
    pub requests: u64,
    /// Answers received, of any status.
    pub answers: u64,
    /// Attempts that were followed by another.
    pub retries: u64,
    /// Retries that the budget did not allow.
    pub retries_refused: u64,
    /// Failed attempts by the phase in which they failed.
    pub failures: [(Phase, u64); Phase::ALL.len()],
    /// Bytes of bodies received, as they came.
    pub bytes: u64,
    /// Where the breaker stands; none without one.
    pub breaker: Option<BreakerState>,
    /// How often it opened.
    pub breaker_opened: u64,
    /// Requests that it refused.
    pub breaker_refused: u64,
}

impl Client {
    /// What it is doing now.
    pub fn snapshot(&self) -> ClientSnapshot {
        let permits = self.inner.permits.snapshot();
        let mut hosts: Vec<HostSnapshot> =
            lock(&self.inner.hosts).values().map(|host| of(host, &permits)).collect();
        hosts.sort_by(|a, b| a.host.cmp(&b.host));
        ClientSnapshot { hosts, permits, cache: self.inner.cache.as_ref().map(|cache| cache.counts()) }
    }
}

fn of(host: &Host, permits: &PermitSnapshot) -> HostSnapshot {
    let key = permits.keys.iter().find(|key| key.name.as_str() == &*host.name);
    let counts = &host.counts;
    let breaker = host.breaker.as_ref().map(|breaker| {
        let breaker = lock(breaker);
        (breaker.state(), breaker.opened(), breaker.refused())
    });
    HostSnapshot {
        host: Arc::clone(&host.name),
        in_flight: key.map_or(0, |key| key.in_flight),
        limit: key.map_or(0, |key| key.limit),
        open: counts.open.load(Relaxed),
        idle: host.idle(),
        open_max: counts.open_max.load(Relaxed),
        dialed: counts.dialed.load(Relaxed),
        reused: counts.reused.load(Relaxed),
        stale: counts.stale.load(Relaxed),
        requests: counts.requests.load(Relaxed),
        answers: counts.answers.load(Relaxed),
        retries: counts.retries.load(Relaxed),
        retries_refused: lock(&host.budget).refused(),
        failures: Phase::ALL.map(|phase| (phase, counts.failures[phase as usize].load(Relaxed))),
        bytes: counts.bytes.load(Relaxed),
        breaker: breaker.map(|b| b.0),
        breaker_opened: breaker.map_or(0, |b| b.1),
        breaker_refused: breaker.map_or(0, |b| b.2),
    }
}
