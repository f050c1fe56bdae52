//! Bars of one calendar on bars of another: which are known on which.

use springtide_domain::{BarsView, SymbolInfo, Timeframe, resample::Periods};
use std::ops::Range;

/// Opens and closes of bars, epoch milliseconds.
pub(super) struct Spans {
    pub opens: Vec<i64>,
    pub closes: Vec<i64>,
}

impl Spans {
    /// Of bars by the symbol's calendar; none ends after the next one opens.
    pub fn of(bars: &BarsView<'_>, timeframe: Timeframe, symbol: &SymbolInfo) -> Option<Self> {
        let mut periods = Periods::parse(timeframe, &symbol.timezone, &symbol.session).ok()?;
        let next = |i: usize| bars.time.get(i + 1).copied().unwrap_or(i64::MAX);
        let closes = bars.time.iter().enumerate().map(|(i, t)| periods.at(*t).end_ms.min(next(i)));
        Some(Self { closes: closes.collect(), opens: bars.time.to_vec() })
    }

    /// The bars that open within each of the chart's.
    pub fn within(&self, chart: &Self) -> Vec<Range<usize>> {
        let place = |t: i64| self.opens.partition_point(|o| *o < t);
        chart.opens.iter().zip(&chart.closes).map(|(open, close)| place(*open)..place(*close)).collect()
    }

    /// The values on the chart's bars. Without lookahead a bar is known on the chart bar that ends with it or after
    /// it; with it from the first chart bar that it overlaps, or, where several open within one, the first of them.
    /// With gaps a value is there only on the chart bar on which it becomes known.
    pub fn merge(&self, values: &[f64], chart: &Self, gaps: bool, lookahead: bool) -> Vec<f64> {
        let mut before = None;
        let known = |i: usize| -> Option<usize> {
            if !lookahead {
                return self.closes.partition_point(|c| *c <= chart.closes[i]).checked_sub(1);
            }
            let last = self.opens.partition_point(|o| *o < chart.closes[i]).checked_sub(1)?;
            let first = self.opens.partition_point(|o| *o < chart.opens[i]);
            Some(first.min(last))
        };
        let mut out = Vec::with_capacity(chart.opens.len());
        for i in 0..chart.opens.len() {
            let at = known(i);
            let fresh = at != before;
            before = at;
            out.push(match at {
                Some(k) if fresh || !gaps => values[k],
                _ => f64::NAN,
            });
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn spans(opens: &[i64], length: i64) -> Spans {
        Spans { opens: opens.to_vec(), closes: opens.iter().map(|o| o + length).collect() }
    }

    fn text(values: &[f64]) -> String {
        values.iter().map(|x| if x.is_nan() { "-".to_owned() } else { x.to_string() }).collect()
    }

    #[test]
    fn longer_bars_are_known_when_they_end() {
        let chart = spans(&[0, 1, 2, 3, 4, 5].map(|h| h * HOUR), HOUR);
        // The second one begins in the middle of a chart bar.
        let other =
            Spans { opens: vec![0, 5 * HOUR / 2, 4 * HOUR], closes: vec![5 * HOUR / 2, 4 * HOUR, 7 * HOUR] };
        let values = [1.0, 2.0, 3.0];
        assert_eq!(text(&other.merge(&values, &chart, false, false)), "--1222");
        assert_eq!(text(&other.merge(&values, &chart, true, false)), "--12--");
        assert_eq!(text(&other.merge(&values, &chart, false, true)), "112233");
        assert_eq!(text(&other.merge(&values, &chart, true, true)), "1-2-3-");
    }

    #[test]
    fn of_shorter_bars_the_last_or_the_first_counts() {
        let chart = spans(&[0, 2, 4, 6].map(|h| h * HOUR), 2 * HOUR);
        let other = spans(&[0, 1, 2, 5].map(|h| h * HOUR), HOUR);
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(text(&other.merge(&values, &chart, false, false)), "2344");
        assert_eq!(text(&other.merge(&values, &chart, true, false)), "234-");
        assert_eq!(text(&other.merge(&values, &chart, false, true)), "1344");
        assert_eq!(other.within(&chart), [0..2, 2..3, 3..4, 4..4]);
    }

    #[test]
    fn equal_bars_meet_their_twins() {
        let chart = spans(&[0, 1, 2, 3].map(|h| h * HOUR), HOUR);
        let other = spans(&[1, 3].map(|h| h * HOUR), HOUR);
        for lookahead in [false, true] {
            assert_eq!(text(&other.merge(&[1.0, 2.0], &chart, false, lookahead)), "-112");
            assert_eq!(text(&other.merge(&[1.0, 2.0], &chart, true, lookahead)), "-1-2");
        }
    }
}
