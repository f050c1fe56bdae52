//! What a client is doing, for people and for metrics.

use super::{
    cache::CacheCounts,
    client::{Client, Inner},
    error::Phase,
    host::Host,
};
use serde_json::{Value, json};
use springtide_runtime::locks::lock;
use springtide_runtime::{
    Label,
    limit::BreakerState,
    observe::{Figure, FigureValue, Visible},
    permit::PermitSnapshot,
};
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
        self.inner.snapshot()
    }
}

impl Inner {
    fn snapshot(&self) -> ClientSnapshot {
        let permits = self.permits.snapshot();
        let mut hosts: Vec<HostSnapshot> =
            lock(&self.hosts).values().map(|host| of(host, &permits)).collect();
        hosts.sort_by(|a, b| a.host.cmp(&b.host));
        ClientSnapshot { hosts, permits, cache: self.cache.as_ref().map(|cache| cache.counts()) }
    }
}

/// Every client is seen with the process while it lives; its permits list themselves.
impl Visible for Inner {
    fn kind(&self) -> Label {
        "http".into()
    }

    fn view(&self) -> Value {
        let host = |host: &HostSnapshot| {
            json!({
                "host": &*host.host,
                "in_flight": host.in_flight,
                "open": host.open,
                "requests": host.requests,
                "answers": host.answers,
                "retries": host.retries,
                "retries_refused": host.retries_refused,
                "failures": host.failures.iter().map(|(_, count)| count).sum::<u64>(),
                "bytes": host.bytes,
                "breaker_refused": host.breaker_refused,
            })
        };
        Value::Array(self.snapshot().hosts.iter().map(host).collect())
    }

    fn figures(&self) -> Vec<Figure> {
        self.snapshot().hosts.iter().flat_map(host_figures).collect()
    }
}

fn host_figures(host: &HostSnapshot) -> Vec<Figure> {
    let counters = [
        ("http_requests", "Requests sent, retries and redirects included", host.requests),
        ("http_answers", "Answers received, of any status", host.answers),
        ("http_retries", "Attempts that were followed by another", host.retries),
        ("http_retries_refused", "Retries that the budget did not allow", host.retries_refused),
        ("http_failures", "Failed attempts", host.failures.iter().map(|(_, count)| count).sum()),
        ("http_received_bytes", "Bytes of bodies received", host.bytes),
        ("http_breaker_refused", "Requests that the breaker refused", host.breaker_refused),
    ];
    let labels = vec![("host", host.host.to_string())];
    let counted = counters.map(|(name, help, count)| Figure {
        name,
        help,
        labels: labels.clone(),
        value: FigureValue::Counter(count),
    });
    let open = Figure {
        name: "http_connections",
        help: "Connections open now",
        labels,
        value: FigureValue::Gauge(host.open as f64),
    };
    counted.into_iter().chain([open]).collect()
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
        idle: host.connections.idle(),
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
