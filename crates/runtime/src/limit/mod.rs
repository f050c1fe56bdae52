//! Rates, retries and circuit breakers: how much work goes to another side, and when.
//!
//! - [`RateLimiter`]: quotas per key and for all keys together, in requests or in any other unit, with bursts;
//!   whoever has to wait waits in a fair order and can be seen. It follows what the other side says of its own
//!   limits: pauses ([`RateLimiter::hear`]) and what is left ([`RateLimiter::observe`]).
//! - [`Retry`], [`RetryBudget`]: whether and when failed work is tried again.
//! - [`Breaker`]: stops asking a side that keeps failing.
//!
//! [`LimitCore`], [`Retry`] and [`Breaker`] are pure state machines, `(state, event, now) -> actions`: time is a
//! number handed in. [`RateLimiter`] is the first of them behind a lock, with futures that wait.
//!
//! ```
//! use springtide_runtime::limit::{Ask, Cost, Feedback, LimiterConfig, PauseRule, Quota, RateLimiter, Unit};
//! use std::{sync::Arc, time::Duration};
//!
//! const TOKENS: Unit = Unit::new("tokens");
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
//! let limiter = RateLimiter::new(LimiterConfig {
//!     global: vec![Quota::per_second(Unit::REQUESTS, 50)],
//!     per_key: vec![Quota::per_minute(TOKENS, 60_000).burst(2_000), Quota::per_second(Unit::REQUESTS, 10)],
//!     pause: PauseRule::Always,
//!     ..LimiterConfig::default()
//! })?;
//! let key: Arc<str> = "api.example.com".into();
//! let ask = || Ask { cost: Cost::REQUEST.and(TOKENS, 1_000), ..Ask::new(Arc::clone(&key)) };
//! let mut grant = limiter.acquire(ask()).await;
//! assert!(grant.waited().is_zero());
//! grant.settle(TOKENS, 3_000); // it took more than estimated: later work waits for the difference
//! limiter.hear(&key, Feedback::Throttled { retry_after: Some(Duration::from_secs(7)) });
//! assert_eq!(limiter.acquire(ask()).await.waited(), Duration::from_secs(7));
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The order of those who wait
//!
//! Within one key: classes by their weights (start-time fair queuing over the limit they use up, critical first
//! within a burst), owners of a class in turn, each owner's work as it came. Nothing overtakes the work whose
//! turn it is, however large: small work cannot starve large work. Under a common limit the classes share by
//! weight again, and the keys with work of the chosen class take turns; a key that its own limit or a pause
//! holds up stands aside and holds up nobody.
//!
//! # Why not a library
//!
//! The algorithm of the buckets is the one of the `governor` crate. What is needed around it is not there:
//! several quotas taken together or not at all, an order among those who wait, debts and refunds, and limits
//! that the other side moves.

mod breaker;
mod bucket;
mod limiter;
mod order;
mod pause;
mod quota;
mod retry;
mod state;

pub use breaker::{Admission, Breaker, BreakerConfig, BreakerState, Epoch, Outcome};
pub use limiter::{Grant, LimitError, RateLimiter};
pub use pause::{Feedback, PauseReason, PauseRule};
pub use quota::{Cost, Quota, UNITS_MAX, Unit};
pub use retry::{
    Attempt, Failure, GiveUp, Jitter, Retry, RetryBudget, RetryBudgetConfig, RetryConfig, Verdict,
};
pub use state::{
    Ask, KeySnapshot, Left, Level, LimitCore, LimiterConfig, LimiterSnapshot, Pass, Ticket, WaiterSnapshot,
};
