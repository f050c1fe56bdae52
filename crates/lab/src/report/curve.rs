//! Thins a long series to what a chart can show without losing its extremes.

/// Indices of at most about `points` of `values`: the first, the last, and from each stretch between
/// its lowest and highest, in order.
pub fn thin(values: &[f64], points: usize) -> Vec<usize> {
    let n = values.len();
    if n <= points || points < 4 {
        return (0..n).collect();
    }
    let stretches = points / 2;
    let mut kept = vec![0];
    for k in 0..stretches {
        let (start, end) = (k * n / stretches, (k + 1) * n / stretches);
        let (mut low, mut high) = (start, start);
        for i in start..end {
            if values[i] < values[low] {
                low = i;
            }
            if values[i] > values[high] {
                high = i;
            }
        }
        kept.extend([low.min(high), low.max(high)]);
    }
    kept.push(n - 1);
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_extremes_and_the_ends() {
        let mut values: Vec<f64> = (0..10_000).map(|i| f64::from(i % 7)).collect();
        values[5_003] = 99.0;
        values[7_777] = -5.0;
        let kept = thin(&values, 500);
        assert!(kept.len() <= 502 && kept.is_sorted());
        for must in [0, 5_003, 7_777, 9_999] {
            assert!(kept.contains(&must), "{must}");
        }
    }
}
