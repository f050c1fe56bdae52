//! One quota's state: the generic cell rate algorithm, with what the other side last said laid over it.
//!
//! The state is one number, the *theoretical arrival time*: the moment at which the bucket is full again. Taking
//! `n` units moves it on by `span(n)`; they may be taken when it would not lie more than `span(burst)` ahead of
//! now. (ITU-T I.371, "virtual scheduling algorithm".) Unlike a counter it needs no refilling, and it can hold
//! a debt.

use super::quota::{Quota, Unit};

/// What the other side said is left, and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Units left.
    pub(super) left: u64,
    /// The whole allowance, if it was said.
    pub(super) limit: Option<u64>,
    /// When all of it is back, ns.
    pub(super) until: u64,
    /// It comes back evenly until then, rather than all at once at the end.
    pub(super) evenly: bool,
}

/// The other side's word, less what was granted since.
#[derive(Clone, Copy, Debug)]
struct Ceiling {
    /// Units left at `since`; below zero while what was taken has been paid by what came back.
    left: i128,
    /// Units that come back evenly between `since` and `until`.
    grow: u64,
    limit: Option<u64>,
    since: u64,
    until: u64,
}

impl Ceiling {
    fn left_at(&self, now: u64) -> u64 {
        let passed = u128::from(now.clamp(self.since, self.until) - self.since);
        let span = u128::from(self.until - self.since).max(1);
        let back = (u128::from(self.grow) * passed / span) as i128;
        u64::try_from((self.left + back).max(0)).unwrap_or(u64::MAX)
    }

    fn ready_at(&self, amount: u64) -> u64 {
        // More than the whole allowance waits for all of it.
        let amount = self.limit.map_or(amount, |limit| amount.min(limit));
        let missing = i128::from(amount) - self.left;
        if missing <= 0 {
            return self.since;
        }
        if missing > i128::from(self.grow) {
            return self.until;
        }
        let wait = (missing as u128 * u128::from(self.until - self.since)).div_ceil(u128::from(self.grow));
        self.since + u64::try_from(wait).unwrap_or(u64::MAX - self.since)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Bucket {
    unit: Unit,
    /// Without one, only what the other side says counts.
    quota: Option<Quota>,
    full_at: u64,
    ceiling: Option<Ceiling>,
    /// Longest time to a window's end that was heard of.
    window: u64,
    /// Units taken in all.
    taken: u64,
}

impl Bucket {
    pub(super) fn new(quota: Quota) -> Self {
        Self { unit: quota.unit, quota: Some(quota), full_at: 0, ceiling: None, window: 0, taken: 0 }
    }

    /// A bucket of a unit that is limited only from outside.
    pub(super) fn unlimited(unit: Unit) -> Self {
        Self { unit, quota: None, full_at: 0, ceiling: None, window: 0, taken: 0 }
    }

    pub(super) fn unit(&self) -> Unit {
        self.unit
    }

    pub(super) fn quota(&self) -> Option<Quota> {
        self.quota
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Earliest time, not before `now`, at which `amount` may be taken if nothing else is taken meanwhile.
    pub(super) fn ready_at(&self, amount: u64, now: u64) -> u64 {
        if amount == 0 {
            return now;
        }
        let own = self.quota.map_or(now, |quota| {
            // More than the whole burst can never fit: it waits for a full bucket and leaves a debt.
            let room = quota.span(quota.burst).saturating_sub(quota.span(amount));
            self.full_at.saturating_sub(room).max(now)
        });
        self.ceiling(own).map_or(own, |ceiling| own.max(ceiling.ready_at(amount)))
    }

    pub(super) fn take(&mut self, amount: u64, now: u64) {
        self.taken += amount;
        if let Some(quota) = self.quota {
            self.full_at = self.full_at.max(now).saturating_add(quota.span(amount));
        }
        self.ceiling = self.ceiling(now);
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.left -= i128::from(amount);
        }
    }

    /// Gives back what was taken and not used.
    pub(super) fn give_back(&mut self, amount: u64) {
        self.taken = self.taken.saturating_sub(amount);
        if let Some(quota) = self.quota {
            self.full_at = self.full_at.saturating_sub(quota.span(amount));
        }
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.left += i128::from(amount);
        }
    }

    /// The other side's word. Of the same window it can only tighten what is known: answers arrive out of
    /// order, and an older one says more is left.
    pub(super) fn observe(&mut self, word: Word, now: u64) {
        if word.until <= now {
            return;
        }
        self.window = self.window.max(word.until - now);
        let same =
            |c: &Ceiling| c.until > now && (word.evenly || c.until.abs_diff(word.until) < WINDOW_SLACK);
        let (mut left, mut until) = (word.left, word.until);
        if let Some(old) = self.ceiling.filter(same) {
            left = left.min(old.left_at(now));
            until = if word.evenly { until } else { until.max(old.until) };
        }
        let back = word.limit.map_or(0, |limit| limit.saturating_sub(word.left));
        let grow = if word.evenly { back } else { 0 };
        self.ceiling = Some(Ceiling { left: i128::from(left), grow, limit: word.limit, since: now, until });
    }

    /// The other side's word as it holds at `now`. Past its end the whole allowance is assumed to be there, once,
    /// until the next word; where it is not known, nothing is.
    fn ceiling(&self, now: u64) -> Option<Ceiling> {
        let ceiling = self.ceiling?;
        if ceiling.until > now {
            return Some(ceiling);
        }
        let limit = ceiling.limit?;
        let window = self.window.max(1);
        let passed = (now - ceiling.until) / window;
        let since = ceiling.until + passed * window;
        Some(Ceiling { left: i128::from(limit), grow: 0, since, until: since + window, ..ceiling })
    }

    /// Whole units that may be taken now, and of how many; `None` where nothing is known.
    pub(super) fn available(&self, now: u64) -> Option<(u64, u64)> {
        let own = self.quota.map(|quota| {
            let used = self.full_at.saturating_sub(now);
            (quota.units_in(quota.span(quota.burst).saturating_sub(used)).min(quota.burst), quota.burst)
        });
        match self.ceiling(now) {
            Some(c) => {
                let left = c.left_at(now);
                Some(own.map_or((left, left), |(own, burst)| (own.min(left), burst)))
            }
            None => own,
        }
    }

    /// Time of the limit that `amount` uses up, ns: what makes costs in different units comparable.
    pub(super) fn span(&self, amount: u64) -> u64 {
        self.quota.map_or(0, |quota| quota.span(amount))
    }

    /// Nothing would be lost by forgetting this bucket.
    pub(super) fn is_fresh(&self, now: u64) -> bool {
        self.full_at <= now && self.ceiling.is_none_or(|c| c.until <= now)
    }
}

/// Two ends of a window that lie closer than this are the same end: it is told in whole seconds and read off a
/// clock that answers late.
const WINDOW_SLACK: u64 = 2_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    fn bucket(count: u64, burst: u64) -> Bucket {
        Bucket::new(Quota::new(Unit::REQUESTS, count, Duration::from_secs(1)).burst(burst))
    }

    fn at_once(left: u64, until: u64) -> Word {
        Word { left, limit: None, until, evenly: false }
    }

    #[test]
    fn what_comes_back_evenly_can_be_taken_as_it_comes() {
        let mut bucket = Bucket::unlimited(Unit::REQUESTS);
        bucket.observe(Word { left: 0, limit: Some(60), until: 60 * SECOND, evenly: true }, 0);
        for second in 1..=59 {
            assert_eq!(bucket.ready_at(1, 0), second * SECOND);
            bucket.take(1, second * SECOND);
        }
        assert_eq!(bucket.ready_at(500, 59 * SECOND), 60 * SECOND, "more than all waits for all");
    }

    #[test]
    fn a_new_window_is_not_flooded_before_its_first_word() {
        let mut bucket = Bucket::unlimited(Unit::REQUESTS);
        bucket.observe(Word { left: 0, limit: Some(10), until: 60 * SECOND, evenly: false }, 0);
        bucket.take(10, 60 * SECOND);
        assert_eq!(bucket.ready_at(1, 60 * SECOND), 120 * SECOND);
        bucket.observe(Word { left: 3, limit: Some(10), until: 120 * SECOND, evenly: false }, 61 * SECOND);
        assert_eq!(bucket.ready_at(1, 61 * SECOND), 120 * SECOND, "what is in flight counts");
        assert_eq!(bucket.available(300 * SECOND), Some((10, 10)));
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = bucket(10, 3);
        for _ in 0..3 {
            assert_eq!(bucket.ready_at(1, 0), 0);
            bucket.take(1, 0);
        }
        assert_eq!(bucket.ready_at(1, 0), SECOND / 10);
        bucket.take(1, SECOND / 10);
        assert_eq!(bucket.ready_at(1, SECOND / 10), SECOND / 5);
        assert_eq!(bucket.available(10 * SECOND), Some((3, 3)));
    }

    #[test]
    fn more_than_the_burst_waits_for_all_of_it_and_pays_later() {
        let mut bucket = bucket(10, 3);
        bucket.take(1, 0);
        assert_eq!(bucket.ready_at(20, 0), SECOND / 10, "when the bucket is full");
        bucket.take(20, SECOND / 10);
        assert_eq!(bucket.ready_at(1, SECOND / 10), SECOND / 10 + 2 * SECOND - SECOND / 5);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut bucket = bucket(10, 3);
        bucket.take(3, 0);
        bucket.give_back(2);
        assert_eq!(bucket.ready_at(2, 0), 0);
        assert_eq!(bucket.taken(), 1);
    }

    #[test]
    fn the_other_sides_word_tightens_and_ends() {
        let mut bucket = bucket(1_000, 100);
        bucket.observe(at_once(2, 5 * SECOND), 0);
        // An older answer that arrives late says more is left: not believed.
        bucket.observe(at_once(50, 5 * SECOND), 0);
        bucket.take(2, 0);
        assert_eq!(bucket.ready_at(1, 1), 5 * SECOND);
        assert_eq!(bucket.available(SECOND).map(|a| a.0), Some(0));
        assert_eq!(bucket.ready_at(1, 5 * SECOND), 5 * SECOND);
        // The next window is believed as it comes.
        bucket.observe(at_once(80, 10 * SECOND), 6 * SECOND);
        assert_eq!(bucket.available(6 * SECOND), Some((80, 100)));
    }

    #[test]
    fn a_unit_without_a_quota_is_limited_from_outside_only() {
        let mut bucket = Bucket::unlimited(Unit::new("tokens"));
        assert_eq!(bucket.ready_at(1_000_000, 7), 7);
        bucket.observe(at_once(10, 100), 7);
        assert_eq!(bucket.ready_at(11, 7), 100);
        assert!(!bucket.is_fresh(7) && bucket.is_fresh(100));
    }
}
