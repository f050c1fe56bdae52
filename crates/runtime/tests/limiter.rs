//! The limiter's futures, on a paused clock.

use springtide_runtime::{
    Priority,
    limit::{Ask, Feedback, LimitError, LimiterConfig, PauseRule, Quota, RateLimiter, Unit},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

fn limiter(quota: Quota) -> RateLimiter {
    let config = LimiterConfig { per_key: vec![quota], pause: PauseRule::Always, ..LimiterConfig::default() };
    RateLimiter::new(config).unwrap()
}

fn ask(owner: u64) -> Ask {
    Ask { owner, ..Ask::new("key") }
}

#[tokio::test(start_paused = true)]
async fn everybody_goes_at_the_rate() {
    let limiter = limiter(Quota::per_second(Unit::REQUESTS, 10).burst(5));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for owner in 0..105 {
        let limiter = limiter.clone();
        tasks.spawn(async move { limiter.acquire(ask(owner)).await.waited() });
    }
    let waits: Vec<Duration> = tasks.join_all().await;
    assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 5);
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_millis(10_100), "{took:?}");
    let snapshot = limiter.snapshot(10);
    assert_eq!((snapshot.keys[0].granted, snapshot.keys[0].delayed, snapshot.keys[0].waiting), (105, 100, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_holds_up_nobody() {
    let limiter = limiter(Quota::spacing(Duration::from_secs(1)));
    let _first = limiter.acquire(ask(0)).await;
    let mut tasks = JoinSet::new();
    // The leader and most of the others give up before their turn.
    for owner in 0..50 {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            let patience = if owner % 10 == 9 { Duration::MAX } else { Duration::from_millis(500) };
            timeout(patience.min(Duration::from_secs(3_600)), limiter.acquire(ask(owner))).await.is_ok()
        });
    }
    let start = Instant::now();
    let passed = tasks.join_all().await.into_iter().filter(|passed| *passed).count();
    assert_eq!(passed, 5);
    assert!(start.elapsed() < Duration::from_millis(5_100), "{:?}", start.elapsed());
    assert_eq!(limiter.snapshot(10).keys[0].waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_what_is_visible() {
    let limiter = limiter(Quota::spacing(Duration::from_secs(10)));
    let _first = limiter.acquire(ask(0)).await;
    let mut tasks = JoinSet::new();
    for (owner, class) in [(1, Priority::Low), (2, Priority::High)] {
        let limiter = limiter.clone();
        let ask = Ask { class, label: format!("work of {owner}").into(), ..ask(owner) };
        tasks.spawn(async move { limiter.acquire(ask).await.waited() });
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let snapshot = limiter.snapshot(10);
    let names: Vec<&str> = snapshot.keys[0].waiters.iter().map(|w| w.label.as_str()).collect();
    assert_eq!(names, ["work of 2", "work of 1"]);
    assert_eq!(snapshot.keys[0].waiters[0].waited, Duration::from_secs(4));
    assert_eq!(snapshot.next_in, Some(Duration::from_secs(6)));
    assert_eq!(snapshot.keys[0].waiting_by_class[Priority::Low], 1);
    tasks.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_moves_everybody_and_a_short_deadline_fails_at_once() {
    let limiter = limiter(Quota::per_second(Unit::REQUESTS, 1));
    let key: Arc<str> = "key".into();
    let start = Instant::now();
    let _first = limiter.acquire(ask(0)).await;
    let mut tasks = JoinSet::new();
    let other = limiter.clone();
    tasks.spawn(async move { other.acquire(ask(1)).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    limiter.hear(&key, Feedback::Throttled { retry_after: Some(Duration::from_secs(34)) });
    let error = limiter.acquire_before(ask(2), Instant::now() + Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_millis(10), "not waited for in vain");
    let LimitError::TooLate { needs, .. } = &error;
    assert_eq!(*needs, Duration::from_secs(34));
    assert!(error.to_string().contains("at least 34s"), "{error}");
    tasks.join_all().await;
    assert!(start.elapsed() >= Duration::from_secs(34), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn work_that_was_not_done_gives_back_its_place() {
    let limiter = limiter(Quota::spacing(Duration::from_secs(10)));
    limiter.acquire(ask(0)).await.give_back();
    assert!(limiter.try_acquire(&ask(0)).is_some());
    assert!(limiter.try_acquire(&ask(0)).is_none());
}
