//! WebSocket against a server that does what it is told. Loopback only.

use flate2::{Compress, Compression, FlushCompress};
use futures_core::Stream;
use futures_sink::Sink;
use springtide_io::{
    http::{Cause, ClientConfig, Request},
    ws::{
        Batches, Connector, Deliver, Each, Feed, FeedConfig, FeedPhase, Gone, Message, OnClose, Socket,
        SocketOptions, WsCause, WsError,
    },
};
use springtide_runtime::{
    channel::{ChannelConfig, WhenFull},
    limit::{BreakerConfig, RetryConfig},
};
use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_websockets::{CloseCode, Message as Wire, ServerBuilder, WebSocketStream};

/// A deadline for what never happens.
const SHORT: Duration = Duration::from_millis(150);
/// One that no machine is too slow for.
const LONG: Duration = Duration::from_secs(60);

type Peer = WebSocketStream<TcpStream>;

/// Accepts connections and hands each, with its number from 0, to `serve`.
async fn server<F, S>(serve: F) -> (SocketAddr, JoinSet<()>)
where
    F: Fn(usize, TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(serve(number, stream));
        }
    });
    (address, tasks)
}

async fn accept(stream: TcpStream) -> Peer {
    ServerBuilder::new().accept(stream).await.unwrap().1
}

async fn say(peer: &mut Peer, message: Wire) {
    poll_fn(|cx| Pin::new(&mut *peer).poll_ready(cx)).await.unwrap();
    Pin::new(&mut *peer).start_send(message).unwrap();
    // The client may have gone.
    let _ = poll_fn(|cx| Pin::new(&mut *peer).poll_flush(cx)).await;
}

async fn hear(peer: &mut Peer) -> Option<Wire> {
    poll_fn(|cx| Pin::new(&mut *peer).poll_next(cx)).await?.ok()
}

async fn goodbye(peer: &mut Peer) {
    say(peer, Wire::close(Some(CloseCode::NORMAL_CLOSURE), "done")).await;
    while hear(peer).await.is_some() {}
}

fn connector() -> Connector {
    Connector::new(&ClientConfig::default()).unwrap()
}

fn request(address: SocketAddr) -> Request {
    Request::get(&format!("ws://{address}/stream?symbol=BTC&token=geheim"))
}

async fn connect(address: SocketAddr, options: SocketOptions) -> Result<Socket, WsError> {
    connector().connect(&request(address), options).await
}

/// Ends after a few attempts without long waits.
fn quick(address: SocketAddr) -> FeedConfig {
    let retry = RetryConfig {
        attempts_max: 3,
        base: Duration::from_millis(1),
        cap: Duration::from_millis(2),
        ..RetryConfig::default()
    };
    FeedConfig { retry, on_close: OnClose::End, ..FeedConfig::new(request(address)) }
}

fn number(message: &Message) -> Option<u64> {
    message.text()?.parse().ok()
}

#[tokio::test]
async fn a_conversation_from_handshake_to_close() {
    let (address, _tasks) = server(|_, stream| async {
        let (request, mut peer) = ServerBuilder::new().accept(stream).await.unwrap();
        assert_eq!(request.uri().query(), Some("symbol=BTC&token=geheim"));
        assert!(request.headers().contains_key("user-agent") && request.headers()["x-id"] == "7");
        say(&mut peer, Wire::ping(&b"are you there"[..])).await;
        say(&mut peer, Wire::text("hello")).await;
        say(&mut peer, Wire::binary(vec![1, 2, 3])).await;
        let pong = hear(&mut peer).await.unwrap();
        assert!(pong.is_pong() && &pong.as_payload()[..] == b"are you there");
        let answer = hear(&mut peer).await.unwrap();
        assert_eq!(answer.as_text(), Some("subscribe"));
        goodbye(&mut peer).await;
    })
    .await;
    let request = request(address).header("x-id", "7");
    let mut socket = connector().connect(&request, SocketOptions::default()).await.unwrap();
    let first = socket.next().await.unwrap().unwrap();
    assert_eq!((first.text(), first.bytes()), (Some("hello"), &b"hello"[..]));
    let second = socket.next().await.unwrap().unwrap();
    assert_eq!(second.text(), None);
    assert_eq!(&second.into_bytes()[..], [1, 2, 3]);
    socket.send("subscribe").await.unwrap();
    assert!(socket.next().await.unwrap().is_none());
    assert_eq!(socket.closed(), Some((1000, "done")));
    assert!(format!("{socket:?}").contains("[hidden]"));
}

#[tokio::test]
async fn silence_is_asked_about_and_then_ends_the_connection() {
    let pings = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&pings);
    let (address, _tasks) = server(move |_, mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            // Takes part in the handshake, then only listens, by the bytes: it answers no ping.
            let peer = accept(stream).await;
            stream = peer.into_inner();
            let mut bytes = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                seen.fetch_add(usize::from(bytes[..count].contains(&0x89)), Relaxed);
            }
        }
    })
    .await;
    let mut socket =
        connect(address, SocketOptions { idle: SHORT, ..SocketOptions::default() }).await.unwrap();
    let error = socket.next().await.unwrap_err();
    assert!(matches!(error.cause(), WsCause::Silent(limit) if *limit == SHORT), "{error}");
    drop(socket);
    assert_eq!(pings.load(Relaxed), 1);
    assert!(error.may_pass() && !error.to_string().contains("geheim"), "{error}");
}

#[tokio::test]
async fn what_is_too_large_or_no_websocket_is_refused() {
    let (address, _tasks) = server(|number, mut stream| async move {
        match number {
            0 => {
                let mut peer = accept(stream).await;
                say(&mut peer, Wire::text("x".repeat(2_000))).await;
                while hear(&mut peer).await.is_some() {}
            }
            1 => drop(stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await),
            2 => drop(stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").await),
            3 => drop(stream.write_all(b"SSH-2.0-OpenSSH\r\n").await),
            // A head without end.
            4 => {
                while stream.write_all(b"HTTP/1.1 101 x\r\nx: ").await.is_ok()
                    && stream.write_all(&[b'a'; 4096]).await.is_ok()
                {}
            }
            _ => drop(stream),
        }
    })
    .await;
    let small = SocketOptions { message_max: 1_000, ..SocketOptions::default() };
    let mut socket = connect(address, small).await.unwrap();
    let error = socket.next().await.unwrap_err();
    assert!(matches!(error.cause(), WsCause::TooLarge { limit: 1_000, .. }), "{error}");
    let forbidden = connect(address, small).await.unwrap_err();
    assert!(matches!(forbidden.cause(), WsCause::Status(403)) && !forbidden.may_pass(), "{forbidden}");
    let busy = connect(address, small).await.unwrap_err();
    assert!(matches!(busy.cause(), WsCause::Status(503)) && busy.may_pass(), "{busy}");
    for what in ["another protocol", "an endless head", "nothing"] {
        let error = connect(address, small).await.unwrap_err();
        assert!(matches!(error.cause(), WsCause::Protocol(_) | WsCause::Lost(_)), "{what}: {error}");
    }
}

#[tokio::test]
async fn addresses_from_outside_are_guarded_and_mistakes_are_named() {
    let (address, _tasks) = server(|_, _| async { panic!("nobody is to come here") }).await;
    let error =
        connector().connect(&request(address).supplied(), SocketOptions::default()).await.unwrap_err();
    let forbidden = matches!(error.cause(), WsCause::Connect(Cause::Forbidden { .. }));
    assert!(forbidden && !error.may_pass(), "{error}");
    for (url, word) in [
        ("http://127.0.0.1/", "use ws or wss"),
        ("ws://me:pw@127.0.0.1/", "use a header"),
        ("no url", "cannot be read"),
    ] {
        let error = connector().connect(&Request::get(url), SocketOptions::default()).await.unwrap_err();
        assert!(error.to_string().contains(word) && !error.to_string().contains("pw"), "{error}");
    }
    for name in ["sec-websocket-key", "sec-websocket-extensions"] {
        let handshake = request(address).header(name, "mine");
        let error = connector().connect(&handshake, SocketOptions::default()).await.unwrap_err();
        assert!(error.to_string().contains("belongs to the handshake"), "{error}");
    }
    // A feed does not try such a thing again.
    let config = FeedConfig { request: request(address).supplied(), ..quick(address) };
    let (sender, _receiver) = ChannelConfig::new("test").open();
    let error = Feed::new(connector(), config).run(Each::new(sender, number)).await.unwrap_err();
    assert_eq!(error.attempts(), 1);
}

/// Compresses messages as servers do, within one window.
struct Packer(Compress);

impl Packer {
    fn new() -> Self {
        Self(Compress::new(Compression::default(), false))
    }

    /// A message's frames, compressed, with a ping between the two.
    fn text(&mut self, text: &[u8]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(text.len() + 64);
        self.0.compress_vec(text, &mut packed, FlushCompress::Sync).unwrap();
        assert_eq!(packed.split_off(packed.len() - 4), [0, 0, 0xff, 0xff]);
        let (first, second) = packed.split_at(packed.len() / 2);
        [frame(0x41, first), frame(0x89, b"?"), frame(0x80, second)].concat()
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..126 => out.push(length as u8),
        length => {
            out.push(127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out
}

/// Answers the handshake with these extensions and sends `frames` in the same breath. Returns what it was offered.
async fn accept_with(extensions: &'static str, frames: &[u8], stream: TcpStream) -> Option<String> {
    let (read, mut write) = stream.into_split();
    let server = ServerBuilder::new()
        .add_header("sec-websocket-extensions".parse().unwrap(), extensions.parse().unwrap())
        .unwrap();
    let (request, peer) =
        server.accept(tokio::io::join(read, std::io::Cursor::new(Vec::new()))).await.unwrap();
    let (mut read, answer) = peer.into_inner().into_inner();
    write.write_all(&[&answer.into_inner(), frames].concat()).await.unwrap();
    // Until the client goes.
    while read.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
    Some(request.headers().get("sec-websocket-extensions")?.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn compressed_messages_are_unpacked() {
    let texts: Vec<String> = (0..50).map(|n| format!("{{\"symbol\":\"BTC-USD\",\"n\":{n}}}")).collect();
    let expected = texts.clone();
    let (address, _tasks) = server(move |number, stream| {
        let texts = texts.clone();
        async move {
            let (mut packer, alone) = (Packer::new(), number == 1);
            let mut frames = Vec::new();
            for text in &texts {
                frames.extend(packer.text(text.as_bytes()));
                frames.extend(frame(0x81, text.as_bytes()));
                if alone {
                    packer = Packer::new();
                }
            }
            frames.extend(frame(0x88, &[0x03, 0xe8]));
            let agreed = if alone {
                "permessage-deflate; server_no_context_takeover; client_max_window_bits=12"
            } else {
                "permessage-deflate"
            };
            let offered = accept_with(agreed, &frames, stream).await.unwrap();
            assert!(offered.starts_with("permessage-deflate"), "{offered}");
        }
    })
    .await;
    for _ in 0..2 {
        let mut socket = connect(address, SocketOptions::default()).await.unwrap();
        assert!(socket.is_packed());
        for text in &expected {
            for _ in ["compressed", "as it is"] {
                assert_eq!(socket.next().await.unwrap().unwrap().text(), Some(text.as_str()));
            }
        }
        assert!(socket.next().await.unwrap().is_none());
        assert_eq!(socket.closed(), Some((1000, "")));
    }
}

#[tokio::test]
async fn compression_is_bounded_and_only_what_was_offered_is_taken() {
    let (address, _tasks) = server(|number, stream| async move {
        const DEFLATE: &str = "permessage-deflate";
        let offered = match number {
            // A bomb, nonsense, text that is none once it is unpacked.
            0 => accept_with(DEFLATE, &Packer::new().text(&vec![b'x'; 8 << 20]), stream).await,
            1 => accept_with(DEFLATE, &frame(0xc1, &[0xff; 20]), stream).await,
            2 => accept_with(DEFLATE, &Packer::new().text(&[0xff, 0xfe]), stream).await,
            3 => accept_with("permessage-deflate; level=9", &[], stream).await,
            4 => accept_with("x-own", &[], stream).await,
            _ => accept_with(DEFLATE, &[], stream).await,
        };
        assert_eq!(offered.is_some(), number < 5);
    })
    .await;
    let error = connect(address, SocketOptions::default()).await.unwrap().next().await.unwrap_err();
    let bounded =
        matches!(error.cause(), WsCause::TooLarge { bytes, limit, packed: true } if *bytes <= 2 * limit);
    assert!(bounded && error.to_string().contains("and more, unpacked"), "{error}");
    for word in ["cannot be unpacked", "invalid utf-8"] {
        let error = connect(address, SocketOptions::default()).await.unwrap().next().await.unwrap_err();
        assert!(matches!(error.cause(), WsCause::Protocol(_)) && error.to_string().contains(word), "{error}");
    }
    let plain = SocketOptions { unpack: false, ..SocketOptions::default() };
    for (options, word) in [
        (SocketOptions::default(), "`level=9` is no parameter"),
        (SocketOptions::default(), "`x-own`, which was not offered"),
        (plain, "none was offered"),
    ] {
        let error = connect(address, options).await.unwrap_err();
        assert!(matches!(error.cause(), WsCause::Protocol(_)) && error.to_string().contains(word), "{error}");
    }
}

/// Notes what it is told.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Deliver for Notes {
    fn opened(&mut self, number: u64) {
        self.0.lock().unwrap().push(format!("open {number}"));
    }

    fn message(&mut self, message: &Message) -> bool {
        self.0.lock().unwrap().push(message.text().unwrap_or("?").to_owned());
        message.text().is_some()
    }

    async fn flush(&mut self) -> Result<u64, Gone> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_feed_connects_again_and_says_so() {
    let (address, _tasks) = server(|number, stream| async move {
        if number == 1 {
            return;
        }
        let mut peer = accept(stream).await;
        let hello = hear(&mut peer).await.unwrap();
        assert_eq!(hello.as_text(), Some("subscribe"));
        say(&mut peer, Wire::text(format!("from {number}"))).await;
        say(&mut peer, Wire::binary(vec![0])).await;
        if number == 3 {
            goodbye(&mut peer).await;
        }
        // Otherwise it is gone without a word.
    })
    .await;
    let notes = Notes::default();
    let config = FeedConfig { hello: vec!["subscribe".into()], ..quick(address) };
    let feed = Feed::new(connector(), config);
    let state = feed.state();
    feed.run(notes.clone()).await.unwrap();
    let expected = ["open 1", "from 0", "?", "open 2", "from 2", "?", "open 3", "from 3", "?"];
    assert_eq!(*notes.0.lock().unwrap(), expected);
    let counts = state.counts();
    assert_eq!((counts.opened, counts.failures, counts.messages, counts.unknown), (3, 3, 6, 3));
    assert_eq!((counts.bytes, state.phase()), (3 * 7, FeedPhase::Ended));
}

#[tokio::test]
async fn a_feed_gives_up_after_its_attempts_and_leaves_a_dead_server_alone() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let (address, _tasks) = server(move |_, stream| {
        counter.fetch_add(1, Relaxed);
        async { drop(stream) }
    })
    .await;
    let (sender, _receiver) = ChannelConfig::new("test").open();
    let error = Feed::new(connector(), quick(address)).run(Each::new(sender, number)).await.unwrap_err();
    assert_eq!((error.attempts(), asked.load(Relaxed)), (3, 3), "{error}");
    // With a breaker that opens at the second failure and for long, a third attempt is not made.
    let breaker =
        BreakerConfig { outcomes_min: 2, open_first: LONG, open_max: LONG, ..BreakerConfig::default() };
    let feed = Feed::new(connector(), FeedConfig { breaker, ..quick(address) });
    let state = feed.state();
    let (sender, _receiver) = ChannelConfig::new("test").open();
    let run = feed.run(Each::new(sender, number));
    assert!(tokio::time::timeout(4 * SHORT, run).await.is_err(), "it waits");
    assert_eq!((asked.load(Relaxed), state.counts().held_back, state.counts().failures), (5, 1, 2));
}

/// A server that sends so many numbers as fast as they are taken.
async fn counting(numbers: u64) -> (SocketAddr, JoinSet<()>) {
    server(move |_, stream| async move {
        let mut peer = accept(stream).await;
        for number in 0..numbers {
            say(&mut peer, Wire::text(number.to_string())).await;
        }
        goodbye(&mut peer).await;
    })
    .await
}

#[tokio::test]
async fn a_slow_reader_slows_the_server_down_and_loses_nothing() {
    const NUMBERS: u64 = 20_000;
    let (address, _tasks) = counting(NUMBERS).await;
    let (sender, mut batches) = ChannelConfig::new("trades").items(2).open();
    let feed = Feed::new(connector(), quick(address));
    let state = feed.state();
    let read = async {
        let mut next = 0;
        let mut full = 0;
        while let Some(batch) = batches.recv().await {
            for number in batch {
                assert_eq!(number, next);
                next += 1;
            }
            full = full.max(batches.snapshot().items);
            tokio::task::yield_now().await;
        }
        (next, full)
    };
    let (ended, (read, full)) = tokio::join!(feed.run(Batches::new(sender, number)), read);
    ended.unwrap();
    assert_eq!((read, state.counts().messages, state.counts().refused), (NUMBERS, NUMBERS, 0));
    assert!(full <= 2);
}

#[tokio::test]
async fn of_quotes_the_newest_are_kept_and_the_rest_counted() {
    const NUMBERS: u64 = 20_000;
    let (address, _tasks) = counting(NUMBERS).await;
    let (sender, mut quotes) =
        ChannelConfig::new("quotes").items(10).when_full(WhenFull::Conflate).key(|n: &u64| n % 10).open();
    let read = async {
        let mut newest = [None; 10];
        let mut received = 0;
        while let Some(number) = quotes.recv().await {
            let place = &mut newest[(number % 10) as usize];
            assert!(place.is_none_or(|older| older < number));
            *place = Some(number);
            received += 1;
            tokio::task::yield_now().await;
        }
        (received, newest, quotes.snapshot().counts)
    };
    let run = Feed::new(connector(), quick(address)).run(Each::new(sender, number));
    let (ended, (received, newest, counts)) = tokio::join!(run, read);
    ended.unwrap();
    assert_eq!(received + counts.conflated, NUMBERS);
    assert!(counts.items_max <= 10 && counts.conflated > 0, "{counts:?}");
    assert_eq!(newest, std::array::from_fn(|n| Some(NUMBERS - 10 + n as u64)));
}

#[tokio::test]
async fn a_feed_ends_when_nobody_reads() {
    let (address, _tasks) = server(|_, stream| async {
        let mut peer = accept(stream).await;
        for number in 0..u64::MAX {
            say(&mut peer, Wire::text(number.to_string())).await;
            if tokio::time::timeout(Duration::ZERO, hear(&mut peer)).await.is_ok() {
                return;
            }
        }
    })
    .await;
    let (sender, mut numbers) = ChannelConfig::new("test").open();
    let run = Feed::new(connector(), quick(address)).run(Each::new(sender, number));
    let read = async move { assert_eq!(numbers.recv().await, Some(0)) };
    let (ended, ()) = tokio::join!(run, read);
    ended.unwrap();
}
