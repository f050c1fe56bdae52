//! Hand-translated strategies against the trade lists that TradingView exported for them.
//!
//! The lists and bars belong to the public PineForge corpus; without it every case is skipped loudly.

mod brackets;
mod grouped;
mod harness;
mod orders;
mod stops;
