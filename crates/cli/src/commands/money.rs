//! Reads durations, times and numbers from the command line.

use springtide_runtime::WORKERS_MAX;
use std::time::Duration;

/// `500ms`, `30s`, `2m`, `1h`; bare numbers are seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];
    let (digits, scale) = units
        .iter()
        .find_map(|(unit, scale)| text.strip_suffix(unit).map(|t| (t, scale)))
        .unwrap_or((text, &1.0));
    let seconds =
        positive(digits).map_err(|why| format!("{why}; write `500ms`, `30s`, `2m` or `1h`"))? * scale;
    if seconds == 0.0 || seconds > 1e9 {
        return Err(format!("`{text}` is out of range; write `500ms`, `30s`, `2m` or `1h`"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// `2023-01-31`, `2023-01-31T12:00`, `2023-01-31 12:00:30`, or epoch milliseconds, as epoch milliseconds UTC.
pub fn time_ms(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse::<i64>()
        && text.len() > 8
    {
        return Ok(ms);
    }
    let bad =
        || format!("`{text}` is no time; write 2023-01-31, 2023-01-31T12:00 or epoch milliseconds (UTC)");
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Ok(stamp.as_millisecond());
    }
    let datetime: jiff::civil::DateTime = text.parse().map_err(|_| bad())?;
    let zoned = datetime.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| bad())?;
    Ok(zoned.timestamp().as_millisecond())
}

/// A number of worker threads.
pub fn jobs(text: &str) -> Result<usize, String> {
    match text.trim().parse::<usize>() {
        Ok(jobs) if (1..=WORKERS_MAX).contains(&jobs) => Ok(jobs),
        _ => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            Err(format!(
                "a number of worker threads is 1 to {WORKERS_MAX}; leave it out for all {cores} cores"
            ))
        }
    }
}

/// A part of some work, or a multiple of it.
pub fn part(text: &str) -> Result<f64, String> {
    match positive(text) {
        Ok(part) if part > 0.0 => Ok(part),
        _ => Err(format!("`{text}` is no number of more than 0")),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
        _ => Err(format!("`{text}` is no number of 0 or more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_times() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("0s").is_err() && duration("soon").is_err());
        assert_eq!(time_ms("2023-01-01"), Ok(1_672_531_200_000));
        assert_eq!(time_ms("2023-01-01T00:15"), Ok(1_672_532_100_000));
        assert_eq!(time_ms("1672531200000"), Ok(1_672_531_200_000));
        assert!(time_ms("yesterday").is_err());
    }
}
