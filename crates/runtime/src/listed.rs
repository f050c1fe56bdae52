//! What lives in this process and can be shown: channels list themselves here when they are made, so that nobody
//! has to remember to.

use crate::channel::ChannelSnapshot;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Something that can be shown.
pub(crate) trait Listed: Send + Sync {
    /// How it is now. Takes its own lock for the length of a copy.
    fn entry(&self) -> Entry;
}

/// A thing as shown.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Channel(ChannelSnapshot),
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

/// All that live, in the order they were made.
pub(crate) fn entries() -> Vec<Entry> {
    let live: Vec<Arc<dyn Listed>> = {
        let list = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        list.all.iter().filter_map(Weak::upgrade).collect()
    };
    live.iter().map(|thing| thing.entry()).collect()
}
