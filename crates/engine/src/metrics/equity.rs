//! The equity track, walked segment by segment.

use super::Calendar;
use crate::EquitySegment;
use springtide_domain::BarsView;

/// Bars `from..to`, on which equity is `base + slope * close`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub from: usize,
    pub to: usize,
    pub base: f64,
    pub slope: f64,
}

/// The segments as stretches that cover every bar once: a flat one at `initial` before the first
/// segment, empty ones left out.
pub(super) fn ranges(
    segments: &[EquitySegment],
    bars: usize,
    initial: f64,
) -> impl Iterator<Item = Stretch> + '_ {
    let start = segments.first().map_or(bars, |s| (s.from_bar as usize).min(bars));
    let lead = Stretch { from: 0, to: start, base: initial, slope: 0.0 };
    let rest = segments.iter().enumerate().map(move |(k, s)| {
        let to = segments.get(k + 1).map_or(bars, |next| (next.from_bar as usize).min(bars));
        Stretch { from: s.from_bar as usize, to, base: s.base, slope: s.slope }
    });
    std::iter::once(lead).chain(rest).filter(|s| s.from < s.to)
}

/// Equity at the close of every bar, money. See [`compute`](super::compute) for `segments`.
pub fn equity_curve(bars: &BarsView<'_>, segments: &[EquitySegment], initial_capital: f64) -> Vec<f64> {
    let mut curve = Vec::with_capacity(bars.len());
    for s in ranges(segments, bars.len(), initial_capital) {
        curve.extend(bars.close[s.from..s.to].iter().map(|close| s.base + s.slope * close));
    }
    curve
}

/// What one walk over the equity track finds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Swing {
    pub last: f64,
    pub peak: f64,
    pub exposed_bars: usize,
    pub max_money: f64,
    pub max_fraction: f64,
    pub money_sum: f64,
    pub fraction_sum: f64,
    pub episodes: u32,
    pub longest_bars: u32,
    pub longest_ms: i64,
    /// Simple returns between consecutive period ends, the first period left out.
    pub returns: Vec<f64>,
    pub ulcer_pct: Option<f64>,
}

/// Walks stretches in order.
///
/// Deepest loss in money and in percent share their bar within one peak's reign, so a division is
/// needed only when a peak is passed, never per bar.
pub(super) struct EquityScan<'a> {
    time: &'a [i64],
    close: &'a [f64],
    ends: &'a [u32],
    next_end: usize,
    period_start: f64,
    period_peak: f64,
    ulcer_sum: f64,
    trough: f64,
    peak_bar: usize,
    swing: Swing,
}

/// Bars looked at together: a block whose best equity stays below the peak needs only its worst.
const BLOCK: usize = 64;

impl<'a> EquityScan<'a> {
    pub fn new(bars: &BarsView<'a>, calendar: &'a Calendar, initial: f64) -> Self {
        let ends = calendar.period_ends();
        Self {
            time: bars.time,
            close: bars.close,
            ends,
            next_end: 0,
            period_start: f64::NAN,
            period_peak: initial,
            ulcer_sum: 0.0,
            trough: initial,
            peak_bar: 0,
            swing: Swing {
                last: initial,
                peak: initial,
                returns: Vec::with_capacity(ends.len().saturating_sub(1)),
                ..Swing::default()
            },
        }
    }

    pub fn take(&mut self, s: Stretch) {
        if s.slope == 0.0 {
            self.flat(s);
        } else {
            self.swing.exposed_bars += s.to - s.from;
            self.in_position(s);
        }
        self.period_ends(s);
        self.swing.last = s.base + s.slope * self.close[s.to - 1];
    }

    pub fn finish(mut self) -> Swing {
        if self.trough < self.swing.peak {
            self.close_episode(self.close.len() - 1);
        }
        if self.next_end > 0 {
            let mean_square = self.ulcer_sum / self.next_end as f64;
            self.swing.ulcer_pct = super::finite(mean_square.sqrt() * 100.0);
        }
        self.swing
    }

    fn flat(&mut self, s: Stretch) {
        if s.base >= self.swing.peak {
            self.rise(s.base, s.from);
            self.peak_bar = s.to - 1;
        } else if s.base < self.trough {
            self.trough = s.base;
        }
    }

    fn in_position(&mut self, s: Stretch) {
        let mut from = s.from;
        while from < s.to {
            let to = s.to.min(from + BLOCK);
            let (low, high) = extremes(&self.close[from..to]);
            // Rounding is monotone, so the extreme closes give exactly the extreme equities.
            let (worst, best) = if s.slope > 0.0 { (low, high) } else { (high, low) };
            if s.base + s.slope * best < self.swing.peak {
                self.trough = self.trough.min(s.base + s.slope * worst);
            } else {
                self.each_bar(Stretch { from, to, ..s });
            }
            from = to;
        }
    }

    fn each_bar(&mut self, s: Stretch) {
        for (bar, close) in (s.from..).zip(&self.close[s.from..s.to]) {
            let equity = s.base + s.slope * close;
            if equity >= self.swing.peak {
                self.rise(equity, bar);
            } else if equity < self.trough {
                self.trough = equity;
            }
        }
    }

    /// Equity reaches or passes the peak at `bar`.
    fn rise(&mut self, equity: f64, bar: usize) {
        if self.trough < self.swing.peak {
            self.close_episode(bar);
        }
        self.swing.peak = equity;
        self.trough = equity;
        self.peak_bar = bar;
    }

    #[cold]
    fn close_episode(&mut self, bar: usize) {
        let w = &mut self.swing;
        let money = w.peak - self.trough;
        let fraction = if w.peak > 0.0 { money / w.peak } else { 0.0 };
        w.max_money = w.max_money.max(money);
        w.max_fraction = w.max_fraction.max(fraction);
        w.money_sum += money;
        w.fraction_sum += fraction;
        w.episodes += 1;
        w.longest_bars = w.longest_bars.max((bar - self.peak_bar) as u32);
        w.longest_ms = w.longest_ms.max(self.time[bar] - self.time[self.peak_bar]);
    }

    fn period_ends(&mut self, s: Stretch) {
        while let Some(&end) = self.ends.get(self.next_end)
            && (end as usize) < s.to
        {
            self.period_end(s.base + s.slope * self.close[end as usize]);
            self.next_end += 1;
        }
    }

    fn period_end(&mut self, equity: f64) {
        if self.next_end > 0 {
            let start = self.period_start;
            self.swing.returns.push(if start > 0.0 { equity / start - 1.0 } else { 0.0 });
        }
        self.period_start = equity;
        if equity >= self.period_peak {
            self.period_peak = equity;
        } else if self.period_peak > 0.0 {
            let down = 1.0 - equity / self.period_peak;
            self.ulcer_sum += down * down;
        }
    }
}

/// Smallest and largest of a non-empty slice without NaN, four lanes at a time.
#[inline]
fn extremes(values: &[f64]) -> (f64, f64) {
    let first = values[0];
    let (mut low, mut high) = ([first; 4], [first; 4]);
    let (chunks, rest) = values.as_chunks::<4>();
    for chunk in chunks {
        for lane in 0..4 {
            low[lane] = lesser(chunk[lane], low[lane]);
            high[lane] = greater(chunk[lane], high[lane]);
        }
    }
    for (lane, value) in rest.iter().enumerate() {
        low[lane] = lesser(*value, low[lane]);
        high[lane] = greater(*value, high[lane]);
    }
    let low = lesser(lesser(low[0], low[1]), lesser(low[2], low[3]));
    let high = greater(greater(high[0], high[1]), greater(high[2], high[3]));
    (low, high)
}

// One machine instruction each, unlike `f64::min`, which must look for NaN.
#[inline]
fn lesser(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

#[inline]
fn greater(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}
