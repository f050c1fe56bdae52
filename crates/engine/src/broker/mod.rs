//! The broker: orders in, fills and trades out.

pub mod command;

pub use command::{CloseCommand, EntryCommand, ExitCommand, NameId, OcaKind, RiskRule, Side};
