//! Answers kept on disk.

use crate::server::{Received, Server, Step, answer, config};
use springtide_io::http::{CacheConfig, CacheUse, Client, ClientConfig, Request, Source};
use std::{path::Path, time::Duration};

fn cached(folder: &Path, bytes_max: u64) -> Client {
    let cache = Some(CacheConfig { folder: folder.to_owned(), bytes_max });
    Client::new(ClientConfig { cache, ..config() }).unwrap()
}

/// Knows one version of its page.
fn versioned(r: &Received) -> Vec<Step> {
    match r.header("if-none-match") {
        Some("\"v1\"") => answer("304 Not Modified", &[("etag", "\"v1\""), ("x-new", "yes")], b""),
        _ => answer("200 OK", &[("etag", "\"v1\""), ("x-a", "b")], b"the page"),
    }
}

#[tokio::test]
async fn an_answer_is_asked_for_again_and_need_not_be_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(versioned).await;
    let request = || Request::get(&server.url("/page")).cache(CacheUse::Revalidate);
    let client = cached(folder.path(), 1 << 20);
    assert_eq!(client.fetch(request()).await.unwrap().source(), Source::Server);
    // Another client, another day: the file is what counts.
    let client = cached(folder.path(), 1 << 20);
    for _ in 0..2 {
        let answer = client.fetch(request()).await.unwrap();
        assert_eq!((answer.source(), answer.status().as_u16()), (Source::Revalidated, 200));
        assert_eq!(answer.body().as_ref(), b"the page");
        assert_eq!((answer.header("x-a"), answer.header("x-new")), (Some("b"), Some("yes")));
    }
    let counts = client.snapshot().cache.unwrap();
    assert_eq!((counts.revalidated, counts.missed, counts.broken), (2, 0, 0));
    // Without the cache the server is asked for all of it.
    let answer = client.fetch(Request::get(&server.url("/page"))).await.unwrap();
    assert_eq!(answer.source(), Source::Server);
}

#[tokio::test]
async fn a_young_answer_is_used_without_asking() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|r| answer("200 OK", &[], r.path.as_bytes())).await;
    let client = cached(folder.path(), 1 << 20);
    let request = |age| Request::get(&server.url("/x")).cache(CacheUse::Within(age));
    for _ in 0..3 {
        let answer = client.fetch(request(Duration::from_secs(3_600))).await.unwrap();
        assert_eq!(answer.body().as_ref(), b"/x");
    }
    assert_eq!(server.requests().len(), 1);
    tokio::time::sleep(Duration::from_millis(5)).await;
    client.fetch(request(Duration::from_millis(1))).await.unwrap();
    assert_eq!(server.requests().len(), 2, "too old, and without a validator it is fetched whole");
}

#[tokio::test]
async fn an_answer_for_one_key_is_not_given_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        Server::start(|r| answer("200 OK", &[], r.header("x-api-key").unwrap_or("-").as_bytes())).await;
    let client = cached(folder.path(), 1 << 20);
    let hour = CacheUse::Within(Duration::from_secs(3_600));
    for key in ["a", "b", "a"] {
        let request = Request::get(&server.url("/me")).header("x-api-key", key).cache(hour);
        assert_eq!(client.fetch(request).await.unwrap().body().as_ref(), key.as_bytes());
    }
    assert_eq!(server.requests().len(), 2);
    let error =
        client.fetch(Request::get(&server.url("/me")).header("x-api-key", "a").cache(hour).supplied());
    error.await.expect_err("what was fetched from inside is not handed to a request from outside");
}

#[tokio::test]
async fn what_must_not_be_kept_is_not_and_what_is_broken_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|r| match r.path.as_str() {
        "/secret" => answer("200 OK", &[("etag", "\"x\""), ("cache-control", "private, no-store")], b"s"),
        _ => versioned(r),
    })
    .await;
    let client = cached(folder.path(), 1 << 20);
    let request = |path: &str| Request::get(&server.url(path)).cache(CacheUse::Revalidate);
    client.fetch(request("/secret")).await.unwrap();
    assert_eq!(client.snapshot().cache.unwrap().stored, 0);
    client.fetch(request("/page")).await.unwrap();
    let file = files(folder.path()).pop().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let answer = client.fetch(request("/page")).await.unwrap();
    assert_eq!((answer.source(), answer.body().as_ref()), (Source::Server, &b"the page"[..]));
    assert_eq!(client.snapshot().cache.unwrap().broken, 1);
}

#[tokio::test]
async fn the_room_is_bounded_and_what_was_used_last_stays() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| answer("200 OK", &[("etag", "\"v\"")], &[b'x'; 10_000])).await;
    let client = cached(folder.path(), 100_000);
    for n in 0..30 {
        let request = Request::get(&server.url(&format!("/{n}"))).cache(CacheUse::Revalidate);
        client.fetch(request).await.unwrap();
        // Times of files are coarse.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let bytes: u64 = files(folder.path()).iter().map(|f| f.metadata().unwrap().len()).sum();
    let counts = client.snapshot().cache.unwrap();
    assert!(bytes <= 100_000 && counts.bytes == bytes, "{bytes} {counts:?}");
    assert!(counts.evicted >= 20, "{counts:?}");
    let young = Request::get(&server.url("/29")).cache(CacheUse::Within(Duration::from_secs(600)));
    assert_eq!(client.fetch(young).await.unwrap().source(), Source::Cache);
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let inside = |path: std::path::PathBuf| std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path());
    inside(folder.to_owned()).flat_map(inside).collect()
}
