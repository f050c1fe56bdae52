//! How numbers look as text: two formatters, as on TradingView, whose results are the test data here (measured
//! there by PyneCore's authors). `str.tostring` rounds the shortest digits that read back as the number, half
//! up; `str.format` is Java's DecimalFormat, which rounds the number's exact value, half to even.

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// `str.tostring`.
    Digits,
    /// `str.format`.
    Exact,
}

/// A number as `str.tostring` shows it, by the language's named formats or a pattern.
pub(super) fn to_text(x: f64, format: Option<&str>, mintick: f64) -> String {
    match format {
        None | Some("" | "inherit" | "price") => by_pattern(x, "#.##########", Rounding::Digits),
        Some("mintick") => {
            let digits = (0..=10)
                .find(|d| ((mintick * 10f64.powi(*d)).round() - mintick * 10f64.powi(*d)).abs() < 1e-9)
                .unwrap_or(2);
            format!("{:.*}", digits as usize, (x / mintick).round() * mintick)
        }
        Some("percent") => format!("{}%", by_pattern(x, "#.##", Rounding::Digits)),
        Some("volume") => {
            let (x, unit) = match x.abs() {
                v if v >= 1e9 => (x / 1e9, "B"),
                v if v >= 1e6 => (x / 1e6, "M"),
                v if v >= 1e3 => (x / 1e3, "K"),
                _ => (x, ""),
            };
            format!("{}{unit}", by_pattern(x, "#.###", Rounding::Digits))
        }
        Some(pattern) => by_pattern(x, pattern, Rounding::Digits),
    }
}

/// A number within `str.format`, by a style's name or a pattern.
pub(super) fn in_message(x: f64, style: &str) -> String {
    match style.trim().to_ascii_lowercase().as_str() {
        "" => by_pattern(x, "#,##0.###", Rounding::Exact),
        "integer" => by_pattern(x, "#,##0", Rounding::Exact),
        "currency" => by_pattern(x, "$#,##0.00", Rounding::Exact),
        "percent" => by_pattern(x, "#,##0%", Rounding::Exact),
        // A pattern keeps its spaces.
        _ => by_pattern(x, style, Rounding::Exact),
    }
}

/// A pattern's text before and behind its digits, and those.
struct Pattern {
    before: String,
    digits: String,
    behind: String,
}

impl Pattern {
    /// Reads one pattern; what stands in single quotes is text, `''` is a quote.
    fn read(text: &str) -> Self {
        let mut marked: Vec<(char, bool)> = Vec::new();
        let mut quoted = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.next_if_eq(&'\'').is_some() => marked.push(('\'', false)),
                '\'' => quoted = !quoted,
                _ => marked.push((c, !quoted && matches!(c, '#' | '0' | '.' | ','))),
            }
        }
        let is_digit = |(_, digit): &(char, bool)| *digit;
        let first = marked.iter().position(is_digit).unwrap_or(marked.len());
        let end = marked.iter().rposition(is_digit).map_or(first, |k| k + 1);
        let part = |range: std::ops::Range<usize>| marked[range].iter().map(|(c, _)| *c).collect();
        Self { before: part(0..first), digits: part(first..end), behind: part(end..marked.len()) }
    }
}

/// A number by a pattern such as `#,##0.00`; the part behind a `;` is for negative numbers.
fn by_pattern(x: f64, pattern: &str, rounding: Rounding) -> String {
    let (positive, negative) = match pattern.split_once(';') {
        Some((a, b)) => (a, Some(b)),
        None => (pattern, None),
    };
    let below = x < 0.0;
    let own = negative.filter(|_| below);
    let Pattern { before, digits, behind } = Pattern::read(own.unwrap_or(positive));
    let scale = if behind.contains('%') { 100.0 } else { 1.0 };
    let text = magnitude((x * scale).abs(), &digits, rounding);
    let zero = !text.bytes().any(|b| b.is_ascii_digit() && b != b'0');
    let sign = if below && own.is_none() && !zero { "-" } else { "" };
    format!("{sign}{before}{text}{behind}")
}

fn magnitude(x: f64, digits: &str, rounding: Rounding) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let needed = |part: &str| part.bytes().filter(|b| *b == b'0').count();
    let (least_whole, least) = (needed(whole), needed(fraction));
    let most = fraction.bytes().filter(|b| *b != b',').count();
    let mut text = rounded(x, most, rounding);
    let kept = |t: &str| t.find('.').map_or(0, |dot| t.len() - dot - 1);
    while kept(&text) > least && text.ends_with('0') {
        text.pop();
    }
    let (int, frac) = match text.trim_end_matches('.').split_once('.') {
        Some((int, frac)) => (int.to_owned(), format!(".{frac}")),
        None => (text.trim_end_matches('.').to_owned(), String::new()),
    };
    // A digit that no `0` asks for is left out when it is 0, unless the pattern asks for none at all.
    let int = match int.as_str() {
        "0" if least_whole == 0 && least > 0 => String::new(),
        int => format!("{}{int}", "0".repeat(least_whole.saturating_sub(int.len()))),
    };
    let size = whole.rfind(',').map_or(0, |k| whole.len() - k - 1);
    format!("{}{frac}", grouped(&int, size))
}

fn grouped(int: &str, size: usize) -> String {
    let mut out = String::new();
    for (i, c) in int.chars().enumerate() {
        if size > 0 && i > 0 && (int.len() - i).is_multiple_of(size) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// At most so many decimals; 16 where Java writes the number without an exponent.
fn rounded(x: f64, decimals: usize, rounding: Rounding) -> String {
    let cap = if x >= 1e-3 { 16.min(decimals) } else { decimals };
    let text = match rounding {
        Rounding::Exact => format!("{x:.cap$}"),
        Rounding::Digits => half_up(&format!("{x}"), cap),
    };
    // What the cap cut off are zeros.
    match decimals - cap {
        0 => text,
        zeros => format!("{text}{}{}", if text.contains('.') { "" } else { "." }, "0".repeat(zeros)),
    }
}

/// Rounds decimal digits, half up.
fn half_up(text: &str, decimals: usize) -> String {
    let (int, frac) = text.split_once('.').unwrap_or((text, ""));
    let mut digits: Vec<u8> =
        int.bytes().chain(frac.bytes().chain(std::iter::repeat(b'0')).take(decimals)).collect();
    if frac.as_bytes().get(decimals).is_some_and(|d| *d >= b'5') {
        let mut k = digits.len();
        loop {
            match k.checked_sub(1) {
                None => {
                    digits.insert(0, b'1');
                    break;
                }
                Some(at) if digits[at] == b'9' => digits[at] = b'0',
                Some(at) => {
                    digits[at] += 1;
                    break;
                }
            }
            k -= 1;
        }
    }
    let at = digits.len() - decimals;
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    if decimals == 0 { text(&digits) } else { format!("{}.{}", text(&digits[..at]), text(&digits[at..])) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M20: &str = "#.####################";

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
            (-3.5, Some("+#.#;(#.#)"), "(3.5)"),
            (3.5, Some("'#'#.#"), "#3.5"),
            (7.0, Some("000.0"), "007.0"),
        ] {
            assert_eq!(to_text(x, format, 0.01), want, "{x} {format:?}");
        }
    }

    #[test]
    fn the_digits_of_to_string() {
        for (x, pattern, want) in [
            (0.1, M20, "0.1"),
            (1.0 / 3.0, M20, "0.3333333333333333"),
            (-36.51483716701107, "#.################", "-36.51483716701107"),
            (123_456_789.123_456_79, "#.##########", "123456789.12345679"),
            (0.1 + 0.2, M20, "0.3"),
            (0.001234567890123456, M20, "0.0012345678901235"),
            (0.009999999999999998, M20, "0.01"),
            (0.1 + 0.7, M20, "0.7999999999999999"),
            (0.00012345678901234567, M20, "0.00012345678901234567"),
            (0.0009999999999999998, M20, "0.0009999999999999998"),
            (1e-17, M20, "0.00000000000000001"),
            (2.675, "#.##", "2.68"),
            (2.675, "#.00", "2.68"),
            (4.35, "#.#", "4.4"),
            (-0.25, "#.#", "-0.3"),
            (0.5, "#", "1"),
            (2.5, "#", "3"),
            (123.456, "#", "123"),
            (0.5, "#.#", "0.5"),
            (0.5, "#.0", ".5"),
            (-0.5, "#.0", "-.5"),
            (0.05, "#.0", ".1"),
            (0.5, "0.#", "0.5"),
            (0.0, "#.0", ".0"),
            (123.0, "#.0", "123.0"),
            (0.1, "#.00000000000000000000", ".10000000000000000000"),
            (0.0, "#.##", "0"),
            (1e21, "#.##", "1000000000000000000000"),
            (99999.99999999999999, M20, "100000"),
            (9.999, "#.##", "10"),
        ] {
            assert_eq!(to_text(x, Some(pattern), 0.01), want, "{x} {pattern}");
        }
    }

    #[test]
    fn the_digits_of_format() {
        for (x, style, want) in [
            (0.1, M20, "0.1"),
            (1.0 / 3.0, M20, "0.3333333333333333"),
            (0.30000000000000004, M20, "0.3"),
            (0.001234567890123456, M20, "0.0012345678901235"),
            (0.12345678901234567, M20, "0.1234567890123457"),
            (2.675, "#.##", "2.67"),
            (0.5, "#", "0"),
            (2.5, "#", "2"),
            (0.75, "#.#", "0.8"),
            (0.5, "#.0", ".5"),
            (0.05, "#.#", "0.1"),
            (1.234, " #.# ", " 1.2 "),
            (1.34, " integer", "1"),
            (1_340_000.0, "currency", "$1,340,000.00"),
            (0.1, "percent", "10%"),
            (1.23456789, "", "1.235"),
            (1_234_567.0, "", "1,234,567"),
        ] {
            assert_eq!(in_message(x, style), want, "{x} {style:?}");
        }
    }
}
