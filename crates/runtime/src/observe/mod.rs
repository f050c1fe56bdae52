//! What a process shows of itself: what runs, how its components are, its figures. Read from outside through
//! a local socket.
//!
//! - [`Observatory`]: the collection; parts of the program add what they have to show.
//! - [`Health`]: each component with its state, since when, and its last error.
//! - [`Metrics`]: counters, gauges and histograms in Prometheus' text form.
//! - [`ControlServer`], [`ask`]: the socket and its client.
//!
//! ```
//! use springtide_runtime::observe::{Condition, Observatory};
//!
//! let seen = Observatory::new("an example");
//! let database = seen.health().component("database");
//! seen.add_section("cache", || serde_json::json!({ "entries": 3 }));
//! database.set(Condition::Failed, "disk full");
//! assert!(seen.health().is_live() && !seen.health().is_ready());
//!
//! let state = seen.answer("state").expect("a known question");
//! let state: serde_json::Value = serde_json::from_str(&state)?;
//! assert_eq!(state["sections"]["cache"]["entries"], 3);
//! assert_eq!(state["health"][0]["error"], "disk full");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod control;
mod health;
mod metrics;
mod tree;
mod view;

pub use control::{ControlError, ControlServer, ask};
pub use health::{Component, ComponentHealth, Condition, Health};
pub use metrics::Metrics;
pub use tree::{draw_tree, pool_tree};
pub use view::{ChannelView, ClassView, PoolView, RunningView, WorkerView};

use crate::sync::Mutex;
use crate::{
    Registry,
    listed::{self, Entry},
    lock,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

type Section = Arc<dyn Fn() -> Value + Send + Sync>;

/// Everything a process shows. Cheap to clone; all clones show the same.
#[derive(Clone)]
pub struct Observatory {
    inner: Arc<Inner>,
}

struct Inner {
    about: String,
    started: Instant,
    sections: Mutex<BTreeMap<String, Section>>,
    pools: Mutex<Vec<(String, Registry)>>,
    health: Health,
    metrics: Metrics,
}

impl Observatory {
    /// One with nothing to show yet; `about` says what the process does, in a line.
    pub fn new(about: impl Into<String>) -> Self {
        let inner = Inner {
            about: about.into(),
            started: Instant::now(),
            sections: Mutex::default(),
            pools: Mutex::default(),
            health: Health::default(),
            metrics: Metrics::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Shows what `read` returns under `name`, asked anew each time. `read` must be quick and take no lock that
    /// is held for long. A section of the same name is replaced.
    pub fn add_section(&self, name: impl Into<String>, read: impl Fn() -> Value + Send + Sync + 'static) {
        lock(&self.inner.sections).insert(name.into(), Arc::new(read));
    }

    /// Shows a pool: its queues, workers and tasks, also as metrics.
    pub fn add_pool(&self, name: impl Into<String>, registry: Registry) {
        let name = name.into();
        self.inner.metrics.add_pool(&name, registry.clone());
        lock(&self.inner.pools).push((name, registry));
    }

    /// The components' states.
    pub fn health(&self) -> &Health {
        &self.inner.health
    }

    /// The figures.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Everything as one object: `pid, about, uptime_ms, pools{}, channels[], sections{}, health[], live, ready`.
    pub fn state(&self) -> Value {
        // Sections run without the lock: one that asks back must not wait for itself.
        let sections: Vec<(String, Section)> =
            lock(&self.inner.sections).iter().map(|(name, read)| (name.clone(), Arc::clone(read))).collect();
        let sections: serde_json::Map<String, Value> =
            sections.into_iter().map(|(name, read)| (name, read())).collect();
        let pools: serde_json::Map<String, Value> = lock(&self.inner.pools)
            .iter()
            .map(|(name, registry)| (name.clone(), json!(PoolView::from(&registry.snapshot()))))
            .collect();
        let health = self.health();
        json!({
            "pid": std::process::id(),
            "about": self.inner.about,
            "uptime_ms": self.inner.started.elapsed().as_millis() as u64,
            "pools": pools,
            "channels": channels(),
            "sections": sections,
            "health": health.components(),
            "live": health.is_live(),
            "ready": health.is_ready(),
        })
    }

    /// The tree of what runs and what waits, for a person.
    pub fn tasks(&self) -> String {
        let mut text = format!("process {}: {}\n", std::process::id(), self.inner.about);
        for (name, registry) in lock(&self.inner.pools).iter() {
            text.push_str(&draw_tree(&pool_tree(name, &PoolView::from(&registry.snapshot()))));
        }
        channels().iter().for_each(|channel| text.push_str(&draw_tree(&tree::channel_line(channel))));
        text
    }

    /// Answers a question: `state`, `health` (JSON), `tasks` or `metrics` (text); none for any other.
    pub fn answer(&self, question: &str) -> Option<String> {
        match question {
            "state" => Some(self.state().to_string()),
            "health" => {
                let health = self.health();
                let all = json!({ "live": health.is_live(), "ready": health.is_ready(), "components": health.components() });
                Some(all.to_string())
            }
            "tasks" => Some(self.tasks()),
            "metrics" => Some(self.metrics().text()),
            _ => None,
        }
    }
}

/// All channels of the process.
fn channels() -> Vec<ChannelView> {
    let entries = listed::entries();
    entries.iter().map(|Entry::Channel(seen)| ChannelView::from(seen)).collect()
}

impl fmt::Debug for Observatory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observatory").field("about", &self.inner.about).finish_non_exhaustive()
    }
}
