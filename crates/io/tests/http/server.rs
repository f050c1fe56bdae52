//! A server that answers each request with a script: bytes, pauses, and ways to end a connection.

use springtide_io::http::{Client, ClientConfig, Deadlines};
use springtide_runtime::limit::RetryConfig;
use std::{
    net::SocketAddr,
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

/// What a server does with a connection, step by step.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// Long enough that whoever waits for it notices.
    Pause(Duration),
    /// Nothing more, ever; the connection stays open.
    Stall,
    /// Ends the connection in good order.
    Close,
    /// Ends it with a reset.
    Reset,
    /// Says that nothing more comes, and goes on reading.
    HalfClose,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Number of the connection it came on, and of the request on it.
    pub connection: usize,
    pub on_connection: usize,
    /// How many requests came before it, in all.
    pub before: usize,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

type Script = dyn Fn(&Received) -> Vec<Step> + Send + Sync;

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Received>>,
}

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub async fn start(script: impl Fn(&Received) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(script), Arc::clone(&seen)));
        Self { address, seen, _tasks: tasks }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Relaxed)
    }

    pub fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let number = seen.connections.fetch_add(1, Relaxed);
        connections.spawn(serve(stream, number, Arc::clone(&script), Arc::clone(&seen)));
    }
}

async fn serve(mut stream: TcpStream, connection: usize, script: Arc<Script>, seen: Arc<Seen>) {
    let mut buffer = Vec::new();
    for on_connection in 0.. {
        let Some(mut received) = receive(&mut stream, &mut buffer).await else { return };
        (received.connection, received.on_connection) = (connection, on_connection);
        {
            let mut requests = seen.requests.lock().unwrap();
            received.before = requests.len();
            requests.push(received.clone());
        }
        for step in script(&received) {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Pause(time) => tokio::time::sleep(time).await,
                Step::Stall => std::future::pending().await,
                Step::Close => return,
                Step::Reset => {
                    // Dropping a socket with unread input or no time to linger resets the connection.
                    let _ = stream.set_zero_linger();
                    return;
                }
                Step::HalfClose => {
                    let _ = stream.shutdown().await;
                }
            }
        }
    }
}

async fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < head + 4 + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[head + 4..head + 4 + length].to_vec();
    buffer.drain(..head + 4 + length);
    Some(Received { method, path, headers, body, connection: 0, on_connection: 0, before: 0 })
}

/// An answer with its true length.
pub fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<Step> {
    vec![Step::Send(answer_bytes(status, headers, body))]
}

pub fn answer_bytes(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

pub fn ok(body: &[u8]) -> Vec<Step> {
    answer("200 OK", &[], body)
}

pub fn send(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Send(bytes.into())
}

/// Retries that cost no time.
pub const QUICK: RetryConfig = RetryConfig {
    attempts_max: 3,
    base: Duration::from_millis(1),
    cap: Duration::from_millis(5),
    retry_after_max: Duration::from_secs(5),
};

/// Deadlines no machine is too slow for.
pub const LONG: Deadlines = Deadlines {
    connect: Duration::from_secs(60),
    headers: Duration::from_secs(60),
    body: Duration::from_secs(60),
    total: Duration::from_secs(120),
};

/// A deadline for what never happens: it passes on every machine alike.
pub const SHORT: Duration = Duration::from_millis(150);

pub fn config() -> ClientConfig {
    ClientConfig { deadlines: LONG, retry: QUICK, breaker: None, ..ClientConfig::default() }
}

pub fn client() -> Client {
    Client::new(config()).unwrap()
}

pub fn once() -> Client {
    Client::new(ClientConfig { retry: RetryConfig::NEVER, ..config() }).unwrap()
}
