//! The HTTP client against a server that does what it is told, right and wrong. Loopback only.

mod basics;
mod batch;
mod cache;
mod connections;
mod download;
mod faults;
mod guard;
mod http2;
mod limits;
mod seen;
mod server;
mod tls;
