//! Where bars are missing, and which pauses are the market's own.

use crate::report::{Gap, GapReport, SAMPLES};
use springtide_domain::Timeframe;
use std::collections::HashMap;

const DAY_MS: i64 = 86_400_000;
const WEEK_MS: i64 = 7 * DAY_MS;
/// Different pauses told apart; a file with more has no sessions, and memory stays bounded.
const KINDS_MAX: usize = 100_000;
/// Shortest and longest pause that can be a weekend.
const WEEKEND_MS: std::ops::RangeInclusive<i64> = 40 * 3_600_000..=4 * DAY_MS;

/// Finds gaps in ascending open times (epoch milliseconds).
///
/// A gap is a step longer than one bar (one and a half for weeks and months). It is a session pause when the
/// same pause, by length and by time of day or of week, comes back on a fifth of the days or weeks that the data
/// spans, and at least three times; or when it covers a Saturday and no bar at all opens on one (UTC). Every other
/// gap is a hole.
pub fn find_gaps(time: &[i64], timeframe: Timeframe) -> GapReport {
    let mut finder = GapFinder::new(timeframe);
    finder.push(time);
    finder.finish()
}

/// [`find_gaps`] for times that come in parts.
pub(crate) struct GapFinder {
    step: i64,
    limit: i64,
    first: Option<i64>,
    last: i64,
    saturday_bars: u64,
    short_steps: u64,
    /// Gaps by (start within the week, length): how many, and the first cases of each.
    kinds: HashMap<(i64, i64), Kind>,
    /// Gaps beyond [`KINDS_MAX`], and bars missing in them.
    beyond: (u64, u64),
}

#[derive(Default)]
struct Kind {
    count: u64,
    after: Vec<i64>,
}

impl GapFinder {
    pub(crate) fn new(timeframe: Timeframe) -> Self {
        let step = timeframe.nominal_ms().max(1);
        let calendar = matches!(timeframe, Timeframe::Weeks(_) | Timeframe::Months(_));
        let limit = if calendar { step + step / 2 } else { step };
        Self {
            step,
            limit,
            first: None,
            last: 0,
            saturday_bars: 0,
            short_steps: 0,
            kinds: HashMap::new(),
            beyond: (0, 0),
        }
    }

    pub(crate) fn push(&mut self, time: &[i64]) {
        // The day that a bar was in, and whether it was a Saturday: most bars are in the day of the one before.
        let (mut day, mut saturday) = (0..0, false);
        for t in time {
            if !day.contains(t) {
                let start = t.div_euclid(DAY_MS) * DAY_MS;
                (day, saturday) = (start..start + DAY_MS, day_of_week(*t) == SATURDAY);
            }
            self.saturday_bars += u64::from(saturday);
            if self.first.is_none() {
                self.first = Some(*t);
            } else {
                let step = t - self.last;
                if step > self.limit {
                    self.add(self.last, step);
                }
                self.short_steps += u64::from(step < self.step && self.limit == self.step);
            }
            self.last = *t;
        }
    }

    fn missing(&self, length: i64) -> u64 {
        (length.saturating_add(self.step / 2) / self.step - 1).max(1) as u64
    }

    fn add(&mut self, after: i64, length: i64) {
        let key = (after.rem_euclid(WEEK_MS), length);
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&key) {
            self.beyond.0 += 1;
            self.beyond.1 += self.missing(length);
            return;
        }
        let kind = self.kinds.entry(key).or_default();
        kind.count += 1;
        if kind.after.len() < SAMPLES {
            kind.after.push(after);
        }
    }

    pub(crate) fn finish(self) -> GapReport {
        let span = self.last - self.first.unwrap_or(self.last);
        let often = |count: u64, period: i64| count >= 3 && count as i64 * 5 >= span / period;
        let mut daily: HashMap<(i64, i64), u64> = HashMap::new();
        for ((start, length), kind) in &self.kinds {
            *daily.entry((start % DAY_MS, *length)).or_default() += kind.count;
        }
        let (holes, missing_bars) = self.beyond;
        let mut report =
            GapReport { short_steps: self.short_steps, holes, missing_bars, ..GapReport::default() };
        for ((start, length), kind) in &self.kinds {
            let weekend =
                self.saturday_bars == 0 && WEEKEND_MS.contains(length) && covers_saturday(*start, *length);
            let pause =
                weekend || often(kind.count, WEEK_MS) || often(daily[&(start % DAY_MS, *length)], DAY_MS);
            if pause {
                report.session_pauses += kind.count;
                continue;
            }
            let missing = self.missing(*length);
            report.holes += kind.count;
            report.missing_bars += missing * kind.count;
            let gap = |after: &i64| Gap { after_ms: *after, until_ms: after + length, missing };
            report.longest.extend(kind.after.iter().map(gap));
        }
        report.longest.sort_by_key(|g| (std::cmp::Reverse(g.until_ms - g.after_ms), g.after_ms));
        report.longest.truncate(SAMPLES);
        report
    }
}

const SATURDAY: i64 = 2;

/// Days after Thursday, on which 1970 began.
fn day_of_week(time: i64) -> i64 {
    time.div_euclid(DAY_MS).rem_euclid(7)
}

/// True when a whole Saturday (UTC) lies between the bars, or the bars stand on Friday and Monday.
fn covers_saturday(start_in_week: i64, length: i64) -> bool {
    let end = start_in_week + length;
    (0..2).any(|week| {
        let saturday = SATURDAY * DAY_MS + week * WEEK_MS;
        start_in_week < saturday && end >= saturday + DAY_MS
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    /// 2024-01-01, a Monday.
    const MONDAY: i64 = 1_704_067_200_000;

    fn hours(keep: impl Fn(i64) -> bool, days: i64) -> Vec<i64> {
        (0..days * 24).filter(|h| keep(*h)).map(|h| MONDAY + h * HOUR).collect()
    }

    #[test]
    fn unbroken_bars_have_no_gaps() {
        assert_eq!(find_gaps(&hours(|_| true, 30), Timeframe::Minutes(60)), GapReport::default());
        assert_eq!(find_gaps(&[], Timeframe::Minutes(60)), GapReport::default());
    }

    #[test]
    fn holes_are_counted_longest_first() {
        let report = find_gaps(&hours(|h| h != 7 && !(100..110).contains(&h), 30), Timeframe::Minutes(60));
        assert_eq!((report.holes, report.missing_bars, report.session_pauses), (2, 11, 0));
        let longest = Gap { after_ms: MONDAY + 99 * HOUR, until_ms: MONDAY + 110 * HOUR, missing: 10 };
        assert_eq!(report.longest[0], longest);
    }

    #[test]
    fn nights_and_weekends_are_pauses() {
        let open = |h: i64| h / 24 % 7 < 5 && (14..21).contains(&(h % 24));
        let report = find_gaps(&hours(|h| open(h) && h != 24 * 9 + 16, 60), Timeframe::Minutes(60));
        assert_eq!((report.holes, report.missing_bars), (1, 1));
        assert!(report.session_pauses > 35);
    }

    #[test]
    fn the_first_weekend_already_counts() {
        let days: Vec<i64> = [0, 1, 2, 3, 4, 7, 8].iter().map(|d| MONDAY + d * DAY_MS).collect();
        let report = find_gaps(&days, Timeframe::Days(1));
        assert_eq!((report.holes, report.session_pauses), (0, 1));
        let with_saturday: Vec<i64> =
            [0, 1, 4, 5, 6, 7, 11, 14].iter().map(|d| MONDAY + d * DAY_MS).collect();
        assert_eq!(find_gaps(&with_saturday, Timeframe::Days(1)).holes, 3);
    }

    #[test]
    fn months_of_any_length_are_no_gaps() {
        let months: Vec<i64> = [0i64, 31, 60, 91, 152].iter().map(|d| MONDAY + d * DAY_MS).collect();
        let report = find_gaps(&months, Timeframe::Months(1));
        assert_eq!((report.holes, report.missing_bars), (1, 1));
    }

    #[test]
    fn parts_give_the_same_as_the_whole() {
        let time = hours(|h| h % 17 != 3, 40);
        let mut finder = GapFinder::new(Timeframe::Minutes(60));
        time.chunks(7).for_each(|c| finder.push(c));
        assert_eq!(finder.finish(), find_gaps(&time, Timeframe::Minutes(60)));
    }
}
