//! `strategy.closedtrades.*` and `strategy.opentrades.*` accessors.

use super::functions::Function;
use super::machine::{CallSite, Machine};
use super::run::RunError;
use springtide_engine::{
    Trade,
    broker::{Broker, OpenTrade},
};

/// The accessor of this name.
pub(super) fn find(name: &str) -> Option<Function> {
    if let Some(field) = name.strip_prefix("strategy.closedtrades.") {
        return Some(match field {
            "profit" => |m, _, a| closed(m, a, |t, _| t.profit),
            "profit_percent" => {
                |m, _, a| closed(m, a, |t, pv| t.profit / (t.qty * t.entry_price * pv) * 100.0)
            }
            "entry_price" => |m, _, a| closed(m, a, |t, _| t.entry_price),
            "exit_price" => |m, _, a| closed(m, a, |t, _| t.exit_price),
            "entry_bar_index" => |m, _, a| closed(m, a, |t, _| f64::from(t.entry_bar)),
            "exit_bar_index" => |m, _, a| closed(m, a, |t, _| f64::from(t.exit_bar)),
            "entry_time" => |m, _, a| closed_time(m, a, |t| t.entry_bar),
            "exit_time" => |m, _, a| closed_time(m, a, |t| t.exit_bar),
            "size" => |m, _, a| closed(m, a, |t, _| t.qty * t.side.sign()).map(or_zero),
            "commission" => |m, _, a| closed(m, a, |t, _| t.commission),
            "max_runup" => |m, _, a| closed(m, a, |t, _| t.max_runup),
            "max_drawdown" => |m, _, a| closed(m, a, |t, _| t.max_drawdown),
            "max_runup_percent" => {
                |m, _, a| closed(m, a, |t, pv| t.max_runup / (t.qty * t.entry_price * pv) * 100.0)
            }
            "max_drawdown_percent" => {
                |m, _, a| closed(m, a, |t, pv| t.max_drawdown / (t.qty * t.entry_price * pv) * 100.0)
            }
            "entry_id" => |m, _, a| closed(m, a, |t, _| f64::from(t.entry_id.0)),
            "exit_id" => |m, _, a| closed(m, a, |t, _| f64::from(t.exit_id.0)),
            "entry_comment" => |m, _, a| closed(m, a, |t, _| f64::from(t.entry_comment.0)),
            "exit_comment" => |m, _, a| closed(m, a, |t, _| f64::from(t.exit_comment.0)),
            _ => return None,
        });
    }
    let field = name.strip_prefix("strategy.opentrades.")?;
    Some(match field {
        "profit" => |m, s, a| open_profit(m, s, a, false),
        "profit_percent" => |m, s, a| open_profit(m, s, a, true),
        "entry_price" => |m, _, a| open(m, a, |t| t.entry_price),
        "entry_bar_index" => |m, _, a| open(m, a, |t| f64::from(t.entry_bar)),
        "entry_time" => |m, _, a| {
            let bar = open(m, a, |t| f64::from(t.entry_bar))?;
            Ok(if bar.is_nan() { f64::NAN } else { m.world.bars.time[bar as usize] as f64 })
        },
        "size" => |m, _, a| open(m, a, |t| t.qty * t.side.sign()).map(or_zero),
        "commission" => |m, _, a| open(m, a, |t| t.commission),
        "max_runup" => |m, _, a| open(m, a, |t| t.max_runup),
        "max_drawdown" => |m, _, a| open(m, a, |t| t.max_drawdown),
        "max_runup_percent" => |m, _, a| open(m, a, |t| t.max_runup / (t.qty * t.entry_price) * 100.0),
        "max_drawdown_percent" => |m, _, a| open(m, a, |t| t.max_drawdown / (t.qty * t.entry_price) * 100.0),
        "entry_id" => |m, _, a| open(m, a, |t| f64::from(t.entry_id.0)),
        "entry_comment" => |m, _, a| open(m, a, |t| f64::from(t.entry_comment.0)),
        _ => return None,
    })
}

fn index(a: &[f64]) -> Option<usize> {
    a.first().filter(|x| **x >= 0.0).map(|x| *x as usize)
}

/// A trade that is not there has no size, which is 0: scripts ask for `size(opentrades - 1)` while flat.
fn or_zero(size: f64) -> f64 {
    if size.is_nan() { 0.0 } else { size }
}

fn closed(m: &mut Machine<'_, '_>, a: &[f64], f: fn(&Trade, f64) -> f64) -> Result<f64, RunError> {
    let point_value = m.world.symbol.point_value;
    let trade = index(a).and_then(|k| m.broker.as_ref()?.closed_trades().get(k));
    Ok(trade.map_or(f64::NAN, |t| f(t, point_value)))
}

fn closed_time(m: &mut Machine<'_, '_>, a: &[f64], f: fn(&Trade) -> u32) -> Result<f64, RunError> {
    let bar = index(a).and_then(|k| m.broker.as_ref()?.closed_trades().get(k)).map(f);
    Ok(bar.map_or(f64::NAN, |b| m.world.bars.time[b as usize] as f64))
}

fn open(m: &mut Machine<'_, '_>, a: &[f64], f: fn(&OpenTrade) -> f64) -> Result<f64, RunError> {
    Ok(index(a).and_then(|k| m.broker.as_mut()?.open_trades().get(k)).map_or(f64::NAN, f))
}

fn open_profit(m: &mut Machine<'_, '_>, _: &CallSite, a: &[f64], percent: bool) -> Result<f64, RunError> {
    let close = m.broker.as_ref().map_or(f64::NAN, Broker::price);
    let point_value = m.world.symbol.point_value;
    let trade = index(a).and_then(|k| m.broker.as_mut()?.open_trades().get(k));
    Ok(trade.map_or(f64::NAN, |t| {
        let profit = t.side.sign() * t.qty * (close - t.entry_price) * point_value - t.commission;
        if percent { profit / (t.qty * t.entry_price * point_value) * 100.0 } else { profit }
    }))
}
