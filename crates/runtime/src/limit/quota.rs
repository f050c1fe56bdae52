//! What is limited and how much a piece of work takes of it.

use std::{fmt, time::Duration};

/// What a quota counts: requests, or anything that a piece of work is priced in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit(&'static str);

impl Unit {
    /// One for each piece of work.
    pub const REQUESTS: Self = Self("requests");

    /// A unit of the caller's own, for example `tokens`. Units are equal when their names are.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// Units in one [`Cost`], at most.
pub const UNITS_MAX: usize = 4;

/// What one piece of work takes of each unit.
///
/// ```
/// use springtide_runtime::limit::{Cost, Unit};
///
/// const TOKENS: Unit = Unit::new("tokens");
/// let cost = Cost::REQUEST.and(TOKENS, 1_200);
/// assert_eq!((cost.of(Unit::REQUESTS), cost.of(TOKENS)), (1, 1_200));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cost([Option<(Unit, u64)>; UNITS_MAX]);

impl Cost {
    /// One request and nothing else.
    pub const REQUEST: Self = Self([Some((Unit::REQUESTS, 1)), None, None, None]);
    /// Nothing: such work waits only for pauses.
    pub const NOTHING: Self = Self([None; UNITS_MAX]);

    /// The same with `amount` of `unit`; replaces what was said of that unit before.
    ///
    /// # Panics
    /// When the cost already speaks of [`UNITS_MAX`] other units.
    #[must_use]
    pub fn and(mut self, unit: Unit, amount: u64) -> Self {
        let same = self.0.iter().position(|item| item.is_some_and(|(u, _)| u == unit));
        let slot = same.or_else(|| self.0.iter().position(Option::is_none));
        let slot = slot.expect("a cost speaks of at most four units");
        self.0[slot] = Some((unit, amount));
        self
    }

    /// Amount of `unit`; zero when it is not spoken of.
    pub fn of(&self, unit: Unit) -> u64 {
        self.items().find(|(u, _)| *u == unit).map_or(0, |(_, amount)| amount)
    }

    /// Every unit spoken of, with its amount.
    pub fn items(&self) -> impl Iterator<Item = (Unit, u64)> + '_ {
        self.0.iter().flatten().copied()
    }
}

impl fmt::Debug for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.items().map(|(unit, amount)| (unit.0, amount))).finish()
    }
}

/// An allowance of `count` units per `period`, of which up to `burst` may be taken at once.
///
/// In any stretch of time `t` at most `burst + count · t / period` units are granted (more only by work that
/// costs more than the whole burst: it waits until the burst is whole and then pays its debt in time).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// What is counted.
    pub unit: Unit,
    /// Units per period, at least one.
    pub count: u64,
    /// The period, above zero.
    pub period: Duration,
    /// Units that may be taken at once after a time of rest, at least one.
    pub burst: u64,
}

impl Quota {
    /// `count` units per `period`, a tenth of them (at least one) at once.
    ///
    /// # Panics
    /// When `count` or `period` is zero.
    pub fn new(unit: Unit, count: u64, period: Duration) -> Self {
        assert!(count > 0 && !period.is_zero(), "a quota of nothing lets nothing through");
        Self { unit, count, period, burst: (count / 10).max(1) }
    }

    /// `count` units per second; see [`Quota::new`].
    pub fn per_second(unit: Unit, count: u64) -> Self {
        Self::new(unit, count, Duration::from_secs(1))
    }

    /// `count` units per minute; see [`Quota::new`].
    pub fn per_minute(unit: Unit, count: u64) -> Self {
        Self::new(unit, count, Duration::from_secs(60))
    }

    /// One request each `delay`, never two closer together.
    pub fn spacing(delay: Duration) -> Self {
        Self::new(Unit::REQUESTS, 1, delay)
    }

    /// The same with another burst.
    #[must_use]
    pub fn burst(self, burst: u64) -> Self {
        Self { burst: burst.max(1), ..self }
    }

    /// Time in which `amount` units accrue, rounded up, in nanoseconds.
    pub(super) fn span(&self, amount: u64) -> u64 {
        let ns = u128::from(amount) * self.period.as_nanos();
        u64::try_from(ns.div_ceil(u128::from(self.count))).unwrap_or(u64::MAX)
    }

    /// Whole units that accrue in `ns`.
    pub(super) fn units_in(&self, ns: u64) -> u64 {
        u64::try_from(u128::from(ns) * u128::from(self.count) / self.period.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_names_each_unit_once() {
        let tokens = Unit::new("tokens");
        let cost = Cost::REQUEST.and(tokens, 5).and(tokens, 7);
        assert_eq!(format!("{cost:?}"), r#"{"requests": 1, "tokens": 7}"#);
        assert_eq!(Cost::NOTHING.of(Unit::REQUESTS), 0);
    }

    #[test]
    fn spans_are_rounded_up_so_that_no_quota_is_exceeded() {
        let quota = Quota::per_second(Unit::REQUESTS, 3);
        assert_eq!(quota.span(1), 333_333_334);
        assert_eq!(quota.span(3), 1_000_000_000);
        assert_eq!(quota.units_in(quota.span(2)), 2);
        assert_eq!(Quota::per_minute(Unit::REQUESTS, 5).burst, 1);
    }
}
