//! Hand-translated strategies against the trade lists that TradingView exported for them.
//!
//! The lists and bars belong to the public PineForge corpus; without it every case is skipped loudly.

mod harness;
mod brackets;
mod grouped;
mod orders;
mod stops;
