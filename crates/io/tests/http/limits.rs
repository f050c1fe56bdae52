//! Rate limits, as the client keeps them and as servers tell them.

use crate::server::{Server, answer, config, ok};
use springtide_io::http::{Cause, Client, ClientConfig, Deadlines, Phase, Request, words};
use springtide_runtime::limit::{Cost, LimiterConfig, PauseRule, Quota, RateLimiter, Unit};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

fn limited(limits: LimiterConfig) -> (Client, RateLimiter) {
    let limiter = RateLimiter::new(limits).unwrap();
    let config = ClientConfig {
        limiter: Some(limiter.clone()),
        weights_per_minute: BTreeMap::from([("127.0.0.1".to_owned(), 1_000)]),
        ..config()
    };
    (Client::new(config).unwrap(), limiter)
}

#[tokio::test]
async fn requests_go_at_the_rate() {
    let server = Server::start(|_| ok(b"x")).await;
    let per_key = vec![Quota::per_second(Unit::REQUESTS, 50).burst(5)];
    let (client, limiter) = limited(LimiterConfig { per_key, ..LimiterConfig::default() });
    let url = server.url("/");
    let began = Instant::now();
    let results = client.fetch_all((0..15).map(|_| Request::get(&url)), 15).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    let snapshot = limiter.snapshot(10);
    assert_eq!((&*snapshot.keys[0].key, snapshot.keys[0].granted), (server.address.to_string().as_str(), 15));
}

#[tokio::test]
async fn a_refusal_shuts_the_key_and_short_deadlines_fail_at_once() {
    let server = Server::start(|r| match r.before {
        0 => answer("529 Overloaded", &[("retry-after", "2")], b""),
        _ => ok(b"x"),
    })
    .await;
    let (client, limiter) = limited(LimiterConfig { pause: PauseRule::Always, ..LimiterConfig::default() });
    let began = Instant::now();
    let request = || Request::get(&server.url("/")).limit_key("model a");
    let first = client.fetch(request());
    let second = async {
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        while limiter.snapshot(0).keys[0].paused.is_none() {
            tokio::task::yield_now().await;
        }
        let hasty = Deadlines { total: Duration::from_millis(500), ..crate::server::LONG };
        let error = client.fetch(request().deadlines(hasty)).await.unwrap_err();
        assert!(matches!(error.cause(), Cause::Limit(_)) && error.phase() == Phase::Queue, "{error}");
        assert!(error.to_string().contains("`model a` lets nothing through"), "{error}");
        client.fetch(request()).await.unwrap()
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap().timing().failed.len(), second.timing().failed.len()), (1, 0));
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn what_a_server_says_is_left_is_kept_to() {
    let server = Server::start(|r| {
        let used = format!("{}", 960 + 20 * (r.before + 1));
        answer("200 OK", &[("x-mbx-used-weight-1m", &used), ("date", "Wed, 01 Jan 2025 00:00:30 GMT")], b"x")
    })
    .await;
    let (client, limiter) = limited(LimiterConfig::default());
    let cost = Cost::REQUEST.and(words::WEIGHT, 20);
    let quick = Deadlines { total: Duration::from_secs(20), ..crate::server::LONG };
    let request = || Request::get(&server.url("/")).cost(cost).deadlines(quick);
    client.fetch(request()).await.unwrap();
    client.fetch(request()).await.unwrap();
    // All 1,000 are used; the window ends 30 s on.
    let error = client.fetch(request()).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Limit(_)), "{error}");
    assert_eq!(server.requests().len(), 2);
    assert_eq!(limiter.snapshot(0).keys[0].levels[0].available, Some(0));
}

#[tokio::test]
async fn a_host_that_asked_for_a_long_pause_is_not_asked_again_and_the_time_is_told() {
    let server = Server::start(|_| answer("429 Too Many Requests", &[("retry-after", "3600")], b"")).await;
    let (client, _) = limited(LimiterConfig { pause: PauseRule::Always, ..LimiterConfig::default() });
    let request = || Request::get(&server.url("/"));
    let first = client.fetch(request()).await.unwrap_err();
    assert_eq!(first.status().map(|status| status.as_u16()), Some(429), "{first}");
    let second = client.fetch(request()).await.unwrap_err();
    assert!(matches!(second.cause(), Cause::Paused { .. }) && second.phase() == Phase::Queue, "{second}");
    let text = second.to_string();
    assert!(text.contains("asks not to be asked again before 20") && text.contains("UTC"), "{text}");
    assert_eq!(server.requests().len(), 1);
}
