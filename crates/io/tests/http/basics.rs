//! What a client does when everything is right.

use crate::server::{Server, Step, answer, client, config, ok, once, send};
use springtide_io::http::{Client, ClientConfig, Phase, Request, StatusCode};
use std::io::Write;

#[tokio::test]
async fn an_answer_comes_whole_with_its_timing() {
    let server = Server::start(|r| answer("200 OK", &[("x-seen", &r.path)], br#"{"a": [1, 2]}"#)).await;
    let client = client();
    let answer = client.fetch(Request::get(&server.url("/x")).query("q", "a b&c")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.header("x-seen"), Some("/x?q=a+b%26c"));
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["a"][1], 2);
    assert!(answer.timing().connect.is_some() && answer.timing().failed.is_empty());
    let received = &server.requests()[0];
    assert_eq!(received.header("host"), Some(server.address.to_string().as_str()));
    assert_eq!(received.header("accept-encoding"), Some("gzip, br, zstd"));
    assert!(received.header("user-agent").is_some_and(|agent| agent.starts_with("springtide/")));
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(|_| ok(b"x")).await;
    let client = client();
    for _ in 0..20 {
        client.fetch(Request::get(&server.url("/"))).await.unwrap();
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 20));
    let snapshot = client.snapshot();
    let host = &snapshot.hosts[0];
    assert_eq!((host.dialed, host.reused, host.answers, host.bytes, host.in_flight), (1, 19, 20, 20, 0));
    // The process shows it without being told to.
    let metrics = springtide_runtime::observe::Observatory::new("a test").metrics().text();
    let figure = format!("tide_http_requests_total{{host=\"{}\"}} 20", host.host);
    assert!(metrics.contains(&figure), "{figure} is missing in {metrics}");
}

#[tokio::test]
async fn a_body_is_posted_and_a_refusal_keeps_its_text() {
    let server = Server::start(|r| {
        assert_eq!((r.method.as_str(), r.body.as_slice()), ("POST", &br#"{"n":7}"#[..]));
        answer("422 Unprocessable Content", &[], b"{\"error\": \"seven is right out\"}")
    })
    .await;
    let request = || Request::post(&server.url("/orders"), "").json(&serde_json::json!({"n": 7}));
    let error = client().fetch(request()).await.unwrap_err();
    assert_eq!((error.status(), error.attempt()), (Some(StatusCode::UNPROCESSABLE_ENTITY), 1));
    assert!(error.to_string().contains("seven is right out"), "{error}");
    assert_eq!(error.body().unwrap().as_ref(), b"{\"error\": \"seven is right out\"}");
    let answer = client().fetch(request().any_status()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 422);
}

#[tokio::test]
async fn compressed_bodies_are_unpacked() {
    let text = "all work and no play ".repeat(500);
    let packed = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let (gzip, zstd) = (packed(&text), zstd::encode_all(text.as_bytes(), 1).unwrap());
    let server = Server::start(move |r| match r.path.as_str() {
        "/gzip" => answer("200 OK", &[("content-encoding", "gzip")], &gzip),
        "/zstd" => answer("200 OK", &[("content-encoding", "zstd")], &zstd),
        _ => answer("200 OK", &[("content-encoding", "rot13")], b"uryyb"),
    })
    .await;
    let client = client();
    for path in ["/gzip", "/zstd"] {
        let answer = client.fetch(Request::get(&server.url(path))).await.unwrap();
        assert_eq!(answer.text().unwrap(), text, "{path}");
    }
    let error = client.fetch(Request::get(&server.url("/other"))).await.unwrap_err();
    assert!(error.to_string().contains("rot13"), "{error}");
    assert_eq!(server.connections(), 1, "unpacked bodies leave a connection that can be used again");
    let plain = Client::new(ClientConfig { unpack: false, ..config() }).unwrap();
    let answer = plain.fetch(Request::get(&server.url("/other"))).await.unwrap();
    assert_eq!(answer.body().as_ref(), b"uryyb");
}

#[tokio::test]
async fn a_chunked_body_is_streamed() {
    let server = Server::start(|_| {
        vec![
            send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
            send("5\r\nfirst\r\n"),
            Step::Pause(std::time::Duration::from_millis(20)),
            send("6\r\nsecond\r\n0\r\n\r\n"),
        ]
    })
    .await;
    let client = client();
    let mut stream = client.stream(Request::get(&server.url("/"))).await.unwrap();
    let mut all = Vec::new();
    while let Some(piece) = stream.chunk().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    assert_eq!(all, b"firstsecond");
    drop(stream);
    client.fetch(Request::get(&server.url("/"))).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn mistakes_in_a_request_are_told_before_anything_is_sent() {
    let server = Server::start(|_| ok(b"x")).await;
    let url = server.url("/");
    for (request, what) in [
        (Request::get("nonsense"), "cannot be read"),
        (Request::get("ftp://h/"), "`ftp` is not supported"),
        (Request::get(&url).header("bad name", "x"), "`bad name` is no name of a header"),
        (Request::get(&url).header("x-api-key", "se\ncret"), "header `x-api-key` holds"),
    ] {
        let error = once().fetch(request).await.unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(!error.to_string().contains("cret"), "{error}");
        assert_eq!(error.phase(), Phase::Request);
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn secrets_show_nowhere() {
    let server = Server::start(|_| answer("500 Oops", &[("set-cookie", "s=hush3")], b"no")).await;
    let url = format!("http://hush1:hush2@{}/p?api_key=hush4&a=1", server.address);
    let request = || Request::get(&url).header("authorization-x", "hush5").secret_header("x-odd", "hush6");
    let error = client().fetch(request()).await.unwrap_err();
    let answer = client().fetch(request().any_status()).await.unwrap();
    let shown = format!("{error} {error:?} {:?} {answer:?}", request());
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("a=1"));
    let received = &server.requests()[0];
    assert_eq!(received.header("authorization"), Some("Basic aHVzaDE6aHVzaDI="));
    assert_eq!(received.header("x-odd"), Some("hush6"));
}
