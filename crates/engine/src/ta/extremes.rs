//! Highest and lowest values of windows, pivots, running extremes.

use super::core::{Args, Fixed, Kernel, Len, Outs, Ring, is_na};
use springtide_domain::BarsView;
use std::collections::VecDeque;

/// Stands for "no value" among candidates for a maximum or a minimum.
#[inline(always)]
const fn worst<const MAX: bool>() -> f64 {
    if MAX { f64::NEG_INFINITY } else { f64::INFINITY }
}

/// True when `b` beats `a` strictly.
#[inline(always)]
fn beats<const MAX: bool>(b: f64, a: f64) -> bool {
    if MAX { b > a } else { b < a }
}

#[inline(always)]
fn best<const MAX: bool>(a: f64, b: f64) -> f64 {
    if beats::<MAX>(b, a) { b } else { a }
}

/// na becomes the worst candidate; −0 becomes 0, so that equal values have equal bits.
#[inline(always)]
fn candidate<const MAX: bool>(x: f64) -> f64 {
    if is_na(x) { worst::<MAX>() } else { x + 0.0 }
}

/// A window's extreme for a length known early, with two comparisons per value whatever the
/// length: blocks of n values keep the running extreme of the current block, and, once a block
/// is full, its buffer turns into extremes of suffixes, from which the next block's windows
/// take their older part (van Herk, Gil and Werman).
#[derive(Clone)]
struct Blocks<const MAX: bool> {
    n: usize,
    /// `[0, at)`: values of the current block; `[at, n)`: suffix extremes of the block before.
    buf: Vec<f64>,
    at: usize,
    run: f64,
}

#[cold]
#[inline(never)]
fn grown(mut buf: Vec<f64>, n: usize, fill: f64) -> Vec<f64> {
    let len = (buf.len() * 2).clamp(64, n.max(64)).min(n);
    buf.resize(len, fill);
    buf
}

impl<const MAX: bool> Blocks<MAX> {
    fn new(n: usize) -> Self {
        Self { n, buf: Vec::new(), at: 0, run: worst::<MAX>() }
    }

    #[inline(always)]
    fn push(&mut self, x: f64) -> f64 {
        if self.at == self.buf.len() {
            self.buf = grown(std::mem::take(&mut self.buf), self.n, worst::<MAX>());
        }
        self.run = best::<MAX>(self.run, x);
        self.buf[self.at] = x;
        self.at += 1;
        if self.at == self.n {
            let whole = self.run;
            let mut suffix = worst::<MAX>();
            for v in self.buf.iter_mut().rev() {
                suffix = best::<MAX>(suffix, *v);
                *v = suffix;
            }
            (self.at, self.run) = (0, worst::<MAX>());
            return whole;
        }
        let older = self.buf.get(self.at).copied().unwrap_or(worst::<MAX>());
        best::<MAX>(older, self.run)
    }

    fn reset(&mut self) {
        self.buf.clear();
        (self.at, self.run) = (0, worst::<MAX>());
    }
}

/// Candidates for the extreme of any window that ends now, best first, with their slots. Of
/// equal values the older leads, or the newer when `NEWER`.
#[derive(Clone)]
struct Ladder<const MAX: bool, const NEWER: bool> {
    steps: VecDeque<(f64, usize)>,
}

impl<const MAX: bool, const NEWER: bool> Ladder<MAX, NEWER> {
    fn new() -> Self {
        Self { steps: VecDeque::new() }
    }

    #[inline(always)]
    fn push(&mut self, x: f64, slot: usize) {
        if x == worst::<MAX>() {
            return;
        }
        while let Some(&(v, _)) = self.steps.back() {
            if beats::<MAX>(x, v) || (NEWER && x == v) {
                self.steps.pop_back();
            } else {
                break;
            }
        }
        self.steps.push_back((x, slot));
    }

    /// The extreme of the slots from `first` on.
    #[inline(always)]
    fn top(&self, first: usize) -> Option<(f64, usize)> {
        match self.steps.front() {
            Some(&(_, slot)) if slot < first => {
                self.steps.get(self.steps.partition_point(|s| s.1 < first)).copied()
            }
            front => front.copied(),
        }
    }

    /// Drops what no later window can reach.
    #[inline(always)]
    fn trim(&mut self, first: usize) {
        while self.steps.front().is_some_and(|s| s.1 < first) {
            self.steps.pop_front();
        }
    }
}

/// Slots of a window that ages in bars: a skipped bar leaves an empty slot, a second call on
/// one bar takes a slot of its own.
#[derive(Clone, Copy)]
struct Slots {
    now: usize,
    /// The bar after the last call's.
    due: usize,
}

impl Slots {
    const fn new() -> Self {
        Self { now: 0, due: 0 }
    }

    /// Moves to the slot of a call on bar `i` and returns how many were left empty before it.
    #[inline(always)]
    fn advance(&mut self, i: usize) -> usize {
        let gap = if i == self.due || self.now == 0 { 0 } else { i.saturating_sub(self.due) };
        self.due = i + 1;
        self.now += gap + 1;
        gap
    }
}

#[derive(Clone)]
enum Engine<const MAX: bool> {
    Blocks(Blocks<MAX>),
    Ladder(Ladder<MAX, false>),
}

/// Extreme of the last n bars. Windows age in bars even where the call is conditional; na inputs
/// and skipped bars are ignored; there is no value before chart bar n − 1.
#[derive(Clone)]
pub(super) struct Extreme<const MAX: bool> {
    len: Len,
    slots: Slots,
    engine: Engine<MAX>,
}

impl<const MAX: bool> Extreme<MAX> {
    pub(super) fn with(len: Len) -> Self {
        let engine = match len.known() {
            Some(n) => Engine::Blocks(Blocks::new(n.max(1))),
            None => Engine::Ladder(Ladder::new()),
        };
        Self { len, slots: Slots::new(), engine }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, x: f64, i: usize, length: f64) -> f64 {
        let n = self.len.get(length);
        let gap = self.slots.advance(i);
        let x = candidate::<MAX>(x);
        let v = match &mut self.engine {
            Engine::Blocks(blocks) => {
                for _ in 0..gap.min(2 * n) {
                    blocks.push(worst::<MAX>());
                }
                blocks.push(x)
            }
            Engine::Ladder(ladder) => {
                ladder.push(x, self.slots.now);
                let first = (self.slots.now + 1).saturating_sub(n);
                ladder.top(first).map_or(worst::<MAX>(), |s| s.0)
            }
        };
        if n == 0 || i + 1 < n || v == worst::<MAX>() { f64::NAN } else { v }
    }

    pub(super) fn reset(&mut self) {
        self.slots = Slots::new();
        match &mut self.engine {
            Engine::Blocks(blocks) => blocks.reset(),
            Engine::Ladder(ladder) => ladder.steps.clear(),
        }
    }
}

impl<const MAX: bool> Kernel for Extreme<MAX> {
    fn new(f: Fixed<'_>) -> Self {
        Self::with(f.len(1))
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        out[0] = self.next(a[0], i, a[1]);
    }
    fn column(&mut self, _: &BarsView<'_>, _: &Args, args: &[Option<&[f64]>], out: &mut [f64]) -> bool {
        // Without gaps between the calls the slots need no care.
        let (Some(x), Some(n), Engine::Blocks(_)) = (args[0], self.len.known(), &self.engine) else {
            return false;
        };
        let mut blocks = Blocks::<MAX>::new(n.max(1));
        for (i, (x, out)) in x.iter().zip(out).enumerate() {
            let v = blocks.push(candidate::<MAX>(*x));
            *out = if n == 0 || i + 1 < n || v == worst::<MAX>() { f64::NAN } else { v };
        }
        true
    }
    fn reset(&mut self) {
        Extreme::reset(self);
    }
}

/// Minus the age in bars of a window's extreme; the older one of equals.
#[derive(Clone)]
pub(super) struct ExtremeBars<const MAX: bool> {
    len: Len,
    slots: Slots,
    ladder: Ladder<MAX, false>,
}

impl<const MAX: bool> Kernel for ExtremeBars<MAX> {
    fn new(f: Fixed<'_>) -> Self {
        Self { len: f.len(1), slots: Slots::new(), ladder: Ladder::new() }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        let n = self.len.get(a[1]);
        self.slots.advance(i);
        let now = self.slots.now;
        self.ladder.push(candidate::<MAX>(a[0]), now);
        let first = (now + 1).saturating_sub(n);
        if self.len.known().is_some() {
            self.ladder.trim(first);
        }
        out[0] = match self.ladder.top(first) {
            Some((_, slot)) if n > 0 && i + 1 >= n => 0.0 - (now - slot) as f64,
            _ => f64::NAN,
        };
    }
    fn reset(&mut self) {
        self.slots = Slots::new();
        self.ladder.steps.clear();
    }
}

/// Local extremes: at least as good as all bars to the left, strictly better than all to the
/// right, so the newest of equals in the window. na now gives na.
#[derive(Clone)]
pub(super) struct Pivot<const MAX: bool> {
    left: Len,
    right: Len,
    calls: usize,
    past: Ring<f64>,
    ladder: Ladder<MAX, true>,
}

impl<const MAX: bool> Kernel for Pivot<MAX> {
    fn new(f: Fixed<'_>) -> Self {
        let (left, right) = (f.len(1), f.len(2));
        let past = Ring::new(right.reach().saturating_add(1));
        Self { left, right, calls: 0, past, ladder: Ladder::new() }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        let (left, right) = (self.left.get(a[1]), self.right.get(a[2]));
        self.calls += 1;
        let now = self.calls;
        self.past.push(a[0]);
        self.ladder.push(candidate::<MAX>(a[0]), now);
        let span = left + right + 1;
        let first = (now + 1).saturating_sub(span);
        if self.left.known().is_some() && self.right.known().is_some() {
            self.ladder.trim(first);
        }
        let full = left > 0 && right > 0 && now >= span && !is_na(a[0]);
        out[0] = match self.ladder.top(first) {
            Some((_, slot)) if full && slot + right == now => self.past.back(right),
            _ => f64::NAN,
        };
    }
    fn reset(&mut self) {
        self.calls = 0;
        self.past.reset();
        self.ladder.steps.clear();
    }
}

/// Highest minus lowest.
#[derive(Clone)]
pub(super) struct Range {
    high: Extreme<true>,
    low: Extreme<false>,
}

impl Kernel for Range {
    fn new(f: Fixed<'_>) -> Self {
        Self { high: Extreme::with(f.len(1)), low: Extreme::with(f.len(1)) }
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
        let span = self.high.next(a[0], i, a[1]) - self.low.next(a[0], i, a[1]);
        out[0] = if is_na(a[0]) { f64::NAN } else { span };
    }
    fn reset(&mut self) {
        self.high.reset();
        self.low.reset();
    }
}

/// Extreme since the first call.
#[derive(Clone)]
pub(super) struct AllTime<const MAX: bool>(f64);

impl<const MAX: bool> Kernel for AllTime<MAX> {
    fn new(_: Fixed<'_>) -> Self {
        Self(f64::NAN)
    }
    #[inline(always)]
    fn step(&mut self, _: &BarsView<'_>, _: usize, a: &Args, out: &mut Outs) {
        if !is_na(a[0]) && !beats::<MAX>(self.0, a[0]) {
            self.0 = a[0];
        }
        out[0] = self.0;
    }
    fn reset(&mut self) {
        self.0 = f64::NAN;
    }
}
