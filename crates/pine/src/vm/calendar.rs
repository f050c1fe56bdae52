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

/// `0930-1600:23456,1700-1800`: spans of minutes of the day with their weekdays (1 = Sunday).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SessionSpans(Vec<(i64, i64, [bool; 8])>);

impl SessionSpans {
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.eq_ignore_ascii_case("24x7") {
            return Some(Self(vec![(0, 1_440, [true; 8])]));
        }
        let (spans, days) = text.split_once(':').unwrap_or((text, "1234567"));
        let mut allowed = [false; 8];
        for d in days.chars() {
            *allowed.get_mut(d.to_digit(10)? as usize)? = true;
        }
        let clock = |t: &str| -> Option<i64> {
            let t = t.trim();
            if t.len() != 4 {
                None
            } else {
                Some(t[..2].parse::<i64>().ok()? * 60 + t[2..].parse::<i64>().ok()?)
            }
        };
        let mut out = Vec::new();
        for span in spans.split(',') {
            let (a, b) = span.split_once('-')?;
            let (a, b) = (clock(a)?, clock(b)?);
            // 0000-0000 is the whole day.
            out.push((a, if a == b { a + 1_440 } else { b }, allowed));
        }
        Some(Self(out))
    }

    /// Whether a moment lies inside; a span that passes midnight belongs to the weekday it ends on.
    pub fn contains(&self, p: &Parts) -> bool {
        let minute = p.hour * 60 + p.minute;
        let next = p.weekday % 7 + 1;
        self.0.iter().any(|(from, to, days)| {
            if from < to && *to <= 1_440 {
                minute >= *from && minute < *to && days[p.weekday as usize]
            } else {
                let end = to % 1_440;
                (minute >= *from && days[next as usize]) || (minute < end && days[p.weekday as usize])
            }
        })
    }
}

/// Zones, sessions and periods that a run asked for, by name.
#[derive(Debug, Default)]
pub(super) struct Clock {
    zones: FxHashMap<String, Option<Zone>>,
    sessions: FxHashMap<String, Option<SessionSpans>>,
    periods: FxHashMap<(String, String), Option<Periods>>,
}

impl Clock {
    pub fn zone(&mut self, name: &str) -> Option<&mut Zone> {
        if !self.zones.contains_key(name) {
            self.zones.insert(name.to_owned(), Zone::find(name));
        }
        self.zones.get_mut(name)?.as_mut()
    }

    pub fn session(&mut self, text: &str) -> Option<&SessionSpans> {
        if !self.sessions.contains_key(text) {
            self.sessions.insert(text.to_owned(), SessionSpans::parse(text));
        }
        self.sessions.get(text)?.as_ref()
    }

    /// Start and end of the period of `timeframe` around a moment.
    pub fn period(&mut self, timeframe: &str, zone: &str, session: &str, ms: i64) -> Option<(i64, i64)> {
        let key = (timeframe.to_owned(), format!("{zone} {session}"));
        let periods = self
            .periods
            .entry(key)
            .or_insert_with(|| {
                timeframe.parse::<Timeframe>().ok().and_then(|tf| Periods::parse(tf, zone, session).ok())
            })
            .as_mut()?;
        let period = periods.at(ms);
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
        let at =
            |ms: i64, zone: &mut Zone, s: &str| SessionSpans::parse(s).unwrap().contains(&zone.parts(ms));
        // 2023-01-02 was a Monday (2).
        let monday_ten = 1_672_653_600_000;
        assert!(at(monday_ten, &mut utc, "0930-1600:23456"));
        assert!(!at(monday_ten, &mut utc, "0930-1600:17"));
        assert!(at(monday_ten, &mut utc, "2200-1100:2"));
        assert!(SessionSpans::parse("9-16").is_none());
    }
}
