//! Figures of a list of numbers; na is left out unless something else is said.

/// The numbers among the values.
pub(super) fn numbers(v: &[f64]) -> impl Iterator<Item = f64> + '_ {
    v.iter().copied().filter(|x| !x.is_nan())
}

/// The numbers in ascending order.
pub(super) fn sorted(v: &[f64]) -> Vec<f64> {
    let mut out: Vec<f64> = numbers(v).collect();
    out.sort_by(f64::total_cmp);
    out
}

/// na when there are no numbers.
pub(super) fn sum(v: &[f64]) -> f64 {
    numbers(v).reduce(|a, b| a + b).unwrap_or(f64::NAN)
}

pub(super) fn mean(v: &[f64]) -> f64 {
    sum(v) / numbers(v).count() as f64
}

/// Mean squared distance from the mean; of one number 0, whatever the divisor.
pub(super) fn variance(v: &[f64], biased: bool) -> f64 {
    let n = numbers(v).count();
    if n < 2 {
        return if n == 0 { f64::NAN } else { 0.0 };
    }
    let mean = mean(v);
    let squares: f64 = numbers(v).map(|x| (x - mean) * (x - mean)).sum();
    squares / (if biased { n } else { n - 1 }) as f64
}

/// Of the pairs in which both are numbers, updated number by number (B. P. Welford), as TradingView does.
pub(super) fn covariance(x: &[f64], y: &[f64], biased: bool) -> f64 {
    let (mut n, mut mean_x, mut mean_y, mut moment) = (0.0, 0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y).filter(|(x, y)| !x.is_nan() && !y.is_nan()) {
        n += 1.0;
        let off = x - mean_x;
        mean_x += off / n;
        mean_y += (y - mean_y) / n;
        moment += off * (y - mean_y);
    }
    let divisor = if biased { n } else { n - 1.0 };
    match (n, divisor) {
        (0.0, _) => f64::NAN,
        (_, 0.0) => 0.0,
        _ => moment / divisor,
    }
}

/// The middle number, or the mean of the two in the middle.
pub(super) fn median(v: &[f64]) -> f64 {
    let sorted = sorted(v);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The most frequent number, the smallest of equals.
pub(super) fn mode(v: &[f64]) -> f64 {
    let sorted = sorted(v);
    let (mut best, mut most) = (f64::NAN, 0);
    for group in sorted.chunk_by(|a, b| a == b) {
        if group.len() > most {
            (best, most) = (group[0], group.len());
        }
    }
    best
}

/// The value at `percent` of the way, between ranks in proportion: rank n * percent / 100 + 0.5, counted
/// from 1. na counts as larger than every number, and next to it there is nothing in between.
pub(super) fn percentile_linear(v: &[f64], percent: f64) -> f64 {
    let (sorted, n) = (sorted(v), v.len());
    if n == 0 || percent.is_nan() {
        return f64::NAN;
    }
    let at = |rank: usize| sorted.get(rank - 1).copied().unwrap_or(f64::NAN);
    let exact = n as f64 * percent / 100.0 + 0.5;
    // What is a whole rank but for rounding is one.
    let near = exact.round();
    let rank = if (exact - near).abs() < 1e-9 { near } else { exact };
    if rank <= 1.0 {
        return at(1);
    }
    if rank >= n as f64 {
        return at(n);
    }
    let (low, part) = (rank.floor() as usize, rank.fract());
    match part {
        0.0 => at(low),
        _ if sorted.len() < n => f64::NAN,
        _ => at(low) * (1.0 - part) + at(low + 1) * part,
    }
}

/// The value at the nearest rank: the smallest rank that is at least `percent` of all. na counts as larger
/// than every number; a percentage that is na counts as 0.
pub(super) fn percentile_nearest(v: &[f64], percent: f64) -> f64 {
    let (sorted, n) = (sorted(v), v.len());
    if n == 0 {
        return f64::NAN;
    }
    let percent = if percent.is_nan() { 0.0 } else { percent };
    let rank = (percent * n as f64 / 100.0).ceil().clamp(1.0, n as f64) as usize;
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Share of the other values that are not above the one at `at`, percent.
pub(super) fn percent_rank(v: &[f64], at: usize) -> f64 {
    if v.len() < 2 || v[at].is_nan() {
        return f64::NAN;
    }
    let below = v.iter().enumerate().filter(|(i, x)| *i != at && **x - v[at] <= 1e-10).count();
    below as f64 / (v.len() as f64 - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_values_with_na() {
        let v = [30.0, 10.0, f64::NAN, 20.0];
        assert_eq!(percentile_nearest(&v, 50.0), 20.0);
        assert!(percentile_nearest(&v, 100.0).is_nan());
        assert_eq!(percentile_nearest(&v, f64::NAN), 10.0);
        assert_eq!(percentile_linear(&v, 12.5), 10.0);
        assert_eq!(percentile_linear(&v, 37.5), 20.0);
        assert!(percentile_linear(&v, 50.0).is_nan());
        assert_eq!(percentile_linear(&[1.0, 2.0, 3.0, 4.0], 50.0), 2.5);
        assert_eq!(median(&v), 20.0);
    }

    #[test]
    fn few_numbers() {
        assert_eq!((variance(&[5.0], false), covariance(&[5.0], &[1.0], false)), (0.0, 0.0));
        assert!(variance(&[], true).is_nan() && mean(&[f64::NAN]).is_nan() && sum(&[]).is_nan());
        assert_eq!(covariance(&[1.0, 2.0, f64::NAN, 3.0], &[2.0, 4.0, 9.0, 6.0], true), 4.0 / 3.0);
        assert_eq!((mode(&[3.0, 1.0, 3.0, 1.0]), percent_rank(&[10.0, 20.0, 30.0], 1)), (1.0, 50.0));
    }
}
