//! Servers on loopback: hyper's for exactness, and raw ones for what hyper would not do.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portway_core::SecurityParameters;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

pub(crate) type Answer = Response<BoxBody<Bytes, Infallible>>;
type Handler =
    Arc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

pub(crate) fn answer(status: u16, text: impl Into<Bytes>) -> Answer {
    let body = Full::new(text.into()).boxed();
    Response::builder()
        .status(status)
        .body(body)
        .expect("it is valid")
}

/// What a server speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
    /// TLS, with these application protocols.
    Tls(&'static [&'static [u8]]),
}

/// A certificate for the names of these tests, with its key.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Made {
    pub(crate) fn new() -> Made {
        Made::for_names(&["127.0.0.1", "one.test", "two.test"])
    }

    pub(crate) fn for_names(names: &[&str]) -> Made {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("the names are valid");
        Made {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
        }
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.clone()).expect("it is a key")
    }

    pub(crate) fn security(&self) -> SecurityParameters {
        SecurityParameters::tls().with_roots([self.certificate.clone()])
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Connections that were accepted.
    accepted: Arc<AtomicUsize>,
    /// Connections that are open.
    open: Arc<AtomicUsize>,
    closed: Arc<Notify>,
    certificate: Option<CertificateDer<'static>>,
}

impl Server {
    pub(crate) async fn start<F, R>(speaks: Speaks, streams_max: u32, handler: F) -> Server
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        Server::start_with(&Made::new(), speaks, streams_max, handler).await
    }

    pub(crate) async fn start_with<F, R>(
        made: &Made,
        speaks: Speaks,
        streams_max: u32,
        handler: F,
    ) -> Server
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (acceptor, certificate) = match speaks {
            Speaks::Tls(protocols) => (
                Some(acceptor(made, protocols)),
                Some(made.certificate.clone()),
            ),
            _ => (None, None),
        };
        let server = Server {
            address,
            accepted: Arc::default(),
            open: Arc::default(),
            closed: Arc::default(),
            certificate,
        };
        let (accepted, open) = (server.accepted.clone(), server.open.clone());
        let closed = server.closed.clone();
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (open, handler, acceptor) = (open.clone(), handler.clone(), acceptor.clone());
                let closed = closed.clone();
                tokio::spawn(async move {
                    serve_one(stream, speaks, streams_max, handler, acceptor).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                    closed.notify_one();
                });
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_closed(&self) {
        while self.open.load(Ordering::SeqCst) > 0 {
            self.closed.notified().await;
        }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn security(&self) -> SecurityParameters {
        SecurityParameters::tls().with_roots(self.certificate.clone())
    }
}

async fn serve_one(
    stream: TcpStream,
    speaks: Speaks,
    streams_max: u32,
    handler: Handler,
    acceptor: Option<TlsAcceptor>,
) {
    match acceptor {
        None => serve(stream, speaks == Speaks::Http2, streams_max, handler).await,
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            serve(stream, is_h2, streams_max, handler).await;
        }
    }
}

async fn serve<S>(stream: S, is_h2: bool, streams_max: u32, handler: Handler)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let answering = handler(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let io = TokioIo::new(stream);
    // How a connection ends is the client's to judge.
    if is_h2 {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(streams_max)
            .serve_connection(io, service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .await;
    }
}

pub(crate) fn acceptor(made: &Made, protocols: &[&[u8]]) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![made.certificate.clone()], made.key())
        .expect("key and certificate belong together");
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// A server that does to each connection what `talk` says; it is told which one it is.
pub(crate) async fn raw<F, R>(talk: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        for count in 0.. {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            tokio::spawn(talk(count, stream));
        }
    });
    address
}

/// Reads the head of a request of HTTP/1.1; false when the client has gone.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    head(stream).await.is_some()
}

/// The head of a request of HTTP/1.1 in lower case; `None` when the client has gone.
pub(crate) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).expect("ASCII").to_lowercase())
}
