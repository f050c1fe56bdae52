//! Locks of debug builds, which check their order: taking two locks one inside the other in both orders is
//! reported at once, with both stacks, also when it did not lead to a deadlock this time.
//!
//! Locks are told apart by where they are made and what they guard, as there are many of each kind. Two of one kind one inside the
//! other is reported, too: nothing says in which order another thread takes them.

use std::{
    backtrace::Backtrace,
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    io::Write,
    ops::{Deref, DerefMut},
    panic::Location,
    sync::{self, LockResult, PoisonError, WaitTimeoutResult},
    time::Duration,
};

/// A kind of lock: where it is made, and the name of what it guards.
#[derive(Clone, Copy)]
struct Kind {
    made: &'static Location<'static>,
    guards: fn() -> &'static str,
}

/// [`std::sync::Mutex`], whose order among others is checked.
pub struct Mutex<T> {
    kind: Kind,
    inner: sync::Mutex<T>,
}

/// What [`Mutex::lock`] gives; as [`std::sync::MutexGuard`].
pub struct MutexGuard<'a, T> {
    inner: sync::MutexGuard<'a, T>,
    held: Held,
}

/// A mark that this thread holds a lock.
struct Held(Kind);

thread_local! {
    /// What this thread holds, in the order taken.
    static HOLDS: RefCell<Vec<Kind>> = const { RefCell::new(Vec::new()) };
    /// Pairs that this thread has seen to be in order.
    static KNOWN: RefCell<HashSet<(Id, Id)>> = RefCell::default();
}

/// What was ever taken inside what, and the stack of the first time.
type Orders = BTreeMap<Name, BTreeMap<Name, Backtrace>>;
type Name = (&'static str, u32, u32, &'static str);

static ORDERS: sync::Mutex<Option<Orders>> = sync::Mutex::new(None);

impl<T> Mutex<T> {
    /// As in the standard library. Where it is called names the lock in a report.
    #[track_caller]
    pub const fn new(value: T) -> Self {
        let kind = Kind { made: Location::caller(), guards: std::any::type_name::<T> };
        Self { kind, inner: sync::Mutex::new(value) }
    }

    /// As in the standard library.
    ///
    /// # Errors
    /// When a thread panicked while it held the lock.
    ///
    /// # Panics
    /// When the order in which this thread takes its locks is the reverse of one seen before.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let held = Held::take(self.kind);
        match self.inner.lock() {
            Ok(inner) => Ok(MutexGuard { inner, held }),
            Err(poisoned) => Err(PoisonError::new(MutexGuard { inner: poisoned.into_inner(), held })),
        }
    }
}

impl<T> Mutex<T> {
    /// As in the standard library: nobody else can hold it.
    ///
    /// # Errors
    /// When a thread panicked while it held the lock.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.inner.get_mut()
    }

    /// As in the standard library.
    ///
    /// # Errors
    /// When a thread panicked while it held the lock.
    pub fn into_inner(self) -> LockResult<T> {
        self.inner.into_inner()
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> std::fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mutex").field("kind", &self.kind.to_string()).finish_non_exhaustive()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl Held {
    fn take(kind: Kind) -> Self {
        // A thread that is ending has no marks any more, and is not checked.
        let _ = HOLDS.try_with(|holds| {
            let mut holds = holds.borrow_mut();
            holds.iter().for_each(|outer| check(*outer, kind));
            holds.push(kind);
        });
        Self(kind)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = HOLDS.try_with(|holds| {
            let mut holds = holds.borrow_mut();
            if let Some(at) = holds.iter().rposition(|kind| kind.id() == self.0.id()) {
                holds.remove(at);
            }
        });
    }
}

/// Notes that `inner` is taken inside `outer`.
///
/// # Panics
/// When it was taken the other way round before.
fn check(outer: Kind, inner: Kind) {
    let pair = (outer.id(), inner.id());
    let known = KNOWN.try_with(|known| known.borrow().contains(&pair)).unwrap_or(true);
    if known {
        return;
    }
    let mut orders = ORDERS.lock().unwrap_or_else(PoisonError::into_inner);
    let orders = orders.get_or_insert_default();
    if let Some(before) = path(orders, inner.name(), outer.name()) {
        let report = format!(
            "locks in two orders, which can deadlock: the one made at {inner} is taken inside the one made at \
             {outer}, here:\n{}\nand before it was taken outside of it, there:\n{before}",
            Backtrace::force_capture()
        );
        // Written, too: a panic inside a destructor ends the process without a word.
        let _ = std::io::stderr().write_all(report.as_bytes());
        panic!("{report}");
    }
    orders.entry(outer.name()).or_default().entry(inner.name()).or_insert_with(Backtrace::force_capture);
    let _ = KNOWN.try_with(|known| known.borrow_mut().insert(pair));
}

/// Quick to compare; a kind may have several.
type Id = (usize, usize);

impl Kind {
    fn id(self) -> Id {
        (std::ptr::from_ref(self.made) as usize, self.guards as usize)
    }

    fn name(self) -> Name {
        (self.made.file(), self.made.line(), self.made.column(), (self.guards)())
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.made, (self.guards)())
    }
}

/// The stack of the first step on a way from one lock to another, each taken inside the one before.
fn path(orders: &Orders, from: Name, to: Name) -> Option<String> {
    if from == to {
        return Some("two locks of one kind\n".into());
    }
    let mut first: HashMap<Name, &Backtrace> = HashMap::new();
    let mut open: Vec<Name> = Vec::new();
    for (next, stack) in orders.get(&from)? {
        first.insert(*next, stack);
        open.push(*next);
    }
    while let Some(at) = open.pop() {
        let stack = first[&at];
        if at == to {
            return Some(stack.to_string());
        }
        for next in orders.get(&at).into_iter().flat_map(BTreeMap::keys) {
            if !first.contains_key(next) {
                first.insert(*next, stack);
                open.push(*next);
            }
        }
    }
    None
}

/// [`std::sync::Condvar`] for those locks.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// As in the standard library.
    pub fn new() -> Self {
        Self::default()
    }

    /// As in the standard library.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// As in the standard library.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// As in the standard library.
    ///
    /// # Errors
    /// When a thread panicked while it held the lock.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let MutexGuard { inner, held } = guard;
        match self.0.wait(inner) {
            Ok(inner) => Ok(MutexGuard { inner, held }),
            Err(poisoned) => Err(PoisonError::new(MutexGuard { inner: poisoned.into_inner(), held })),
        }
    }

    /// As in the standard library.
    ///
    /// # Errors
    /// When a thread panicked while it held the lock.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let MutexGuard { inner, held } = guard;
        match self.0.wait_timeout(inner, time) {
            Ok((inner, over)) => Ok((MutexGuard { inner, held }, over)),
            Err(poisoned) => {
                let (inner, over) = poisoned.into_inner();
                Err(PoisonError::new((MutexGuard { inner, held }, over)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{capture, lock};

    fn first_account_then_second(first: &Mutex<u32>, second: &Mutex<u32>) {
        let (mut one, mut two) = (lock(first), lock(second));
        std::mem::swap(&mut *one, &mut *two);
    }

    fn second_account_then_first(first: &Mutex<u32>, second: &Mutex<u32>) {
        let (mut two, mut one) = (lock(second), lock(first));
        std::mem::swap(&mut *one, &mut *two);
    }

    #[test]
    fn two_orders_are_reported_with_both_stacks() {
        capture::install_hook();
        let first = Mutex::new(1);
        let second = Mutex::new(2);
        // One after the other, so that nothing blocks this time.
        first_account_then_second(&first, &second);
        first_account_then_second(&first, &second);
        let report = capture::catch(|| second_account_then_first(&first, &second)).expect_err("reported");
        for want in ["locks in two orders", "first_account_then_second", "second_account_then_first", file!()]
        {
            assert!(report.contains(want), "{want} is missing in {report}");
        }
        // Afterwards nothing is held.
        HOLDS.with_borrow(|holds| assert!(holds.is_empty()));
        drop((lock(&first), lock(&second)));
    }

    #[test]
    fn a_way_round_over_a_third_lock_is_found() {
        capture::install_hook();
        let a = Mutex::new(());
        let b = Mutex::new(());
        let c = Mutex::new(());
        drop((lock(&a), lock(&b)));
        drop((lock(&b), lock(&c)));
        assert!(capture::catch(|| drop((lock(&c), lock(&a)))).is_err());
    }

    #[test]
    fn two_of_one_kind_are_reported() {
        capture::install_hook();
        let all: Vec<Mutex<u32>> = (0..2).map(Mutex::new).collect();
        assert!(capture::catch(|| drop((lock(&all[0]), lock(&all[1])))).is_err());
    }
}
