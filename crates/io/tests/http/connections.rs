//! Connections: made ahead, shared out as they come free, and not lost when nobody waits any more.

use crate::server::{Server, Step, client, config, ok, once};
use springtide_io::http::{Client, ClientConfig, Lookup, Phase, Request, Resolve};
use springtide_runtime::permit::LimitConfig;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

#[tokio::test]
async fn connections_made_ahead_are_there_when_they_are_needed() {
    let server = Server::start(|_| {
        let mut steps = vec![Step::Pause(Duration::from_millis(5))];
        steps.extend(ok(b"x"));
        steps
    })
    .await;
    let client = Client::new(ClientConfig { per_host: LimitConfig::fixed(6), ..config() }).unwrap();
    let request = || Request::get(&server.url("/"));
    assert_eq!(client.connect_ahead(&request(), 4).await.unwrap(), 4);
    let results = client.fetch_all((0..4).map(|_| request()), 4).await;
    assert!(results.iter().all(|result| result.as_ref().unwrap().timing().connect.is_none()));
    assert_eq!(server.connections(), 4);
    // Those that are there count, and the host's limit holds.
    for (asked, there) in [(3, 3), (5, 5), (100, 6)] {
        assert_eq!(client.connect_ahead(&request(), asked).await.unwrap(), there);
    }
    let host = &client.snapshot().hosts[0];
    assert_eq!((host.dialed, host.idle, host.requests), (6, 6, 4));
}

#[tokio::test]
async fn connections_that_cannot_be_made_ahead_are_an_error() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let request = Request::get(&format!("http://{address}/"));
    let error = client().connect_ahead(&request, 3).await.unwrap_err();
    assert_eq!(error.phase(), Phase::Connect);
    assert!(error.to_string().contains("refused"), "{error}");
    let error = client().connect_ahead(&request.supplied(), 3).await.unwrap_err();
    assert_eq!(error.phase(), Phase::Resolve);
    let error = client().connect_ahead(&Request::get("ftp://x.example/"), 1).await.unwrap_err();
    assert_eq!(error.phase(), Phase::Request);
}

/// Finds the server as often as it is allowed to.
struct Slow {
    address: SocketAddr,
    asked: AtomicUsize,
    allowed: Semaphore,
}

impl Slow {
    fn new(address: SocketAddr, allowed: usize) -> Arc<Self> {
        Arc::new(Self { address, asked: AtomicUsize::new(0), allowed: Semaphore::new(allowed) })
    }
}

struct Shared(Arc<Slow>);

impl Resolve for Shared {
    fn resolve(&self, _host: &str, _port: u16) -> Lookup {
        let slow = Arc::clone(&self.0);
        slow.asked.fetch_add(1, Relaxed);
        Box::pin(async move {
            slow.allowed.acquire().await.unwrap().forget();
            Ok(vec![slow.address])
        })
    }
}

fn through(slow: &Arc<Slow>) -> Client {
    let resolver = Some(Arc::new(Shared(Arc::clone(slow))) as Arc<dyn Resolve>);
    Client::new(ClientConfig { resolver, ..once().config().clone() }).unwrap()
}

const URL: &str = "http://slow.example/";

#[tokio::test]
async fn whoever_waits_takes_the_first_that_comes_free() {
    let server = Server::start(|_| ok(b"x")).await;
    // The second connection would never be made.
    let slow = Slow::new(server.address, 1);
    let client = through(&slow);
    let results = client.fetch_all((0..10).map(|_| Request::get(URL)), 2).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((server.connections(), slow.asked.load(Relaxed)), (1, 2));
}

#[tokio::test]
async fn a_connection_whose_request_was_dropped_serves_another() {
    let server = Server::start(|_| ok(b"x")).await;
    let slow = Slow::new(server.address, 0);
    let client = through(&slow);
    {
        let mut first = Box::pin(client.fetch(Request::get(URL)));
        while slow.asked.load(Relaxed) == 0 {
            let waiting = tokio::time::timeout(Duration::from_millis(1), &mut first).await;
            assert!(waiting.is_err(), "there is no connection yet");
        }
    }
    slow.allowed.add_permits(1);
    while client.snapshot().hosts[0].idle == 0 {
        tokio::task::yield_now().await;
    }
    client.fetch(Request::get(URL)).await.unwrap();
    assert_eq!((server.connections(), slow.asked.load(Relaxed)), (1, 1));
}

#[tokio::test]
async fn each_failure_is_told_to_one() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let slow = Slow::new(address, 100);
    let client = through(&slow);
    let results = client.fetch_all((0..30).map(|_| Request::get(URL)), 20).await;
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|error| error.phase() == Phase::Connect)));
    assert_eq!(slow.asked.load(Relaxed), 30);
}

/// Panics at the first look-up.
struct Panicking(SocketAddr, AtomicUsize);

impl Resolve for Panicking {
    fn resolve(&self, _host: &str, _port: u16) -> Lookup {
        assert!(self.1.fetch_add(1, Relaxed) > 0, "the resolver fails");
        let address = self.0;
        Box::pin(async move { Ok(vec![address]) })
    }
}

#[tokio::test]
async fn a_connection_that_is_broken_off_leaves_nobody_waiting() {
    let server = Server::start(|_| ok(b"x")).await;
    let resolver = Some(Arc::new(Panicking(server.address, AtomicUsize::new(0))) as Arc<dyn Resolve>);
    let client = Client::new(ClientConfig { resolver, ..once().config().clone() }).unwrap();
    let error = client.fetch(Request::get(URL)).await.unwrap_err();
    assert!(error.to_string().contains("was broken off"), "{error}");
    client.fetch(Request::get(URL)).await.unwrap();
}
