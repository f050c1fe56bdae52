//! Reports: one self-contained HTML file for people, CSV, Parquet and JSON for programs.

mod curve;
pub mod detail;
pub mod export;
mod html;
pub mod page;

pub use detail::RunDetail;
pub use page::Page;
