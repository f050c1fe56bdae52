//! A trade as the feed writes it.

use super::feed::SYMBOLS;
use serde::Deserialize;

/// One trade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trade {
    /// When its message was due, nanoseconds since 1970.
    pub due: u64,
    /// Number of its symbol.
    pub symbol: u32,
    /// Its own number.
    pub number: u64,
    pub price: f64,
    pub quantity: f64,
    /// Time of the trade, ms since 1970.
    pub time_ms: u64,
}

/// For any JSON.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "E")]
    due: u64,
    #[serde(borrow)]
    s: &'a str,
    t: u64,
    #[serde(borrow)]
    p: &'a str,
    #[serde(borrow)]
    q: &'a str,
    #[serde(rename = "T")]
    time_ms: u64,
}

/// Reads a message of any form that JSON allows.
pub(super) fn read(bytes: &[u8]) -> Option<Trade> {
    let fields: Fields<'_> = serde_json::from_slice(bytes).ok()?;
    let symbol = fields.s.strip_prefix("SYM")?.parse().ok().filter(|s| (*s as usize) < SYMBOLS)?;
    let (price, quantity) = (fields.p.parse().ok()?, fields.q.parse().ok()?);
    Some(Trade { due: fields.due, symbol, number: fields.t, price, quantity, time_ms: fields.time_ms })
}

/// As [`read`], quicker on the form in which the feed writes: every byte is still looked at, and what differs is read
/// the other way.
#[inline]
pub(super) fn read_usual(bytes: &[u8]) -> Option<Trade> {
    usual(bytes).or_else(|| read(bytes))
}

fn usual(bytes: &[u8]) -> Option<Trade> {
    let mut rest = Rest(bytes);
    rest.skip(b"{\"e\":\"trade\",\"E\":")?;
    let due = rest.whole()?;
    rest.skip(b",\"s\":\"SYM")?;
    let symbol = rest.whole().filter(|s| *s < SYMBOLS as u64)? as u32;
    rest.skip(b"\",\"t\":")?;
    let number = rest.whole()?;
    rest.skip(b",\"p\":\"")?;
    let price = rest.decimal()?;
    rest.skip(b"\",\"q\":\"")?;
    let quantity = rest.decimal()?;
    rest.skip(b"\",\"T\":")?;
    let time_ms = rest.whole()?;
    rest.skip(b",\"m\":")?;
    matches!(rest.0, b"true}" | b"false}").then_some(Trade { due, symbol, number, price, quantity, time_ms })
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    #[inline(always)]
    fn skip(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// Digits and their value; at most 19, which fit.
    #[inline(always)]
    fn digits(&mut self) -> Option<(u64, usize)> {
        let (mut value, mut count) = (0_u64, 0);
        while let Some(digit) = self.0.get(count).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        }
        self.0 = &self.0[count..];
        (1..=19).contains(&count).then_some((value, count))
    }

    #[inline(always)]
    fn whole(&mut self) -> Option<u64> {
        Some(self.digits()?.0)
    }

    /// A decimal number whose digits and power of ten are both exact doubles: their quotient is the nearest one.
    #[inline(always)]
    fn decimal(&mut self) -> Option<f64> {
        const POWERS: [f64; 8] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];
        let (whole, count) = self.digits()?;
        if self.skip(b".").is_none() {
            return (count <= 15).then_some(whole as f64);
        }
        let (fraction, decimals) = self.digits()?;
        if count + decimals > 15 || decimals >= POWERS.len() {
            return None;
        }
        let power = POWERS[decimals];
        Some((whole * power as u64 + fraction) as f64 / power)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::feed::Trades, *};

    #[test]
    fn both_ways_read_the_same() {
        let trades = Trades::new(5_000);
        for number in 0..trades.len() {
            let text = trades.text(number);
            let trade = usual(text).expect("the feed's own form");
            assert_eq!((Some(trade), trade.number), (read(text), number as u64));
        }
    }

    #[test]
    fn what_is_written_otherwise_is_read_and_what_is_no_trade_is_not() {
        let usual_form = r#"{"e":"trade","E":5,"s":"SYM007","t":3,"p":"1.50","q":"2","T":9,"m":true}"#;
        let trade = usual(usual_form.as_bytes()).unwrap();
        assert_eq!((trade.symbol, trade.price, trade.quantity, trade.time_ms), (7, 1.5, 2.0, 9));
        for other in [
            r#"{ "e":"trade","E":5,"s":"SYM007","t":3,"p":"1.50","q":"2","T":9,"m":true}"#,
            r#"{"T":9,"q":"2.0","p":"1.5","t":3,"s":"SYM007","E":5,"x":[1,{}]}"#,
            r#"{"e":"trade","E":5,"s":"SYM007","t":3,"p":"0.15e1","q":"2","T":9,"m":false}"#,
            r#"{"e":"trade","E":5,"s":"SYM007","t":3,"p":"1.5000000000000000","q":"2","T":9,"m":null}"#,
        ] {
            assert_eq!(
                (usual(other.as_bytes()), read_usual(other.as_bytes())),
                (None, Some(trade)),
                "{other}"
            );
        }
        for no in [
            "",
            "{}",
            r#"{"e":"trade","E":5,"s":"SYM050","t":3,"p":"1.50","q":"2","T":9,"m":true}"#,
            r#"{"e":"trade","E":5,"s":"SYM007","t":3,"p":"","q":"2","T":9,"m":true}"#,
            r#"{"e":"trade","E":99999999999999999999,"s":"SYM007","t":3,"p":"1","q":"2","T":9,"m":true}"#,
            r#"{"e":"trade","E":5,"s":"SYM007","t":3,"p":"1.50","q":"2","T":9,"m":true"#,
        ] {
            assert_eq!(read_usual(no.as_bytes()), None, "{no}");
        }
    }
}
