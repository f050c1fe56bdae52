//! Trend followers with a direction of their own.

use super::Sums;
use super::averages::Rma;
use super::core::{Args, EPS, Fixed, Kernel, Outs, is_na};
use super::spread::{Atr, true_range};
use springtide_domain::BarsView;

/// Directional movement: the selection compares tolerantly, the divisor is the average of a true
/// range that is na on the first bar.
#[derive(Clone)]
pub(super) struct Dmi {
    high: f64,
    low: f64,
    range: Rma,
    plus: Rma,
    minus: Rma,
    adx: Rma,
    last: [f64; 2],
}

/// Keeps the last defined value.
#[inline(always)]
fn hold(kept: &mut f64, x: f64) -> f64 {
    if !is_na(x) {
        *kept = x;
    }
    *kept
}

impl Kernel for Dmi {
    fn new(f: Fixed<'_>) -> Self {
        let di = || Rma::with(f.len(0));
        let (range, plus, minus) = (di(), di(), di());
        let adx = Rma::with(f.len(1));
        Self { high: f64::NAN, low: f64::NAN, range, plus, minus, adx, last: [f64::NAN; 2] }
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        let up = bars.high[i] - self.high;
        let down = self.low - bars.low[i];
        (self.high, self.low) = (bars.high[i], bars.low[i]);
        let na = is_na(up) || is_na(down);
        let pick = |x: f64, other: f64| match (na, x - other > EPS && x > EPS) {
            (true, _) => f64::NAN,
            (_, true) => x,
            _ => 0.0,
        };
        let range = self.range.next(true_range(bars, i, false), a[0]);
        let plus = self.plus.next(pick(up, down), a[0]);
        let minus = self.minus.next(pick(down, up), a[0]);
        let plus = hold(&mut self.last[0], 100.0 * plus / range);
        let minus = hold(&mut self.last[1], 100.0 * minus / range);
        let sum = plus + minus;
        let share = (plus - minus).abs() / if sum == 0.0 { 1.0 } else { sum };
        (out[0], out[1], out[2]) = (plus, minus, 100.0 * self.adx.next(share, a[1]));
    }
    fn reset(&mut self) {
        (self.high, self.low, self.last) = (f64::NAN, f64::NAN, [f64::NAN; 2]);
        for rma in [&mut self.range, &mut self.plus, &mut self.minus, &mut self.adx] {
            rma.reset();
        }
    }
}

#[derive(Clone, Copy)]
struct Bands {
    upper: f64,
    lower: f64,
    close: f64,
    /// The line ran along the upper band.
    above: bool,
}

/// Ratcheted bands around the middle of the bar.
#[derive(Clone)]
pub(super) struct Supertrend {
    atr: Atr,
    before: Option<Bands>,
    direction: f64,
}

impl Kernel for Supertrend {
    fn new(f: Fixed<'_>) -> Self {
        Self { atr: Atr::with(f.len(1)), before: None, direction: 1.0 }
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        let middle = (bars.high[i] + bars.low[i]) / 2.0;
        let close = bars.close[i];
        let atr = self.atr.next(bars, i, a[1]);
        // TradingView plots a zero on the very first bar of the chart.
        if i == 0 {
            (out[0], out[1]) = (0.0, 1.0);
            return;
        }
        let (mut upper, mut lower) = (middle + a[0] * atr, middle - a[0] * atr);
        if is_na(upper) || is_na(lower) {
            (out[0], out[1]) = (f64::NAN, self.direction);
            return;
        }
        if let Some(before) = self.before {
            if !(lower > before.lower || before.close < before.lower) {
                lower = before.lower;
            }
            if !(upper < before.upper || before.close > before.upper) {
                upper = before.upper;
            }
            let fell = if before.above { close <= upper } else { close < lower };
            self.direction = if fell { 1.0 } else { -1.0 };
        }
        let line = if self.direction < 0.0 { lower } else { upper };
        self.before = Some(Bands { upper, lower, close, above: line == upper });
        (out[0], out[1]) = (line, self.direction);
    }
    fn reset(&mut self) {
        self.atr.reset();
        (self.before, self.direction) = (None, 1.0);
    }
}

/// Parabolic stop and reverse. It reads the bars of its own calls and starts on chart bar 1 only,
/// so a call that misses bar 0 or 1 never gives a value, as on TradingView.
#[derive(Clone)]
pub(super) struct Sar {
    /// Highs and lows of the two calls before, newest first.
    highs: [f64; 2],
    lows: [f64; 2],
    long: bool,
    speed: f64,
    stop: f64,
    peak: f64,
}

impl Sar {
    fn begin(&mut self, start: f64, high: f64, low: f64) {
        self.speed = start;
        let fell = self.highs[0] > high;
        self.long = !fell;
        (self.stop, self.peak) = if self.long { (self.lows[0], high) } else { (self.highs[0], low) };
    }

    /// No further than the two bars before (the current one too after a reversal).
    fn clamp(&self, stop: f64, current: f64) -> f64 {
        let [one, two] = if self.long { self.lows } else { self.highs };
        let two = if two.is_nan() { one } else { two };
        if self.long { stop.min(one).min(two).min(current) } else { stop.max(one).max(two).max(current) }
    }

    fn advance(&mut self, start: f64, inc: f64, max: f64, high: f64, low: f64) {
        let stop = self.stop + self.speed * (self.peak - self.stop);
        let hit = if self.long { low <= stop } else { high >= stop };
        if hit {
            self.long = !self.long;
            self.speed = start;
            self.stop = self.clamp(self.peak, if self.long { low } else { high });
            self.peak = if self.long { high } else { low };
            return;
        }
        self.stop = self.clamp(stop, stop);
        let (ahead, tip) = if self.long { (high > self.peak, high) } else { (low < self.peak, low) };
        if ahead {
            self.peak = tip;
            self.speed = (self.speed + inc).min(max);
        }
    }
}

impl Kernel for Sar {
    fn new(_: Fixed<'_>) -> Self {
        Self {
            highs: [f64::NAN; 2],
            lows: [f64::NAN; 2],
            long: true,
            speed: 0.0,
            stop: f64::NAN,
            peak: f64::NAN,
        }
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        let (high, low) = (bars.high[i], bars.low[i]);
        if i == 1 {
            self.begin(a[0], high, low);
        } else if !self.stop.is_nan() {
            self.advance(a[0], a[1], a[2], high, low);
        }
        self.highs = [high, self.highs[0]];
        self.lows = [low, self.lows[0]];
        out[0] = self.stop;
    }
    fn reset(&mut self) {
        *self = Self::new(Fixed { args: &[], sums: Sums::Exact });
    }
}
