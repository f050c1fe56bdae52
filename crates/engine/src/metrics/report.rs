//! Tables for reports; none of this is needed per run of a sweep.

use super::{calendar::month_of, equity_curve, percent};
use crate::EquitySegment;
use serde::{Deserialize, Serialize};
use springtide_domain::BarsView;

/// One stretch below an equity peak. Bars are indices into the run's bars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drawdown {
    /// The last bar at the peak; bar 0 when equity never was above the initial capital before.
    pub start: u32,
    /// The first bar at the lowest equity.
    pub trough: u32,
    /// The first bar back at the peak or above; none while it lasts.
    pub end: Option<u32>,
    /// Loss from the peak at the trough, percent of the peak.
    pub depth_pct: f64,
    /// Loss from the peak at the trough, money.
    pub money: f64,
    /// Bars from start to end, or to the last bar.
    pub duration_bars: u32,
    /// Milliseconds from the opens of the same two bars.
    pub duration_ms: i64,
}

/// Returns of one calendar year (UTC), percent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct YearReturns {
    /// The year.
    pub year: i32,
    /// January to December; none for months without bars.
    pub months: [Option<f64>; 12],
    /// From the equity before the year's first bar to the equity at its last.
    pub total_pct: Option<f64>,
}

/// The `top` deepest drawdowns in percent, deepest first; earlier first when equal.
pub fn drawdowns(
    bars: &BarsView<'_>,
    segments: &[EquitySegment],
    initial_capital: f64,
    top: usize,
) -> Vec<Drawdown> {
    let curve = equity_curve(bars, segments, initial_capital);
    let mut found = episodes(&curve, bars.time, initial_capital);
    found.sort_by(|a, b| b.depth_pct.total_cmp(&a.depth_pct));
    found.truncate(top);
    found
}

fn episodes(curve: &[f64], time: &[i64], initial: f64) -> Vec<Drawdown> {
    let mut found = Vec::new();
    let (mut peak, mut start, mut trough) = (initial, 0usize, None::<usize>);
    for (bar, &equity) in curve.iter().enumerate() {
        if equity >= peak {
            if let Some(low) = trough.take() {
                found.push(episode(curve, time, peak, start, low, Some(bar)));
            }
            (peak, start) = (equity, bar);
        } else if trough.is_none_or(|low| equity < curve[low]) {
            trough = Some(bar);
        }
    }
    if let Some(low) = trough {
        found.push(episode(curve, time, peak, start, low, None));
    }
    found
}

fn episode(
    curve: &[f64],
    time: &[i64],
    peak: f64,
    start: usize,
    trough: usize,
    end: Option<usize>,
) -> Drawdown {
    let last = end.unwrap_or(curve.len() - 1);
    let money = peak - curve[trough];
    Drawdown {
        start: start as u32,
        trough: trough as u32,
        end: end.map(|bar| bar as u32),
        depth_pct: percent(money, peak).unwrap_or(0.0),
        money,
        duration_bars: (last - start) as u32,
        duration_ms: time[last] - time[start],
    }
}

/// The table year x month of returns; the first month starts from the initial capital.
pub fn monthly_returns(
    bars: &BarsView<'_>,
    segments: &[EquitySegment],
    initial_capital: f64,
) -> Vec<YearReturns> {
    let curve = equity_curve(bars, segments, initial_capital);
    let mut table: Vec<YearReturns> = Vec::new();
    let (mut month_start, mut year_start) = (initial_capital, initial_capital);
    for (bar, &equity) in curve.iter().enumerate() {
        let month = month_of(bars.time[bar]);
        if bars.time.get(bar + 1).is_some_and(|next| month_of(*next) == month) {
            continue;
        }
        let year = month.div_euclid(12) as i32;
        if table.last().is_none_or(|row| row.year != year) {
            year_start = month_start;
            table.push(YearReturns { year, months: [None; 12], total_pct: None });
        }
        if let Some(row) = table.last_mut() {
            row.months[month.rem_euclid(12) as usize] = percent(equity - month_start, month_start);
            row.total_pct = percent(equity - year_start, year_start);
        }
        month_start = equity;
    }
    table
}
