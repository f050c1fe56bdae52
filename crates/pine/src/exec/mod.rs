//! Checked program to results.
