//! The crate `h3` over quinn as a server, and as a client where reqwest's own HTTP/3, which is made
//! of it, is not built.
//!
//! Invariant: the client does for a request what reqwest does below its own types: it parses the
//! URL, finds its connection, and reads the answer whole.

use super::clients::{Gets, Settings, whole};
use super::server::{CONTENT, Seen, Server};
use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::{Request, Response, Uri};
use rustls::RootCertStore;
use std::error::Error;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A server's socket.
pub fn bind(tls: rustls::ServerConfig, at: Ipv4Addr) -> quinn::Endpoint {
    let tls: quinn::crypto::rustls::QuicServerConfig = tls.try_into().expect("it has suites");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let mut transport = quinn::TransportConfig::default();
    transport.max_concurrent_bidi_streams(STREAMS_MAX.into());
    config.transport_config(Arc::new(transport));
    quinn::Endpoint::server(config, (at, 0).into()).expect("a socket on loopback")
}

/// Answers what comes, for ever.
pub async fn accept(endpoint: quinn::Endpoint, seen: &Arc<Seen>) {
    while let Some(incoming) = endpoint.accept().await {
        let seen = Arc::clone(seen);
        tokio::spawn(async move {
            seen.accept();
            // A client that is dropped says no goodbye.
            let _ = serve(incoming).await;
            seen.end();
        });
    }
}

async fn serve(incoming: quinn::Incoming) -> Result<(), Box<dyn Error>> {
    let connection = h3_quinn::Connection::new(incoming.await?);
    let mut connection = h3::server::builder().build(connection).await?;
    while let Some(resolver) = connection.accept().await? {
        tokio::spawn(async move {
            let (_, mut stream) = resolver.resolve_request().await.expect("a request");
            let length = CONTENT.len();
            let response = Response::builder()
                .header("content-length", length)
                .body(());
            let sent = stream.send_response(response.expect("a length")).await;
            sent.expect("it is read");
            let content = Bytes::from_static(CONTENT);
            stream.send_data(content).await.expect("it is read");
            stream.finish().await.expect("it is read");
        });
    }
    Ok(())
}

/// A client with at most one connection.
#[derive(Clone)]
pub struct H3(Arc<Inner>);

struct Inner {
    endpoint: quinn::Endpoint,
    sender: OnceCell<SendRequest<OpenStreams, Bytes>>,
}

impl Gets for H3 {
    fn new(server: &Server, _: &Settings) -> Self {
        let mut roots = RootCertStore::empty();
        let added = roots.add(server.certificate.clone());
        added.expect("the certificate is well-formed");
        let mut tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls: quinn::crypto::rustls::QuicClientConfig = tls.try_into().expect("it has suites");
        let endpoint = quinn::Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into());
        let mut endpoint = endpoint.expect("a socket");
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
        H3(Arc::new(Inner {
            endpoint,
            sender: OnceCell::new(),
        }))
    }

    async fn get(&self, url: &str) -> Result<(), String> {
        let got = self.try_get(url).await.map_err(|error| error.to_string());
        whole(got?)
    }
}

impl H3 {
    async fn try_get(&self, url: &str) -> Result<usize, Box<dyn Error + Send + Sync>> {
        let uri: Uri = url.parse()?;
        let dial = || self.0.dial(&uri);
        let mut sender = self.0.sender.get_or_try_init(dial).await?.clone();
        let request = Request::get(uri).header("accept", "*/*").body(())?;
        let mut stream = sender.send_request(request).await?;
        stream.finish().await?;
        let response = stream.recv_response().await?;
        if !response.status().is_success() {
            return Err(response.status().as_str().into());
        }
        let mut content = Vec::new();
        while let Some(mut piece) = stream.recv_data().await? {
            content.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        }
        Ok(content.len())
    }
}

impl Inner {
    async fn dial(
        &self,
        uri: &Uri,
    ) -> Result<SendRequest<OpenStreams, Bytes>, Box<dyn Error + Send + Sync>> {
        let host = uri.host().ok_or("no host")?;
        let address: IpAddr = host.parse()?;
        let remote = SocketAddr::new(address, uri.port_u16().ok_or("no port")?);
        let connection = self.endpoint.connect(remote, host)?.await?;
        let connection = h3_quinn::Connection::new(connection);
        let (mut driver, sender) = h3::client::new(connection).await?;
        tokio::spawn(async move { poll_fn(|context| driver.poll_close(context)).await });
        Ok(sender)
    }
}

/// As many as a server of HTTP/2 here takes.
const STREAMS_MAX: u32 = 1024;
