//! `str.*`: strings and how values look as text.

use super::collections;
use super::functions::Function;
use super::is_absent;
use super::machine::{CallSite, Machine};
use super::run::RunError;
use crate::ir::Ty;
use springtide_domain::Span;

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
        "str.repeat" => |m, _, a| {
            let separator = m.world.strings.get(*a.get(2).unwrap_or(&f64::NAN)).unwrap_or("").to_owned();
            let times = if a[1] >= 0.0 { (a[1] as usize).min(4_096) } else { 0 };
            Ok(map(m, a[0], |s| vec![s; times].join(&separator)))
        },
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
        "str.tonumber" => |m, _, a| Ok(read(m, a[0], |s| s.trim().parse::<f64>().unwrap_or(f64::NAN))),
        "str.split" => |m, s, a| {
            let separator = m.world.strings.get(a[1]).unwrap_or("").to_owned();
            let text = m.world.strings.get(a[0]).unwrap_or("").to_owned();
            let parts: Vec<f64> = if separator.is_empty() {
                text.chars().map(|c| m.world.strings.intern(&c.to_string())).collect()
            } else {
                text.split(&separator).map(|p| m.world.strings.intern(p)).collect()
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

fn replace(m: &mut Machine<'_, '_>, _: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    let strings = &m.world.strings;
    let (from, to) = (strings.get(a[1]).unwrap_or("").to_owned(), strings.get(a[2]).unwrap_or("").to_owned());
    let nth = a.get(3).filter(|x| **x >= 0.0).map_or(0, |x| *x as usize);
    Ok(map(m, a[0], |s| match s.match_indices(&from).nth(nth) {
        Some((at, _)) if !from.is_empty() => format!("{}{to}{}", &s[..at], &s[at + from.len()..]),
        _ => s.to_owned(),
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
        Ty::Int | Ty::Float => number(x, format, m.world.symbol.mintick),
        _ => String::new(),
    }
}

/// A number by the language's formats: `#.##`, `0.00`, `format.mintick`, `format.percent`, `format.volume`.
fn number(x: f64, format: Option<&str>, mintick: f64) -> String {
    match format {
        None | Some("" | "inherit" | "price") => trimmed(x, 10),
        Some("mintick") => {
            let digits = (0..=10)
                .find(|d| ((mintick * 10f64.powi(*d)).round() - mintick * 10f64.powi(*d)).abs() < 1e-9)
                .unwrap_or(2);
            format!("{:.*}", digits as usize, (x / mintick).round() * mintick)
        }
        Some("percent") => format!("{}%", trimmed(x, 2)),
        Some("volume") => match x.abs() {
            v if v >= 1e9 => format!("{}B", trimmed(x / 1e9, 3)),
            v if v >= 1e6 => format!("{}M", trimmed(x / 1e6, 3)),
            v if v >= 1e3 => format!("{}K", trimmed(x / 1e3, 3)),
            _ => trimmed(x, 3),
        },
        Some(pattern) => by_pattern(x, pattern),
    }
}

/// At most so many decimals, without trailing zeros.
fn trimmed(x: f64, decimals: usize) -> String {
    let text = format!("{x:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.to_owned() }
}

fn by_pattern(x: f64, pattern: &str) -> String {
    let core: String = pattern.chars().filter(|c| matches!(c, '#' | '0' | '.' | ',')).collect();
    if core.is_empty() {
        return trimmed(x, 10);
    }
    let at = pattern.find(['#', '0', '.', ',']).unwrap_or(0);
    let end = pattern.rfind(['#', '0', '.', ',']).map_or(pattern.len(), |e| e + 1);
    let (whole, fraction) = core.split_once('.').unwrap_or((&core, ""));
    let least = fraction.chars().filter(|c| *c == '0').count();
    let scale = if pattern[end..].contains('%') { 100.0 } else { 1.0 };
    let mut text = format!("{:.*}", fraction.len(), (x * scale).abs());
    while text.contains('.') && text.ends_with('0') && text.len() - text.find('.').unwrap_or(0) - 1 > least {
        text.pop();
    }
    let mut text = text.trim_end_matches('.').to_owned();
    let digits = whole.chars().filter(|c| *c == '0').count();
    let length = text.find('.').unwrap_or(text.len());
    if length < digits {
        text = format!("{}{text}", "0".repeat(digits - length));
    }
    if whole.contains(',') {
        text = grouped(&text);
    }
    let sign = if x < 0.0 && text.bytes().any(|b| b.is_ascii_digit() && b != b'0') { "-" } else { "" };
    format!("{sign}{}{text}{}", &pattern[..at], &pattern[end..])
}

fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    out + rest
}

/// `str.format("{0} {1,number,#.##}", ...)`.
fn format_call(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    let template = m.world.strings.get(a[0]).unwrap_or("").to_owned();
    let mut out = String::new();
    let mut rest = template.as_str();
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open].replace('\'', ""));
        let Some(close) = rest[open..].find('}') else { break };
        let inside = &rest[open + 1..open + close];
        let mut parts = inside.splitn(3, ',').map(str::trim);
        let index = parts.next().and_then(|i| i.parse::<usize>().ok());
        let _kind = parts.next();
        let pattern = parts.next();
        match index.and_then(|i| a.get(i + 1).map(|x| (i, *x))) {
            Some((i, x)) => {
                let ty = site.types.get(i + 1).cloned().unwrap_or(Ty::Float);
                // Without a pattern numbers show three decimals and thousands in groups.
                let text = match (&ty, pattern) {
                    (Ty::Float | Ty::Int, None) if !x.is_nan() => {
                        let sign = if x < 0.0 { "-" } else { "" };
                        format!("{sign}{}", grouped(&trimmed(x.abs(), 3)))
                    }
                    (Ty::Float | Ty::Int, Some("integer")) => trimmed(x.round(), 0),
                    _ => show(m, x, &ty, pattern),
                };
                out.push_str(&text);
            }
            None => {
                return Err(m.fail(format!("str.format: `{{{inside}}}` names no argument"), site.span));
            }
        }
        rest = &rest[open + close + 1..];
    }
    out.push_str(&rest.replace('\'', ""));
    Ok(m.world.strings.intern(&out))
}

/// Java's patterns, the usual letters: yyyy MM dd HH mm ss, and their short forms.
fn format_time(m: &mut Machine<'_, '_>, site: &CallSite, a: &[f64]) -> Result<f64, RunError> {
    if a[0].is_nan() {
        return Ok(m.world.strings.intern("NaN"));
    }
    let pattern = a
        .get(1)
        .filter(|f| !is_absent(**f))
        .and_then(|f| m.world.strings.get(*f))
        .unwrap_or("yyyy-MM-dd'T'HH:mm:ssZ")
        .to_owned();
    let zone = match a.get(2).filter(|z| !is_absent(**z)).and_then(|z| m.world.strings.get(*z)) {
        Some(name) => name.to_owned(),
        None => m.world.symbol.timezone.clone(),
    };
    let Some(zone) = m.world.clock.zone(&zone) else {
        return Err(m.fail(format!("unknown time zone `{zone}`"), Span { ..site.span }));
    };
    let p = zone.parts(a[0] as i64);
    let offset = zone.jiff().to_offset(jiff::Timestamp::from_millisecond(a[0] as i64).unwrap_or_default());
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            out.extend(chars.by_ref().take_while(|c| *c != '\''));
            continue;
        }
        let mut n = 1;
        while chars.next_if_eq(&c).is_some() {
            n += 1;
        }
        let padded = |x: i64| format!("{x:0n$}");
        out.push_str(&match c {
            'y' if n == 2 => format!("{:02}", p.year % 100),
            'y' => padded(p.year),
            'M' if n >= 3 => MONTHS[(p.month - 1) as usize]
                [..if n == 3 { 3 } else { MONTHS[(p.month - 1) as usize].len() }]
                .to_owned(),
            'M' => padded(p.month),
            'd' => padded(p.day),
            'H' => padded(p.hour),
            'h' => padded((p.hour + 11) % 12 + 1),
            'm' => padded(p.minute),
            's' => padded(p.second),
            'S' => padded((a[0] as i64).rem_euclid(1_000)),
            'a' => {
                if p.hour < 12 {
                    "AM".into()
                } else {
                    "PM".into()
                }
            }
            'E' => DAYS[(p.weekday - 1) as usize]
                [..if n <= 3 { 3 } else { DAYS[(p.weekday - 1) as usize].len() }]
                .to_owned(),
            'Z' | 'z' | 'X' => {
                let minutes = offset.seconds() / 60;
                format!(
                    "{}{:02}{:02}",
                    if minutes < 0 { '-' } else { '+' },
                    minutes.abs() / 60,
                    minutes.abs() % 60
                )
            }
            other => other.to_string().repeat(n),
        });
    }
    Ok(m.world.strings.intern(&out))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_the_language_shows_them() {
        for (x, format, want) in [
            (1.5, None, "1.5"),
            (2.0, None, "2"),
            (0.1 + 0.2, None, "0.3"),
            (1234.5678, Some("#.##"), "1234.57"),
            (0.5, Some("0.00"), "0.50"),
            (-0.001, Some("#.##"), "0"),
            (1234567.0, Some("#,###"), "1,234,567"),
            (0.256, Some("#.#%"), "25.6%"),
            (12.345, Some("percent"), "12.35%"),
            (101.237, Some("mintick"), "101.24"),
            (1_500_000.0, Some("volume"), "1.5M"),
        ] {
            assert_eq!(number(x, format, 0.01), want, "{x} {format:?}");
        }
    }
}
