//! The pipeline idea, strategy, job, run, result, report, and the ledger that records it.
//!
//! Synchronous: it drives the runtime's CPU pool and the ledger's writer thread. It cannot tell a
//! person's strategy from a model's.

pub mod batch;
pub mod compiled;
pub mod dataset;
mod encoding;
pub mod error;
pub mod execute;
pub mod filter;
pub mod ledger;
pub mod library;
pub mod market;
pub mod paths;
pub mod python;
pub mod replay;
pub mod report;
pub mod report_batch;
pub mod strategy;
pub mod sweep;

pub use error::LabError;
pub use ledger::Ledger;
