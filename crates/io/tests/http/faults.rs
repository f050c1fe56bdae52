//! Servers that misbehave: each ends in a clear error within its deadline, or in the right answer.

use crate::server::{LONG, SHORT, Server, Step, answer, answer_bytes, client, config, ok, once, send};
use springtide_io::http::{Cause, Client, ClientConfig, Deadlines, HttpError, Phase, Request};
use springtide_runtime::limit::{BreakerConfig, GiveUp, RetryConfig};
use std::{
    io::Write,
    time::{Duration, Instant},
};

/// One attempt at what the server offers under these deadlines.
async fn fail(server: &Server, deadlines: Deadlines) -> HttpError {
    let began = Instant::now();
    let error = once().fetch(Request::get(&server.url("/x")).deadlines(deadlines)).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(60), "its own deadline, not the long one");
    let host = server.address.to_string();
    assert_eq!(error.host(), host);
    let text = error.to_string();
    assert!(text.contains(&host) && text.contains("attempt 1") && text.contains(" s)"), "{text}");
    error
}

#[tokio::test]
async fn a_stall_before_the_head() {
    let server = Server::start(|_| vec![Step::Stall]).await;
    let error = fail(&server, Deadlines { headers: SHORT, ..LONG }).await;
    assert_eq!(error.phase(), Phase::Headers);
    assert!(error.elapsed() >= SHORT);
    assert!(error.to_string().contains("headers: no answer within 150ms"), "{error}");
}

#[tokio::test]
async fn a_head_that_drips_in_for_ever() {
    // A byte now and then: only the deadline of the whole head ends it.
    let drip = |_: &_| {
        let mut steps = vec![send("HTTP/1.1 200 OK\r\nx-long: ")];
        for _ in 0..10_000 {
            steps.push(send("a"));
            steps.push(Step::Pause(Duration::from_millis(5)));
        }
        steps
    };
    let server = Server::start(drip).await;
    let error = fail(&server, Deadlines { headers: SHORT, ..LONG }).await;
    assert_eq!(error.phase(), Phase::Headers);
    assert!(matches!(error.cause(), Cause::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_stall_in_the_body() {
    let half = |_: &_| vec![send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it"), Step::Stall];
    let server = Server::start(half).await;
    let error = fail(&server, Deadlines { body: SHORT, ..LONG }).await;
    assert_eq!(error.phase(), Phase::Body);
    assert!(error.to_string().contains("body: no data came within 150ms"), "{error}");
}

#[tokio::test]
async fn a_body_that_drips_in_for_ever() {
    let drip = |_: &_| {
        let mut steps = vec![send("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")];
        for _ in 0..10_000 {
            steps.push(send("a"));
            steps.push(Step::Pause(Duration::from_millis(5)));
        }
        steps
    };
    let server = Server::start(drip).await;
    // Each piece is in time; the whole is not.
    let error = fail(&server, Deadlines { total: 2 * SHORT, ..LONG }).await;
    assert!(matches!(error.cause(), Cause::Deadline(total) if *total == 2 * SHORT), "{error}");
    assert_eq!(error.phase(), Phase::Body);
}

#[tokio::test]
async fn a_body_shorter_than_announced() {
    let short = |_: &_| vec![send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n1234567"), Step::Close];
    let server = Server::start(short).await;
    let error = fail(&server, LONG).await;
    assert!(matches!(error.cause(), Cause::Short { got: 7, announced: 100 }), "{error:?}");
    assert!(error.to_string().contains("the body ended after 7 of 100 bytes"), "{error}");
}

#[tokio::test]
async fn a_chunked_body_cut_off() {
    let cut = |_: &_| {
        vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"), Step::Close]
    };
    let server = Server::start(cut).await;
    let error = fail(&server, LONG).await;
    assert_eq!(error.phase(), Phase::Body);
    assert!(matches!(error.cause(), Cause::Transport(_)), "{error:?}");
}

#[tokio::test]
async fn a_body_longer_than_announced_poisons_no_other_answer() {
    let long = |r: &crate::server::Received| match r.path.as_str() {
        // What goes beyond the length looks like the next answer.
        "/liar" => {
            let mut bytes = answer_bytes("200 OK", &[], b"true");
            bytes.extend(answer_bytes("200 OK", &[], b"smuggled"));
            vec![Step::Send(bytes)]
        }
        _ => ok(b"honest"),
    };
    let server = Server::start(long).await;
    let client = client();
    for _ in 0..5 {
        let liar = client.fetch(Request::get(&server.url("/liar"))).await.unwrap();
        assert_eq!(liar.body().as_ref(), b"true");
        let honest = client.fetch(Request::get(&server.url("/honest"))).await.unwrap();
        assert_eq!(honest.body().as_ref(), b"honest");
    }
}

#[tokio::test]
async fn a_reset_before_and_within_the_answer() {
    let server = Server::start(|_| vec![Step::Reset]).await;
    let error = fail(&server, LONG).await;
    assert_eq!(error.phase(), Phase::Headers);
    let partial = |_: &_| vec![send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"), Step::Reset];
    let server = Server::start(partial).await;
    let error = fail(&server, LONG).await;
    assert_eq!(error.phase(), Phase::Body, "{error}");
}

#[tokio::test]
async fn nonsense_instead_of_http() {
    let server = Server::start(|_| vec![send("SSH-2.0-OpenSSH_9.6\r\n\r\n"), Step::Close]).await;
    let error = fail(&server, LONG).await;
    assert_eq!(error.phase(), Phase::Headers);
    assert!(matches!(error.cause(), Cause::Transport(_)), "{error:?}");
}

#[tokio::test]
async fn a_head_without_end() {
    let endless = |_: &_| {
        let line = format!("x-more: {}\r\n", "b".repeat(1_000));
        vec![send("HTTP/1.1 200 OK\r\n"), send(line.repeat(200)), Step::Stall]
    };
    let server = Server::start(endless).await;
    let error = fail(&server, LONG).await;
    assert_eq!(error.phase(), Phase::Headers);
    assert!(error.to_string().contains("too large"), "{error}");
}

#[tokio::test]
async fn a_body_larger_than_allowed() {
    // With and without a length.
    let large = |r: &crate::server::Received| match r.path.as_str() {
        "/told" => ok(&[b'x'; 2_000]),
        _ => vec![send("HTTP/1.1 200 OK\r\n\r\n"), Step::Send(vec![b'x'; 2_000]), Step::Close],
    };
    let server = Server::start(large).await;
    for path in ["/told", "/untold"] {
        let error = once().fetch(Request::get(&server.url(path)).body_max(1_999)).await.unwrap_err();
        assert!(matches!(error.cause(), Cause::TooLarge { limit: 1_999, packed: false }), "{error}");
        let answer = once().fetch(Request::get(&server.url(path)).body_max(2_000)).await.unwrap();
        assert_eq!(answer.body().len(), 2_000);
    }
}

#[tokio::test]
async fn a_compression_bomb() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let server = Server::start(move |_| answer("200 OK", &[("content-encoding", "gzip")], &bomb)).await;
    let error = once().fetch(Request::get(&server.url("/x")).body_max(1 << 20)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::TooLarge { packed: true, .. }), "{error:?}");
    assert!(error.to_string().contains("larger than 1048576 bytes unpacked"), "{error}");
}

#[tokio::test]
async fn a_refusal_for_ever() {
    let refuse = |_: &_| answer("429 Too Many Requests", &[("retry-after", "0")], b"slow down");
    let server = Server::start(refuse).await;
    let error = client().fetch(Request::get(&server.url("/x"))).await.unwrap_err();
    assert_eq!((error.attempt(), error.gave_up()), (3, Some(GiveUp::Attempts)));
    assert_eq!(server.requests().len(), 3);
    let text = error.to_string();
    assert!(text.contains("429 Too Many Requests: slow down") && text.contains("no attempts left"), "{text}");
}

#[tokio::test]
async fn a_wait_that_is_asked_for_and_is_too_long_fails_at_once() {
    let refuse = |_: &_| answer("503 Later", &[("retry-after", "3600")], b"");
    let server = Server::start(refuse).await;
    let error = client().fetch(Request::get(&server.url("/x"))).await.unwrap_err();
    assert_eq!(error.gave_up(), Some(GiveUp::AskedTooLong(Duration::from_secs(3_600))));
    assert_eq!(server.requests().len(), 1);
    // The time at which to come back, not only that it is long.
    let text = error.to_string();
    let (_, at) = text.split_once("asks not to be asked again before ").expect(&text);
    let at: jiff::civil::DateTime = at.trim_end_matches(" UTC)").parse().expect(&text);
    let left =
        at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().duration_since(jiff::Timestamp::now());
    assert!((3_000..=3_600).contains(&left.as_secs()), "{text}");
}

#[tokio::test]
async fn trouble_that_passes() {
    let server = Server::start(|r| match r.before {
        0 => vec![Step::Reset],
        1 => answer("502 Bad Gateway", &[], b""),
        _ => ok(b"at last"),
    })
    .await;
    let answer = client().fetch(Request::get(&server.url("/x"))).await.unwrap();
    assert_eq!(answer.body().as_ref(), b"at last");
    let failed = &answer.timing().failed;
    assert_eq!(failed.len(), 2);
    assert!(failed[1].started >= failed[0].took && failed.iter().all(|attempt| attempt.wait.is_some()));
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    let server = Server::start(|r| match r.path.as_str() {
        "/reset" => vec![Step::Reset],
        _ => answer("500 Oops", &[], b""),
    })
    .await;
    for path in ["/reset", "/500"] {
        let before = server.requests().len();
        client().fetch(Request::post(&server.url(path), "order")).await.unwrap_err();
        assert_eq!(server.requests().len() - before, 1, "{path}");
        let repeatable = Request::post(&server.url(path), "order").repeatable(true);
        client().fetch(repeatable).await.unwrap_err();
        assert_eq!(server.requests().len() - before, 4, "{path}");
    }
}

#[tokio::test]
async fn a_connection_that_died_at_rest_costs_no_attempt() {
    // Closed, reset or half closed after each answer, without a word in the head.
    for last in [Step::Close, Step::Reset, Step::HalfClose] {
        let end = last.clone();
        let server = Server::start(move |_| vec![ok(b"x").remove(0), end.clone()]).await;
        let client = once();
        for _ in 0..10 {
            client.fetch(Request::get(&server.url("/"))).await.unwrap();
        }
        assert!(client.snapshot().hosts[0].failures.iter().all(|(_, n)| *n == 0), "{last:?}");
    }
}

#[tokio::test]
async fn a_connection_that_dies_as_it_is_used_again() {
    // The second request on each connection is read and then dropped with the connection.
    let server = Server::start(|r| match r.on_connection {
        0 => ok(b"x"),
        _ => vec![Step::Close],
    })
    .await;
    let client = once();
    for n in 0..10 {
        client.fetch(Request::get(&server.url("/"))).await.unwrap();
        let host = &client.snapshot().hosts[0];
        assert_eq!(host.stale, n, "found out by using it");
    }
    // What may not be repeated is not, although the connection was an old one.
    let error = client.fetch(Request::post(&server.url("/"), "order")).await.unwrap_err();
    assert_eq!(error.phase(), Phase::Headers);
}

#[tokio::test]
async fn nobody_listens() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let error = client().fetch(Request::get(&format!("http://{address}/"))).await.unwrap_err();
    assert_eq!((error.phase(), error.attempt()), (Phase::Connect, 3));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_listener_that_never_answers_tls() {
    let server = Server::start(|_| vec![Step::Stall]).await;
    let url = format!("https://localhost:{}/", server.address.port());
    let deadlines = Deadlines { connect: SHORT, ..LONG };
    let error = once().fetch(Request::get(&url).deadlines(deadlines)).await.unwrap_err();
    assert_eq!(error.phase(), Phase::Connect);
    assert!(error.to_string().contains("no TLS session within 150ms"), "{error}");
}

#[tokio::test]
async fn a_host_that_fails_always_is_left_alone() {
    let server = Server::start(|_| answer("500 Oops", &[], b"")).await;
    let breaker =
        BreakerConfig { outcomes_min: 5, open_first: Duration::from_secs(600), ..Default::default() };
    let breaker = BreakerConfig { open_max: Duration::from_secs(600), ..breaker };
    let config = ClientConfig { breaker: Some(breaker), retry: RetryConfig::NEVER, ..config() };
    let client = Client::new(config).unwrap();
    for _ in 0..5 {
        client.fetch(Request::get(&server.url("/"))).await.unwrap_err();
    }
    let error = client.fetch(Request::get(&server.url("/"))).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::BreakerOpen { .. }), "{error}");
    assert_eq!((error.phase(), server.requests().len()), (Phase::Queue, 5));
    let host = &client.snapshot().hosts[0];
    assert_eq!((host.breaker_opened, host.breaker_refused), (1, 1));
}

#[tokio::test]
async fn a_wait_between_attempts_holds_no_place() {
    let server = Server::start(|r| match (r.path.as_str(), r.before) {
        ("/slow", 0) => answer("429 Later", &[("retry-after", "1")], b""),
        _ => ok(b"x"),
    })
    .await;
    // One place: while one request waits a second for its next attempt, others pass.
    let config = ClientConfig { per_host: springtide_runtime::permit::LimitConfig::fixed(1), ..config() };
    let client = Client::new(config).unwrap();
    let slow = client.fetch(Request::get(&server.url("/slow")));
    let quick = async {
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            client.fetch(Request::get(&server.url("/quick"))).await.unwrap();
        }
        server.requests().iter().filter(|r| r.path == "/slow").count()
    };
    let (slow, slow_attempts) = tokio::join!(slow, quick);
    assert_eq!(slow.unwrap().timing().failed.len(), 1);
    assert_eq!(slow_attempts, 1, "all the quick ones went during the wait");
}
