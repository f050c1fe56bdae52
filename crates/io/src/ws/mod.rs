//! WebSocket connections: messages as they come, for as long as they come.
//!
//! ```no_run
//! use springtide_io::{
//!     http::{ClientConfig, Request},
//!     ws::{Connector, Each, Feed, FeedConfig},
//! };
//! use springtide_runtime::channel::{ChannelConfig, WhenFull};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let connector = Connector::new(&ClientConfig::default())?;
//! // Of quotes only the newest is worth anything: while the reader is busy, older ones make way.
//! let (sender, mut quotes) = ChannelConfig::new("quotes").when_full(WhenFull::Conflate).open();
//! let request = Request::get("wss://stream.example.com/ws?streams=btcusd@bookTicker");
//! let feed = Feed::new(connector, FeedConfig::new(request));
//! let state = feed.state();
//! let decode = |message: &springtide_io::ws::Message| message.text().map(str::len);
//! tokio::select! {
//!     ended = feed.run(Each::new(sender, decode)) => ended?,
//!     quote = quotes.recv() => println!("{quote:?}, {} messages so far", state.counts().messages),
//! }
//! # Ok(()) }
//! ```
//!
//! - [`Connector::connect`] makes a [`Socket`], one connection: over the same names, address rules, TLS and
//!   redaction as [`http`](crate::http), with a deadline for each step, a largest message, pings answered and, when
//!   the other side falls silent, sent.
//! - [`Feed`] keeps a connection up: it connects again with growing waits and a breaker, says so to whoever takes
//!   the messages, and counts everything.
//! - What a slow reader means is said by the channel that messages go into ([`Each`], [`Batches`]): it waits, and the
//!   server with it, or messages are dropped or replaced, and counted.
//! - Servers are offered compression (permessage-deflate, RFC 7692). What they send compressed is unpacked within the
//!   bound of the largest message; what we send, which is short, goes as it is, as the standard allows.

mod deflate;
mod deliver;
mod error;
mod feed;
mod socket;
mod transport;

pub use deliver::{Batches, Deliver, Each, Gone};
pub use error::{WsCause, WsError};
pub use feed::{Feed, FeedConfig, FeedCounts, FeedPhase, FeedState, OnClose};
pub use socket::{Connector, Message, Socket, SocketOptions};
