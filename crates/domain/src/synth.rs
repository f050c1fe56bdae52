//! Made-up markets from a seed, for the demo and for tests.
//!
//! Only `+ - * /` and `sqrt` are used, which IEEE 754 rounds exactly: equal seeds give equal bytes on
//! every platform. Normal deviates are sums of twelve uniform ones (Irwin–Hall): no logarithm, no cosine,
//! and tails that end at six deviations; larger moves come from the jump regime alone.

use crate::{OwnedBars, SymbolInfo, SymbolKind, Timeframe};

/// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, one output each step.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator whose stream is fixed by `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Mean 0, variance 1, within ±6.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }
}

/// How a made-up price moves. `volatility` below is [`SynthSpec::volatility`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// Drift of an eighth of the volatility per bar that turns round now and then.
    Trend,
    /// Pulled back to the starting price.
    Range,
    /// A quiet walk with rare moves of six to twelve times the volatility.
    Jumps,
    /// Variance that feeds on the last move (GARCH(1,1) with α = 0.12, β = 0.86).
    Clustered,
    /// All of the above, a few hundred bars each.
    Mixed,
}

/// What to make.
#[derive(Clone, Debug)]
pub struct SynthSpec {
    /// Equal seeds and settings give equal bars.
    pub seed: u64,
    /// Open time of the first bar, epoch milliseconds.
    pub start_ms: i64,
    /// Length of a bar; weeks and months count their nominal length.
    pub timeframe: Timeframe,
    /// How many bars.
    pub bars: usize,
    /// How the price moves.
    pub regime: Regime,
    /// First price.
    pub price: f64,
    /// Price step; every price is a whole number of steps.
    pub mintick: f64,
    /// Standard deviation of a bar's return, as a fraction (0.002 = 0.2 %).
    pub volatility: f64,
    /// Probability that bars are missing after a bar (one to forty of them).
    pub gap_rate: f64,
    /// No bars from Saturday 00:00 to Monday 00:00 UTC.
    pub weekends_off: bool,
}

impl Default for SynthSpec {
    /// 5,000 mixed 15-minute bars from 2023-01-02, price 100, tick 0.01, no gaps.
    fn default() -> Self {
        Self {
            seed: 1,
            start_ms: 1_672_617_600_000,
            timeframe: Timeframe::Minutes(15),
            bars: 5_000,
            regime: Regime::Mixed,
            price: 100.0,
            mintick: 0.01,
            volatility: 0.002,
            gap_rate: 0.0,
            weekends_off: false,
        }
    }
}

const DAY_MS: i64 = 86_400_000;
/// Moves within a bar from which its high and low are taken.
const STEPS: usize = 8;

struct Walk<'a> {
    spec: &'a SynthSpec,
    random: SplitMix64,
    /// Current price in steps of `mintick`, not rounded.
    price: f64,
    /// Per-bar variance of the clustered regime, in units of `volatility`².
    variance: f64,
    drift: f64,
    /// The current part of a mixed walk, and bars left in it.
    part: (Regime, usize),
}

impl Walk<'_> {
    fn regime(&mut self) -> Regime {
        if self.spec.regime != Regime::Mixed {
            return self.spec.regime;
        }
        if self.part.1 == 0 {
            let all = [Regime::Trend, Regime::Range, Regime::Jumps, Regime::Clustered];
            let pick = (self.random.next_u64() >> 62) as usize;
            self.part = (all[pick], 150 + (self.random.uniform() * 450.0) as usize);
        }
        self.part.1 -= 1;
        self.part.0
    }

    /// Expected return, deviation and jump of the next bar, in units of `volatility`.
    fn move_of(&mut self, regime: Regime) -> (f64, f64, f64) {
        let anchor = self.spec.price / self.spec.mintick;
        match regime {
            Regime::Trend => {
                if self.drift == 0.0 || self.random.chance(0.004) {
                    self.drift = if self.random.chance(0.5) { 0.125 } else { -0.125 };
                }
                (self.drift, 1.0, 0.0)
            }
            Regime::Range => ((anchor / self.price - 1.0) * 0.03 / self.spec.volatility, 1.0, 0.0),
            Regime::Jumps => {
                let jump = if self.random.chance(0.01) { 6.0 + 6.0 * self.random.uniform() } else { 0.0 };
                (0.0, 0.7, if self.random.chance(0.5) { jump } else { -jump })
            }
            Regime::Clustered | Regime::Mixed => (0.0, self.variance.sqrt(), 0.0),
        }
    }

    fn push_bar(&mut self, time: i64, out: &mut OwnedBars) {
        let regime = self.regime();
        let (drift, deviation, jump) = self.move_of(regime);
        let unit = self.spec.volatility;
        let jump_at = (self.random.uniform() * STEPS as f64) as usize;
        let open = self.price;
        let (mut high, mut low) = (open, open);
        for step in 0..STEPS {
            let noise = self.random.normal() * deviation / (STEPS as f64).sqrt();
            let sudden = if step == jump_at { jump } else { 0.0 };
            let change = (drift / STEPS as f64 + noise + sudden) * unit;
            self.price = (self.price * (1.0 + change.clamp(-0.5, 0.5))).max(10.0);
            high = high.max(self.price);
            low = low.min(self.price);
        }
        let moved = (self.price / open - 1.0) / unit;
        self.variance = (0.02 + 0.12 * moved * moved + 0.86 * self.variance).min(25.0);
        let volume = (1.0 + moved.abs()) * (0.5 + self.random.uniform()) * 100.0;
        out.push(
            time,
            self.at(open),
            self.at(high),
            self.at(low),
            self.at(self.price),
            (volume * 1e3).round() / 1e3,
        );
        // The next open differs a little from this close.
        self.price *= 1.0 + self.random.normal() * 0.05 * unit;
    }

    /// A price of so many steps, the number nearest to what its decimal text says.
    fn at(&self, steps: f64) -> f64 {
        let per_unit = (1.0 / self.spec.mintick).round();
        let whole = steps.round().max(1.0);
        // Dividing two whole numbers rounds once; multiplying by 0.01 would round twice.
        if per_unit >= 1.0 && (self.spec.mintick * per_unit - 1.0).abs() < 1e-9 {
            whole / per_unit
        } else {
            whole * self.spec.mintick
        }
    }
}

/// Makes bars. High and low always hold open and close; prices are at least one step; volumes are
/// positive with three decimals.
pub fn bars(spec: &SynthSpec) -> OwnedBars {
    let mut walk = Walk {
        spec,
        random: SplitMix64::new(spec.seed),
        price: spec.price / spec.mintick,
        variance: 1.0,
        drift: 0.0,
        part: (Regime::Trend, 0),
    };
    let step = spec.timeframe.nominal_ms();
    let mut out = OwnedBars::default();
    let mut time = spec.start_ms;
    while out.time.len() < spec.bars {
        if spec.weekends_off && is_weekend(time) {
            time += step;
            continue;
        }
        walk.push_bar(time, &mut out);
        let missing =
            if walk.random.chance(spec.gap_rate) { 1 + (walk.random.uniform() * 40.0) as i64 } else { 0 };
        time += step * (1 + missing);
    }
    out
}

/// 1970-01-01 was a Thursday: days 2 and 3 of the epoch are a weekend.
fn is_weekend(time: i64) -> bool {
    matches!(time.div_euclid(DAY_MS).rem_euclid(7), 2 | 3)
}

/// A made-up market: what it is called, how long its bars are, and the bars.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct SynthMarket {
    pub symbol: SymbolInfo,
    pub timeframe: Timeframe,
    pub bars: OwnedBars,
}

/// The demo's markets: six, of different kinds, timeframes and characters, about 60,000 bars.
pub fn demo_markets(seed: u64) -> Vec<SynthMarket> {
    use Regime::{Clustered, Jumps, Mixed, Range, Trend};
    let hour = Timeframe::Minutes(60);
    let quarter = Timeframe::Minutes(15);
    let five = Timeframe::Minutes(5);
    [
        ("ALPHA-USD", SymbolKind::Crypto, quarter, 20_000, Mixed, 27_000.0, 0.01, 0.0025, 0.0004, false),
        ("BRAVO-USD", SymbolKind::Crypto, hour, 12_000, Trend, 1_800.0, 0.01, 0.006, 0.0, false),
        ("CEDAR-USD", SymbolKind::Crypto, five, 15_000, Clustered, 0.62, 0.0001, 0.002, 0.001, false),
        ("DELTA", SymbolKind::Stock, Timeframe::Days(1), 2_500, Trend, 84.0, 0.01, 0.014, 0.0, true),
        ("EURXYZ", SymbolKind::Forex, hour, 8_000, Range, 1.0825, 0.00001, 0.0008, 0.0, true),
        ("FOXTROT-USD", SymbolKind::Crypto, quarter, 6_000, Jumps, 240.0, 0.01, 0.003, 0.002, false),
    ]
    .into_iter()
    .zip(1u64..)
    .map(|((ticker, kind, timeframe, count, regime, price, mintick, volatility, gap_rate, off), n)| {
        let (base, _) = ticker.split_once('-').unwrap_or((ticker, ""));
        let symbol = SymbolInfo {
            ticker: ticker.into(),
            base_currency: base.into(),
            mintick,
            kind,
            ..SymbolInfo::default()
        };
        let spec = SynthSpec {
            // Seeds of neighbours must not give shifted copies of one stream.
            seed: SplitMix64::new(seed ^ n.wrapping_mul(0xa076_1d64_78bd_642f)).next_u64(),
            timeframe,
            bars: count,
            regime,
            price,
            mintick,
            volatility,
            gap_rate,
            weekends_off: off,
            ..SynthSpec::default()
        };
        SynthMarket { symbol, timeframe, bars: bars(&spec) }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentHash;

    fn digest(bars: &OwnedBars) -> String {
        let columns = [&bars.open, &bars.high, &bars.low, &bars.close, &bars.volume];
        let mut bytes: Vec<u8> = bars.time.iter().flat_map(|t| t.to_le_bytes()).collect();
        bytes.extend(columns.into_iter().flatten().flat_map(|x| x.to_le_bytes()));
        ContentHash::of(&bytes).short(16)
    }

    #[test]
    fn the_stream_is_the_published_one() {
        let mut random = SplitMix64::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn equal_seeds_give_equal_bytes_everywhere() {
        assert_eq!(digest(&bars(&SynthSpec::default())), digest(&bars(&SynthSpec::default())));
        let other = SynthSpec { seed: 2, ..SynthSpec::default() };
        assert_ne!(digest(&bars(&SynthSpec::default())), digest(&bars(&other)));
        // Fixed once: a change of these digits changes everyone's demo.
        assert_eq!(digest(&bars(&SynthSpec::default())), "8c2bdebabc17f3fb");
    }

    #[test]
    fn every_regime_makes_possible_bars() {
        for regime in [Regime::Trend, Regime::Range, Regime::Jumps, Regime::Clustered, Regime::Mixed] {
            let spec = SynthSpec {
                regime,
                gap_rate: 0.01,
                weekends_off: true,
                volatility: 0.02,
                ..SynthSpec::default()
            };
            let made = bars(&spec);
            assert_eq!(made.time.len(), spec.bars);
            assert!(made.time.windows(2).all(|w| w[0] < w[1]));
            assert!(made.time.iter().all(|t| !is_weekend(*t)));
            for i in 0..spec.bars {
                let (top, bottom) = (made.open[i].max(made.close[i]), made.open[i].min(made.close[i]));
                assert!(
                    made.low[i] > 0.0 && made.low[i] <= bottom && top <= made.high[i],
                    "{regime:?} bar {i}"
                );
                assert!(made.volume[i] > 0.0);
            }
        }
    }

    #[test]
    fn demo_markets_are_of_several_kinds() {
        let markets = demo_markets(7);
        assert_eq!(markets.len(), 6);
        assert!(markets.iter().any(|m| m.timeframe == Timeframe::Days(1)));
        for market in &markets {
            assert_eq!(
                Timeframe::detect(&market.bars.time),
                Some(market.timeframe),
                "{}",
                market.symbol.ticker
            );
            let (low, high) =
                market.bars.close.iter().fold((f64::MAX, 0.0f64), |(l, h), c| (l.min(*c), h.max(*c)));
            let start = market.bars.open[0];
            assert!(low > start * 0.02 && high < start * 50.0, "{}: {low}..{high}", market.symbol.ticker);
        }
    }
}
