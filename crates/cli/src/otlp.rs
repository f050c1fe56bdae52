//! Runs as spans for an OpenTelemetry collector: OTLP over HTTP, JSON encoding, `POST URL/v1/traces`.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>: identifiers are hexadecimal, 64-bit numbers are texts.

use serde_json::{Value, json};
use springtide_domain::RunStatus;
use springtide_io::http::{Client, ClientConfig, Deadlines, Request, redact};
use springtide_lab::{
    LabError,
    batch::BatchSummary,
    ledger::{RunRecord, now_ms},
};
use springtide_runtime::{
    CancelToken,
    channel::{ChannelConfig, Receiver, Sender, WhenFull},
    exec::{Runtime, RuntimeConfig, RuntimeError, within},
    locks::{Mutex, lock},
    observe::{Component, Condition, Health},
};
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

/// Spans that may wait; more are dropped and counted, for a batch does not wait for a collector.
const WAITING: usize = 65_536;
/// Spans in one request.
const AT_ONCE: usize = 512;
/// A span waits so long for others to go with it.
const GATHER: Duration = Duration::from_secs(1);

/// How long delivering what is left at the end may take, in all.
const FLUSH: Duration = Duration::from_secs(3);
/// How long what is under way may take to stop after that.
const STOP: Duration = Duration::from_millis(200);
/// Of one request. A collector that takes longer gets no further spans meanwhile; they wait, up to [`WAITING`].
const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(5),
    headers: Duration::from_secs(10),
    body: Duration::from_secs(10),
    total: Duration::from_secs(10),
};

/// Sends one batch's spans.
#[derive(Debug)]
pub struct Exporter {
    spans: Sender<Value>,
    worker: JoinHandle<()>,
    /// Rings when the worker is at its end, or when nobody wants to wait for it any more.
    bell: (mpsc::Sender<()>, mpsc::Receiver<()>),
    /// Ends the worker whatever it is doing.
    give_up: CancelToken,
    delivery: Arc<Delivery>,
    trace: String,
    root: String,
    command: String,
    started_ms: i64,
}

/// What becomes of the spans.
#[derive(Debug)]
struct Delivery {
    /// Handed over, whether there was room for them or not.
    made: AtomicU64,
    delivered: AtomicU64,
    /// The first reason why some were not.
    why: Mutex<Option<String>>,
    health: Component,
}

impl Delivery {
    /// A batch goes on without its collector: less well, but on.
    fn fail(&self, why: String) {
        self.health.set(Condition::Degraded, why.clone());
        lock(&self.why).get_or_insert(why);
    }
}

/// Where spans go: the collector's address with the path that the protocol has for them.
///
/// # Errors
/// When that cannot be an address.
fn target(url: &str) -> Result<String, LabError> {
    let refused = |problem| {
        let shown = redact::text(url);
        LabError::Usage(format!(
            "--otlp {shown}: {problem}; write a collector's address, as http://localhost:4318"
        ))
    };
    Request::get(url).check().map_err(refused)?;
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    Ok(format!("{}/v1/traces{query}", address.trim_end_matches('/')))
}

impl Exporter {
    /// `url` is the collector's, as in `http://localhost:4318`. How deliveries go shows in `health`.
    ///
    /// # Errors
    /// When the address is none, or no thread can be had.
    pub fn start(url: &str, command: &str, health: &Health) -> Result<Self, LabError> {
        let target = target(url)?;
        let (spans, waiting) =
            ChannelConfig::new("otlp spans").items(WAITING).when_full(WhenFull::DropNewest).open();
        let bell = mpsc::channel();
        let (over, give_up) = (bell.0.clone(), CancelToken::new());
        let delivery = Arc::new(Delivery {
            made: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            why: Mutex::default(),
            health: health.component("otlp"),
        });
        delivery.health.ok();
        let (token, told) = (give_up.clone(), Arc::clone(&delivery));
        let worker = std::thread::Builder::new()
            .name("otlp".into())
            .spawn(move || {
                if let Err(why) = export(waiting, target, &token, &told) {
                    told.fail(why);
                }
                // Nobody listens once the batch has given up.
                let _ = over.send(());
            })
            .map_err(|source| LabError::File { path: "otlp".into(), source })?;
        let (trace, root) = (format!("{:016x}{:016x}", random(), random()), format!("{:016x}", random()));
        let (command, started_ms) = (command.into(), now_ms());
        Ok(Self { spans, worker, bell, give_up, delivery, trace, root, command, started_ms })
    }

    /// What turns finished runs into spans.
    pub fn recorder(&self) -> impl Fn(&RunRecord) + Send + use<> {
        let (spans, trace, root) = (self.spans.clone(), self.trace.clone(), self.root.clone());
        let delivery = Arc::clone(&self.delivery);
        move |run| {
            let end = run.finished_ms as i128 * 1_000_000;
            let start = end - i128::from(run.elapsed_us) * 1_000;
            let mut attributes = vec![
                text("tide.run", run.id.as_str()),
                text("tide.strategy", &run.strategy),
                text("tide.data", &run.data),
                text("tide.rules", &run.rules.name),
                json!({"key": "tide.bars", "value": {"intValue": run.bars.to_string()}}),
            ];
            attributes
                .extend(run.params.iter().map(|(k, v)| text(&format!("tide.input.{k}"), &v.to_string())));
            let mut span = span(&trace, &run.id.as_str()[..16], &run.strategy, start, end, attributes);
            span["parentSpanId"] = json!(root);
            span["status"] = match (&run.error, run.status) {
                (Some(error), _) => json!({"code": 2, "message": error}),
                (None, RunStatus::Ok) => json!({"code": 1}),
                (None, _) => json!({"code": 2, "message": run.status.as_str()}),
            };
            delivery.made.fetch_add(1, Ordering::Relaxed);
            // What finds no room is not delivered, which is told at the end.
            let _ = spans.try_send(span);
        }
    }

    /// Sends the batch's own span and waits for all to be delivered, a few seconds at most and not at all once
    /// `stop` is cancelled. What was not delivered is told.
    pub fn finish(self, summary: Option<&BatchSummary>, stop: &CancelToken) -> Option<String> {
        let nanos = |ms: i64| i128::from(ms) * 1_000_000;
        let mut attributes = vec![text("tide.command", &self.command)];
        if let Some(s) = summary {
            for (key, n) in [("tide.job", s.job as u64), ("tide.ok", s.ok), ("tide.failed", s.failed)] {
                attributes.push(json!({"key": key, "value": {"intValue": n.to_string()}}));
            }
        }
        let times = (nanos(self.started_ms), nanos(now_ms()));
        // Of a batch that never began there is nothing to tell.
        if summary.is_some() || self.delivery.made.load(Ordering::Relaxed) > 0 {
            let span = span(&self.trace, &self.root, "job", times.0, times.1, attributes);
            self.delivery.made.fetch_add(1, Ordering::Relaxed);
            let _ = self.spans.try_send(span);
        }
        drop(self.spans);
        let (ring, bell) = self.bell;
        let _hook = stop.on_cancel(move || {
            // The bell is there for as long as the hook.
            let _ = ring.send(());
        });
        let in_time = bell.recv_timeout(FLUSH).is_ok() && !stop.is_cancelled();
        self.give_up.cancel();
        // What hangs in the system, as a name that is looked up, is left behind rather than waited for.
        if in_time || bell.recv_timeout(STOP).is_ok() {
            // A panic there has been told by the panic hook, and the spans are counted all the same.
            let _ = self.worker.join();
        }
        let Delivery { made, delivered, why, .. } = &*self.delivery;
        let lost = made.load(Ordering::Relaxed).saturating_sub(delivered.load(Ordering::Relaxed));
        if lost == 0 {
            return None;
        }
        let why = lock(why).take();
        let why = match why {
            Some(why) => why,
            None if stop.is_cancelled() => "interrupted".into(),
            None if !in_time => format!("the collector did not answer within {} s", FLUSH.as_secs()),
            None => "they came faster than the collector took them".into(),
        };
        Some(format!("{lost} spans were not delivered: {why}"))
    }
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn span(trace: &str, id: &str, name: &str, start: i128, end: i128, attributes: Vec<Value>) -> Value {
    json!({
        "traceId": trace,
        "spanId": id,
        "name": name,
        "kind": 1,
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": end.to_string(),
        "attributes": attributes,
    })
}

fn export(
    spans: Receiver<Value>,
    target: String,
    give_up: &CancelToken,
    delivery: &Arc<Delivery>,
) -> Result<(), String> {
    let config = RuntimeConfig { workers: 1, name: "otlp".into(), ..RuntimeConfig::default() };
    let runtime = Runtime::under(config, give_up).map_err(|e| e.to_string())?;
    let client = ClientConfig { deadlines: DEADLINES, ..ClientConfig::default() };
    let client = Client::new(client).map_err(|e| e.to_string())?;
    let delivery = Arc::clone(delivery);
    match runtime.run("otlp export", |_scope| deliver(spans, client, target, delivery)) {
        Ok(()) | Err(RuntimeError::Cancelled { .. }) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

async fn deliver(mut spans: Receiver<Value>, client: Client, target: String, delivery: Arc<Delivery>) {
    let mut ended = false;
    while !ended {
        let mut together = Vec::new();
        while together.len() < AT_ONCE && !ended {
            let next = match together.is_empty() {
                true => Ok(spans.recv().await),
                false => within(GATHER, spans.recv()).await,
            };
            match next {
                Ok(Some(span)) => together.push(span),
                Ok(None) => ended = true,
                Err(_) => break,
            }
        }
        if together.is_empty() {
            continue;
        }
        let count = together.len() as u64;
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [text("service.name", "tide"), text("service.version", env!("CARGO_PKG_VERSION"))]},
            "scopeSpans": [{"scope": {"name": "tide"}, "spans": together}],
        }]});
        // A collector keeps one span of an id: sending twice does no harm.
        let request = Request::post(&target, body.to_string())
            .header("content-type", "application/json")
            .repeatable(true);
        match client.fetch(request).await {
            Ok(_) => {
                delivery.delivered.fetch_add(count, Ordering::Relaxed);
                delivery.health.ok();
            }
            Err(error) => delivery.fail(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_path_of_their_own_and_bad_addresses_tell_no_secret() {
        let at = |url: &str| target(url).map_err(|e| e.to_string());
        assert_eq!(at("http://h:4318").as_deref(), Ok("http://h:4318/v1/traces"));
        assert_eq!(at("https://h/otlp/?token=s").as_deref(), Ok("https://h/otlp/v1/traces?token=s"));
        for bad in ["localhost:4318", "ftp://u:pa55@h/", "http://u:pa55@h:port/", "http://", "collector"] {
            let error = at(bad).expect_err(bad);
            assert!(error.contains("http://localhost:4318") && !error.contains("pa55"), "{error}");
        }
    }
}
