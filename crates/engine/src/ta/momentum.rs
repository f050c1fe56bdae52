//! Oscillators and differences.

use super::averages::{Ema, Rma};
use super::core::{Args, EPS, Fixed, Kernel, Len, Outs, Prev, Ring, WinSum, flag, is_na, truth};
use super::extremes::Extreme;
use springtide_domain::BarsView;

/// Relative strength index. Without any loss in the average it is 100.
#[derive(Clone)]
pub(super) struct Rsi {
    before: Prev,
    up: Rma,
    down: Rma,
}

impl Kernel for Rsi {
    fn new(f: Fixed<'_>) -> Self {
        Self { before: Prev::new(), up: Rma::with(f.len(1)), down: Rma::with(f.len(1)) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = f64::NAN;
        if is_na(a[0]) {
            return;
        }
        let before = self.before.swap(a[0]);
        if before.is_nan() {
            return;
        }
        let gain = a[0] - before;
        let up = self.up.next(if gain > 0.0 { gain } else { 0.0 }, a[1]);
        let down = self.down.next(if gain < 0.0 { -gain } else { 0.0 }, a[1]);
        out[0] = if down == 0.0 { 100.0 } else { 100.0 - 100.0 / (1.0 + up / down) };
    }
    fn reset(&mut self) {
        self.before = Prev::new();
        self.up.reset();
        self.down.reset();
    }
}

/// Version 4's two-series form.
#[derive(Clone)]
pub(super) struct RsiRatio;

impl Kernel for RsiRatio {
    fn new(_: Fixed<'_>) -> Self {
        Self
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = 100.0 - 100.0 / (1.0 + a[0] / a[1]);
    }
    fn reset(&mut self) {}
}

/// Moving average convergence/divergence.
#[derive(Clone)]
pub(super) struct Macd {
    fast: Ema,
    slow: Ema,
    signal: Ema,
}

impl Kernel for Macd {
    fn new(f: Fixed<'_>) -> Self {
        Self { fast: Ema::with(f.len(1)), slow: Ema::with(f.len(2)), signal: Ema::with(f.len(3)) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let line = self.fast.next(a[0], a[1]) - self.slow.next(a[0], a[2]);
        let signal = self.signal.next(line, a[3]);
        (out[0], out[1], out[2]) = (line, signal, line - signal);
    }
    fn reset(&mut self) {
        self.fast.reset();
        self.slow.reset();
        self.signal.reset();
    }
}

/// True strength index.
#[derive(Clone)]
pub(super) struct Tsi {
    before: Prev,
    signed: [Ema; 2],
    size: [Ema; 2],
}

impl Kernel for Tsi {
    fn new(f: Fixed<'_>) -> Self {
        let pair = || [Ema::with(f.len(2)), Ema::with(f.len(1))];
        Self { before: Prev::new(), signed: pair(), size: pair() }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = f64::NAN;
        if is_na(a[0]) {
            return;
        }
        let step = a[0] - self.before.swap(a[0]);
        let twice = |pair: &mut [Ema; 2], x: f64| {
            let long = pair[0].next(x, a[2]);
            pair[1].next(long, a[1])
        };
        out[0] = twice(&mut self.signed, step) / twice(&mut self.size, step.abs());
    }
    fn reset(&mut self) {
        self.before = Prev::new();
        self.signed.iter_mut().chain(&mut self.size).for_each(Ema::reset);
    }
}

/// Stochastic: the multiplication comes first and nothing is clamped, as TradingView rounds it.
#[derive(Clone)]
pub(super) struct Stoch {
    high: Extreme<true>,
    low: Extreme<false>,
}

impl Kernel for Stoch {
    fn new(f: Fixed<'_>) -> Self {
        Self { high: Extreme::with(f.len(3)), low: Extreme::with(f.len(3)) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        let top = self.high.next(a[1], i, a[3]);
        let bottom = self.low.next(a[2], i, a[3]);
        out[0] = 100.0 * (a[0] - bottom) / (top - bottom);
    }
    fn reset(&mut self) {
        self.high.reset();
        self.low.reset();
    }
}

/// Williams' %R.
#[derive(Clone)]
pub(super) struct Wpr {
    high: Extreme<true>,
    low: Extreme<false>,
}

impl Kernel for Wpr {
    fn new(f: Fixed<'_>) -> Self {
        Self { high: Extreme::with(f.len(0)), low: Extreme::with(f.len(0)) }
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        let top = self.high.next(bars.high[i], i, a[0]);
        let bottom = self.low.next(bars.low[i], i, a[0]);
        out[0] = 100.0 * (bars.close[i] - top) / (top - bottom);
    }
    fn reset(&mut self) {
        self.high.reset();
        self.low.reset();
    }
}

/// Chande's momentum oscillator. A step within the tolerance counts as a gain.
#[derive(Clone)]
pub(super) struct Cmo {
    len: Len,
    before: Prev,
    up: WinSum,
    down: WinSum,
}

impl Kernel for Cmo {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, before: Prev::new(), up: WinSum::new(len), down: WinSum::new(len) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = f64::NAN;
        if is_na(a[0]) {
            return;
        }
        let n = self.len.get(a[1]);
        let step = a[0] - self.before.swap(a[0]);
        let gain = step >= -EPS;
        let up = self.up.next(if gain { step } else { step * 0.0 }, n);
        let down = self.down.next(if gain { step * 0.0 } else { -step }, n);
        out[0] = 100.0 * (up - down) / (up + down);
    }
    fn reset(&mut self) {
        self.before = Prev::new();
        self.up.reset();
        self.down.reset();
    }
}

/// Money flow index. A step within the tolerance flows neither way; the first value, which has
/// no step, counts on both sides.
#[derive(Clone)]
pub(super) struct Mfi {
    len: Len,
    before: Prev,
    up: WinSum,
    down: WinSum,
}

impl Kernel for Mfi {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        Self { len, before: Prev::new(), up: WinSum::new(len), down: WinSum::new(len) }
    }
    #[inline(always)]
    fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        out[0] = f64::NAN;
        if is_na(a[0]) {
            return;
        }
        let n = self.len.get(a[1]);
        let step = a[0] - self.before.swap(a[0]);
        let flow = bars.volume[i] * a[0];
        let up = self.up.next(if step <= EPS { flow * 0.0 } else { flow }, n);
        let down = self.down.next(if step >= -EPS { flow * 0.0 } else { flow }, n);
        if up.is_nan() || down.is_nan() {
            return;
        }
        out[0] = if down.abs() <= EPS {
            100.0
        } else if up.abs() <= EPS {
            0.0
        } else {
            100.0 - 100.0 / (1.0 + up / down)
        };
    }
    fn reset(&mut self) {
        self.before = Prev::new();
        self.up.reset();
        self.down.reset();
    }
}

/// What is made of a value and the one `length` calls before it.
pub(super) trait Compare {
    fn of(now: f64, then: f64) -> f64;
}

/// Difference.
#[derive(Clone)]
pub(super) struct Difference;
/// Relative difference in percent.
#[derive(Clone)]
pub(super) struct Percent;
/// 1 where two truth values differ.
#[derive(Clone)]
pub(super) struct Differs;

impl Compare for Difference {
    #[inline(always)]
    fn of(now: f64, then: f64) -> f64 {
        now - then
    }
}

impl Compare for Percent {
    #[inline(always)]
    fn of(now: f64, then: f64) -> f64 {
        100.0 * (now - then) / then
    }
}

impl Compare for Differs {
    #[inline(always)]
    fn of(now: f64, then: f64) -> f64 {
        if now.is_nan() || then.is_nan() { 0.0 } else { flag(truth(now) != truth(then)) }
    }
}

/// Compares with the value `length` calls before.
#[derive(Clone)]
pub(super) struct Lag<C> {
    len: Len,
    past: Ring<f64>,
    compare: std::marker::PhantomData<C>,
}

impl<C: Compare> Kernel for Lag<C> {
    fn new(f: Fixed<'_>) -> Self {
        let len = f.len(1);
        let past = Ring::new(len.reach().saturating_add(1));
        Self { len, past, compare: std::marker::PhantomData }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        self.past.push(a[0]);
        let known = n > 0 && n < self.past.count();
        out[0] = C::of(a[0], if known { self.past.back(n) } else { f64::NAN });
    }
    fn reset(&mut self) {
        self.past.reset();
    }
}

/// Counts steps above the tolerance in one direction without a break.
#[derive(Clone)]
pub(super) struct Streak<const UP: bool> {
    len: Len,
    before: Prev,
    run: usize,
}

impl<const UP: bool> Kernel for Streak<UP> {
    fn new(f: Fixed<'_>) -> Self {
        Self { len: f.len(1), before: Prev::new(), run: 0 }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = 0.0;
        if is_na(a[0]) {
            return;
        }
        let n = self.len.get(a[1]);
        let before = self.before.swap(a[0]);
        let step = if UP { a[0] - before } else { before - a[0] };
        self.run = if step > EPS { self.run + 1 } else { 0 };
        out[0] = flag(n > 0 && self.run >= n);
    }
    fn reset(&mut self) {
        self.before = Prev::new();
        self.run = 0;
    }
}
