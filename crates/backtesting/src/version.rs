//! Which version of the original the process follows: chosen once, before the first run.

use pyo3::{exceptions::PyValueError, prelude::*};
use springtide_engine::backtesting_py::Rules;
use std::sync::OnceLock;

static CHOSEN: OnceLock<Rules> = OnceLock::new();

/// The rules of this process.
pub fn rules() -> &'static Rules {
    CHOSEN.get_or_init(Rules::default)
}

/// Chooses the rules by their preset's name; returns the original's version.
#[pyfunction]
#[pyo3(name = "_choose_rules")]
pub fn choose_rules(name: &str) -> PyResult<&'static str> {
    let asked = Rules::named(name).ok_or_else(|| {
        let known: Vec<_> = Rules::ALL.iter().map(|rules| rules.name).collect();
        PyValueError::new_err(format!("no rules {name:?}; there are {}", known.join(" and ")))
    })?;
    let chosen = CHOSEN.get_or_init(|| asked);
    if *chosen == asked {
        Ok(chosen.version)
    } else {
        Err(PyValueError::new_err(format!("this process already follows the rules {:?}", chosen.name)))
    }
}
