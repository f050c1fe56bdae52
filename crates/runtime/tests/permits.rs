//! Permits: the state machine against simulated servers, and the futures around it on a paused clock.
//! Every simulation follows from one number; a failing one is named and repeated with
//! `SIMULATE_SEED=<number> cargo test -p springtide-runtime --test permits`.

mod common;

use common::{MS, Random, SECOND, seeds};
use proptest::prelude::*;
use springtide_runtime::{
    PerClass, Priority, Weights,
    permit::{
        Admission, AdmissionConfig, Ask, KeyId, LimitConfig, PermitConfig, PermitError, Permits, Rule,
        TicketId, Verdict,
    },
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// A server with so many units, each serving one request at a time; more wait in line, or are refused.
struct Server {
    units: usize,
    service_ns: u64,
    line_max: usize,
    busy: usize,
    line: VecDeque<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A server answers a request.
    Answer { server: usize, request: usize },
    /// A refusal arrives.
    Refusal { request: usize },
    /// Somebody asks for permits.
    Ask { source: usize, count: u64 },
    /// A server gets other properties.
    Change { server: usize, units: usize, service_ns: u64 },
}

struct Source {
    class: Priority,
    owner: u64,
    server: usize,
}

struct Request {
    ticket: TicketId,
    source: usize,
    granted_ns: Option<u64>,
    done: bool,
}

/// Servers behind one admission, a key each.
struct World {
    random: Random,
    admission: Admission,
    servers: Vec<Server>,
    keys: Vec<KeyId>,
    sources: Vec<Source>,
    requests: Vec<Request>,
    by_ticket: BTreeMap<TicketId, usize>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    now: u64,
    answered: u64,
    refused: u64,
    held: PerClass<u64>,
    /// Next request of each source to be granted: sources are served in order.
    last_granted: Vec<usize>,
}

impl World {
    fn new(seed: u64, config: AdmissionConfig, servers: Vec<Server>, sources: Vec<Source>) -> Self {
        let mut admission = Admission::new(config).unwrap();
        let keys = (0..servers.len()).map(|n| admission.key(&format!("server {n}").into(), 0)).collect();
        let last_granted = vec![0; sources.len()];
        Self {
            random: Random(seed),
            admission,
            servers,
            keys,
            sources,
            requests: Vec::new(),
            by_ticket: BTreeMap::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            now: 0,
            answered: 0,
            refused: 0,
            held: PerClass::default(),
            last_granted,
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time, self.sequence, event)));
    }

    fn ask(&mut self, source: usize) {
        let Source { class, owner, server } = self.sources[source];
        let ticket = self.admission.request(self.keys[server], class, owner, "r".into(), self.now);
        assert_eq!(self.by_ticket.insert(ticket, self.requests.len()), None, "a ticket was given out twice");
        self.requests.push(Request { ticket, source, granted_ns: None, done: false });
    }

    fn pump(&mut self) {
        loop {
            let before = (self.admission.in_flight(), self.admission.limit());
            let Some(ticket) = self.admission.pump(self.now) else { break };
            assert!(before.0 < before.1, "granted {} of {}", before.0 + 1, before.1);
            let request = self.by_ticket[&ticket];
            self.requests[request].granted_ns = Some(self.now);
            let source = self.requests[request].source;
            assert!(request >= self.last_granted[source], "requests of one source overtook each other");
            self.last_granted[source] = request;
            self.arrive(self.sources[source].server, request);
        }
    }

    fn arrive(&mut self, number: usize, request: usize) {
        let server = &mut self.servers[number];
        if server.busy < server.units {
            server.busy += 1;
            self.serve(number, request);
        } else if server.line.len() < server.line_max {
            server.line.push_back(request);
        } else {
            self.at(self.now + MS, Event::Refusal { request });
        }
    }

    fn serve(&mut self, server: usize, request: usize) {
        let typical = self.servers[server].service_ns;
        let time = self.random.between(typical * 9 / 10, typical * 11 / 10);
        self.at(self.now + time, Event::Answer { server, request });
    }

    /// False when nothing is left to happen.
    fn step(&mut self) -> bool {
        let Some(Reverse((time, _, event))) = self.events.pop() else { return false };
        self.now = time;
        match event {
            Event::Answer { server, request } => {
                let server_state = &mut self.servers[server];
                if server_state.busy <= server_state.units
                    && let Some(next) = server_state.line.pop_front()
                {
                    self.serve(server, next);
                } else {
                    server_state.busy -= 1;
                }
                self.answered += 1;
                self.finish(request, Verdict::Answered);
            }
            Event::Refusal { request } => {
                self.refused += 1;
                self.finish(request, Verdict::Overloaded);
            }
            Event::Ask { source, count } => (0..count).for_each(|_| self.ask(source)),
            Event::Change { server, units, service_ns } => {
                (self.servers[server].units, self.servers[server].service_ns) = (units, service_ns);
                while self.servers[server].busy < self.servers[server].units {
                    let Some(next) = self.servers[server].line.pop_front() else { break };
                    self.servers[server].busy += 1;
                    self.serve(server, next);
                }
            }
        }
        self.pump();
        true
    }

    fn finish(&mut self, number: usize, verdict: Verdict) {
        let request = &mut self.requests[number];
        assert!(!request.done, "a request ended twice");
        request.done = true;
        let class = self.sources[request.source].class;
        self.held[class] += self.now - request.granted_ns.expect("served after it was granted");
        self.by_ticket.remove(&request.ticket);
        self.admission.release(request.ticket, verdict, self.now);
    }

    fn check(&self) {
        let held = self.requests.iter().filter(|r| r.granted_ns.is_some() && !r.done).count();
        let waiting = self.requests.iter().filter(|r| r.granted_ns.is_none()).count();
        assert_eq!(self.admission.in_flight() as usize, held);
        assert_eq!(self.admission.waiting().0.iter().sum::<u64>() as usize, waiting);
        let keys: u32 = self.admission.keys().map(|k| k.in_flight).sum();
        assert_eq!(keys as usize, held, "the keys' permits are the pool's");
    }
}

fn config(total: LimitConfig, per_key: LimitConfig) -> AdmissionConfig {
    AdmissionConfig { total, per_key, weights: Weights::default(), critical_burst_ns: 0 }
}

fn server(units: usize, service_ns: u64, line_max: usize) -> Server {
    Server { units, service_ns, line_max, busy: 0, line: VecDeque::new() }
}

const ONE_SOURCE: Source = Source { class: Priority::Standard, owner: 0, server: 0 };

/// One server under unlimited demand. Returns answers per second and the limit's range in the last part of
/// each phase, of which there are as many as servers are described.
fn saturate(
    rule: Rule,
    initial: u32,
    seed: u64,
    phases: &[(usize, u64)],
    line_max: usize,
) -> Vec<(f64, u32, u32)> {
    let total = LimitConfig { rule, initial, min: 1, max: 2_000 };
    let (units, service_ns) = phases[0];
    let mut world = World::new(
        seed,
        config(total, LimitConfig::UNLIMITED),
        vec![server(units, service_ns, line_max)],
        vec![ONE_SOURCE],
    );
    world.at(0, Event::Ask { source: 0, count: 3_000 });
    let mut results = Vec::new();
    for (phase, &(units, service_ns)) in phases.iter().enumerate() {
        let begin = phase as u64 * 60 * SECOND;
        world.at(begin, Event::Change { server: 0, units, service_ns });
        let measured = begin + 20 * SECOND;
        let (mut answered, mut low, mut high) = (0, u32::MAX, 0);
        while world.now < begin + 60 * SECOND {
            assert!(world.step());
            if world.admission.waiting().0[2] < 2_500 {
                world.at(world.now, Event::Ask { source: 0, count: 500 });
            }
            if world.now < measured {
                answered = world.answered;
            } else {
                // A probe halves the limit for two round trips; that is not where it stands.
                high = high.max(world.admission.limit());
                low = low.min(world.admission.limit());
            }
        }
        results.push(((world.answered - answered) as f64 / 40.0, low, high));
    }
    results
}

#[test]
fn limits_find_what_a_server_can_do_and_follow_it() {
    for rule in [Rule::GRADIENT, Rule::AIMD] {
        seeds(4, move |seed| {
            // 40 at 20 ms, then a quarter of it, then more than before.
            let phases = [(40, 20 * MS), (10, 20 * MS), (80, 20 * MS)];
            for ((rate, low, high), (units, service)) in
                saturate(rule, 4, seed, &phases, usize::MAX).into_iter().zip(phases)
            {
                let able = units as f64 * SECOND as f64 / service as f64;
                assert!(
                    rate >= 0.9 * able,
                    "{rule:?} seed {seed}: {rate}/s of {able}/s with {low} to {high}"
                );
                // What is above the units only stands in line; tolerance times the units, and the headroom.
                assert!(f64::from(high) <= 2.7 * units as f64 + 10.0, "{rule:?} seed {seed}: limit {high}");
            }
        });
    }
}

#[test]
fn a_server_that_becomes_slower_by_itself_is_not_strangled() {
    for rule in [Rule::GRADIENT, Rule::AIMD] {
        let phases = [(40, 20 * MS), (40, 100 * MS)];
        let (rate, low, high) = saturate(rule, 10, 7, &phases, usize::MAX)[1];
        assert!(rate >= 0.9 * 400.0, "{rule:?}: {rate}/s of 400/s with {low} to {high}");
    }
}

#[test]
fn refusals_hold_the_limit_at_what_is_accepted() {
    for rule in [Rule::GRADIENT, Rule::AIMD] {
        let (rate, low, high) = saturate(rule, 4, 3, &[(30, 10 * MS)], 0)[0];
        assert!(rate >= 0.8 * 3_000.0, "{rule:?}: {rate}/s of 3000/s with {low} to {high}");
        assert!(high <= 60, "{rule:?}: limit {high}");
    }
}

#[test]
fn doubling_reaches_a_high_limit_in_a_few_round_trips() {
    for rule in [Rule::GRADIENT, Rule::AIMD] {
        let total = LimitConfig { rule, initial: 20, min: 1, max: 500 };
        let sources = vec![ONE_SOURCE];
        let mut world = World::new(
            1,
            config(total, LimitConfig::UNLIMITED),
            vec![server(usize::MAX, 20 * MS, 0)],
            sources,
        );
        world.at(0, Event::Ask { source: 0, count: 5_000 });
        while world.answered < 5_000 {
            assert!(world.step());
        }
        // 5,000 in batches of 500 need 200 ms; one more per round trip from 20 would need 1.6 s.
        assert!(world.now < 420 * MS, "{rule:?}: {} ms", world.now / MS);
    }
}

#[test]
fn a_limit_that_is_not_used_does_not_grow() {
    for rule in [Rule::GRADIENT, Rule::AIMD] {
        let total = LimitConfig { rule, initial: 100, min: 1, max: 5_000 };
        let mut world = World::new(
            1,
            config(total, LimitConfig::UNLIMITED),
            vec![server(usize::MAX, 20 * MS, 0)],
            vec![ONE_SOURCE],
        );
        for tick in 0..2_000 {
            world.at(tick * MS, Event::Ask { source: 0, count: 2 });
        }
        while world.step() {
            assert!(world.admission.limit() <= 100, "{rule:?}: {}", world.admission.limit());
        }
    }
}

/// Random servers, sources and loads over an hour: nothing is lost, no limit passed.
fn random_hour(seed: u64) {
    let mut random = Random(seed);
    let rule = [Rule::Fixed, Rule::AIMD, Rule::GRADIENT][random.below(3) as usize];
    let limit = |random: &mut Random| {
        let initial = random.between(1, 40) as u32;
        match rule {
            Rule::Fixed => LimitConfig::fixed(initial),
            _ => LimitConfig { rule, initial, min: 1, max: initial + random.below(200) as u32 },
        }
    };
    let config = config(limit(&mut random), limit(&mut random));
    let servers: Vec<Server> = (0..random.between(1, 5))
        .map(|_| {
            let line = random.magnitude(1, 1_000) as usize;
            server(random.between(1, 60) as usize, random.magnitude(MS, 2 * SECOND), line)
        })
        .collect();
    let count = servers.len() as u64;
    let sources: Vec<Source> = (0..random.between(1, 10))
        .map(|owner| Source {
            class: Priority::ALL[random.below(4) as usize],
            owner,
            server: random.below(count) as usize,
        })
        .collect();
    let number = sources.len();
    let mut world = World::new(random.next(), config, servers, sources);
    for source in 0..number {
        for _ in 0..random.between(1, 20) {
            world.at(random.below(3_600 * SECOND), Event::Ask { source, count: random.magnitude(1, 300) });
        }
    }
    for server in 0..count as usize {
        let (units, service_ns) = (random.between(1, 60) as usize, random.magnitude(MS, 2 * SECOND));
        world.at(random.below(3_600 * SECOND), Event::Change { server, units, service_ns });
    }
    let mut steps = 0_u64;
    while world.step() {
        steps += 1;
        // Somebody gives up now and then.
        if steps.is_multiple_of(7)
            && let Some((request, ticket)) = world.some_waiting()
        {
            world.admission.cancel(ticket, world.now);
            world.by_ticket.remove(&ticket);
            (world.requests[request].granted_ns, world.requests[request].done) = (Some(world.now), true);
            world.pump();
        }
        if steps.is_multiple_of(64) {
            world.check();
        }
    }
    world.check();
    assert!(world.requests.iter().all(|r| r.done), "everybody who asked was served");
    let keys = world.admission.keys().count();
    assert_eq!(world.admission.sweep(0, world.now), keys, "all keys are idle");
}

impl World {
    fn some_waiting(&mut self) -> Option<(usize, TicketId)> {
        let number = self.random.below(self.requests.len() as u64 + 1) as usize;
        let request = self.requests.get(number)?;
        (request.granted_ns.is_none()).then_some((number, request.ticket))
    }
}

#[test]
fn random_hours_lose_nothing_and_pass_no_limit() {
    seeds(60, random_hour);
}

#[test]
fn waiting_is_fair_by_class_in_permit_time() {
    seeds(6, |seed| {
        let sources = Priority::ALL
            .iter()
            .map(|class| Source { class: *class, owner: 0, server: class.index() })
            .collect();
        // Each class asks a server of another speed.
        let servers = [5, 20, 80, 10].map(|ms| server(usize::MAX, ms * MS, 0)).into();
        let mut world =
            World::new(seed, config(LimitConfig::fixed(20), LimitConfig::UNLIMITED), servers, sources);
        (0..4).for_each(|source| world.at(0, Event::Ask { source, count: 1_000 }));
        while world.now < 60 * SECOND {
            assert!(world.step());
            for source in 0..4 {
                if world.admission.waiting().0[source] < 500 {
                    world.at(world.now, Event::Ask { source, count: 500 });
                }
            }
        }
        let total: u64 = world.held.0.iter().sum();
        for (held, weight) in world.held.0.iter().zip([0.4, 0.3, 0.2, 0.1]) {
            let share = *held as f64 / total as f64;
            assert!((share - weight).abs() < 0.02, "seed {seed}: {:?}", world.held);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_full_key_holds_up_nobody_else(asks in prop::collection::vec((0..3_usize, 0..4_usize), 1..80)) {
        let mut admission = Admission::new(config(LimitConfig::fixed(1_000), LimitConfig::fixed(2))).unwrap();
        let keys = [0, 1, 2].map(|n| admission.key(&format!("{n}").into(), 0));
        for &(key, class) in &asks {
            admission.request(keys[key], Priority::ALL[class], 0, "".into(), 0);
            while admission.pump(0).is_some() {}
        }
        for (state, number) in admission.keys().zip(0..) {
            let asked = asks.iter().filter(|(key, _)| *key == number).count() as u32;
            prop_assert_eq!(state.in_flight, asked.min(2));
            prop_assert_eq!(state.waiting, asked.saturating_sub(2));
        }
    }
}

fn permits(total: u32, per_key: u32) -> Permits {
    let (total, per_key) = (LimitConfig::fixed(total), LimitConfig::fixed(per_key));
    Permits::new(PermitConfig { total, per_key, max_waiting: 100, ..PermitConfig::default() }).unwrap()
}

fn ask(key: &'static str, priority: Priority) -> Ask {
    Ask { key: key.into(), label: "test".into(), priority, ..Ask::default() }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_deadline_gives_up_the_place_and_the_permit() {
    let permits = permits(1, 1);
    let held = permits.acquire(ask("a", Priority::Low)).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(5), permits.acquire(ask("a", Priority::Low))).await;
    assert!(waited.is_err(), "nothing came free");
    assert_eq!(permits.snapshot().counts.withdrawn, 1);
    assert_eq!(permits.snapshot().waiting.0, [0; 4]);
    // One who holds a permit and is cut short gives it back.
    drop(held);
    let work = async {
        let _permit = permits.acquire(ask("a", Priority::Low)).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    };
    assert!(tokio::time::timeout(Duration::from_secs(1), work).await.is_err());
    let state = permits.snapshot();
    assert_eq!((state.in_flight, state.counts.granted, state.counts.unrelated), (0, 2, 2));
    assert!(permits.try_acquire(ask("a", Priority::Low)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_granted_permit_that_nobody_fetches_goes_to_the_next() {
    let permits = permits(1, 1);
    let held = permits.acquire(ask("a", Priority::Standard)).await.unwrap();
    let mut next = pin!(permits.acquire(ask("a", Priority::Standard)));
    {
        let mut unlucky = pin!(permits.acquire(ask("a", Priority::High)));
        assert!(poll(unlucky.as_mut()).is_pending() && poll(next.as_mut()).is_pending());
        held.answered();
        // It belongs to `unlucky` now, which is dropped before it looks.
        assert!(poll(next.as_mut()).is_pending());
    }
    assert!(poll(next.as_mut()).is_ready());
}

#[tokio::test(start_paused = true)]
async fn critical_waits_least() {
    let permits = permits(1, 1);
    let held = permits.acquire(ask("a", Priority::Standard)).await.unwrap();
    let mut low = pin!(permits.acquire(ask("a", Priority::Low)));
    let mut critical = pin!(permits.acquire(ask("b", Priority::Critical)));
    assert!(poll(low.as_mut()).is_pending() && poll(critical.as_mut()).is_pending());
    drop(held);
    assert!(poll(low.as_mut()).is_pending(), "the place belongs to the critical one");
    assert!(poll(critical.as_mut()).is_ready());
}

#[tokio::test(start_paused = true)]
async fn too_many_waiting_are_refused_and_counted() {
    let permits = permits(1, 1);
    let _held = permits.acquire(ask("a", Priority::Standard)).await.unwrap();
    let mut waiting: Vec<_> =
        (0..100).map(|_| Box::pin(permits.acquire(ask("a", Priority::Standard)))).collect();
    waiting.iter_mut().for_each(|w| assert!(poll(w.as_mut()).is_pending()));
    let refused = permits.acquire(ask("b", Priority::Standard)).await.unwrap_err();
    assert!(matches!(refused, PermitError::Crowded { waiting: 100, .. }), "{refused}");
    assert_eq!(permits.snapshot().counts.refused, 1);
    permits.close();
    for mut waiter in waiting {
        assert!(matches!(poll(waiter.as_mut()), Poll::Ready(Err(PermitError::Closed { .. }))));
    }
}

#[tokio::test(start_paused = true)]
async fn permits_held_too_long_are_named() {
    let permits = permits(2, 2);
    let ask = Ask { label: "the slow one".into(), ..ask("a", Priority::Low) };
    let _leaked = permits.acquire(ask).await.unwrap();
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(permits.snapshot().overheld, []);
    tokio::time::advance(Duration::from_secs(2)).await;
    let overheld = permits.snapshot().overheld;
    assert_eq!(overheld.len(), 1);
    assert_eq!(overheld[0].label.as_str(), "the slow one");
    assert!(overheld[0].for_ns >= 61 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn idle_keys_are_forgotten() {
    let permits = permits(10, 1);
    for n in 0..50 {
        permits.acquire(Ask { key: format!("host {n}").into(), ..Ask::default() }).await.unwrap().answered();
    }
    assert_eq!(permits.snapshot().keys.len(), 50);
    tokio::time::advance(Duration::from_secs(700)).await;
    permits.acquire(ask("fresh", Priority::High)).await.unwrap().answered();
    let state = permits.snapshot();
    assert_eq!((state.keys.len(), state.counts.keys_forgotten), (1, 50));
}
