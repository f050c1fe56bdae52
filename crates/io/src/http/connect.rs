//! From an origin to a connection: name, address check, TCP, TLS.

use super::{
    config::{ClientConfig, Version},
    error::{Cause, Phase},
    guard::AddressRule,
    resolve::{Resolve, SystemResolver},
};
use rustls::{ClientConfig as TlsConfig, RootCertStore, pki_types::ServerName};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::{Host, Url};

/// Least time that one of several addresses is given.
const ADDRESS_TIME_MIN: Duration = Duration::from_millis(250);

/// Where connections go and what is common to all requests there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Connections made under one rule are not used under another.
    pub(crate) rule: AddressRule,
}

impl Origin {
    pub(crate) fn of(url: &Url, rule: &AddressRule) -> Result<Self, Cause> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(Cause::BadRequest(format!("`{other}` is not supported: use http or https"))),
        };
        let host = url.host_str().ok_or_else(|| Cause::BadRequest("the URL names no host".into()))?;
        let port = url.port_or_known_default().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host: host.to_owned(), port, rule: rule.clone() })
    }

    /// As in a `Host` header: the port only where it is not the usual one.
    pub(crate) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// The address, where the URL has one instead of a name.
    fn literal(&self) -> Option<IpAddr> {
        match Host::parse(&self.host) {
            Ok(Host::Ipv4(v4)) => Some(v4.into()),
            Ok(Host::Ipv6(v6)) => Some(v6.into()),
            _ => None,
        }
    }
}

/// Makes connections.
pub(crate) struct Dialer {
    resolver: Arc<dyn Resolve>,
    tls: TlsConnector,
    version: Version,
}

/// A connection and what is spoken on it.
pub(crate) struct Dialed {
    pub(crate) wire: Wire,
    pub(crate) http2: bool,
}

type Failure = (Phase, Cause);

impl Dialer {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, String> {
        let resolver = config.resolver.clone().unwrap_or_else(|| Arc::new(SystemResolver));
        Ok(Self { resolver, tls: TlsConnector::from(Arc::new(tls_config(config)?)), version: config.version })
    }

    /// Connects; the first address that answers within its share of the time until `deadline` is taken.
    pub(crate) async fn dial(
        &self,
        origin: &Origin,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Dialed, Failure> {
        let late = |what| (Cause::Timeout { what, limit }, what);
        let addresses = match timeout_at(deadline, self.addresses(origin)).await {
            Ok(addresses) => addresses?,
            Err(_) => return Err((Phase::Resolve, late("the name was not resolved").0)),
        };
        let tcp = self.tcp(&addresses, deadline, limit).await.map_err(|cause| (Phase::Connect, cause))?;
        if !origin.tls {
            return Ok(Dialed { wire: Wire::Plain(tcp), http2: self.version == Version::Http2 });
        }
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|error| (Phase::Connect, Cause::BadRequest(format!("`{}`: {error}", origin.host))))?;
        match timeout_at(deadline, self.tls.connect(name, tcp)).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok(Dialed { wire: Wire::Tls(Box::new(stream)), http2 })
            }
            Ok(Err(error)) => Err((Phase::Connect, Cause::Tls(error))),
            Err(_) => Err((Phase::Connect, late("no TLS session").0)),
        }
    }

    /// Every address of the origin, all of them allowed.
    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, Failure> {
        let check = |address: &SocketAddr| {
            let forbidden = |kind| (Phase::Resolve, Cause::Forbidden { address: *address, kind });
            origin.rule.check(*address).map_err(forbidden)
        };
        if let Some(ip) = origin.literal() {
            let address = SocketAddr::new(ip, origin.port);
            check(&address)?;
            return Ok(vec![address]);
        }
        let found = self.resolver.resolve(&origin.host, origin.port).await;
        let addresses = found.map_err(|error| (Phase::Resolve, Cause::Resolve(error)))?;
        if addresses.is_empty() {
            let error = io::Error::new(io::ErrorKind::NotFound, "it has no address");
            return Err((Phase::Resolve, Cause::Resolve(error)));
        }
        // One private address among public ones is refused with them: which one is taken would be chance.
        addresses.iter().try_for_each(check)?;
        Ok(addresses)
    }

    async fn tcp(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
        limit: Duration,
    ) -> Result<TcpStream, Cause> {
        let mut last = Cause::Timeout { what: "no connection", limit };
        for (n, address) in addresses.iter().enumerate() {
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / (addresses.len() - n) as u32;
            let until = (now + share.max(ADDRESS_TIME_MIN)).min(deadline);
            match timeout_at(until, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Requests are written whole; waiting to fill a packet only delays them.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => {
                    last = Cause::Connect(io::Error::new(error.kind(), format!("{address}: {error}")));
                }
                Err(_) => last = Cause::Timeout { what: "no connection", limit },
            }
        }
        Err(last)
    }
}

fn tls_config(config: &ClientConfig) -> Result<TlsConfig, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for der in &config.authorities {
        roots
            .add(der.clone().into())
            .map_err(|error| format!("a trusted certificate is unusable: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = TlsConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (h1, h2) = (b"http/1.1".to_vec(), b"h2".to_vec());
    tls.alpn_protocols = match config.version {
        Version::Negotiate => vec![h2, h1],
        Version::Http1 => vec![h1],
        Version::Http2 => vec![h2],
    };
    Ok(tls)
}

/// Bytes to and from the other side.
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
