//! Volume indicators, session averages, pivot levels.
//!
//! The ones without arguments are *variables* of the language: one series per chart, which
//! advances on every bar. Callers evaluate them unconditionally.

use super::Sums;
use super::core::{Args, Fixed, Kernel, Outs, is_na, truth};
use super::events::Cum;
use springtide_domain::BarsView;

/// Volume weighted average since the last anchor; `BANDS` adds bands of population deviations.
/// na until the first anchor.
#[derive(Clone)]
pub(super) struct Vwap<const BANDS: bool> {
    anchored: bool,
    volume: f64,
    priced: f64,
    squared: f64,
}

impl<const BANDS: bool> Kernel for Vwap<BANDS> {
    fn new(_: Fixed<'_>) -> Self {
        Self { anchored: false, volume: 0.0, priced: 0.0, squared: 0.0 }
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        if truth(a[1]) {
            *self = Self { anchored: true, volume: 0.0, priced: 0.0, squared: 0.0 };
        }
        let (src, volume) = (a[0], bars.volume[i]);
        let priced = src * volume;
        out[..3].fill(f64::NAN);
        if !self.anchored || is_na(priced) {
            return;
        }
        self.volume += volume;
        self.priced += priced;
        let mean = self.priced / self.volume;
        out[0] = mean;
        if BANDS {
            self.squared += src * src * volume;
            let spread = self.squared / self.volume - mean * mean;
            let half = if spread < 0.0 { 0.0 } else { spread.sqrt() } * a[2];
            (out[1], out[2]) = (mean + half, mean - half);
        }
    }
    fn reset(&mut self) {
        *self = Self::new(Fixed { args: &[], sums: Sums::Exact });
    }
}

/// A term added up, one per bar. `prev` is the bar before, if any.
pub(super) trait Flow {
    fn term(bars: &BarsView<'_>, i: usize, prev: Option<usize>) -> f64;
    /// Where a bar without a term shows the total so far instead of na.
    const HOLDS: bool = false;
}

/// Sums a flow.
#[derive(Clone)]
pub(super) struct Total<F> {
    sum: Cum,
    flow: std::marker::PhantomData<F>,
}

impl<F: Flow> Kernel for Total<F> {
    fn new(_: Fixed<'_>) -> Self {
        Self { sum: Cum::start(), flow: std::marker::PhantomData }
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, _: &Args, out: &mut Outs) {
        let term = F::term(bars, i, i.checked_sub(1));
        out[0] = self.sum.next(if F::HOLDS && is_na(term) { 0.0 } else { term });
    }
    fn reset(&mut self) {
        self.sum.reset();
    }
}

/// Volume signed by the close's direction.
#[derive(Clone)]
pub(super) struct Obv;
/// Volume times relative change of the close.
#[derive(Clone)]
pub(super) struct Pvt;
/// Volume by the close's place in the bar.
#[derive(Clone)]
pub(super) struct AccDist;
/// The close's distance to the true low or high.
#[derive(Clone)]
pub(super) struct Wad;

impl Flow for Obv {
    #[inline(always)]
    fn term(bars: &BarsView<'_>, i: usize, prev: Option<usize>) -> f64 {
        let Some(k) = prev else { return f64::NAN };
        let change = bars.close[i] - bars.close[k];
        let sign = if change > 0.0 {
            1.0
        } else if change < 0.0 {
            -1.0
        } else {
            change
        };
        bars.volume[i] * sign
    }
}

impl Flow for Pvt {
    #[inline(always)]
    fn term(bars: &BarsView<'_>, i: usize, prev: Option<usize>) -> f64 {
        let Some(k) = prev else { return f64::NAN };
        let before = bars.close[k];
        (bars.close[i] - before) / before * bars.volume[i]
    }
}

impl Flow for AccDist {
    const HOLDS: bool = true;
    #[inline(always)]
    fn term(bars: &BarsView<'_>, i: usize, _: Option<usize>) -> f64 {
        let (high, low, close) = (bars.high[i], bars.low[i], bars.close[i]);
        ((close - low) - (high - close)) / (high - low) * bars.volume[i]
    }
}

impl Flow for Wad {
    const HOLDS: bool = true;
    #[inline(always)]
    fn term(bars: &BarsView<'_>, i: usize, prev: Option<usize>) -> f64 {
        let Some(k) = prev else { return 0.0 };
        let (close, before) = (bars.close[i], bars.close[k]);
        if close > before {
            close - bars.low[i].min(before)
        } else if close < before {
            close - bars.high[i].max(before)
        } else {
            0.0
        }
    }
}

/// An index that compounds the close's change on bars with more volume than the one before
/// (`POSITIVE`) or with less.
#[derive(Clone)]
pub(super) struct VolumeIndex<const POSITIVE: bool>(f64);

impl<const POSITIVE: bool> Kernel for VolumeIndex<POSITIVE> {
    fn new(_: Fixed<'_>) -> Self {
        Self(1.0)
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, _: &Args, out: &mut Outs) {
        if i > 0 {
            let (now, then) = (bars.volume[i], bars.volume[i - 1]);
            let counts = if POSITIVE { now > then } else { now < then };
            let (close, before) = (bars.close[i], bars.close[i - 1]);
            let moved = self.0 + (close - before) / before * self.0;
            if counts && close != 0.0 && !is_na(moved) {
                self.0 = moved;
            }
        }
        out[0] = self.0;
    }
    fn reset(&mut self) {
        self.0 = 1.0;
    }
}

/// Intraday intensity.
#[derive(Clone)]
pub(super) struct Iii;

impl Kernel for Iii {
    fn new(_: Fixed<'_>) -> Self {
        Self
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, _: &Args, out: &mut Outs) {
        let (high, low, close) = (bars.high[i], bars.low[i], bars.close[i]);
        out[0] = (2.0 * close - high - low) / ((high - low) * bars.volume[i]);
    }
    fn reset(&mut self) {}
}

/// Williams' variable accumulation/distribution.
#[derive(Clone)]
pub(super) struct Wvad;

impl Kernel for Wvad {
    fn new(_: Fixed<'_>) -> Self {
        Self
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, _: &Args, out: &mut Outs) {
        let span = bars.high[i] - bars.low[i];
        out[0] = (bars.close[i] - bars.open[i]) / span * bars.volume[i];
    }
    fn reset(&mut self) {}
}

/// Open, high, low, close of a period.
#[derive(Clone, Copy)]
struct Period {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
}

/// Pivot levels of the last finished period (or the current one), by several schools.
#[derive(Clone)]
pub(super) struct Levels {
    done: Option<Period>,
    current: Option<Period>,
    anchored: bool,
}

impl Kernel for Levels {
    fn new(_: Fixed<'_>) -> Self {
        Self { done: None, current: None, anchored: false }
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        let (open, high, low, close) = (bars.open[i], bars.high[i], bars.low[i], bars.close[i]);
        if truth(a[1]) {
            self.done = self.current.take();
            self.anchored = true;
        }
        let now = match self.current {
            None => Period { open, high, low, close },
            Some(p) => Period { open: p.open, high: p.high.max(high), low: p.low.min(low), close },
        };
        self.current = Some(now);
        let base = if truth(a[2]) { Some(now) } else { self.done };
        // Woodie weighs the open of the running period, or the close while developing.
        let woodie = if truth(a[2]) { close } else { now.open };
        out.fill(f64::NAN);
        if let (true, Some(p)) = (self.anchored, base) {
            *out = levels(a[0], p, woodie);
        }
    }
    fn reset(&mut self) {
        *self = Self::new(Fixed { args: &[], sums: Sums::Exact });
    }
}

/// P, R1, S1, … R5, S5; NaN where the school has no such level. TradingView's help page on pivot
/// points gives the formulas.
fn levels(school: f64, period: Period, woodie: f64) -> Outs {
    let Period { open: o, high: h, low: l, close: c } = period;
    let span = h - l;
    let third = (h + l + c) / 3.0;
    let around = |p: f64, steps: [f64; 3]| {
        let [a, b, d] = steps.map(|k| k * span);
        [p, p + a, p - a, p + b, p - b, p + d, p - d, NA, NA, NA, NA]
    };
    const NA: f64 = f64::NAN;
    match school.trunc() as i64 {
        _ if school.is_nan() => [NA; 11],
        0 => {
            let p = third;
            let (r, s) = (2.0 * p - l, 2.0 * p - h);
            let up = |k: f64| p * k + (h - k * l);
            let down = |k: f64| p * k - (k * h - l);
            [p, r, s, p + span, p - span, up(2.0), down(2.0), up(3.0), down(3.0), up(4.0), down(4.0)]
        }
        1 => around(third, [0.382, 0.618, 1.0]),
        2 => {
            let p = (h + l + 2.0 * woodie) / 4.0;
            let (r3, s3) = (h + 2.0 * (p - l), l - 2.0 * (h - p));
            let (r1, s1) = (2.0 * p - l, 2.0 * p - h);
            [p, r1, s1, p + span, p - span, r3, s3, r3 + span, s3 - span, NA, NA]
        }
        3 => {
            let p = third;
            let (r1, s1) = (2.0 * p - l, 2.0 * p - h);
            let (two, three) = (2.0 * span, 3.0 * span);
            [p, r1, s1, p + span, p - span, p + two, p - two, p + three, p - three, NA, NA]
        }
        4 => {
            let x = if c < o {
                h + 2.0 * l + c
            } else if c > o {
                2.0 * h + l + c
            } else {
                h + l + 2.0 * c
            };
            [x / 4.0, x / 2.0 - l, x / 2.0 - h, NA, NA, NA, NA, NA, NA, NA, NA]
        }
        5 => {
            let k = span * 1.1;
            let r5 = h / l * c;
            let [a, b, d, e] = [k / 12.0, k / 6.0, k / 4.0, k / 2.0];
            [third, c + a, c - a, c + b, c - b, c + d, c - d, c + e, c - e, r5, c - (r5 - c)]
        }
        _ => [NA; 11],
    }
}
