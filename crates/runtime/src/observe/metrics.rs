//! Figures in Prometheus' text form (OpenMetrics 1.0).

use crate::sync::Mutex;
use crate::{
    Registry, lock,
    observe::view::{ChannelView, PoolView},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Metric, Registry as Collection},
};
use std::{collections::BTreeMap, sync::Arc};

/// A process's figures. Names get the prefix `tide_`; counters end in `_total`, times are seconds.
#[derive(Clone, Debug)]
pub struct Metrics {
    all: Arc<Mutex<Collection>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Collection::with_prefix("tide");
        all.register_collector(Box::new(ChannelCollector));
        Self { all: Arc::new(Mutex::new(all)) }
    }
}

impl Metrics {
    /// Adds a metric of the `prometheus-client` crate; keep a clone to change it.
    ///
    /// ```
    /// use prometheus_client::metrics::counter::Counter;
    /// use springtide_runtime::observe::Metrics;
    ///
    /// let (metrics, retries) = (Metrics::default(), Counter::<u64>::default());
    /// metrics.register("retries", "Requests sent again", retries.clone());
    /// retries.inc();
    /// assert!(metrics.text().contains("tide_retries_total 1"));
    /// ```
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        lock(&self.all).register(name, help, metric);
    }

    pub(super) fn add_pool(&self, name: &str, registry: Registry) {
        lock(&self.all).register_collector(Box::new(PoolCollector { name: name.into(), registry }));
    }

    /// All figures now.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &lock(&self.all)) {
            Ok(()) => text,
            // Only a metric's own encoder can fail; say which text it broke off at.
            Err(error) => format!("{text}# broken off: {error}\n"),
        }
    }
}

/// Reads a pool when it is asked.
#[derive(Debug)]
struct PoolCollector {
    name: String,
    registry: Registry,
}

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let pool = PoolView::from(&self.registry.snapshot());
        let name = self.name.as_str();

        let mut queued =
            encoder.encode_descriptor("pool_queued", "Tasks waiting", None, MetricType::Gauge)?;
        for class in &pool.classes {
            let labels = [("pool", name), ("class", class.name.as_str())];
            ConstGauge::new(class.queued as i64).encode(queued.encode_family(&labels)?)?;
        }
        let mut ended = encoder.encode_descriptor("pool_tasks", "Tasks ended", None, MetricType::Counter)?;
        for class in &pool.classes {
            let outcomes = [
                ("done", class.done),
                ("failed", class.failed),
                ("cancelled", class.cancelled),
                ("timed_out", class.timed_out),
            ];
            for (outcome, count) in outcomes {
                let labels = [("pool", name), ("class", class.name.as_str()), ("outcome", outcome)];
                ConstCounter::new(count).encode(ended.encode_family(&labels)?)?;
            }
        }
        let help = "Worker time of ended tasks";
        let mut busy = encoder.encode_descriptor("pool_busy_seconds", help, None, MetricType::Counter)?;
        for class in &pool.classes {
            let labels = [("pool", name), ("class", class.name.as_str())];
            ConstCounter::new(class.busy_ms / 1e3).encode(busy.encode_family(&labels)?)?;
        }
        let mut worker_busy = encoder.encode_descriptor(
            "pool_worker_busy_seconds",
            "Time at work",
            None,
            MetricType::Counter,
        )?;
        for worker in &pool.workers {
            let number = worker.worker.to_string();
            let labels = [("pool", name), ("worker", number.as_str())];
            ConstCounter::new(worker.busy_ms / 1e3).encode(worker_busy.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Reads all channels of the process when it is asked. Channels of one name are told apart by nothing but their
/// order, and are added up.
#[derive(Debug)]
struct ChannelCollector;

impl Collector for ChannelCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut by_name: BTreeMap<String, Vec<ChannelView>> = BTreeMap::new();
        for channel in super::channels() {
            by_name.entry(channel.name.clone()).or_default().push(channel);
        }
        type Read = fn(&ChannelView) -> u64;
        /// Values of the label `how`, empty without one, with what each counts.
        type Kinds<'a> = &'a [(&'a str, Read)];
        let gauges: [(&str, &str, Read); 5] = [
            ("channel_items", "Items queued", |c| c.items),
            ("channel_items_limit", "Most items queued at a time", |c| c.items_limit),
            ("channel_bytes", "Bytes queued", |c| c.bytes),
            ("channel_bytes_limit", "Most bytes queued at a time", |c| c.bytes_limit),
            ("channel_waiting", "Senders that wait for room", |c| c.waiting),
        ];
        for (metric, help, read) in gauges {
            let mut gauge = encoder.encode_descriptor(metric, help, None, MetricType::Gauge)?;
            for (name, channels) in &by_name {
                let sum: u64 = channels.iter().map(read).sum();
                ConstGauge::new(i64::try_from(sum).unwrap_or(i64::MAX))
                    .encode(gauge.encode_family(&[("channel", name.as_str())])?)?;
            }
        }
        let counters: [(&str, &str, Kinds<'_>); 3] = [
            ("channel_sent_items", "Items queued so far", &[("", |c| c.sent)]),
            ("channel_waits", "Items that had to wait for room", &[("", |c| c.waits)]),
            (
                "channel_dropped_items",
                "Items that were handed over and not received",
                &[
                    ("newest", |c| c.dropped_newest),
                    ("oldest", |c| c.dropped_oldest),
                    ("conflated", |c| c.conflated),
                    ("abandoned", |c| c.abandoned),
                ],
            ),
        ];
        for (metric, help, kinds) in counters {
            let mut counter = encoder.encode_descriptor(metric, help, None, MetricType::Counter)?;
            for (name, channels) in &by_name {
                for (how, read) in kinds {
                    let count = ConstCounter::new(channels.iter().map(read).sum::<u64>());
                    let labels = [("channel", name.as_str()), ("how", *how)];
                    let labels = if how.is_empty() { &labels[..1] } else { &labels[..] };
                    count.encode(counter.encode_family(&labels)?)?;
                }
            }
        }
        let help = "Time that items waited for room";
        let mut waited =
            encoder.encode_descriptor("channel_waited_seconds", help, None, MetricType::Counter)?;
        for (name, channels) in &by_name {
            let seconds = channels.iter().map(|c| c.waited_ms).sum::<f64>() / 1e3;
            ConstCounter::new(seconds).encode(waited.encode_family(&[("channel", name.as_str())])?)?;
        }
        Ok(())
    }
}
