//! The server of the scenario: answers after a set time, and in one of its modes refuses some first tries.
//!
//! | path | answer |
//! |---|---|
//! | `/bars/ID` | some 2 KB of JSON, after the latency |
//! | `/flaky/RUN/ID` | the same; the first try of 5 % of the ids is 429 with `Retry-After: 1`, of 1 % is 500 |
//! | `/expect/N` | what a client must have summed up over the ids below N |
//! | `/given/RUN` | how many answers of status 200 the run got from `/flaky` |
//!
//! It knows what its scenario needs of HTTP/1.1 and no more, so that it takes little of the two cores that the
//! client is measured on.

use crate::{Rng, ScenarioError};
use springtide_runtime::locks::{Mutex, lock};
use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

/// Different answers; an id's answer is that of its remainder.
pub(super) const ANSWERS: u64 = 1_000;
/// Bars in each.
const BARS: u64 = 24;
/// Longest head of a request.
const HEAD_MAX: usize = 64 << 10;

/// Listens on a free port until `stop` returns.
pub(super) fn serve(
    latency: Duration,
    announce: &mut dyn FnMut(&str),
    stop: &mut dyn FnMut(),
) -> Result<(), ScenarioError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| ScenarioError::work(format!("the server cannot start: {e}")))?;
    let listener = runtime
        .block_on(async { listen() })
        .map_err(|e| ScenarioError::work(format!("the server cannot listen: {e}")))?;
    let address = listener.local_addr().map_err(ScenarioError::work)?;
    let (ended, end) = oneshot::channel::<()>();
    let state = Arc::new(State::new(latency));
    let thread = std::thread::Builder::new().name("server".into());
    let thread = thread.spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = accept(listener, state) => {}
                _ = end => {}
            }
        });
    });
    let thread = thread.map_err(ScenarioError::work)?;
    announce(&address.to_string());
    stop();
    // It hears of the end by this being gone, too.
    drop(ended);
    thread.join().map_err(|_| ScenarioError::work("the server panicked"))
}

/// A line long enough for all of a client's connections: what does not fit comes again a second later.
fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(4_096)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        // A connection that could not be accepted is the client's to notice.
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, Arc::clone(&state)));
        }
        while connections.try_join_next().is_some() {}
    }
}

struct State {
    latency: Duration,
    answers: Vec<Answer>,
    runs: Mutex<HashMap<u64, Run>>,
}

struct Answer {
    bytes: Vec<u8>,
    /// Sum of the volumes in ten-thousandths.
    volume: u64,
}

/// What one run of a client got from `/flaky`.
#[derive(Default)]
struct Run {
    refused: HashSet<u64>,
    given: u64,
}

impl State {
    fn new(latency: Duration) -> Self {
        Self { latency, answers: (0..ANSWERS).map(answer).collect(), runs: Mutex::default() }
    }

    fn answer(&self, id: u64) -> &Answer {
        &self.answers[(id % ANSWERS) as usize]
    }

    /// Status of this try.
    fn status(&self, run: u64, id: u64) -> u16 {
        let mut runs = lock(&self.runs);
        let run = runs.entry(run).or_default();
        let chance = Rng(id.wrapping_mul(2_654_435_761) + 5).below(100);
        if chance < 6 && run.refused.insert(id) {
            return if chance < 5 { 429 } else { 500 };
        }
        run.given += 1;
        200
    }

    fn given(&self, run: u64) -> u64 {
        let runs = lock(&self.runs);
        runs.get(&run).map_or(0, |run| run.given)
    }
}

/// One of the answers: a day of hourly bars, seeded by its number.
fn answer(number: u64) -> Answer {
    let mut random = Rng(number + 99);
    let mut volume = 0;
    let mut text = format!("{{\"id\":{number},\"symbol\":\"SYM{number:04}\",\"interval\":\"1h\",\"bars\":[");
    let mut open = 1_000_000 + random.below(6_000_000) as i64;
    for bar in 0..BARS {
        let close = open + random.below(2_001) as i64 - 1_000;
        let (high, low) = (open.max(close) + 500, open.min(close) - 500);
        let traded = 1 + random.below(9_000_000);
        volume += traded;
        text += if bar > 0 { "," } else { "" };
        let _ = write!(text, "{{\"t\":{}", 1_704_067_200 + bar * 3_600);
        for (name, hundredths) in [("o", open), ("h", high), ("l", low), ("c", close)] {
            let _ = write!(text, ",\"{name}\":{}.{:02}", hundredths / 100, hundredths % 100);
        }
        let _ = write!(text, ",\"v\":{}.{:04}}}", traded / 10_000, traded % 10_000);
        open = close;
    }
    text += "]}";
    Answer { bytes: message("200 OK", "", &text), volume }
}

fn message(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Answers requests one after another until the client closes.
async fn connection(mut stream: TcpStream, state: Arc<State>) {
    // Answers are written whole; waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let mut head = Vec::with_capacity(2048);
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut head).await {
                Ok(count) if count > 0 && head.len() <= HEAD_MAX => {}
                _ => return,
            }
        }
        let text = String::from_utf8_lossy(&head);
        let path = text.split(' ').nth(1).unwrap_or_default();
        let made;
        let bytes = match respond(path, &state).await {
            Reply::Stored(id) => &state.answer(id).bytes,
            Reply::Made(message) => {
                made = message;
                &made
            }
        };
        let last = text.lines().any(|line| line.eq_ignore_ascii_case("connection: close"));
        if stream.write_all(bytes).await.is_err() || last {
            return;
        }
    }
}

enum Reply {
    Stored(u64),
    Made(Vec<u8>),
}

async fn respond(path: &str, state: &State) -> Reply {
    let mut parts = path.trim_start_matches('/').split('/');
    let kind = parts.next().unwrap_or_default();
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok()).unwrap_or(0);
    match kind {
        "bars" => {
            let id = number();
            tokio::time::sleep(state.latency).await;
            Reply::Stored(id)
        }
        "flaky" => {
            let (run, id) = (number(), number());
            tokio::time::sleep(state.latency).await;
            match state.status(run, id) {
                429 => Reply::Made(message("429 Too Many Requests", "retry-after: 1\r\n", "{}")),
                500 => Reply::Made(message("500 Internal Server Error", "", "{}")),
                _ => Reply::Stored(id),
            }
        }
        "expect" => {
            let count = number();
            let volume: u64 = (0..count).map(|id| state.answer(id).volume).sum();
            let body = format!("{{\"bars\":{},\"vol_e4\":{volume}}}", count * BARS);
            Reply::Made(message("200 OK", "", &body))
        }
        "given" => Reply::Made(message("200 OK", "", &format!("{{\"given\":{}}}", state.given(number())))),
        _ => Reply::Made(message("404 Not Found", "", "{}")),
    }
}
