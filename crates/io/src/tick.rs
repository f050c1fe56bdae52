//! The smallest price step, seen in the prices themselves.

/// Prices looked at, spread evenly.
pub(crate) const TICK_SAMPLE: usize = 8_192;
/// A shorter list says too little about multiples.
const MULTIPLES_MIN: usize = 400;

/// A price step and how it was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub mintick: f64,
    pub note: Option<String>,
}

/// Infers the step: the most decimals that at least one price in a hundred has, times the largest whole number
/// that divides all prices (`0.25` of index futures).
///
/// Prices that went through 32-bit floats count with the decimals they had there; prices with fifteen or more
/// digits are rounding noise and do not count.
pub(crate) fn infer(prices: &[f64]) -> Tick {
    let mut counts = [0usize; 16];
    let mut clean = 0;
    for places in prices.iter().filter_map(|p| decimals(*p)) {
        counts[places] += 1;
        clean += 1;
    }
    if clean * 2 < prices.len() || clean == 0 {
        let note =
            "the prices have no regular decimals: a price step of 0.01 is assumed, pass --mintick to set it";
        return Tick { mintick: 0.01, note: Some(note.into()) };
    }
    let mut above = 0;
    let places = (0..counts.len()).rev().find(|d| {
        above += counts[*d];
        above * 100 >= clean
    });
    let places = places.unwrap_or(0);
    let scale = 10f64.powi(places as i32);
    Tick { mintick: common_multiple(prices, places, scale) as f64 / scale, note: None }
}

/// The largest number of steps that divides (nearly) all prices; 1 where too few prices tell.
fn common_multiple(prices: &[f64], places: usize, scale: f64) -> u64 {
    let fitting = prices.iter().filter(|p| decimals(**p).is_some_and(|d| d <= places) && **p * scale < 9e15);
    let steps: Vec<u64> = fitting.map(|p| (p * scale).round() as u64).collect();
    if steps.len() < MULTIPLES_MIN {
        return 1;
    }
    let divisor = steps.iter().fold(0, |a, b| gcd(a, *b)).max(1);
    // Prices that never moved divide themselves.
    if steps.iter().all(|s| *s == steps[0]) { 1 } else { divisor }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Decimal places of a price's shortest text; none for rounding noise.
fn decimals(price: f64) -> Option<usize> {
    let places = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).skip_while(|b| *b == b'0').count();
    let text = price.to_string();
    if digits(&text) <= 12 && places(&text) < 16 {
        return Some(places(&text));
    }
    // The nearest double to a 32-bit float has a long text; the float's own is short.
    let narrow = price as f32;
    let text = if f64::from(narrow) == price { narrow.to_string() } else { text };
    (digits(&text) < 15 && places(&text) < 16).then(|| places(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(step: f64, count: usize) -> Vec<f64> {
        (0..count)
            .map(|i| ((i as f64 * 7.0 % 1013.0) + 100.0) * step)
            .map(|p| (p * 1e8).round() / 1e8)
            .collect()
    }

    #[test]
    fn finds_common_steps() {
        for step in [0.01, 0.25, 0.5, 1.0, 0.05, 0.00001, 0.0001] {
            let tick = infer(&grid(step, 2_000));
            assert!((tick.mintick - step).abs() < step * 1e-9, "{step} {tick:?}");
        }
    }

    #[test]
    fn rare_decimals_and_noise_do_not_count() {
        let mut prices = grid(0.01, 2_000);
        prices[5] = 3.14259;
        prices[7] = 0.1 + 0.2;
        assert_eq!(infer(&prices).mintick, 0.01);
        let narrow: Vec<f64> = grid(0.01, 2_000).iter().map(|p| f64::from(*p as f32)).collect();
        assert_eq!(infer(&narrow).mintick, 0.01);
    }

    #[test]
    fn irregular_prices_are_named() {
        let prices: Vec<f64> = (1..500).map(|i| (i as f64).sqrt()).collect();
        assert!(infer(&prices).note.is_some());
        assert_eq!(infer(&[5.0; 1_000]).mintick, 1.0);
        assert_eq!(infer(&[]).mintick, 0.01);
    }
}
