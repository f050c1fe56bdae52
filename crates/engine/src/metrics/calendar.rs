//! What annualisation needs to know about the bars, made once per data set.

use springtide_domain::BarsView;

const DAY_MS: i64 = 86_400_000;

/// The span over which returns are taken for Sharpe, Sortino, volatility and the ulcer index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// UTC calendar days: every timeframe up to a few days.
    Day,
    /// Weeks from Monday to Sunday, UTC: weekly bars.
    Week,
    /// Calendar months, UTC: monthly bars.
    Month,
    /// Calendar years, UTC: yearly bars.
    Year,
}

/// How many trading days a year has. Only daily periods ask; weeks are 52, months 12, years 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TradingDays {
    /// 365 when more than 2/7 x 0.6 = 17.14 % of the bars fall on Saturday or Sunday (UTC), else 252.
    /// The threshold is backtesting.py's, so both count alike.
    #[default]
    Auto,
    /// 365: markets that never close.
    EveryDay,
    /// 252: exchanges with weekends and holidays.
    Weekdays,
}

/// Period ends and lengths of one data set. Depends on the bars' times alone, so a sweep shares one.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    bars: usize,
    period: Period,
    ends: Vec<u32>,
    weekend_share: f64,
    span_ms: i64,
}

impl Calendar {
    /// Reads the bars' times: the median step decides the [`Period`] (7 days: weeks, 28 to 31: months,
    /// 365 or 366: years, anything else: days).
    pub fn new(bars: &BarsView<'_>) -> Self {
        let step = median_step(bars.time);
        let period = period_of(step);
        let (ends, weekend_share) = ends_and_weekends(bars.time, period);
        Self { bars: bars.len(), period, ends, weekend_share, span_ms: span(bars.time, step) }
    }

    /// Number of bars it was made from.
    pub fn bars(&self) -> usize {
        self.bars
    }

    /// The span of one return.
    pub fn period(&self) -> Period {
        self.period
    }

    /// Index of the last bar of each period that has bars, ascending.
    pub fn period_ends(&self) -> &[u32] {
        &self.ends
    }

    /// Periods in a year, the annualisation factor.
    pub fn periods_per_year(&self, days: TradingDays) -> f64 {
        match self.period {
            Period::Week => 52.0,
            Period::Month => 12.0,
            Period::Year => 1.0,
            Period::Day => match days {
                TradingDays::EveryDay => 365.0,
                TradingDays::Weekdays => 252.0,
                TradingDays::Auto if self.weekend_share > 2.0 / 7.0 * 0.6 => 365.0,
                TradingDays::Auto => 252.0,
            },
        }
    }

    /// Years of 365.25 days from the first bar's open to the last bar's end (its open plus the median step).
    pub fn years(&self) -> f64 {
        self.span_ms as f64 / (365.25 * DAY_MS as f64)
    }
}

fn median_step(time: &[i64]) -> i64 {
    let steps = || time.windows(2).map(|w| w[1] - w[0]);
    let count = time.len().saturating_sub(1);
    if count == 0 {
        return 0;
    }
    // A step that more than half of the bars have is the median; mostly it is the first one.
    let first = time[1] - time[0];
    if 2 * steps().filter(|step| *step == first).count() > count {
        return first;
    }
    *steps().collect::<Vec<i64>>().select_nth_unstable(count / 2).1
}

fn period_of(step_ms: i64) -> Period {
    match step_ms / DAY_MS {
        7 => Period::Week,
        28..=31 => Period::Month,
        365 | 366 => Period::Year,
        _ => Period::Day,
    }
}

fn span(time: &[i64], step: i64) -> i64 {
    match (time.first(), time.last()) {
        (Some(first), Some(last)) => last - first + step,
        _ => 0,
    }
}

/// Last bars of the periods, and the share of bars on Saturdays and Sundays. One look at each bar; only a bar of
/// another day than the one before it costs more.
fn ends_and_weekends(time: &[i64], period: Period) -> (Vec<u32>, f64) {
    let Some(first) = time.first() else { return (Vec::new(), 0.0) };
    let (mut ends, mut weekend) = (Vec::new(), 0usize);
    let mut day = first.div_euclid(DAY_MS);
    let (mut from, mut number, mut free) = (day * DAY_MS, period_number(day, period), is_weekend(day));
    for (i, t) in time.iter().enumerate() {
        if !(0..DAY_MS).contains(&t.wrapping_sub(from)) {
            day = t.div_euclid(DAY_MS);
            (from, free) = (day * DAY_MS, is_weekend(day));
            if number != period_number(day, period) {
                number = period_number(day, period);
                ends.push(i as u32 - 1);
            }
        }
        weekend += usize::from(free);
    }
    ends.push(time.len() as u32 - 1);
    (ends, weekend as f64 / time.len() as f64)
}

/// 1970-01-01 was a Thursday: day 2 and 3 of the epoch are the first Saturday and Sunday.
fn is_weekend(day: i64) -> bool {
    matches!(day.rem_euclid(7), 2 | 3)
}

fn period_number(day: i64, period: Period) -> i64 {
    match period {
        Period::Day => day,
        // Epoch day 4 was a Monday.
        Period::Week => (day + 3).div_euclid(7),
        Period::Month => month_number(day),
        Period::Year => month_number(day).div_euclid(12),
    }
}

/// Months since year 0 of the epoch day `day`: `12 x year + month - 1`.
pub(super) fn month_number(day: i64) -> i64 {
    // Counting from 0000-03-01 puts the leap day at the end of a year (H. Hinnant, "days from civil").
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + month_from_march + 2
}

/// Months since year 0 of the epoch time `time_ms`.
pub(crate) fn month_of(time_ms: i64) -> i64 {
    month_number(time_ms.div_euclid(DAY_MS))
}
