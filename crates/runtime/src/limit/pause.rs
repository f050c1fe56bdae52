//! When a key is shut for a while because the other side said "too much".

use std::{fmt, time::Duration};

/// Which refusals shut a whole key, rather than only the work that was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PauseRule {
    /// Every refusal: the other side counts all our work together, as model providers do.
    Always,
    /// When at least half of the last 32 answers (eight at least) were refusals: a single refusal may be about
    /// that one piece of work.
    #[default]
    WhenCommon,
    /// None: refused work waits alone.
    Never,
}

/// What an answer said about limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// Nothing: the work was accepted.
    Accepted,
    /// Too much, come back later: 429, 503 or 529 in HTTP.
    Throttled {
        /// When, if it was said.
        retry_after: Option<Duration>,
    },
    /// Shut out: the key is paused whatever the rule.
    Banned {
        /// For how long.
        lasts: Duration,
    },
}

/// Why a key is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// Refusals, with the other side's own word for how long.
    Throttled,
    /// Refusals without a word for how long: a guess that doubles each time.
    Guessed,
    /// Shut out.
    Banned,
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Throttled => "throttled",
            Self::Guessed => "throttled, length guessed",
            Self::Banned => "banned",
        })
    }
}

const ANSWERS_MIN: u32 = 8;
const GUESS_FIRST: Duration = Duration::from_secs(1);
const GUESS_MAX: Duration = Duration::from_secs(60);

/// One key's pause. Times are nanoseconds since the limiter's start.
#[derive(Clone, Debug, Default)]
pub(super) struct Pause {
    until: u64,
    reason: Option<PauseReason>,
    /// The last answers, newest in the lowest bit; set where refused.
    refused: u32,
    known: u32,
    guesses: u32,
    /// How often the key was paused.
    pub(super) count: u64,
}

impl Pause {
    /// End and reason while it lasts.
    pub(super) fn lasting(&self, now: u64) -> Option<(u64, PauseReason)> {
        self.reason.filter(|_| self.until > now).map(|reason| (self.until, reason))
    }

    pub(super) fn ready_at(&self, now: u64) -> u64 {
        self.until.max(now)
    }

    pub(super) fn hear(&mut self, feedback: Feedback, rule: PauseRule, now: u64) {
        match feedback {
            Feedback::Accepted => {
                self.note(false);
                // What was sent before a pause and is answered during it proves nothing.
                if self.until <= now {
                    self.guesses = 0;
                }
            }
            Feedback::Throttled { retry_after } => {
                self.note(true);
                if self.shuts(rule) {
                    self.shut(retry_after, now);
                }
            }
            Feedback::Banned { lasts } => self.set(now, lasts, PauseReason::Banned),
        }
    }

    fn note(&mut self, refused: bool) {
        self.refused = self.refused << 1 | u32::from(refused);
        self.known = (self.known + 1).min(u32::BITS);
    }

    fn shuts(&self, rule: PauseRule) -> bool {
        match rule {
            PauseRule::Always => true,
            PauseRule::Never => false,
            PauseRule::WhenCommon => self.known >= ANSWERS_MIN && 2 * self.refused.count_ones() >= self.known,
        }
    }

    fn shut(&mut self, retry_after: Option<Duration>, now: u64) {
        match retry_after {
            Some(wait) => self.set(now, wait, PauseReason::Throttled),
            // Others in flight are refused too: one guess for all of them.
            None if self.until > now => {}
            None => {
                let wait = GUESS_FIRST.saturating_mul(1 << self.guesses.min(16)).min(GUESS_MAX);
                self.guesses += 1;
                self.set(now, wait, PauseReason::Guessed);
            }
        }
    }

    fn set(&mut self, now: u64, wait: Duration, reason: PauseReason) {
        let until = now.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        if until <= self.until {
            return;
        }
        self.count += u64::from(self.until <= now);
        self.until = until;
        self.reason = Some(reason);
        (self.refused, self.known) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const REFUSED: Feedback = Feedback::Throttled { retry_after: None };

    #[test]
    fn a_rare_refusal_shuts_nothing() {
        let mut pause = Pause::default();
        for answer in 0..1_000 {
            let feedback = if answer % 10 == 0 { REFUSED } else { Feedback::Accepted };
            pause.hear(feedback, PauseRule::WhenCommon, answer);
        }
        assert_eq!((pause.lasting(1_000), pause.count), (None, 0));
        for answer in 1_000..1_020 {
            pause.hear(REFUSED, PauseRule::WhenCommon, answer);
        }
        assert!(pause.lasting(1_020).is_some());
    }

    #[test]
    fn guesses_double_until_something_is_accepted() {
        let mut pause = Pause::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..8 {
            pause.hear(REFUSED, PauseRule::Always, now);
            pause.hear(REFUSED, PauseRule::Always, now + 1);
            let until = pause.ready_at(now);
            waits.push((until - now) / SECOND);
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        pause.hear(Feedback::Accepted, PauseRule::Always, now);
        pause.hear(REFUSED, PauseRule::Always, now);
        assert_eq!(pause.ready_at(now), now + SECOND);
        assert_eq!(pause.count, 9);
    }

    #[test]
    fn a_longer_word_extends_and_a_shorter_one_does_not_shorten() {
        let mut pause = Pause::default();
        let after = |secs| Feedback::Throttled { retry_after: Some(Duration::from_secs(secs)) };
        pause.hear(after(10), PauseRule::Always, 0);
        pause.hear(after(1), PauseRule::Always, 1);
        assert_eq!(pause.lasting(2), Some((10 * SECOND, PauseReason::Throttled)));
        pause.hear(Feedback::Banned { lasts: Duration::from_secs(120) }, PauseRule::Never, 2);
        assert_eq!(pause.lasting(10 * SECOND).unwrap().1, PauseReason::Banned);
        assert_eq!(pause.count, 1);
    }
}
