//! `str.*`: strings and how values look as text.

use super::calendar::{Parts, Zone, week_of_year};
use super::collections;
use super::functions::Function;
use super::is_absent;
use super::machine::{CallSite, Machine};
use super::numbers;
use super::run::RunError;
use crate::ir::Ty;
use regex_lite::RegexBuilder;

/// Longest text that one repetition makes, bytes.
const TEXT_MAX: usize = 40_960;

/// The function of this name.
pub(super) fn find(name: &str) -> Option<Function> {
    Some(match name {
        "str.tostring" => |m, s, a| {
            let format =
                a.get(1).filter(|f| !is_absent(**f)).and_then(|f| m.world.strings.get(*f)).map(str::to_owned);
            let ty = s.types.first().cloned().unwrap_or(Ty::Float);
            let text = show(m, a[0], &ty, format.as_deref());
            Ok(m.world.strings.intern(&text))
        },
        "str.format" => format_call,
        "str.format_time" => format_time,
        "str.length" => |m, _, a| Ok(read(m, a[0], |s| s.chars().count() as f64)),
        "str.contains" => |m, _, a| Ok(both(m, a, |s, t| f64::from(s.contains(t)))),
        "str.startswith" => |m, _, a| Ok(both(m, a, |s, t| f64::from(s.starts_with(t)))),
        "str.endswith" => |m, _, a| Ok(both(m, a, |s, t| f64::from(s.ends_with(t)))),
        "str.pos" => {
            |m, _, a| Ok(both(m, a, |s, t| s.find(t).map_or(f64::NAN, |at| s[..at].chars().count() as f64)))
        }
        "str.lower" => |m, _, a| Ok(map(m, a[0], |s| s.to_lowercase())),
        "str.upper" => |m, _, a| Ok(map(m, a[0], |s| s.to_uppercase())),
        "str.trim" => |m, _, a| Ok(map(m, a[0], |s| s.trim().to_owned())),
        "str.repeat" => |m, s, a| {
            let separator = m.world.strings.get(*a.get(2).unwrap_or(&f64::NAN)).unwrap_or("").to_owned();
            // None at all is na, measured on TradingView; what comes behind it with `+` is too.
            if a[1].is_nan() || a[1] < 1.0 {
                return Ok(f64::NAN);
            }
            let length = m.world.strings.get(a[0]).map_or(0, str::len) + separator.len();
            if a[1] * length as f64 > TEXT_MAX as f64 {
                return Err(m.fail(format!("str.repeat makes a text longer than {TEXT_MAX}"), s.span));
            }
            Ok(map(m, a[0], |text| vec![text; a[1] as usize].join(&separator)))
        },
        "str.match" => first_match,
        "str.replace" => replace,
        "str.replace_all" => |m, _, a| {
            let strings = &m.world.strings;
            let (from, to) =
                (strings.get(a[1]).unwrap_or("").to_owned(), strings.get(a[2]).unwrap_or("").to_owned());
            Ok(map(m, a[0], |s| if from.is_empty() { s.to_owned() } else { s.replace(&from, &to) }))
        },
        "str.substring" => |m, _, a| {
            let from = a[1].max(0.0) as usize;
            let to = a.get(2).filter(|x| !x.is_nan()).map_or(usize::MAX, |x| *x as usize);
            Ok(map(m, a[0], |s| s.chars().skip(from).take(to.saturating_sub(from)).collect()))
        },
        "str.tonumber" => |m, _, a| Ok(read(m, a[0], to_number)),
        "str.split" => |m, s, a| {
            let separator = m.world.strings.get(a[1]).unwrap_or("").to_owned();
            let text = m.world.strings.get(a[0]).unwrap_or("").to_owned();
            let parts: Vec<f64> = if separator.is_empty() && !text.is_empty() {
                text.chars().map(|c| m.world.strings.intern(&c.to_string())).collect()
            } else {
                // One empty part is what an empty text has, whatever separates.
                text.split(if separator.is_empty() { "\0" } else { &separator })
                    .map(|p| m.world.strings.intern(p))
                    .collect()
            };
            Ok(collections::add(m, s, parts))
        },
        _ => return None,
    })
}

fn read(m: &Machine<'_, '_>, handle: f64, f: impl Fn(&str) -> f64) -> f64 {
    m.world.strings.get(handle).map_or(f64::NAN, f)
}

fn both(m: &Machine<'_, '_>, a: &[f64], f: impl Fn(&str, &str) -> f64) -> f64 {
    let strings = &m.world.strings;
    strings.get(a[0]).zip(strings.get(a[1])).map_or(f64::NAN, |(s, t)| f(s, t))
}

fn map(m: &mut Machine<'_, '_>, handle: f64, f: impl Fn(&str) -> String) -> f64 {
    match m.world.strings.get(handle).map(f) {
        Some(text) => m.world.strings.intern(&text),
        None => f64::NAN,
    }
}

/// A number as Java reads one, without its infinities.
fn to_number(text: &str) -> f64 {
    text.trim().parse::<f64>().ok().filter(|x| x.is_finite()).unwrap_or(f64::NAN)
}

/// The n-th place at which a text stands, places that overlap included; an empty text stands between all
/// characters. None replaced: the text as it is.
fn replace(m: &mut Machine<'_, '_>, _: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    let strings = &m.world.strings;
    let (Some(from), Some(to)) = (strings.get(a[1]), strings.get(a[2])) else { return Ok(f64::NAN) };
    let (from, to) = (from.to_owned(), to.to_owned());
    let nth = a.get(3).filter(|x| **x >= 0.0).map_or(0, |x| *x as usize);
    Ok(map(m, a[0], |s| {
        let mut places = s.char_indices().map(|(at, _)| at).filter(|at| s[*at..].starts_with(&from));
        let at = match places.nth(nth) {
            Some(at) => at,
            None if from.is_empty() => s.len(),
            None => return s.to_owned(),
        };
        format!("{}{to}{}", &s[..at], &s[at + from.len()..])
    }))
}

/// A value as text, in the language's forms.
pub(super) fn show(m: &mut Machine<'_, '_>, x: f64, ty: &Ty, format: Option<&str>) -> String {
    match ty {
        _ if x.is_nan() => "NaN".into(),
        Ty::Bool => {
            if super::fold::truthy(x) {
                "true".into()
            } else {
                "false".into()
            }
        }
        Ty::Str => m.world.strings.get(x).unwrap_or("").to_owned(),
        Ty::Enum(name) => {
            let members = m.world.enums.iter().find(|(n, _)| n == name).map(|(_, members)| members);
            members.and_then(|v| v.get(x as usize)).cloned().unwrap_or_default()
        }
        Ty::Array(inner) => {
            let values = m.world.heap.array(x).map(<[f64]>::to_vec).unwrap_or_default();
            let parts: Vec<String> = values.iter().map(|v| show(m, *v, inner, format)).collect();
            format!("[{}]", parts.join(", "))
        }
        Ty::Int | Ty::Float => numbers::to_text(x, format, m.world.symbol.mintick),
        _ => String::new(),
    }
}

/// `str.format`: Java's MessageFormat. In the text a quote opens a literal part and two are one; a part in
/// braces is an argument's number, then `number`, `date` or `time`, then its style.
fn format_call(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    let Some(template) = m.world.strings.get(a[0]).map(str::to_owned) else { return Ok(f64::NAN) };
    let text = message(m, site, &template, &a[1..])?;
    Ok(m.world.strings.intern(&text))
}

fn message(
    m: &mut Machine<'_, '_>,
    site: &CallSite,
    template: &str,
    args: &[f64],
) -> Result<String, RunError> {
    let mut out = String::new();
    let mut chars = template.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.next_if_eq(&'\'').is_some() => out.push('\''),
            '\'' => quoted = !quoted,
            '{' if !quoted => {
                let Some(inside) = placeholder(&mut chars) else {
                    let what = format!("str.format: a `{{` without its `}}` in `{template}`");
                    return Err(m.fail(what, site.span));
                };
                out.push_str(&argument(m, site, &inside, args)?);
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// What stands up to the brace that closes; quotes and inner braces belong to it.
fn placeholder(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let (mut inside, mut depth, mut quoted) = (String::new(), 0, false);
    for c in chars.by_ref() {
        match c {
            '\'' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted && depth == 0 => return Some(inside),
            '}' if !quoted => depth -= 1,
            _ => {}
        }
        inside.push(c);
    }
    None
}

fn argument(
    m: &mut Machine<'_, '_>,
    site: &CallSite,
    inside: &str,
    args: &[f64],
) -> Result<String, RunError> {
    let mut parts = inside.splitn(3, ',');
    let (number, kind, style) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next());
    let Ok(k) = number.parse::<usize>() else {
        let what = format!("str.format: `{{{inside}}}` does not begin with the number of an argument");
        return Err(m.fail(what, site.span));
    };
    // A number without an argument is shown as it stands.
    let Some(x) = args.get(k).copied().filter(|x| !is_absent(*x)) else { return Ok(format!("{{{k}}}")) };
    let ty = site.types.get(k + 1).cloned().unwrap_or(Ty::Float);
    let is_number = matches!(ty, Ty::Int | Ty::Float);
    if x.is_nan() {
        return Ok("NaN".into());
    }
    match kind.trim().to_ascii_lowercase().as_str() {
        "number" => Ok(numbers::in_message(x, style.unwrap_or(""))),
        "date" | "time" if is_number => Ok(moment(x, kind.trim(), style.unwrap_or(""))),
        _ if is_number => Ok(numbers::in_message(x, "")),
        _ => Ok(show(m, x, &ty, None)),
    }
}

/// A date or a time of day in UTC, by Java's styles or a pattern.
fn moment(x: f64, kind: &str, style: &str) -> String {
    let date = kind.eq_ignore_ascii_case("date");
    let pattern = match (style.trim(), date) {
        ("short", true) => "M/d/yy",
        ("" | "medium", true) => "MMM d, yyyy",
        ("long", true) => "MMMM d, yyyy",
        ("full", true) => "EEEE, MMMM d, yyyy",
        ("short", false) => "h:mm a",
        ("" | "medium", false) => "h:mm:ss a",
        ("long" | "full", false) => "h:mm:ss a 'UTC'",
        _ => style.trim_start(),
    };
    Zone::find("UTC").map_or_else(String::new, |mut utc| time_text(x as i64, pattern, &mut utc))
}

/// The first part of a text that a regular expression matches; empty when none does.
fn first_match(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    let (strings, patterns) = (&m.world.strings, &mut m.world.patterns);
    let (Some(text), Some(pattern)) = (strings.get(a[0]), strings.get(a[1])) else { return Ok(f64::NAN) };
    let compiled = patterns.entry(a[1] as u32).or_insert_with(|| {
        let pattern = pattern.replace("\\Z", "\\z");
        RegexBuilder::new(&pattern).size_limit(1 << 20).build().map_err(|e| e.to_string())
    });
    let found = match compiled {
        Ok(regex) => regex.find(text).map_or("", |found| found.as_str()).to_owned(),
        Err(why) => {
            let why = why.clone();
            let what = format!(
                "str.match: `{}` cannot be used ({why}); look-around and back-references are not supported",
                strings.get(a[1]).unwrap_or("")
            );
            return Err(m.fail(what, site.span));
        }
    };
    Ok(m.world.strings.intern(&found))
}

fn format_time(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    if a[0].is_nan() {
        return Ok(f64::NAN);
    }
    let given = |k: usize| {
        a.get(k).filter(|f| !is_absent(**f)).and_then(|f| m.world.strings.get(*f)).filter(|t| !t.is_empty())
    };
    let pattern = given(1).unwrap_or("yyyy-MM-dd'T'HH:mm:ssZ").to_owned();
    let zone = given(2).unwrap_or(&m.world.symbol.timezone).to_owned();
    let Some(zone) = m.world.clock.zone(&zone) else {
        return Err(m.fail(format!("unknown time zone `{zone}`"), site.span));
    };
    let text = time_text(a[0] as i64, &pattern, zone);
    Ok(m.world.strings.intern(&text))
}

/// Java's patterns, the usual letters: yyyy MM dd HH mm ss, and their short forms.
fn time_text(ms: i64, pattern: &str, zone: &mut Zone) -> String {
    let p = zone.parts(ms);
    let offset = zone.jiff().to_offset(jiff::Timestamp::from_millisecond(ms).unwrap_or_default());
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            if chars.next_if_eq(&'\'').is_some() {
                out.push('\'');
            } else {
                out.extend(chars.by_ref().take_while(|c| *c != '\''));
            }
            continue;
        }
        let mut n = 1;
        while chars.next_if_eq(&c).is_some() {
            n += 1;
        }
        let padded = |x: i64| format!("{x:0n$}");
        let name = |names: &[&str], k: i64, long: bool| {
            let name = names[k as usize];
            if long { name.to_owned() } else { name[..3].to_owned() }
        };
        out.push_str(&match c {
            'y' | 'Y' | 'u' if n == 2 => format!("{:02}", p.year % 100),
            'y' | 'Y' | 'u' => padded(p.year),
            'M' | 'L' if n >= 3 => name(&MONTHS, p.month - 1, n > 3),
            'M' | 'L' => padded(p.month),
            'd' => padded(p.day),
            'D' => padded(day_of_year(&p)),
            'w' => padded(week_of_year(&p)),
            'H' => padded(p.hour),
            'k' => padded((p.hour + 23) % 24 + 1),
            'h' => padded((p.hour + 11) % 12 + 1),
            'K' => padded(p.hour % 12),
            'm' => padded(p.minute),
            's' => padded(p.second),
            'S' => padded(ms.rem_euclid(1_000)),
            'a' | 'A' => if p.hour < 12 { "AM" } else { "PM" }.to_owned(),
            'E' => name(&DAYS, p.weekday - 1, n > 3),
            'Z' | 'z' | 'X' | 'x' => {
                let minutes = offset.seconds() / 60;
                let sign = if minutes < 0 { '-' } else { '+' };
                format!("{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
            other => other.to_string().repeat(n),
        });
    }
    out
}

fn day_of_year(p: &Parts) -> i64 {
    let month =
        |m: i64| [31, 28 + i64::from(leap(p.year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][m as usize];
    (0..p.month - 1).map(month).sum::<i64>() + p.day
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
