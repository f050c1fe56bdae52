//! Into files, continued where it broke off.

use crate::server::{Received, Server, Step, answer, answer_bytes, client, once, send};
use springtide_io::http::{Cause, Phase, Request};

/// 200,000 bytes that differ everywhere.
fn content() -> Vec<u8> {
    (0..50_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// Serves ranges properly; each answer breaks off after `most` bytes.
fn ranged(r: &Received, content: &[u8], etag: &str, most: usize) -> Vec<Step> {
    let from: usize = r
        .header("range")
        .filter(|_| r.header("if-range") == Some(etag))
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .unwrap_or(0);
    let rest = &content[from..];
    let head = if from > 0 {
        let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
        answer_bytes("206 Partial", &[("etag", etag), ("content-range", &range)], rest)
    } else {
        answer_bytes("200 OK", &[("etag", etag)], rest)
    };
    let cut = head.len() - rest.len() + rest.len().min(most);
    let end = if rest.len() > most { vec![Step::Close] } else { Vec::new() };
    [vec![Step::Send(head[..cut].to_vec())], end].concat()
}

#[tokio::test]
async fn it_goes_on_where_it_broke_off() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("deep/down/file.bin");
    let server = Server::start(|r| ranged(r, &content(), "\"v1\"", 30_000)).await;
    // Seven pieces with three attempts: what gets further counts anew.
    let done = client().download(Request::get(&server.url("/f")), &target).await.unwrap();
    assert_eq!((done.bytes, done.attempts, done.resumed_from), (200_000, 7, 0));
    assert_eq!(std::fs::read(&target).unwrap(), content());
    assert_eq!(std::fs::read_dir(target.parent().unwrap()).unwrap().count(), 1, "no part is left");
    assert_eq!(server.requests()[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn the_next_call_goes_on_where_the_last_gave_up() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.bin");
    let server = Server::start(|r| ranged(r, &content(), "\"v1\"", 150_000)).await;
    let error = once().download(Request::get(&server.url("/f")), &target).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Short { got: 150_000, announced: 200_000 }), "{error}");
    assert!(!target.exists());
    let done = once().download(Request::get(&server.url("/f")), &target).await.unwrap();
    assert_eq!((done.bytes, done.resumed_from), (200_000, 150_000));
    assert_eq!(std::fs::read(&target).unwrap(), content());
    // Another URL's part is not continued.
    std::fs::write(folder.path().join("g.bin.part"), b"abc").unwrap();
    let done =
        client().download(Request::get(&server.url("/g")), &folder.path().join("g.bin")).await.unwrap();
    assert_eq!(done.resumed_from, 0);
}

#[tokio::test]
async fn what_changed_meanwhile_is_fetched_anew() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.bin");
    let server = Server::start(|r| {
        let newer: Vec<u8> = content().iter().map(|b| !b).collect();
        match r.before {
            0 => ranged(r, &content(), "\"v1\"", 150_000),
            _ => ranged(r, &newer, "\"v2\"", usize::MAX),
        }
    })
    .await;
    let done = client().download(Request::get(&server.url("/f")), &target).await.unwrap();
    let newer: Vec<u8> = content().iter().map(|b| !b).collect();
    assert_eq!((done.bytes, done.etag.as_deref()), (200_000, Some("\"v2\"")));
    assert_eq!(std::fs::read(&target).unwrap(), newer);
}

#[tokio::test]
async fn a_server_that_lies_about_ranges_spoils_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.bin");
    let server = Server::start(|r| match r.before {
        0 => ranged(r, &content(), "\"v1\"", 150_000),
        // The right range by the wrong bytes' name.
        1 => {
            answer("206 Partial", &[("content-range", "bytes 100-199/200000"), ("etag", "\"v1\"")], &[0; 100])
        }
        2 => ranged(r, &content(), "\"v1\"", 150_000),
        3 => answer("416 Beyond", &[("content-range", "bytes */120000")], b""),
        _ => ranged(r, &content(), "\"v1\"", usize::MAX),
    })
    .await;
    let done = client().download(Request::get(&server.url("/f")), &target).await.unwrap();
    assert_eq!((done.bytes, done.attempts), (200_000, 5));
    assert_eq!(std::fs::read(&target).unwrap(), content());
}

#[tokio::test]
async fn a_part_that_is_whole_needs_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.bin");
    // The first answer has no length and is cut off exactly at the end of the file: by a reset, an error.
    let server = Server::start(|r| match r.before {
        0 => vec![
            send("HTTP/1.1 200 OK\r\netag: \"v1\"\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfull\r\n"),
            Step::Close,
        ],
        _ => answer("416 Beyond", &[("content-range", "bytes */4")], b""),
    })
    .await;
    let done = client().download(Request::get(&server.url("/f")), &target).await.unwrap();
    assert_eq!((done.bytes, done.attempts), (4, 2));
    assert_eq!(std::fs::read(&target).unwrap(), b"full");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("blocked"), b"a file").unwrap();
    let target = folder.path().join("blocked/file.bin");
    let server = Server::start(|r| ranged(r, &content(), "\"v1\"", usize::MAX)).await;
    let error = client().download(Request::get(&server.url("/f")), &target).await.unwrap_err();
    assert_eq!(error.phase(), Phase::File);
    assert!(error.to_string().contains("blocked"), "{error}");
    assert_eq!(server.requests().len(), 1);
}
