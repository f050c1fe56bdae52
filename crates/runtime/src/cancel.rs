//! Cooperative cancellation: a tree of tokens.

use crate::lock;
use crate::sync::Mutex;
use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

type Hook = Arc<dyn Fn() + Send + Sync>;

/// A flag that can be raised once, and with it those of all its descendants. Clones share the flag.
///
/// ```
/// use springtide_runtime::CancelToken;
///
/// let whole = CancelToken::new();
/// let part = whole.child();
/// part.cancel();
/// assert!(part.is_cancelled() && !whole.is_cancelled());
/// whole.cancel();
/// assert!(whole.child().is_cancelled());
/// ```
#[derive(Clone, Default)]
pub struct CancelToken {
    node: Arc<Node>,
}

#[derive(Default)]
struct Node {
    cancelled: AtomicBool,
    links: Mutex<Links>,
    /// Keeps the chain from the root alive, or a dropped token in the middle would cut off its children.
    _parent: Option<Arc<Node>>,
}

#[derive(Default)]
struct Links {
    children: Vec<Weak<Node>>,
    /// Children at which dead ones are swept out next.
    sweep_at: usize,
    hooks: Vec<(u64, Hook)>,
    next_hook: u64,
}

impl CancelToken {
    /// A root token.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is cancelled with this one, but can be cancelled alone.
    pub fn child(&self) -> Self {
        let mut links = lock(&self.node.links);
        // Read under the lock: whoever cancels raises the flag first and then takes the children.
        let cancelled = AtomicBool::new(self.is_cancelled());
        let node =
            Arc::new(Node { cancelled, links: Mutex::default(), _parent: Some(Arc::clone(&self.node)) });
        if links.children.len() >= links.sweep_at {
            links.children.retain(|child| child.strong_count() > 0);
            links.sweep_at = 2 * links.children.len() + 16;
        }
        links.children.push(Arc::downgrade(&node));
        Self { node }
    }

    /// Raises the flag here and below and runs the hooks, on this thread. Returns false when it was raised
    /// already. Hooks take locks: call it from a thread, not from inside a Unix signal handler.
    pub fn cancel(&self) -> bool {
        let first = self.node.raise();
        if let Some(links) = &first {
            // A work list, since trees may be deep.
            let mut below = live(links);
            let mut hooks: Vec<Hook> = links.hooks.iter().map(|(_, hook)| Arc::clone(hook)).collect();
            while let Some(node) = below.pop() {
                if let Some(links) = node.raise() {
                    below.extend(live(&links));
                    hooks.extend(links.hooks.into_iter().map(|(_, hook)| hook));
                }
            }
            hooks.iter().for_each(|hook| hook());
        }
        first.is_some()
    }

    /// True once this token or one above it was cancelled. One atomic load.
    pub fn is_cancelled(&self) -> bool {
        self.node.cancelled.load(Ordering::Acquire)
    }

    /// Runs `hook` when the token is cancelled, on the cancelling thread; at once when it is cancelled already.
    /// Dropping the registration removes the hook (a call under way is not waited for).
    pub fn on_cancel(&self, hook: impl Fn() + Send + Sync + 'static) -> CancelHook {
        let mut links = lock(&self.node.links);
        if self.is_cancelled() {
            drop(links);
            hook();
            return CancelHook { node: Weak::new(), id: 0 };
        }
        let id = links.next_hook;
        links.next_hook += 1;
        links.hooks.push((id, Arc::new(hook)));
        CancelHook { node: Arc::downgrade(&self.node), id }
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

impl Node {
    /// Raises this flag; what hangs on it, when this call was the first.
    fn raise(&self) -> Option<Links> {
        if self.cancelled.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(std::mem::take(&mut *lock(&self.links)))
    }
}

fn live(links: &Links) -> Vec<Arc<Node>> {
    links.children.iter().filter_map(Weak::upgrade).collect()
}

/// Registration of a hook; see [`CancelToken::on_cancel`].
#[must_use = "dropping the registration removes the hook"]
pub struct CancelHook {
    node: Weak<Node>,
    id: u64,
}

impl Drop for CancelHook {
    fn drop(&mut self) {
        if let Some(node) = self.node.upgrade() {
            lock(&node.links).hooks.retain(|(id, _)| *id != self.id);
        }
    }
}

impl fmt::Debug for CancelHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHook").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn reaches_all_below_and_nothing_beside() {
        let root = CancelToken::new();
        let (left, right) = (root.child(), root.child());
        let deep = left.child().child();
        left.cancel();
        assert!(deep.is_cancelled());
        assert!(!right.is_cancelled() && !root.is_cancelled());
    }

    #[test]
    fn a_dropped_middle_does_not_cut_the_tree() {
        let root = CancelToken::new();
        let middle = root.child();
        let leaf = middle.child();
        drop(middle);
        root.cancel();
        assert!(leaf.is_cancelled());
    }

    #[test]
    fn a_child_of_a_cancelled_token_is_cancelled() {
        let root = CancelToken::new();
        assert!(root.cancel());
        assert!(!root.cancel(), "only the first call says true");
        assert!(root.child().is_cancelled());
    }

    #[test]
    fn hooks_run_once_unless_removed() {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = |by: usize| {
            let calls = Arc::clone(&calls);
            move || {
                calls.fetch_add(by, Ordering::Relaxed);
            }
        };
        let root = CancelToken::new();
        let kept = root.child().on_cancel(count(1));
        let child = root.child();
        let _kept = child.on_cancel(count(10));
        drop(child.on_cancel(count(100)));
        root.cancel();
        root.cancel();
        // The first child was dropped with its hook: nothing can cancel it any more.
        drop(kept);
        assert_eq!(calls.load(Ordering::Relaxed), 10);
        let _late = root.on_cancel(count(1_000));
        assert_eq!(calls.load(Ordering::Relaxed), 1_010, "a late hook runs at once");
    }

    #[test]
    fn dead_children_are_swept() {
        let root = CancelToken::new();
        for _ in 0..10_000 {
            drop(root.child());
        }
        assert!(lock(&root.node.links).children.len() < 100);
    }
}
