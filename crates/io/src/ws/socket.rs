//! One connection.

use super::{
    deflate::{self, Agreed},
    error::{WsCause, WsError},
    transport::Transport,
};
use crate::http::{
    Cause, ClientConfig, ClientError, Phase, Request, Version,
    connect::{Dialer, Origin},
};
use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use hyper::{
    Uri,
    header::{HeaderValue, SEC_WEBSOCKET_EXTENSIONS, USER_AGENT},
};
use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};
use tokio_websockets::{ClientBuilder, Limits, WebSocketStream};

/// How long the other side is given to answer a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Limits of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// When nothing at all has come for half of this, a ping is sent; when nothing has come for all of it, the
    /// connection is taken for dead.
    pub idle: Duration,
    /// Largest message, unpacked, in bytes.
    pub message_max: usize,
    /// Offer compression (permessage-deflate) and unpack what comes. It saves the network work and costs both sides
    /// processor time.
    pub unpack: bool,
}

impl Default for SocketOptions {
    /// 30 s, 4 MiB, compression offered.
    fn default() -> Self {
        Self { idle: Duration::from_secs(30), message_max: 4 << 20, unpack: true }
    }
}

/// Makes connections, with the names, address rules, certificates and deadlines of an HTTP client's settings.
/// Clones share them.
#[derive(Clone)]
pub struct Connector {
    inner: Arc<Shared>,
}

struct Shared {
    dialer: Dialer,
    config: ClientConfig,
}

impl Connector {
    /// Of an HTTP client's settings it uses user agent, deadlines, the largest head, address rule, authorities and
    /// resolver.
    ///
    /// # Errors
    /// When a certificate is unusable.
    pub fn new(config: &ClientConfig) -> Result<Self, ClientError> {
        // WebSocket over HTTP/2 is another protocol (RFC 8441), which venues do not speak.
        let config = ClientConfig { version: Version::Http1, ..config.clone() };
        let dialer = Dialer::new(&config).map_err(ClientError)?;
        Ok(Self { inner: Arc::new(Shared { dialer, config }) })
    }

    /// Connects. Of the request it uses URL (`ws` or `wss`), headers, address rule and deadlines.
    ///
    /// # Errors
    /// When there is no connection in time, or the server does not switch to WebSocket.
    pub async fn connect(&self, request: &Request, options: SocketOptions) -> Result<Socket, WsError> {
        let shown = request.shown_url();
        let bad =
            |what: String| WsError::new(&shown, Phase::Request, WsCause::Connect(Cause::BadRequest(what)));
        let config = &self.inner.config;
        let deadlines = request.deadlines.unwrap_or(config.deadlines);
        let deadline = Instant::now() + deadlines.connect;
        if let Some(problem) = &request.problem {
            return Err(bad(problem.clone()));
        }
        let (origin, builder) = self.prepared(request, options).map_err(bad)?;
        let late = |what| WsCause::Connect(Cause::Timeout { what, limit: deadlines.connect });
        let dialed = self.inner.dialer.dial(&origin, deadline, deadlines.connect).await;
        let dialed = dialed.map_err(|(phase, cause)| WsError::new(&shown, phase, WsCause::Connect(cause)))?;
        let wire = Transport::new(dialed.wire, config.head_max);
        let failed = |error| WsError::of(&shown, Phase::Headers, error, options.message_max);
        let (mut stream, answer) = match timeout_at(deadline, builder.connect_on(wire)).await {
            Ok(opened) => opened.map_err(failed)?,
            Err(_) => return Err(WsError::new(&shown, Phase::Headers, late("no answer to the handshake"))),
        };
        let agreed = agreed(answer.headers().get(SEC_WEBSOCKET_EXTENSIONS), options.unpack);
        let agreed = agreed.map_err(|what| WsError::new(&shown, Phase::Headers, WsCause::Protocol(what)))?;
        stream.get_mut().begin_frames(agreed, options.message_max);
        let half = options.idle / 2;
        let quiet = Box::pin(sleep(half));
        let packed = agreed.is_some();
        Ok(Socket { stream, shown, options, packed, quiet, heard: false, asked: false, closed: None })
    }

    /// Where to connect to, and what to say there.
    fn prepared(
        &self,
        request: &Request,
        options: SocketOptions,
    ) -> Result<(Origin, ClientBuilder<'static>), String> {
        let config = &self.inner.config;
        let mut url = request.url.clone()?;
        let scheme = match url.scheme() {
            "ws" => "http",
            "wss" => "https",
            other => return Err(format!("`{other}` is not supported: use ws or wss")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("user and password cannot stand in the URL: use a header".into());
        }
        url.set_fragment(None);
        let uri: Uri = url.as_str().parse().map_err(|_| "the URL cannot stand in a request".to_owned())?;
        // The only other change that is possible between the four schemes is none.
        let _ = url.set_scheme(scheme);
        let rule = request.addresses.as_ref().unwrap_or(&config.addresses);
        let origin = Origin::of(&url, rule).map_err(|cause| cause.to_string())?;
        let limits = Limits::default().max_payload_len(Some(options.message_max));
        let mut builder = ClientBuilder::from_uri(uri).limits(limits);
        if !request.headers.contains_key(USER_AGENT) {
            let agent = config.user_agent.parse().map_err(|_| "the user agent is no header".to_owned())?;
            builder = builder.add_header(USER_AGENT, agent).map_err(|e| e.to_string())?;
        }
        for (name, value) in &request.headers {
            let belongs = || format!("the header `{name}` belongs to the handshake");
            if name == SEC_WEBSOCKET_EXTENSIONS {
                return Err(belongs());
            }
            builder = builder.add_header(name.clone(), value.clone()).map_err(|_| belongs())?;
        }
        if options.unpack {
            let offer = HeaderValue::from_static(deflate::OFFER);
            builder = builder.add_header(SEC_WEBSOCKET_EXTENSIONS, offer).map_err(|e| e.to_string())?;
        }
        Ok((origin, builder))
    }
}

/// What the answer says of extensions.
fn agreed(value: Option<&HeaderValue>, offered: bool) -> Result<Option<Agreed>, String> {
    let Some(value) = value else { return Ok(None) };
    let text = value.to_str().map_err(|_| "the server's list of extensions is no text".to_owned())?;
    if !offered && !text.trim().is_empty() {
        return Err(format!("the server uses extensions (`{text}`), none was offered"));
    }
    Agreed::parse(text)
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("config", &self.inner.config).finish()
    }
}

/// A whole message.
#[derive(Clone)]
pub struct Message {
    inner: tokio_websockets::Message,
}

impl Message {
    /// Its bytes; UTF-8 in a text message.
    pub fn bytes(&self) -> &[u8] {
        self.inner.as_payload()
    }

    /// Its text; none of a binary message.
    pub fn text(&self) -> Option<&str> {
        self.inner.as_text()
    }

    /// Its bytes, which keep what was received with them in memory.
    pub fn into_bytes(self) -> Bytes {
        self.inner.into_payload().into()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Messages may hold what is nobody's business.
        let kind = if self.inner.is_text() { "text" } else { "binary" };
        write!(f, "Message({kind}, {} bytes)", self.bytes().len())
    }
}

/// An open connection. Dropping it ends it without a word; [`Socket::close`] says goodbye.
///
/// Pings are answered, and silence is noticed, while it is read from.
pub struct Socket {
    stream: WebSocketStream<Transport>,
    /// The URL without secrets.
    shown: String,
    options: SocketOptions,
    packed: bool,
    /// Ends when nothing came for half of the idle time.
    quiet: Pin<Box<Sleep>>,
    /// Something came since `quiet` was set.
    heard: bool,
    /// A ping is under way.
    asked: bool,
    closed: Option<(u16, String)>,
}

impl Socket {
    /// The next message; none when the other side has closed the connection.
    ///
    /// # Errors
    /// When the connection broke, fell silent, or what came is too large or no WebSocket.
    pub async fn next(&mut self) -> Result<Option<Message>, WsError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Socket::next`], from within a future.
    ///
    /// # Errors
    /// As [`Socket::next`].
    #[inline]
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, WsError>> {
        loop {
            match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Ready(Some(Ok(inner))) => {
                    self.heard = true;
                    if inner.is_text() || inner.is_binary() {
                        return Poll::Ready(Ok(Some(Message { inner })));
                    }
                    if let Some((code, reason)) = inner.as_close() {
                        self.closed = Some((code.into(), reason.to_owned()));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.failed(error))),
                Poll::Ready(None) if self.closed.is_some() => return Poll::Ready(Ok(None)),
                Poll::Ready(None) => {
                    let cause = WsCause::Lost(io::ErrorKind::UnexpectedEof.into());
                    return Poll::Ready(Err(WsError::new(&self.shown, Phase::Body, cause)));
                }
                Poll::Pending => return self.poll_silence(cx).map(Err),
            }
        }
    }

    /// Whether the server may compress its messages: it took up the offer of [`SocketOptions::unpack`].
    pub fn is_packed(&self) -> bool {
        self.packed
    }

    /// Code and reason of the other side's close, where it sent one.
    pub fn closed(&self) -> Option<(u16, &str)> {
        self.closed.as_ref().map(|(code, reason)| (*code, reason.as_str()))
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// When the connection broke, or the other side takes nothing for the idle time.
    pub async fn send(&mut self, text: impl Into<String>) -> Result<(), WsError> {
        let message = tokio_websockets::Message::text(text.into());
        let stream = &mut self.stream;
        let sent = timeout(self.options.idle, async {
            poll_fn(|cx| Pin::new(&mut *stream).poll_ready(cx)).await?;
            Pin::new(&mut *stream).start_send(message)?;
            poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
        });
        match sent.await {
            Ok(sent) => sent.map_err(|error| self.failed(error)),
            Err(_) => Err(self.silent()),
        }
    }

    /// Says goodbye and waits shortly for the answer. What comes meanwhile is dropped.
    pub async fn close(mut self) {
        // Whatever comes of it, the connection ends here.
        let _ = timeout(CLOSE_LIMIT, poll_fn(|cx| Pin::new(&mut self.stream).poll_close(cx))).await;
    }

    /// Nothing is there to read: asks whether the other side lives, or finds that it does not.
    #[cold]
    #[inline(never)]
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<WsError> {
        let half = self.options.idle / 2;
        if std::mem::take(&mut self.heard) {
            self.asked = false;
            self.quiet.as_mut().reset(Instant::now() + half);
        }
        loop {
            ready!(self.quiet.as_mut().poll(cx));
            if std::mem::replace(&mut self.asked, true) {
                return Poll::Ready(self.silent());
            }
            self.quiet.as_mut().reset(Instant::now() + half);
            let ping = tokio_websockets::Message::ping(Bytes::new());
            let mut stream = Pin::new(&mut self.stream);
            if let Err(error) = stream.as_mut().start_send(ping) {
                return Poll::Ready(self.failed(error));
            }
            // What cannot be written now is written by the next reading.
            if let Poll::Ready(Err(error)) = stream.poll_flush(cx) {
                return Poll::Ready(self.failed(error));
            }
        }
    }

    fn failed(&self, error: tokio_websockets::Error) -> WsError {
        WsError::of(&self.shown, Phase::Body, error, self.options.message_max)
    }

    fn silent(&self) -> WsError {
        WsError::new(&self.shown, Phase::Body, WsCause::Silent(self.options.idle))
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("url", &self.shown)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
