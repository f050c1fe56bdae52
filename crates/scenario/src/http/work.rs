//! The client's side.

use super::server::ANSWERS;
use crate::{Figures, Latencies, Meter, ScenarioError, cores};
use serde::Deserialize;
use springtide_io::http::{Answer, Client, ClientConfig, HttpError, Request};
use springtide_runtime::{
    exec::{Runtime, RuntimeConfig},
    limit::{LimiterConfig, PauseRule, RateLimiter},
    permit::LimitConfig,
};
use std::time::{Duration, Instant};

/// Connections at once.
pub(super) const CONNECTIONS: u32 = 500;

/// What to ask for.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// `http://127.0.0.1:PORT`.
    pub base: String,
    pub requests: u64,
    /// Ask where first tries are refused; the number tells runs apart.
    pub flaky: Option<u64>,
}

impl Job {
    fn request(&self, id: u64) -> Request {
        Request::get(&match self.flaky {
            Some(run) => format!("{}/flaky/{run}/{id}", self.base),
            None => format!("{}/bars/{id}", self.base),
        })
    }
}

/// An answer as the server writes it.
#[derive(Deserialize)]
struct Day<'a> {
    id: u64,
    symbol: &'a str,
    interval: &'a str,
    bars: Vec<HourBar>,
}

#[derive(Deserialize)]
struct HourBar {
    t: u64,
    o: f64,
    h: f64,
    l: f64,
    c: f64,
    v: f64,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Sums {
    bars: u64,
    /// Volume in ten-thousandths.
    vol_e4: u64,
}

#[derive(Deserialize)]
struct Given {
    given: u64,
}

/// What one answer came to.
struct Done {
    sums: Sums,
    /// From sending the last attempt on its connection to the JSON being parsed.
    took: Duration,
    /// Before that, for the connection.
    waited: Option<Duration>,
    retries: u64,
}

/// Reads one answer. Its time counts from when the last attempt had a connection: not waiting for a place or for a
/// connection to be made, not attempts that were refused and the waits after them.
fn reduce(id: u64, answer: &Answer) -> Result<Done, ScenarioError> {
    let began = Instant::now();
    let day: Day<'_> = answer.json().map_err(ScenarioError::work)?;
    let named = day.symbol.strip_prefix("SYM").and_then(|n| n.parse().ok());
    ScenarioError::check("the answer's id", (id % ANSWERS, Some(id % ANSWERS)), (day.id, named))?;
    let possible = |bar: &HourBar| bar.t > 0 && bar.l <= bar.o.min(bar.c) && bar.h >= bar.o.max(bar.c);
    if day.interval != "1h" || !day.bars.iter().all(possible) {
        return Err(ScenarioError::work(format!("the answer to id {id} holds an impossible bar")));
    }
    let volume = day.bars.iter().map(|bar| (bar.v * 1e4).round() as u64).sum();
    let timing = answer.timing();
    let took = timing.headers + timing.body + began.elapsed();
    let sums = Sums { bars: day.bars.len() as u64, vol_e4: volume };
    Ok(Done { sums, took, waited: timing.connect, retries: timing.failed.len() as u64 })
}

pub(super) fn one_by_one(job: Job) -> Result<Figures, ScenarioError> {
    measured(job, 1)
}

pub(super) fn many_at_once(job: Job) -> Result<Figures, ScenarioError> {
    measured(job, CONNECTIONS)
}

fn measured(job: Job, connections: u32) -> Result<Figures, ScenarioError> {
    let requests = job.requests;
    let meter = Meter::start(if connections == 1 { 1 } else { cores() });
    let runtime = Runtime::new(RuntimeConfig { workers: 1, name: "http".into(), ..RuntimeConfig::default() });
    let runtime = runtime.map_err(ScenarioError::work)?;
    let client = client(connections)?;
    let (asking, asked) = (client.clone(), job.clone());
    let done = runtime.run("requests", move |_| async move { fetch(&asking, &asked, connections).await });
    let done = done.map_err(ScenarioError::work)?;
    let mut times = Latencies::with_capacity(done.len());
    let (mut waits, mut with_waits) = (Latencies::default(), Latencies::with_capacity(done.len()));
    let (mut sums, mut retries) = (Sums { bars: 0, vol_e4: 0 }, 0);
    for one in done {
        let one = one?;
        times.push(one.took);
        with_waits.push(one.took + one.waited.unwrap_or_default());
        one.waited.into_iter().for_each(|wait| waits.push(wait));
        sums.bars += one.sums.bars;
        sums.vol_e4 += one.sums.vol_e4;
        retries += one.retries;
    }
    let mut figures = meter.stop(requests as f64, times);
    let snapshot = client.snapshot();
    figures.connections = snapshot.hosts.iter().map(|host| host.open_max).max();
    if let (Some(waits), Some(all)) = (waits.summary(), with_waits.summary()) {
        figures.extra.extend([
            ("wait_for_connection_mean_ms".into(), waits.mean_ms.unwrap_or_default()),
            ("wait_for_connection_max_ms".into(), waits.max_ms.unwrap_or_default()),
            ("p99_with_that_wait_ms".into(), all.p99_ms),
        ]);
    }
    if job.flaky.is_some() {
        figures.extra.insert("retries".into(), retries as f64);
    }
    let checked = runtime.run("check", move |_| async move { check(&client, &job, &sums).await });
    checked.map_err(ScenarioError::work)??;
    Ok(figures)
}

fn client(connections: u32) -> Result<Client, ScenarioError> {
    let limits = LimiterConfig { pause: PauseRule::WhenCommon, ..LimiterConfig::default() };
    let config = ClientConfig {
        per_host: LimitConfig::fixed(connections),
        in_all: LimitConfig::fixed(connections),
        limiter: Some(RateLimiter::new(limits).map_err(ScenarioError::work)?),
        ..ClientConfig::default()
    };
    Client::new(config).map_err(ScenarioError::work)
}

async fn fetch(client: &Client, job: &Job, connections: u32) -> Vec<Result<Done, ScenarioError>> {
    let reduced = |id: usize, result: Result<Answer, HttpError>| {
        result.map_err(ScenarioError::work).and_then(|answer| reduce(id as u64, &answer))
    };
    client.fetch_each((0..job.requests).map(|id| job.request(id)), connections as usize, reduced).await
}

/// Compares with the server's own sums, and with how often it gave an answer.
async fn check(client: &Client, job: &Job, sums: &Sums) -> Result<(), ScenarioError> {
    let get = async |path: String| {
        let answer = client.fetch(Request::get(&format!("{}/{path}", job.base))).await;
        answer.map_err(ScenarioError::work)
    };
    let expected = get(format!("expect/{}", job.requests)).await?;
    let expected: Sums = expected.json().map_err(ScenarioError::work)?;
    ScenarioError::check("sums over all answers", &expected, sums)?;
    if let Some(run) = job.flaky {
        let given: Given = get(format!("given/{run}")).await?.json().map_err(ScenarioError::work)?;
        ScenarioError::check("answers given, none lost and none twice", job.requests, given.given)?;
    }
    Ok(())
}

/// A number that tells this run from others of the same server.
pub(super) fn run_number() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    since.as_micros() as u64 % 1_000_000_000_000
}
