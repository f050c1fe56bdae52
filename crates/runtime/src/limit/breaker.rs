//! The circuit breaker: stops asking a side that keeps failing, and finds out gently whether it is back.

use std::{fmt, time::Duration};

/// Settings of a [`Breaker`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerConfig {
    /// Span of time over which failures are counted.
    pub window: Duration,
    /// Outcomes in the window below which it never opens.
    pub outcomes_min: u32,
    /// Share of failures in the window at which it opens, in `(0, 1]`.
    pub failures: f64,
    /// How long it stays open the first time; doubles each time a probe fails.
    pub open_first: Duration,
    /// Longest time it stays open.
    pub open_max: Duration,
    /// Probes let through at once when that time is over.
    pub probes: u32,
    /// Probes that must succeed one after the other to close it.
    pub probes_to_close: u32,
}

impl Default for BreakerConfig {
    /// Opens at 50 % failures of at least 20 outcomes in 10 s, for 1 s doubling to 60 s; one probe at a time, two
    /// in a row close it.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            outcomes_min: 20,
            failures: 0.5,
            open_first: Duration::from_secs(1),
            open_max: Duration::from_secs(60),
            probes: 1,
            probes_to_close: 2,
        }
    }
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All work goes through.
    Closed,
    /// Nothing goes through until then.
    Open {
        /// Time since the fixed start.
        until: Duration,
    },
    /// Probes go through.
    HalfOpen,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half open",
        })
    }
}

/// Answer to "may this work go?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes. Report the outcome with [`Breaker::report`], whatever it is, with this number.
    Yes(
        /// Tells outcomes of before an opening from those after it.
        Epoch,
    ),
    /// No, and how long it stays so at least.
    No {
        /// The wait.
        wait: Duration,
    },
}

/// A span of time in which a breaker did not change state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

/// How work that was admitted ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side works.
    Success,
    /// The other side failed or did not answer.
    Failure,
    /// Nothing can be said: cancelled, or our own mistake.
    Unknown,
}

/// Slices of the window; outcomes leave it slice by slice.
const SLICES: usize = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    /// Number of the slice since the start.
    number: u64,
    outcomes: u32,
    failures: u32,
}

/// The state machine. Times are durations since a fixed start and never go back.
///
/// ```
/// use springtide_runtime::limit::{Admission, Breaker, BreakerConfig, Outcome};
/// use std::time::Duration;
///
/// let mut breaker = Breaker::new(BreakerConfig { outcomes_min: 3, ..BreakerConfig::default() });
/// let now = Duration::ZERO;
/// for _ in 0..3 {
///     let Admission::Yes(epoch) = breaker.admit(now) else { panic!("closed lets all through") };
///     breaker.report(epoch, Outcome::Failure, now);
/// }
/// assert_eq!(breaker.admit(now), Admission::No { wait: Duration::from_secs(1) });
/// assert!(matches!(breaker.admit(Duration::from_secs(1)), Admission::Yes(_)), "a probe");
/// ```
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    epoch: u64,
    slices: [Slice; SLICES],
    /// Openings since it was last closed.
    openings: u32,
    probing: u32,
    probes_good: u32,
    opened: u64,
    refused: u64,
}

impl Breaker {
    /// Closed.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: BreakerState::Closed,
            epoch: 0,
            slices: [Slice::default(); SLICES],
            openings: 0,
            probing: 0,
            probes_good: 0,
            opened: 0,
            refused: 0,
        }
    }

    /// May work go now?
    pub fn admit(&mut self, now: Duration) -> Admission {
        match self.state {
            BreakerState::Open { until } if now < until => return self.refuse(until - now),
            BreakerState::Open { .. } => {
                self.enter(BreakerState::HalfOpen);
                (self.probing, self.probes_good) = (0, 0);
            }
            BreakerState::Closed | BreakerState::HalfOpen => {}
        }
        if self.state == BreakerState::HalfOpen {
            if self.probing >= self.config.probes.max(1) {
                // How long the probe takes is not known; ask again soon.
                return self.refuse(self.config.open_first / 10);
            }
            self.probing += 1;
        }
        Admission::Yes(Epoch(self.epoch))
    }

    /// Hears how admitted work ended. Outcomes from before a change of state count no more.
    pub fn report(&mut self, epoch: Epoch, outcome: Outcome, now: Duration) {
        if epoch.0 != self.epoch {
            return;
        }
        match self.state {
            BreakerState::Closed => self.count(outcome, now),
            BreakerState::HalfOpen => self.probed(outcome, now),
            BreakerState::Open { .. } => {}
        }
    }

    /// Where it stands. An open breaker whose time is over is still called open until somebody asks.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// How often it opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Work it refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn refuse(&mut self, wait: Duration) -> Admission {
        self.refused += 1;
        Admission::No { wait }
    }

    fn count(&mut self, outcome: Outcome, now: Duration) {
        if outcome == Outcome::Unknown {
            return;
        }
        let length = (self.config.window.as_nanos() / SLICES as u128).max(1);
        let number = (now.as_nanos() / length) as u64;
        let slice = &mut self.slices[(number % SLICES as u64) as usize];
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        slice.outcomes += 1;
        slice.failures += u32::from(outcome == Outcome::Failure);
        if outcome == Outcome::Success {
            return;
        }
        let live = self.slices.iter().filter(|s| s.number + SLICES as u64 > number);
        let (outcomes, failures) = live.fold((0, 0), |(o, f), s| (o + s.outcomes, f + s.failures));
        if outcomes >= self.config.outcomes_min.max(1)
            && f64::from(failures) >= self.config.failures * f64::from(outcomes)
        {
            self.open(now);
        }
    }

    fn probed(&mut self, outcome: Outcome, now: Duration) {
        self.probing = self.probing.saturating_sub(1);
        match outcome {
            Outcome::Unknown => {}
            Outcome::Failure => self.open(now),
            Outcome::Success => {
                self.probes_good += 1;
                if self.probes_good >= self.config.probes_to_close {
                    self.openings = 0;
                    self.slices = [Slice::default(); SLICES];
                    self.enter(BreakerState::Closed);
                }
            }
        }
    }

    fn open(&mut self, now: Duration) {
        let wait = self.config.open_first.saturating_mul(1 << self.openings.min(20));
        self.openings += 1;
        self.opened += 1;
        self.enter(BreakerState::Open { until: now + wait.min(self.config.open_max) });
    }

    fn enter(&mut self, state: BreakerState) {
        self.state = state;
        self.epoch += 1;
    }
}
