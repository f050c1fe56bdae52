//! Which task runs next: a pure state machine without clock, threads or randomness.
//!
//! # What it decides
//!
//! Work arrives in *flows*: one flow is one owner's work within one [`Priority`] class. Whenever a worker is
//! free, [`Policy::decide`] names the flow that the next task or short batch is drawn from. Tasks themselves
//! stay with the caller; the policy knows only counts and costs. A cost is a number, here nanoseconds of
//! worker time, so that shares are shares of *time*: a class of long tasks gets no more than one of short
//! tasks.
//!
//! # The algorithm: start-time fair queuing on two levels
//!
//! Each class has a *tag*, the worker time it has received divided by its weight. The backlogged class with
//! the smallest tag is served next, and its tag grows by cost / weight. Within the class the owners are
//! ordered by tags of their own, all of equal weight; with equal costs this is exact round robin, with
//! unequal costs it is round robin in time, so that an owner of 100 ms tasks does not take a thousand times
//! the share of an owner of 100 µs tasks.
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
//! - *Cost of a decision*: four comparisons for the class, O(log owners) for the owner; below 100 ns
//!   (measured by the `overhead` example).

use crate::priority::{BadWeight, PerClass, Priority, Weights};
use std::collections::{BTreeMap, BTreeSet};

/// Fixed-point scale of inverse shares.
const SCALE: f64 = 65_536.0;

/// Owners without work whose debts are remembered; beyond this they are forgiven to bound memory.
const DEBTORS_MAX: usize = 4_096;

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

/// Handle of one owner's work in one class, from [`Policy::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(u32);

impl FlowId {
    /// A small number, reused after the flow is gone: index for tables kept beside the policy.
    pub fn index(self) -> usize {
        self.0 as usize
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

#[derive(Debug)]
struct Flow {
    class: Priority,
    owner: u64,
    /// Open handles; the flow stays while there are any.
    holders: u32,
    queued: u64,
    in_flight: u64,
    /// Cost received, in the owners' virtual time.
    tag: u64,
    /// Order among equal tags: who was served longest ago comes first.
    turn: u64,
    /// Running average of the measured cost of a task.
    cost: Option<u64>,
}

#[derive(Debug)]
struct Class {
    /// Scaled 1/share: what one unit of cost adds to the tag.
    inverse: u128,
    tag: u128,
    /// Head start in the comparison of tags.
    head_start: u128,
    queued: u64,
    /// Flows with queued tasks.
    ready: BTreeSet<(u64, u64, FlowId)>,
    /// Virtual time among this class's owners, and the largest tag given out.
    owners_now: u64,
    owners_max: u64,
    cost: Option<u64>,
}

impl Class {
    fn rank(&self) -> u128 {
        self.tag.saturating_sub(self.head_start)
    }

    /// Corrects the class's tag by `to - from` cost.
    fn correct(&mut self, from: u64, to: u64) {
        if to >= from {
            self.tag += u128::from(to - from) * self.inverse;
        } else {
            self.tag = self.tag.saturating_sub(u128::from(from - to) * self.inverse);
        }
    }
}

/// The state machine. See the [module documentation](self).
#[derive(Debug)]
pub struct Policy {
    config: PolicyConfig,
    classes: [Class; 4],
    /// Start rank of the work last dispatched.
    now: u128,
    flows: Vec<Option<Flow>>,
    free: Vec<FlowId>,
    by_owner: BTreeMap<(Priority, u64), FlowId>,
    /// Flows without holders and work, kept for their debts.
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
        let inverse = PerClass(shares.0.map(|share| (SCALE / share).round() as u128));
        let critical_start = u128::from(config.critical_burst) * inverse[Priority::Critical];
        let class = |priority: Priority| Class {
            inverse: inverse[priority],
            // All start where critical's rank is zero, so that its head start is whole from the outset.
            tag: critical_start,
            head_start: if priority == Priority::Critical { critical_start } else { 0 },
            queued: 0,
            ready: BTreeSet::new(),
            owners_now: 0,
            owners_max: 0,
            cost: None,
        };
        Ok(Self {
            config,
            classes: Priority::ALL.map(class),
            now: critical_start,
            flows: Vec::new(),
            free: Vec::new(),
            by_owner: BTreeMap::new(),
            debtors: 0,
            turns: 0,
        })
    }

    /// The settings.
    pub fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// Handle for an owner's work in a class; the same flow for every call with equal arguments. Each call is
    /// paired with one [`Policy::close`].
    pub fn open(&mut self, class: Priority, owner: u64) -> FlowId {
        if let Some(&id) = self.by_owner.get(&(class, owner)) {
            let flow = self.flow_mut(id);
            let was_debtor = flow.is_debtor();
            flow.holders += 1;
            self.debtors -= usize::from(was_debtor);
            return id;
        }
        self.forgive_if_crowded();
        let tag = self.classes[class.index()].owners_now;
        let flow = Flow { class, owner, holders: 1, queued: 0, in_flight: 0, tag, turn: 0, cost: None };
        let id = self.free.pop().unwrap_or(FlowId(self.flows.len() as u32));
        if id.index() == self.flows.len() {
            self.flows.push(None);
        }
        self.flows[id.index()] = Some(flow);
        self.by_owner.insert((class, owner), id);
        id
    }

    /// Gives back a handle. The flow goes away once it has no work left.
    pub fn close(&mut self, id: FlowId) {
        self.flow_mut(id).holders -= 1;
        self.retire_if_done(id);
    }

    /// `count` tasks were queued in a flow.
    pub fn arrive(&mut self, id: FlowId, count: u64) {
        if count == 0 {
            return;
        }
        let now = self.now;
        self.turns += 1;
        let turn = self.turns;
        let (flow, class) = self.pair(id);
        if class.queued == 0 {
            class.tag = class.tag.max(now);
        }
        class.queued += count;
        if flow.queued == 0 {
            flow.tag = flow.tag.max(class.owners_now);
            flow.turn = turn;
            class.ready.insert((flow.tag, flow.turn, id));
        }
        flow.queued += count;
    }

    /// `count` queued tasks were taken away without being run.
    pub fn withdraw(&mut self, id: FlowId, count: u64) {
        let (flow, class) = self.pair(id);
        debug_assert!(flow.queued >= count, "more withdrawn than queued");
        if count > 0 && flow.queued == count {
            class.ready.remove(&(flow.tag, flow.turn, id));
        }
        flow.queued -= count;
        class.queued -= count;
        self.retire_if_done(id);
    }

    /// Names what runs next, at most `limit` (at least one) tasks of one flow, and charges it. `None` when
    /// nothing is queued, which also ends the busy period.
    pub fn decide(&mut self, limit: u64) -> Option<Decision> {
        self.end_busy_periods();
        let class = self.next_class()?;
        self.dispatch(class, limit)
    }

    /// As [`Policy::decide`], but only when a critical task may jump ahead now; for a worker that still has
    /// other tasks in hand.
    pub fn decide_urgent(&mut self) -> Option<Decision> {
        if !self.urgent() {
            return None;
        }
        self.dispatch(Priority::Critical, 1)
    }

    /// True when a critical task waits and may jump ahead of everything queued.
    pub fn urgent(&self) -> bool {
        self.classes[Priority::Critical.index()].queued > 0 && self.next_class() == Some(Priority::Critical)
    }

    /// Takes one task of a given flow out of turn and charges it: for a task that waits for its own children
    /// and runs them itself. `None` when the flow has nothing queued.
    pub fn draw(&mut self, id: FlowId) -> Option<Decision> {
        if self.flow(id).queued == 0 {
            return None;
        }
        let charge_each = self.expected_cost(id);
        self.take(id, 1, charge_each);
        Some(Decision { class: self.flow(id).class, flow: id, count: 1, charge_each })
    }

    /// Undoes a dispatch of `count` tasks: they are queued again and their charge is refunded.
    pub fn give_back(&mut self, id: FlowId, count: u64, charged: u64) {
        self.refund(id, count, charged, 0);
        self.arrive(id, count);
    }

    /// `tasks` dispatched tasks ended; they were charged `charged` in sum and cost `actual` in sum.
    pub fn settle(&mut self, id: FlowId, tasks: u64, charged: u64, actual: u64) {
        self.refund(id, tasks, charged, actual);
        let (flow, class) = self.pair(id);
        if let Some(mean) = actual.checked_div(tasks) {
            flow.cost = Some(blend(flow.cost, mean));
            class.cost = Some(blend(class.cost, mean));
        }
        self.retire_if_done(id);
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
        self.classes.iter().map(|c| c.queued).sum()
    }

    /// Flows known, including those kept for their debts.
    pub fn flows(&self) -> usize {
        self.by_owner.len()
    }

    fn next_class(&self) -> Option<Priority> {
        let backlogged = Priority::ALL.into_iter().filter(|p| self.classes[p.index()].queued > 0);
        // The first of equals wins: ties go to the more urgent class.
        backlogged.min_by_key(|p| self.classes[p.index()].rank())
    }

    fn dispatch(&mut self, priority: Priority, limit: u64) -> Option<Decision> {
        let class = &self.classes[priority.index()];
        let &(start, _, id) = class.ready.first()?;
        self.now = self.now.max(class.rank());
        let charge_each = self.expected_cost(id);
        let count = self.batch(priority, id, charge_each).min(limit.max(1));
        let class = &mut self.classes[priority.index()];
        class.owners_now = class.owners_now.max(start);
        self.take(id, count, charge_each);
        Some(Decision { class: priority, flow: id, count, charge_each })
    }

    /// Tasks worth about one turn. Critical tasks go one by one, to any worker that is free; so do tasks whose
    /// cost is not known yet.
    fn batch(&self, priority: Priority, id: FlowId, cost: u64) -> u64 {
        let flow = self.flow(id);
        if priority == Priority::Critical || flow.cost.is_none() {
            return 1;
        }
        (self.config.turn / cost.max(1)).clamp(1, self.config.batch_max.max(1)).min(flow.queued)
    }

    fn expected_cost(&self, id: FlowId) -> u64 {
        let flow = self.flow(id);
        flow.cost.or(self.classes[flow.class.index()].cost).unwrap_or(self.config.turn)
    }

    /// Moves `count` tasks of a flow from queued to in flight and charges them.
    fn take(&mut self, id: FlowId, count: u64, charge_each: u64) {
        self.turns += 1;
        let turn = self.turns;
        let (flow, class) = self.pair(id);
        class.ready.remove(&(flow.tag, flow.turn, id));
        let charge = count * charge_each;
        flow.queued -= count;
        flow.in_flight += count;
        flow.tag += charge;
        flow.turn = turn;
        if flow.queued > 0 {
            class.ready.insert((flow.tag, flow.turn, id));
        }
        class.owners_max = class.owners_max.max(flow.tag);
        class.queued -= count;
        class.correct(0, charge);
    }

    /// Replaces a charge by what it turned out to be.
    fn refund(&mut self, id: FlowId, tasks: u64, charged: u64, actual: u64) {
        let (flow, class) = self.pair(id);
        debug_assert!(flow.in_flight >= tasks, "more tasks ended than were dispatched");
        flow.in_flight -= tasks;
        let waits = flow.queued > 0 && charged != actual;
        if waits {
            class.ready.remove(&(flow.tag, flow.turn, id));
        }
        flow.tag = (flow.tag + actual).saturating_sub(charged);
        if waits {
            class.ready.insert((flow.tag, flow.turn, id));
        }
        class.owners_max = class.owners_max.max(flow.tag);
        class.correct(charged, actual);
    }

    /// Where nothing is queued when a worker asks, nobody was kept waiting: debts end.
    fn end_busy_periods(&mut self) {
        let mut all_empty = true;
        for class in &mut self.classes {
            if class.queued == 0 {
                class.owners_now = class.owners_max;
            } else {
                all_empty = false;
            }
        }
        if all_empty {
            self.now = self.classes.iter().map(|c| c.tag).fold(self.now, u128::max);
        }
    }

    fn retire_if_done(&mut self, id: FlowId) {
        let flow = self.flow(id);
        if !flow.is_debtor() {
            return;
        }
        if flow.tag > self.classes[flow.class.index()].owners_now {
            // Kept, or an owner could shed its debt by closing and opening again.
            self.debtors += 1;
        } else {
            self.remove(id);
        }
    }

    /// Removes flows that only stand for paid debts, or all of them when there are too many.
    fn forgive_if_crowded(&mut self) {
        if self.debtors <= 64 + (self.by_owner.len() - self.debtors) {
            return;
        }
        let all = self.debtors > DEBTORS_MAX;
        let paid = |flow: &Flow| all || flow.tag <= self.classes[flow.class.index()].owners_now;
        let done: Vec<FlowId> = self
            .by_owner
            .values()
            .copied()
            .filter(|id| self.flow(*id).is_debtor() && paid(self.flow(*id)))
            .collect();
        self.debtors -= done.len();
        done.into_iter().for_each(|id| self.remove(id));
    }

    fn remove(&mut self, id: FlowId) {
        if let Some(flow) = self.flows[id.index()].take() {
            self.by_owner.remove(&(flow.class, flow.owner));
            self.free.push(id);
        }
    }

    fn flow(&self, id: FlowId) -> &Flow {
        self.flows[id.index()].as_ref().expect("flow handle used after close")
    }

    fn flow_mut(&mut self, id: FlowId) -> &mut Flow {
        self.flows[id.index()].as_mut().expect("flow handle used after close")
    }

    fn pair(&mut self, id: FlowId) -> (&mut Flow, &mut Class) {
        let flow = self.flows[id.index()].as_mut().expect("flow handle used after close");
        let class = &mut self.classes[flow.class.index()];
        (flow, class)
    }
}

impl Flow {
    /// Nobody holds it and it has no work: only its tag may still matter.
    fn is_debtor(&self) -> bool {
        self.holders == 0 && self.queued == 0 && self.in_flight == 0
    }
}

/// Moving average with weight 1/4 for the newest value; quick to follow a change of kind, slow enough not to
/// jump at one outlier.
fn blend(mean: Option<u64>, newest: u64) -> u64 {
    mean.map_or(newest, |mean| mean - mean / 4 + newest / 4).max(1)
}
