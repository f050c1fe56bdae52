//! backtesting.py's interface over the engine.
//!
//! This is the native half of the Python package `backtesting` in `python/backtesting`: the broker's
//! objects, the data and indicator arrays that a strategy sees, the main loop and the statistics. The
//! Python half holds what is asked once per run. Behaviour is that of version 0.6.6, or of 0.3.3 where `version`
//! was told so.
//!
//! Arrays are numpy's own objects. The main loop makes them longer where they stand, bar by bar, and
//! replaces an array by a new one only when somebody else kept it.

mod broker;
mod cell;
mod data;
mod extras;
mod numpy;
mod order;
mod position;
mod results;
mod run;
mod series;
mod strategy;
mod trade;
mod version;
mod views;

use pyo3::prelude::*;

/// The native module.
#[pymodule(gil_used = true)]
mod _native {
    use super::numpy;
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::{
        broker::{Broker, SharedBars},
        data::Data,
        order::Order,
        position::Position,
        results::{compute_statistics, statistic_names},
        run::{run, run_signals},
        series::{crossover, set_crossover_fallback},
        strategy::StrategyCore,
        trade::Trade,
        version::choose_rules,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        numpy::prepare(module.py())
    }
}
