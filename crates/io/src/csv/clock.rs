//! Times as texts: what they look like and how they are read.

use super::number::{digits, eight};
use crate::report::DateOrder;
use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};
use std::{cmp::Ordering, ops::Range};

const DAY_MS: i64 = 86_400_000;

/// Unit of a number counted from 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl EpochUnit {
    /// The unit that puts a number between 1973 and 5138: every bar's time in practice.
    pub(crate) fn of(magnitude: f64) -> Self {
        match magnitude {
            m if m < 1e11 => Self::Seconds,
            m if m < 1e14 => Self::Millis,
            m if m < 1e17 => Self::Micros,
            _ => Self::Nanos,
        }
    }

    /// Times that a file of this unit may hold, epoch milliseconds: from where [`EpochUnit::of`] tells the unit from
    /// a coarser one, up to the year 2200.
    pub(crate) fn range_ms(self) -> Range<i64> {
        const YEAR_2200: i64 = 7_258_118_400_000;
        let from = if self == Self::Seconds { 0 } else { 100_000_000_000 };
        from..YEAR_2200
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Seconds => "epoch seconds",
            Self::Millis => "epoch milliseconds",
            Self::Micros => "epoch microseconds",
            Self::Nanos => "epoch nanoseconds",
        }
    }

    /// A whole number of this unit in milliseconds, rounded down; none when out of range.
    #[inline(always)]
    pub(crate) fn to_ms(self, count: i64) -> Option<i64> {
        match self {
            Self::Seconds => count.checked_mul(1_000),
            Self::Millis => Some(count),
            Self::Micros => Some(count.div_euclid(1_000)),
            Self::Nanos => Some(count.div_euclid(1_000_000)),
        }
    }

    fn per_ms(self) -> f64 {
        match self {
            Self::Seconds => 1e-3,
            Self::Millis => 1.0,
            Self::Micros => 1e3,
            Self::Nanos => 1e6,
        }
    }

    /// A fractional number of this unit in milliseconds, to the nearest.
    pub(crate) fn float_to_ms(self, count: f64) -> Option<i64> {
        let ms = (count / self.per_ms()).round();
        (ms.abs() < 9e15).then_some(ms as i64)
    }
}

/// How a file writes its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    Epoch(EpochUnit),
    /// `20230131`, `20230131 15:04`, `20230131150400`.
    Compact,
    /// Three numbers with separators, then perhaps a time of day and an offset.
    Civil(DateOrder),
}

/// Reads times of one format; naive ones are local to `zone`. Remembers the last day.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) format: TimeFormat,
    zone: Option<TimeZone>,
    /// Ten bytes of a date and its local midnight.
    day: ([u8; 10], i64),
    /// Local span in which the zone's offset is known, and the offset, all milliseconds.
    offset: (i64, i64, i64),
}

impl Clock {
    pub(crate) fn new(format: TimeFormat, zone: &TimeZone) -> Self {
        let zone = (*zone != TimeZone::UTC).then(|| zone.clone());
        Self { format, zone, day: ([0; 10], 0), offset: (0, 0, 0) }
    }

    /// Epoch milliseconds of a whole text.
    pub(crate) fn parse(&mut self, text: &[u8]) -> Option<i64> {
        match self.format {
            TimeFormat::Epoch(unit) => epoch(text, unit),
            TimeFormat::Compact | TimeFormat::Civil(_) => {
                let (local, offset) = civil(text, self.format)?;
                self.at_offset(local, offset)
            }
        }
    }

    /// Epoch milliseconds of a date and a time of day in two texts.
    pub(crate) fn parse_pair(&mut self, date: &[u8], clock: &[u8]) -> Option<i64> {
        let (midnight, rest) = date_of(date, self.format)?;
        let (of_day, offset) = time_of_day(trim(clock))?;
        if !rest.is_empty() && !matches!(time_of_day(trim_separator(rest)), Some((0, None))) {
            return None;
        }
        self.at_offset(midnight + of_day, offset)
    }

    fn at_offset(&mut self, local: i64, offset: Option<i64>) -> Option<i64> {
        match offset {
            Some(ms) => Some(local - ms),
            None => Some(local - self.zone_offset(local)?),
        }
    }

    /// The zone's offset at a local time. In the hour that a clock change repeats the earlier reading
    /// counts; in the hour that it skips, the time after.
    #[inline(always)]
    fn zone_offset(&mut self, local: i64) -> Option<i64> {
        if self.zone.is_none() {
            return Some(0);
        }
        self.zone_lookup(local)
    }

    #[inline(never)]
    fn zone_lookup(&mut self, local: i64) -> Option<i64> {
        let zone = self.zone.as_ref()?;
        if self.offset.0 <= local && local < self.offset.1 {
            return Some(self.offset.2);
        }
        let offset_at = |local: i64| {
            let naive = Timestamp::from_millisecond(local).ok()?;
            let instant = zone.to_timestamp(Offset::UTC.to_datetime(naive)).ok()?;
            Some(local - instant.as_millisecond())
        };
        let offset = offset_at(local)?;
        let midnight = local.div_euclid(DAY_MS) * DAY_MS;
        if offset_at(midnight) == Some(offset) && offset_at(midnight + DAY_MS) == Some(offset) {
            self.offset = (midnight, midnight + DAY_MS, offset);
        }
        Some(offset)
    }

    /// Reads a time from `at` in the usual shape of its format; the time and the place after it. None where
    /// the shape is another: the caller then finds the field's end and asks [`Self::parse`].
    #[inline(always)]
    pub(super) fn scan(&mut self, buf: &[u8], at: usize) -> Option<(i64, usize)> {
        match self.format {
            TimeFormat::Epoch(unit) => {
                let (count, end) = digits(buf, at, 0);
                let plain = (1..=18).contains(&(end - at)) || unit == EpochUnit::Nanos && end - at == 19;
                let count = i64::try_from(count).ok().filter(|_| plain)?;
                Some((unit.to_ms(count)?, end))
            }
            TimeFormat::Compact => None,
            TimeFormat::Civil(_) => {
                let (midnight, at) = self.scan_date(buf, at)?;
                match buf.get(at)? {
                    b' ' | b'T' if is_digit(buf.get(at + 1)) => {
                        let (of_day, at) = scan_time_of_day(buf, at + 1)?;
                        self.scan_offset(buf, at, midnight + of_day)
                    }
                    b' ' | b'T' => None,
                    _ => Some((midnight - self.zone_offset(midnight)?, at)),
                }
            }
        }
    }

    /// A date of ten bytes; its local midnight.
    #[inline(always)]
    pub(super) fn scan_date(&mut self, buf: &[u8], at: usize) -> Option<(i64, usize)> {
        let date: &[u8; 10] = buf.get(at..at + 10)?.try_into().ok()?;
        if *date != self.day.0 {
            let (midnight, rest) = date_of(date, self.format)?;
            if !rest.is_empty() || date[9] == b' ' {
                return None;
            }
            self.day = (*date, midnight);
        }
        // `2023-01-011`: a digit more makes it another thing.
        (!is_digit(buf.get(at + 10))).then_some((self.day.1, at + 10))
    }

    #[inline(always)]
    pub(crate) fn local_to_epoch(&mut self, local: i64) -> Option<i64> {
        Some(local - self.zone_offset(local)?)
    }

    #[inline(always)]
    fn scan_offset(&mut self, buf: &[u8], at: usize, local: i64) -> Option<(i64, usize)> {
        match buf.get(at) {
            Some(b'Z') => Some((local, at + 1)),
            Some(b'+' | b'-') => {
                let offset = offset_ms(buf.get(at..at + 6)?)?;
                Some((local - offset, at + 6))
            }
            // A fraction, a word: read with care elsewhere.
            Some(b'.' | b' ') if !only_spaces_before_end(buf, at) => None,
            _ => Some((self.local_to_epoch(local)?, at)),
        }
    }
}

/// True when the bytes from `at` are spaces up to something that can end a field.
fn only_spaces_before_end(buf: &[u8], mut at: usize) -> bool {
    while buf.get(at) == Some(&b' ') {
        at += 1;
    }
    matches!(buf.get(at), None | Some(b',' | b';' | b'\t' | b'|' | b'\r' | b'\n'))
}

fn is_digit(byte: Option<&u8>) -> bool {
    byte.is_some_and(u8::is_ascii_digit)
}

fn two(bytes: &[u8], at: usize) -> Option<i64> {
    let (a, b) = (bytes.get(at)?.wrapping_sub(b'0'), bytes.get(at + 1)?.wrapping_sub(b'0'));
    (a < 10 && b < 10).then_some(i64::from(a) * 10 + i64::from(b))
}

/// `HH:MM` or `HH:MM:SS` from `at`, in milliseconds of the day, and the place after it.
#[inline(always)]
pub(super) fn scan_time_of_day(buf: &[u8], at: usize) -> Option<(i64, usize)> {
    /// Colons less `'0'` at the third and sixth byte, and where the bytes are that are no digits.
    const COLONS: u64 = 0x0000_0a00_000a_0000;
    const COLON_BITS: u64 = 0x0000_8000_0080_0000;
    let values = eight(buf, at) ^ 0x3030_3030_3030_3030;
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    let pair = |i: u32| ((values >> (8 * i)) & 0xff) * 10 + ((values >> (8 * i + 8)) & 0xff);
    let (hours, minutes) = (pair(0), pair(3));
    if others == COLON_BITS && values & 0x0000_ff00_00ff_0000 == COLONS {
        let seconds = pair(6);
        let possible = hours < 24 && minutes < 60 && seconds < 60 && !is_digit(buf.get(at + 8));
        return possible.then_some(((((hours * 60 + minutes) * 60 + seconds) * 1_000) as i64, at + 8));
    }
    // Without seconds: digits but for the third byte, then neither a digit nor a colon.
    let shape = others & 0x0000_80ff_ffff_ffff == COLON_BITS && values & 0x00ff_0000 == COLONS & 0x00ff_0000;
    let ends = (values >> 40) & 0xff != 0x0a;
    (shape && ends && hours < 24 && minutes < 60)
        .then_some((((hours * 60 + minutes) * 60_000) as i64, at + 5))
}

/// Text without blanks and line ends around it.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

fn trim_separator(rest: &[u8]) -> &[u8] {
    trim(rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b"_")).unwrap_or(rest))
}

/// A number counted from 1970 in milliseconds: whole, fractional or with an exponent.
fn epoch(text: &[u8], unit: EpochUnit) -> Option<i64> {
    let text = trim(text);
    let (whole, fraction) = match text.iter().position(|b| *b == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    let digits = |t: &[u8]| t.iter().all(u8::is_ascii_digit);
    let magnitude = whole.strip_prefix(b"-").unwrap_or(whole);
    if magnitude.is_empty() || !digits(magnitude) || !digits(fraction) {
        return unit.float_to_ms(super::number::parse(text)?);
    }
    let count: i64 = std::str::from_utf8(whole).ok()?.parse().ok()?;
    let ms = unit.to_ms(count)?;
    if unit != EpochUnit::Seconds || fraction.is_empty() {
        return Some(ms);
    }
    let part = fraction_ms(fraction);
    ms.checked_add(if whole[0] == b'-' { -part } else { part })
}

/// The first three digits of a fraction of a second.
fn fraction_ms(digits: &[u8]) -> i64 {
    (0..3).fold(0, |ms, i| ms * 10 + digits.get(i).map_or(0, |b| i64::from(b - b'0')))
}

/// Local milliseconds of a date with an optional time of day, and the written offset.
fn civil(text: &[u8], format: TimeFormat) -> Option<(i64, Option<i64>)> {
    let (midnight, rest) = date_of(trim(text), format)?;
    if rest.is_empty() {
        return Some((midnight, None));
    }
    let glued = format == TimeFormat::Compact && rest[0].is_ascii_digit();
    if !glued && !matches!(rest[0], b'T' | b' ' | b'_' | b',' | b'\t') {
        return None;
    }
    let rest = if glued { rest } else { trim(&rest[1..]) };
    let (of_day, offset) = time_of_day(rest)?;
    Some((midnight + of_day, offset))
}

/// Local midnight of the date that begins a text, and what follows it.
fn date_of(text: &[u8], format: TimeFormat) -> Option<(i64, &[u8])> {
    let text = trim(text);
    let order = match format {
        TimeFormat::Compact => {
            let (digits, rest) = text.split_at_checked(8)?;
            let (high, year) = (two(digits, 0)?, two(digits, 2)?);
            return Some((midnight_ms(high * 100 + year, two(digits, 4)?, two(digits, 6)?)?, rest));
        }
        TimeFormat::Civil(order) => order,
        TimeFormat::Epoch(_) => return None,
    };
    let (a, rest) = number(text)?;
    let separator = *rest.first().filter(|b| matches!(b, b'-' | b'/' | b'.'))?;
    let (b, rest) = number(&rest[1..])?;
    let (c, rest) = number(rest.strip_prefix(&[separator])?)?;
    let ((year, width), month, day) = match order {
        DateOrder::Ymd => (a, b.0, c.0),
        DateOrder::Dmy => (c, b.0, a.0),
        DateOrder::Mdy => (c, a.0, b.0),
    };
    (width == 4).then_some(())?;
    Some((midnight_ms(year, month, day)?, rest))
}

/// Up to four digits: their value, how many, and the rest.
fn number(text: &[u8]) -> Option<((i64, usize), &[u8])> {
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=4).contains(&count) {
        return None;
    }
    let value = text[..count].iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
    Some(((value, count), &text[count..]))
}

/// Milliseconds from 1970-01-01 to a date's midnight; none for dates that do not exist.
fn midnight_ms(year: i64, month: i64, day: i64) -> Option<i64> {
    let date =
        jiff::civil::Date::new(i16::try_from(year).ok()?, month.try_into().ok()?, day.try_into().ok()?)
            .ok()?;
    let instant = Offset::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok()?;
    Some(instant.as_millisecond())
}

/// `H:MM`, `HH:MM:SS.fff`, `HHMM`, `HHMMSS`, a bare `0`; then perhaps AM/PM; then perhaps `Z`, `UTC`, `GMT`,
/// `+HH`, `+HHMM`, `+HH:MM`. Milliseconds of the day and the offset.
fn time_of_day(text: &[u8]) -> Option<(i64, Option<i64>)> {
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (mut of_day, mut rest) = match (count, text.get(count)) {
        (1 | 2, Some(b':')) => clock_with_colons(text)?,
        (4, _) => (two(text, 0)? * 3_600_000 + minute_ms(two(text, 2)?)?, &text[4..]),
        (6, _) => {
            let seconds = two(text, 4).filter(|s| *s < 60)?;
            (two(text, 0)? * 3_600_000 + minute_ms(two(text, 2)?)? + seconds * 1_000, &text[6..])
        }
        // `000000` written by a program that dropped the zeros.
        (1, None) if text == b"0" => (0, &text[1..]),
        _ => return None,
    };
    if let Some(fraction) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) {
        let count = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        (count > 0).then_some(())?;
        of_day += fraction_ms(&fraction[..count]);
        rest = &fraction[count..];
    }
    rest = trim(rest);
    if let Some(half) = rest.get(..2).filter(|h| h[1].eq_ignore_ascii_case(&b'M')) {
        of_day = twelve_hours(of_day, half[0])?;
        rest = trim(&rest[2..]);
    }
    (of_day < DAY_MS).then_some(())?;
    if rest.is_empty() {
        return Some((of_day, None));
    }
    let rest = rest.strip_prefix(b"UTC").or_else(|| rest.strip_prefix(b"GMT")).unwrap_or(rest);
    let offset = if rest.is_empty() || rest == b"Z" || rest == b"z" { 0 } else { offset_ms(rest)? };
    Some((of_day, Some(offset)))
}

fn minute_ms(minutes: i64) -> Option<i64> {
    (minutes < 60).then_some(minutes * 60_000)
}

fn clock_with_colons(text: &[u8]) -> Option<(i64, &[u8])> {
    let ((hours, _), rest) = number(text)?;
    let rest = rest.strip_prefix(b":")?;
    let minutes = minute_ms(two(rest, 0)?)?;
    let rest = &rest[2..];
    match rest.strip_prefix(b":") {
        Some(tail) => {
            let seconds = two(tail, 0).filter(|s| *s < 60)?;
            Some((hours * 3_600_000 + minutes + seconds * 1_000, &tail[2..]))
        }
        None => Some((hours * 3_600_000 + minutes, rest)),
    }
}

/// Twelve-hour reading: 12 AM is midnight, 12 PM noon.
fn twelve_hours(of_day: i64, half: u8) -> Option<i64> {
    let noon = DAY_MS / 2;
    ((3_600_000..noon + 3_600_000).contains(&of_day)).then_some(())?;
    let in_half = of_day % noon;
    match half.to_ascii_uppercase() {
        b'A' => Some(in_half),
        b'P' => Some(in_half + noon),
        _ => None,
    }
}

/// `+05:30`, `-0500`, `+3`.
fn offset_ms(text: &[u8]) -> Option<i64> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let ((value, count), rest) = number(&text[1..])?;
    let (hours, minutes) = match (count, rest) {
        (1 | 2, b"") => (value, 0),
        (4, b"") => (value / 100, value % 100),
        (1 | 2, [b':', a, b]) => (value, two(&[*a, *b], 0)?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// True when a text is a time of day without a date.
pub(super) fn is_time_of_day(text: &[u8]) -> bool {
    time_of_day(trim(text)).is_some()
}

/// Why no format fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoFormat {
    /// `03/04/2024`: either could be the day.
    AmbiguousOrder,
    Unknown,
}

/// The format that reads most of some times. `order` settles which number is the day.
pub(crate) fn sniff(texts: &[&[u8]], order: Option<DateOrder>) -> Result<TimeFormat, NoFormat> {
    let texts: Vec<&[u8]> = texts.iter().map(|t| trim(t)).filter(|t| !t.is_empty()).collect();
    // Broken rows must not hide what the others say.
    let most = |good: usize| good * 2 > texts.len();
    let good = |format| {
        let mut clock = Clock::new(format, &TimeZone::UTC);
        texts.iter().filter(|t| clock.parse(t).is_some()).count()
    };
    let fits = |format| most(good(format));
    if fits(TimeFormat::Compact) {
        return Ok(TimeFormat::Compact);
    }
    let mut magnitudes: Vec<f64> = texts
        .iter()
        .filter_map(|t| super::number::parse(t))
        .map(f64::abs)
        .filter(|x| x.is_finite())
        .collect();
    if most(magnitudes.len()) {
        magnitudes.sort_unstable_by(f64::total_cmp);
        return Ok(TimeFormat::Epoch(EpochUnit::of(magnitudes[magnitudes.len() / 2])));
    }
    if fits(TimeFormat::Civil(DateOrder::Ymd)) {
        return Ok(TimeFormat::Civil(DateOrder::Ymd));
    }
    if let Some(order) = order {
        return if fits(TimeFormat::Civil(order)) {
            Ok(TimeFormat::Civil(order))
        } else {
            Err(NoFormat::Unknown)
        };
    }
    let [day_first, month_first] = [DateOrder::Dmy, DateOrder::Mdy].map(|o| good(TimeFormat::Civil(o)));
    // Dots between are written by those who put the day first.
    let dots = texts.iter().any(|t| t.contains(&b'.') && !t.contains(&b'/'));
    match day_first.cmp(&month_first) {
        _ if !most(day_first.max(month_first)) => Err(NoFormat::Unknown),
        Ordering::Equal if !dots => Err(NoFormat::AmbiguousOrder),
        Ordering::Less => Ok(TimeFormat::Civil(DateOrder::Mdy)),
        _ => Ok(TimeFormat::Civil(DateOrder::Dmy)),
    }
}

/// The first of some times that no format reads by itself, else the first.
pub(crate) fn culprit<'a>(texts: &[&'a [u8]]) -> Option<&'a [u8]> {
    let unknown = |t: &&&'a [u8]| !trim(t).is_empty() && sniff(&[**t], None) == Err(NoFormat::Unknown);
    texts.iter().find(unknown).or(texts.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, zone: &str, order: Option<DateOrder>) -> Option<i64> {
        let format = sniff(&[text.as_bytes()], order).ok()?;
        let zone = springtide_domain::resample::zone(zone).unwrap();
        let mut clock = Clock::new(format, &zone);
        let slow = clock.parse(text.as_bytes());
        let mut buf = text.as_bytes().to_vec();
        buf.resize(buf.len() + super::super::number::PADDING, 0);
        buf[text.len()] = b',';
        if let Some((fast, end)) = clock.scan(&buf, 0)
            && end == text.len()
        {
            assert_eq!(Some(fast), slow, "{text}");
        }
        slow
    }

    #[test]
    fn most_times_decide_and_the_one_that_nobody_understands_is_named() {
        let texts = |list: &[&'static str]| list.iter().map(|t| t.as_bytes()).collect::<Vec<_>>();
        let format = |list: &[&'static str]| sniff(&texts(list), None);
        assert_eq!(format(&["2023-01-01", "2023-01-02", "foo"]), Ok(TimeFormat::Civil(DateOrder::Ymd)));
        assert_eq!(format(&["foo", "2023-01-01"]), Err(NoFormat::Unknown));
        assert_eq!(culprit(&texts(&["2023-01-01", "03/04/2024", "foo", "bar"])), Some(&b"foo"[..]));
        // One day above twelve says which number is the day.
        assert_eq!(
            format(&["11/01/2024", "12/01/2024", "13/01/2024"]),
            Ok(TimeFormat::Civil(DateOrder::Dmy))
        );
        assert_eq!(
            format(&["01/11/2024", "01/12/2024", "01/13/2024"]),
            Ok(TimeFormat::Civil(DateOrder::Mdy))
        );
        assert_eq!(format(&["11/01/2024", "12/01/2024"]), Err(NoFormat::AmbiguousOrder));
    }

    const NOON: i64 = 1_704_110_400_000; // 2024-01-01T12:00:00Z

    #[test]
    fn reads_what_people_write() {
        for text in [
            "2024-01-01T12:00:00Z",
            "2024-01-01 12:00:00",
            "2024-01-01 12:00",
            "2024/01/01 12:00",
            "2024.01.01 12:00",
            "2024-01-01T12:00:00.000Z",
            "2024-01-01T12:00:00.000000000",
            "2024-01-01 12:00:00+00:00",
            "2024-01-01T07:00:00-05:00",
            "2024-01-01T17:30:00+0530",
            "2024-01-01 15:00:00+03",
            "2024-1-1 12:00",
            "2024-01-01 12:00:00 UTC",
            "2024-01-01 12:00 PM",
            "20240101 12:00:00",
            "20240101120000",
            "202401011200",
            "20240101 120000",
            "1704110400",
            "1704110400000",
            "1704110400000000",
            "1704110400000000000",
            "1704110400.0",
            "1.7041104e9",
            "1704110400000.0",
            "1704110400.000123",
            "20240101T120000Z",
        ] {
            assert_eq!(read(text, "UTC", None), Some(NOON), "{text}");
        }
        assert_eq!(read("2024-01-01", "UTC", None), Some(NOON - DAY_MS / 2));
        assert_eq!(read("20240101", "UTC", None), Some(NOON - DAY_MS / 2));
        assert_eq!(read("2024-01-01 12:00:00.123456", "UTC", None), Some(NOON + 123));
        assert_eq!(read("1704110400.5", "UTC", None), Some(NOON + 500));
        assert_eq!(read("-86400", "UTC", None), Some(-DAY_MS));
        assert_eq!(read("01.01.2024 12:00:00.000", "UTC", None), Some(NOON));
        assert_eq!(read("1/1/2024 12:00 AM", "UTC", Some(DateOrder::Mdy)), Some(NOON - DAY_MS / 2));
        assert_eq!(read("01/31/2024", "UTC", None), Some(NOON - DAY_MS / 2 + 30 * DAY_MS));
        assert_eq!(read("31/01/2024", "UTC", None), Some(NOON - DAY_MS / 2 + 30 * DAY_MS));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "2024-13-01",
            "2024-02-30",
            "2024-01-01 24:00",
            "2024-01-01 12:60",
            "2024-01-01 1",
            "yesterday",
            "2024-01-01 12:00 XM",
            "2024-01-01 12:00+99",
            "24-01-01",
            "2024-01-01x",
            "",
            "2024-01-01 12:00:00+",
        ] {
            assert_eq!(read(text, "UTC", None), None, "{text}");
        }
        assert_eq!(sniff(&[b"03/04/2024"], None), Err(NoFormat::AmbiguousOrder));
    }

    #[test]
    fn naive_times_are_local() {
        assert_eq!(read("2024-01-01 07:00", "America/New_York", None), Some(NOON));
        assert_eq!(read("2024-07-01 08:00", "America/New_York", None), Some(NOON + 182 * DAY_MS));
        assert_eq!(read("2024-01-01 12:00Z", "America/New_York", None), Some(NOON));
        // A night with a change of clocks: 3 November 2024, 02:00 back to 01:00.
        let before = read("2024-11-03 00:30", "America/New_York", None).unwrap();
        let after = read("2024-11-03 02:30", "America/New_York", None).unwrap();
        assert_eq!(after - before, 3 * 3_600_000);
    }

    #[test]
    fn pairs_of_date_and_time_join() {
        for (date, time) in [
            ("2024.01.01", "12:00"),
            ("20240101", "120000"),
            ("2024-01-01", "12:00:00"),
            ("2024-01-01 00:00:00", "12:00"),
        ] {
            let format = sniff(&[date.as_bytes()], None).unwrap();
            let mut clock = Clock::new(format, &TimeZone::UTC);
            assert_eq!(clock.parse_pair(date.as_bytes(), time.as_bytes()), Some(NOON), "{date} {time}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_comes_back(ms in -2_000_000_000_000i64..4_000_000_000_000) {
            let second = ms.div_euclid(1000) * 1000;
            let instant = Timestamp::from_millisecond(second).unwrap();
            prop_assert_eq!(read(&instant.to_string(), "UTC", None), Some(second));
            let text = Timestamp::from_millisecond(ms).unwrap().to_string();
            prop_assert_eq!(read(&text, "UTC", None), Some(ms));
        }

        #[test]
        fn no_text_panics(text in "[0-9TZ:./ +-]{0,24}", bytes in proptest::collection::vec(any::<u8>(), 0..30)) {
            read(&text, "Europe/Berlin", None);
            let _ = sniff(&[&bytes], None);
            for order in [DateOrder::Ymd, DateOrder::Dmy, DateOrder::Mdy] {
                let mut clock = Clock::new(TimeFormat::Civil(order), &TimeZone::UTC);
                let _ = (clock.parse(&bytes), clock.scan(&bytes, 0), clock.parse_pair(&bytes, text.as_bytes()));
            }
        }
    }
}
