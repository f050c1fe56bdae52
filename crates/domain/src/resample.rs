//! Longer bars from shorter ones, and the calendar behind them.
//!
//! A bar belongs to the period that contains its open time. Where periods begin:
//!
//! | timeframe | boundary |
//! |---|---|
//! | seconds, minutes | multiples counted from the start of the trading day; the last one of a day is cut short |
//! | `1D` | the start of the trading day |
//! | `nD` | every n-th trading date since 1970-01-01 |
//! | weeks | the trading day of Monday; `nW` counts from 1970-01-05 |
//! | months | the trading day of the first; `nM` counts within the year (`3M` = quarters) |
//!
//! The trading day begins at midnight of the zone for `24x7`, else at the session's opening. A session
//! that opens on the evening before (`1700-1600`) carries the date on which it ends, so that a Sunday
//! evening belongs to Monday and to Monday's week. Bars outside the session belong to the trading day
//! that opened last before them; so do days on which the session does not open.

use crate::{BarsView, OwnedBars, Timeframe};
use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// Why a period calendar could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResampleError {
    /// Not a zone.
    #[error("`{0}` is no time zone: write an IANA name (`America/New_York`), `UTC` or `UTC+3`")]
    BadZone(String),
    /// Not a session.
    #[error("`{0}` is no session: write `24x7` or `HHMM-HHMM`, optionally with `:days` (1 = Sunday)")]
    BadSession(String),
    /// The target is shorter than what is there.
    #[error("cannot make {to} bars out of {from} bars: give finer data")]
    Downward {
        /// What is there.
        from: Timeframe,
        /// What was asked for.
        to: Timeframe,
    },
}

/// Reads an IANA name, `UTC`, `GMT`, an empty text (UTC), or a fixed offset: `UTC+3`, `GMT-03:30`,
/// `+0530`.
pub fn zone(name: &str) -> Result<TimeZone, ResampleError> {
    let bad = || ResampleError::BadZone(name.to_owned());
    let text = name.trim();
    let rest = text.strip_prefix("UTC").or_else(|| text.strip_prefix("GMT")).unwrap_or(text);
    if rest.is_empty() {
        return Ok(TimeZone::UTC);
    }
    if rest.starts_with(['+', '-']) {
        let minutes = offset_minutes(rest).ok_or_else(bad)?;
        return Offset::from_seconds(minutes * 60).map(TimeZone::fixed).map_err(|_| bad());
    }
    TimeZone::get(text).map_err(|_| bad())
}

/// `+3`, `-03:30`, `+0530` in minutes.
fn offset_minutes(text: &str) -> Option<i32> {
    let (sign, digits) = text.split_at(1);
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let read = |t: &str, max: i32| {
        (!t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()))
            .then(|| t.parse::<i32>().ok())
            .flatten()
            .filter(|n| *n <= max)
    };
    let total = read(hours, 23)? * 60 + read(minutes, 59)?;
    Some(if sign == "-" { -total } else { total })
}

/// When trading days open: minute of the day, and on which weekdays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Opening, minutes after midnight; 0 for `24x7`.
    open_minute: i64,
    /// The session opens on the evening before the date it carries.
    overnight: bool,
    /// Bit 0 = Sunday … bit 6 = Saturday: trading dates that have a session.
    days: u8,
}

impl Session {
    /// Every day from midnight to midnight.
    pub const ALWAYS: Self = Self { open_minute: 0, overnight: false, days: 0x7f };

    /// Reads `24x7`, an empty text (the same), `0930-1600`, `1700-1600:23456`.
    pub fn parse(text: &str) -> Result<Self, ResampleError> {
        let bad = || ResampleError::BadSession(text.to_owned());
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed == "24x7" {
            return Ok(Self::ALWAYS);
        }
        let (hours, days) = match trimmed.split_once(':') {
            Some((hours, days)) => (hours, Self::days(days).ok_or_else(bad)?),
            None => (trimmed, 0x7f),
        };
        // Of several spans (`0900-1130,1230-1500`) the first opens the day and the last closes it.
        let (first, last) = (hours.split(',').next(), hours.split(',').next_back());
        let (open, _) = first.and_then(|s| s.split_once('-')).ok_or_else(bad)?;
        let (_, close) = last.and_then(|s| s.split_once('-')).ok_or_else(bad)?;
        let open_minute = Self::minute(open).ok_or_else(bad)?;
        let close_minute = Self::minute(close).ok_or_else(bad)?;
        let open_minute = open_minute % (24 * 60);
        let overnight = open_minute > 0 && close_minute <= open_minute;
        Ok(Self { open_minute, overnight, days })
    }

    fn days(text: &str) -> Option<u8> {
        let bit = |c: char| c.to_digit(10).filter(|d| (1..=7).contains(d)).map(|d| 1u8 << (d - 1));
        text.chars().try_fold(0, |days, c| Some(days | bit(c)?)).filter(|days| *days != 0)
    }

    fn minute(text: &str) -> Option<i64> {
        if text.len() != 4 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (hours, minutes): (i64, i64) = (text[..2].parse().ok()?, text[2..].parse().ok()?);
        (hours <= 24 && minutes < 60 && hours * 60 + minutes <= 24 * 60).then_some(hours * 60 + minutes)
    }

    /// Whether the trading date (days since 1970-01-01, a Thursday) has a session.
    fn opens_on(&self, date: i64) -> bool {
        self.days >> (date + 4).rem_euclid(7) & 1 == 1
    }
}

/// One period: what a longer bar spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// First millisecond of the period, epoch UTC; the longer bar's open time.
    pub start_ms: i64,
    /// First millisecond of the next period.
    pub end_ms: i64,
}

impl Period {
    /// True when `time` (epoch milliseconds) lies inside.
    pub fn contains(&self, time: i64) -> bool {
        self.start_ms <= time && time < self.end_ms
    }
}

/// Answers which period of a timeframe holds a time. Remembers the last trading day and the last
/// period, so that ascending times cost a comparison each.
#[derive(Clone, Debug)]
pub struct Periods {
    timeframe: Timeframe,
    zone: Option<TimeZone>,
    session: Session,
    day: (i64, Period),
    period: Period,
}

const NOWHERE: Period = Period { start_ms: 0, end_ms: 0 };

impl Periods {
    /// A calendar of `timeframe` in `zone` and `session`.
    pub fn new(timeframe: Timeframe, zone: TimeZone, session: Session) -> Self {
        let timeframe = match timeframe {
            Timeframe::Minutes(n) if n % 1440 == 0 && n > 0 => Timeframe::Days(n / 1440),
            other => other,
        };
        let utc = zone == TimeZone::UTC;
        Self { timeframe, zone: (!utc).then_some(zone), session, day: (0, NOWHERE), period: NOWHERE }
    }

    /// The same from texts, as a symbol's description holds them.
    pub fn parse(timeframe: Timeframe, timezone: &str, session: &str) -> Result<Self, ResampleError> {
        Ok(Self::new(timeframe, zone(timezone)?, Session::parse(session)?))
    }

    /// The period that holds `time` (epoch milliseconds).
    pub fn at(&mut self, time: i64) -> Period {
        if !self.period.contains(time) {
            self.period = self.compute(time);
        }
        self.period
    }

    fn compute(&mut self, time: i64) -> Period {
        let (date, day) = self.trading_day(time);
        let step = i64::from(self.timeframe.multiplier()).max(1);
        match self.timeframe {
            Timeframe::Seconds(_) | Timeframe::Minutes(_) => {
                let length = self.timeframe.nominal_ms().max(1);
                let start_ms = day.start_ms + (time - day.start_ms).div_euclid(length) * length;
                Period { start_ms, end_ms: start_ms.saturating_add(length).min(day.end_ms) }
            }
            Timeframe::Days(1) => day,
            Timeframe::Days(_) => self.dates(date.div_euclid(step) * step, step),
            // 1970-01-05, a Monday, is day 4.
            Timeframe::Weeks(_) => self.dates((date - 4).div_euclid(7 * step) * 7 * step + 4, 7 * step),
            Timeframe::Months(_) => self.months(date, step),
        }
    }

    fn months(&self, date: i64, step: i64) -> Period {
        let (year, month) = year_month(date);
        let first = (month - 1).div_euclid(step) * step;
        // Within the year: a count that does not divide twelve starts anew in January.
        let next = if first + step >= 12 { (year + 1) * 12 } else { year * 12 + first + step };
        let (start, end) = (first_of_month(year * 12 + first), first_of_month(next));
        Period { start_ms: self.open_after(start), end_ms: self.open_after(end) }
    }

    fn dates(&self, first: i64, count: i64) -> Period {
        Period { start_ms: self.open_after(first), end_ms: self.open_after(first + count) }
    }

    /// Opening of the first trading day on or after a date.
    fn open_after(&self, date: i64) -> i64 {
        self.open_ms((date..date + 7).find(|d| self.session.opens_on(*d)).unwrap_or(date))
    }

    /// The trading day that opened last at or before `time`: its date and its span to the next opening.
    fn trading_day(&mut self, time: i64) -> (i64, Period) {
        if !self.day.1.contains(time) {
            let mut date = self.local_date(time) + 2;
            while !self.session.opens_on(date) || self.open_ms(date) > time {
                date -= 1;
            }
            let span = Period { start_ms: self.open_ms(date), end_ms: self.open_after(date + 1) };
            self.day = (date, span);
        }
        self.day
    }

    fn local_date(&self, time: i64) -> i64 {
        let offset = self.zone.as_ref().zip(Timestamp::from_millisecond(time).ok());
        let offset_ms = offset.map_or(0, |(zone, t)| i64::from(zone.to_offset(t).seconds()) * 1000);
        time.saturating_add(offset_ms).div_euclid(DAY_MS)
    }

    /// When the trading day of a date opens, epoch milliseconds.
    fn open_ms(&self, date: i64) -> i64 {
        let date = if self.session.overnight { date - 1 } else { date };
        let local = date.saturating_mul(DAY_MS).saturating_add(self.session.open_minute * MINUTE_MS);
        let Some(zone) = &self.zone else { return local };
        let Ok(naive) = Timestamp::from_millisecond(local) else { return local };
        let civil = Offset::UTC.to_datetime(naive);
        zone.to_timestamp(civil).map_or(local, |t| t.as_millisecond())
    }
}

/// Year and month (1 to 12) of a date in days since 1970-01-01, proleptic Gregorian.
fn year_month(date: i64) -> (i64, i64) {
    // Eras of 400 years that begin on 1 March, so that the leap day comes last (formulas: H. Hinnant).
    let z = date + 719_468;
    let era = z.div_euclid(146_097);
    let day = z - era * 146_097;
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month)
}

/// Days since 1970-01-01 of the first day of a month counted from January of year 0.
fn first_of_month(months: i64) -> i64 {
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Start of the period of `timeframe` that holds `time`, both epoch milliseconds, trading days from
/// midnight to midnight in `zone`. For many times use [`Periods`], which remembers.
pub fn period_start_ms(time: i64, timeframe: Timeframe, zone: &TimeZone) -> i64 {
    Periods::new(timeframe, zone.clone(), Session::ALWAYS).at(time).start_ms
}

/// Which longer bar every bar belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// For every bar the index of its group, counted from 0, ascending.
    pub index: Vec<u32>,
    /// For every bar whether it ends its group: the next bar lies in another period, or the bar closes
    /// at the end of the period. Only the last bar can be the last of its group and yet not end it.
    pub is_last: Vec<bool>,
    /// For every group the start of its period, epoch milliseconds.
    pub start_ms: Vec<i64>,
    /// For every group its first bar.
    pub first_bar: Vec<u32>,
}

impl Groups {
    /// Number of groups.
    pub fn len(&self) -> usize {
        self.start_ms.len()
    }

    /// True without bars.
    pub fn is_empty(&self) -> bool {
        self.start_ms.is_empty()
    }

    /// The bars of a group.
    pub fn bars(&self, group: usize) -> std::ops::Range<usize> {
        let end = self.first_bar.get(group + 1).map_or(self.index.len(), |b| *b as usize);
        self.first_bar[group] as usize..end
    }

    /// True when the data ends before the last group's period does.
    pub fn last_is_partial(&self) -> bool {
        self.is_last.last().is_some_and(|ends| !ends)
    }
}

/// Groups bars by the periods of `periods`. `time` holds open times in ascending epoch milliseconds;
/// `from` is the bars' own timeframe, which says when the last bar closes.
pub fn group(time: &[i64], from: Timeframe, periods: &mut Periods) -> Groups {
    let mut groups = Groups { index: Vec::with_capacity(time.len()), ..Groups::default() };
    groups.is_last = vec![false; time.len()];
    let mut current = NOWHERE;
    for (i, t) in time.iter().enumerate() {
        if i == 0 || !current.contains(*t) {
            current = periods.at(*t);
            groups.start_ms.push(current.start_ms);
            groups.first_bar.push(i as u32);
            if i > 0 {
                groups.is_last[i - 1] = true;
            }
        }
        groups.index.push(groups.start_ms.len() as u32 - 1);
    }
    if let (Some(last), Some(t)) = (groups.is_last.last_mut(), time.last()) {
        *last = close_ms(*t, from, periods) >= current.end_ms;
    }
    groups
}

/// When a bar that opened at `time` closes: calendar bars at the next boundary of their own calendar.
fn close_ms(time: i64, from: Timeframe, periods: &Periods) -> i64 {
    if from.is_intraday() {
        return time.saturating_add(from.nominal_ms());
    }
    let zone = periods.zone.clone().unwrap_or(TimeZone::UTC);
    Periods::new(from, zone, periods.session).at(time).end_ms
}

/// Longer bars and whether the last of them is still open.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampled {
    /// One bar per period that holds any; `time` is the period's start.
    pub bars: OwnedBars,
    /// The data ends before the last bar's period does. The bar is kept.
    pub last_is_partial: bool,
}

/// Joins bars into those of timeframe `to`: first open, highest high, lowest low, last close, sum of
/// volumes (NaN volumes are left out of a sum; a sum of nothing but NaN is NaN). The last bar is kept
/// even when its period is not over; see [`resample_from`] for the flag.
pub fn resample(
    view: &BarsView<'_>,
    to: Timeframe,
    timezone: &str,
    session: &str,
) -> Result<OwnedBars, ResampleError> {
    let from = Timeframe::detect(view.time).unwrap_or(to);
    resample_from(view, from, to, timezone, session).map(|r| r.bars)
}

/// [`resample`] for bars whose timeframe `from` is known; says whether the last bar is partial.
pub fn resample_from(
    view: &BarsView<'_>,
    from: Timeframe,
    to: Timeframe,
    timezone: &str,
    session: &str,
) -> Result<Resampled, ResampleError> {
    if to.nominal_ms() < from.nominal_ms() {
        return Err(ResampleError::Downward { from, to });
    }
    let groups = group(view.time, from, &mut Periods::parse(to, timezone, session)?);
    Ok(Resampled { bars: join(view, &groups), last_is_partial: groups.last_is_partial() })
}

/// One bar per group.
pub fn join(view: &BarsView<'_>, groups: &Groups) -> OwnedBars {
    let mut out = OwnedBars::default();
    for (g, start) in groups.start_ms.iter().enumerate() {
        let range = groups.bars(g);
        let (first, last) = (range.start, range.end - 1);
        let high = view.high[range.clone()].iter().copied().fold(view.high[first], f64::max);
        let low = view.low[range.clone()].iter().copied().fold(view.low[first], f64::min);
        out.push(*start, view.open[first], high, low, view.close[last], volume(&view.volume[range]));
    }
    out
}

fn volume(values: &[f64]) -> f64 {
    let known = values.iter().filter(|v| !v.is_nan());
    known.fold(f64::NAN, |sum, v| if sum.is_nan() { *v } else { sum + v })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn start(time: &str, tf: &str, zone: &str, session: &str) -> String {
        let mut periods = Periods::parse(tf.parse().unwrap(), zone, session).unwrap();
        let period = periods.at(ms(time));
        assert!(period.contains(ms(time)), "{time} {tf} {period:?}");
        Timestamp::from_millisecond(period.start_ms).unwrap().to_string()
    }

    #[test]
    fn periods_start_where_the_table_says() {
        for (time, tf, zone, session, want) in [
            ("2024-03-05T13:47:00Z", "15", "UTC", "24x7", "2024-03-05T13:45:00Z"),
            ("2024-03-05T13:47:00Z", "4h", "UTC", "24x7", "2024-03-05T12:00:00Z"),
            ("2024-03-05T13:47:00Z", "7m", "UTC", "24x7", "2024-03-05T13:46:00Z"),
            ("2024-03-05T23:59:59Z", "D", "UTC", "24x7", "2024-03-05T00:00:00Z"),
            ("2024-03-05T13:47:00Z", "1440", "UTC", "24x7", "2024-03-05T00:00:00Z"),
            ("2024-03-05T03:00:00Z", "D", "America/New_York", "24x7", "2024-03-04T05:00:00Z"),
            ("2024-03-10T12:00:00Z", "D", "America/New_York", "24x7", "2024-03-10T05:00:00Z"),
            ("2024-03-11T04:00:00Z", "D", "America/New_York", "24x7", "2024-03-11T04:00:00Z"),
            ("2024-03-10T23:00:00Z", "W", "UTC", "24x7", "2024-03-04T00:00:00Z"),
            ("2024-02-29T23:00:00Z", "M", "UTC", "24x7", "2024-02-01T00:00:00Z"),
            ("2024-06-30T23:00:00Z", "3M", "UTC", "24x7", "2024-04-01T00:00:00Z"),
            ("2024-12-31T23:00:00Z", "12M", "UTC", "24x7", "2024-01-01T00:00:00Z"),
            ("1969-12-31T23:00:00Z", "D", "UTC", "24x7", "1969-12-31T00:00:00Z"),
            // Stock hours: hours count from the opening.
            ("2024-03-05T15:45:00Z", "60", "America/New_York", "0930-1600", "2024-03-05T15:30:00Z"),
            ("2024-03-05T15:45:00Z", "D", "America/New_York", "0930-1600", "2024-03-05T14:30:00Z"),
            ("2024-03-12T15:45:00Z", "D", "America/New_York", "0930-1600:23456", "2024-03-12T13:30:00Z"),
            ("2024-03-09T15:45:00Z", "D", "America/New_York", "0930-1600:23456", "2024-03-08T14:30:00Z"),
            // An overnight session carries the date on which it ends.
            ("2024-03-03T23:30:00Z", "W", "America/New_York", "1700-1700:23456", "2024-03-03T22:00:00Z"),
            ("2024-03-05T23:30:00Z", "D", "America/New_York", "1700-1600", "2024-03-05T22:00:00Z"),
            ("2024-01-31T22:30:00Z", "M", "America/New_York", "1700-1700", "2024-01-31T22:00:00Z"),
            ("2024-03-05T03:00:00Z", "4h", "UTC+3", "24x7", "2024-03-05T01:00:00Z"),
        ] {
            assert_eq!(start(time, tf, zone, session), want, "{time} {tf} {zone} {session}");
        }
    }

    #[test]
    fn bad_zones_and_sessions_are_refused() {
        for name in ["Mars/Base", "UTC+99", "GMT+", "UTC+1:2:3"] {
            assert!(zone(name).is_err(), "{name}");
        }
        for text in ["930-1600", "0930", "0930-2500", "0930-1600:8", "0930-1600:", "x-y", "é930-160"] {
            assert!(Session::parse(text).is_err(), "{text}");
        }
        assert_eq!(zone("GMT-03:30").unwrap(), zone("-0330").unwrap());
    }

    #[test]
    fn joins_first_highest_lowest_last_and_sum() {
        let mut bars = OwnedBars::default();
        for (i, (o, h, l, c, v)) in
            [(1.0, 5.0, 0.5, 2.0, 10.0), (2.0, 3.0, 1.0, 3.0, f64::NAN), (3.0, 9.0, 2.0, 4.0, 5.0)]
                .into_iter()
                .enumerate()
        {
            bars.push(i as i64 * 15 * MINUTE_MS, o, h, l, c, v);
        }
        let hour = Timeframe::Minutes(60);
        let joined = resample_from(&bars.view(), Timeframe::Minutes(15), hour, "UTC", "24x7").unwrap();
        assert!(joined.last_is_partial);
        let b = joined.bars;
        assert_eq!(
            (b.time[0], b.open[0], b.high[0], b.low[0], b.close[0], b.volume[0]),
            (0, 1.0, 9.0, 0.5, 4.0, 15.0)
        );
        bars.push(45 * MINUTE_MS, 4.0, 4.0, 4.0, 4.0, 1.0);
        assert!(!resample_from(&bars.view(), Timeframe::Minutes(15), hour, "", "").unwrap().last_is_partial);
        assert!(resample(&bars.view(), Timeframe::Minutes(5), "UTC", "24x7").is_err());
    }

    #[test]
    fn groups_mark_the_bar_that_ends_each_period() {
        let quarter = 15 * MINUTE_MS;
        let time = [0, quarter, 3 * quarter, 4 * quarter, 9 * quarter];
        let mut periods = Periods::parse(Timeframe::Minutes(60), "UTC", "24x7").unwrap();
        let groups = group(&time, Timeframe::Minutes(15), &mut periods);
        assert_eq!(groups.index, [0, 0, 0, 1, 2]);
        assert_eq!(groups.is_last, [false, false, true, true, false]);
        assert_eq!(groups.start_ms, [0, 4 * quarter, 8 * quarter]);
        assert_eq!(groups.bars(0), 0..3);
        assert!(groups.last_is_partial());
        assert!(group(&[], Timeframe::Minutes(15), &mut periods).is_empty());
    }

    #[test]
    fn a_daily_bar_completes_its_week_on_sunday() {
        let days: Vec<i64> = (4..11).map(|d| d * DAY_MS).collect();
        let mut periods = Periods::parse(Timeframe::Weeks(1), "UTC", "24x7").unwrap();
        let groups = group(&days, Timeframe::Days(1), &mut periods);
        assert_eq!((groups.len(), groups.last_is_partial()), (1, false));
        assert!(group(&days[..6], Timeframe::Days(1), &mut periods).last_is_partial());
    }

    fn timeframes() -> impl Strategy<Value = Timeframe> {
        prop_oneof![
            (1u32..5000).prop_map(Timeframe::Seconds),
            (1u32..3000).prop_map(Timeframe::Minutes),
            (1u32..40).prop_map(Timeframe::Days),
            (1u32..9).prop_map(Timeframe::Weeks),
            (1u32..30).prop_map(Timeframe::Months),
        ]
    }

    proptest! {
        #[test]
        fn periods_tile_the_time_line(
            time in -4_000_000_000_000i64..8_000_000_000_000,
            tf in timeframes(),
            zone in prop::sample::select(vec!["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
            session in prop::sample::select(vec!["24x7", "0930-1600:23456", "1700-1600", "1800-1700:23456"]),
        ) {
            let mut periods = Periods::parse(tf, zone, session).unwrap();
            let period = periods.at(time);
            prop_assert!(period.contains(time));
            prop_assert_eq!(periods.at(period.start_ms), period);
            prop_assert_eq!(periods.at(period.end_ms).start_ms, period.end_ms);
            prop_assert_eq!(periods.at(period.start_ms - 1).end_ms, period.start_ms);
        }

        #[test]
        fn no_time_panics(time in any::<i64>(), tf in timeframes()) {
            Periods::new(tf, TimeZone::UTC, Session::ALWAYS).at(time.clamp(i64::MIN / 4, i64::MAX / 4));
            Periods::parse(tf, "Europe/Berlin", "1700-1600").unwrap().at(time.clamp(i64::MIN / 4, i64::MAX / 4));
        }

        #[test]
        fn dates_convert_both_ways(date in -2_000_000i64..4_000_000) {
            let (year, month) = year_month(date);
            let first = first_of_month(year * 12 + month - 1);
            prop_assert!(first <= date && date < first_of_month(year * 12 + month));
        }
    }
}
