//! Times of day and dates in a zone, fast enough to ask on every bar.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};
use rustc_hash::FxHashMap;
use springtide_domain::{
    Timeframe,
    resample::{Periods, zone},
};

/// A zone with the offset that held last and until when.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    zone: TimeZone,
    offset_ms: i64,
    from: i64,
    until: i64,
}

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// 1 is Sunday.
    pub weekday: i64,
    /// Days since 1970-01-01 in the zone.
    pub epoch_day: i64,
}

const DAY_MS: i64 = 86_400_000;

impl Zone {
    /// IANA names, `UTC`, `GMT+2`, `UTC-5:30`.
    pub fn find(name: &str) -> Option<Self> {
        let zone = fixed_offset(name).or_else(|| zone(name).ok())?;
        Some(Self { zone, offset_ms: 0, from: 1, until: 0 })
    }

    fn offset(&mut self, ms: i64) -> i64 {
        if ms < self.from || ms >= self.until {
            let stamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
            self.offset_ms = i64::from(self.zone.to_offset(stamp).seconds()) * 1_000;
            let edge =
                |t: Option<jiff::tz::TimeZoneTransition<'_>>| t.map(|t| t.timestamp().as_millisecond());
            self.until = edge(self.zone.following(stamp).next()).unwrap_or(i64::MAX);
            // `preceding` means strictly before: asked at a transition it would skip that one, and the offset
            // that begins here would be claimed for the half year behind.
            let after = Timestamp::from_millisecond(ms + 1).unwrap_or(stamp);
            self.from = edge(self.zone.preceding(after).next()).unwrap_or(i64::MIN);
        }
        self.offset_ms
    }

    pub fn parts(&mut self, ms: i64) -> Parts {
        let local = ms + self.offset(ms);
        let epoch_day = local.div_euclid(DAY_MS);
        let second_of_day = local.rem_euclid(DAY_MS) / 1_000;
        let (year, month, day) = civil(epoch_day);
        Parts {
            year,
            month,
            day,
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            weekday: (epoch_day + 4).rem_euclid(7) + 1,
            epoch_day,
        }
    }

    /// Epoch milliseconds of a local time; parts out of range carry over, as in the language.
    pub fn timestamp(
        &self,
        year: i64,
        month: i64,
        day: i64,
        hour: i64,
        minute: i64,
        second: i64,
    ) -> Option<i64> {
        let months = year.checked_mul(12)?.checked_add(month - 1)?;
        let first =
            Date::new(i16::try_from(months.div_euclid(12)).ok()?, (months.rem_euclid(12) + 1) as i8, 1)
                .ok()?;
        let midnight = DateTime::from_parts(first, jiff::civil::Time::midnight());
        let seconds = (day - 1).checked_mul(86_400)?.checked_add(hour * 3_600 + minute * 60 + second)?;
        let local = midnight.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()?;
        Some(self.zone.to_zoned(local).ok()?.timestamp().as_millisecond())
    }

    pub fn jiff(&self) -> &TimeZone {
        &self.zone
    }
}

/// ISO week number of a date.
pub(super) fn week_of_year(parts: &Parts) -> i64 {
    Date::new(parts.year as i16, parts.month as i8, parts.day as i8)
        .map_or(0, |d| i64::from(d.iso_week_date().week()))
}

/// Howard Hinnant's days-to-civil.
fn civil(epoch_day: i64) -> (i64, i64, i64) {
    let z = epoch_day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

fn fixed_offset(name: &str) -> Option<TimeZone> {
    let rest = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC"))?;
    if rest.is_empty() {
        return Some(TimeZone::UTC);
    }
    let (sign, digits) = match rest.as_bytes()[0] {
        b'+' => (1, &rest[1..]),
        b'-' => (-1, &rest[1..]),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((h, m)) => (h.parse::<i32>().ok()?, m.parse::<i32>().ok()?),
        None if digits.len() == 4 => (digits[..2].parse().ok()?, digits[2..].parse().ok()?),
        None => (digits.parse::<i32>().ok()?, 0),
    };
    let seconds = sign * (hours * 3_600 + minutes * 60);
    jiff::tz::Offset::from_seconds(seconds).ok().map(TimeZone::fixed)
}

/// `0930-1600,1700-1800:23456`: spans of minutes of the day, and the weekdays on which they run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SessionSpans {
    /// First minute after midnight and how many it lasts, at most a day.
    spans: Vec<(i64, i64)>,
    /// By weekday, 1 = Sunday: the day that the span's last minute falls on.
    days: [bool; 8],
}

impl SessionSpans {
    /// Reads a session; without days those of `every_day` or, as version 4 has it, Monday to Friday.
    pub fn parse(text: &str, every_day: bool) -> Option<Self> {
        let text = text.trim();
        let usual = if every_day { "1234567" } else { "23456" };
        if text.is_empty() || text.eq_ignore_ascii_case("24x7") {
            return Self::parse("0000-0000:1234567", true);
        }
        let (spans, days) = text.split_once(':').unwrap_or((text, usual));
        let mut allowed = [false; 8];
        for d in days.chars() {
            *allowed.get_mut(d.to_digit(10).filter(|d| *d > 0)? as usize)? = true;
        }
        let clock = |t: &str| -> Option<i64> {
            let t = t.trim();
            let digits = t.len() == 4 && t.bytes().all(|b| b.is_ascii_digit());
            let (h, m) = if digits { (t[..2].parse().ok()?, t[2..].parse().ok()?) } else { return None };
            let (h, m): (i64, i64) = (h, m);
            (h <= 24 && m < 60).then_some(h * 60 + m)
        };
        let mut out = Vec::new();
        for span in spans.split(',') {
            let (a, b) = span.split_once('-')?;
            // A start of 24:30 is half past midnight, an end of 24:30 is on the next day. Ends that do not
            // lie behind their start do so too: 0000-0000 is the whole day.
            let (from, to) = (clock(a)? % DAY_MINUTES, clock(b)?);
            let length = if to <= from { to + DAY_MINUTES - from } else { to - from };
            out.push((from, length.min(DAY_MINUTES)));
        }
        Some(Self { spans: out, days: allowed })
    }

    /// The run of the session that holds a moment: its first millisecond and the first behind it. Of several
    /// the one that began last.
    pub fn around(&self, zone: &mut Zone, ms: i64) -> Option<(i64, i64)> {
        let today = zone.parts(ms).epoch_day;
        self.runs(zone, today - 1..=today).filter(|(from, to)| (*from..*to).contains(&ms)).max()
    }

    /// The first run whose last minute falls on a date of `first_day` or later.
    pub fn first_from(&self, zone: &mut Zone, first_day: i64) -> Option<(i64, i64)> {
        let runs: Vec<_> = self.runs(zone, first_day - 1..=first_day + 41).collect();
        runs.into_iter().filter(|(_, to)| zone.parts(to - 60_000).epoch_day >= first_day).min()
    }

    /// The runs that begin on these dates and are allowed by their weekday.
    fn runs<'s>(
        &'s self,
        zone: &mut Zone,
        days: std::ops::RangeInclusive<i64>,
    ) -> impl Iterator<Item = (i64, i64)> + use<'s> {
        let mut zone = zone.clone();
        days.flat_map(move |day| self.spans.iter().map(move |span| (day, *span))).filter_map(
            move |(day, (start, length))| {
                let at = |minute: i64| zone.timestamp(1970, 1, day + 1, 0, minute, 0);
                let (from, last) = (at(start)?, at(start + length - 1)?);
                let weekday = zone.parts(last).weekday;
                self.days[weekday as usize].then_some((from, last + 60_000))
            },
        )
    }
}

const DAY_MINUTES: i64 = 1_440;

/// Zones, sessions and periods that a run asked for, by name.
#[derive(Debug, Default)]
pub(super) struct Clock {
    zones: FxHashMap<String, Option<Zone>>,
    sessions: FxHashMap<String, Option<SessionSpans>>,
    /// The run that was found last, by session and zone.
    runs: FxHashMap<(String, String), (i64, i64)>,
    /// By timeframe, zone and session; symbols are few.
    periods: Vec<(Timeframe, String, String, Option<Periods>)>,
}

impl Clock {
    pub fn zone(&mut self, name: &str) -> Option<&mut Zone> {
        if !self.zones.contains_key(name) {
            self.zones.insert(name.to_owned(), Zone::find(name));
        }
        self.zones.get_mut(name)?.as_mut()
    }

    /// The session written as `text`; days as version 4 means them unless `every_day`.
    pub fn session(&mut self, text: &str, every_day: bool) -> Option<&SessionSpans> {
        if !self.sessions.contains_key(text) {
            self.sessions.insert(text.to_owned(), SessionSpans::parse(text, every_day));
        }
        self.sessions.get(text)?.as_ref()
    }

    /// The run of a session around a moment, its first millisecond and the first behind it.
    pub fn run_around(
        &mut self,
        text: &str,
        session: &SessionSpans,
        zone: &str,
        ms: i64,
    ) -> Option<(i64, i64)> {
        let key = (text.to_owned(), zone.to_owned());
        let known = self.runs.get(&key).copied().filter(|(from, to)| (*from..*to).contains(&ms));
        if known.is_some() && session.spans.len() == 1 {
            return known;
        }
        let run = session.around(self.zone(zone)?, ms)?;
        self.runs.insert(key, run);
        Some(run)
    }

    /// Start and end of the period of `timeframe` around a moment.
    pub fn period(&mut self, timeframe: Timeframe, zone: &str, session: &str, ms: i64) -> Option<(i64, i64)> {
        let known = |p: &(Timeframe, String, String, _)| p.0 == timeframe && p.1 == zone && p.2 == session;
        let place = self.periods.iter().position(known).unwrap_or_else(|| {
            let periods = Periods::parse(timeframe, zone, session).ok();
            self.periods.push((timeframe, zone.to_owned(), session.to_owned(), periods));
            self.periods.len() - 1
        });
        let period = self.periods[place].3.as_mut()?.at(ms);
        Some((period.start_ms, period.end_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_across_a_change_of_offset() {
        let mut zone = Zone::find("America/New_York").unwrap();
        // 2023-03-12 06:59:59 UTC is 01:59:59, one second later 03:00.
        let before = zone.parts(1_678_604_399_000);
        let after = zone.parts(1_678_604_400_000);
        assert_eq!((before.hour, before.minute, after.hour), (1, 59, 3));
        assert_eq!((after.year, after.month, after.day, after.weekday), (2023, 3, 12, 1));
        assert_eq!(zone.timestamp(2023, 3, 12, 3, 0, 0), Some(1_678_604_400_000));
        assert_eq!(Zone::find("GMT+2").unwrap().parts(0).hour, 2);
    }

    #[test]
    fn asking_at_a_transition_claims_nothing_behind_it() {
        let mut zone = Zone::find("America/New_York").unwrap();
        // 2024-03-10 07:00 UTC is the very moment at which clocks go forward.
        assert_eq!(zone.parts(1_710_054_000_000).hour, 3);
        // Two days before it was five hours behind, in January too.
        assert_eq!(zone.parts(1_709_960_400_000).hour, 0);
        assert_eq!(zone.parts(1_704_085_200_000).hour, 0);
    }

    #[test]
    fn sessions_with_days_and_over_midnight() {
        let mut utc = Zone::find("UTC").unwrap();
        // 2023-01-02 was a Monday (2).
        let monday = 1_672_617_600_000;
        let hour = 3_600_000;
        let mut at = |hours: f64, text: &str| {
            let session = SessionSpans::parse(text, true).unwrap();
            let run = session.around(&mut utc, monday + (hours * hour as f64) as i64)?;
            Some(((run.0 - monday) as f64 / hour as f64, (run.1 - monday) as f64 / hour as f64))
        };
        assert_eq!(at(10.0, "0930-1600:23456"), Some((9.5, 16.0)));
        assert_eq!(at(9.0, "0930-1600:23456"), None);
        assert_eq!(at(16.0, "0930-1600:23456"), None);
        assert_eq!(at(10.0, "0930-1600:17"), None);
        // The weekday is that of the last minute.
        assert_eq!(at(-1.0, "2200-1100:2"), Some((-2.0, 11.0)));
        assert_eq!(at(23.0, "2200-1100:2"), None);
        assert_eq!(at(23.0, "1800-0000:2"), Some((18.0, 24.0)));
        assert_eq!(at(23.0, "1700-1700:23456"), Some((17.0, 41.0)));
        assert_eq!(at(0.0, "0000-0000:2"), Some((0.0, 24.0)));
        assert_eq!(at(-1.0, "0000-0000:2"), None);
        assert_eq!(at(0.25, "0930-2430"), Some((-14.5, 0.5)));
        assert_eq!(at(0.5, "2430-1200"), Some((0.5, 12.0)));
        // Of two that overlap the later.
        assert_eq!(at(10.0, "0000-1200,0900-1100"), Some((9.0, 11.0)));
        for bad in ["9-16", "0930", "0930-1660", "2500-2600", "0930-1600:08", "ab12-1600"] {
            assert!(SessionSpans::parse(bad, true).is_none(), "{bad}");
        }
        assert!(!SessionSpans::parse("0930-1600", false).unwrap().days[1]);
    }
}
