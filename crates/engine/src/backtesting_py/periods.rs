//! The bars' median step, and the calendar bins that annual figures are taken over.

use super::stats::Span;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Calendar bins, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Day,
    /// Monday to Sunday.
    Week,
    Month,
    Year,
}

/// Bins and how many make a year.
pub(super) struct Bins {
    pub rule: Rule,
    pub per_year: f64,
}

/// The median step between the last 100 bars; none of a single bar.
pub(super) struct Period {
    step: Option<f64>,
    ticks_per_ms: i64,
}

impl Period {
    /// Of times counted in ticks.
    pub fn of(time: &[i64], ticks_per_ms: i64) -> Self {
        let tail = &time[time.len().saturating_sub(100)..];
        let mut steps: Vec<i64> = tail.windows(2).map(|w| w[1] - w[0]).collect();
        steps.sort_unstable();
        let n = steps.len();
        let step = (n > 0).then(|| (steps[(n - 1) / 2] + steps[n / 2]) as f64 / 2.0);
        Self { step, ticks_per_ms }
    }

    /// Bins as long as the period, or days whatever it is.
    pub fn bins(&self, time: &[i64], follow: bool) -> Bins {
        let day = (DAY_MS * self.ticks_per_ms) as f64;
        let days = self.step.filter(|_| follow).map(|step| (step / day).floor() as i64);
        let (rule, per_year) = match days {
            Some(7) => (Rule::Week, 52.0),
            Some(31) => (Rule::Month, 12.0),
            Some(365) => (Rule::Year, 1.0),
            _ => (Rule::Day, days_per_year(time, DAY_MS * self.ticks_per_ms)),
        };
        Bins { rule, per_year }
    }

    /// Up to the next whole unit of the smallest part of the period that is not zero.
    pub fn round_up(&self, ticks: f64) -> Span {
        let unit = self.unit();
        // The original keeps means as whole nanoseconds.
        let ticks = if self.ticks_per_ms > 1 { ticks.trunc() } else { ticks };
        Span::Time((ticks / unit).ceil() as i64 * unit as i64)
    }

    fn unit(&self) -> f64 {
        let step = self.step.unwrap_or(0.0);
        let ms = self.ticks_per_ms as f64;
        let units = [DAY_MS as f64 * ms, 3_600_000.0 * ms, 60_000.0 * ms, 1_000.0 * ms, ms, ms / 1_000.0];
        units.into_iter().find(|unit| *unit >= 1.0 && step % unit == 0.0).unwrap_or(1.0)
    }
}

fn days_per_year(time: &[i64], day: i64) -> f64 {
    // Epoch days 2 and 3 were the first Saturday and Sunday.
    let weekend = time.iter().filter(|t| matches!(t.div_euclid(day).rem_euclid(7), 2 | 3)).count();
    if weekend as f64 / time.len() as f64 > 2.0 / 7.0 * 0.6 { 365.0 } else { 252.0 }
}

/// Changes of the last equity from each bin that has bars to the next; undefined ones left out.
pub(super) fn returns(rule: Rule, time: &[i64], ticks_per_ms: i64, equity: &[f64]) -> Vec<f64> {
    let number = |rule, ticks: i64| number(rule, ticks.div_euclid(ticks_per_ms));
    let mut last: Option<f64> = None;
    let mut found = Vec::new();
    for (bar, now) in equity.iter().enumerate() {
        if time.get(bar + 1).is_some_and(|next| number(rule, *next) == number(rule, time[bar])) {
            continue;
        }
        if let Some(before) = last {
            found.push(now / before - 1.0);
        }
        last = Some(*now);
    }
    found.retain(|r| !r.is_nan());
    found
}

fn number(rule: Rule, time_ms: i64) -> i64 {
    let day = time_ms.div_euclid(DAY_MS);
    match rule {
        Rule::Day => day,
        Rule::Week => (day + 3).div_euclid(7),
        Rule::Month => crate::metrics::month_of(time_ms),
        Rule::Year => crate::metrics::month_of(time_ms).div_euclid(12),
    }
}
