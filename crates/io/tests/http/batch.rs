//! Many requests at once.

use crate::server::{Server, answer, client, config, ok};
use springtide_io::http::{Client, ClientConfig, Request};
use springtide_runtime::permit::LimitConfig;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

#[tokio::test]
async fn one_result_for_each_in_order() {
    let server = Server::start(|r| match r.path.as_str() {
        "/7" => answer("404 Not Found", &[], b""),
        // The first are the slowest: the order is the requests', not the answers'.
        path => {
            let n: u64 = path[1..].parse().unwrap();
            let mut steps = vec![crate::server::Step::Pause(Duration::from_millis(40_u64.saturating_sub(n)))];
            steps.extend(ok(path.as_bytes()));
            steps
        }
    })
    .await;
    let urls: Vec<String> = (0..100).map(|n| server.url(&format!("/{n}"))).collect();
    let results = client().fetch_all(urls.iter().map(|url| Request::get(url)), 16).await;
    assert_eq!(results.len(), 100);
    for (n, result) in results.iter().enumerate() {
        match result {
            Ok(answer) => assert_eq!(answer.body().as_ref(), format!("/{n}").as_bytes()),
            Err(error) => assert_eq!((n, error.status().unwrap().as_u16()), (7, 404)),
        }
    }
    assert!(server.connections() <= 16, "{}", server.connections());
}

#[tokio::test]
async fn never_more_at_once_than_the_width_or_the_hosts_limit() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (of, max) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |_| {
        max.fetch_max(of.fetch_add(1, Relaxed) + 1, Relaxed);
        let mut steps = vec![crate::server::Step::Pause(Duration::from_millis(5))];
        steps.extend(ok(b"x"));
        steps
    })
    .await;
    for (width, limit, bound) in [(8, 100, 8), (100, 5, 5)] {
        let client = Client::new(ClientConfig { per_host: LimitConfig::fixed(limit), ..config() }).unwrap();
        most.store(0, Relaxed);
        let of = Arc::clone(&now);
        let url = server.url("/");
        let results = client
            .fetch_each((0..60).map(|_| Request::get(&url)), width, move |_, result| {
                of.fetch_sub(1, Relaxed);
                result.is_ok()
            })
            .await;
        assert!(results.iter().all(|ok| *ok));
        assert!(most.load(Relaxed) <= bound, "{} at once, {bound} allowed", most.load(Relaxed));
    }
}

#[tokio::test]
async fn requests_between_two_attempts_leave_the_width_to_others() {
    // Eight of ten are asked to come back in a second; with a width of two the rest still goes at once.
    let server = Server::start(|r| {
        let first = r.before < 8;
        if first { answer("429 Later", &[("retry-after", "1")], b"") } else { ok(b"x") }
    })
    .await;
    let url = server.url("/");
    let began = std::time::Instant::now();
    let results = client().fetch_all((0..10).map(|_| Request::get(&url)), 2).await;
    assert!(results.iter().all(Result::is_ok));
    // One after another they would take four seconds at least.
    assert!(began.elapsed() < Duration::from_millis(3_500), "{:?}", began.elapsed());
}
