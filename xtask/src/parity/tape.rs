//! Trade lists as TradingView exports them.

use springtide_domain::BarsView;
use springtide_engine::Trade;
use std::collections::BTreeMap;

/// A closed trade: times in epoch minutes, prices in ticks, quantity in millionths or 0 where it is not compared.
pub type Fill = (i64, i64, i64, i64, i64);

/// One side of a trade: time, price, quantity.
type Half = (i64, i64, i64);

/// How an export writes times and prices.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Minutes that times without an offset are ahead of UTC.
    pub ahead_minutes: i64,
    pub mintick: f64,
    /// Whether quantities are compared.
    pub quantities: bool,
}

impl Format {
    fn ticks(&self, price: f64) -> i64 {
        (price / self.mintick).round() as i64
    }

    fn millionths(&self, qty: f64) -> i64 {
        if self.quantities { (qty * 1e6).round() as i64 } else { 0 }
    }

    /// Closed trades of an export: two rows each; the last may still be open and is left out.
    pub fn read(&self, text: &str) -> Vec<Fill> {
        let mut halves: BTreeMap<u32, [Option<Half>; 2]> = BTreeMap::new();
        for line in text.lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let (Some(number), Some(kind), Some(time)) = (
                cells.first().and_then(|n| n.parse().ok()),
                cells.get(1),
                cells.get(2).and_then(|t| minutes(t, self.ahead_minutes)),
            ) else {
                continue;
            };
            // A signal may hold commas: the numbers are found from the right, eleven columns from the end.
            let number_at =
                |back: usize| cells.len().checked_sub(back).and_then(|k| cells[k].parse::<f64>().ok());
            // An open trade is shown as if it left at the last price, with the signal "Open" or none.
            let open = cells.contains(&"Open") || cells.get(3) == Some(&"");
            if let (Some(price), Some(qty), false) = (number_at(11), number_at(10), open) {
                halves.entry(number).or_default()[usize::from(kind.starts_with("Exit"))] =
                    Some((time, self.ticks(price), self.millionths(qty)));
            }
        }
        halves
            .into_values()
            .filter_map(|[entry, exit]| entry.zip(exit))
            .map(|(entry, exit)| (entry.0, entry.1, exit.0, exit.1, exit.2))
            .collect()
    }

    /// Fills at prices that their bars, of those there are, never saw.
    pub fn outside(&self, tape: &[Fill], bars: &BarsView<'_>) -> usize {
        let beyond = |&(time, price): &(i64, i64)| {
            let at = bars.time.binary_search(&(time * 60_000));
            at.is_ok_and(|i| price < self.ticks(bars.low[i]) - 1 || price > self.ticks(bars.high[i]) + 1)
        };
        tape.iter().flat_map(|f| [(f.0, f.1), (f.2, f.3)]).filter(beyond).count()
    }

    /// Our trades in the same terms.
    pub fn ours(&self, trades: &[Trade], bars: &BarsView<'_>) -> Vec<Fill> {
        let minute = |bar: u32| bars.time[bar as usize] / 60_000;
        let fill = |t: &Trade| {
            let (entry, exit) = (self.ticks(t.entry_price), self.ticks(t.exit_price));
            (minute(t.entry_bar), entry, minute(t.exit_bar), exit, self.millionths(t.qty))
        };
        trades.iter().map(fill).collect()
    }
}

/// Trades of the export that are not among ours; several equal ones must all be there.
pub fn missing(tape: &[Fill], ours: &[Fill]) -> Vec<Fill> {
    let mut stock: BTreeMap<Fill, i32> = BTreeMap::new();
    ours.iter().for_each(|t| *stock.entry(*t).or_default() += 1);
    let lacks = |t: &&Fill| {
        let left = stock.entry(**t).or_default();
        *left -= 1;
        *left < 0
    };
    tape.iter().filter(lacks).copied().collect()
}

/// `2025-03-31 14:15` or `2025-03-31T14:15:00-0500` as minutes since the epoch, UTC.
pub fn minutes(text: &str, ahead_minutes: i64) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (y, m, d) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute) = (number(11..13)?, number(14..16)?);
    let ahead = match text.get(19..) {
        None | Some("") => ahead_minutes,
        Some(offset) => {
            let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
            let size = digits.get(..2)?.parse::<i64>().ok()? * 60 + digits.get(2..4)?.parse::<i64>().ok()?;
            if offset.starts_with('-') { -size } else { size }
        }
    };
    let (y, m) = if m <= 2 { (y - 1, m + 9) } else { (y, m - 3) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + d - 1 - 719_468;
    Some(days * 1_440 + hour * 60 + minute - ahead)
}

/// A fill for people.
pub fn shown(fill: &Fill, format: Format) -> String {
    let time = |minutes: i64| {
        let (days, minute) = (minutes.div_euclid(1_440), minutes.rem_euclid(1_440));
        // Civil date from days, the inverse of the above.
        let z = days + 719_468;
        let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
        let year = yoe + era * 400 + i64::from(month <= 2);
        format!("{year}-{month:02}-{day:02} {:02}:{:02}", minute / 60, minute % 60)
    };
    let price = |ticks: i64| ticks as f64 * format.mintick;
    let qty = if format.quantities { format!(", {} contracts", fill.4 as f64 / 1e6) } else { String::new() };
    format!("{} at {:.6} to {} at {:.6}{qty}", time(fill.0), price(fill.1), time(fill.2), price(fill.3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CENTS: Format = Format { ahead_minutes: 480, mintick: 0.01, quantities: true };

    #[test]
    fn reads_an_export() {
        let tape = "h\n1,Exit long,2025-03-31 14:15,a,1804.12,1,1,1,1,1,1,1,1,1,1\n1,Entry long,2025-03-31 13:15,b,1811.96,1,1,1,1,1,1,1,1,1,1\n";
        let read = CENTS.read(tape);
        assert_eq!(read, [(29_056_635, 181_196, 29_056_695, 180_412, 1_000_000)]);
        assert_eq!(
            shown(&read[0], CENTS),
            "2025-03-31 05:15 at 1811.960000 to 2025-03-31 06:15 at 1804.120000, 1 contracts"
        );
        assert_eq!(missing(&[(1, 2, 3, 4, 5), (1, 2, 3, 4, 5)], &[(1, 2, 3, 4, 5)]), [(1, 2, 3, 4, 5)]);
    }

    #[test]
    fn fills_outside_their_bars_are_seen() {
        let bar = ([60_000], [1.0], [1.5], [0.5]);
        let bars =
            BarsView { time: &bar.0, open: &bar.1, high: &bar.2, low: &bar.3, close: &bar.1, volume: &bar.1 };
        let tape = [(1, 100, 1, 150, 1), (1, 48, 1, 152, 1), (1, 50, 2, 900, 1)];
        assert_eq!(CENTS.outside(&tape, &bars), 2, "48 and 152; of minute 2 nothing is known");
    }

    #[test]
    fn reads_times_with_an_offset() {
        assert_eq!(minutes("1970-01-01T00:00:00-0500", 480), Some(300));
        assert_eq!(minutes("1970-01-02T00:00:00+05:30", 480), Some(1_440 - 330));
        assert_eq!(minutes("1970-01-01T00:05:00", 0), Some(5));
        assert_eq!(minutes("soon", 0), None);
    }
}
