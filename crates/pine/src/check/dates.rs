//! Dates as scripts write them: `timestamp("01 Jan 2020 09:30 +0200")`, `timestamp("2020-01-01")`.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Epoch milliseconds; without a zone the text means UTC.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim().replace([',', '/'], " ");
    let (mut numbers, mut month, mut time, mut zone) = (Vec::new(), None, None, 0i64);
    let mut iso = None;
    for word in text.split_whitespace() {
        if let Some((date, rest)) = iso_date(word) {
            iso = Some(date);
            if let Some((t, z)) = rest {
                time = Some(t);
                zone = z.unwrap_or(zone);
            }
        } else if word.contains(':') && !word.starts_with(['+', '-']) {
            let (t, z) = clock(word)?;
            time = Some(t);
            zone = z.unwrap_or(zone);
        } else if let Some(offset) = offset(word) {
            zone = offset;
        } else if let Some(m) = month_name(word) {
            month = Some(m);
        } else if let Ok(n) = word.trim_end_matches(['t', 'h', 's', 'n', 'd', 'r']).parse::<i16>() {
            numbers.push(n);
        } else if !is_weekday(word) {
            return None;
        }
    }
    let date = match iso {
        Some(date) => date,
        None => spelled(&numbers, month)?,
    };
    let at = DateTime::from_parts(date, time.unwrap_or(Time::midnight()));
    Some(utc_ms(at) - zone * 60_000)
}

/// Epoch milliseconds of year, month, day, hour, minute, second in a zone (`UTC`, `GMT+2`, a name);
/// parts beyond their range carry over.
pub(crate) fn from_parts(zone: &str, parts: [f64; 6]) -> Option<i64> {
    let [year, month, day, hour, minute, second] = parts.map(|p| p.trunc() as i64);
    let months = year.checked_mul(12)?.checked_add(month - 1)?;
    let first =
        Date::new(i16::try_from(months.div_euclid(12)).ok()?, months.rem_euclid(12) as i8 + 1, 1).ok()?;
    let span = jiff::Span::new().try_days(day - 1).ok()?.try_hours(hour).ok()?;
    let span = span.try_minutes(minute).ok()?.try_seconds(second).ok()?;
    let at = first.at(0, 0, 0, 0).checked_add(span).ok()?;
    if let Some(minutes) = offset(zone) {
        return Some(utc_ms(at) - minutes * 60_000);
    }
    Some(at.to_zoned(TimeZone::get(zone).ok()?).ok()?.timestamp().as_millisecond())
}

fn utc_ms(at: DateTime) -> i64 {
    at.duration_since(Date::constant(1970, 1, 1).at(0, 0, 0, 0)).as_millis() as i64
}

/// `31 Jan 2020` in any order, or `1 31 2020` (month first) and `2020 1 31`.
fn spelled(numbers: &[i16], month: Option<i8>) -> Option<Date> {
    let year_at = numbers.iter().position(|n| *n > 31)?;
    let year = numbers[year_at];
    let rest: Vec<i16> = numbers.iter().enumerate().filter(|(i, _)| *i != year_at).map(|(_, n)| *n).collect();
    let (month, day) = match (month, rest.as_slice()) {
        (Some(month), [day]) => (month, *day),
        (Some(month), []) => (month, 1),
        (None, [month, day]) => (i8::try_from(*month).ok()?, *day),
        _ => return None,
    };
    Date::new(year, month, i8::try_from(day).ok()?).ok()
}

type IsoRest = Option<(Time, Option<i64>)>;

fn iso_date(word: &str) -> Option<(Date, IsoRest)> {
    let (date, time) = match word.split_once(['T', 't']) {
        Some((date, time)) if date.contains('-') => (date, Some(time)),
        _ => (word, None),
    };
    let mut parts = date.split('-');
    let (year, month) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let day = parts.next().map_or(Some(1), |d| d.parse().ok())?;
    let date = Date::new(year, month, day).ok()?;
    Some((
        date,
        match time {
            Some(time) => Some(clock(time)?),
            None => None,
        },
    ))
}

/// `09:30`, `09:30:15`, `09:30Z`, `09:30+02:00`, with the zone in minutes.
fn clock(word: &str) -> Option<(Time, Option<i64>)> {
    let (clock, zone) = match word.find(['+', '-', 'Z', 'z']) {
        Some(at) => (&word[..at], offset(&word[at..])),
        None => (word, None),
    };
    let mut parts = clock.split(':');
    let hour = parts.next()?.parse().ok()?;
    let minute = parts.next()?.parse().ok()?;
    let second = parts.next().map_or(Some(0), |s| s.split('.').next()?.parse().ok())?;
    Some((Time::new(hour, minute, second, 0).ok()?, zone))
}

/// `+0200`, `+02:00`, `Z`, `UTC`, `GMT+2`: minutes east of UTC.
fn offset(word: &str) -> Option<i64> {
    let upper = word.to_ascii_uppercase();
    let rest = upper.strip_prefix("UTC").or_else(|| upper.strip_prefix("GMT")).unwrap_or(&upper);
    if rest.is_empty() || rest == "Z" {
        return Some(0);
    }
    let (sign, digits) = match rest.as_bytes()[0] {
        b'+' => (1, &rest[1..]),
        b'-' => (-1, &rest[1..]),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((h, m)) => (h.parse::<i64>().ok()?, m.parse::<i64>().ok()?),
        None if digits.len() > 2 => {
            let n = digits.parse::<i64>().ok()?;
            (n / 100, n % 100)
        }
        None => (digits.parse::<i64>().ok()?, 0),
    };
    (hours <= 15 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn month_name(word: &str) -> Option<i8> {
    let start = word.get(..3)?.to_ascii_lowercase();
    let known = word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'.');
    MONTHS.iter().position(|m| *m == start).filter(|_| known).map(|i| i as i8 + 1)
}

fn is_weekday(word: &str) -> bool {
    let start = word.get(..3).unwrap_or("").to_ascii_lowercase();
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].contains(&start.as_str())
}

#[cfg(test)]
mod tests {
    use super::{from_parts, parse};

    #[test]
    fn puts_parts_together() {
        assert_eq!(from_parts("UTC", [2020.0, 1.0, 1.0, 0.0, 0.0, 0.0]), Some(1_577_836_800_000));
        assert_eq!(from_parts("GMT+2", [2020.0, 1.0, 1.0, 2.0, 0.0, 0.0]), Some(1_577_836_800_000));
        assert_eq!(
            from_parts("America/New_York", [2019.0, 12.0, 31.0, 19.0, 0.0, 0.0]),
            Some(1_577_836_800_000)
        );
        assert_eq!(from_parts("UTC", [2019.0, 13.0, 1.0, 0.0, 0.0, 0.0]), Some(1_577_836_800_000));
        assert_eq!(from_parts("Nowhere/Land", [2020.0, 1.0, 1.0, 0.0, 0.0, 0.0]), None);
        assert_eq!(from_parts("UTC", [f64::INFINITY; 6]), None);
    }

    #[test]
    fn reads_what_scripts_write() {
        let new_year = Some(1_577_836_800_000);
        for text in [
            "2020-01-01",
            "2020-01-01T00:00",
            "2020-01-01T02:00:00+02:00",
            "01 Jan 2020",
            "1 January 2020 00:00",
            "01 Jan 2020 00:00 +0000",
            "Jan 01 2020 00:00:00",
            "Wed, 01 Jan 2020 00:00:00 GMT",
            "31 Dec 2019 19:00 -0500",
            "01 Jan 2020 02:00 GMT+2",
            "2020/01/01",
        ] {
            assert_eq!(parse(text), new_year, "{text}");
        }
        assert_eq!(parse("20 Feb 2020 09:30"), Some(1_582_191_000_000));
        assert_eq!(parse("9999-12-31T00:00:00"), Some(253_402_214_400_000));
        for text in ["", "soon", "99 Jan 2020", "2020-13-01"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
