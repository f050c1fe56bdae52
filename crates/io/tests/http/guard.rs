//! URLs from outside reach public addresses only: as written, by name, and after redirects.

use crate::server::{Server, answer, client, config, ok, once};
use springtide_io::http::{
    AddressKind, AddressRule, Cause, Client, ClientConfig, HttpError, Lookup, Phase, Request, Resolve,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

fn forbidden(error: &HttpError) -> Option<AddressKind> {
    match error.cause() {
        Cause::Forbidden { kind, .. } => Some(*kind),
        _ => None,
    }
}

#[tokio::test]
async fn private_addresses_are_refused_in_any_notation() {
    let server = Server::start(|_| ok(b"secret")).await;
    let port = server.address.port();
    for host in ["127.0.0.1", "127.1", "0x7f.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "localhost"]
    {
        let url = format!("http://{host}:{port}/");
        let error = client().fetch(Request::get(&url).supplied()).await.unwrap_err();
        assert_eq!(forbidden(&error), Some(AddressKind::Loopback), "{host}: {error}");
        assert_eq!((error.phase(), error.attempt()), (Phase::Resolve, 1), "{host}");
    }
    let error = client().fetch(Request::get("http://169.254.169.254/latest").supplied()).await.unwrap_err();
    assert_eq!(forbidden(&error), Some(AddressKind::LinkLocal));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused() {
    let inside = Server::start(|_| ok(b"secret")).await;
    let target = inside.url("/admin");
    let outside = Server::start(move |r| match r.path.as_str() {
        "/literal" => answer("302 Found", &[("location", &target)], b""),
        "/name" => {
            let port = target.rsplit(':').next().unwrap();
            answer("307 Elsewhere", &[("location", &format!("http://localhost:{port}"))], b"")
        }
        _ => answer("302 Found", &[("location", "http://169.254.169.254/latest/meta-data")], b""),
    })
    .await;
    // The one server stands for a public one.
    let rule = AddressRule::PublicAnd([outside.address].into());
    for path in ["/literal", "/name", "/metadata"] {
        let request = Request::get(&outside.url(path)).addresses(rule.clone());
        let error = client().fetch(request).await.unwrap_err();
        assert!(forbidden(&error).is_some(), "{path}: {error}");
    }
    assert_eq!((outside.requests().len(), inside.connections()), (3, 0));
}

/// Answers differently each time, as an attacker's name server does.
struct Rebinding {
    answers: Vec<Vec<SocketAddr>>,
    asked: Arc<AtomicUsize>,
}

impl Resolve for Rebinding {
    fn resolve(&self, _host: &str, _port: u16) -> Lookup {
        let n = self.asked.fetch_add(1, Relaxed);
        let answer = self.answers[n.min(self.answers.len() - 1)].clone();
        Box::pin(async move { Ok(answer) })
    }
}

#[tokio::test]
async fn a_name_is_checked_by_the_address_that_is_connected_to() {
    let inside = Server::start(|_| ok(b"secret")).await;
    let outside = Server::start(|_| answer("200 OK", &[("connection", "close")], b"public")).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let answers = vec![vec![outside.address], vec![inside.address], vec![outside.address, inside.address]];
    let resolver = Rebinding { answers, asked: Arc::clone(&asked) };
    let config = ClientConfig { resolver: Some(Arc::new(resolver)), ..config() };
    let client = Client::new(config).unwrap();
    let rule = AddressRule::PublicAnd([outside.address].into());
    let fetch = || client.fetch(Request::get("http://innocent.example/").addresses(rule.clone()));
    assert_eq!(fetch().await.unwrap().body().as_ref(), b"public");
    assert_eq!(asked.load(Relaxed), 1, "looked up once, not once to check and once to connect");
    let rebound = fetch().await.unwrap_err();
    assert_eq!(forbidden(&rebound), Some(AddressKind::Loopback), "{rebound}");
    let mixed = fetch().await.unwrap_err();
    assert!(forbidden(&mixed).is_some(), "one private address among public ones: {mixed}");
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_connection_made_without_a_rule_is_not_used_under_one() {
    let server = Server::start(|_| ok(b"x")).await;
    let client = client();
    client.fetch(Request::get(&server.url("/"))).await.unwrap();
    let error = client.fetch(Request::get(&server.url("/")).supplied()).await.unwrap_err();
    assert!(forbidden(&error).is_some(), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn redirects_are_followed_with_care() {
    let other = Server::start(|_| ok(b"there")).await;
    let elsewhere = other.url("/there");
    let server = Server::start(move |r| match r.path.as_str() {
        "/away" => answer("302 Found", &[("location", &elsewhere)], b"moved"),
        "/here" => answer("303 See Other", &[("location", "done?x=1#y")], b"moved"),
        "/kept" => answer("307 Temporary", &[("location", "/done")], b"moved"),
        "/loop" => answer("302 Found", &[("location", "/loop")], b""),
        _ => ok(b"done"),
    })
    .await;
    let client = once();
    let secret =
        |path: &str| Request::get(&server.url(path)).header("authorization", "Bearer s").header("x-a", "b");
    // Another origin gets no secrets.
    let answer = client.fetch(secret("/away")).await.unwrap();
    assert_eq!((answer.body().as_ref(), answer.url().path()), (&b"there"[..], "/there"));
    let received = &other.requests()[0];
    assert_eq!((received.header("authorization"), received.header("x-a")), (None, Some("b")));
    // The same origin keeps them; 303 makes a GET of a POST, 307 does not.
    let post = |path: &str| Request::post(&server.url(path), "body").header("authorization", "Bearer s");
    client.fetch(post("/here")).await.unwrap();
    let received = server.requests().pop().unwrap();
    assert_eq!(
        (received.method.as_str(), received.path.as_str(), received.body.len()),
        ("GET", "/done?x=1", 0)
    );
    assert!(received.header("authorization").is_some());
    client.fetch(post("/kept")).await.unwrap();
    let received = server.requests().pop().unwrap();
    assert_eq!((received.method.as_str(), received.body.as_slice()), ("POST", &b"body"[..]));
    let error = client.fetch(secret("/loop")).await.unwrap_err();
    assert!(error.to_string().contains("more than 10 in a row"), "{error}");
}
