//! The limiter's decisions as a pure state machine: `(state, event, now) -> who may go`.

use super::{
    bucket::{Bucket, Word},
    order::{Line, Tags},
    pause::{Feedback, Pause, PauseReason, PauseRule},
    quota::{Cost, Quota, Unit},
};
use crate::{
    label::Label,
    priority::{BadWeight, PerClass, Priority, Weights},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// Settings of a [`LimitCore`] or a [`super::RateLimiter`].
#[derive(Clone, Debug)]
pub struct LimiterConfig {
    /// What it limits, where it is shown.
    pub name: Label,
    /// Quotas that all keys share.
    pub global: Vec<Quota>,
    /// Quotas of every key that is not named in `keys`.
    pub per_key: Vec<Quota>,
    /// Keys with quotas of their own.
    pub keys: BTreeMap<String, Vec<Quota>>,
    /// Which refusals shut a key.
    pub pause: PauseRule,
    /// Shares of the classes where a limit is short.
    pub weights: Weights,
    /// How far critical work may run ahead of its share, as time of the limit it uses up.
    pub critical_burst: Duration,
    /// Keys remembered; beyond this those at rest are forgotten.
    pub keys_max: usize,
}

impl Default for LimiterConfig {
    /// No quotas, pauses when refusals are common, the scheduler's weights, a critical burst of 10 s.
    fn default() -> Self {
        Self {
            name: "limiter".into(),
            global: Vec::new(),
            per_key: Vec::new(),
            keys: BTreeMap::new(),
            pause: PauseRule::default(),
            weights: Weights::default(),
            critical_burst: Duration::from_secs(10),
            keys_max: 10_000,
        }
    }
}

/// A wish to be let through.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What is limited together: a host, an account, a model.
    pub key: Arc<str>,
    /// Class of the work.
    pub class: Priority,
    /// Whose work; owners of one class take turns.
    pub owner: u64,
    /// How it is shown while it waits.
    pub label: Label,
    /// What it takes.
    pub cost: Cost,
}

impl Ask {
    /// One request of class standard, owner 0, shown by its key.
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        let key = key.into();
        let label = Label::from(Arc::clone(&key));
        Self { key, class: Priority::default(), owner: 0, label, cost: Cost::REQUEST }
    }
}

/// Handle of somebody who waits. Tickets grow in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What the other side said is left of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Of what.
    pub unit: Unit,
    /// How much.
    pub left: u64,
    /// In how long all of it is back.
    pub resets_in: Duration,
    /// The whole allowance, if it was said: without it a new window is taken to be unlimited until its first
    /// word.
    pub limit: Option<u64>,
    /// It comes back evenly until then (a bucket), rather than all at once at the end (a window).
    pub evenly: bool,
}

/// Somebody let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Who.
    pub ticket: Ticket,
    /// For how long it waited.
    pub waited: Duration,
}

#[derive(Debug)]
struct Waiter {
    key: usize,
    since: u64,
    ask: Ask,
}

/// Buckets and class tags: of one key, or of all together.
#[derive(Debug)]
struct Scope {
    buckets: Vec<Bucket>,
    tags: Tags,
}

impl Scope {
    fn new(quotas: &[Quota], tags: &Tags) -> Self {
        Self { buckets: quotas.iter().copied().map(Bucket::new).collect(), tags: tags.clone() }
    }

    fn ready_at(&self, cost: &Cost, now: u64) -> u64 {
        self.buckets.iter().map(|b| b.ready_at(cost.of(b.unit()), now)).fold(now, u64::max)
    }

    fn take(&mut self, cost: &Cost, now: u64) {
        self.buckets.iter_mut().for_each(|b| b.take(cost.of(b.unit()), now));
    }

    /// Time of the scarcest limit that `cost` uses up.
    fn span(&self, cost: &Cost) -> u64 {
        self.buckets.iter().map(|b| b.span(cost.of(b.unit()))).max().unwrap_or(0)
    }

    fn adjust(&mut self, unit: Unit, from: u64, to: u64, now: u64) {
        for bucket in self.buckets.iter_mut().filter(|b| b.unit() == unit) {
            if to >= from {
                bucket.take(to - from, now);
            } else {
                bucket.give_back(from - to);
            }
        }
    }
}

#[derive(Debug)]
struct Key {
    name: Arc<str>,
    scope: Scope,
    lines: [Line; 4],
    pause: Pause,
    /// When each class was last served here, in grants: keys take turns under a common limit.
    turn: [u64; 4],
    granted: u64,
    delayed: u64,
    waited: u64,
}

impl Key {
    fn waiting(&self) -> usize {
        self.lines.iter().map(Line::len).sum()
    }
}

/// The state machine. Times are durations since a fixed start of the caller's choosing and never go back.
///
/// A decision visits each key with waiters once; everything else is logarithmic in the number of waiters.
#[derive(Debug)]
pub struct LimitCore {
    config: LimiterConfig,
    fresh_tags: Tags,
    global: Scope,
    keys: Vec<Option<Key>>,
    free: Vec<usize>,
    by_name: HashMap<Arc<str>, usize>,
    /// Keys with waiters.
    active: Vec<usize>,
    waiters: HashMap<u64, Waiter>,
    next_ticket: u64,
    grants: u64,
    next_wake: Option<u64>,
}

impl LimitCore {
    /// A core at rest.
    ///
    /// # Errors
    /// When a weight is unusable.
    pub fn new(config: LimiterConfig) -> Result<Self, BadWeight> {
        let fresh_tags = Tags::new(&config.weights, nanos(config.critical_burst))?;
        let global = Scope::new(&config.global, &fresh_tags);
        Ok(Self {
            config,
            fresh_tags,
            global,
            keys: Vec::new(),
            free: Vec::new(),
            by_name: HashMap::new(),
            active: Vec::new(),
            waiters: HashMap::new(),
            next_ticket: 0,
            grants: 0,
            next_wake: None,
        })
    }

    /// The settings.
    pub fn config(&self) -> &LimiterConfig {
        &self.config
    }

    /// Lets work through at once when nobody waits before it and every limit allows it.
    pub fn try_pass(&mut self, ask: &Ask, now: Duration) -> bool {
        let now = nanos(now);
        let key = self.key_of(&ask.key, now);
        let others_wait = !self.active.is_empty() && !self.global.buckets.is_empty();
        if others_wait || self.key(key).waiting() > 0 || self.earliest(key, &ask.cost, now) > now {
            return false;
        }
        self.grant(key, ask.class, &ask.cost, now);
        true
    }

    /// Puts work into line. [`LimitCore::poll`] says when it may go.
    pub fn enter(&mut self, ask: Ask, now: Duration) -> Ticket {
        let now = nanos(now);
        let key_index = self.key_of(&ask.key, now);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let nobody_of_class = !self.active.iter().any(|k| !self.key(*k).lines[ask.class.index()].is_empty());
        if nobody_of_class {
            self.global.tags.arrive(ask.class);
        }
        let key = self.key_mut(key_index);
        if key.waiting() == 0 {
            self.active.push(key_index);
        }
        let key = self.key_mut(key_index);
        if key.lines[ask.class.index()].is_empty() {
            key.scope.tags.arrive(ask.class);
        }
        key.lines[ask.class.index()].push(ask.owner, ticket);
        key.delayed += 1;
        self.waiters.insert(ticket, Waiter { key: key_index, since: now, ask });
        Ticket(ticket)
    }

    /// Takes work out of line; false when it is not there (any more).
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        let Some(waiter) = self.waiters.remove(&ticket.0) else { return false };
        let key = self.key_mut(waiter.key);
        key.lines[waiter.ask.class.index()].withdraw(waiter.ask.owner, ticket.0);
        self.settle_line(waiter.key);
        true
    }

    /// Everybody who may go now, in order. Call it after every event, and at [`LimitCore::next_wake`].
    pub fn poll(&mut self, now: Duration) -> Vec<Pass> {
        let now = nanos(now);
        let mut passes = Vec::new();
        while let Some((key, class)) = self.next(now) {
            let Some(ticket) = self.key(key).lines[class.index()].head() else { break };
            let Some(waiter) = self.waiters.remove(&ticket) else { break };
            let cost = waiter.ask.cost;
            self.grant(key, class, &cost, now);
            let span = self.key(key).scope.span(&cost).max(self.global.span(&cost));
            let waited = now.saturating_sub(waiter.since);
            let of = self.key_mut(key);
            of.waited += waited;
            of.lines[class.index()].serve(waiter.ask.owner, ticket, span);
            self.settle_line(key);
            passes.push(Pass { ticket: Ticket(ticket), waited: Duration::from_nanos(waited) });
        }
        passes
    }

    /// When somebody may go next if nothing happens before; none when nobody waits. As of the last
    /// [`LimitCore::poll`].
    pub fn next_wake(&self) -> Option<Duration> {
        self.next_wake.map(Duration::from_nanos)
    }

    /// Lower bound of the wait for work like this: pause and limits, without those who wait before it.
    pub fn wait_at_least(&mut self, ask: &Ask, now: Duration) -> Duration {
        let now = nanos(now);
        let key = self.key_of(&ask.key, now);
        Duration::from_nanos(self.earliest(key, &ask.cost, now) - now)
    }

    /// Hears an answer's word about limits.
    pub fn hear(&mut self, key: &Arc<str>, feedback: Feedback, now: Duration) {
        let now = nanos(now);
        let rule = self.config.pause;
        let index = self.key_of(key, now);
        self.key_mut(index).pause.hear(feedback, rule, now);
    }

    /// Hears what is left of a unit by the other side's count.
    pub fn observe(&mut self, key: &Arc<str>, left: Left, now: Duration) {
        let now = nanos(now);
        let until = now.saturating_add(nanos(left.resets_in));
        let word = Word { left: left.left, limit: left.limit, until, evenly: left.evenly };
        let index = self.key_of(key, now);
        let buckets = &mut self.key_mut(index).scope.buckets;
        let at = buckets.iter().position(|b| b.unit() == left.unit).unwrap_or_else(|| {
            buckets.push(Bucket::unlimited(left.unit));
            buckets.len() - 1
        });
        buckets[at].observe(word, now);
    }

    /// Corrects what work took of a unit once it is known: `from` was granted, `to` was used. What was used
    /// beyond it becomes a debt that later work waits for.
    pub fn adjust(&mut self, key: &Arc<str>, unit: Unit, from: u64, to: u64, now: Duration) {
        let now = nanos(now);
        let index = self.key_of(key, now);
        self.key_mut(index).scope.adjust(unit, from, to, now);
        self.global.adjust(unit, from, to, now);
    }

    /// For how much longer a key is paused, and why.
    pub fn paused(&self, key: &str, now: Duration) -> Option<(Duration, PauseReason)> {
        let now = nanos(now);
        let (until, reason) = self.key(*self.by_name.get(key)?).pause.lasting(now)?;
        Some((Duration::from_nanos(until - now), reason))
    }

    /// Work in line.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// What is known of every key, and who waits; at most `waiters_max` of them by name for each key.
    pub fn snapshot(&self, waiters_max: usize, now: Duration) -> LimiterSnapshot {
        let now = nanos(now);
        let mut keys: Vec<KeySnapshot> =
            self.keys.iter().flatten().map(|key| self.describe(key, waiters_max, now)).collect();
        keys.sort_by(|a, b| b.waiting.cmp(&a.waiting).then_with(|| a.key.cmp(&b.key)));
        LimiterSnapshot {
            global: levels(&self.global, now),
            keys,
            next_in: self.next_wake.map(|at| Duration::from_nanos(at.saturating_sub(now))),
        }
    }

    /// The key and class to serve now, or none; sets the time of the next wake.
    fn next(&mut self, now: u64) -> Option<(usize, Priority)> {
        let mut wake = u64::MAX;
        // Per class, the key among those with room that was served longest ago.
        let mut best: [Option<(u64, usize)>; 4] = [None; 4];
        for &index in &self.active {
            let key = self.key(index);
            let (offers, at) = self.offers(key, now);
            wake = wake.min(at);
            for class in Priority::ALL.into_iter().filter(|c| offers[c.index()]) {
                let mine = Some((key.turn[class.index()], index));
                let slot = &mut best[class.index()];
                *slot = if slot.is_some() { (*slot).min(mine) } else { mine };
            }
        }
        let chosen = self.global.tags.first(|class| best[class.index()].is_some()).and_then(|class| {
            let (_, key) = best[class.index()]?;
            let at = self.global.ready_at(&self.head(self.key(key), class)?.cost, now);
            // No bypass: what is next under the common limit is waited for.
            if at > now {
                wake = at;
                return None;
            }
            Some((key, class))
        });
        let nobody = self.active.is_empty() || wake == u64::MAX;
        self.next_wake = if chosen.is_some() || nobody { None } else { Some(wake) };
        chosen
    }

    /// The classes a key offers now, and, where it offers none, when it will.
    fn offers(&self, key: &Key, now: u64) -> ([bool; 4], u64) {
        let waits = |class: Priority| !key.lines[class.index()].is_empty();
        let none = [false; 4];
        let open_at = key.pause.ready_at(now);
        if open_at > now {
            return (none, open_at);
        }
        let Some(first) = key.scope.tags.first(waits) else { return (none, u64::MAX) };
        let Some(ask) = self.head(key, first) else { return (none, u64::MAX) };
        let at = key.scope.ready_at(&ask.cost, now);
        if at > now {
            return (none, at);
        }
        // With room for every class's head, this key's limit is not what they wait for.
        let heads = Priority::ALL.into_iter().filter_map(|class| self.head(key, class));
        let together = sum(heads.map(|ask| ask.cost), &key.scope);
        let roomy = key.scope.buckets.iter().zip(together).all(|(b, cost)| b.ready_at(cost, now) <= now);
        let offers = Priority::ALL.map(|class| class == first || (roomy && waits(class)));
        (offers, u64::MAX)
    }

    fn head(&self, key: &Key, class: Priority) -> Option<&Ask> {
        let ticket = key.lines[class.index()].head()?;
        self.waiters.get(&ticket).map(|waiter| &waiter.ask)
    }

    fn earliest(&self, key: usize, cost: &Cost, now: u64) -> u64 {
        let key = self.key(key);
        let own = key.pause.ready_at(now).max(key.scope.ready_at(cost, now));
        own.max(self.global.ready_at(cost, now))
    }

    fn grant(&mut self, index: usize, class: Priority, cost: &Cost, now: u64) {
        self.grants += 1;
        let turn = self.grants;
        self.global.take(cost, now);
        let span = self.global.span(cost);
        self.global.tags.charge(class, span);
        let key = self.key_mut(index);
        key.scope.take(cost, now);
        let span = key.scope.span(cost);
        key.scope.tags.charge(class, span);
        key.turn[class.index()] = turn;
        key.granted += 1;
    }

    /// After somebody left a line: what is empty comes to rest.
    fn settle_line(&mut self, index: usize) {
        let key = self.key_mut(index);
        if key.waiting() == 0 {
            key.scope.tags.rest();
            self.active.retain(|k| *k != index);
        }
        if self.active.is_empty() {
            self.global.tags.rest();
            self.next_wake = None;
        }
    }

    fn key_of(&mut self, name: &Arc<str>, now: u64) -> usize {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        if self.by_name.len() >= self.config.keys_max {
            self.forget(now);
        }
        let quotas = self.config.keys.get(&**name).unwrap_or(&self.config.per_key);
        let key = Key {
            name: Arc::clone(name),
            scope: Scope::new(quotas, &self.fresh_tags),
            lines: Default::default(),
            pause: Pause::default(),
            turn: [0; 4],
            granted: 0,
            delayed: 0,
            waited: 0,
        };
        let index = self.free.pop().unwrap_or(self.keys.len());
        if index == self.keys.len() {
            self.keys.push(None);
        }
        self.keys[index] = Some(key);
        self.by_name.insert(Arc::clone(name), index);
        index
    }

    /// Forgets keys of which nothing needs to be known.
    fn forget(&mut self, now: u64) {
        for index in 0..self.keys.len() {
            let idle = self.keys[index].as_ref().is_some_and(|key| {
                let fresh = key.scope.buckets.iter().all(|b| b.is_fresh(now));
                key.waiting() == 0 && fresh && key.pause.ready_at(now) == now
            });
            if idle && let Some(key) = self.keys[index].take() {
                self.by_name.remove(&key.name);
                self.free.push(index);
            }
        }
    }

    fn describe(&self, key: &Key, waiters_max: usize, now: u64) -> KeySnapshot {
        let tickets = Priority::ALL.into_iter().flat_map(|class| key.lines[class.index()].tickets());
        let waiters = tickets.take(waiters_max).filter_map(|ticket| self.waiters.get(&ticket));
        KeySnapshot {
            key: Arc::clone(&key.name),
            levels: levels(&key.scope, now),
            paused: key.pause.lasting(now).map(|(until, reason)| (Duration::from_nanos(until - now), reason)),
            pauses: key.pause.count,
            granted: key.granted,
            delayed: key.delayed,
            waited: Duration::from_nanos(key.waited),
            waiting: key.waiting(),
            waiting_by_class: PerClass(Priority::ALL.map(|class| key.lines[class.index()].len())),
            waiters: waiters
                .map(|w| WaiterSnapshot {
                    label: w.ask.label.clone(),
                    class: w.ask.class,
                    owner: w.ask.owner,
                    cost: w.ask.cost,
                    waited: Duration::from_nanos(now.saturating_sub(w.since)),
                })
                .collect(),
        }
    }

    fn key(&self, index: usize) -> &Key {
        self.keys[index].as_ref().expect("keys with waiters are not forgotten")
    }

    fn key_mut(&mut self, index: usize) -> &mut Key {
        self.keys[index].as_mut().expect("keys with waiters are not forgotten")
    }
}

fn sum(costs: impl Iterator<Item = Cost>, scope: &Scope) -> Vec<u64> {
    let mut sums = vec![0; scope.buckets.len()];
    for cost in costs {
        for (sum, bucket) in sums.iter_mut().zip(&scope.buckets) {
            *sum += cost.of(bucket.unit());
        }
    }
    sums
}

fn levels(scope: &Scope, now: u64) -> Vec<Level> {
    let level = |b: &Bucket| Level {
        unit: b.unit(),
        quota: b.quota(),
        available: b.available(now).map(|(left, _)| left),
        taken: b.taken(),
    };
    scope.buckets.iter().map(level).collect()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// State of a limiter at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimiterSnapshot {
    /// The common quotas.
    pub global: Vec<Level>,
    /// All keys known, those with most waiters first.
    pub keys: Vec<KeySnapshot>,
    /// In how long somebody may go next; none when nobody waits.
    pub next_in: Option<Duration>,
}

/// One quota at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Of what.
    pub unit: Unit,
    /// Our own quota; none where only the other side's word limits.
    pub quota: Option<Quota>,
    /// Units that may be taken now; none where nothing limits them.
    pub available: Option<u64>,
    /// Units taken so far.
    pub taken: u64,
}

/// One key at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySnapshot {
    /// Its name.
    pub key: Arc<str>,
    /// Its quotas.
    pub levels: Vec<Level>,
    /// How much longer it is paused, and why.
    pub paused: Option<(Duration, PauseReason)>,
    /// How often it was paused.
    pub pauses: u64,
    /// Work let through.
    pub granted: u64,
    /// Work that had to wait in line.
    pub delayed: u64,
    /// Time spent in line, of all work let through.
    pub waited: Duration,
    /// Work in line now.
    pub waiting: usize,
    /// The same by class.
    pub waiting_by_class: PerClass<usize>,
    /// Those in line, by class and in the order of their turns; cut to the number asked for.
    pub waiters: Vec<WaiterSnapshot>,
}

/// One piece of work in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaiterSnapshot {
    /// Its name.
    pub label: Label,
    /// Its class.
    pub class: Priority,
    /// Its owner.
    pub owner: u64,
    /// What it asks for.
    pub cost: Cost,
    /// For how long it has been in line.
    pub waited: Duration,
}
