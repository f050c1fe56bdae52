//! One attempt: gates, connection, head, redirects.

use super::{
    body::{Failed, Reader},
    client::{Call, FailedAttempt},
    connect::Origin,
    connections::Time,
    decode::{ACCEPTED, Coding},
    error::{Cause, Phase, after},
    host::{Host, Lease, Payload, Unanswered, Watch},
    redact,
    slots::Slot,
    words,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{self, HeaderValue},
    http::uri::PathAndQuery,
};
use percent_encoding::percent_decode_str;
use springtide_runtime::locks::lock;
use springtide_runtime::{
    exec::Named,
    limit::{Ask, Feedback, Outcome, PauseReason},
    permit::Verdict,
};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Most of a refusal's body that is kept, in bytes.
const EXCERPT_MAX: usize = 64 << 10;
/// Dead connections that one request may come across.
const STALE_MAX: u32 = 3;
/// How long a ban lasts when its length was not told.
const BAN_DEFAULT: std::time::Duration = std::time::Duration::from_secs(120);

/// An answer whose head is there.
pub(super) struct Opened {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) url: Url,
    pub(super) reader: Reader,
}

/// What is sent on one hop.
struct Hop {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

/// One attempt of a call.
pub(super) struct Exchange<'a> {
    call: &'a mut Call,
}

impl<'a> Exchange<'a> {
    /// Runs the attempt; follows redirects.
    pub(super) async fn run(call: &'a mut Call) -> Result<Opened, FailedAttempt> {
        let mut hop = first_hop(call)?;
        let redirects_max = call.inner.config.redirects_max;
        let mut exchange = Self { call };
        for redirects in 0.. {
            let mut opened = exchange.hop(&hop).await?;
            let Some(target) = redirect(&opened, &hop)? else { return exchange.judge(opened).await };
            if redirects == redirects_max {
                let why = format!("more than {redirects_max} in a row");
                return Err((Phase::Headers, Cause::Redirect(why)).into());
            }
            opened.reader.drain(EXCERPT_MAX as u64).await;
            hop = hop.follow(opened.status, target);
        }
        unreachable!("the loop returns")
    }

    /// One request and the head of its answer.
    async fn hop(&mut self, hop: &Hop) -> Result<Opened, FailedAttempt> {
        let call = &mut *self.call;
        let config = &call.inner.config;
        let rule = call.request.addresses.as_ref().unwrap_or(&config.addresses);
        let bad = |cause| FailedAttempt::from((Phase::Request, cause));
        let host = Origin::of(&hop.url, rule).and_then(|origin| call.inner.host(origin)).map_err(bad)?;
        call.host = Some(Arc::clone(&host));
        host.counts.requests.fetch_add(1, Relaxed);
        if call.is_first_attempt() {
            lock(&host.budget).deposit(call.inner.now());
        }
        let began = Instant::now();
        let (mut watch, mut slot) = self.pass(&host).await?;
        let call = &mut *self.call;
        call.timing.queued = began.elapsed();
        let sent = match self.send(&host, hop).await {
            Ok(sent) => sent,
            Err(failed) => {
                let failed = FailedAttempt::from(failed);
                watch.report(Outcome::Failure, self.call.inner.now());
                if matches!(failed.cause, Cause::Timeout { .. }) {
                    slot.says(Verdict::Overloaded);
                }
                return Err(failed);
            }
        };
        self.opened(&host, hop, sent, slot, &mut watch).map_err(FailedAttempt::from)
    }

    /// Waits until limits, breaker and places let the request through.
    async fn pass(&mut self, host: &Arc<Host>) -> Result<(Watch, Slot), FailedAttempt> {
        let call = &*self.call;
        let queue = |cause| FailedAttempt::from((Phase::Queue, cause));
        if let Some(limiter) = &call.inner.config.limiter {
            let request = &call.request;
            let key = request.limit_key.as_ref().unwrap_or(&host.name);
            // What others were told to wait for longer than this request may: no reason to wait for it in vain.
            let patience = request.retry.unwrap_or(call.inner.config.retry).retry_after_max;
            if let Some((left, why)) = limiter.paused(key)
                && why != PauseReason::Guessed
                && left > patience
            {
                return Err(queue(Cause::Paused { key: Arc::clone(key), until: after(left) }));
            }
            let ask = Ask {
                key: Arc::clone(key),
                class: call.class,
                owner: call.owner,
                label: call.label.clone(),
                cost: request.cost,
            };
            let grant = limiter.acquire_before(ask, call.clock.end).named(host.waits.rate.clone());
            grant.await.map_err(|error| queue(error.into()))?;
        }
        let take = Slot::take(&call.inner.permits, &host.name, call.class, call.owner, call.label.clone());
        let slot = match timeout_at(call.clock.end, take).named(host.waits.place.clone()).await {
            Ok(slot) => slot.map_err(queue)?,
            Err(_) => return Err(queue(Cause::Deadline(call.clock.deadlines.total))),
        };
        let watch = host.admit(call.inner.now()).map_err(queue)?;
        Ok((watch, slot))
    }

    /// Sends on a connection; on another one where a used one turns out to be dead.
    async fn send(&mut self, host: &Arc<Host>, hop: &Hop) -> Result<(Response<Incoming>, Lease), Failed> {
        let mut stale = 0;
        loop {
            let mut lease = self.lease(host, stale > 0).await?;
            let call = &mut *self.call;
            let began = Instant::now();
            let limit = call.clock.deadlines.headers;
            let exchanged = timeout_at(call.clock.within(limit), async {
                // A connection that died at rest shows it here, before anything is sent. A new one takes a request
                // before it was asked for one.
                if lease.reused {
                    lease.ready().await.map_err(|error| Unanswered { error, unsent: true })?;
                }
                let request = hop.request(host, lease.is_http2());
                lease.send(request).await
            });
            let Unanswered { error, unsent } = match exchanged.named(call.places.headers.clone()).await {
                Ok(Ok(response)) => {
                    call.timing.headers = began.elapsed();
                    return Ok((response, lease));
                }
                Ok(Err(unanswered)) => unanswered,
                Err(_) => return Err((Phase::Headers, call.clock.late("no answer", limit))),
            };
            let unsent = unsent || is_refused(&error);
            let repeat = unsent || call.request.may_repeat();
            if !(lease.reused && repeat && stale < STALE_MAX && is_closed(&error)) {
                let phase = if unsent { Phase::Connect } else { Phase::Headers };
                return Err((phase, Cause::Transport(error)));
            }
            stale += 1;
            host.counts.stale.fetch_add(1, Relaxed);
            lease.discard();
        }
    }

    async fn lease(&mut self, host: &Arc<Host>, fresh: bool) -> Result<Lease, Failed> {
        let call = &mut *self.call;
        let limit = call.clock.deadlines.connect;
        let began = Instant::now();
        let time = Time { deadline: call.clock.within(limit), limit };
        let leased = host.lease(&call.inner.means, time, fresh).named(host.waits.connection.clone()).await;
        let lease = leased.map_err(|(phase, cause)| match cause {
            Cause::Timeout { what, limit } => (phase, call.clock.late(what, limit)),
            cause => (phase, cause),
        })?;
        if lease.reused {
            host.counts.reused.fetch_add(1, Relaxed);
        }
        if lease.waited {
            call.timing.connect = Some(began.elapsed());
        }
        Ok(lease)
    }

    /// From a head to something that can be read.
    fn opened(
        &mut self,
        host: &Arc<Host>,
        hop: &Hop,
        (response, lease): (Response<Incoming>, Lease),
        mut slot: Slot,
        watch: &mut Watch,
    ) -> Result<Opened, Failed> {
        let call = &*self.call;
        host.counts.answers.fetch_add(1, Relaxed);
        let (parts, incoming) = response.into_parts();
        let good = !parts.status.is_server_error();
        watch.report(if good { Outcome::Success } else { Outcome::Failure }, call.inner.now());
        slot.says(match parts.status.as_u16() {
            429 | 503 | 529 => Verdict::Overloaded,
            500.. => Verdict::Unrelated,
            _ => Verdict::Answered,
        });
        self.hear(host, parts.status, &parts.headers);
        let call = &*self.call;
        let named = parts.headers.get(header::CONTENT_ENCODING).map(|v| v.to_str().unwrap_or("(not text)"));
        // A range is a part of the packed bytes, which cannot be unpacked alone.
        let coding = if call.inner.config.unpack && parts.status != StatusCode::PARTIAL_CONTENT {
            Coding::parse(named).map_err(|other| {
                (Phase::Headers, Cause::Coding(format!("`{other}` is not among {ACCEPTED}, deflate")))
            })?
        } else {
            None
        };
        let limit = call.request.body_max.unwrap_or(call.inner.config.body_max);
        let reader = Reader::new(incoming, (lease, slot), Arc::clone(host), call.clock, coding, limit)?;
        Ok(Opened { status: parts.status, headers: parts.headers, url: hop.url.clone(), reader })
    }

    /// Tells the rate limiter what the answer says of limits.
    fn hear(&self, host: &Host, status: StatusCode, headers: &HeaderMap) {
        let call = &*self.call;
        let Some(limiter) = &call.inner.config.limiter else { return };
        let key = call.request.limit_key.as_ref().unwrap_or(&host.name);
        let now = jiff::Timestamp::now();
        let feedback = match status.as_u16() {
            429 | 503 | 529 => Feedback::Throttled { retry_after: words::retry_after(headers, now) },
            418 => Feedback::Banned { lasts: words::retry_after(headers, now).unwrap_or(BAN_DEFAULT) },
            _ => Feedback::Accepted,
        };
        limiter.hear(key, feedback);
        let weight = call.inner.config.weights_per_minute.get(&host.origin.host).copied();
        words::left(headers, weight, now).into_iter().for_each(|left| limiter.observe(key, left));
    }

    /// An answer as such, or a refusal.
    async fn judge(&mut self, mut opened: Opened) -> Result<Opened, FailedAttempt> {
        let refused = opened.status.as_u16() >= 400 && !self.call.request.any_status;
        if !refused {
            return Ok(opened);
        }
        let body = opened.reader.excerpt(EXCERPT_MAX).await;
        let cause = Cause::Status { status: opened.status, body };
        Err(FailedAttempt {
            phase: Phase::Headers,
            cause,
            headers: Some(Box::new(opened.headers)),
            sent: true,
        })
    }
}

/// A connection that was closed under us, rather than one on which something went wrong.
fn is_closed(error: &hyper::Error) -> bool {
    error.is_closed() || error.is_canceled() || error.is_incomplete_message() || {
        let below = std::error::Error::source(error);
        let io = below.and_then(|below| below.downcast_ref::<std::io::Error>());
        io.is_some_and(|io| {
            use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
            matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
        }) || below.is_some_and(is_goaway)
    }
}

/// HTTP/2 said that it did nothing for this stream (RFC 9113, 8.7).
fn is_refused(error: &hyper::Error) -> bool {
    let below = std::error::Error::source(error).and_then(|below| below.downcast_ref::<h2::Error>());
    below.is_some_and(|error| error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// HTTP/2 said that it will not serve this stream.
fn is_goaway(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<h2::Error>().is_some_and(|error| {
        error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM) || error.is_io()
    })
}

fn first_hop(call: &Call) -> Result<Hop, FailedAttempt> {
    let request = &call.request;
    let bad = |problem: String| FailedAttempt::from((Phase::Request, Cause::BadRequest(problem)));
    let mut url = request.url.clone().map_err(bad)?;
    let mut headers = request.headers.clone();
    let config = &call.inner.config;
    if !headers.contains_key(header::USER_AGENT) {
        headers.insert(header::USER_AGENT, call.inner.agent.clone());
    }
    if !headers.contains_key(header::ACCEPT) {
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    }
    let unpack = config.unpack && !headers.contains_key(header::RANGE);
    if unpack && !headers.contains_key(header::ACCEPT_ENCODING) {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    }
    if let Some(value) = basic(&mut url)
        && !headers.contains_key(header::AUTHORIZATION)
    {
        headers.insert(header::AUTHORIZATION, value);
    }
    url.set_fragment(None);
    Ok(Hop { method: request.method.clone(), url, headers, body: request.body.clone() })
}

/// User information of a URL becomes a header and leaves the URL.
fn basic(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pair = format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()));
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Where an answer redirects to.
fn redirect(opened: &Opened, hop: &Hop) -> Result<Option<Url>, FailedAttempt> {
    if !matches!(opened.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let refuse = |why: String| FailedAttempt::from((Phase::Headers, Cause::Redirect(why)));
    let Some(location) = opened.headers.get(header::LOCATION) else { return Ok(None) };
    let text =
        std::str::from_utf8(location.as_bytes()).map_err(|_| refuse("its target is no text".into()))?;
    let target = hop.url.join(text).map_err(|error| refuse(format!("its target is no URL: {error}")))?;
    if hop.url.scheme() == "https" && target.scheme() != "https" {
        return Err(refuse(format!("from https to {}", redact::url(&target))));
    }
    Ok(Some(target))
}

impl Hop {
    fn follow(self, status: StatusCode, mut target: Url) -> Self {
        let Self { mut method, url, mut headers, mut body } = self;
        let becomes_get = match status.as_u16() {
            303 => method != Method::HEAD,
            301 | 302 => method == Method::POST,
            _ => false,
        };
        if becomes_get {
            method = Method::GET;
            body = Bytes::new();
            headers.remove(header::CONTENT_TYPE);
            headers.remove(header::CONTENT_LENGTH);
        }
        if url.origin() != target.origin() {
            let secret: Vec<_> = headers
                .iter()
                .filter(|(name, value)| value.is_sensitive() || redact::is_secret_header(name))
                .map(|(name, _)| name.clone())
                .collect();
            secret.into_iter().for_each(|name| {
                headers.remove(name);
            });
        }
        if let Some(value) = basic(&mut target) {
            headers.insert(header::AUTHORIZATION, value);
        }
        target.set_fragment(None);
        Self { method, url: target, headers, body }
    }

    fn request(&self, host: &Host, http2: bool) -> Request<Payload> {
        let mut request = Request::new(Payload::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        let path = match self.url.query() {
            None => self.url.path().to_owned(),
            Some(query) => format!("{}?{query}", self.url.path()),
        };
        // A parsed URL's path is always a valid one.
        let path = PathAndQuery::from_maybe_shared(Bytes::from(path))
            .unwrap_or_else(|_| PathAndQuery::from_static("/"));
        if http2 {
            let scheme = if host.origin.tls { "https" } else { "http" };
            let authority = host.authority.to_str().unwrap_or_default();
            let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
            *request.uri_mut() = uri.unwrap_or_default();
        } else {
            *request.uri_mut() = Uri::from(path);
            request.headers_mut().insert(header::HOST, host.authority.clone());
        }
        request
    }
}
