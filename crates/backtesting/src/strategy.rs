//! What every strategy has from birth: its data, its account, `buy` and `sell`.

use super::{broker::Broker, data::Data, order::Order, position::Position};
use pyo3::{
    Borrowed, PyTraverseError, PyVisit,
    exceptions::{PyAttributeError, PyValueError},
    prelude::*,
    types::{PyDict, PyFloat, PyInt, PyString, PyTuple},
};
use springtide_engine::backtesting_py::FULL_SIZE;
use std::sync::OnceLock;

/// The native base of `Strategy`.
#[pyclass(name = "Strategy", subclass, frozen)]
pub struct StrategyCore {
    bound: OnceLock<(Py<Broker>, Py<Data>)>,
}

/// A price argument; whatever counts as false is none.
pub struct Price(pub Option<f64>);

impl<'py> FromPyObject<'_, 'py> for Price {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if !given.is_truthy()? {
            return Ok(Self(None));
        }
        number(&given).map(|price| Self(Some(price)))
    }
}

/// A size argument.
pub enum Size {
    /// All there is.
    Full,
    /// As given.
    Given(f64),
}

impl<'py> FromPyObject<'_, 'py> for Size {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        given.extract().map(|Amount(size)| Self::Given(size))
    }
}

/// A number, not text.
pub struct Amount(pub f64);

impl<'py> FromPyObject<'_, 'py> for Amount {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // What is no plain number is compared as one, and says itself why it cannot be.
        if !given.is_instance_of::<PyFloat>() && !given.is_instance_of::<PyInt>() {
            given.gt(0)?;
        }
        number(&given).map(Self)
    }
}

/// A size that may be given by `new_order`.
pub fn size_of_order(given: &Bound<'_, PyAny>) -> PyResult<f64> {
    let size = number(given)?;
    check_size(size)
}

fn check_size(size: f64) -> PyResult<f64> {
    if size.is_nan() {
        Err(PyValueError::new_err("cannot convert float NaN to integer (order size)"))
    } else {
        Ok(size)
    }
}

/// As Python's `float` takes it: numbers, arrays that stand for one, text.
fn number(given: &Bound<'_, PyAny>) -> PyResult<f64> {
    if given.is_instance_of::<PyString>() {
        return given.py().get_type::<PyFloat>().call1((given,))?.extract();
    }
    given.extract()
}

impl StrategyCore {
    fn bound(&self) -> PyResult<&(Py<Broker>, Py<Data>)> {
        self.bound.get().ok_or_else(|| {
            PyAttributeError::new_err(
                "the strategy has no account yet: its __init__ must call super().__init__",
            )
        })
    }

    fn broker<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, Broker>> {
        Ok(self.bound()?.0.bind(py))
    }
}

#[pymethods]
impl StrategyCore {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { bound: OnceLock::new() }
    }

    #[pyo3(name = "_bind")]
    fn bind(&self, broker: Py<Broker>, data: Py<Data>) {
        // A second call, by a subclass that calls the base twice, changes nothing.
        let _ = self.bound.set((broker, data));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.bound.get().map_or(Ok(()), |(broker, data)| {
            visit.call(broker)?;
            visit.call(data)
        })
    }

    /// Price bars up to the current one.
    #[getter]
    fn data(&self, py: Python<'_>) -> PyResult<Py<Data>> {
        Ok(self.bound()?.1.clone_ref(py))
    }

    /// All open trades together.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<Py<Position>> {
        Broker::position(self.broker(py)?)
    }

    /// Equity at the current bar's close, money.
    #[getter]
    fn equity(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.broker(py)?.get().equity(py)
    }

    /// Pending orders, first examined first.
    #[getter]
    fn orders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, Broker::pending(self.broker(py)?)?)
    }

    /// Open trades in opening order.
    #[getter]
    fn trades<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, Broker::open(self.broker(py)?)?)
    }

    /// Closed trades in closing order.
    #[getter]
    fn closed_trades<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, Broker::closed(self.broker(py)?)?)
    }

    /// Orders a purchase. `size` below one is a share of the available margin, else whole units.
    #[pyo3(signature = (*, size = Size::Full, limit = None, stop = None, sl = None, tp = None, tag = None), text_signature = "(self, *, size=.9999, limit=None, stop=None, sl=None, tp=None, tag=None)")]
    fn buy(
        &self,
        py: Python<'_>,
        size: Size,
        limit: Option<Price>,
        stop: Option<Price>,
        sl: Option<Price>,
        tp: Option<Price>,
        tag: Option<Py<PyAny>>,
    ) -> PyResult<Py<Order>> {
        self.place(py, false, size, [limit, stop, sl, tp], tag)
    }

    /// Orders a sale. `size` below one is a share of the available margin, else whole units.
    #[pyo3(signature = (*, size = Size::Full, limit = None, stop = None, sl = None, tp = None, tag = None), text_signature = "(self, *, size=.9999, limit=None, stop=None, sl=None, tp=None, tag=None)")]
    fn sell(
        &self,
        py: Python<'_>,
        size: Size,
        limit: Option<Price>,
        stop: Option<Price>,
        sl: Option<Price>,
        tp: Option<Price>,
        tag: Option<Py<PyAny>>,
    ) -> PyResult<Py<Order>> {
        self.place(py, true, size, [limit, stop, sl, tp], tag)
    }
}

impl StrategyCore {
    fn place(
        &self,
        py: Python<'_>,
        short: bool,
        size: Size,
        prices: [Option<Price>; 4],
        tag: Option<Py<PyAny>>,
    ) -> PyResult<Py<Order>> {
        let size = match size {
            Size::Full => FULL_SIZE,
            Size::Given(size) => check_size(size)?,
        };
        super::broker::check_tag(&tag, if short { "Strategy.sell" } else { "Strategy.buy" })?;
        Broker::place(self.broker(py)?, short, size, prices.map(|p| p.and_then(|p| p.0)), tag)
    }
}
