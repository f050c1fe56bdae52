//! The outside world: files of bars, columns, the ledger's database, HTTP, WebSocket.
//!
//! Bars come in as CSV, Parquet or Arrow IPC ([`read_bars`], [`load_any`], [`DataStore::import`]) and live in
//! bar files that are mapped into memory ([`BarFile`]). What an import found is an [`ImportReport`]; what it
//! refused, and why, an [`ImportError`].

mod atomic;
pub mod bar_file;
mod collect;
mod columns;
mod csv;
pub mod db;
pub mod files;
mod gaps;
mod header;
mod held;
pub mod http;
mod import;
pub mod machine;
pub mod naming;
mod report;
pub mod separated;
mod store;
pub mod table;
mod tick;
pub mod ticks;
pub mod ws;

#[doc(hidden)]
pub use bar_file::fuzz_bar_file;
pub use bar_file::{BarFile, BarMeta, ColumnPlaces, bar_file_bytes, content_hash, write_bars};
pub use gaps::find_gaps;
#[doc(hidden)]
pub use import::fuzz_csv;
pub use import::{LoadedBars, load_any, read_bars, read_csv_bytes};
pub use report::{
    DateOrder, Dialect, Gap, GapReport, ImportError, ImportOptions, ImportReport, RowIssues, RowSample,
    SourceFormat,
};
pub use store::{DATA_ENDINGS, DataEntry, DataStore, Finding, Listing, data_files};
