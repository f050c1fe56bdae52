//! Properties of the policy under arbitrary events.

use proptest::prelude::*;
use springtide_runtime::{
    Priority, Weights,
    policy::{FlowId, Policy, PolicyConfig},
};
use std::collections::HashMap;

const NO_BURST: PolicyConfig =
    PolicyConfig { weights: Weights([0.4, 0.3, 0.2, 0.1]), turn: 1, batch_max: 1, critical_burst: 0 };

fn policy(config: PolicyConfig) -> Policy {
    Policy::new(config).unwrap()
}

/// Runs `rounds` decisions, each taking what `cost` says for its class; returns the cost received per class.
fn saturate(policy: &mut Policy, rounds: u64, mut cost: impl FnMut(Priority) -> u64) -> [u64; 4] {
    let mut received = [0; 4];
    for _ in 0..rounds {
        let decision = policy.decide(1).unwrap();
        let actual = cost(decision.class);
        policy.settle(decision.flow, 1, decision.charge_each, actual);
        received[decision.class.index()] += actual;
    }
    received
}

fn assert_shares(received: [u64; 4], expected: [f64; 4]) {
    let total: u64 = received.iter().sum();
    for (got, want) in received.iter().zip(expected) {
        let share = *got as f64 / total as f64;
        assert!((share - want).abs() <= 0.02, "shares of {received:?} should be {expected:?}");
    }
}

fn open_all(policy: &mut Policy, queued: u64) -> [FlowId; 4] {
    Priority::ALL.map(|class| {
        let flow = policy.open(class, 0);
        policy.arrive(flow, queued);
        flow
    })
}

#[test]
fn shares_are_shares_of_time_whatever_the_tasks_cost() {
    let mut policy = policy(NO_BURST);
    open_all(&mut policy, 1_000_000);
    let received = saturate(&mut policy, 100_000, |class| [500, 20, 1_000, 70][class.index()]);
    assert_shares(received, [0.4, 0.3, 0.2, 0.1]);
}

#[test]
fn an_idle_class_leaves_its_share_to_the_others() {
    let mut policy = policy(NO_BURST);
    let flows = open_all(&mut policy, 1_000_000);
    policy.withdraw(flows[1], 1_000_000);
    let received = saturate(&mut policy, 20_000, |_| 100);
    assert_shares(received, [0.4 / 0.7, 0.0, 0.2 / 0.7, 0.1 / 0.7]);
}

#[test]
fn coming_back_from_idle_brings_no_credit() {
    let mut policy = policy(NO_BURST);
    let flows = open_all(&mut policy, 1_000_000);
    policy.withdraw(flows[3], 1_000_000);
    saturate(&mut policy, 50_000, |_| 100);
    policy.arrive(flows[3], 1_000_000);
    // With hoarded credit the low class would now have thousands of tasks to catch up on.
    let received = saturate(&mut policy, 1_000, |_| 100);
    assert_shares(received, [0.4, 0.3, 0.2, 0.1]);
}

#[test]
fn owners_take_turns() {
    let mut policy = policy(NO_BURST);
    let flows: Vec<FlowId> = (0..5).map(|owner| policy.open(Priority::Standard, owner)).collect();
    // One has a thousand times the work of the others; that gives it no more turns.
    policy.arrive(flows[0], 100_000);
    flows[1..].iter().for_each(|flow| policy.arrive(*flow, 100));
    let mut order = Vec::new();
    for _ in 0..500 {
        let decision = policy.decide(1).unwrap();
        policy.settle(decision.flow, 1, decision.charge_each, 100);
        order.push(decision.flow);
    }
    for round in order.chunks(5).skip(1) {
        let mut round = round.to_vec();
        round.sort();
        assert_eq!(round, flows, "every owner once a round");
    }
}

#[test]
fn flows_of_one_owner_take_turns_and_have_one_share() {
    let mut policy = policy(NO_BURST);
    let mine: Vec<FlowId> = (0..4).map(|_| policy.open(Priority::Standard, 1)).collect();
    let other = policy.open(Priority::Standard, 2);
    mine.iter().for_each(|flow| policy.arrive(*flow, 1_000));
    policy.arrive(other, 4_000);
    let mut turns: HashMap<FlowId, u64> = HashMap::new();
    for _ in 0..800 {
        let decision = policy.decide(1).unwrap();
        policy.settle(decision.flow, 1, decision.charge_each, 100);
        *turns.entry(decision.flow).or_default() += 1;
    }
    assert!(turns[&other].abs_diff(400) <= 1, "{turns:?}");
    assert!(mine.iter().all(|flow| turns[flow].abs_diff(100) <= 1), "{turns:?}");
}

#[test]
fn light_work_is_drawn_alone_only_in_its_turn() {
    let mut policy = policy(PolicyConfig { turn: 1_000, ..NO_BURST });
    let heavy = policy.open(Priority::High, 1);
    let light = policy.open_light(Priority::Standard, 2);
    policy.arrive(light, 1_000_000);
    assert_eq!(policy.decide_light(1).unwrap().flow, light, "nothing else is there");
    policy.settle(light, 1, 1_000, 100);
    policy.arrive(heavy, 1_000_000);
    // Both draw from one order: who may take light work only gets nothing while heavy work is due.
    let mut received = [0_u64; 2];
    for _ in 0..10_000 {
        if policy.light_is_next() {
            let decision = policy.decide_light(1).unwrap();
            assert_eq!(decision.flow, light);
            policy.settle(light, 1, decision.charge_each, 100);
            received[1] += 100;
        } else {
            assert!(policy.decide_light(1).is_none());
            let decision = policy.decide(1).unwrap();
            assert_eq!(decision.flow, heavy);
            policy.settle(heavy, 1, decision.charge_each, 500);
            received[0] += 500;
        }
    }
    let share = received[0] as f64 / (received[0] + received[1]) as f64;
    assert!((share - 0.6).abs() < 0.01, "{received:?}");
}

#[test]
fn light_work_that_turns_out_long_is_left_to_others() {
    let mut policy = policy(PolicyConfig { turn: 1_000, ..NO_BURST });
    let flow = policy.open_light(Priority::Standard, 2);
    policy.arrive(flow, 10);
    let decision = policy.decide_light(1).unwrap();
    policy.settle(flow, 1, decision.charge_each, 5_000);
    assert!(!policy.light_is_next() && policy.decide_light(1).is_none());
    assert_eq!(
        policy.draw_overdue_light().map(|d| (d.flow, d.count)),
        Some((flow, 1)),
        "out of turn all the same"
    );
    assert_eq!(policy.decide(1).unwrap().flow, flow);
}

#[test]
fn owners_share_time_not_turns() {
    let mut policy = policy(NO_BURST);
    let long = policy.open(Priority::Standard, 1);
    let short = policy.open(Priority::Standard, 2);
    policy.arrive(long, 1_000_000);
    policy.arrive(short, 1_000_000);
    let mut time = HashMap::new();
    for _ in 0..20_000 {
        let decision = policy.decide(1).unwrap();
        let cost = if decision.flow == long { 1_000 } else { 10 };
        policy.settle(decision.flow, 1, decision.charge_each, cost);
        *time.entry(decision.flow).or_insert(0_i64) += cost as i64;
    }
    assert!((time[&long] - time[&short]).abs() <= 2_000, "{time:?}");
}

#[test]
fn an_owner_cannot_shed_its_debt_by_leaving() {
    let mut policy = policy(NO_BURST);
    let patient = policy.open(Priority::Standard, 1);
    policy.arrive(patient, 1_000_000);
    let mut time = [0_u64; 2];
    // Owner 2 brings one long task at a time and leaves in between.
    for _ in 0..2_000 {
        let restless = policy.open(Priority::Standard, 2);
        policy.arrive(restless, 1);
        loop {
            let decision = policy.decide(1).unwrap();
            let mine = decision.flow == restless;
            let cost = if mine { 1_000 } else { 10 };
            policy.settle(decision.flow, 1, decision.charge_each, cost);
            time[usize::from(mine)] += cost;
            if mine {
                break;
            }
        }
        policy.close(restless);
    }
    let ratio = time[1] as f64 / time[0] as f64;
    assert!((0.9..1.1).contains(&ratio), "{time:?}");
}

#[test]
fn critical_goes_first_until_its_burst_is_spent() {
    let mut policy = policy(PolicyConfig { critical_burst: 10_000, ..NO_BURST });
    open_all(&mut policy, 1_000_000);
    let mut first = 0;
    while policy.urgent() {
        let decision = policy.decide_urgent().unwrap();
        assert_eq!(decision.class, Priority::Critical);
        policy.settle(decision.flow, 1, decision.charge_each, 100);
        first += 1;
    }
    assert_eq!(first, 101, "10,000 of burst in tasks of 100, and the one that goes over");
    assert!(policy.decide_urgent().is_none());
    // From here on it has its weight, no more and no less.
    assert_shares(saturate(&mut policy, 10_000, |_| 100), [0.4, 0.3, 0.2, 0.1]);
}

#[test]
fn the_burst_is_earned_back() {
    let mut policy = policy(PolicyConfig { critical_burst: 10_000, ..NO_BURST });
    let flows = open_all(&mut policy, 1_000_000);
    saturate(&mut policy, 1_000, |_| 100);
    policy.withdraw(flows[0], policy.queued(Priority::Critical));
    saturate(&mut policy, 1_000, |_| 100);
    policy.arrive(flows[0], 1_000);
    for _ in 0..100 {
        let decision = policy.decide(1).unwrap();
        assert_eq!(decision.class, Priority::Critical);
        policy.settle(decision.flow, 1, decision.charge_each, 100);
    }
}

#[test]
fn alone_critical_work_runs_up_no_debt() {
    let mut policy = policy(PolicyConfig { critical_burst: 1_000, ..NO_BURST });
    let critical = policy.open(Priority::Critical, 0);
    policy.arrive(critical, 1_000);
    saturate(&mut policy, 1_000, |_| 100);
    assert!(policy.decide(1).is_none());
    let low = policy.open(Priority::Low, 0);
    policy.arrive(low, 100);
    policy.arrive(critical, 5);
    for _ in 0..5 {
        let decision = policy.decide(1).unwrap();
        assert_eq!(decision.class, Priority::Critical);
        policy.settle(decision.flow, 1, decision.charge_each, 100);
    }
    assert_eq!(policy.decide(1).unwrap().class, Priority::Low);
}

#[test]
fn short_tasks_go_in_batches_worth_a_turn() {
    let mut policy = policy(PolicyConfig { turn: 1_000, batch_max: 64, ..NO_BURST });
    let flow = policy.open(Priority::High, 0);
    policy.arrive(flow, 10_000);
    let first = policy.decide(1_000).unwrap();
    assert_eq!((first.count, first.charge_each), (1, 1_000), "unknown cost: one at a time");
    policy.settle(flow, 1, 1_000, 100);
    let second = policy.decide(1_000).unwrap();
    assert_eq!((second.count, second.charge_each), (10, 100));
    assert_eq!(policy.decide(3).unwrap().count, 3, "the limit holds");
    policy.settle(flow, 13, 1_300, 13);
    policy.settle(flow, 0, 0, 0);
    let cheap = policy.decide(1_000).unwrap();
    assert!(cheap.count > 10 && cheap.count <= 64);
}

#[test]
fn departed_owners_do_not_pile_up() {
    let mut policy = policy(NO_BURST);
    let resident = policy.open(Priority::Standard, u64::MAX);
    policy.arrive(resident, 10_000_000);
    for owner in 0..50_000 {
        let flow = policy.open(Priority::Standard, owner);
        policy.arrive(flow, 1);
        while policy.queued(Priority::Standard) > 9_000_000 {
            let decision = policy.decide(1).unwrap();
            policy.settle(decision.flow, 1, decision.charge_each, 100);
            if decision.flow == flow {
                break;
            }
        }
        policy.close(flow);
    }
    assert!(policy.owners() < 10_000, "{} owners", policy.owners());
}

#[derive(Clone, Debug)]
enum Event {
    Arrive { class: usize, owner: u64, count: u64 },
    Decide { limit: u64 },
    Urgent,
    Draw { class: usize, owner: u64 },
    Settle { which: usize, cost: u64 },
    Forfeit { which: usize },
    GiveBack { which: usize },
    Withdraw { class: usize, owner: u64, part: u64 },
    Close { class: usize, owner: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    let flow = || (0..4_usize, 0..3_u64);
    prop_oneof![
        4 => (flow(), 0..20_u64).prop_map(|((class, owner), count)| Event::Arrive { class, owner, count }),
        6 => (0..40_u64).prop_map(|limit| Event::Decide { limit }),
        2 => Just(Event::Urgent),
        1 => flow().prop_map(|(class, owner)| Event::Draw { class, owner }),
        6 => (any::<usize>(), 0..5_000_u64).prop_map(|(which, cost)| Event::Settle { which, cost }),
        1 => any::<usize>().prop_map(|which| Event::Forfeit { which }),
        1 => any::<usize>().prop_map(|which| Event::GiveBack { which }),
        1 => (flow(), 0..=4_u64).prop_map(|((class, owner), part)| Event::Withdraw { class, owner, part }),
        1 => flow().prop_map(|(class, owner)| Event::Close { class, owner }),
    ]
}

/// The policy beside the simplest account of what should be queued.
struct Model {
    policy: Policy,
    open: HashMap<(usize, u64), FlowId>,
    queued: HashMap<FlowId, u64>,
    in_flight: Vec<(FlowId, u64, u64)>,
}

impl Model {
    fn flow(&mut self, class: usize, owner: u64) -> FlowId {
        let policy = &mut self.policy;
        *self.open.entry((class, owner)).or_insert_with(|| policy.open(Priority::ALL[class], owner))
    }

    fn took(&mut self, decision: springtide_runtime::policy::Decision) {
        let queued = self.queued.get_mut(&decision.flow).expect("a flow with work");
        assert!(decision.count >= 1 && decision.count <= *queued);
        *queued -= decision.count;
        self.in_flight.push((decision.flow, decision.count, decision.count * decision.charge_each));
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrive { class, owner, count } => {
                let flow = self.flow(class, owner);
                self.policy.arrive(flow, count);
                *self.queued.entry(flow).or_default() += count;
            }
            Event::Decide { limit } => {
                let waiting: u64 = self.queued.values().sum();
                match self.policy.decide(limit) {
                    Some(decision) => {
                        assert!(decision.count <= limit.max(1));
                        self.took(decision);
                    }
                    None => assert_eq!(waiting, 0, "nothing drawn although work waits"),
                }
            }
            Event::Urgent => {
                let urgent = self.policy.urgent();
                let decision = self.policy.decide_urgent();
                assert_eq!(urgent, decision.is_some());
                if let Some(decision) = decision {
                    assert_eq!((decision.class, decision.count), (Priority::Critical, 1));
                    self.took(decision);
                }
            }
            Event::Draw { class, owner } => {
                let flow = self.flow(class, owner);
                let decision = self.policy.draw(flow);
                assert_eq!(decision.is_some(), self.queued.get(&flow).copied().unwrap_or(0) > 0);
                decision.into_iter().for_each(|d| self.took(d));
            }
            Event::Settle { which, cost } => {
                if let Some((flow, count, charged)) = self.pick(which) {
                    self.policy.settle(flow, count, charged, cost);
                }
            }
            Event::Forfeit { which } => {
                if let Some((flow, count, charged)) = self.pick(which) {
                    self.policy.forfeit(flow, count, charged);
                }
            }
            Event::GiveBack { which } => {
                if let Some((flow, count, charged)) = self.pick(which) {
                    self.policy.give_back(flow, count, charged);
                    *self.queued.entry(flow).or_default() += count;
                }
            }
            Event::Withdraw { class, owner, part } => {
                let flow = self.flow(class, owner);
                let queued = self.queued.entry(flow).or_default();
                let count = *queued * part / 4;
                *queued -= count;
                self.policy.withdraw(flow, count);
            }
            Event::Close { class, owner } => {
                let flow = self.flow(class, owner);
                let busy = self.in_flight.iter().any(|(f, ..)| *f == flow);
                if !busy && self.queued.get(&flow).copied().unwrap_or(0) == 0 {
                    self.policy.close(flow);
                    self.open.remove(&(class, owner));
                }
            }
        }
    }

    fn pick(&mut self, which: usize) -> Option<(FlowId, u64, u64)> {
        (!self.in_flight.is_empty()).then(|| self.in_flight.swap_remove(which % self.in_flight.len()))
    }

    fn check(&self) {
        assert_eq!(self.policy.queued_total(), self.queued.values().sum::<u64>());
        for (index, class) in Priority::ALL.into_iter().enumerate() {
            let flows = self.open.iter().filter(|((c, _), _)| *c == index).map(|(_, flow)| flow);
            let queued: u64 = flows.map(|flow| self.queued.get(flow).copied().unwrap_or(0)).sum();
            assert_eq!(self.policy.queued(class), queued);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is handed over while nothing is queued changes the order of what comes later exactly as if it had been
    /// queued and drawn.
    #[test]
    fn handed_over_is_charged_as_if_drawn(
        runs in prop::collection::vec((0..4_usize, 0..3_usize), 1..60),
        costs in prop::array::uniform4(1..5_000_u64),
        burst in prop::sample::select(vec![0, 20_000]),
    ) {
        let config = PolicyConfig { critical_burst: burst, ..NO_BURST };
        let open = || {
            let mut policy = policy(config);
            let flows = Priority::ALL.map(|class| [0, 1, 2].map(|owner| policy.open_light(class, owner)));
            (policy, flows)
        };
        let ((mut drawn, flows), (mut handed, _)) = (open(), open());
        for (class, owner) in runs {
            let (flow, cost) = (flows[class][owner], costs[class]);
            drawn.arrive(flow, 1);
            let decision = drawn.decide(1).unwrap();
            drawn.settle(flow, 1, decision.charge_each, cost);
            handed.handed_over(flow, 1, cost);
        }
        flows.iter().flatten().for_each(|flow| {
            drawn.arrive(*flow, 100);
            handed.arrive(*flow, 100);
        });
        for _ in 0..400 {
            let (one, other) = (drawn.decide(1).unwrap(), handed.decide(1).unwrap());
            prop_assert_eq!(one, other);
            drawn.settle(one.flow, 1, one.charge_each, 700);
            handed.settle(one.flow, 1, one.charge_each, 700);
        }
    }

    #[test]
    fn no_task_is_lost_or_invented(events in prop::collection::vec(event(), 1..300), burst in 0..20_000_u64) {
        let config = PolicyConfig { turn: 500, batch_max: 16, critical_burst: burst, ..NO_BURST };
        let mut model = Model {
            policy: policy(config),
            open: HashMap::new(),
            queued: HashMap::new(),
            in_flight: Vec::new(),
        };
        for event in events {
            model.step(event);
            model.check();
        }
        // Whatever happened, all that is queued comes out.
        while model.policy.queued_total() > 0 {
            model.step(Event::Decide { limit: 8 });
        }
        model.check();
    }

    #[test]
    fn saturated_shares_follow_any_weights(
        weights in prop::array::uniform4(0.05..1.0_f64),
        costs in prop::array::uniform4(100..2_000_u64),
        burst in 0..5_000_u64,
    ) {
        let weights = Weights(weights);
        let mut policy = policy(PolicyConfig { weights, critical_burst: burst, ..NO_BURST });
        open_all(&mut policy, 1 << 40);
        let span = 200 * (burst + 4 * costs.iter().max().unwrap());
        // From a steady state, over a span of time rather than of tasks.
        let mut received = [0; 4];
        let mut time = 0;
        while time < 2 * span {
            let one = saturate(&mut policy, 1, |class| costs[class.index()]);
            time += one.iter().sum::<u64>();
            if time > span {
                received.iter_mut().zip(one).for_each(|(sum, cost)| *sum += cost);
            }
        }
        assert_shares(received, weights.shares().unwrap().0);
    }

    #[test]
    fn nobody_waits_beyond_the_bound(
        costs in prop::array::uniform4(1..1_000_u64),
        burst in 0..10_000_u64,
        owners in 1..5_u64,
    ) {
        let mut policy = policy(PolicyConfig { critical_burst: burst, ..NO_BURST });
        let flows = policy_flows(&mut policy, owners);
        flows.iter().for_each(|(_, flow)| policy.arrive(*flow, 1 << 40));
        let mut waited: HashMap<FlowId, u64> = flows.iter().map(|(_, flow)| (*flow, 0)).collect();
        let largest = *costs.iter().max().unwrap();
        let shares = Weights::default().shares().unwrap();
        for _ in 0..1_500 {
            let decision = policy.decide(1).unwrap();
            let cost = costs[decision.class.index()];
            policy.settle(decision.flow, 1, decision.charge_each, cost);
            waited.values_mut().for_each(|time| *time += cost);
            waited.insert(decision.flow, 0);
            for &(class, flow) in &flows {
                // One owner's round: each owner of its class once, at the class's share.
                let bound = (largest * (owners + 1) + burst) as f64 / shares[class] + 4.0 * largest as f64;
                prop_assert!(waited[&flow] as f64 <= bound, "{class} {flow:?} waits {}, bound {bound}", waited[&flow]);
            }
        }
    }
}

fn policy_flows(policy: &mut Policy, owners: u64) -> Vec<(Priority, FlowId)> {
    let all = Priority::ALL.into_iter().flat_map(|c| (0..owners).map(move |o| (c, o)));
    all.map(|(class, owner)| (class, policy.open(class, owner))).collect()
}
