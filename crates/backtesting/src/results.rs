//! What a finished run gives to Python.

use super::{
    broker::{Broker, SharedBars, units},
    numpy,
    version::rules,
};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyList},
};
use springtide_domain::BarsView;
use springtide_engine::{
    ExitReason,
    backtesting_py::{Exit, IndexKind, SimTrade, Span, StatValue, Stats},
};

/// The columns of the trade table by their names.
pub fn trade_columns<'py>(broker: &Bound<'py, Broker>) -> PyResult<Bound<'py, PyDict>> {
    let py = broker.py();
    let account = broker.get().account.read()?;
    let sim = &account.sim;
    let trades: Vec<&SimTrade> = sim.closed_trades().collect();
    let floats =
        |f: &dyn Fn(&SimTrade) -> f64| numpy::array(py, &trades.iter().map(|t| f(t)).collect::<Vec<f64>>());
    let bars = |f: &dyn Fn(&SimTrade) -> usize| PyList::new(py, trades.iter().map(|t| f(t)));
    let exit = |t: &SimTrade| t.exit.map_or((0, f64::NAN), |exit| (exit.bar, exit.price));
    let columns = PyDict::new(py);
    let sizes: Vec<Py<PyAny>> = trades.iter().map(|t| units(py, t)).collect::<PyResult<_>>()?;
    columns.set_item("Size", sizes)?;
    columns.set_item("EntryBar", bars(&|t| t.entry_bar)?)?;
    columns.set_item("ExitBar", bars(&|t| exit(t).0)?)?;
    columns.set_item("EntryPrice", floats(&|t| t.entry_price)?)?;
    columns.set_item("ExitPrice", floats(&|t| exit(t).1)?)?;
    let full = rules().tells_all_of_trades;
    if full {
        columns.set_item("SL", PyList::new(py, trades.iter().map(|t| sim.stop_loss(t)))?)?;
        columns.set_item("TP", PyList::new(py, trades.iter().map(|t| sim.take_profit(t)))?)?;
    }
    columns.set_item("PnL", floats(&SimTrade::pnl)?)?;
    if full {
        columns.set_item("Commission", floats(&|t| t.commissions)?)?;
    }
    columns.set_item("ReturnPct", floats(&SimTrade::return_fraction)?)?;
    let tags: Vec<Py<PyAny>> = trades.iter().map(|t| account.tag(py, t.tag)).collect();
    columns.set_item("Tag", tags)?;
    Ok(columns)
}

/// The statistics of a finished run.
pub fn statistics<'py>(
    broker: &Bound<'py, Broker>,
    warmup: usize,
    calendar: Calendar,
    risk_free_rate: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let account = broker.get().account.read()?;
    let sim = &account.sim;
    let trades: Vec<SimTrade> = sim.closed_trades().copied().collect();
    let bars = account.bars().view();
    results(broker.py(), &bars, &calendar, sim.equity(), &trades, warmup, risk_free_rate)
}

/// How the bars' times are read.
pub struct Calendar {
    /// `"ms"` or `"ns"` since the epoch; none for plain numbers.
    pub unit: Option<String>,
    /// The same in the index's own time zone, where that is not UTC.
    pub wall: Option<Vec<i64>>,
}

/// Statistics of any equity and trades on these bars.
#[pyfunction]
#[pyo3(name = "_compute_statistics")]
pub fn compute_statistics<'py>(
    bars: &Bound<'py, SharedBars>,
    unit: Option<String>,
    wall: Option<Vec<i64>>,
    equity: &Bound<'_, PyAny>,
    size: &Bound<'_, PyAny>,
    entry_price: &Bound<'_, PyAny>,
    exit_price: &Bound<'_, PyAny>,
    commission: &Bound<'_, PyAny>,
    entry_bar: Vec<usize>,
    exit_bar: Vec<usize>,
    warmup: usize,
    risk_free_rate: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let view = bars.get().0.view();
    let equity = numpy::floats(equity)?;
    let (size, commission) = (numpy::floats(size)?, numpy::floats(commission)?);
    let (entry_price, exit_price) = (numpy::floats(entry_price)?, numpy::floats(exit_price)?);
    let n = view.close.len();
    if equity.len() != n || entry_bar.iter().chain(&exit_bar).any(|bar| *bar >= n) {
        return Err(PyValueError::new_err(
            "the equity curve or the trades are not of this data: pass the data of the run",
        ));
    }
    let trade = |k: usize| {
        let exit = Exit { price: exit_price[k], bar: exit_bar[k], reason: ExitReason::Close };
        SimTrade::closed(size[k], entry_price[k], entry_bar[k], exit, commission[k])
    };
    let trades: Vec<SimTrade> = (0..size.len()).map(trade).collect();
    results(bars.py(), &view, &Calendar { unit, wall }, &equity, &trades, warmup, risk_free_rate)
}

/// `rows`: name to value, a length on a date index as `(unit, number)`; `episodes`: `(start, end)` bars;
/// `equity`, one per bar.
fn results<'py>(
    py: Python<'py>,
    bars: &BarsView<'_>,
    calendar: &Calendar,
    equity: &[f64],
    trades: &[SimTrade],
    warmup: usize,
    risk_free_rate: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let unit = calendar.unit.as_deref();
    let kind = match unit {
        None => IndexKind::Number,
        Some("ns") => IndexKind::DatetimeNanos,
        Some(_) => IndexKind::Datetime,
    };
    let wall = calendar.wall.as_deref().unwrap_or(bars.time);
    let stats = Stats::compute(bars, kind, wall, equity, trades, warmup, risk_free_rate, *rules());
    let rows = PyDict::new(py);
    for (name, value) in stats.rows() {
        match value {
            StatValue::Number(x) | StatValue::Span(Span::Number(x)) => {
                rows.set_item(name, numpy::float(py, x)?)?
            }
            StatValue::Count(n) => rows.set_item(name, n)?,
            StatValue::Index(at) => rows.set_item(name, at)?,
            StatValue::Span(Span::Time(ticks)) => rows.set_item(name, (unit, ticks))?,
        }
    }
    let episodes: Vec<(usize, usize)> = stats.episodes.iter().map(|e| (e.start, e.end)).collect();
    let results = PyDict::new(py);
    results.set_item("rows", rows)?;
    results.set_item("episodes", episodes)?;
    results.set_item("equity", numpy::array(py, equity)?)?;
    Ok(results)
}

/// Names of all rows of the statistics.
#[pyfunction]
#[pyo3(name = "_statistic_names")]
pub fn statistic_names() -> Vec<&'static str> {
    let there = |name: &&str| !rules().rows_left_out.contains(name);
    Stats::NAMES.iter().copied().filter(there).collect()
}
