//! The HTTP client: every request that leaves the program.
//!
//! ```no_run
//! use springtide_io::http::{Client, ClientConfig, Request};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(ClientConfig::default())?;
//! let answer = client.fetch(Request::get("https://api.example.com/v1/bars").query("symbol", "BTC")).await?;
//! let bars: serde_json::Value = answer.json()?;
//! println!("{bars} in {:?}", answer.timing().total);
//! # Ok(()) }
//! ```
//!
//! What a request goes through, in this order: the rate limiter (if there is one), a place at the host, the host's
//! breaker, a connection (kept, shared or new), the answer's head, redirects (each again from the start), the
//! body. Each part has a deadline and all of it has one. What failed and may succeed another time is tried again
//! after a wait that holds neither place nor connection; what may have been carried out is not repeated unless it
//! may be.
//!
//! - [`Client::fetch`]: a whole answer. [`Client::fetch_all`]: many, in order. [`Client::stream`]: piece by piece.
//!   [`Client::download`]: into a file, resumed where it broke off.
//! - [`Client::connect_ahead`]: connections before they are needed. Hundreds are opened without a pause where the
//!   program began with [`make_room_for_descriptors`](crate::machine::make_room_for_descriptors).
//! - [`Request::supplied`]: for URLs that come from outside; they reach public addresses only.
//! - [`CacheUse`]: answers kept on disk and asked for conditionally.
//! - [`HttpError`]: host, attempt, phase, time and cause, without secrets; [`redact`] does the same for what else
//!   is shown.
//! - [`Client::snapshot`]: what it is doing.

mod ahead;
mod answer;
mod batch;
mod body;
mod cache;
mod client;
mod config;
pub(crate) mod connect;
mod connections;
mod decode;
mod download;
mod error;
mod exchange;
mod follow;
pub mod guard;
mod host;
pub mod redact;
mod request;
mod resolve;
mod retries;
mod slots;
mod snapshot;
mod stream;
pub mod words;

pub use answer::{Answer, Source, Timing};
pub use cache::{CacheConfig, CacheCounts, CacheUse};
pub use client::{Client, ClientError};
pub use config::{ClientConfig, Deadlines, Version};
pub use download::{Cleared, Downloaded, Room};
pub use error::{Cause, HttpError, Phase};
pub use follow::{FailedOnce, Follow};
pub use guard::{AddressKind, AddressRule};
pub use hyper::{HeaderMap, Method, StatusCode};
pub use request::Request;
pub use resolve::{Lookup, Resolve, SystemResolver};
pub use snapshot::{ClientSnapshot, HostSnapshot};
pub use stream::Streamed;
