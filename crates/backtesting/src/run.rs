//! The main loop.

use super::{
    broker::{Broker, refused, text as number, warn},
    data::Data,
    numpy,
    version::rules,
    views::{Held, View},
};
use pyo3::{
    exceptions::PyAssertionError,
    intern,
    prelude::*,
    types::{PyDict, PyString},
};
use springtide_engine::backtesting_py::{Notice, OrderError, OrderRequest, Sim, Step};

/// Runs a strategy from bar `start` to the last, `init` being done. `indicators` names the attributes that
/// hold indicators, with the whole arrays.
#[pyfunction]
#[pyo3(name = "_run")]
pub fn run(
    strategy: &Bound<'_, PyAny>,
    broker: &Bound<'_, Broker>,
    data: &Bound<'_, Data>,
    indicators: Vec<(Bound<'_, PyString>, Bound<'_, PyAny>)>,
    start: usize,
) -> PyResult<()> {
    let py = strategy.py();
    let bars = broker.get().account.read()?.bars().close.len();
    let data = data.get();
    data.forget_views(py)?;
    let holder = strategy.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    let mut views = Vec::new();
    if start < bars {
        for (name, full) in &indicators {
            views.push(View::new(&holder, name, full, start)?);
        }
    }
    let next = strategy.getattr(intern!(py, "next"))?;
    let mut seen = 0;
    for bar in start..bars {
        let length = bar + 1;
        data.set_length(py, length)?;
        for view in &mut views {
            if view.advance(py, length)? == Held::Replaced {
                view.renew(py, length)?;
            }
        }
        let step = broker.get().account.write()?.sim.step_broker(bar);
        after_step(py, broker.get(), &mut seen)?;
        if step == Step::Ruined {
            break;
        }
        next.call0()?;
    }
    finish(py, broker.get(), &mut seen)?;
    data.set_length(py, bars)
}

/// Runs from bar `start` to the last on vectors alone: `entry` holds an order's size for each bar, `portion` what to
/// close of the trades first, positive of long ones, negative of short ones; zero or NaN for nothing.
#[pyfunction]
#[pyo3(name = "_run_signals")]
pub fn run_signals(
    broker: &Bound<'_, Broker>,
    entry: &Bound<'_, PyAny>,
    portion: &Bound<'_, PyAny>,
    start: usize,
) -> PyResult<()> {
    let (py, broker) = (broker.py(), broker.get());
    let (entry, portion) = (numpy::floats(entry)?, numpy::floats(portion)?);
    let mut seen = 0;
    for (bar, (size, portion)) in entry.iter().zip(&portion).enumerate().skip(start) {
        let (step, noticed) = {
            let sim = &mut broker.account.write()?.sim;
            let step = sim.step_broker(bar);
            if step == Step::Running {
                close_portion(sim, *portion).and_then(|()| enter(sim, *size)).map_err(refused)?;
            }
            (step, sim.notices().len() > seen)
        };
        if noticed || broker.has_commission_function() {
            after_step(py, broker, &mut seen)?;
        }
        if step == Step::Ruined {
            break;
        }
    }
    finish(py, broker, &mut seen)
}

fn close_portion(sim: &mut Sim<'_>, portion: f64) -> Result<(), OrderError> {
    if portion == 0.0 || portion.is_nan() {
        return Ok(());
    }
    for id in sim.open_trades().to_vec() {
        if (sim.trade(id).size > 0.0) == (portion > 0.0) {
            sim.close(id, portion.abs())?;
        }
    }
    Ok(())
}

fn enter(sim: &mut Sim<'_>, size: f64) -> Result<(), OrderError> {
    let request = OrderRequest { size: size.abs(), ..OrderRequest::default() };
    if size > 0.0 {
        sim.buy(request)?;
    } else if size < 0.0 {
        sim.sell(request)?;
    }
    Ok(())
}

/// Ends the simulation and says what stayed open.
fn finish(py: Python<'_>, broker: &Broker, seen: &mut usize) -> PyResult<()> {
    let left_open = {
        let mut account = broker.account.write()?;
        account.sim.finish();
        !account.sim.config().finalize_trades && !account.sim.open_trades().is_empty()
    };
    after_step(py, broker, seen)?;
    if left_open {
        warn(
            py,
            "Some trades remain open at the end of backtest. Use `Backtest(..., finalize_trades=True)` \
             to close them and include them in stats.",
        )?;
    }
    Ok(())
}

/// Raises what the commission function raised; passes the broker's notices on as warnings.
fn after_step(py: Python<'_>, broker: &Broker, seen: &mut usize) -> PyResult<()> {
    broker.check_fee()?;
    loop {
        let text = {
            let account = broker.account.read()?;
            let sim = &account.sim;
            let Some(notice) = sim.notices().get(*seen) else { return Ok(()) };
            *seen += 1;
            match *notice {
                Notice::Unaffordable { .. } if !rules().warns_of_dropped_orders => continue,
                Notice::Unaffordable { bar, order, equity, margin_available } => {
                    let kind =
                        if sim.order(order).size.abs() < 1.0 { "relative-sized order" } else { "order" };
                    format!(
                        "time={bar}: Broker canceled the {kind} due to insufficient margin \
                         (equity={equity:.2}, margin_available={margin_available:.2})."
                    )
                }
                Notice::BracketDelayed { bar, .. } => format!(
                    "time={bar}: the stop loss or take profit of an order that filled within the bar lies in the same \
                     bar; which came first is unknown, so it waits for the next bar."
                ),
                Notice::BracketNoPrice { bar, price } => {
                    return Err(PyAssertionError::new_err(format!(
                        "Make sure 0 < price < inf! price: {} (time={bar}: an order filled whose sl or tp is no price; \
                         they are prices, not distances)",
                        number(price)
                    )));
                }
                Notice::OrderOfClosedTrade { bar, .. } => {
                    return Err(PyAssertionError::new_err(format!(
                        "time={bar}: a stop loss or take profit was set on a trade that was closed already, \
                         and its price was touched: set it on open trades (`self.trades`) only"
                    )));
                }
                Notice::Ruined { .. } => continue,
            }
        };
        warn(py, &text)?;
    }
}
