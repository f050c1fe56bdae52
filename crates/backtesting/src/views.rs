//! Arrays that grow with the run.

use super::numpy::LastAxis;
use pyo3::{
    ffi,
    prelude::*,
    types::{PyDict, PyEllipsis, PySlice, PyString},
};

/// One name in an instance's dictionary that holds the first bars of an array.
pub struct View {
    name: Py<PyString>,
    holder: Py<PyDict>,
    full: Py<PyAny>,
    view: Py<PyAny>,
    axis: Option<LastAxis>,
    length: usize,
    /// Length of the whole array; `init` can have made it shorter than the data.
    whole: usize,
}

/// What became of a view.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It shows the new length.
    Yes,
    /// Somebody put something else under its name.
    Replaced,
}

/// Holders of an array that nobody kept: its dictionary and ourselves.
const OWN_REFERENCES: isize = 2;

impl View {
    /// Puts the first `length` entries of `full` under `name`.
    pub fn new(
        holder: &Bound<'_, PyDict>,
        name: &Bound<'_, PyString>,
        full: &Bound<'_, PyAny>,
        length: usize,
    ) -> PyResult<Self> {
        let view = first(full, length)?;
        holder.set_item(name, &view)?;
        Ok(Self {
            name: name.clone().unbind(),
            holder: holder.clone().unbind(),
            full: full.clone().unbind(),
            axis: LastAxis::of(&view),
            view: view.unbind(),
            length,
            whole: full.getattr("shape")?.get_item(-1)?.extract()?,
        })
    }

    /// Makes it `length` long, or as long as the whole array where that is shorter.
    pub fn advance(&mut self, py: Python<'_>, length: usize) -> PyResult<Held> {
        let view = self.view.as_ptr();
        // SAFETY: both are live objects of these types; the result is borrowed from the dictionary and only compared.
        let found = unsafe { ffi::PyDict_GetItemWithError(self.holder.as_ptr(), self.name.as_ptr()) };
        if found != view {
            return Ok(Held::Replaced);
        }
        // SAFETY: `view` is alive.
        let unshared = unsafe { ffi::Py_REFCNT(view) } == OWN_REFERENCES;
        if unshared
            && length <= self.whole
            && let Some(axis) = self.axis
        {
            // SAFETY: alive, held by nobody else, and a view of the whole array's memory, which is as long.
            if unsafe { axis.lengthen(self.length, length) } {
                self.length = length;
                return Ok(Held::Yes);
            }
        }
        self.renew(py, length)?;
        Ok(Held::Yes)
    }

    /// Puts a new array under the name.
    pub fn renew(&mut self, py: Python<'_>, length: usize) -> PyResult<()> {
        *self = Self::new(self.holder.bind(py), self.name.bind(py), self.full.bind(py), length)?;
        Ok(())
    }

    /// Takes the name away.
    pub fn remove(self, py: Python<'_>) -> PyResult<()> {
        let holder = self.holder.bind(py);
        if holder.contains(&self.name)? { holder.del_item(&self.name) } else { Ok(()) }
    }

    /// The array as it now is.
    pub fn array(&self) -> &Py<PyAny> {
        &self.view
    }
}

/// `array[..., :length]`.
pub fn first<'py>(array: &Bound<'py, PyAny>, length: usize) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    let slice = PySlice::new(py, 0, length as isize, 1);
    let dimensions: usize = array.getattr("ndim")?.extract()?;
    if dimensions == 1 { array.get_item(slice) } else { array.get_item((PyEllipsis::get(py), slice)) }
}
