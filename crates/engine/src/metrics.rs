//! Metrics of a run.
