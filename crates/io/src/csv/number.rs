//! Decimal numbers, digit by digit.
//!
//! Up to 53 bits of digits over a power of ten that a double holds exactly need one division, which rounds
//! correctly (Clinger 1990, the fast path). All else goes to the standard library, which rounds correctly
//! too: every value equals `str::parse::<f64>` bit for bit.

/// Powers of ten that are exact doubles.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
const SMALL_TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Zero bytes that must follow the text of a buffer, so that eight bytes can be read anywhere in it.
pub(super) const PADDING: usize = 32;

/// Eight bytes from `at`, the first one lowest; zeros past the end.
#[inline(always)]
pub(super) fn eight(buf: &[u8], at: usize) -> u64 {
    match buf.get(at..at + 8).and_then(|b| b.try_into().ok()) {
        Some(bytes) => u64::from_le_bytes(bytes),
        None => 0,
    }
}

/// How many of the eight bytes, from the first, are digits; and the bytes less `'0'`.
#[inline(always)]
fn leading_digits(bytes: u64) -> (u32, u64) {
    let values = bytes ^ 0x3030_3030_3030_3030;
    // A digit's value plus 0x76 stays below 0x80; anything else reaches it or has its top bit set.
    let other = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    (other.trailing_zeros() / 8, values)
}

/// The number that eight digit values spell, the lowest byte being the first digit.
#[inline(always)]
pub(crate) fn join_eight(values: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let high = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

/// Reads digits from `at` onto `value`. Returns the new value (wrapped when too long) and the place after.
#[inline(always)]
pub(super) fn digits(buf: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    loop {
        let (count, values) = leading_digits(eight(buf, at));
        match count {
            0 => return (value, at),
            8 => value = value.wrapping_mul(SMALL_TENS[8]).wrapping_add(join_eight(values)),
            _ => {
                let joined = join_eight(values << (64 - 8 * count));
                return (
                    value.wrapping_mul(SMALL_TENS[count as usize]).wrapping_add(joined),
                    at + count as usize,
                );
            }
        }
        at += 8;
    }
}

/// Reads a plain decimal (`-12.5`, no exponent) from `at`; the value and the place after it. None when
/// there is no digit. What follows the number is the caller's to judge.
#[inline(always)]
pub(super) fn scan(buf: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = buf.get(at) == Some(&b'-');
    let start = at + usize::from(negative);
    let (whole, mut end) = digits(buf, start, 0);
    let (mut mantissa, mut places, mut count) = (whole, 0, end - start);
    if buf.get(end) == Some(&b'.') {
        let fraction = end + 1;
        (mantissa, end) = digits(buf, fraction, whole);
        places = end - fraction;
        count += places;
    }
    if count == 0 {
        return None;
    }
    if count > 19 || mantissa > 1 << 53 || places > 22 {
        return parse(&buf[at..end]).map(|x| (x, end));
    }
    let value = mantissa as f64 / TENS[places];
    Some((if negative { -value } else { value }, end))
}

/// Reads a plain decimal that fills `buf[start..end]`. None when it is anything else: that is for [`parse`] to judge.
///
/// The bytes of the field are taken by its end, the point is cut out, and what is left is joined as one number, so
/// that nothing waits for the places of digits to be counted.
#[inline(always)]
pub(super) fn field(buf: &[u8], start: usize, end: usize) -> Option<f64> {
    let count = end.wrapping_sub(start);
    let window = end.checked_sub(16).and_then(|at| buf.get(at..end)?.first_chunk::<16>());
    match (count, window) {
        (1..=8, Some(window)) => short_field(last_word(window), 64 - 8 * count as u32),
        (9..=16, Some(window)) => {
            let both = u128::from_le_bytes(*window);
            long_field(both as u64, last_word(window), 128 - 8 * count as u32)
        }
        (1.., _) => scan(buf, start).filter(|(_, stop)| *stop == end).map(|(value, _)| value),
        _ => None,
    }
}

#[inline(always)]
fn last_word(window: &[u8; 16]) -> u64 {
    (u128::from_le_bytes(*window) >> 64) as u64
}

/// The top bit of each byte that is no digit; `values` are bytes less `'0'`. Exact up to the first such byte, and there
/// is none where it says so.
#[inline(always)]
fn strangers(values: u64) -> u64 {
    (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080
}

/// Eight bytes less `'0'` without the `foreign` lowest bits, which belong to something else.
#[inline(always)]
fn own_values(bytes: u64, foreign: u32) -> u64 {
    (bytes ^ 0x3030_3030_3030_3030) >> foreign << foreign
}

/// Values with the one byte cut out that is no digit, and how many digits stand behind it. None unless it is a point,
/// and the only such byte.
#[inline(always)]
fn cut_point(values: u64, strangers: u64) -> Option<(u64, usize)> {
    let point = strangers.trailing_zeros() & !7;
    if strangers & (strangers - 1) != 0 || (values >> point) as u8 != POINT {
        return None;
    }
    let before = values & !(u64::MAX << point);
    Some(((before << 8) | (values & (!0xff << point)), 7 - (point / 8) as usize))
}

/// A field of up to eight bytes, highest in `bytes`.
#[inline(always)]
fn short_field(bytes: u64, foreign: u32) -> Option<f64> {
    let values = own_values(bytes, foreign);
    let strangers = strangers(values);
    if strangers == 0 {
        return Some(join_eight(values) as f64);
    }
    let (digits, places) = cut_point(values, strangers)?;
    // A point alone is no number.
    (foreign != 56).then(|| join_eight(digits) as f64 / TENS[places & 7])
}

/// A field of nine to sixteen bytes, the last eight of them in `last`: up to fifteen digits and a point, or sixteen
/// digits that fit a double.
#[inline(always)]
fn long_field(first: u64, last: u64, foreign: u32) -> Option<f64> {
    let (first, last) = (own_values(first, foreign), own_values(last, 0));
    let (before, behind) = (strangers(first), strangers(last));
    if behind == 0 {
        let (first, places) = if before == 0 {
            (first, 0)
        } else {
            let (digits, places) = cut_point(first, before)?;
            (digits, 8 + places)
        };
        let value = join_eight(first) * SMALL_TENS[8] + join_eight(last);
        return (value <= 1 << 53).then(|| value as f64 / TENS[places & 15]);
    }
    let (digits, places) = cut_point(last, behind).filter(|_| before == 0)?;
    Some((join_eight(first) * SMALL_TENS[7] + join_eight(digits)) as f64 / TENS[places & 7])
}

/// A point less `'0'`, bit by bit.
const POINT: u8 = b'.' ^ b'0';

/// Reads a whole text, exponents included; not `inf` or `nan`.
pub(crate) fn parse(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E')) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scanned(text: &str) -> Option<(f64, usize)> {
        let mut buf = text.as_bytes().to_vec();
        buf.resize(buf.len() + PADDING, 0);
        scan(&buf, 0)
    }

    fn check(text: &str) {
        let want: f64 = text.parse().unwrap();
        let (got, end) = scanned(text).unwrap();
        assert_eq!((got.to_bits(), end), (want.to_bits(), text.len()), "{text}");
    }

    #[test]
    fn equals_the_standard_library() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "1",
            "16531.83",
            "231.05338022",
            "0.1",
            ".5",
            "5.",
            "9007199254740993",
            "9007199254740992",
            "123456789012345678901234567890",
            "0.00000000000000000000000001",
            "12345678.12345678",
            "123456789.123456789",
            "1.7976931348623157",
            "99999999",
            "00000000000000000001",
            "0.3000000000000000166533453694",
            "18446744073709551616",
        ] {
            check(text);
        }
    }

    #[test]
    fn stops_at_what_is_no_number() {
        assert_eq!(scanned("12.5,7"), Some((12.5, 4)));
        assert_eq!(scanned("1e5"), Some((1.0, 1)));
        for text in ["", "-", ".", "abc", "-x", "+1", "/", ":"] {
            assert_eq!(scanned(text), None, "{text}");
        }
        for text in ["inf", "nan", "NaN", "infinity", "1_000", "", "1,5", "é"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"1.5e3"), Some(1500.0));
    }

    /// `text` as a field behind other bytes, with more behind it.
    fn in_a_row(before: &[u8], text: &[u8]) -> Option<f64> {
        let buf = [before, text, b",7\n", &[0; PADDING]].concat();
        field(&buf, before.len(), before.len() + text.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn fields_are_read_like_whole_texts(
            before in proptest::collection::vec(any::<u8>(), 0..24), text in "[0-9]{0,15}(\\.[0-9]{0,12})?",
            odd in any::<u8>(), place in any::<prop::sample::Index>(),
        ) {
            let bits = |x: Option<f64>| x.map(f64::to_bits);
            prop_assert_eq!(bits(in_a_row(&before, text.as_bytes())), bits(parse(text.as_bytes())), "{}", text);
            // One byte of another kind: refused, or read the same.
            let mut text = text.into_bytes();
            if !text.is_empty() {
                let at = place.index(text.len());
                text[at] = odd;
            }
            if let Some(value) = in_a_row(&before, &text) {
                prop_assert_eq!(Some(value.to_bits()), bits(parse(&text)), "{:?}", text);
            }
        }

        #[test]
        fn plain_decimals_are_bit_exact(text in "-?[0-9]{1,22}(\\.[0-9]{0,25})?") {
            check(&text);
        }

        #[test]
        fn shortest_forms_come_back(x in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
            let text = format!("{x}");
            prop_assert_eq!(scanned(&text).unwrap().0.to_bits(), x.to_bits());
            prop_assert_eq!(parse(format!("{x:e}").as_bytes()).unwrap().to_bits(), x.to_bits());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = scan(&bytes, 0);
            let _ = parse(&bytes);
        }
    }
}
