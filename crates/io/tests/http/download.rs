//! Into files, continued where it broke off.

use crate::server::{LONG, Received, Server, Step, answer, answer_bytes, client, ok, once, send};
use springtide_io::http::{
    AddressRule, CacheUse, Cause, Deadlines, FailedOnce, Follow, Phase, Request, Source,
};
use std::{
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

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
        0 => ranged(r, &content(), "\"v1\"", 100_000),
        // The right range by the wrong bytes' name.
        1 => {
            answer("206 Partial", &[("content-range", "bytes 100-199/200000"), ("etag", "\"v1\"")], &[0; 100])
        }
        2 => ranged(r, &content(), "\"v1\"", 150_000),
        3 => answer("416 Beyond", &[("content-range", "bytes */120000")], b""),
        4 => ranged(r, &content(), "\"v1\"", 175_000),
        // The right range of another version.
        5 => {
            let range = [("content-range", "bytes 175000-199999/200000"), ("etag", "\"v2\"")];
            answer("206 Partial", &range, &[0; 25_000])
        }
        _ => ranged(r, &content(), "\"v1\"", usize::MAX),
    })
    .await;
    let done = client().download(Request::get(&server.url("/f")), &target).await.unwrap();
    assert_eq!((done.bytes, done.attempts), (200_000, 7));
    assert_eq!(std::fs::read(&target).unwrap(), content());
}

/// Whatever makes it impossible to go on where an attempt broke off: to start over and get no further is no progress.
#[tokio::test]
async fn a_server_that_breaks_off_each_time_is_asked_three_times() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|r| match r.path.as_str() {
        "/no-validator" => {
            let whole = answer_bytes("200 OK", &[], &content());
            vec![Step::Send(whole[..50_000].to_vec()), Step::Close]
        }
        "/too-long" => vec![
            send("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"),
            Step::Send(content()[..4_000].to_vec()),
            Step::Close,
        ],
        "/another-each-time" => ranged(r, &content(), &format!("\"v{}\"", r.before), 50_000),
        _ => vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"), Step::Close],
    })
    .await;
    for path in ["/no-validator", "/too-long", "/another-each-time", "/broken-chunks"] {
        let before = server.requests().len();
        let target = folder.path().join(&path[1..]);
        let error = client().download(Request::get(&server.url(path)), &target).await.unwrap_err();
        assert!(error.to_string().contains("no attempts left"), "{path}: {error}");
        assert_eq!(server.requests().len() - before, 3, "{path}");
    }
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
    assert_eq!(server.requests().len(), 0, "nothing is asked for that cannot be kept");
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_packed_body_is_never_continued() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.bin");
    let server = Server::start(|r| {
        let gz = packed(&content());
        let from: usize = r.header("range").map_or(0, |range| range[6..range.len() - 1].parse().unwrap());
        let range = format!("bytes {from}-{}/{}", gz.len() - 1, gz.len());
        let headers = [("etag", "\"v1\""), ("content-encoding", "gzip"), ("content-range", &range)];
        match r.before {
            // Packed although that was not asked for, and broken off.
            0 => {
                let head = answer_bytes("200 OK", &headers[..2], &gz);
                vec![Step::Send(head[..head.len() - gz.len() / 2].to_vec()), Step::Close]
            }
            _ if from > 0 => answer("206 Partial", &headers, &gz[from..]),
            _ => answer("200 OK", &headers[..2], &gz),
        }
    })
    .await;
    let done = client().download(Request::get(&server.url("/f")), &target).await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), content());
    assert_eq!((done.bytes, done.resumed_from, done.attempts), (200_000, 0, 2));
    assert_eq!(server.requests()[1].header("range"), None);
}

#[tokio::test]
async fn a_range_of_packed_bytes_is_refused_and_a_packed_whole_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|r| {
        let gz = packed(&content());
        match (r.path.as_str(), r.header("range")) {
            ("/range", Some(_)) => {
                let range = format!("bytes 150000-199999/{}", content().len());
                let headers =
                    [("etag", "\"v1\""), ("content-encoding", "gzip"), ("content-range", range.as_str())];
                answer("206 Partial", &headers, &gz[..50_000])
            }
            ("/range", None) if r.before > 0 => ranged(r, &content(), "\"v1\"", usize::MAX),
            (_, None) => ranged(r, &content(), "\"v1\"", 150_000),
            // The whole of it, packed, to a request for a range.
            (_, Some(_)) => answer("200 OK", &[("content-encoding", "gzip")], &gz),
        }
    })
    .await;
    for (path, attempts) in [("/range", 3), ("/whole", 2)] {
        let target = folder.path().join(&path[1..]);
        let done = client().download(Request::get(&server.url(path)), &target).await.unwrap();
        assert_eq!((done.bytes, done.attempts), (200_000, attempts), "{path}");
        assert_eq!(std::fs::read(&target).unwrap(), content(), "{path}");
    }
}

#[tokio::test]
async fn two_downloads_into_one_file_come_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.bin");
    let server = Server::start(|r| {
        if r.header("if-none-match") == Some("\"v1\"") {
            return answer("304 Not Modified", &[("etag", "\"v1\"")], b"");
        }
        let whole = answer_bytes("200 OK", &[("etag", "\"v1\"")], &content());
        let (half, rest) = whole.split_at(100_000);
        vec![send(half), Step::Pause(Duration::from_millis(300)), send(rest)]
    })
    .await;
    let request = || Request::get(&server.url("/f")).cache(CacheUse::Revalidate);
    // Two clients, as two processes would have; what they share is the file.
    let (one, two) = (client(), client());
    let both = tokio::join!(one.download(request(), &target), two.download(request(), &target));
    let mut sources = [both.0.unwrap().source, both.1.unwrap().source];
    sources.sort_by_key(|source| *source == Source::Server);
    assert_eq!(sources, [Source::Revalidated, Source::Server]);
    assert_eq!(std::fs::read(&target).unwrap(), content());
    // Without asking whether it is right, the second fetches it again, whole.
    let request = || Request::get(&server.url("/f"));
    let both = tokio::join!(one.download(request(), &target), two.download(request(), &target));
    assert_eq!((both.0.unwrap().bytes, both.1.unwrap().bytes), (200_000, 200_000));
    assert_eq!(std::fs::read(&target).unwrap(), content());
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_file_that_another_program_writes_is_waited_for_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.bin");
    let owner = std::fs::File::create(folder.path().join("file.bin.part")).unwrap();
    owner.lock().unwrap();
    let server = Server::start(|_| ok(b"x")).await;
    let deadlines = Deadlines { total: Duration::from_millis(50), ..LONG };
    let request = || Request::get(&server.url("/f"));
    let error = client().download(request().deadlines(deadlines), &target).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Busy { .. }) && error.phase() == Phase::File, "{error}");
    assert!(error.to_string().contains("file.bin is being written by another download"), "{error}");
    assert_eq!(server.requests().len(), 0);
    drop(owner);
    assert_eq!(client().download(request(), &target).await.unwrap().bytes, 1);
}

#[tokio::test]
async fn what_has_not_changed_is_not_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.bin");
    let server = Server::start(|r| match r.header("if-none-match") {
        Some("\"v1\"") => answer("304 Not Modified", &[], b""),
        None if r.path == "/never" => {
            answer("200 OK", &[("etag", "\"v1\""), ("cache-control", "no-store")], b"the data")
        }
        _ => answer("200 OK", &[("etag", "\"v1\"")], b"the data"),
    })
    .await;
    let request = |path: &str| Request::get(&server.url(path)).cache(CacheUse::Revalidate);
    let get = async |request| client().download(request, &target).await.unwrap();
    let first = get(request("/f")).await;
    assert_eq!((first.source, first.kept), (Source::Server, true));
    let second = get(request("/f")).await;
    assert_eq!((second.source, second.bytes, second.kept), (Source::Revalidated, 8, true));
    assert_eq!(names(folder.path()), ["file.bin", "file.bin.kept.json"]);
    // Another request's file, or one that was changed since, is not asked about.
    assert_eq!(get(request("/f").header("x-key", "other")).await.source, Source::Server);
    get(request("/f")).await;
    std::fs::write(&target, b"the dat_").unwrap();
    assert_eq!(get(request("/f")).await.source, Source::Server);
    assert_eq!(std::fs::read(&target).unwrap(), b"the data");
    let asked = server.requests().len();
    let hour = CacheUse::Within(Duration::from_secs(3_600));
    assert_eq!(get(request("/f").cache(hour)).await.source, Source::Cache);
    assert_eq!(server.requests().len(), asked);
    assert!(!get(request("/never")).await.kept);
    assert_eq!(names(folder.path()), ["file.bin"]);
}

#[tokio::test]
async fn a_bomb_is_told_by_the_limit_that_it_struck_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.bin");
    let bomb = zstd::encode_all(&vec![0; 64 << 20][..], 19).unwrap();
    let headers = [("content-encoding", "zstd"), ("etag", "\"v1\"")];
    let server = Server::start(move |_| answer("200 OK", &headers, &bomb)).await;
    let request = || Request::get(&server.url("/f"));
    let error = client().download(request().body_max(8 << 30), &target).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::TooDense { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("unpacks to more than 33554432 bytes") && !text.contains("8589934592"), "{text}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
    let error = client().download(request().body_max(1 << 20), &target).await.unwrap_err();
    assert!(error.to_string().contains("larger than 1048576 bytes unpacked"), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
    assert_eq!(server.requests().len(), 2, "neither is worth another attempt");
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_kept_only_where_it_can_be_continued() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|r| {
        let etag: &[(&str, &str)] = if r.path == "/etag" { &[("etag", "\"v1\"")] } else { &[] };
        let whole = answer_bytes("200 OK", etag, b"1234567890");
        vec![send(&whole[..whole.len() - 4]), Step::Close]
    })
    .await;
    for (path, left) in [("/etag", 2), ("/none", 0)] {
        let folder = folder.path().join(&path[1..]);
        let error = once().download(Request::get(&server.url(path)), &folder.join("f")).await.unwrap_err();
        assert!(matches!(error.cause(), Cause::Short { got: 6, announced: 10 }), "{path}: {error}");
        assert_eq!(names(&folder).len(), left, "{path}: {:?}", names(&folder));
    }
}

#[tokio::test]
async fn a_redirect_to_a_private_address_brings_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let inside = Server::start(|_| ok(b"secret")).await;
    let location = inside.url("/admin");
    let outside = Server::start(move |_| answer("302 Found", &[("location", &location)], b"")).await;
    let rule = AddressRule::PublicAnd([outside.address].into());
    let request = Request::get(&outside.url("/f")).addresses(rule);
    let error = client().download(request, &folder.path().join("f")).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Forbidden { .. }), "{error}");
    assert_eq!((inside.connections(), names(folder.path())), (0, Vec::new()));
}

#[tokio::test]
async fn an_answer_that_is_no_file_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| answer("304 Not Modified", &[], b"")).await;
    let error = once().download(Request::get(&server.url("/f")), &folder.path().join("f")).await.unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(304), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Follow for Heard {
    fn reached(&self, bytes: u64, length: Option<u64>) {
        let mut heard = self.0.lock().unwrap();
        let text = format!("{} of {length:?}", if bytes.is_multiple_of(100_000) { bytes } else { 1 });
        if heard.last() != Some(&text) {
            heard.push(text);
        }
    }

    fn again(&self, failed: &FailedOnce<'_>) {
        self.0.lock().unwrap().push(format!("{} {}", failed.attempt, failed.phase));
    }
}

#[tokio::test]
async fn who_follows_hears_how_far_it_is_and_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|r| match r.before {
        0 => vec![Step::Reset],
        _ => ranged(r, &content(), "\"v1\"", 100_000),
    })
    .await;
    let heard = Arc::new(Heard::default());
    let request = Request::get(&server.url("/f")).follow(heard.clone());
    client().download(request, &folder.path().join("f")).await.unwrap();
    let heard = heard.0.lock().unwrap().join(", ");
    assert!(heard.starts_with("1 headers, 0 of Some(200000)"), "{heard}");
    assert!(heard.contains("100000 of Some(200000), 2 body, 100000 of Some(200000)"), "{heard}");
    assert!(heard.ends_with("200000 of Some(200000)"), "{heard}");
}
