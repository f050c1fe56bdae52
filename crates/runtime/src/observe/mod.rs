//! What a process shows of itself: what runs, how its components are, its figures. Read from outside through
//! a local socket.
//!
//! - [`Observatory`]: the collection. Pools, runtimes, channels, permits, limiters and children are seen by
//!   themselves while they live; other parts of the program add what they have to show.
//! - [`Health`]: each component with its state, since when, and its last error.
//! - [`Metrics`]: counters, gauges and histograms in Prometheus' text form; [`merge_metrics`]: those of several
//!   processes as one.
//! - [`Watchdog`]: notices threads that do not go on, and says where they are.
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
mod exposition;
mod figure;
mod health;
mod metrics;
#[cfg(target_os = "linux")]
mod stall;
mod tree;
mod view;

pub use control::{ControlError, ControlServer, ask};
pub use exposition::merge_metrics;
pub use figure::{Figure, FigureValue};
pub use health::{Component, ComponentHealth, Condition, Health};
pub use metrics::Metrics;
#[cfg(target_os = "linux")]
pub use stall::{Watchdog, WatchdogConfig};
pub use tree::{
    Node, channel_tree, children_tree, draw_tree, limiter_tree, permits_tree, pool_tree, runtime_tree,
    stall_tree,
};
pub use view::{
    ChannelView, ChildView, ChildrenView, ClassView, LimiterKeyView, LimiterView, PermitKeyView, PermitsView,
    PlaceView, PoolView, RunningView, RuntimeView, ScopeView, StallView, TaskView, TicketView, WorkerView,
};

use crate::sync::Mutex;
use crate::{
    label::Label,
    listed::{self, Entry, Listed},
    lock,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Instant,
};

type Section = Arc<dyn Fn() -> Value + Send + Sync>;

/// Stalls that are remembered.
const STALLS_KEPT: usize = 16;

/// Something of another crate that is to be seen while it lives; see [`show`].
pub trait Visible: Send + Sync {
    /// What it is, in a word; things of one kind are listed together.
    fn kind(&self) -> Label;

    /// How it is now. Must be quick and take no lock that is held for long.
    fn view(&self) -> Value;

    /// Its figures now.
    fn figures(&self) -> Vec<Figure> {
        Vec::new()
    }
}

impl<T: Visible> Listed for T {
    fn entry(&self) -> Entry {
        Entry::Other(self.kind(), self.view(), self.figures())
    }
}

/// Shows a thing in every [`Observatory`] of the process for as long as it lives, as pools, runtimes, channels,
/// permits, limiters and children are shown by themselves.
pub fn show<T: Visible + 'static>(thing: &Arc<T>) {
    let weak = Arc::downgrade(thing);
    listed::list(weak);
}

/// Everything that runs or waits in a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Overview {
    /// By name; those of one name get numbers.
    pub pools: BTreeMap<String, PoolView>,
    #[serde(default)]
    pub runtimes: Vec<RuntimeView>,
    #[serde(default)]
    pub channels: Vec<ChannelView>,
    #[serde(default)]
    pub permits: Vec<PermitsView>,
    #[serde(default)]
    pub limiters: Vec<LimiterView>,
    #[serde(default)]
    pub children: Vec<ChildrenView>,
    /// Things of other crates, by kind.
    #[serde(default)]
    pub others: BTreeMap<String, Vec<Value>>,
}

impl Overview {
    /// All that live in this process.
    pub fn now() -> Self {
        let mut all = Self::default();
        for entry in listed::entries() {
            match entry {
                Entry::Pool(name, seen) => {
                    let mut unique = name.to_string();
                    let mut number = 2;
                    while all.pools.contains_key(&unique) {
                        unique = format!("{name} {number}");
                        number += 1;
                    }
                    all.pools.insert(unique, PoolView::from(&*seen));
                }
                Entry::Runtime(name, tree, unreported, last) => {
                    all.runtimes.push(RuntimeView::of(&name, &tree, unreported, &last));
                }
                Entry::Channel(seen) => all.channels.push(ChannelView::from(&seen)),
                Entry::Permits(seen) => all.permits.push(PermitsView::from(&*seen)),
                Entry::Limiter(name, seen) => all.limiters.push(LimiterView::of(name.as_str(), &seen)),
                #[cfg(target_os = "linux")]
                Entry::Children(seen) => all.children.push(ChildrenView::from(&seen)),
                Entry::Other(kind, view, _) => all.others.entry(kind.to_string()).or_default().push(view),
            }
        }
        all
    }

    /// All of it as trees.
    pub fn trees(&self) -> Vec<Node> {
        let pools = self.pools.iter().map(|(name, pool)| pool_tree(name, pool));
        let runtimes = self.runtimes.iter().map(runtime_tree);
        let permits = self.permits.iter().map(permits_tree);
        let limiters = self.limiters.iter().map(limiter_tree);
        let channels = self.channels.iter().map(channel_tree);
        let children = self.children.iter().map(children_tree);
        pools.chain(runtimes).chain(permits).chain(limiters).chain(channels).chain(children).collect()
    }
}

/// Everything a process shows. Cheap to clone; all clones show the same.
#[derive(Clone)]
pub struct Observatory {
    inner: Arc<Inner>,
}

struct Inner {
    about: String,
    started: Instant,
    sections: Mutex<BTreeMap<String, Section>>,
    /// Those that go on, and the last that are over.
    stalls: Mutex<VecDeque<(u64, StallView)>>,
    health: Health,
    metrics: Metrics,
}

impl Observatory {
    /// One that shows what lives in the process; `about` says what the process does, in a line.
    pub fn new(about: impl Into<String>) -> Self {
        let inner = Inner {
            about: about.into(),
            started: Instant::now(),
            sections: Mutex::default(),
            stalls: Mutex::default(),
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

    /// The components' states.
    pub fn health(&self) -> &Health {
        &self.inner.health
    }

    /// The figures.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Threads that were held up for long: those that still are, and the last others.
    pub fn stalls(&self) -> Vec<StallView> {
        lock(&self.inner.stalls).iter().map(|(_, stall)| stall.clone()).collect()
    }

    /// Keeps what is known of a stall under its number.
    #[cfg(target_os = "linux")]
    fn keep_stall(&self, number: u64, stall: StallView) {
        let mut stalls = lock(&self.inner.stalls);
        match stalls.iter_mut().find(|(other, _)| *other == number) {
            Some((_, known)) => *known = stall,
            None => stalls.push_back((number, stall)),
        }
        if stalls.len() > STALLS_KEPT {
            let oldest_over = stalls.iter().position(|(_, stall)| stall.over).unwrap_or(0);
            stalls.remove(oldest_over);
        }
    }

    /// Everything as one object: `pid, about, uptime_ms`, the fields of [`Overview`], `stalls[], sections{},
    /// health[], live, ready`.
    pub fn state(&self) -> Value {
        // Sections run without the lock: one that asks back must not wait for itself.
        let sections: Vec<(String, Section)> =
            lock(&self.inner.sections).iter().map(|(name, read)| (name.clone(), Arc::clone(read))).collect();
        let sections: serde_json::Map<String, Value> =
            sections.into_iter().map(|(name, read)| (name, read())).collect();
        let health = self.health();
        let mut state = json!({
            "pid": std::process::id(),
            "about": self.inner.about,
            "uptime_ms": self.inner.started.elapsed().as_millis() as u64,
            "stalls": self.stalls(),
            "sections": sections,
            "health": health.components(),
            "live": health.is_live(),
            "ready": health.is_ready(),
        });
        if let (Value::Object(state), Value::Object(all)) = (&mut state, json!(Overview::now())) {
            state.extend(all);
        }
        state
    }

    /// The tree of what runs and what waits, for a person.
    pub fn tasks(&self) -> String {
        let mut text = format!("process {}: {}\n", std::process::id(), self.inner.about);
        let stalls = self.stalls();
        let stalls = stalls.iter().filter(|stall| !stall.over).map(stall_tree);
        stalls.chain(Overview::now().trees()).for_each(|node| text.push_str(&draw_tree(&node)));
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

impl fmt::Debug for Observatory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observatory").field("about", &self.inner.about).finish_non_exhaustive()
    }
}
