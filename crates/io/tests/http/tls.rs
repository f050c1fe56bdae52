//! TLS, with an authority of the test's own (its key is thrown away; the certificates hold for a century).

use crate::server::{client, config};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use springtide_io::http::{Cause, Client, ClientConfig, Phase, Request, Version};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

const AUTHORITY: &[u8] = include_bytes!("tls/authority.der");
const CERTIFICATE: &[u8] = include_bytes!("tls/server.der");
const KEY: &[u8] = include_bytes!("tls/server.key.der");

struct Secure {
    port: u16,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// Speaks what is agreed on, and says which it was.
async fn start(protocols: &[&str]) -> Secure {
    let key = PrivateKeyDer::try_from(KEY.to_vec()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE.to_vec())], key)
        .unwrap();
    tls.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Relaxed);
            let acceptor = acceptor.clone();
            open.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                    let version = format!("{:?}", request.version());
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(version))))
                });
                let io = TokioIo::new(stream);
                let http2 = io.inner().get_ref().1.alpn_protocol() == Some(b"h2");
                if http2 {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(io, service).await;
                } else {
                    let builder = hyper::server::conn::http1::Builder::new();
                    let _ = builder.serve_connection(io, service).await;
                }
            });
        }
    });
    Secure { port, connections, _tasks: tasks }
}

fn trusting(version: Version) -> Client {
    let authorities = vec![AUTHORITY.to_vec()];
    Client::new(ClientConfig { authorities, version, ..config() }).unwrap()
}

#[tokio::test]
async fn the_version_is_agreed_on() {
    for (offered, version, spoken) in [
        (&["h2", "http/1.1"][..], Version::Negotiate, "HTTP/2.0"),
        (&["http/1.1"][..], Version::Negotiate, "HTTP/1.1"),
        (&["h2", "http/1.1"][..], Version::Http1, "HTTP/1.1"),
    ] {
        let server = start(offered).await;
        let client = trusting(version);
        let url = format!("https://localhost:{}/", server.port);
        // Many at once at a host of which nothing is known yet: HTTP/2 needs one connection all the same.
        let results = client.fetch_all((0..20).map(|_| Request::get(&url)), 10).await;
        for result in results {
            assert_eq!(result.unwrap().text().unwrap(), spoken);
        }
        let connections = server.connections.load(Relaxed);
        let most = if spoken == "HTTP/2.0" { 1 } else { 10 };
        assert!((1..=most).contains(&connections), "{spoken}: {connections} connections");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_once() {
    let server = start(&["h2"]).await;
    let url = format!("https://localhost:{}/", server.port);
    let error = client().fetch(Request::get(&url)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Tls(_)), "{error}");
    assert_eq!((error.phase(), server.connections.load(Relaxed)), (Phase::Connect, 1));
    // A name that the certificate is not for.
    let url = format!("https://127.0.0.1:{}/", server.port);
    let error = trusting(Version::Negotiate).fetch(Request::get(&url)).await.unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
}
