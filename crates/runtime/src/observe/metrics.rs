//! Figures in Prometheus' text form (OpenMetrics 1.0).

use super::figure::{self, Figure, FigureValue};
use crate::sync::Mutex;
use crate::{listed, lock};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Metric, Registry as Collection},
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

/// A process's figures. Names get the prefix `tide_`; counters end in `_total`, times are seconds.
#[derive(Clone, Debug)]
pub struct Metrics {
    all: Arc<Mutex<Collection>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Collection::with_prefix("tide");
        all.register_collector(Box::new(ListedCollector));
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

/// Reads everything that is listed when it is asked.
#[derive(Debug)]
struct ListedCollector;

impl Collector for ListedCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut all = Vec::new();
        listed::entries().iter().for_each(|entry| figure::figures(entry, &mut all));
        type Labels = Vec<(&'static str, String)>;
        let mut by_name: BTreeMap<&str, (&str, BTreeMap<Labels, FigureValue>)> = BTreeMap::new();
        for Figure { name, help, labels, value } in all {
            let (_, values) = by_name.entry(name).or_insert_with(|| (help, BTreeMap::new()));
            match values.entry(labels) {
                Entry::Vacant(free) => drop(free.insert(value)),
                Entry::Occupied(mut same) => add(same.get_mut(), value),
            }
        }
        for (name, (help, values)) in by_name {
            let Some(first) = values.values().next() else { continue };
            let mut family = encoder.encode_descriptor(name, help, None, kind(first))?;
            for (labels, value) in &values {
                encode_value(family.encode_family(&labels.as_slice())?, value)?;
            }
        }
        Ok(())
    }
}

fn kind(value: &FigureValue) -> MetricType {
    match value {
        FigureValue::Counter(_) | FigureValue::Seconds(_) => MetricType::Counter,
        FigureValue::Gauge(_) => MetricType::Gauge,
        FigureValue::Times(_) => MetricType::Histogram,
    }
}

/// Adds a figure to one of the same name and labels; of one name, all are of one kind.
fn add(sum: &mut FigureValue, more: FigureValue) {
    match (sum, more) {
        (FigureValue::Counter(sum), FigureValue::Counter(more)) => *sum += more,
        (FigureValue::Seconds(sum), FigureValue::Seconds(more))
        | (FigureValue::Gauge(sum), FigureValue::Gauge(more)) => *sum += more,
        (FigureValue::Times(sum), FigureValue::Times(more)) => sum.add(&more),
        (sum, more) => debug_assert!(false, "{sum:?} and {more:?} under one name"),
    }
}

fn encode_value(mut encoder: MetricEncoder<'_>, value: &FigureValue) -> Result<(), std::fmt::Error> {
    match value {
        FigureValue::Counter(count) => ConstCounter::new(*count).encode(encoder),
        FigureValue::Seconds(seconds) => ConstCounter::new(*seconds).encode(encoder),
        FigureValue::Gauge(value) => ConstGauge::new(*value).encode(encoder),
        FigureValue::Times(times) => {
            let buckets: Vec<(f64, u64)> = times.buckets().collect();
            encoder.encode_histogram::<NoLabelSet>(times.sum().as_secs_f64(), times.count(), &buckets, None)
        }
    }
}
