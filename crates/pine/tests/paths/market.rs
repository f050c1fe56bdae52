//! Random bars: steps of a quarter, so that prices meet each other and levels exactly; gaps in price and time.

use proptest::{collection::vec, prelude::*};
use springtide_domain::OwnedBars;

/// From the bar before: gap of the open, body, shadows above and below, all in quarters; missing bars; volume.
type Step = (i8, i8, u8, u8, u8, Option<u8>);

fn step() -> impl Strategy<Value = Step> {
    (
        prop_oneof![6 => Just(0i8), 1 => -8..=8i8],
        -6..=6i8,
        0..4u8,
        0..4u8,
        prop_oneof![12 => Just(0u8), 1 => 0..40u8],
        proptest::option::weighted(0.97, 0..30u8),
    )
}

const QUARTER_HOUR_MS: i64 = 900_000;

fn build(steps: &[Step]) -> OwnedBars {
    let mut bars = OwnedBars::default();
    let mut close = 100.0f64;
    let mut time = 1_709_935_200_000; // 2024-03-08 22:00 UTC: midnight, a weekend and a change of clocks ahead
    for (gap, body, above, below, missing, volume) in steps {
        let quarter = |k: f64| k * 0.25;
        let open = (close + quarter(f64::from(*gap))).max(1.0);
        close = (open + quarter(f64::from(*body))).max(1.0);
        let high = open.max(close) + quarter(f64::from(*above));
        let low = (open.min(close) - quarter(f64::from(*below))).max(0.25);
        bars.push(time, open, high, low, close, volume.map_or(f64::NAN, f64::from));
        time += QUARTER_HOUR_MS * (1 + i64::from(*missing));
    }
    bars
}

/// Any bars; at least one.
pub fn bars() -> impl Strategy<Value = OwnedBars> {
    prop_oneof![3 => vec(step(), 1..60), 1 => vec(step(), 60..200)].prop_map(|steps| build(&steps))
}
