//! What several simulators need: random numbers that follow from a seed, and seeds that name themselves when
//! they fail.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::panic;

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;

/// Splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Spread evenly over orders of magnitude.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (low as f64 * (high as f64 / low as f64).powf(unit)) as u64
    }
}

/// Runs `scenario` for many seeds, or for the one asked for by `SIMULATE_SEED`.
pub fn seeds(count: u64, scenario: impl Fn(u64) + panic::RefUnwindSafe) {
    if let Ok(seed) = std::env::var("SIMULATE_SEED") {
        return scenario(seed.parse().expect("SIMULATE_SEED is a number"));
    }
    for seed in 0..count {
        if let Err(failure) = panic::catch_unwind(|| scenario(seed)) {
            eprintln!("seed {seed} fails; repeat it with SIMULATE_SEED={seed}");
            panic::resume_unwind(failure);
        }
    }
}
