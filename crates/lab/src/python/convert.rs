//! A Python run as the engine's simulations are, so that one place computes all metrics.

use crate::{
    dataset::{Cut, DataSet},
    execute::{RunFailure, RunOutput, RunSpec},
};
use springtide_domain::{Bars, BarsView, OwnedBars, SymbolInfo, Timeframe};
use springtide_engine::{
    Account, EquitySegment, ExitReason, Side, Trade,
    broker::{NameId, OpenTrade, Simulation},
    metrics::{self, MetricsInput},
};
use springtide_pine::vm::NameTable;
use springtide_python::{ScriptRun, ScriptTrade};
use std::collections::BTreeMap;

/// What stands for the symbol of bars that a script has brought along: which market they are of is not known.
const OWN_DATA: &str = "own data";

/// The cash it began with.
pub(super) fn capital(run: &ScriptRun) -> f64 {
    let said = run.account.get("cash").and_then(serde_json::Value::as_f64);
    said.filter(|cash| cash.is_finite() && *cash > 0.0).unwrap_or(run.equity[0])
}

/// The run with metrics, and its bars where they are its own.
pub(super) fn output(
    spec: &RunSpec<'_>,
    mut run: ScriptRun,
    notes: Vec<String>,
    logs: Vec<String>,
) -> Result<(RunOutput, Option<DataSet>), RunFailure> {
    let own = run.bars.take().map(|bars| own_data(spec.data, bars, &run));
    let own = own.transpose().map_err(RunFailure::Data)?;
    let data = own.as_ref().unwrap_or(spec.data);
    let bars = data.bars.view();
    if bars.len() != run.equity.len() {
        let text = format!("its equity has {} bars, the data {}", run.equity.len(), bars.len());
        return Err(RunFailure::Data(text));
    }
    let (names, ids) = tags(&run);
    let simulation = Simulation {
        trades: run.trades.iter().map(|trade| closed(trade, ids[&trade.tag], &bars)).collect(),
        open: run.open.iter().map(|o| open_trade(o, ids[&o.tag], &bars)).collect(),
        segments: segments(&run.equity),
        commission_paid: run.trades.iter().map(|t| t.commission).sum(),
        open_profit: run.open.iter().map(|o| o.pl).sum(),
        ..Simulation::default()
    };
    let input = MetricsInput {
        risk_free_rate: Account::default().risk_free_rate,
        commission_paid: simulation.commission_paid,
        open_trades: simulation.open.len() as u32,
        open_profit: simulation.open_profit,
        ..MetricsInput::new(capital(&run))
    };
    let mut metrics =
        metrics::compute(&bars, &data.calendar, &simulation.trades, &simulation.segments, &input);
    metrics.exposure_pct = Some(exposure(&run));
    Ok((RunOutput { simulation, metrics, names, logs, notes }, own))
}

/// The bars of a script's own frame: of the data set's symbol where it has made them of it. Bars without times are
/// given some.
fn own_data(data: &DataSet, mut bars: OwnedBars, run: &ScriptRun) -> Result<DataSet, String> {
    let rows = run.equity.len();
    let mut timeframe = data.timeframe;
    if bars.time.len() == rows {
        timeframe = Timeframe::detect(&bars.time[..rows.min(2_001)]).unwrap_or(timeframe);
    } else {
        let step = timeframe.nominal_ms();
        let first = data.bars.view().time.first().copied().unwrap_or(0);
        bars.time = (0..rows as i64).map(|i| first + i * step).collect();
    }
    let symbol = match run.from_given {
        true => data.symbol.clone(),
        false => SymbolInfo { ticker: OWN_DATA.into(), ..SymbolInfo::default() },
    };
    let hash = springtide_io::content_hash(&bars.view(), timeframe);
    DataSet::new(&data.path, symbol, timeframe, Bars::from(bars), hash, Cut::default())
}

/// All tags, each once.
fn tags(run: &ScriptRun) -> (NameTable, BTreeMap<String, NameId>) {
    let mut texts = vec![String::new()];
    let mut ids = BTreeMap::from([(String::new(), NameId(0))]);
    for tag in run.trades.iter().map(|t| &t.tag).chain(run.open.iter().map(|o| &o.tag)) {
        if !ids.contains_key(tag) {
            ids.insert(tag.clone(), NameId(texts.len() as u32));
            texts.push(tag.clone());
        }
    }
    (NameTable::new(texts), ids)
}

fn side(size: f64) -> Side {
    if size > 0.0 { Side::Long } else { Side::Short }
}

fn closed(trade: &ScriptTrade, tag: NameId, bars: &BarsView<'_>) -> Trade {
    let side = side(trade.size);
    let qty = trade.size.abs();
    let last = trade.exit_bar.max(trade.entry_bar);
    let (max_runup, max_drawdown) = swing(side, qty, trade.entry_price, trade.entry_bar, last, bars);
    Trade {
        side,
        qty,
        entry_bar: trade.entry_bar,
        exit_bar: trade.exit_bar,
        entry_price: trade.entry_price,
        exit_price: trade.exit_price,
        entry_id: tag,
        exit_id: NameId(0),
        entry_comment: NameId(0),
        exit_comment: NameId(0),
        reason: reason(trade),
        commission: trade.commission,
        profit: trade.pnl,
        max_runup,
        max_drawdown,
        entry_seq: 0,
        exit_seq: 0,
    }
}

/// By the price: the library does not say what closed a trade. A stop may be passed by a gap, never missed.
fn reason(trade: &ScriptTrade) -> ExitReason {
    let sign = trade.size.signum();
    let beyond = |level: f64, sign: f64| (trade.exit_price - level) * sign >= 0.0;
    match (trade.sl, trade.tp) {
        (Some(sl), _) if beyond(sl, -sign) => ExitReason::Stop,
        (_, Some(tp)) if beyond(tp, sign) => ExitReason::Limit,
        _ => ExitReason::CloseAll,
    }
}

fn open_trade(o: &springtide_python::OpenPosition, tag: NameId, bars: &BarsView<'_>) -> OpenTrade {
    let (side, qty) = (side(o.size), o.size.abs());
    let last = bars.len() as u32 - 1;
    let swing = swing(side, qty, o.entry_price, o.entry_bar, last, bars);
    OpenTrade::reported(side, qty, o.entry_bar, o.entry_price, tag, swing)
}

/// Best and worst open profit between two bars, both included; money, >= 0.
fn swing(side: Side, qty: f64, entry: f64, from: u32, to: u32, bars: &BarsView<'_>) -> (f64, f64) {
    let range = from as usize..to as usize + 1;
    let high = bars.high[range.clone()].iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = bars.low[range].iter().copied().fold(f64::INFINITY, f64::min);
    let (a, b) = (side.sign() * (high - entry) * qty, side.sign() * (low - entry) * qty);
    (a.max(b).max(0.0), (-a.min(b)).max(0.0))
}

/// One piece for every change of equity; exact, since none depends on the close.
fn segments(equity: &[f64]) -> Vec<EquitySegment> {
    let mut segments: Vec<EquitySegment> = Vec::new();
    for (bar, value) in equity.iter().enumerate() {
        if segments.last().is_none_or(|s| s.base.to_bits() != value.to_bits()) {
            segments.push(EquitySegment { from_bar: bar as u32, base: *value, slope: 0.0 });
        }
    }
    segments
}

/// Percent of bars from the entry to the exit of some trade, both included.
fn exposure(run: &ScriptRun) -> f64 {
    let rows = run.equity.len();
    let mut steps = vec![0_i32; rows + 1];
    let closed = run.trades.iter().map(|t| (t.entry_bar, t.exit_bar.max(t.entry_bar)));
    let open = run.open.iter().map(|o| (o.entry_bar, rows as u32 - 1));
    for (from, to) in closed.chain(open) {
        steps[from as usize] += 1;
        steps[to as usize + 1] -= 1;
    }
    let mut held = 0;
    let bars = steps[..rows].iter().filter(|step| {
        held += **step;
        held > 0
    });
    bars.count() as f64 / rows as f64 * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use springtide_python::Stats;

    fn trade(size: f64, entry_bar: u32, exit_bar: u32, exit_price: f64) -> ScriptTrade {
        ScriptTrade {
            size,
            entry_bar,
            exit_bar,
            entry_price: 10.0,
            exit_price,
            sl: Some(9.0),
            tp: Some(12.0),
            pnl: 0.0,
            commission: 0.0,
            tag: String::new(),
        }
    }

    #[test]
    fn exits_are_told_by_their_price() {
        for (exit, expected) in [
            (9.0, ExitReason::Stop),
            (8.5, ExitReason::Stop),
            (12.0, ExitReason::Limit),
            (13.0, ExitReason::Limit),
            (11.0, ExitReason::CloseAll),
        ] {
            assert_eq!(reason(&trade(1.0, 0, 1, exit)), expected, "{exit}");
        }
        let short = ScriptTrade { sl: Some(11.0), tp: Some(8.0), ..trade(-1.0, 0, 1, 11.5) };
        assert_eq!(reason(&short), ExitReason::Stop);
    }

    #[test]
    fn equity_is_kept_to_the_bit_and_exposure_counts_bars_once() {
        let equity = vec![100.0, 100.0, 101.5, 101.5, 99.0];
        let found = segments(&equity);
        assert_eq!(found.iter().map(|s| s.from_bar).collect::<Vec<_>>(), [0, 2, 4]);
        let run = ScriptRun {
            strategy: "S".into(),
            params: BTreeMap::new(),
            account: BTreeMap::new(),
            equity,
            trades: vec![trade(1.0, 1, 2, 11.0), trade(1.0, 2, 2, 11.0), trade(1.0, 3, 2, 11.0)],
            open: Vec::new(),
            stats: Stats::default(),
            bars: None,
            dated: true,
            from_given: true,
            tried: None,
            no_trade: None,
            elapsed_us: 0,
        };
        assert_eq!(exposure(&run), 60.0);
        assert_eq!(capital(&run), 100.0);
    }
}
