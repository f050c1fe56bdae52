//! `Order` objects.

use super::{
    broker::{Broker, text as number},
    extras::Extras,
    version::rules,
};
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyAssertionError, PyValueError},
    intern,
    prelude::*,
    types::PyString,
};
use springtide_engine::backtesting_py::{Order as SimOrder, OrderId};

/// A pending order, or one that was.
#[pyclass(frozen, weakref)]
pub struct Order {
    broker: Py<Broker>,
    extras: Extras,
    id: OrderId,
}

impl Order {
    pub fn of(broker: Py<Broker>, id: OrderId) -> Self {
        Self { broker, extras: Extras::new(), id }
    }

    fn now(&self) -> PyResult<SimOrder> {
        Ok(*self.broker.get().account.read()?.sim.order(self.id))
    }
}

#[pymethods]
impl Order {
    /// Cancels it; the stop loss or take profit of a trade is forgotten by the trade.
    fn cancel(&self) -> PyResult<()> {
        let mut account = self.broker.get().account.write()?;
        let sim = &mut account.sim;
        if !sim.queue().contains(&self.id) {
            return Err(PyValueError::new_err(
                "the order is no longer pending: it was filled or cancelled, or its trade has ended",
            ));
        }
        let stops = rules().closes_are_contingent
            && sim.order(self.id).parent.is_some_and(|trade| !sim.is_bracket(self.id, trade));
        sim.cancel(self.id);
        if stops {
            return Err(PyAssertionError::new_err(format!(
                "version {} fails where an order that `close()` gave is cancelled: leave it",
                rules().version
            )));
        }
        Ok(())
    }

    /// Signed; below one in magnitude a share of the available margin.
    #[getter]
    fn size(&self) -> PyResult<f64> {
        Ok(self.now()?.size)
    }

    /// Limit price.
    #[getter]
    fn limit(&self) -> PyResult<Option<f64>> {
        Ok(self.now()?.limit)
    }

    /// Stop price not yet touched.
    #[getter]
    fn stop(&self) -> PyResult<Option<f64>> {
        Ok(self.now()?.stop)
    }

    /// Stop loss of the trade to come.
    #[getter]
    fn sl(&self) -> PyResult<Option<f64>> {
        Ok(self.now()?.sl)
    }

    /// Take profit of the trade to come.
    #[getter]
    fn tp(&self) -> PyResult<Option<f64>> {
        Ok(self.now()?.tp)
    }

    /// The trade it closes.
    #[getter]
    fn parent_trade(&self, py: Python<'_>) -> PyResult<Option<Py<super::trade::Trade>>> {
        self.now()?.parent.map(|id| Broker::trade(self.broker.bind(py), id)).transpose()
    }

    /// What `buy` or `sell` was given.
    #[getter]
    fn tag(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if !rules().knows_tags {
            return self.extras.get::<Self>(intern!(py, "tag"));
        }
        let account = self.broker.get().account.read()?;
        Ok(account.tag(py, account.sim.order(self.id).tag))
    }

    #[getter]
    fn is_long(&self) -> PyResult<bool> {
        Ok(self.now()?.size > 0.0)
    }

    #[getter]
    fn is_short(&self) -> PyResult<bool> {
        Ok(self.now()?.size < 0.0)
    }

    /// True for the stop loss or take profit of a trade.
    #[getter]
    fn is_contingent(&self) -> PyResult<bool> {
        Ok(self.broker.get().account.read()?.sim.is_contingent(self.id))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let order = self.now()?;
        let five = |x: f64| number((x * 1e5).round() / 1e5);
        let mut text = format!("<Order size={}", five(order.size));
        for (name, price) in
            [("limit", order.limit), ("stop", order.stop), ("sl", order.sl), ("tp", order.tp)]
        {
            if let Some(price) = price {
                text += &format!(", {name}={}", five(price));
            }
        }
        text += &format!(", contingent={}", u8::from(self.is_contingent()?));
        if rules().knows_tags {
            let tag = self.tag(py)?;
            if !tag.is_none(py) {
                text += &format!(", tag={}", tag.bind(py).repr()?);
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
