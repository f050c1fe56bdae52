//! Runs as spans for an OpenTelemetry collector: OTLP over HTTP, JSON encoding, `POST URL/v1/traces`.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>: identifiers are hexadecimal, 64-bit numbers are texts.

use serde_json::{Value, json};
use springtide_domain::RunStatus;
use springtide_io::http::{Client, ClientConfig, Request};
use springtide_lab::{
    LabError,
    batch::BatchSummary,
    ledger::{RunRecord, now_ms},
};
use springtide_runtime::{
    channel::{ChannelConfig, Receiver, Sender, WhenFull},
    exec::{Runtime, RuntimeConfig, within},
};
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    thread::JoinHandle,
    time::Duration,
};

/// Spans that may wait; more are dropped and counted, for a batch does not wait for a collector.
const WAITING: usize = 65_536;
/// Spans in one request.
const AT_ONCE: usize = 512;
/// A span waits so long for others to go with it.
const GATHER: Duration = Duration::from_secs(1);

/// Sends one batch's spans.
#[derive(Debug)]
pub struct Exporter {
    spans: Sender<Value>,
    worker: JoinHandle<Result<Sent, String>>,
    trace: String,
    root: String,
    command: String,
    started_ms: i64,
}

/// What became of the spans.
#[derive(Clone, Debug, Default)]
struct Sent {
    lost: u64,
    why: Option<String>,
}

impl Exporter {
    /// `url` is the collector's, as in `http://localhost:4318`.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(url: &str, command: &str) -> Result<Self, LabError> {
        let (spans, waiting) =
            ChannelConfig::new("otlp spans").items(WAITING).when_full(WhenFull::DropNewest).open();
        let target = format!("{}/v1/traces", url.trim_end_matches('/'));
        let worker = std::thread::Builder::new()
            .name("otlp".into())
            .spawn(move || export(waiting, &target))
            .map_err(|source| LabError::File { path: "otlp".into(), source })?;
        let (trace, root) = (format!("{:016x}{:016x}", random(), random()), format!("{:016x}", random()));
        Ok(Self { spans, worker, trace, root, command: command.into(), started_ms: now_ms() })
    }

    /// What turns finished runs into spans.
    pub fn recorder(&self) -> impl Fn(&RunRecord) + Send + use<> {
        let (spans, trace, root) = (self.spans.clone(), self.trace.clone(), self.root.clone());
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
            // What finds no room is counted by the channel.
            let _ = spans.try_send(span);
        }
    }

    /// Sends the batch's own span and waits for all to be delivered; what was not is told.
    pub fn finish(self, summary: Option<&BatchSummary>) -> Option<String> {
        let nanos = |ms: i64| i128::from(ms) * 1_000_000;
        let mut attributes = vec![text("tide.command", &self.command)];
        if let Some(s) = summary {
            for (key, n) in [("tide.job", s.job as u64), ("tide.ok", s.ok), ("tide.failed", s.failed)] {
                attributes.push(json!({"key": key, "value": {"intValue": n.to_string()}}));
            }
        }
        let times = (nanos(self.started_ms), nanos(now_ms()));
        let span = span(&self.trace, &self.root, "job", times.0, times.1, attributes);
        let _ = self.spans.try_send(span);
        drop(self.spans);
        match self.worker.join() {
            Ok(Ok(Sent { lost: 0, .. })) => None,
            Ok(Ok(Sent { lost, why })) => {
                let why = why.unwrap_or_else(|| "they came faster than the collector took them".into());
                Some(format!("{lost} spans were not delivered: {why}"))
            }
            Ok(Err(error)) => Some(format!("no span was delivered: {error}")),
            Err(_) => Some("the exporter panicked".into()),
        }
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

fn export(spans: Receiver<Value>, target: &str) -> Result<Sent, String> {
    let runtime =
        Runtime::new(RuntimeConfig { workers: 1, ..RuntimeConfig::default() }).map_err(|e| e.to_string())?;
    let client = Client::new(ClientConfig::default()).map_err(|e| e.to_string())?;
    let target = target.to_owned();
    let sent = runtime.run("otlp export", |_scope| deliver(spans, client, target));
    sent.map_err(|e| e.to_string())
}

async fn deliver(mut spans: Receiver<Value>, client: Client, target: String) -> Sent {
    let mut sent = Sent::default();
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
        if let Err(error) = client.fetch(request).await {
            sent.lost += count;
            sent.why.get_or_insert(error.to_string());
        }
    }
    sent.lost += spans.snapshot().counts.dropped_newest;
    sent
}
