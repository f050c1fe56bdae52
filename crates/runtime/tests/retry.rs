//! Retries and circuit breakers: properties under arbitrary events.

use proptest::prelude::*;
use springtide_runtime::limit::{
    Admission, Breaker, BreakerConfig, BreakerState, Failure, GiveUp, Jitter, Outcome, Retry, RetryBudget,
    RetryBudgetConfig, RetryConfig, Verdict,
};
use std::time::Duration;

fn rich() -> RetryBudget {
    RetryBudget::new(RetryBudgetConfig { ratio: 1.0, floor_per_second: 1e6, saved_max: 1e6 })
}

#[test]
fn waits_double_up_to_the_cap_and_are_jittered_over_their_whole_length() {
    let config = RetryConfig { attempts_max: 12, ..RetryConfig::default() };
    for attempt in 1..12 {
        let most = config.backoff(attempt, 1.0);
        let expected = (0.1 * f64::from(1 << (attempt - 1))).min(20.0);
        assert!((most.as_secs_f64() - expected).abs() < 1e-9, "{attempt}: {most:?}");
        assert_eq!(config.backoff(attempt, 0.0), Duration::ZERO);
    }
    assert_eq!(config.backoff(u32::MAX, 1.0), config.cap);
}

#[test]
fn a_wait_that_is_asked_for_is_kept_or_refused() {
    let asked = |secs| Failure::Throttled { retry_after: Some(Duration::from_secs(secs)) };
    let mut retry = Retry::new(RetryConfig::default(), Duration::ZERO, None);
    let verdict = retry.failed(asked(3), 0.5, &mut rich(), Duration::ZERO);
    assert_eq!(verdict, Verdict::Again(Duration::from_millis(3_050)));
    let verdict = retry.failed(asked(90), 0.5, &mut rich(), Duration::from_secs(4));
    assert_eq!(verdict, Verdict::Stop(GiveUp::AskedTooLong(Duration::from_secs(90))));
    let [first, second] = retry.past() else { panic!("{:?}", retry.past()) };
    assert_eq!(first.wait, Some(Duration::from_millis(3_050)));
    assert_eq!((second.started, second.took), (Duration::from_millis(3_050), Duration::from_millis(950)));
}

#[test]
fn a_budget_bounds_the_load_on_a_side_that_fails_always() {
    let mut budget = RetryBudget::default();
    let mut random = Jitter::seeded(1);
    let mut sent = 0;
    for request in 0..20_000_u64 {
        let now = Duration::from_millis(request / 10);
        budget.deposit(now);
        let mut retry = Retry::new(RetryConfig::default(), now, None);
        sent += 1;
        while let Verdict::Again(_) = retry.failed(Failure::Transient, random.draw(), &mut budget, now) {
            sent += 1;
        }
    }
    // A fifth more, ten a second for two seconds, and the ten it started with; without it: five times as many.
    assert!((23_900..=24_040).contains(&sent), "{sent}");
    assert!(budget.refused() > 15_000);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn attempts_end_and_none_starts_past_the_deadline(
        failures in proptest::collection::vec((0_u8..3, 0_u64..5_000, 0.0_f64..1.0), 20),
        attempts_max in 1_u32..10,
        deadline in proptest::option::of(0_u64..30_000),
    ) {
        let config = RetryConfig { attempts_max, ..RetryConfig::default() };
        let deadline = deadline.map(Duration::from_millis);
        let mut retry = Retry::new(config, Duration::ZERO, deadline);
        let mut now = Duration::ZERO;
        let mut ended = None;
        for (kind, took, random) in failures {
            now += Duration::from_millis(took);
            let failure = match kind {
                0 => Failure::Transient,
                1 => Failure::Throttled { retry_after: None },
                _ => Failure::Throttled { retry_after: Some(Duration::from_millis(10 * took)) },
            };
            match retry.failed(failure, random, &mut rich(), now) {
                Verdict::Again(wait) => now += wait,
                Verdict::Stop(why) => {
                    ended = Some(why);
                    break;
                }
            }
            prop_assert!(deadline.is_none_or(|deadline| now < deadline));
        }
        prop_assert!(ended.is_some());
        prop_assert!(retry.past().len() as u32 <= attempts_max);
        // The record adds up: each attempt starts where the one before and its wait ended.
        let mut clock = Duration::ZERO;
        for attempt in retry.past() {
            prop_assert_eq!(attempt.started, clock);
            clock += attempt.took + attempt.wait.unwrap_or_default();
        }
    }

    #[test]
    fn a_breaker_keeps_its_promises(
        events in proptest::collection::vec((0_u64..700, 0_u8..10), 1..400),
        bad in 0_u8..10,
    ) {
        let config = BreakerConfig { outcomes_min: 5, probes: 2, ..BreakerConfig::default() };
        let mut breaker = Breaker::new(config);
        let mut now = Duration::ZERO;
        let mut open_until = Duration::ZERO;
        let mut in_flight = Vec::new();
        for (after, luck) in events {
            now += Duration::from_millis(after);
            // Some work ends late, even in another state than it began in.
            if luck % 3 == 0 && let Some(epoch) = in_flight.pop() {
                let outcome = if luck < bad { Outcome::Failure } else { Outcome::Success };
                let before = breaker.state();
                breaker.report(epoch, outcome, now);
                if let (BreakerState::Open { until }, false) =
                    (breaker.state(), matches!(before, BreakerState::Open { .. }))
                {
                    prop_assert_eq!(outcome, Outcome::Failure, "opened by a success");
                    let lasts = until - now;
                    prop_assert!(lasts >= config.open_first && lasts <= config.open_max);
                    open_until = until;
                }
            }
            match breaker.admit(now) {
                Admission::Yes(epoch) => {
                    prop_assert!(now >= open_until, "let through while open");
                    in_flight.push(epoch);
                    if breaker.state() == BreakerState::HalfOpen {
                        let probes = in_flight.iter().filter(|e| **e == epoch).count();
                        prop_assert!(probes <= 2, "{} probes at once", probes);
                    }
                }
                Admission::No { wait } => {
                    prop_assert!(breaker.state() != BreakerState::Closed && wait > Duration::ZERO);
                }
            }
        }
    }
}

#[test]
fn probes_are_few_and_close_it_again() {
    let config = BreakerConfig { outcomes_min: 4, ..BreakerConfig::default() };
    let mut breaker = Breaker::new(config);
    let mut now = Duration::ZERO;
    let admit = |breaker: &mut Breaker, now| match breaker.admit(now) {
        Admission::Yes(epoch) => Some(epoch),
        Admission::No { .. } => None,
    };
    let stale = admit(&mut breaker, now).unwrap();
    for _ in 0..4 {
        let epoch = admit(&mut breaker, now).unwrap();
        breaker.report(epoch, Outcome::Failure, now);
    }
    let mut waits = Vec::new();
    for _ in 0..3 {
        let BreakerState::Open { until } = breaker.state() else { panic!("{:?}", breaker.state()) };
        waits.push((until - now).as_secs());
        assert!(admit(&mut breaker, until - Duration::from_millis(1)).is_none());
        now = until;
        let probe = admit(&mut breaker, now).unwrap();
        assert!(admit(&mut breaker, now).is_none(), "one probe at a time");
        breaker.report(probe, Outcome::Failure, now);
    }
    assert_eq!(waits, [1, 2, 4]);
    let BreakerState::Open { until } = breaker.state() else { panic!("{:?}", breaker.state()) };
    now = until;
    // A probe that was cancelled frees its place and says nothing.
    let probe = admit(&mut breaker, now).unwrap();
    breaker.report(probe, Outcome::Unknown, now);
    for _ in 0..2 {
        let probe = admit(&mut breaker, now).unwrap();
        breaker.report(probe, Outcome::Success, now);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    breaker.report(stale, Outcome::Failure, now);
    assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Closed, 4));
}

#[test]
fn failures_leave_the_window() {
    let mut breaker = Breaker::new(BreakerConfig { outcomes_min: 10, ..BreakerConfig::default() });
    for second in 0..200 {
        let now = Duration::from_secs(2 * second);
        // Half of what is in the window would open it; with six in ten seconds it never has enough to say so.
        let Admission::Yes(epoch) = breaker.admit(now) else { panic!("opened at {now:?}") };
        breaker.report(epoch, Outcome::Failure, now);
    }
}
