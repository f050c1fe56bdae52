//! Comparing series.

use super::numpy;
use pyo3::{prelude::*, sync::PyOnceLock, types::PyFloat};

static FALLBACK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Names the function that compares what is neither a float array nor a float.
#[pyfunction]
#[pyo3(name = "_set_crossover_fallback")]
pub fn set_crossover_fallback(py: Python<'_>, fallback: Py<PyAny>) {
    let _ = FALLBACK.set(py, fallback);
}

/// True if `series1` has just come from below `series2` to above it: `series1[-2] < series2[-2]` and
/// `series1[-1] > series2[-1]`. A number stands for a series that never changes.
#[pyfunction]
pub fn crossover(series1: &Bound<'_, PyAny>, series2: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = series1.py();
    match (last_two(series1), last_two(series2)) {
        (Some(a), Some(b)) => Ok(numpy::boolean(py, a.0 < b.0 && a.1 > b.1)),
        _ => FALLBACK.get(py).expect("set by the package").call1(py, (series1, series2)),
    }
}

fn last_two(series: &Bound<'_, PyAny>) -> Option<(f64, f64)> {
    numpy::last_two(series).or_else(|| {
        let x = series.cast_exact::<PyFloat>().ok()?.value();
        Some((x, x))
    })
}
