//! What lives in this process and can be shown: pools, runtimes, channels, permits, limiters and children list
//! themselves here when they are made, so that nobody has to remember to.

#[cfg(target_os = "linux")]
use crate::process::ChildrenSnapshot;
use crate::{
    channel::ChannelSnapshot,
    exec::Tree,
    label::Label,
    limit::LimiterSnapshot,
    observe::Figure,
    permit::PermitSnapshot,
    pool::{Shared, Unreported},
    registry::Snapshot,
};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Something that can be shown.
pub(crate) trait Listed: Send + Sync {
    /// How it is now. Takes its own lock for the length of a copy.
    fn entry(&self) -> Entry;

    /// The pool that it is, for the watchdog.
    fn pool(self: Arc<Self>) -> Option<Arc<Shared>> {
        None
    }
}

/// A thing as shown.
#[derive(Debug)]
pub(crate) enum Entry {
    Pool(Label, Box<Snapshot>),
    /// With the failures that nobody was told of: how many, and the last.
    Runtime(Label, Tree, u64, Vec<Unreported>),
    Channel(ChannelSnapshot),
    Permits(Box<PermitSnapshot>),
    Limiter(Label, LimiterSnapshot),
    #[cfg(target_os = "linux")]
    Children(ChildrenSnapshot),
    /// Of a kind that this crate does not know.
    Other(Label, serde_json::Value, Vec<Figure>),
}

/// All that were listed and may still live. A plain lock: it is held for a push or a copy, and nothing else is
/// taken under it.
static ALL: Mutex<List> = Mutex::new(List { all: Vec::new(), sweep_at: 64 });

struct List {
    all: Vec<Weak<dyn Listed>>,
    /// Length at which the dead are swept out next.
    sweep_at: usize,
}

/// Lists a thing for as long as it lives.
pub(crate) fn list(thing: Weak<dyn Listed>) {
    let mut list = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    if list.all.len() >= list.sweep_at {
        list.all.retain(|thing| thing.strong_count() > 0);
        list.sweep_at = 2 * list.all.len() + 64;
    }
    list.all.push(thing);
}

/// How all are that live, in the order they were made.
pub(crate) fn entries() -> Vec<Entry> {
    live().iter().map(|thing| thing.entry()).collect()
}

/// The pools that live.
pub(crate) fn pools() -> Vec<Arc<Shared>> {
    live().into_iter().filter_map(Listed::pool).collect()
}

fn live() -> Vec<Arc<dyn Listed>> {
    let list = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    list.all.iter().filter_map(Weak::upgrade).collect()
}
