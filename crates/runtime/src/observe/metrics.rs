//! Figures in Prometheus' text form (OpenMetrics 1.0).

use crate::{Registry, lock, observe::view::PoolView};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Metric, Registry as Collection},
};
use std::sync::{Arc, Mutex};

/// A process's figures. Names get the prefix `tide_`; counters end in `_total`, times are seconds.
#[derive(Clone, Debug)]
pub struct Metrics {
    all: Arc<Mutex<Collection>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { all: Arc::new(Mutex::new(Collection::with_prefix("tide"))) }
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
