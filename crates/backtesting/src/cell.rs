//! State behind the interpreter's lock.

use pyo3::{PyResult, exceptions::PyRuntimeError};
use std::cell::{Ref, RefCell, RefMut};

/// Checked borrowing of state that only threads holding the interpreter's lock reach.
pub struct Locked<T>(RefCell<T>);

// SAFETY: the module says that it needs the interpreter's lock, and the methods below are reachable only from
// functions that Python calls, so no two threads touch the counters or the value at once. `T` holds plain
// values and Python references, which may be dropped in any thread that holds the lock.
unsafe impl<T> Send for Locked<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Locked<T> {}

impl<T> Locked<T> {
    pub fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    pub fn read(&self) -> PyResult<Ref<'_, T>> {
        self.0.try_borrow().map_err(|_| busy())
    }

    pub fn write(&self) -> PyResult<RefMut<'_, T>> {
        self.0.try_borrow_mut().map_err(|_| busy())
    }

    /// For the garbage collector, which may come at any moment.
    pub fn glance(&self) -> Option<Ref<'_, T>> {
        self.0.try_borrow().ok()
    }
}

fn busy() -> pyo3::PyErr {
    PyRuntimeError::new_err("the broker is at work: a commission function cannot ask or order anything")
}
