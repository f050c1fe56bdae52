//! Attributes that scripts put on trades, orders and positions.
//!
//! A dictionary kept by hand: one that the interpreter makes while an object is being born can start the
//! garbage collector, which then meets the unfinished object.

use super::cell::Locked;
use pyo3::{
    PyClass, PyTraverseError, PyVisit,
    exceptions::PyAttributeError,
    ffi,
    prelude::*,
    types::{PyDict, PyString},
};

/// Names and values, none at first.
pub struct Extras(Locked<Option<Py<PyDict>>>);

impl Extras {
    pub fn new() -> Self {
        Self(Locked::new(None))
    }

    /// For names that the class does not have.
    pub fn get<T: PyClass>(&self, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        let py = name.py();
        if let Some(dict) = &*self.0.read()?
            && let Some(value) = dict.bind(py).get_item(name)?
        {
            return Ok(value.unbind());
        }
        Err(unknown(<T as PyClass>::NAME, name))
    }

    /// Sets an attribute, on the object itself where its class has the name.
    pub fn set(
        &self,
        object: &Bound<'_, PyAny>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = object.py();
        if object.get_type().hasattr(name)? {
            // SAFETY: live objects; the name is a string.
            let done =
                unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) };
            return if done == 0 { Ok(()) } else { Err(PyErr::fetch(py)) };
        }
        self.keep(name, value)
    }

    /// Sets an attribute of the script's own.
    pub fn keep(&self, name: &Bound<'_, PyString>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = name.py();
        let dict = self.0.write()?.get_or_insert_with(|| PyDict::new(py).unbind()).clone_ref(py);
        dict.bind(py).set_item(name, value)
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.glance().map_or(Ok(()), |dict| visit.call(&*dict))
    }

    pub fn clear(&self) {
        if let Ok(mut dict) = self.0.write() {
            *dict = None;
        }
    }
}

/// The original's exception for an unknown name, with what was probably meant.
pub fn unknown(kind: &str, name: &Bound<'_, PyString>) -> PyErr {
    let meant = hint(kind, &name.to_string_lossy()).map_or(String::new(), |hint| format!("; {hint}"));
    PyAttributeError::new_err(format!("'{kind}' object has no attribute '{name}'{meant}"))
}

/// Names that public scripts use though they never existed.
fn hint(kind: &str, name: &str) -> Option<&'static str> {
    Some(match (kind, name) {
        (
            "Position",
            "entry_price" | "entry_time" | "entry_bar" | "avg_price" | "price" | "sl" | "tp" | "trades"
            | "tag",
        ) => "a position is all open trades together: ask one of them, `self.trades[-1]`",
        ("Position", "pnl" | "profit" | "unrealized_pnl") | ("Trade", "pnl" | "profit") => {
            "it is called `pl`"
        }
        ("Position" | "Trade", "pnl_pct" | "return_pct") => "it is called `pl_pct`",
        ("_Broker", "cash" | "get_cash" | "getcash" | "starting_cash" | "initial_cash") => "there is `_cash`",
        ("_Broker", "getvalue" | "get_value" | "get_equity" | "portfolio_value" | "_value") => {
            "there is `self.equity`"
        }
        _ => return None,
    })
}
