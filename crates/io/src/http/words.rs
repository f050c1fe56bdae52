//! What an answer's headers say about limits: when to come back, and what is left.

use hyper::header::{HeaderMap, HeaderName};
use jiff::Timestamp;
use springtide_runtime::limit::{Left, Unit};
use std::time::Duration;

/// Units of model providers' token limits.
pub const TOKENS: Unit = Unit::new("tokens");
/// Tokens sent, where they are counted apart.
pub const INPUT_TOKENS: Unit = Unit::new("input-tokens");
/// Tokens received, where they are counted apart.
pub const OUTPUT_TOKENS: Unit = Unit::new("output-tokens");
/// Exchanges' request weight.
pub const WEIGHT: Unit = Unit::new("weight");

/// The wait that an answer asks for: `retry-after-ms`, or `Retry-After` in seconds (also fractions, which some
/// send) or as a date.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if let Some(ms) = text(headers, "retry-after-ms").and_then(|t| t.trim().parse::<f64>().ok()) {
        return seconds(ms / 1_000.0);
    }
    let value = text(headers, "retry-after")?.trim();
    if let Ok(number) = value.parse::<f64>() {
        return seconds(number);
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(until(at, now))
}

/// Whether the answer says itself that asking again is (not) worth it.
pub fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match text(headers, "x-should-retry")? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// What is left by the other side's count, from whichever of the usual families of headers is there:
///
/// - `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, reset as
///   RFC 3339: comes back evenly;
/// - `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, reset as `6m0s` or `20ms`: comes back evenly;
/// - `x-ratelimit-{limit,remaining,reset}` and `x-rate-limit-*`, reset in seconds, or as epoch seconds: a window;
/// - `x-mbx-used-weight-1m` with `weight_per_minute` known from configuration: a window that ends with the minute
///   of the answer's `Date`.
pub fn left(headers: &HeaderMap, weight_per_minute: Option<u64>, now: Timestamp) -> Vec<Left> {
    let mut found = Vec::new();
    anthropic(headers, now, &mut found);
    by_unit(headers, &mut found);
    if found.is_empty() {
        found.extend(plain(headers, now));
    }
    found.extend(weight_per_minute.and_then(|limit| used_weight(headers, limit, now)));
    found
}

fn anthropic(headers: &HeaderMap, now: Timestamp, found: &mut Vec<Left>) {
    for (name, unit) in [
        ("requests", Unit::REQUESTS),
        ("tokens", TOKENS),
        ("input-tokens", INPUT_TOKENS),
        ("output-tokens", OUTPUT_TOKENS),
    ] {
        let part = |part: &str| text(headers, &format!("anthropic-ratelimit-{name}-{part}"));
        let Some(left) = part("remaining").and_then(|t| t.parse().ok()) else { continue };
        let Some(at) = part("reset").and_then(|t| t.parse::<Timestamp>().ok()) else { continue };
        let limit = part("limit").and_then(|t| t.parse().ok());
        found.push(Left { unit, left, resets_in: until(at, now), limit, evenly: true });
    }
}

fn by_unit(headers: &HeaderMap, found: &mut Vec<Left>) {
    for (name, unit) in [("requests", Unit::REQUESTS), ("tokens", TOKENS)] {
        let part = |part: &str| text(headers, &format!("x-ratelimit-{part}-{name}"));
        let Some(left) = part("remaining").and_then(|t| t.parse().ok()) else { continue };
        let Some(resets_in) = part("reset").and_then(span) else { continue };
        let limit = part("limit").and_then(|t| t.parse().ok());
        found.push(Left { unit, left, resets_in, limit, evenly: true });
    }
}

fn plain(headers: &HeaderMap, now: Timestamp) -> Option<Left> {
    ["x-ratelimit", "x-rate-limit", "ratelimit"].into_iter().find_map(|family| {
        let part = |part: &str| text(headers, &format!("{family}-{part}"))?.trim().parse::<f64>().ok();
        let left = whole(part("remaining")?)?;
        let reset = part("reset")?;
        // An epoch or a number of seconds: no window is thirty years long.
        let resets_in = if reset > 1e9 { seconds(reset - now.as_second() as f64)? } else { seconds(reset)? };
        let limit = part("limit").and_then(whole);
        Some(Left { unit: Unit::REQUESTS, left, resets_in, limit, evenly: false })
    })
}

fn used_weight(headers: &HeaderMap, limit: u64, now: Timestamp) -> Option<Left> {
    let used: u64 = text(headers, "x-mbx-used-weight-1m")?.parse().ok()?;
    let server = text(headers, "date")
        .and_then(|t| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(t).ok())
        .unwrap_or(now);
    let resets_in = Duration::from_secs(60 - server.as_second().rem_euclid(60) as u64);
    Some(Left {
        unit: WEIGHT,
        left: limit.saturating_sub(used),
        resets_in,
        limit: Some(limit),
        evenly: false,
    })
}

/// `1h2m3.5s`, `20ms`, or plain seconds.
fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return seconds(number);
    }
    let mut total = 0.0;
    let mut rest = Some(text).filter(|text| !text.is_empty())?;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        total += number
            * match &rest[digits..unit_end] {
                "d" => 86_400.0,
                "h" => 3_600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    seconds(total)
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number.max(0.0)).ok()
}

fn whole(number: f64) -> Option<u64> {
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(HeaderName::from_bytes(name.as_bytes()).ok()?)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2025-01-01T00:00:10Z";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn left_of(pairs: &[(&'static str, &str)]) -> Vec<Left> {
        left(&headers(pairs), Some(6_000), NOW.parse().unwrap())
    }

    #[test]
    fn when_to_come_back() {
        let after = |name, value| retry_after(&headers(&[(name, value)]), NOW.parse().unwrap());
        assert_eq!(after("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(after("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(after("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(after("retry-after", "Wed, 01 Jan 2025 00:01:00 GMT"), Some(Duration::from_secs(50)));
        assert_eq!(after("retry-after", "Wed, 01 Jan 2025 00:00:00 GMT"), Some(Duration::ZERO));
        for nonsense in ["soon", "-", "1e400", "nan"] {
            assert!(after("retry-after", nonsense).is_none_or(|wait| wait.is_zero()), "{nonsense}");
        }
    }

    #[test]
    fn spans_are_read() {
        for (text, ms) in
            [("1s", 1_000), ("6m0s", 360_000), ("20ms", 20), ("1h0m0.5s", 3_600_500), ("2", 2_000)]
        {
            assert_eq!(span(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for nonsense in ["", "s", "1x", "m1", "5m3"] {
            assert_eq!(span(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn model_providers_say_what_is_left() {
        let found = left_of(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2025-01-01T00:00:11Z"),
            ("anthropic-ratelimit-input-tokens-limit", "20000"),
            ("anthropic-ratelimit-input-tokens-remaining", "1000"),
            ("anthropic-ratelimit-input-tokens-reset", "2025-01-01T00:01:07Z"),
        ]);
        let resets_in = Duration::from_secs(1);
        assert_eq!(
            found[0],
            Left { unit: Unit::REQUESTS, left: 49, resets_in, limit: Some(50), evenly: true }
        );
        assert_eq!((found[1].unit, found[1].left, found[1].resets_in.as_secs()), (INPUT_TOKENS, 1_000, 57));
        let found = left_of(&[
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6ms"),
        ]);
        let resets_in = Duration::from_millis(6);
        assert_eq!(
            found,
            [Left { unit: TOKENS, left: 149_984, resets_in, limit: Some(150_000), evenly: true }]
        );
    }

    #[test]
    fn exchanges_say_what_is_left() {
        let found = left_of(&[("x-mbx-used-weight-1m", "5990"), ("date", "Wed, 01 Jan 2025 00:00:42 GMT")]);
        let resets_in = Duration::from_secs(18);
        assert_eq!(found, [Left { unit: WEIGHT, left: 10, resets_in, limit: Some(6_000), evenly: false }]);
        let found = left_of(&[("x-rate-limit-remaining", "3"), ("x-rate-limit-reset", "1735689670")]);
        assert_eq!((found[0].left, found[0].resets_in.as_secs()), (3, 60));
        assert!(left_of(&[("x-ratelimit-remaining", "many")]).is_empty());
    }
}
