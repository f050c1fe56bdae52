//! Numbers in fields, eight or sixteen bytes at a time.
//!
//! The field's bytes are read as one integer, the decimal point is closed up, and the digits are joined with
//! three multiplications. Up to 53 bits of digits over an exact power of ten need one division, which rounds
//! correctly (Clinger 1990). Everything else goes to the standard library: all values equal its reading.

/// Powers of ten that are exact doubles, as far as sixteen bytes can need them.
use crate::csv::join_eight;
const TENS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
const EXACT_MAX: u64 = 1 << 53;
const HUNDRED_MILLION: u64 = 100_000_000;

/// A field of a row: its bytes, and whatever stands before them.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub(super) buffer: &'a [u8],
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'a> Field<'a> {
    /// A text of its own as a field.
    pub fn of(text: &'a [u8]) -> Self {
        Self { buffer: text, start: 0, end: text.len() }
    }

    /// The text.
    #[inline(always)]
    pub fn bytes(&self) -> &'a [u8] {
        &self.buffer[self.start..self.end]
    }

    /// Without the `\r` of a Windows line end, which the last field of a line may have.
    #[inline(always)]
    pub(crate) fn without_return(self) -> Self {
        let returns = self.end > self.start && self.buffer[self.end - 1] == b'\r';
        Self { end: self.end - usize::from(returns), ..self }
    }

    /// The bytes as one number, when there are at most sixteen and sixteen before the field's end.
    #[inline(always)]
    pub(crate) fn key(&self) -> Option<u128> {
        match self.end - self.start {
            0 => Some(0),
            // Most names are short, and words of eight bytes are quicker than of sixteen.
            length @ 1..=8 => Some(u128::from(u64::from_le_bytes(self.tail()?) >> (8 * (8 - length)))),
            length @ 9..=16 => Some(u128::from_le_bytes(self.tail()?) >> (8 * (16 - length))),
            _ => None,
        }
    }

    /// The last `N` bytes up to the field's end, if there are so many in the buffer.
    #[inline(always)]
    fn tail<const N: usize>(&self) -> Option<[u8; N]> {
        self.buffer.get(self.end.checked_sub(N)?..self.end)?.try_into().ok()
    }
}

/// The fast way for one width of integer: bytes below the field become zero digits, the point is closed up.
/// Gives the digits' values, first digit lowest, and the places after the point.
macro_rules! digits {
    ($name:ident, $word:ty, $bytes:literal) => {
        #[inline(always)]
        fn $name(field: &Field<'_>) -> Option<($word, usize)> {
            const ONES: $word = <$word>::MAX / 0xff;
            const HIGH: $word = ONES * 0x80;
            const ZEROS: $word = ONES * 0x30;
            /// What becomes of a point where digits become their values.
            const POINT: $word = 0x2e ^ 0x30;
            let length = field.end - field.start;
            if length == 0 || length > $bytes {
                return None;
            }
            let outside = 8 * ($bytes - length);
            let values = (<$word>::from_le_bytes(field.tail()?) ^ ZEROS) >> outside << outside;
            // A digit's value plus 0x76 stays below 0x80; anything else reaches it or has its top bit set. What a
            // byte carries into the next can only make more of them.
            let others = (values.wrapping_add(ONES * 0x76) | values) & HIGH;
            if others == 0 {
                return Some((values, 0));
            }
            // The lowest bit of a byte that is no digit; the only one, and a point, or this is not the way.
            let at = others >> 7;
            let values = values ^ at.wrapping_mul(POINT);
            if others & (others - 1) != 0 || values & at.wrapping_mul(0xff) != 0 || length == 1 {
                return None;
            }
            let below = at - 1;
            let closed = values & !below | (values & below) << 8;
            Some((closed, others.leading_zeros() as usize / 8))
        }
    };
}

digits!(eight, u64, 8);
digits!(sixteen, u128, 16);

#[inline(always)]
fn join_sixteen(values: u128) -> u64 {
    join_eight(values as u64) * HUNDRED_MILLION + join_eight((values >> 64) as u64)
}

/// A decimal (`12`, `-0.5`, `42123.45`, `1e5`), rounded correctly; none for anything else, `nan` and `inf`
/// included.
#[inline(always)]
pub fn decimal(field: Field<'_>) -> Option<f64> {
    if let Some((values, places)) = eight(&field) {
        return Some(join_eight(values) as f64 / TENS[places]);
    }
    if let Some((values, places)) = sixteen(&field) {
        let digits = join_sixteen(values);
        if digits <= EXACT_MAX {
            return Some(digits as f64 / TENS[places]);
        }
    }
    slow_decimal(field.bytes())
}

#[cold]
fn slow_decimal(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text.strip_suffix(b"\r").unwrap_or(text)).ok()?;
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E');
    if !text.bytes().all(plain) {
        return None;
    }
    text.parse().ok()
}

/// The digits in the last `length` bytes (1 to 8) of eight, as a number; none when there is anything else among them.
#[inline(always)]
fn joined_digits(word: [u8; 8], length: usize) -> Option<u64> {
    const ONES: u64 = u64::MAX / 0xff;
    let keep = u64::MAX << (8 * (8 - length));
    let values = (u64::from_le_bytes(word) ^ (ONES * 0x30)) & keep;
    // A digit's value plus 0x76 stays below 0x80; anything else reaches it or has its top bit set.
    let other = (values.wrapping_add(ONES * 0x76) | values) & (ONES * 0x80);
    (other == 0).then(|| join_eight(values))
}

/// A whole number; none for anything else or beyond 64 bits.
#[inline(always)]
pub fn whole(field: Field<'_>) -> Option<i64> {
    let fast = || {
        let length = field.end - field.start;
        let low = field.tail()?;
        match length {
            1..=8 => joined_digits(low, length),
            9..=16 => {
                let above = Field { end: field.end - 8, ..field };
                let high = joined_digits(above.tail()?, length - 8)?;
                Some(high * HUNDRED_MILLION + joined_digits(low, 8)?)
            }
            _ => None,
        }
    };
    match fast() {
        Some(number) => Some(number.cast_signed()),
        None => slow_whole(field.bytes()),
    }
}

#[cold]
fn slow_whole(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text.strip_suffix(b"\r").unwrap_or(text)).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same text as a field with room before it, and without.
    fn fields(text: &str, run: impl Fn(Field<'_>)) {
        run(Field::of(text.as_bytes()));
        for before in ["xxxxxxxxxxxxxxxx", "9", "999999999,.12345678901,"] {
            let all = format!("{before}{text}");
            run(Field { buffer: all.as_bytes(), start: before.len(), end: all.len() });
        }
    }

    fn check(text: &str) {
        let want: Option<f64> = text.parse().ok().filter(|_: &f64| text.bytes().any(|b| b.is_ascii_digit()));
        fields(text, |f| assert_eq!(decimal(f).map(f64::to_bits), want.map(f64::to_bits), "{text}"));
        let want: Option<i64> = text.parse().ok();
        fields(text, |f| assert_eq!(whole(f), want, "{text}"));
    }

    #[test]
    fn equals_the_standard_library() {
        for text in [
            "0",
            "5.",
            ".5",
            ".",
            "",
            "-",
            "-0.0",
            "1",
            "12345678",
            "1234567.",
            ".1234567",
            "42123.45",
            "1..2",
            "1.2.3",
            "123456789",
            "123456789.123456",
            "9007199254740993",
            "9007199254740992",
            "9999999999999999",
            "0.30000000000000016",
            "-7",
            "+7",
            "1e5",
            "1,5",
            "é",
            "1é.5",
            "1.5é2",
            "12 ",
            " 12",
            "/",
            ":",
            "1:",
            "12345678901234567890",
            "-9223372036854775808",
        ] {
            check(text);
        }
        fields("12.5\r", |f| assert_eq!(decimal(f), Some(12.5)));
        fields("12\r", |f| assert_eq!(whole(f), Some(12)));
        for text in ["nan", "inf", "infinity", "NaN"] {
            fields(text, |f| assert_eq!(decimal(f), None));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn plain_decimals_are_bit_exact(text in "-?[0-9]{0,18}(\\.[0-9]{0,12})?") {
            check(&text);
        }

        #[test]
        fn any_text_is_read_alike(text in "[0-9.eE+-]{0,18}") {
            check(&text);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), from in 0usize..40) {
            let start = from.min(bytes.len());
            let field = Field { buffer: &bytes, start, end: bytes.len() };
            let _ = (decimal(field), whole(field), field.bytes());
        }
    }
}
