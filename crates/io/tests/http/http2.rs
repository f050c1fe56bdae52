//! HTTP/2: one connection for all, and what happens when the server takes its leave.

use crate::server::config;
use bytes::Bytes;
use springtide_io::http::{Client, ClientConfig, Request, Version};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{net::TcpListener, task::JoinSet};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Leave {
    Never,
    /// GOAWAY after so many answers, in good order.
    Gracefully(usize),
    /// GOAWAY at once with an error, at the request of this number.
    Abruptly(usize),
    /// Refuses every stream of this number.
    Refusing(usize),
}

struct Http2 {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

async fn start(leave: Leave) -> Http2 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    let (of, n) = (Arc::clone(&connections), Arc::clone(&served));
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            of.fetch_add(1, Relaxed);
            open.spawn(serve(stream, leave, Arc::clone(&n)));
        }
    });
    Http2 { address, connections, served, _tasks: tasks }
}

async fn serve(stream: tokio::net::TcpStream, leave: Leave, served: Arc<AtomicUsize>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let number = served.fetch_add(1, Relaxed);
        match leave {
            Leave::Abruptly(at) if at == number => {
                connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                continue;
            }
            Leave::Refusing(at) if at == number => {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                continue;
            }
            Leave::Gracefully(after) if number % after == after - 1 => connection.graceful_shutdown(),
            _ => {}
        }
        let path = request.uri().path().to_owned();
        let mut body = respond.send_response(hyper::Response::new(()), false).unwrap();
        body.send_data(Bytes::from(path), true).unwrap();
    }
}

fn client() -> Client {
    Client::new(ClientConfig { version: Version::Http2, ..config() }).unwrap()
}

async fn fetch_many(client: &Client, server: &Http2, count: usize, width: usize) {
    let urls: Vec<String> = (0..count).map(|n| format!("http://{}/{n}", server.address)).collect();
    let results = client.fetch_all(urls.iter().map(|url| Request::get(url)), width).await;
    for (n, result) in results.into_iter().enumerate() {
        assert_eq!(result.unwrap().body().as_ref(), format!("/{n}").as_bytes());
    }
}

#[tokio::test]
async fn all_requests_share_one_connection() {
    let server = start(Leave::Never).await;
    let client = client();
    fetch_many(&client, &server, 200, 50).await;
    assert_eq!((server.connections.load(Relaxed), server.served.load(Relaxed)), (1, 200));
    assert_eq!(client.snapshot().hosts[0].open, 1);
}

#[tokio::test]
async fn a_server_that_takes_its_leave_in_good_order_loses_nothing() {
    let server = start(Leave::Gracefully(20)).await;
    fetch_many(&client(), &server, 200, 10).await;
    assert!(server.connections.load(Relaxed) >= 5, "{}", server.connections.load(Relaxed));
}

#[tokio::test]
async fn a_server_that_leaves_abruptly_costs_an_attempt_at_most() {
    let server = start(Leave::Abruptly(30)).await;
    fetch_many(&client(), &server, 100, 10).await;
    assert!(server.connections.load(Relaxed) >= 2);
}

#[tokio::test]
async fn a_refused_stream_is_tried_again() {
    let server = start(Leave::Refusing(3)).await;
    let client = client();
    fetch_many(&client, &server, 10, 1).await;
    // Refused means not done: even what may not be repeated is.
    let server = start(Leave::Refusing(0)).await;
    let url = format!("http://{}/order", server.address);
    let answer = client.fetch(Request::post(&url, "order")).await.unwrap();
    assert_eq!(answer.body().as_ref(), b"/order");
}
