//! Crossings, conditions and memory.

use super::core::{Args, EPS, Fixed, Kernel, Len, Outs, Ring, flag, is_na, truth};
use springtide_domain::BarsView;

/// One series coming to lie strictly beyond another, exactly compared with the last call on
/// which both were defined. False on the first such call.
#[derive(Clone)]
pub(super) struct Crossing<const OVER: bool> {
    armed: bool,
}

impl<const OVER: bool> Kernel for Crossing<OVER> {
    fn new(_: Fixed<'_>) -> Self {
        Self { armed: false }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        if a[0].is_nan() || a[1].is_nan() {
            out[0] = 0.0;
            return;
        }
        let beyond = if OVER { a[0] > a[1] } else { a[0] < a[1] };
        out[0] = flag(beyond && self.armed);
        self.armed = !beyond;
    }
    fn reset(&mut self) {
        self.armed = false;
    }
}

/// The strict order of two series turning round. Differences within the tolerance keep the
/// order that was there before them; there is none at the start.
#[derive(Clone)]
pub(super) struct Cross {
    order: i8,
}

impl Kernel for Cross {
    fn new(_: Fixed<'_>) -> Self {
        Self { order: 0 }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let by = a[0] - a[1];
        let order = i8::from(by > EPS) - i8::from(by < -EPS);
        out[0] = flag(order * self.order < 0);
        if order != 0 {
            self.order = order;
        }
    }
    fn reset(&mut self) {
        self.order = 0;
    }
}

/// Running total.
#[derive(Clone)]
pub(super) struct Cum(f64);

impl Cum {
    pub(super) const fn start() -> Self {
        Self(0.0)
    }

    #[inline(always)]
    pub(super) fn next(&mut self, x: f64) -> f64 {
        if is_na(x) {
            return f64::NAN;
        }
        self.0 += x;
        self.0
    }
}

impl Kernel for Cum {
    fn new(_: Fixed<'_>) -> Self {
        Self::start()
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        out[0] = self.next(a[0]);
    }
    fn reset(&mut self) {
        self.0 = 0.0;
    }
}

/// Calls since a condition held.
#[derive(Clone)]
pub(super) struct BarsSince(Option<usize>);

impl Kernel for BarsSince {
    fn new(_: Fixed<'_>) -> Self {
        Self(None)
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        self.0 = if truth(a[0]) { Some(0) } else { self.0.map(|n| n + 1) };
        out[0] = self.0.map_or(f64::NAN, |n| n as f64);
    }
    fn reset(&mut self) {
        self.0 = None;
    }
}

/// Values on bars with a true condition; na values are recorded like others.
#[derive(Clone)]
pub(super) struct ValueWhen {
    /// One more than the occurrence, so that a length's rules apply.
    back: Option<usize>,
    seen: Ring<f64>,
}

fn occurrence(value: f64) -> Option<usize> {
    (value > -1.0).then(|| Len::of(value.trunc() + 1.0) - 1)
}

impl Kernel for ValueWhen {
    fn new(f: Fixed<'_>) -> Self {
        let known = f.arg(2);
        let limit = known.map_or(usize::MAX, |v| occurrence(v).map_or(1, |n| n + 1));
        Self { back: known.and_then(occurrence), seen: Ring::new(limit) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        if truth(a[0]) {
            self.seen.push(a[1]);
        }
        out[0] = match self.back.or_else(|| occurrence(a[2])) {
            Some(back) if back < self.seen.count() => self.seen.back(back),
            _ => f64::NAN,
        };
    }
    fn reset(&mut self) {
        self.seen.reset();
    }
}

/// The last defined value.
#[derive(Clone)]
pub(super) struct FixNan(f64);

impl Kernel for FixNan {
    fn new(_: Fixed<'_>) -> Self {
        Self(f64::NAN)
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        if !a[0].is_nan() {
            self.0 = a[0];
        }
        out[0] = self.0;
    }
    fn reset(&mut self) {
        self.0 = f64::NAN;
    }
}
