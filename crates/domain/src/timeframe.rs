//! Bar lengths: `15` minutes, `1D`, `1W`, `1M`, and seconds `30S`.

use std::{fmt, str::FromStr};

/// The span of one bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timeframe {
    /// So many seconds (less than a minute, or not a whole number of minutes).
    Seconds(u32),
    /// So many minutes; hours are multiples of 60.
    Minutes(u32),
    /// So many calendar days.
    Days(u32),
    /// So many calendar weeks, starting on Monday.
    Weeks(u32),
    /// So many calendar months.
    Months(u32),
}

/// A timeframe that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no timeframe: write minutes (`15`, `15m`), hours (`4h`), days (`1D`), weeks (`1W`), months (`1M`) or seconds (`30S`)"
)]
pub struct BadTimeframe(pub String);

impl Timeframe {
    /// Nominal length in milliseconds; months count 30 days. Calendar grouping never uses this for
    /// weeks and months.
    pub fn nominal_ms(self) -> i64 {
        match self {
            Self::Seconds(n) => i64::from(n) * 1_000,
            Self::Minutes(n) => i64::from(n) * 60_000,
            Self::Days(n) => i64::from(n) * 86_400_000,
            Self::Weeks(n) => i64::from(n) * 7 * 86_400_000,
            Self::Months(n) => i64::from(n) * 30 * 86_400_000,
        }
    }

    /// True for anything shorter than a day.
    pub fn is_intraday(self) -> bool {
        matches!(self, Self::Seconds(_) | Self::Minutes(_))
    }

    /// The multiplier: 15 for 15 minutes, 1 for one day.
    pub fn multiplier(self) -> u32 {
        match self {
            Self::Seconds(n) | Self::Minutes(n) | Self::Days(n) | Self::Weeks(n) | Self::Months(n) => n,
        }
    }

    /// The timeframe whose nominal length is the most common step between bar times
    /// (epoch milliseconds, ascending); none with fewer than two bars.
    pub fn detect(times: &[i64]) -> Option<Self> {
        let mut steps: Vec<i64> =
            times.windows(2).take(2_000).map(|w| w[1] - w[0]).filter(|d| *d > 0).collect();
        if steps.is_empty() {
            return None;
        }
        steps.sort_unstable();
        let (mut best, mut best_count, mut run) = (steps[0], 0usize, 0usize);
        for i in 0..steps.len() {
            run = if i > 0 && steps[i] == steps[i - 1] { run + 1 } else { 1 };
            if run > best_count {
                best_count = run;
                best = steps[i];
            }
        }
        Some(Self::from_ms(best))
    }

    fn from_ms(ms: i64) -> Self {
        const DAY: i64 = 86_400_000;
        if (28 * DAY..=31 * DAY).contains(&ms) {
            Self::Months(1)
        } else if ms >= 7 * DAY && ms % (7 * DAY) == 0 {
            Self::Weeks((ms / (7 * DAY)) as u32)
        } else if ms >= DAY && ms % DAY == 0 {
            Self::Days((ms / DAY) as u32)
        } else if ms >= 60_000 && ms % 60_000 == 0 {
            Self::Minutes((ms / 60_000) as u32)
        } else {
            Self::Seconds((ms / 1_000).max(1) as u32)
        }
    }
}

impl fmt::Display for Timeframe {
    /// Pine's spelling: minutes bare (`15`), others with a letter (`1D`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(n) => write!(f, "{n}S"),
            Self::Minutes(n) => write!(f, "{n}"),
            Self::Days(n) => write!(f, "{n}D"),
            Self::Weeks(n) => write!(f, "{n}W"),
            Self::Months(n) => write!(f, "{n}M"),
        }
    }
}

impl FromStr for Timeframe {
    type Err = BadTimeframe;

    /// Reads Pine's form (`15`, `D`, `1W`, `3M`, `30S`) and the everyday one (`15m`, `4h`, `1d`, `1w`).
    /// A capital `M` is months, a small `m` minutes.
    fn from_str(text: &str) -> Result<Self, BadTimeframe> {
        let bad = || BadTimeframe(text.to_owned());
        let t = text.trim();
        let split = t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len());
        let (digits, unit) = t.split_at(split);
        let n: u32 = if digits.is_empty() { 1 } else { digits.parse().map_err(|_| bad())? };
        if n == 0 || (digits.is_empty() && unit.is_empty()) {
            return Err(bad());
        }
        let minutes = |k: u32| n.checked_mul(k).map(Self::Minutes).ok_or_else(bad);
        match unit {
            "" | "m" | "min" => minutes(1),
            "h" | "H" => minutes(60),
            "D" | "d" => Ok(Self::Days(n)),
            "W" | "w" => Ok(Self::Weeks(n)),
            "M" | "mo" => Ok(Self::Months(n)),
            "S" | "s" if n.is_multiple_of(60) => Ok(Self::Minutes(n / 60)),
            "S" | "s" => Ok(Self::Seconds(n)),
            _ => Err(bad()),
        }
    }
}

impl serde::Serialize for Timeframe {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timeframe {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_spellings() {
        for (text, want) in [
            ("15", Timeframe::Minutes(15)),
            ("15m", Timeframe::Minutes(15)),
            ("4h", Timeframe::Minutes(240)),
            ("D", Timeframe::Days(1)),
            ("1W", Timeframe::Weeks(1)),
            ("3M", Timeframe::Months(3)),
            ("30S", Timeframe::Seconds(30)),
            ("120s", Timeframe::Minutes(2)),
        ] {
            assert_eq!(text.parse::<Timeframe>().unwrap(), want, "{text}");
        }
        for text in ["", "0", "x", "15q", "99999999999", "-5"] {
            assert!(text.parse::<Timeframe>().is_err(), "{text}");
        }
    }

    #[test]
    fn detects_the_usual_step_despite_gaps() {
        let times: Vec<i64> = [0, 15, 30, 120, 135, 150].iter().map(|m| m * 60_000).collect();
        assert_eq!(Timeframe::detect(&times), Some(Timeframe::Minutes(15)));
        assert_eq!(Timeframe::detect(&[5]), None);
    }
}
