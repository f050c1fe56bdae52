//! Tests that need no reference data.
