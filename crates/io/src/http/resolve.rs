//! From names to addresses.

use std::{fmt, future::Future, io, net::SocketAddr, pin::Pin};

/// A look-up under way.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How names become addresses. What it returns is checked against the request's
/// [`AddressRule`](super::AddressRule) and is then connected to; the name is not looked up a second time.
pub trait Resolve: Send + Sync {
    /// The addresses of `host`, with `port` in each; those to try first come first.
    fn resolve(&self, host: &str, port: u16) -> Lookup;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> Lookup {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

impl fmt::Debug for dyn Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolve")
    }
}
