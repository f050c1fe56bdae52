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
        Err(PyAttributeError::new_err(format!("'{}' object has no attribute '{name}'", <T as PyClass>::NAME)))
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
