//! Everything a person may want to see of one run, computed from its output.

use super::curve::thin;
use crate::{dataset::DataSet, execute::RunOutput};
use serde::Serialize;
use springtide_engine::{
    Trade,
    metrics::{drawdowns, equity_curve, monthly_returns},
};

/// Points of a chart's curve; more than a wide screen has pixels gains nothing.
const CURVE_POINTS: usize = 1_600;
/// Bars of candles embedded in a page, about 40 bytes each.
const CANDLES_MAX: usize = 40_000;
const TOP_DRAWDOWNS: usize = 10;

/// One run in full. Times are epoch ms UTC, money in the account's currency.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct RunDetail {
    pub run: String,
    pub curve: Curve,
    pub monthly: Vec<YearRow>,
    pub drawdowns: Vec<DrawdownRow>,
    pub trades: Vec<TradeRow>,
    pub trades_total: usize,
    pub candles: Option<Candles>,
    pub notes: Vec<String>,
    pub logs: Vec<String>,
}

/// Equity at bar closes, thinned.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Curve {
    pub t: Vec<i64>,
    pub equity: Vec<f64>,
    /// Percent below the highest equity so far, positive.
    pub drawdown: Vec<f64>,
    /// The same money in the market from the first bar's close.
    pub hold: Vec<f64>,
}

/// Monthly returns of one year, percent.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct YearRow {
    pub year: i32,
    pub months: [Option<f64>; 12],
    pub total: Option<f64>,
}

/// One of the deepest drawdowns.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct DrawdownRow {
    pub depth_pct: f64,
    pub depth: f64,
    pub start_ms: i64,
    pub trough_ms: i64,
    pub end_ms: Option<i64>,
    pub length_ms: i64,
}

/// A trade, open ones without exit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct TradeRow {
    pub n: usize,
    pub side: &'static str,
    pub qty: f64,
    pub entry_bar: u32,
    pub entry_ms: i64,
    pub entry_price: f64,
    /// Signal: the entry's comment, else its id.
    pub entry: String,
    pub exit_bar: Option<u32>,
    pub exit_ms: Option<i64>,
    pub exit_price: Option<f64>,
    pub exit: String,
    pub commission: f64,
    /// Net of commission.
    pub profit: f64,
    /// Of the money put in.
    pub profit_pct: Option<f64>,
    pub max_runup: f64,
    pub max_drawdown: f64,
}

/// Bars as columns.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Candles {
    /// Index of the first bar shown.
    pub first: usize,
    pub t: Vec<i64>,
    pub o: Vec<f64>,
    pub h: Vec<f64>,
    pub l: Vec<f64>,
    pub c: Vec<f64>,
}

impl RunDetail {
    /// Gathers the detail of a run; `candles` embeds the bars when there are not too many.
    pub fn new(run: &str, data: &DataSet, output: &RunOutput, initial_capital: f64, candles: bool) -> Self {
        let bars = data.bars.view();
        let segments = &output.simulation.segments;
        let time = |bar: u32| bars.time[bar as usize];
        let year = |y: springtide_engine::metrics::YearReturns| YearRow {
            year: y.year,
            months: y.months,
            total: y.total_pct,
        };
        let drop = |d: springtide_engine::metrics::Drawdown| DrawdownRow {
            depth_pct: d.depth_pct,
            depth: d.money,
            start_ms: time(d.start),
            trough_ms: time(d.trough),
            end_ms: d.end.map(time),
            length_ms: d.duration_ms,
        };
        let trades = trade_rows(data, output);
        Self {
            run: run.into(),
            curve: curve(data, output, initial_capital),
            monthly: monthly_returns(&bars, segments, initial_capital).into_iter().map(year).collect(),
            drawdowns: drawdowns(&bars, segments, initial_capital, TOP_DRAWDOWNS)
                .into_iter()
                .map(drop)
                .collect(),
            trades_total: trades.len(),
            trades,
            candles: (candles && bars.len() <= CANDLES_MAX).then(|| Candles {
                first: 0,
                t: bars.time.to_vec(),
                o: bars.open.to_vec(),
                h: bars.high.to_vec(),
                l: bars.low.to_vec(),
                c: bars.close.to_vec(),
            }),
            notes: output.notes.clone(),
            logs: output.logs.clone(),
        }
    }
}

fn curve(data: &DataSet, output: &RunOutput, initial_capital: f64) -> Curve {
    let bars = data.bars.view();
    let equity = equity_curve(&bars, &output.simulation.segments, initial_capital);
    let mut peak = initial_capital;
    let drawdown: Vec<f64> = equity
        .iter()
        .map(|e| {
            peak = peak.max(*e);
            if peak > 0.0 { (peak - e) / peak * 100.0 } else { 0.0 }
        })
        .collect();
    let kept = thin(&equity, CURVE_POINTS);
    let first = bars.close.first().copied().unwrap_or(1.0);
    Curve {
        t: kept.iter().map(|i| bars.time[*i]).collect(),
        equity: kept.iter().map(|i| cents(equity[*i])).collect(),
        drawdown: kept.iter().map(|i| cents(drawdown[*i])).collect(),
        hold: kept.iter().map(|i| cents(initial_capital * bars.close[*i] / first)).collect(),
    }
}

/// Two decimals are all a chart can show and keep the page small.
fn cents(x: f64) -> f64 {
    if x.is_finite() { (x * 100.0).round() / 100.0 } else { 0.0 }
}

/// All trades of a run in closing order, then the open ones.
pub fn trade_rows(data: &DataSet, output: &RunOutput) -> Vec<TradeRow> {
    let bars = data.bars.view();
    let signal = |comment, id: String| {
        let text = output.names.get(comment);
        if text.is_empty() { id } else { text.to_owned() }
    };
    let name = |id| output.names.get(id).to_owned();
    let closed = |t: &Trade| TradeRow {
        n: 0,
        side: side(t.side),
        qty: t.qty,
        entry_bar: t.entry_bar,
        entry_ms: bars.time[t.entry_bar as usize],
        entry_price: t.entry_price,
        entry: signal(t.entry_comment, name(t.entry_id)),
        exit_bar: Some(t.exit_bar),
        exit_ms: Some(bars.time[t.exit_bar as usize]),
        exit_price: Some(t.exit_price),
        exit: signal(t.exit_comment, t.reason.signal(&name(t.exit_id)).into_owned()),
        commission: t.commission,
        profit: t.profit,
        profit_pct: share(t.profit, t.qty * t.entry_price * data.symbol.point_value),
        max_runup: t.max_runup,
        max_drawdown: t.max_drawdown,
    };
    let last = bars.close.last().copied().unwrap_or(f64::NAN);
    let mut rows: Vec<TradeRow> = output.simulation.trades.iter().map(closed).collect();
    for t in &output.simulation.open {
        let gross = t.side.sign() * t.qty * (last - t.entry_price) * data.symbol.point_value;
        rows.push(TradeRow {
            n: 0,
            side: side(t.side),
            qty: t.qty,
            entry_bar: t.entry_bar,
            entry_ms: bars.time[t.entry_bar as usize],
            entry_price: t.entry_price,
            entry: signal(t.entry_comment, name(t.entry_id)),
            exit_bar: None,
            exit_ms: None,
            exit_price: None,
            exit: String::new(),
            commission: t.commission,
            profit: gross - t.commission,
            profit_pct: share(gross - t.commission, t.qty * t.entry_price * data.symbol.point_value),
            max_runup: t.max_runup,
            max_drawdown: t.max_drawdown,
        });
    }
    rows.iter_mut().enumerate().for_each(|(i, row)| row.n = i + 1);
    rows
}

fn side(side: springtide_engine::Side) -> &'static str {
    match side {
        springtide_engine::Side::Long => "long",
        springtide_engine::Side::Short => "short",
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    let percent = part / whole * 100.0;
    percent.is_finite().then_some(percent)
}
