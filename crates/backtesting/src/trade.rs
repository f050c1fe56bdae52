//! `Trade` objects.

use super::{
    broker::{Broker, refused, text as number, units},
    extras::Extras,
    numpy,
    order::Order,
    strategy::Amount,
    version::rules,
};
use pyo3::{PyTraverseError, PyVisit, intern, prelude::*, types::PyString};
use springtide_engine::backtesting_py::{OrderId, SimTrade, TradeId};

/// An open trade, or one that was.
#[pyclass(frozen, weakref)]
pub struct Trade {
    broker: Py<Broker>,
    extras: Extras,
    id: TradeId,
}

impl Trade {
    pub fn of(broker: Py<Broker>, id: TradeId) -> Self {
        Self { broker, extras: Extras::new(), id }
    }

    fn now(&self) -> PyResult<SimTrade> {
        Ok(*self.broker.get().account.read()?.sim.trade(self.id))
    }

    /// The trade and its exit price, the current close while it is open.
    fn priced(&self) -> PyResult<(SimTrade, f64)> {
        let account = self.broker.get().account.read()?;
        let trade = *account.sim.trade(self.id);
        Ok((trade, trade.exit.map_or_else(|| account.sim.mark(), |exit| exit.price)))
    }

    /// A price as the original's type: one that the market gave is numpy's, one that an order named is Python's.
    fn price(&self, py: Python<'_>, value: f64, bar: usize, factor: f64) -> PyResult<Py<PyAny>> {
        let is_quoted = {
            let account = self.broker.get().account.read()?;
            let bars = account.bars();
            let quoted = [bars.open[bar], bars.close[bar], bars.close[bar.saturating_sub(1)]];
            quoted.iter().any(|price| price * factor == value)
        };
        match is_quoted {
            true => numpy::float(py, value),
            false => Ok(value.into_pyobject(py)?.into_any().unbind()),
        }
    }

    fn contingent(&self, py: Python<'_>, id: Option<OrderId>) -> PyResult<Option<Py<Order>>> {
        id.map(|id| Broker::order(self.broker.bind(py), id)).transpose()
    }
}

#[pymethods]
impl Trade {
    /// Orders `portion` of it closed at the next fill.
    #[pyo3(signature = (portion = 1.0))]
    fn close(&self, portion: f64) -> PyResult<()> {
        self.broker.get().account.write()?.sim.close(self.id, portion).map_err(refused)?;
        Ok(())
    }

    /// Signed units.
    #[getter]
    fn size(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        units(py, &self.now()?)
    }

    /// Fill price, spread included.
    #[getter]
    fn entry_price(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let trade = self.now()?;
        let spread = self.broker.get().account.read()?.sim.config().spread;
        self.price(py, trade.entry_price, trade.entry_bar, 1.0 + spread.copysign(trade.size))
    }

    /// Fill price; none while open.
    #[getter]
    fn exit_price(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.now()?.exit.map(|exit| self.price(py, exit.price, exit.bar, 1.0)).transpose()
    }

    #[getter]
    fn entry_bar(&self) -> PyResult<usize> {
        Ok(self.now()?.entry_bar)
    }

    #[getter]
    fn exit_bar(&self) -> PyResult<Option<usize>> {
        Ok(self.now()?.exit.map(|exit| exit.bar))
    }

    /// Index value of the entry bar.
    #[getter]
    fn entry_time(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.broker.get().time(py, self.now()?.entry_bar)
    }

    /// Index value of the exit bar; none while open.
    #[getter]
    fn exit_time(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.now()?.exit.map(|exit| self.broker.get().time(py, exit.bar)).transpose()
    }

    /// What `buy` or `sell` was given.
    #[getter]
    fn tag(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if !rules().knows_tags {
            return self.extras.get::<Self>(intern!(py, "tag"));
        }
        let account = self.broker.get().account.read()?;
        Ok(account.tag(py, account.sim.trade(self.id).tag))
    }

    #[getter]
    fn is_long(&self) -> PyResult<bool> {
        Ok(self.now()?.size > 0.0)
    }

    #[getter]
    fn is_short(&self) -> PyResult<bool> {
        Ok(self.now()?.size <= 0.0)
    }

    /// Profit after commissions, which are 0 while it is open; money.
    #[getter]
    fn pl(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (t, price) = self.priced()?;
        numpy::float(py, t.size * (price - t.entry_price) - t.commissions)
    }

    /// Profit as a fraction of the entry's value.
    #[getter]
    fn pl_pct(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (t, price) = self.priced()?;
        let gross = 1f64.copysign(t.size) * (price / t.entry_price - 1.0);
        numpy::float(py, gross - t.commissions / (t.size.abs() * t.entry_price))
    }

    /// Units times price, money.
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (t, price) = self.priced()?;
        numpy::float(py, t.size.abs() * price)
    }

    /// Both sides' commission, 0 while open; money.
    #[getter]
    fn _commissions(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let trade = self.now()?;
        if trade.exit.is_none() {
            return Ok(0i64.into_pyobject(py)?.into_any().unbind());
        }
        numpy::float(py, trade.commissions)
    }

    /// Stop loss price.
    #[getter]
    fn sl(&self) -> PyResult<Option<f64>> {
        let account = self.broker.get().account.read()?;
        Ok(account.sim.stop_loss(account.sim.trade(self.id)))
    }

    #[setter]
    fn set_sl(&self, price: Option<Amount>) -> PyResult<()> {
        let mut account = self.broker.get().account.write()?;
        account.sim.set_sl(self.id, price.map(|p| p.0)).map_err(refused)
    }

    /// Take profit price.
    #[getter]
    fn tp(&self) -> PyResult<Option<f64>> {
        let account = self.broker.get().account.read()?;
        Ok(account.sim.take_profit(account.sim.trade(self.id)))
    }

    #[setter]
    fn set_tp(&self, price: Option<Amount>) -> PyResult<()> {
        let mut account = self.broker.get().account.write()?;
        account.sim.set_tp(self.id, price.map(|p| p.0)).map_err(refused)
    }

    #[getter]
    fn _sl_order(&self, py: Python<'_>) -> PyResult<Option<Py<Order>>> {
        self.contingent(py, self.now()?.sl_order())
    }

    #[getter]
    fn _tp_order(&self, py: Python<'_>) -> PyResult<Option<Py<Order>>> {
        self.contingent(py, self.now()?.tp_order())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (t, price) = self.priced()?;
        let size = self.size(py)?;
        let mut text = format!("<Trade size={} time={}-", size.bind(py).str()?, t.entry_bar);
        if let Some(exit) = t.exit {
            text += &exit.bar.to_string();
        }
        text += &format!(" price={}-", number(t.entry_price));
        if let Some(exit) = t.exit {
            text += &number(exit.price);
        }
        text += &format!(" pl={:.0}", t.size * (price - t.entry_price) - t.commissions);
        if rules().knows_tags {
            let tag = self.tag(py)?;
            if !tag.is_none(py) {
                text += &format!(" tag={}", tag.bind(py).str()?);
            }
        }
        Ok(text + ">")
    }

    fn __getattr__(&self, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        self.extras.get::<Self>(name)
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if !rules().knows_tags && name == "tag" {
            return slf.get().extras.keep(name, value);
        }
        slf.get().extras.set(slf.as_any(), name, value)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.extras.traverse(&visit)?;
        visit.call(&self.broker)
    }

    fn __clear__(&self) {
        self.extras.clear();
    }
}
