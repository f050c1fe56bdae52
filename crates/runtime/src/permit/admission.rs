//! Who gets the next permit: a pure state machine. Time is an argument, in nanoseconds.
//!
//! A permit needs room in two limits: the pool's and its key's (a *bulkhead*: one slow key cannot take all
//! permits). Who waits is served in the order of [`crate::policy`], where a permit's cost is the time it is
//! held; the waiters of a key without room stand aside and hold up nobody.

use super::adapt::{AdaptiveLimit, BadLimit, LimitConfig, Sample, Verdict};
use crate::{
    label::Label,
    policy::{FlowId, Policy, PolicyConfig},
    priority::{PerClass, Priority, Weights},
};
use std::collections::{BTreeMap, VecDeque};

/// Number of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

/// Number of a request, from [`Admission::request`] until it is cancelled or released; then it is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(u32);

impl TicketId {
    /// Index for tables kept beside the state machine.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Settings of an [`Admission`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdmissionConfig {
    /// Permits in all.
    pub total: LimitConfig,
    /// Permits of one key.
    pub per_key: LimitConfig,
    /// Shares of the classes, in permit time, while all wait.
    pub weights: Weights,
    /// Permit time that critical work may take beyond its share.
    pub critical_burst_ns: u64,
}

#[derive(Debug)]
struct Ticket {
    flow: FlowId,
    /// Which request it is: numbers of tickets are used again, serials are not.
    serial: u64,
    label: Label,
    asked_ns: u64,
    granted: Option<Grant>,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    at_ns: u64,
    charge: u64,
}

#[derive(Debug)]
struct Key {
    name: Label,
    limit: AdaptiveLimit,
    in_flight: u32,
    waiting: u32,
    /// Since when nothing is under way and nothing waits.
    idle_since_ns: u64,
    flows: Vec<FlowId>,
    /// Its waiters stand aside.
    full: bool,
}

/// The waiters of one owner in one class for one key.
#[derive(Debug)]
struct Line {
    class: Priority,
    owner: u64,
    key: KeyId,
    /// Tickets and serials in the order of asking, some of them withdrawn since.
    queue: VecDeque<(TicketId, u64)>,
    waiting: u32,
    in_flight: u32,
}

/// A ticket as shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketState {
    /// What it is for.
    pub label: Label,
    /// Its class.
    pub class: Priority,
    /// Whose it is.
    pub owner: u64,
    /// Its key.
    pub key: Label,
    /// How long it has been waiting, or held.
    pub for_ns: u64,
    /// Whether it is held.
    pub held: bool,
}

/// A key as shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// Its name.
    pub name: Label,
    /// How many it may have under way now.
    pub limit: u32,
    /// How many it has.
    pub in_flight: u32,
    /// How many wait for it.
    pub waiting: u32,
    /// Its round trip without queueing, as far as known.
    pub base_ns: Option<u64>,
}

/// The state machine.
#[derive(Debug)]
pub struct Admission {
    config: AdmissionConfig,
    policy: Policy,
    total: AdaptiveLimit,
    in_flight: u32,
    keys: Vec<Option<Key>>,
    by_name: BTreeMap<Box<str>, KeyId>,
    lines: Vec<Option<Line>>,
    by_line: BTreeMap<(KeyId, Priority, u64), FlowId>,
    tickets: Vec<Option<Ticket>>,
    free_tickets: Vec<TicketId>,
    serial: u64,
}

impl Admission {
    /// An admission with all permits free.
    ///
    /// # Errors
    /// When a limit or a weight cannot work.
    pub fn new(config: AdmissionConfig) -> Result<Self, BadLimit> {
        config.per_key.check()?;
        let total = AdaptiveLimit::new(config.total)?;
        let policy = PolicyConfig {
            weights: config.weights,
            // What a permit costs before any was measured.
            turn: 10_000_000,
            batch_max: 1,
            critical_burst: config.critical_burst_ns,
        };
        Ok(Self {
            config,
            policy: Policy::new(policy)?,
            total,
            in_flight: 0,
            keys: Vec::new(),
            by_name: BTreeMap::new(),
            lines: Vec::new(),
            by_line: BTreeMap::new(),
            tickets: Vec::new(),
            free_tickets: Vec::new(),
            serial: 0,
        })
    }

    /// The number of a key, which starts to exist with its first use.
    pub fn key(&mut self, name: &Label, now_ns: u64) -> KeyId {
        if let Some(id) = self.by_name.get(name.as_str()) {
            return *id;
        }
        let limit = AdaptiveLimit::new(self.config.per_key).expect("checked when the admission was made");
        let key = Key {
            name: name.clone(),
            limit,
            in_flight: 0,
            waiting: 0,
            idle_since_ns: now_ns,
            flows: Vec::new(),
            full: false,
        };
        let free = self.keys.iter().position(Option::is_none);
        let id = KeyId(free.unwrap_or(self.keys.len()) as u32);
        if free.is_none() {
            self.keys.push(None);
        }
        self.keys[id.0 as usize] = Some(key);
        self.by_name.insert(name.as_str().into(), id);
        id
    }

    /// Gives a key a limit of its own, in place of [`AdmissionConfig::per_key`].
    ///
    /// # Errors
    /// When the limit cannot work.
    pub fn limit_key(&mut self, id: KeyId, config: LimitConfig) -> Result<(), BadLimit> {
        self.key_mut(id).limit = AdaptiveLimit::new(config)?;
        self.look_for_room(id);
        Ok(())
    }

    /// Asks for a permit; [`Admission::pump`] says when it is granted.
    pub fn request(
        &mut self,
        key: KeyId,
        class: Priority,
        owner: u64,
        label: Label,
        now_ns: u64,
    ) -> TicketId {
        let flow = self.line(key, class, owner);
        self.serial += 1;
        let serial = self.serial;
        let ticket = Ticket { flow, serial, label, asked_ns: now_ns, granted: None };
        let id = self.free_tickets.pop().unwrap_or(TicketId(self.tickets.len() as u32));
        if id.index() == self.tickets.len() {
            self.tickets.push(None);
        }
        self.tickets[id.index()] = Some(ticket);
        let line = self.line_mut(flow);
        line.queue.push_back((id, serial));
        line.waiting += 1;
        let key = self.key_mut(key);
        key.waiting += 1;
        if !key.full {
            self.policy.arrive(flow, 1);
        }
        id
    }

    /// Grants one permit, if there is room and somebody waits for it. Called again and again after every
    /// request, release and cancellation, until it returns `None`.
    pub fn pump(&mut self, now_ns: u64) -> Option<TicketId> {
        if self.in_flight >= self.total.limit() {
            return None;
        }
        let decision = self.policy.decide(1)?;
        let line = self.lines[decision.flow.index()].as_mut().expect("a line is open while it has waiters");
        let tickets = &mut self.tickets;
        let id = loop {
            let (id, serial) = line.queue.pop_front().expect("as many tickets as waiters");
            if tickets[id.index()].as_ref().is_some_and(|ticket| ticket.serial == serial) {
                break id;
            }
        };
        line.waiting -= 1;
        line.in_flight += 1;
        let key = line.key;
        self.in_flight += 1;
        let grant = Grant { at_ns: now_ns, charge: decision.charge_each };
        self.tickets[id.index()].as_mut().expect("found above").granted = Some(grant);
        let state = self.key_mut(key);
        state.waiting -= 1;
        state.in_flight += 1;
        self.look_for_room(key);
        Some(id)
    }

    /// True once a ticket holds a permit.
    pub fn is_granted(&self, id: TicketId) -> bool {
        self.ticket(id).granted.is_some()
    }

    /// Ends a ticket that waits, or gives back unused what it was granted.
    pub fn cancel(&mut self, id: TicketId, now_ns: u64) {
        let ticket = self.take(id);
        if let Some(grant) = ticket.granted {
            self.policy.forfeit(ticket.flow, 1, grant.charge);
            return self.free(ticket.flow, now_ns);
        }
        let line = self.line_mut(ticket.flow);
        line.waiting -= 1;
        let key = line.key;
        if line.queue.len() > 2 * line.waiting as usize + 16 {
            let tickets = &self.tickets;
            let waits = |(id, serial): &(TicketId, u64)| {
                tickets[id.index()].as_ref().is_some_and(|ticket| ticket.serial == *serial)
            };
            self.lines[ticket.flow.index()].as_mut().expect("used above").queue.retain(waits);
        }
        let key = self.key_mut(key);
        key.waiting -= 1;
        key.note_idle(now_ns);
        if !key.full {
            self.policy.withdraw(ticket.flow, 1);
        }
    }

    /// Takes a permit back.
    pub fn release(&mut self, id: TicketId, verdict: Verdict, now_ns: u64) {
        let ticket = self.take(id);
        let Grant { at_ns, charge } = ticket.granted.expect("only what was granted is released");
        let latency_ns = now_ns.saturating_sub(at_ns);
        self.policy.settle(ticket.flow, 1, charge, latency_ns);
        self.total.observe(Sample { now_ns, latency_ns, in_flight: self.in_flight, verdict });
        let key = self.line_mut(ticket.flow).key;
        let key = self.key_mut(key);
        key.limit.observe(Sample { now_ns, latency_ns, in_flight: key.in_flight, verdict });
        self.free(ticket.flow, now_ns);
    }

    /// Forgets keys that nobody has used for `idle_ns`; returns how many.
    pub fn sweep(&mut self, idle_ns: u64, now_ns: u64) -> usize {
        let idle = |key: &Key| key.is_idle() && now_ns.saturating_sub(key.idle_since_ns) >= idle_ns;
        let mut gone = 0;
        for id in (0..self.keys.len() as u32).map(KeyId) {
            if !self.keys[id.0 as usize].as_ref().is_some_and(idle) {
                continue;
            }
            let key = self.keys[id.0 as usize].take().expect("seen above");
            for flow in key.flows {
                let line = self.lines[flow.index()].take().expect("a key's lines are open");
                self.by_line.remove(&(line.key, line.class, line.owner));
                self.policy.close(flow);
            }
            self.by_name.remove(key.name.as_str());
            gone += 1;
        }
        gone
    }

    /// How many permits there are now.
    pub fn limit(&self) -> u32 {
        self.total.limit()
    }

    /// The pool's round trip without queueing, as far as known.
    pub fn base_ns(&self) -> Option<u64> {
        self.total.base_ns()
    }

    /// How many are out.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// How many wait, per class.
    pub fn waiting(&self) -> PerClass<u64> {
        let mut waiting = PerClass::default();
        self.lines.iter().flatten().for_each(|line| waiting[line.class] += u64::from(line.waiting));
        waiting
    }

    /// All keys in use.
    pub fn keys(&self) -> impl Iterator<Item = KeyState> + '_ {
        self.keys.iter().flatten().map(|key| KeyState {
            name: key.name.clone(),
            limit: key.limit.limit(),
            in_flight: key.in_flight,
            waiting: key.waiting,
            base_ns: key.limit.base_ns(),
        })
    }

    /// All tickets: who waits for what, and who holds what.
    pub fn tickets(&self, now_ns: u64) -> impl Iterator<Item = TicketState> + '_ {
        self.tickets.iter().flatten().map(move |ticket| {
            let line = self.lines[ticket.flow.index()].as_ref().expect("a ticket's line is open");
            let since = ticket.granted.map_or(ticket.asked_ns, |grant| grant.at_ns);
            TicketState {
                label: ticket.label.clone(),
                class: line.class,
                owner: line.owner,
                key: self.keys[line.key.0 as usize].as_ref().map_or("".into(), |key| key.name.clone()),
                for_ns: now_ns.saturating_sub(since),
                held: ticket.granted.is_some(),
            }
        })
    }

    fn line(&mut self, key: KeyId, class: Priority, owner: u64) -> FlowId {
        if let Some(flow) = self.by_line.get(&(key, class, owner)) {
            return *flow;
        }
        let flow = self.policy.open(class, owner);
        if self.lines.len() <= flow.index() {
            self.lines.resize_with(flow.index() + 1, || None);
        }
        let line = Line { class, owner, key, queue: VecDeque::new(), waiting: 0, in_flight: 0 };
        self.lines[flow.index()] = Some(line);
        self.by_line.insert((key, class, owner), flow);
        self.key_mut(key).flows.push(flow);
        flow
    }

    /// One permit of a line came back.
    fn free(&mut self, flow: FlowId, now_ns: u64) {
        self.in_flight -= 1;
        let line = self.line_mut(flow);
        line.in_flight -= 1;
        let id = line.key;
        let key = self.key_mut(id);
        key.in_flight -= 1;
        key.note_idle(now_ns);
        self.look_for_room(id);
    }

    /// Lets a key's waiters stand aside when it is full, and come back when it is not.
    fn look_for_room(&mut self, id: KeyId) {
        let key = self.keys[id.0 as usize].as_mut().expect("a key in use");
        let full = key.in_flight >= key.limit.limit();
        if full == key.full {
            return;
        }
        key.full = full;
        for flow in &key.flows {
            let waiting = self.lines[flow.index()].as_ref().map_or(0, |line| line.waiting);
            if full {
                self.policy.withdraw(*flow, u64::from(waiting));
            } else {
                self.policy.arrive(*flow, u64::from(waiting));
            }
        }
    }

    fn take(&mut self, id: TicketId) -> Ticket {
        let ticket = self.tickets[id.index()].take().expect("a ticket is ended once");
        self.free_tickets.push(id);
        ticket
    }

    fn ticket(&self, id: TicketId) -> &Ticket {
        self.tickets[id.index()].as_ref().expect("a ticket is not used after its end")
    }

    fn key_mut(&mut self, id: KeyId) -> &mut Key {
        self.keys[id.0 as usize].as_mut().expect("a key is not used after it was swept")
    }

    fn line_mut(&mut self, flow: FlowId) -> &mut Line {
        self.lines[flow.index()].as_mut().expect("a ticket's line is open")
    }
}

impl Key {
    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting == 0
    }

    fn note_idle(&mut self, now_ns: u64) {
        if self.is_idle() {
            self.idle_since_ns = now_ns;
        }
    }
}
