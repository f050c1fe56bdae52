//! Which task runs next: a pure state machine without clock, threads or randomness.
//!
//! # What it decides
//!
//! Work arrives in *flows*: one flow is one queue of an owner's work within one [`Priority`] class. Whenever a
//! worker is free, [`Policy::decide`] names the flow that the next task or short batch is drawn from. Tasks
//! themselves stay with the caller; the policy knows only counts and costs. A cost is a number, here nanoseconds of
//! worker time, so that shares are shares of *time*: a class of long tasks gets no more than one of short
//! tasks.
//!
//! # The algorithm: start-time fair queuing on two levels
//!
//! Each class has a *tag*, the worker time it has received divided by its weight. The backlogged class with
//! the smallest tag is served next, and its tag grows by cost / weight. Within the class the owners are
//! ordered by tags of their own, all of equal weight; with equal costs this is exact round robin, with
//! unequal costs it is round robin in time, so that an owner of 100 ms tasks does not take a thousand times
//! the share of an owner of 100 µs tasks. The flows of one owner take turns.
//!
//! A class (or owner) that comes back from idle starts at the *virtual time*, the start tag of the work last
//! dispatched: it neither hoards credit nor pays for the past. When a worker finds nothing queued at all, the
//! busy period is over and all debts are forgiven.
//!
//! Costs are not known beforehand. A dispatch is charged the flow's running average; [`Policy::settle`]
//! corrects the charge to what was measured. Charging at dispatch keeps several workers from all falling upon
//! the same class before the first of them reports back.
//!
//! Why not the others: *lottery* scheduling has the right shares only in the mean, with an error that grows
//! as the square root of the number of tasks; *deficit round robin* needs a quantum above the largest cost to
//! be O(1), and its latency bound is a whole round of quanta; *stride* scheduling is this algorithm with all
//! costs equal and without a rule for classes that come and go.
//!
//! # Critical work
//!
//! A waiting critical task takes the next free worker, ahead of everything queued, as long as the class is
//! less than its *burst* (a cost, [`PolicyConfig::critical_burst`]) ahead of its fair share; the comparison
//! treats its tag as `tag - burst / weight`. Sporadic critical work therefore always goes first. A flood of it
//! uses up the burst, is then held at its weight (0.4) while others wait, and earns the burst back whenever it
//! uses less than its share. With nothing else waiting there is no limit.
//!
//! # Light work
//!
//! A flow may be opened as *light*: its tasks are expected to be short, as the steps of asynchronous tasks are.
//! [`Policy::decide_light`] serves a worker that must never be long away. It draws from the same order: when
//! the next owner in turn has no light work, or its light work has turned out long, nothing is drawn. So such
//! a worker adds speed, never a share.
//!
//! # Bounds
//!
//! With `c` the largest cost of one dispatch (a batch is at most [`PolicyConfig::turn`], or one task) and `n`
//! workers:
//! - *Fairness window*: while two classes stay backlogged, their received times divided by their weights
//!   differ by at most `n·c / weight` of each, plus the burst for critical. Shares are within two points of
//!   the weights over any span of worker time longer than 50·(n·c) in steady state, and longer than
//!   50·(n·c + burst) from a standing start.
//! - *Latency*: the head of a backlogged class with weight `w` (of 1) is dispatched after at most
//!   `(c + burst) / w + n·c` of worker time given to others; a critical task within its burst waits for the
//!   next task to end on any worker.
//! - *No starvation*: tags only grow by service received, so every backlogged flow becomes the smallest.
//! - *Cost of a decision*: four comparisons for the class, O(log owners) for the owner
//!   (measured by the `overhead` example).

mod heap;

use crate::priority::{BadWeight, PerClass, Priority, Weights};
use heap::Heap;
use std::collections::BTreeMap;

/// Fixed-point scale of inverse shares.
const SCALE: f64 = 65_536.0;

/// Tags are multiples of so much. The rest of a rank is its class's number: the smallest rank names its class, and
/// among equals the most urgent.
const CLASSES: u128 = 4;

/// Rank of a class without work: behind every other.
const IDLE: u128 = u128::MAX;

/// Owners without work whose debts are remembered; beyond this they are forgiven to bound memory.
const DEBTORS_MAX: usize = 4_096;

/// No member of a list.
const NONE: u32 = u32::MAX;

/// Settings of a [`Policy`]. Costs are in nanoseconds of worker time (any unit works if used throughout).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolicyConfig {
    /// Shares of the classes.
    pub weights: Weights,
    /// Cost that one dispatch aims at: short tasks are dispatched in batches of about this cost.
    pub turn: u64,
    /// Most tasks in one dispatch.
    pub batch_max: u64,
    /// How far critical work may run ahead of its share before it is held to it.
    pub critical_burst: u64,
}

impl Default for PolicyConfig {
    /// 0.4/0.3/0.2/0.1, turns of 100 µs or at most 64 tasks, a critical burst of 200 ms.
    fn default() -> Self {
        Self { weights: Weights::default(), turn: 100_000, batch_max: 64, critical_burst: 200_000_000 }
    }
}

impl PolicyConfig {
    /// Tasks of a cost, 0 while unknown, in one turn.
    #[inline]
    fn batch(&self, cost: u64) -> u64 {
        // Compared first: most divisions are never made.
        if cost == 0 || 2 * cost > self.turn { 1 } else { (self.turn / cost).clamp(1, self.batch_max.max(1)) }
    }
}

/// Handle of one flow, from [`Policy::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(u32);

impl FlowId {
    /// A small number, reused after the flow is gone: index for tables kept beside the policy.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The flow at an index of such a table.
    pub(crate) fn at(index: usize) -> Self {
        Self(index as u32)
    }
}

/// What to run next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The class drawn from.
    pub class: Priority,
    /// The flow drawn from.
    pub flow: FlowId,
    /// Number of tasks to take, at least one.
    pub count: u64,
    /// Cost charged for each of them; hand it back to [`Policy::settle`].
    pub charge_each: u64,
}

// A cache line each, as owners are: nothing is read in two parts, and the address takes no multiplication.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Flow {
    class: Priority,
    light: bool,
    open: bool,
    owner: u32,
    queued: u64,
    in_flight: u64,
    /// Running average of the measured cost of a task; 0 while unknown.
    cost: u64,
    /// Tasks of that cost in one turn; one while it is unknown.
    batch: u64,
    /// Neighbours in the owner's ring of flows with queued tasks.
    before: u32,
    after: u32,
}

impl Flow {
    /// What one of its tasks is charged.
    #[inline]
    fn expected(&self, class: &Class, turn: u64) -> u64 {
        if self.cost > 0 {
            return self.cost;
        }
        match class.costs[usize::from(self.light)] {
            0 => turn,
            known => known,
        }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Owner {
    class: Priority,
    name: u64,
    /// Flows that are open or have work; the owner stays while there are any.
    flows: u32,
    /// Cost received, in the owners' virtual time.
    tag: u64,
    /// Order among equal tags: who was served longest ago comes first.
    turn: u64,
    /// Next flow to be served of those with queued tasks, heavy and light.
    rings: [u32; 2],
    /// Which ring is served next when both have work.
    light_next: bool,
    /// What tasks of its flows, heavy and light, cost last: where a new flow starts.
    costs: [u64; 2],
}

#[derive(Debug)]
struct Class {
    /// Scaled 1/share: what one unit of cost adds to the tag; a multiple of [`CLASSES`].
    inverse: u64,
    tag: u128,
    /// Head start in the comparison of tags.
    head_start: u128,
    queued: u64,
    /// Most tasks in one dispatch. Critical tasks go one by one, to any worker that is free.
    batch_max: u64,
    /// Owners with queued tasks.
    ready: Heap,
    /// Virtual time among this class's owners, and the largest tag given out.
    owners_now: u64,
    owners_max: u64,
    /// Running average of the measured cost of heavy and light tasks; 0 while unknown.
    costs: [u64; 2],
}

impl Class {
    /// What the backlogged class with the smallest of is served next.
    #[inline]
    fn rank(&self, class: Priority) -> u128 {
        if self.queued == 0 { IDLE } else { self.start() | class as u128 }
    }

    /// What the class is ahead of its share, its burst let off.
    #[inline]
    fn start(&self) -> u128 {
        self.tag.saturating_sub(self.head_start)
    }

    /// Corrects the class's tag by `to - from` cost. Without a branch: which is larger cannot be foretold.
    #[inline]
    fn correct(&mut self, from: u64, to: u64) {
        let inverse = u128::from(self.inverse);
        self.tag = (self.tag + u128::from(to) * inverse).saturating_sub(u128::from(from) * inverse);
    }
}

/// The state machine. See the [module documentation](self).
#[derive(Debug)]
pub struct Policy {
    config: PolicyConfig,
    classes: [Class; 4],
    /// By class, kept up to date.
    ranks: [u128; 4],
    /// A class has run out of work, or was charged without work, since a worker last asked.
    drained: bool,
    /// Start rank of the work last dispatched.
    now: u128,
    queued: u64,
    flows: Vec<Flow>,
    free_flows: Vec<u32>,
    owners: Vec<Owner>,
    free_owners: Vec<u32>,
    by_owner: BTreeMap<(Priority, u64), u32>,
    /// Owners without flows, kept for their debts.
    debtors: usize,
    turns: u64,
}

impl Policy {
    /// An empty policy.
    ///
    /// # Errors
    /// When a weight is unusable.
    pub fn new(config: PolicyConfig) -> Result<Self, BadWeight> {
        let shares = config.weights.shares()?;
        let inverse = PerClass(shares.0.map(|share| (SCALE / share).round() as u64 * CLASSES as u64));
        let critical_start = u128::from(config.critical_burst) * u128::from(inverse[Priority::Critical]);
        let class = |priority: Priority| Class {
            inverse: inverse[priority],
            // All start where critical's rank is zero, so that its head start is whole from the outset.
            tag: critical_start,
            head_start: if priority == Priority::Critical { critical_start } else { 0 },
            queued: 0,
            batch_max: if priority == Priority::Critical { 1 } else { config.batch_max.max(1) },
            ready: Heap::default(),
            owners_now: 0,
            owners_max: 0,
            costs: [0; 2],
        };
        Ok(Self {
            config,
            classes: Priority::ALL.map(class),
            ranks: [IDLE; 4],
            drained: false,
            now: critical_start,
            queued: 0,
            flows: Vec::new(),
            free_flows: Vec::new(),
            owners: Vec::new(),
            free_owners: Vec::new(),
            by_owner: BTreeMap::new(),
            debtors: 0,
            turns: 0,
        })
    }

    /// The settings.
    pub fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// A new flow of an owner's work in a class. All flows of one owner together have one owner's turns. Each
    /// call is paired with one [`Policy::close`].
    pub fn open(&mut self, class: Priority, owner: u64) -> FlowId {
        self.open_flow(class, owner, false)
    }

    /// As [`Policy::open`], for tasks that are expected to be short; see [`Policy::decide_light`].
    pub fn open_light(&mut self, class: Priority, owner: u64) -> FlowId {
        self.open_flow(class, owner, true)
    }

    fn open_flow(&mut self, class: Priority, name: u64, light: bool) -> FlowId {
        let owner = self.enter_owner(class, name);
        let cost = self.owners[owner as usize].costs[usize::from(light)];
        let batch = self.config.batch(cost);
        let (queued, in_flight, before, after) = (0, 0, NONE, NONE);
        let flow = Flow { class, light, open: true, owner, queued, in_flight, cost, batch, before, after };
        FlowId(fill(&mut self.flows, &mut self.free_flows, flow))
    }

    /// The owner's number, counting one more flow.
    fn enter_owner(&mut self, class: Priority, name: u64) -> u32 {
        if let Some(&id) = self.by_owner.get(&(class, name)) {
            let owner = &mut self.owners[id as usize];
            self.debtors -= usize::from(owner.flows == 0);
            owner.flows += 1;
            return id;
        }
        self.forgive_if_crowded();
        let tag = self.classes[class.index()].owners_now;
        let owner =
            Owner { class, name, flows: 1, tag, turn: 0, rings: [NONE; 2], light_next: false, costs: [0; 2] };
        let id = fill(&mut self.owners, &mut self.free_owners, owner);
        self.by_owner.insert((class, name), id);
        id
    }

    /// Gives back a flow, which goes away once it has no work left.
    pub fn close(&mut self, id: FlowId) {
        let flow = &mut self.flows[id.index()];
        debug_assert!(flow.open, "a flow is closed once");
        flow.open = false;
        self.retire_if_done(id);
    }

    /// `count` tasks were queued in a flow.
    #[inline]
    pub fn arrive(&mut self, id: FlowId, count: u64) {
        if count == 0 {
            return;
        }
        let flow = &mut self.flows[id.index()];
        let class = &mut self.classes[flow.class.index()];
        if class.queued == 0 {
            class.tag = class.tag.max(self.now);
        }
        class.queued += count;
        self.queued += count;
        flow.queued += count;
        self.ranks[flow.class.index()] = class.rank(flow.class);
        if flow.queued == count {
            self.enlist(id);
        }
    }

    /// A flow that has work now takes its place among its owner's, and the owner among the class's.
    fn enlist(&mut self, id: FlowId) {
        let Flow { class, owner: number, light, .. } = self.flows[id.index()];
        let class = &mut self.classes[class.index()];
        let owner = &mut self.owners[number as usize];
        if owner.rings == [NONE; 2] {
            self.turns += 1;
            owner.tag = owner.tag.max(class.owners_now);
            owner.turn = self.turns;
            class.ready.set(number, owner.tag, owner.turn);
        }
        let ring = &mut owner.rings[usize::from(light)];
        if *ring == NONE {
            *ring = id.0;
            self.link(id.0, id.0);
        } else {
            // Last in turn: before the one that is next.
            let next = *ring;
            let last = self.flows[next as usize].before;
            self.link(last, id.0);
            self.link(id.0, next);
        }
    }

    /// A flow without work leaves its owner's ring, and the owner, without others, the class's heap.
    fn delist(&mut self, id: FlowId) {
        let Flow { class, owner: number, light, before, after, .. } = self.flows[id.index()];
        let owner = &mut self.owners[number as usize];
        let ring = &mut owner.rings[usize::from(light)];
        if after == id.0 {
            *ring = NONE;
        } else if *ring == id.0 {
            *ring = after;
        }
        if owner.rings == [NONE; 2] {
            self.classes[class.index()].ready.remove(number);
        }
        self.link(before, after);
    }

    fn link(&mut self, before: u32, after: u32) {
        self.flows[before as usize].after = after;
        self.flows[after as usize].before = before;
    }

    /// `count` queued tasks were taken away without being run.
    pub fn withdraw(&mut self, id: FlowId, count: u64) {
        if count == 0 {
            return;
        }
        let flow = &mut self.flows[id.index()];
        debug_assert!(flow.queued >= count, "more withdrawn than queued");
        flow.queued -= count;
        self.queued -= count;
        let class = &mut self.classes[flow.class.index()];
        class.queued -= count;
        self.drained |= class.queued == 0;
        self.ranks[flow.class.index()] = class.rank(flow.class);
        if flow.queued == 0 {
            self.delist(id);
            self.retire_if_done(id);
        }
    }

    /// Names what runs next, at most `limit` (at least one) tasks of one flow, and charges it. `None` when
    /// nothing is queued, which also ends the busy period.
    #[inline]
    pub fn decide(&mut self, limit: u64) -> Option<Decision> {
        self.end_busy_periods();
        let class = self.next_class()?;
        let number = self.classes[class].ready.firm_first()?;
        let owner = &mut self.owners[number as usize];
        let [heavy, light] = owner.rings;
        let prefer_light = light != NONE && (heavy == NONE || owner.light_next);
        owner.light_next = !prefer_light;
        Some(self.dispatch(FlowId(if prefer_light { light } else { heavy }), limit))
    }

    /// As [`Policy::decide`], but only of light tasks, and only when they are next in turn.
    pub fn decide_light(&mut self, limit: u64) -> Option<Decision> {
        if self.queued == 0 {
            self.end_busy_periods();
        }
        let flow = self.next_light()?;
        Some(self.dispatch(flow, limit))
    }

    /// True when [`Policy::decide_light`] would name a flow.
    pub fn light_is_next(&self) -> bool {
        self.next_light().is_some()
    }

    fn next_light(&self) -> Option<FlowId> {
        let class = &self.classes[self.next_class()?];
        let flow = self.owners[class.ready.first()? as usize].rings[1];
        (flow != NONE && self.flows[flow as usize].cost <= self.config.turn).then_some(FlowId(flow))
    }

    /// As [`Policy::decide`], but only when a critical task may jump ahead now; for a worker that still has
    /// other tasks in hand.
    pub fn decide_urgent(&mut self) -> Option<Decision> {
        if self.urgent() { self.decide(1) } else { None }
    }

    /// True when a critical task waits and may jump ahead of everything queued.
    #[inline]
    pub fn urgent(&self) -> bool {
        self.next_class() == Some(Priority::Critical.index())
    }

    /// Takes one task of a given flow out of turn and charges it: for a task that waits for its own children
    /// and runs them itself. `None` when the flow has nothing queued.
    pub fn draw(&mut self, id: FlowId) -> Option<Decision> {
        let flow = &self.flows[id.index()];
        if flow.queued == 0 {
            return None;
        }
        let (class, charge_each) = (flow.class, self.expected(id));
        self.take(id, 1, charge_each);
        Some(Decision { class, flow: id, count: 1, charge_each })
    }

    /// Takes one light task out of turn and charges it: for when those whose turn it is cannot be served, because
    /// nobody is there to serve them. The most urgent class comes first, in it the owner that had least.
    pub fn draw_overdue_light(&mut self) -> Option<Decision> {
        let waiting = self.flows.iter().enumerate().filter(|(_, flow)| flow.light && flow.queued > 0);
        let (index, _) = waiting.min_by_key(|(_, flow)| {
            let owner = &self.owners[flow.owner as usize];
            (flow.class.index(), owner.tag, owner.turn)
        })?;
        self.draw(FlowId::at(index))
    }

    /// Undoes a dispatch of `count` tasks: they are queued again and their charge is refunded.
    pub fn give_back(&mut self, id: FlowId, count: u64, charged: u64) {
        self.refund(id, count, charged, 0);
        self.arrive(id, count);
    }

    /// `tasks` dispatched tasks ended; they were charged `charged` in sum and cost `actual` in sum.
    #[inline]
    pub fn settle(&mut self, id: FlowId, tasks: u64, charged: u64, actual: u64) {
        self.refund(id, tasks, charged, actual);
        let mean = match tasks {
            0 => return,
            1 => actual,
            _ => actual / tasks,
        };
        let flow = &mut self.flows[id.index()];
        let kind = usize::from(flow.light);
        let known = &mut self.classes[flow.class.index()].costs[kind];
        *known = blend(*known, mean);
        flow.cost = blend(flow.cost, mean);
        flow.batch = self.config.batch(flow.cost);
        self.owners[flow.owner as usize].costs[kind] = flow.cost;
        if !flow.open {
            self.retire_if_done(id);
        }
    }

    /// `tasks` tasks of a flow ran without having been queued, each handed from one to the next while nothing else
    /// was queued: what [`Policy::decide`] would have named. They are charged what they cost.
    pub fn handed_over(&mut self, id: FlowId, tasks: u64, actual: u64) {
        let was_alone = self.queued == 0;
        self.arrive(id, tasks);
        self.end_busy_periods();
        // What was queued since they ran keeps its place in the order.
        if was_alone {
            self.serve(id);
        }
        self.take(id, tasks, 0);
        self.settle(id, tasks, 0, actual);
    }

    /// `tasks` dispatched tasks ended without having been run: their charge is refunded and says nothing about
    /// what such tasks cost.
    pub fn forfeit(&mut self, id: FlowId, tasks: u64, charged: u64) {
        self.refund(id, tasks, charged, 0);
        self.retire_if_done(id);
    }

    /// Tasks queued in a class.
    pub fn queued(&self, class: Priority) -> u64 {
        self.classes[class.index()].queued
    }

    /// Tasks queued in all classes.
    pub fn queued_total(&self) -> u64 {
        self.queued
    }

    /// Tasks queued in a flow.
    pub fn queued_in(&self, id: FlowId) -> u64 {
        self.flows[id.index()].queued
    }

    /// What a task of a flow is expected to cost: the running average of those before it.
    pub fn expected(&self, id: FlowId) -> u64 {
        let flow = &self.flows[id.index()];
        flow.expected(&self.classes[flow.class.index()], self.config.turn)
    }

    /// Owners known, including those kept for their debts; an owner counts once in each class.
    pub fn owners(&self) -> usize {
        self.by_owner.len()
    }

    /// The backlogged class of the smallest rank, by number. Ties go to the more urgent class.
    #[inline]
    fn next_class(&self) -> Option<usize> {
        let [a, b, c, d] = self.ranks;
        let smallest = a.min(b).min(c.min(d));
        (smallest != IDLE).then_some((smallest % CLASSES) as usize)
    }

    /// Takes a turn's worth of a flow that is next: its owner is the first of its class.
    #[inline]
    fn dispatch(&mut self, id: FlowId, limit: u64) -> Decision {
        let flow = &self.flows[id.index()];
        let class = flow.class;
        let charge_each = flow.expected(&self.classes[class.index()], self.config.turn);
        let count = flow.batch.min(self.classes[class.index()].batch_max).min(flow.queued).min(limit.max(1));
        self.serve(id);
        self.take(id, count, charge_each);
        Decision { class, flow: id, count, charge_each }
    }

    /// The virtual times go on to where a flow stands that is served now.
    #[inline]
    fn serve(&mut self, id: FlowId) {
        let flow = &self.flows[id.index()];
        let class = &mut self.classes[flow.class.index()];
        self.now = self.now.max(class.start());
        class.owners_now = class.owners_now.max(self.owners[flow.owner as usize].tag);
    }

    /// Moves `count` tasks of a flow from queued to in flight and charges them; its turn is over.
    #[inline]
    fn take(&mut self, id: FlowId, count: u64, charge_each: u64) {
        let charge = count * charge_each;
        self.turns += 1;
        self.queued -= count;
        let flow = &mut self.flows[id.index()];
        let class = &mut self.classes[flow.class.index()];
        let owner = &mut self.owners[flow.owner as usize];
        flow.queued -= count;
        flow.in_flight += count;
        owner.tag += charge;
        owner.turn = self.turns;
        class.owners_max = class.owners_max.max(owner.tag);
        class.queued -= count;
        class.correct(0, charge);
        self.drained |= class.queued == 0;
        self.ranks[flow.class.index()] = class.rank(flow.class);
        if flow.queued > 0 {
            let ring = &mut owner.rings[usize::from(flow.light)];
            *ring = if *ring == id.0 { flow.after } else { *ring };
            class.ready.set(flow.owner, owner.tag, owner.turn);
        } else {
            self.delist(id);
            self.reorder(id);
        }
    }

    /// Its owner takes the place in the order that its tag says, if it still has work.
    fn reorder(&mut self, id: FlowId) {
        let flow = &self.flows[id.index()];
        let owner = &self.owners[flow.owner as usize];
        if owner.rings != [NONE; 2] {
            self.classes[flow.class.index()].ready.set(flow.owner, owner.tag, owner.turn);
        }
    }

    /// Replaces a charge by what it turned out to be.
    #[inline]
    fn refund(&mut self, id: FlowId, tasks: u64, charged: u64, actual: u64) {
        let flow = &mut self.flows[id.index()];
        debug_assert!(flow.in_flight >= tasks, "more tasks ended than were dispatched");
        flow.in_flight -= tasks;
        if charged == actual {
            return;
        }
        let class = &mut self.classes[flow.class.index()];
        let owner = &mut self.owners[flow.owner as usize];
        owner.tag = (owner.tag + actual).saturating_sub(charged);
        class.owners_max = class.owners_max.max(owner.tag);
        class.correct(charged, actual);
        self.drained |= class.queued == 0;
        self.ranks[flow.class.index()] = class.rank(flow.class);
        if owner.rings != [NONE; 2] {
            // In order at once rather than when it is needed: the next decision, mostly of another class, need not
            // wait for it.
            class.ready.set_firm(flow.owner, owner.tag, owner.turn);
        }
    }

    /// Where nothing is queued when a worker asks, nobody was kept waiting: debts end.
    #[inline]
    fn end_busy_periods(&mut self) {
        if self.drained {
            self.end_those_drained();
        }
    }

    fn end_those_drained(&mut self) {
        self.drained = false;
        for class in &mut self.classes {
            if class.queued == 0 {
                class.owners_now = class.owners_max;
            }
        }
        if self.queued == 0 {
            self.now = self.classes.iter().map(|c| c.tag).fold(self.now, u128::max);
        }
    }

    #[inline]
    fn retire_if_done(&mut self, id: FlowId) {
        let flow = &self.flows[id.index()];
        if !flow.open && flow.queued == 0 && flow.in_flight == 0 {
            self.retire(id);
        }
    }

    fn retire(&mut self, id: FlowId) {
        let number = self.flows[id.index()].owner;
        self.free_flows.push(id.0);
        let owner = &mut self.owners[number as usize];
        owner.flows -= 1;
        if owner.flows > 0 {
            return;
        }
        if owner.tag > self.classes[owner.class.index()].owners_now {
            // Kept, or an owner could shed its debt by closing and opening again.
            self.debtors += 1;
        } else {
            self.forget(number);
        }
    }

    /// Removes owners that only stand for paid debts, or all debtors when there are too many.
    fn forgive_if_crowded(&mut self) {
        if self.debtors <= 64 + (self.by_owner.len() - self.debtors) {
            return;
        }
        let all = self.debtors > DEBTORS_MAX;
        let paid = |owner: &Owner| all || owner.tag <= self.classes[owner.class.index()].owners_now;
        let is_done = |owner: &Owner| owner.flows == 0 && paid(owner);
        let done: Vec<u32> =
            self.by_owner.values().copied().filter(|id| is_done(&self.owners[*id as usize])).collect();
        self.debtors -= done.len();
        done.into_iter().for_each(|id| self.forget(id));
    }

    fn forget(&mut self, id: u32) {
        let owner = &self.owners[id as usize];
        self.by_owner.remove(&(owner.class, owner.name));
        self.free_owners.push(id);
    }
}

/// Stores a value in a free place of a table; its number.
fn fill<T>(table: &mut Vec<T>, free: &mut Vec<u32>, value: T) -> u32 {
    if let Some(id) = free.pop() {
        table[id as usize] = value;
        return id;
    }
    table.push(value);
    table.len() as u32 - 1
}

/// Moving average with weight 1/4 for the newest value; quick to follow a change of kind, slow enough not to
/// jump at one outlier. Never 0, which stands for "unknown".
pub(crate) fn blend(mean: u64, newest: u64) -> u64 {
    if mean == 0 { newest.max(1) } else { (mean - mean / 4 + newest / 4).max(1) }
}
