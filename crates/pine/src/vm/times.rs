//! Times, sessions and timeframes.

use super::calendar::{Parts, week_of_year};
use super::functions::Function;
use super::is_absent;
use super::machine::{CallSite, Machine, World};
use super::run::RunError;
use springtide_domain::Timeframe;

/// The function of this name.
pub(super) fn find(name: &str) -> Option<Function> {
    Some(match name {
        "year" => |m, s, a| part(m, s, a, |p| p.year),
        "month" => |m, s, a| part(m, s, a, |p| p.month),
        "dayofmonth" => |m, s, a| part(m, s, a, |p| p.day),
        "dayofweek" => |m, s, a| part(m, s, a, |p| p.weekday),
        "hour" => |m, s, a| part(m, s, a, |p| p.hour),
        "minute" => |m, s, a| part(m, s, a, |p| p.minute),
        "second" => |m, s, a| part(m, s, a, |p| p.second),
        "weekofyear" => |m, s, a| part(m, s, a, week_of_year),
        "time" => |m, s, a| time(m, s, a, false),
        "time_close" => |m, s, a| time(m, s, a, true),
        "timestamp" => timestamp,
        "timeframe.in_seconds" => |m, _, a| Ok(in_seconds(m, a)),
        "timeframe.from_seconds" => |m, _, a| {
            let text = from_seconds(a[0]).to_string();
            Ok(m.world.strings.intern(&text))
        },
        "timeframe.change" => timeframe_change,
        _ => return None,
    })
}

// ---- the bar ------------------------------------------------------------------------------------

/// The bar's close: its open time plus the timeframe, never past the next bar's open.
pub(super) fn close(w: &World<'_>, i: usize) -> f64 {
    let end = w.bars.time[i] + w.timeframe.nominal_ms();
    w.bars.time.get(i + 1).map_or(end, |next| end.min(*next)) as f64
}

/// Midnight UTC of the date that the bar's trading day carries: the one on which it ends when it begins on
/// the evening before.
pub(super) fn trading_day(w: &mut World<'_>, i: usize) -> f64 {
    let (start, _) = period(w, Timeframe::Days(1), w.bars.time[i]);
    // No session begins after two in the afternoon and carries its own date, nor before that the next one's.
    (w.zone.parts(start + 10 * 3_600_000).epoch_day * 86_400_000) as f64
}

pub(super) fn first_of_day(w: &mut World<'_>, i: usize) -> bool {
    let (start, _) = period(w, Timeframe::Days(1), w.bars.time[i]);
    i == 0 || w.bars.time[i - 1] < start
}

pub(super) fn last_of_day(w: &mut World<'_>, i: usize) -> bool {
    let next = w.bars.time.get(i + 1).copied().unwrap_or(w.bars.time[i] + w.timeframe.nominal_ms());
    period(w, Timeframe::Days(1), w.bars.time[i]).1 <= next
}

// ---- time ---------------------------------------------------------------------------------------

fn zone_name(m: &Machine<'_, '_>, handle: Option<&f64>) -> String {
    let given = handle.filter(|h| !is_absent(**h)).and_then(|h| m.world.strings.get(*h));
    match given {
        Some("exchange") | Some("") | None => m.world.symbol.timezone.clone(),
        Some(name) => name.to_owned(),
    }
}

fn part(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64], f: fn(&Parts) -> i64) -> Result<f64, RunError> {
    if a[0].is_nan() {
        return Ok(f64::NAN);
    }
    let own = a.get(1).is_none_or(|h| is_absent(*h));
    if own {
        return Ok(f(&m.world.zone.parts(a[0] as i64)) as f64);
    }
    let name = zone_name(m, a.get(1));
    match m.world.clock.zone(&name) {
        Some(zone) => Ok(f(&zone.parts(a[0] as i64)) as f64),
        None => Err(m.fail(format!("unknown time zone `{name}`"), site.span)),
    }
}

/// `time(timeframe, session, timezone, bars_back)`: open (or close) of the timeframe's bar.
///
/// With a session the bars are the session's own: na where the chart's bar does not open inside it; a day is
/// the session's run, an intraday timeframe counts from its opening, weeks and months begin with their first
/// run and are never na.
fn time(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64], close: bool) -> Result<f64, RunError> {
    let back = a.get(3).copied().filter(|x| !x.is_nan()).unwrap_or(0.0).trunc();
    let Some((now, end)) = bar_back(m.world, m.bar, back) else { return Ok(f64::NAN) };
    let text = m.world.strings.get(a[0]).unwrap_or("").to_owned();
    let timeframe = match text.as_str() {
        "" => m.world.timeframe,
        text => match text.parse() {
            Ok(timeframe) => timeframe,
            Err(_) => return Err(m.fail(format!("`{text}` is no timeframe"), site.span)),
        },
    };
    let span = match timeframe == m.world.timeframe {
        true => (now, end),
        false => period(m.world, timeframe, now),
    };
    let session = a.get(1).filter(|h| !is_absent(**h));
    let session = session.and_then(|h| m.world.strings.get(*h)).filter(|s| !s.is_empty()).map(str::to_owned);
    let span = match session {
        Some(session) => {
            let zone = zone_name(m, a.get(2));
            session_bar(m, site, (&session, &zone), timeframe, now, span)?
        }
        None => Some(span),
    };
    Ok(span.map_or(f64::NAN, |(start, end)| if close { end } else { start } as f64))
}

/// Open and close of the bar so many bars back; negative counts are bars to come, at their expected times.
fn bar_back(w: &World<'_>, bar: usize, back: f64) -> Option<(i64, i64)> {
    if back >= 0.0 {
        let bar = bar.checked_sub(back as usize)?;
        return Some((w.bars.time[bar], close(w, bar) as i64));
    }
    let span = w.timeframe.nominal_ms();
    let start = w.bars.time[bar] + (-back).min(1e6) as i64 * span;
    Some((start, start + span))
}

/// The period of a timeframe around a moment, by the symbol's calendar.
fn period(w: &mut World<'_>, timeframe: Timeframe, ms: i64) -> (i64, i64) {
    let symbol = w.symbol;
    w.clock.period(timeframe, &symbol.timezone, &symbol.session, ms).unwrap_or((ms, ms))
}

fn session_bar(
    m: &mut Machine<'_, '_>,
    site: &CallSite,
    (session, zone): (&str, &str),
    timeframe: Timeframe,
    now: i64,
    (start, end): (i64, i64),
) -> Result<Option<(i64, i64)>, RunError> {
    let session = match session {
        "regular" | "extended" => m.world.symbol.session.as_str(),
        text => text,
    };
    let every_day = m.world.version > 4;
    let Some(spans) = m.world.clock.session(session, every_day).cloned() else {
        let hint = "write HHMM-HHMM, optionally `:` and days 1 (Sunday) to 7";
        return Err(m.fail(format!("`{session}` is no session: {hint}"), site.span));
    };
    let first_day = m.world.zone.parts(start).epoch_day;
    let next_day = m.world.zone.parts(end).epoch_day;
    let clock = &mut m.world.clock;
    if clock.zone(zone).is_none() {
        return Err(m.fail(format!("unknown time zone `{zone}`"), site.span));
    }
    if matches!(timeframe, Timeframe::Weeks(1) | Timeframe::Months(1)) {
        let Some(zone) = clock.zone(zone) else { return Ok(None) };
        let first = spans.first_from(zone, first_day);
        return Ok(first.zip(spans.first_from(zone, next_day)).map(|(a, b)| (a.0, b.0)));
    }
    let Some((open, close)) = clock.run_around(session, &spans, zone, now) else { return Ok(None) };
    Ok(Some(match timeframe {
        Timeframe::Days(1) => (open, close),
        Timeframe::Seconds(_) | Timeframe::Minutes(_) => {
            let length = timeframe.nominal_ms().max(1);
            let from = open + (now - open) / length * length;
            (from, (from + length).min(close))
        }
        // How several days at once go with a session is not known: they keep the calendar's grid.
        _ => (start, end),
    }))
}

/// `timestamp`: a zone, absent for the exchange's, then year, month, day, hour, minute, second. (A date's text is a
/// number since the check.)
fn timestamp(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    let zone = zone_name(m, a.first());
    let at = |k: usize, default: i64| match a.get(k) {
        Some(x) if is_absent(*x) => Some(default),
        Some(x) if x.is_finite() => Some(x.trunc() as i64),
        Some(_) => None,
        None => Some(default),
    };
    let values = (at(1, 1970), at(2, 1), at(3, 1), at(4, 0), at(5, 0), at(6, 0));
    let (Some(y), Some(mo), Some(d), Some(h), Some(mi), Some(s)) = values else { return Ok(f64::NAN) };
    match m.world.clock.zone(&zone) {
        Some(zone) => Ok(zone.timestamp(y, mo, d, h, mi, s).map_or(f64::NAN, |ms| ms as f64)),
        None => Err(m.fail(format!("unknown time zone `{zone}`"), site.span)),
    }
}

fn timeframe_change(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    let text = m.world.strings.get(a[0]).unwrap_or("");
    let chart = m.world.timeframe;
    let timeframe = if text.is_empty() { Ok(chart) } else { text.parse::<Timeframe>() };
    let Ok(timeframe) = timeframe else {
        return Err(m.fail(format!("`{text}` is no timeframe"), site.span));
    };
    if timeframe == chart {
        return Ok(1.0);
    }
    let (start, _) = period(m.world, timeframe, m.world.bars.time[m.bar]);
    let before = m.bar.checked_sub(1).map(|k| m.world.bars.time[k]);
    Ok(f64::from(before.is_some_and(|t| t < start)))
}

fn in_seconds(m: &mut Machine<'_, '_>, a: &[f64]) -> f64 {
    let text = a.first().filter(|x| !is_absent(**x)).and_then(|x| m.world.strings.get(*x));
    match text {
        Some("") | None => seconds(m.world.timeframe),
        Some(text) => text.parse().map_or(f64::NAN, seconds),
    }
}

fn seconds(timeframe: Timeframe) -> f64 {
    match timeframe {
        // The language counts a month as 30.4375 days.
        Timeframe::Months(n) => f64::from(n) * 2_628_003.0,
        other => other.nominal_ms() as f64 / 1_000.0,
    }
}

fn from_seconds(x: f64) -> Timeframe {
    let s = x.max(1.0);
    if s < 60.0 {
        Timeframe::Seconds(s.ceil() as u32)
    } else if s < 86_400.0 {
        Timeframe::Minutes((s / 60.0).ceil() as u32)
    } else if s < 604_800.0 {
        Timeframe::Days((s / 86_400.0).ceil() as u32)
    } else if s < 2_628_003.0 {
        Timeframe::Weeks((s / 604_800.0).ceil() as u32)
    } else {
        Timeframe::Months((s / 2_628_003.0).ceil() as u32)
    }
}
