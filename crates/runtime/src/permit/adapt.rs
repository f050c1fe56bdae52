//! How many at once: limits that find their own value. Pure: time is an argument, in nanoseconds.
//!
//! # What is measured
//!
//! Every permit that was held gives one sample: how long, how many were out, and whether the other side
//! complained. A retried operation takes a permit for each attempt, so that the waiting between attempts is
//! never taken for a slow answer. Samples are gathered in *windows* of one round trip; a window's mean is
//! compared with the *base*, the round trip without queueing.
//!
//! # The rules
//!
//! - [`Rule::Aimd`] adds 1 per round trip and multiplies by `backoff` at a complaint or when a window's mean
//!   exceeds `tolerance` × base (as TCP does, and Vector's adaptive request concurrency).
//! - [`Rule::Gradient`] moves to `limit × gradient + √limit` with `gradient = tolerance × base / mean`, held
//!   between 0.5 and 1: it cuts by how much too slow the answers are, and leaves room for a short queue (as
//!   Netflix's concurrency-limits do). A complaint multiplies by 0.9.
//!
//! Both start by doubling every round trip until the first sign of trouble, since adding one at a time takes
//! hundreds of round trips to reach a limit of hundreds. Both never grow while less than half of the limit is
//! in use: such a limit is not what holds the work back. Both cut at most once per round trip, because what
//! is still under way was sent before the cut.
//!
//! # The base
//!
//! The base is the smallest window mean seen while it is trusted. A limit that keeps a queue standing would
//! lift any average until the queue looks normal, and a smallest mean alone would never rise; so after 200 busy
//! windows, or when cut after cut does not help, the limit is halved for two round trips. If answers then come
//! much sooner, they were late because of our own queue: the base stands, and if they were too late, so does
//! the halved limit. If they do not, the other side is slower by itself, and what was measured is the new base.

use crate::priority::BadWeight;

/// Busy windows after which the base is measured again.
const PROBE_AFTER: u32 = 200;
/// Congested windows in a row after which the base itself is doubted.
const DOUBT_AFTER: u32 = 8;
/// Samples that make a window, unless the limit allows only fewer at a time.
const WINDOW_SAMPLES: u32 = 10;
/// Shortest window.
const WINDOW_NS_MIN: u64 = 1_000_000;

/// How a limit finds its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// It stays where it was set.
    Fixed,
    /// Adds one, multiplies by `backoff` (between 0 and 1) at trouble.
    Aimd {
        /// Factor of a cut; 0.9 is usual.
        backoff: f64,
        /// How many times the base a round trip may take before it counts as trouble; above 1.
        tolerance: f64,
    },
    /// Follows the ratio of base and measured round trip.
    Gradient {
        /// How many times the base a round trip may take before the limit is cut; above 1.
        tolerance: f64,
    },
}

impl Rule {
    /// AIMD with a backoff of 0.9 and a tolerance of 2.
    pub const AIMD: Self = Self::Aimd { backoff: 0.9, tolerance: 2.0 };
    /// Gradient with a tolerance of 1.5.
    pub const GRADIENT: Self = Self::Gradient { tolerance: 1.5 };
}

/// Settings of a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitConfig {
    /// How it moves.
    pub rule: Rule,
    /// Where it starts.
    pub initial: u32,
    /// It never falls below this (at least 1).
    pub min: u32,
    /// It never rises above this.
    pub max: u32,
}

impl LimitConfig {
    /// A limit that does not move.
    pub const fn fixed(limit: u32) -> Self {
        Self { rule: Rule::Fixed, initial: limit, min: limit, max: limit }
    }

    /// No limit.
    pub const UNLIMITED: Self = Self::fixed(u32::MAX);

    /// A limit that moves by [`Rule::GRADIENT`] from `initial` between 1 and `max`.
    pub const fn gradient(initial: u32, max: u32) -> Self {
        Self { rule: Rule::GRADIENT, initial, min: 1, max }
    }

    /// A limit that moves by [`Rule::AIMD`] from `initial` between 1 and `max`.
    pub const fn aimd(initial: u32, max: u32) -> Self {
        Self { rule: Rule::AIMD, initial, min: 1, max }
    }

    /// Checks that the numbers can work together.
    ///
    /// # Errors
    /// When they are out of order or a factor is out of range.
    pub fn check(&self) -> Result<(), BadLimit> {
        let Self { initial, min, max, .. } = *self;
        if min == 0 || min > max || !(min..=max).contains(&initial) {
            return Err(BadLimit::Order { min, initial, max });
        }
        let (backoff, tolerance) = match self.rule {
            Rule::Fixed => return Ok(()),
            Rule::Aimd { backoff, tolerance } => (backoff, tolerance),
            Rule::Gradient { tolerance } => (0.9, tolerance),
        };
        let usable = backoff > 0.0 && backoff < 1.0 && tolerance > 1.0 && tolerance.is_finite();
        if usable { Ok(()) } else { Err(BadLimit::Factor { backoff, tolerance }) }
    }
}

/// Settings of a limit that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum BadLimit {
    /// Numbers out of order.
    #[error("a limit from {min} to {max} that starts at {initial}: use 1 <= min <= initial <= max")]
    Order {
        /// Lower bound.
        min: u32,
        /// Start.
        initial: u32,
        /// Upper bound.
        max: u32,
    },
    /// A factor out of range.
    #[error(
        "backoff {backoff} and tolerance {tolerance}: use a backoff between 0 and 1 and a tolerance above 1"
    )]
    Factor {
        /// Factor of a cut.
        backoff: f64,
        /// Multiple of the base.
        tolerance: f64,
    },
    /// A weight of the classes that cannot be used.
    #[error(transparent)]
    Weight(#[from] BadWeight),
}

/// What a held permit says about the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// An answer came; its time counts.
    Answered,
    /// The other side had too much: a refusal, a timeout, "too many requests".
    Overloaded,
    /// Says nothing about the other side: cancelled, failed before it was sent.
    Unrelated,
}

/// One finished use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it ended.
    pub now_ns: u64,
    /// How long it took.
    pub latency_ns: u64,
    /// How many were under way when it ended, itself included.
    pub in_flight: u32,
    /// How it went.
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    start_ns: u64,
    samples: u32,
    latency_sum_ns: u64,
    in_flight_max: u32,
}

/// The state of the base.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Probe {
    /// In use, for so many busy windows.
    Trusted(u32),
    /// The limit is halved; what was sent before runs out. The mean before.
    Draining(f64),
    /// The next window tells. The mean before.
    Measuring(f64),
}

/// A limit that moves.
#[derive(Clone, Debug)]
pub struct AdaptiveLimit {
    config: LimitConfig,
    limit: f64,
    /// Before the first sign of trouble.
    doubling: bool,
    window: Window,
    /// Mean of the window before, in nanoseconds; 0 before the first.
    round_trip_ns: u64,
    base_ns: f64,
    probe: Probe,
    /// Windows in a row that were too slow.
    congested: u32,
    /// No cut before this time.
    uncut_until_ns: u64,
}

impl AdaptiveLimit {
    /// A limit at its start.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn new(config: LimitConfig) -> Result<Self, BadLimit> {
        config.check()?;
        Ok(Self {
            config,
            limit: f64::from(config.initial),
            doubling: true,
            window: Window::default(),
            round_trip_ns: 0,
            base_ns: f64::INFINITY,
            probe: Probe::Trusted(0),
            congested: 0,
            uncut_until_ns: 0,
        })
    }

    /// The settings.
    pub fn config(&self) -> &LimitConfig {
        &self.config
    }

    /// How many may be under way now.
    #[inline]
    pub fn limit(&self) -> u32 {
        if self.config.rule == Rule::Fixed {
            return self.config.initial;
        }
        let halved = matches!(self.probe, Probe::Draining(_) | Probe::Measuring(_));
        let limit = if halved { self.limit / 2.0 } else { self.limit };
        (limit as u32).clamp(self.config.min, self.config.max)
    }

    /// The round trip without queueing, as far as known, in nanoseconds.
    pub fn base_ns(&self) -> Option<u64> {
        self.base_ns.is_finite().then_some(self.base_ns as u64)
    }

    /// Takes in one finished use.
    pub fn observe(&mut self, sample: Sample) {
        if self.config.rule == Rule::Fixed || sample.verdict == Verdict::Unrelated {
            return;
        }
        if sample.verdict == Verdict::Overloaded {
            // How long a refusal took says nothing about answers.
            return self.complain(sample);
        }
        let enough = WINDOW_SAMPLES.min(self.limit() / 2).max(1);
        let window = &mut self.window;
        if window.samples == 0 {
            window.start_ns = window.start_ns.max(sample.now_ns.saturating_sub(sample.latency_ns));
        }
        window.samples += 1;
        window.latency_sum_ns = window.latency_sum_ns.saturating_add(sample.latency_ns);
        window.in_flight_max = window.in_flight_max.max(sample.in_flight);
        let long_enough = self.round_trip_ns.max(WINDOW_NS_MIN);
        if window.samples >= enough && sample.now_ns.saturating_sub(window.start_ns) >= long_enough {
            let closed = std::mem::take(&mut self.window);
            self.window.start_ns = sample.now_ns;
            self.close(closed, sample.now_ns);
        }
    }

    fn complain(&mut self, sample: Sample) {
        self.window.in_flight_max = self.window.in_flight_max.max(sample.in_flight);
        let factor = match self.config.rule {
            // The last doubling went too far: back to where it came from.
            _ if self.doubling => 0.5,
            Rule::Aimd { backoff, .. } => backoff,
            _ => 0.9,
        };
        self.cut(factor, sample.now_ns);
    }

    fn close(&mut self, window: Window, now_ns: u64) {
        let mean = window.latency_sum_ns as f64 / f64::from(window.samples);
        self.round_trip_ns = mean as u64;
        // The limit holds the work back only when it is used: half of it is, or more.
        let used = 2 * u64::from(window.in_flight_max) >= u64::from(self.limit());
        self.move_base(mean, used);
        let (Rule::Aimd { tolerance, .. } | Rule::Gradient { tolerance }) = self.config.rule else { return };
        let slack = tolerance * self.base_ns / mean.max(1.0);
        if slack < 1.0 {
            self.congested += 1;
            self.slow(slack, used, now_ns);
        } else {
            self.congested = 0;
            if used {
                self.grow();
            }
        }
    }

    /// Follows the round trip without queueing.
    fn move_base(&mut self, mean: f64, used: bool) {
        self.probe = match self.probe {
            Probe::Draining(before) => Probe::Measuring(before),
            Probe::Measuring(before) => {
                if mean >= 0.75 * before {
                    self.base_ns = mean;
                } else {
                    self.base_ns = mean.min(self.base_ns);
                    if self.congested > 0 {
                        self.limit /= 2.0;
                        self.clamp();
                    }
                }
                self.congested = 0;
                Probe::Trusted(0)
            }
            // Unused, the limit makes nobody queue: what is measured is the other side as it is.
            Probe::Trusted(busy) if !used => {
                let rise = if self.base_ns.is_finite() { 0.1 * (mean - self.base_ns) } else { 0.0 };
                self.base_ns = mean.min(self.base_ns + rise);
                Probe::Trusted(busy)
            }
            Probe::Trusted(busy) => {
                self.base_ns = mean.min(self.base_ns);
                let doubted = busy >= PROBE_AFTER || self.congested >= DOUBT_AFTER;
                if doubted && !self.doubling { Probe::Draining(mean) } else { Probe::Trusted(busy + 1) }
            }
        };
    }

    fn grow(&mut self) {
        if matches!(self.probe, Probe::Trusted(_)) {
            self.limit = match self.config.rule {
                _ if self.doubling => 2.0 * self.limit,
                Rule::Gradient { .. } => self.limit + 0.5 * self.limit.sqrt(),
                _ => self.limit + 1.0,
            };
            self.clamp();
        }
    }

    /// A window was too slow; `slack` below 1 says by how much.
    fn slow(&mut self, slack: f64, used: bool, now_ns: u64) {
        match self.config.rule {
            Rule::Gradient { .. } => {
                self.doubling = false;
                let target = self.limit * slack.max(0.5) + if used { self.limit.sqrt() } else { 0.0 };
                self.limit = (self.limit + target.min(self.limit)) / 2.0;
                self.clamp();
            }
            Rule::Aimd { backoff, .. } => self.cut(backoff, now_ns),
            Rule::Fixed => {}
        }
    }

    fn cut(&mut self, factor: f64, now_ns: u64) {
        self.doubling = false;
        if now_ns >= self.uncut_until_ns {
            self.limit *= factor;
            self.clamp();
            self.uncut_until_ns = now_ns.saturating_add(self.round_trip_ns.max(WINDOW_NS_MIN));
        }
    }

    fn clamp(&mut self) {
        self.limit = self.limit.clamp(f64::from(self.config.min), f64::from(self.config.max));
    }
}
