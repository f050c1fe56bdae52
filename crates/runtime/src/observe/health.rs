//! Components and their states.

use crate::lock;
use crate::sync::Mutex;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Instant};

/// How a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Not yet able to work.
    Starting,
    /// Works.
    Ok,
    /// Works, but not as it should: slower, partly, by a fallback.
    Degraded,
    /// Does not work, and may again.
    Failed,
    /// Does not work and never will: the process should be started anew.
    Dead,
}

/// A component as read by others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ComponentHealth {
    pub name: String,
    pub condition: Condition,
    /// How long it has been so, ms.
    pub since_ms: u64,
    /// The last error, kept after it passed.
    pub error: Option<String>,
    /// How long ago that was, ms.
    pub error_ms: Option<u64>,
}

#[derive(Debug)]
struct State {
    name: String,
    condition: Condition,
    since: Instant,
    error: Option<(String, Instant)>,
}

/// All components of a process.
#[derive(Clone, Debug, Default)]
pub struct Health {
    all: Arc<Mutex<Vec<State>>>,
}

/// The handle by which a component tells of itself. Dropping it leaves the component listed as it was.
#[derive(Clone, Debug)]
pub struct Component {
    all: Arc<Mutex<Vec<State>>>,
    at: usize,
}

impl Health {
    /// A new component, starting. Names may repeat; each call makes a component of its own.
    pub fn component(&self, name: impl Into<String>) -> Component {
        let mut all = lock(&self.all);
        all.push(State {
            name: name.into(),
            condition: Condition::Starting,
            since: Instant::now(),
            error: None,
        });
        Component { all: Arc::clone(&self.all), at: all.len() - 1 }
    }

    /// All components in the order they were made.
    pub fn components(&self) -> Vec<ComponentHealth> {
        let now = Instant::now();
        let ms = |at: Instant| now.saturating_duration_since(at).as_millis() as u64;
        let read = |state: &State| ComponentHealth {
            name: state.name.clone(),
            condition: state.condition,
            since_ms: ms(state.since),
            error: state.error.as_ref().map(|(text, _)| text.clone()),
            error_ms: state.error.as_ref().map(|(_, at)| ms(*at)),
        };
        lock(&self.all).iter().map(read).collect()
    }

    /// False when the process should be started anew.
    pub fn is_live(&self) -> bool {
        lock(&self.all).iter().all(|state| state.condition != Condition::Dead)
    }

    /// True when every component works, well or not so well.
    pub fn is_ready(&self) -> bool {
        lock(&self.all).iter().all(|state| matches!(state.condition, Condition::Ok | Condition::Degraded))
    }
}

impl Component {
    /// The component works.
    pub fn ok(&self) {
        self.change(Condition::Ok, None);
    }

    /// The component's new state, and why.
    pub fn set(&self, condition: Condition, error: impl Into<String>) {
        self.change(condition, Some(error.into()));
    }

    fn change(&self, condition: Condition, error: Option<String>) {
        let mut all = lock(&self.all);
        let Some(state) = all.get_mut(self.at) else { return };
        let now = Instant::now();
        if state.condition != condition {
            (state.condition, state.since) = (condition, now);
        }
        if let Some(error) = error {
            state.error = Some((error, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_kept_after_recovery() {
        let health = Health::default();
        assert!(health.is_live() && health.is_ready(), "nothing is nothing broken");
        let (a, b) = (health.component("a"), health.component("b"));
        assert!(!health.is_ready(), "starting is not ready");
        a.ok();
        b.set(Condition::Degraded, "slow disk");
        assert!(health.is_ready());
        b.set(Condition::Failed, "no disk");
        assert!(!health.is_ready() && health.is_live());
        b.ok();
        let seen = &health.components()[1];
        assert_eq!((seen.condition, seen.error.as_deref()), (Condition::Ok, Some("no disk")));
        a.set(Condition::Dead, "poisoned");
        assert!(!health.is_live());
    }
}
