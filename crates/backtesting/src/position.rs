//! `self.position`.

use super::{broker::Broker, extras::Extras, numpy, version::rules};
use pyo3::{PyTraverseError, PyVisit, prelude::*, types::PyString};

/// All open trades together.
#[pyclass(frozen, weakref)]
pub struct Position {
    broker: Py<Broker>,
    extras: Extras,
}

impl Position {
    pub fn of(broker: Py<Broker>) -> Self {
        Self { broker, extras: Extras::new() }
    }

    fn units(&self) -> PyResult<f64> {
        let account = self.broker.get().account.read()?;
        let sim = &account.sim;
        Ok(sim.open_trades().iter().map(|id| sim.trade(*id).size).sum())
    }
}

#[pymethods]
impl Position {
    fn __bool__(&self) -> PyResult<bool> {
        Ok(self.units()? != 0.0)
    }

    /// Signed units.
    #[getter]
    fn size(&self) -> PyResult<i64> {
        Ok(self.units()? as i64)
    }

    #[getter]
    fn is_long(&self) -> PyResult<bool> {
        Ok(self.units()? > 0.0)
    }

    #[getter]
    fn is_short(&self) -> PyResult<bool> {
        Ok(self.units()? < 0.0)
    }

    /// Profit before the exits' commission, money.
    #[getter]
    fn pl(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let account = self.broker.get().account.read()?;
        if rules().weighs_profit_by_units && account.sim.open_trades().is_empty() {
            return Ok(0i64.into_pyobject(py)?.into_any().unbind());
        }
        numpy::float(py, account.sim.position().pl)
    }

    /// Profit in percent of the entries' value; in version 0.3 a fraction, weighted by units.
    #[getter]
    fn pl_pct(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let account = self.broker.get().account.read()?;
        match (account.sim.open_trades().is_empty(), rules().weighs_profit_by_units) {
            (true, true) => numpy::float(py, 0.0),
            (true, false) => Ok(0i64.into_pyobject(py)?.into_any().unbind()),
            (false, _) => numpy::float(py, account.sim.position().pl_pct),
        }
    }

    /// Orders `portion` of every open trade closed.
    #[pyo3(signature = (portion = 1.0))]
    fn close(&self, portion: f64) -> PyResult<()> {
        let mut account = self.broker.get().account.write()?;
        if account.sim.open_trades().is_empty() {
            return Ok(());
        }
        account.sim.close_position(portion).map_err(super::broker::refused)
    }

    fn __repr__(&self) -> PyResult<String> {
        let trades = self.broker.get().account.read()?.sim.open_trades().len();
        Ok(format!("<Position: {} ({trades} trades)>", self.size()?))
    }

    fn __getattr__(&self, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        self.extras.get::<Self>(name)
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
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
