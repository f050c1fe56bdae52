//! pine
