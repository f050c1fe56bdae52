//! Whether and when to try again: exponential backoff with full jitter, a budget, and a record of every attempt.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Settings of [`Retry`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryConfig {
    /// Attempts in all, the first included; 1 never retries.
    pub attempts_max: u32,
    /// Upper bound of the first wait; it doubles with every attempt.
    pub base: Duration,
    /// Upper bound of every wait.
    pub cap: Duration,
    /// Longest wait that the other side may ask for; beyond it the work fails at once and says so.
    pub retry_after_max: Duration,
}

impl Default for RetryConfig {
    /// Five attempts, 100 ms doubling to 20 s, waits of up to 60 s on request.
    fn default() -> Self {
        Self {
            attempts_max: 5,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(20),
            retry_after_max: Duration::from_secs(60),
        }
    }
}

impl RetryConfig {
    /// No second attempt.
    pub const NEVER: Self =
        Self { attempts_max: 1, base: Duration::ZERO, cap: Duration::ZERO, retry_after_max: Duration::ZERO };

    /// Wait after the `attempt`th attempt (from 1) failed, for a `random` number in `[0, 1)`: uniform between
    /// zero and `min(cap, base · 2^(attempt - 1))`. ("Full jitter": of the usual schemes the one with the fewest
    /// calls when many clients fail together.)
    pub fn backoff(&self, attempt: u32, random: f64) -> Duration {
        let doubled =
            self.base.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.cap).mul_f64(random.clamp(0.0, 1.0))
    }

    /// Wait that the other side asked for, plus up to a twentieth (at most `base`), so that not all come back at
    /// once.
    fn asked(&self, wait: Duration, random: f64) -> Duration {
        wait + (wait / 20).min(self.base).mul_f64(random.clamp(0.0, 1.0))
    }
}

/// What kind of failure an attempt ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Another attempt may succeed.
    Transient,
    /// The other side has too much to do or says we ask too much, and perhaps when to come back.
    Throttled {
        /// The wait it asked for.
        retry_after: Option<Duration>,
    },
    /// Another attempt would fail alike, or must not be made.
    Final,
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// The failure is final.
    Final,
    /// All attempts are used up.
    Attempts,
    /// Too large a part of all work is retries already.
    Budget,
    /// The next attempt would start past the deadline.
    Deadline,
    /// The other side asks for a longer wait than is allowed.
    AskedTooLong(
        /// The wait it asked for.
        Duration,
    ),
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Final => f.write_str("not worth another attempt"),
            Self::Attempts => f.write_str("no attempts left"),
            Self::Budget => f.write_str("retry budget used up: too many requests fail"),
            Self::Deadline => f.write_str("another attempt would start past the deadline"),
            Self::AskedTooLong(wait) => write!(f, "asked to come back in {wait:?}, longer than allowed"),
        }
    }
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again after this wait. Hold no permit meanwhile.
    Again(
        /// The wait.
        Duration,
    ),
    /// Stop, and why.
    Stop(
        /// The reason.
        GiveUp,
    ),
}

/// One attempt: when it started after the first one did, how long it took, how long was waited after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Start, counted from the start of the first attempt.
    pub started: Duration,
    /// Its own duration, waits excluded.
    pub took: Duration,
    /// Wait that followed it; none when it was the last.
    pub wait: Option<Duration>,
    /// How it failed; none when it succeeded or still runs.
    pub failure: Option<Failure>,
}

/// The state of one piece of work that may be tried several times. Times are durations since a fixed start.
///
/// ```
/// use springtide_runtime::limit::{Failure, Retry, RetryBudget, RetryConfig, Verdict};
/// use std::time::Duration;
///
/// let mut budget = RetryBudget::default();
/// let mut retry = Retry::new(RetryConfig::default(), Duration::ZERO, None);
/// budget.deposit(Duration::ZERO);
/// let now = Duration::from_millis(30);
/// match retry.failed(Failure::Transient, 0.5, &mut budget, now) {
///     Verdict::Again(wait) => assert_eq!(wait, Duration::from_millis(50)), // half of 100 ms
///     Verdict::Stop(why) => panic!("{why}"),
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    config: RetryConfig,
    start: Duration,
    deadline: Option<Duration>,
    /// Start of the attempt that runs.
    began: Duration,
    past: Vec<Attempt>,
    /// Attempts that no longer count.
    forgiven: usize,
}

impl Retry {
    /// The first attempt starts `now`; none starts past `deadline`.
    pub fn new(config: RetryConfig, now: Duration, deadline: Option<Duration>) -> Self {
        Self { config, start: now, deadline, began: now, past: Vec::new(), forgiven: 0 }
    }

    /// Number of the attempt that runs, from 1.
    pub fn attempt(&self) -> u32 {
        self.past.len() as u32 + 1
    }

    /// The attempts that ended.
    pub fn past(&self) -> &[Attempt] {
        &self.past
    }

    /// The attempt that runs got further than those before it: they no longer count towards the number of
    /// attempts or the length of waits.
    pub fn progress(&mut self) {
        self.forgiven = self.past.len();
    }

    /// The next attempt starts.
    pub fn begin(&mut self, now: Duration) {
        self.began = now;
    }

    /// The attempt that runs failed. `random` is a number in `[0, 1)`.
    pub fn failed(
        &mut self,
        failure: Failure,
        random: f64,
        budget: &mut RetryBudget,
        now: Duration,
    ) -> Verdict {
        let attempt = self.attempt() - self.forgiven as u32;
        let verdict = self.judge(failure, attempt, random, budget, now);
        let wait = match verdict {
            Verdict::Again(wait) => Some(wait),
            Verdict::Stop(_) => None,
        };
        self.past.push(Attempt {
            started: self.began.saturating_sub(self.start),
            took: now.saturating_sub(self.began),
            wait,
            failure: Some(failure),
        });
        self.began = now + wait.unwrap_or_default();
        verdict
    }

    fn judge(
        &self,
        failure: Failure,
        attempt: u32,
        random: f64,
        budget: &mut RetryBudget,
        now: Duration,
    ) -> Verdict {
        let wait = match failure {
            Failure::Final => return Verdict::Stop(GiveUp::Final),
            Failure::Throttled { retry_after: Some(wait) } if wait > self.config.retry_after_max => {
                return Verdict::Stop(GiveUp::AskedTooLong(wait));
            }
            Failure::Throttled { retry_after: Some(wait) } => self.config.asked(wait, random),
            Failure::Throttled { retry_after: None } | Failure::Transient => {
                self.config.backoff(attempt, random)
            }
        };
        if attempt >= self.config.attempts_max {
            return Verdict::Stop(GiveUp::Attempts);
        }
        if self.deadline.is_some_and(|deadline| now + wait >= deadline) {
            return Verdict::Stop(GiveUp::Deadline);
        }
        if !budget.withdraw(now) {
            return Verdict::Stop(GiveUp::Budget);
        }
        Verdict::Again(wait)
    }
}

/// Settings of a [`RetryBudget`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudgetConfig {
    /// Retries allowed per request.
    pub ratio: f64,
    /// Retries allowed per second besides, so that rare work may retry too.
    pub floor_per_second: f64,
    /// Retries that may be saved up.
    pub saved_max: f64,
}

impl Default for RetryBudgetConfig {
    /// A fifth of all requests, ten a second besides, at most 1,000 saved up.
    fn default() -> Self {
        Self { ratio: 0.2, floor_per_second: 10.0, saved_max: 1_000.0 }
    }
}

/// Keeps retries a bounded part of all work: a server in trouble is not hit by several times its load.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    config: RetryBudgetConfig,
    saved: f64,
    seen: Duration,
    refused: u64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(RetryBudgetConfig::default())
    }
}

impl RetryBudget {
    /// A budget with one second's floor saved up.
    pub fn new(config: RetryBudgetConfig) -> Self {
        Self {
            config,
            saved: config.floor_per_second.min(config.saved_max),
            seen: Duration::ZERO,
            refused: 0,
        }
    }

    /// A new request starts (not a retry).
    pub fn deposit(&mut self, now: Duration) {
        self.earn(now);
        self.saved = (self.saved + self.config.ratio).min(self.config.saved_max);
    }

    /// Takes one retry, if there is one.
    pub fn withdraw(&mut self, now: Duration) -> bool {
        self.earn(now);
        let enough = self.saved >= 1.0;
        if enough {
            self.saved -= 1.0;
        } else {
            self.refused += 1;
        }
        enough
    }

    /// Retries saved up.
    pub fn saved(&self) -> f64 {
        self.saved
    }

    /// Retries refused so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn earn(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.seen).as_secs_f64();
        self.seen = self.seen.max(now);
        self.saved = (self.saved + passed * self.config.floor_per_second).min(self.config.saved_max);
    }
}

/// A source of jitter: SplitMix64. Equal seeds give equal numbers.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// From a seed, for tests and simulations.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// From the operating system's randomness, as seeds of hash tables are.
    pub fn random() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }

    /// The next number in `[0, 1)`.
    pub fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
