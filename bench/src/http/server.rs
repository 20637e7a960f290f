//! A server by hyper over TLS that counts what its clients do.
//!
//! Invariant: what it does is the same for every client.

use super::http3;
use crate::carrier::HOST;
use crate::clock::pin;
use crate::quic::runtime;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3, by the crate `h3` over quinn.
    Http3,
}

/// How it behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// The only version that it speaks.
    pub version: Version,
    /// Requests that it takes at a time on one connection of HTTP/2.
    pub streams_max: u32,
    /// How long it thinks about a request.
    pub thinks: Duration,
    /// How long it waits before each handshake.
    pub hesitates: Duration,
    /// Connections that it serves; it accepts later ones and says nothing.
    pub served_max: usize,
    /// Whether it is at every address of this host, and not at one alone.
    pub is_everywhere: bool,
    /// Whether its sessions can be resumed.
    pub gives_tickets: bool,
}

impl Behaviour {
    /// A server that answers at once.
    pub const fn prompt(version: Version) -> Behaviour {
        Behaviour {
            version,
            streams_max: 1024,
            thinks: Duration::ZERO,
            hesitates: Duration::ZERO,
            served_max: usize::MAX,
            is_everywhere: false,
            gives_tickets: true,
        }
    }
}

/// What it has seen.
#[derive(Default)]
pub struct Seen {
    accepted: AtomicUsize,
    open: AtomicUsize,
    working: AtomicUsize,
    working_most: AtomicUsize,
}

impl Seen {
    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// There is one more.
    pub(super) fn accept(&self) -> usize {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.accepted.fetch_add(1, Ordering::SeqCst)
    }

    /// One has ended.
    pub(super) fn end(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The most requests that it worked on at a time.
    pub fn working_most(&self) -> usize {
        self.working_most.load(Ordering::SeqCst)
    }
}

/// A server in a thread of its own, for ever.
pub struct Server {
    address: SocketAddr,
    /// What it speaks.
    pub version: Version,
    /// Its certificate, which is its own root.
    pub certificate: CertificateDer<'static>,
    /// What it has seen.
    pub seen: Arc<Seen>,
}

impl Server {
    /// Starts one.
    pub fn start(behaviour: Behaviour) -> Server {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            pin(1);
            runtime().block_on(async {
                let (config, certificate) = tls(behaviour);
                let seen = Arc::<Seen>::default();
                let tell = |address| {
                    let server = Server {
                        address,
                        version: behaviour.version,
                        certificate,
                        seen: Arc::clone(&seen),
                    };
                    sender.send(server).ok().expect("who starts it waits");
                };
                let at = match behaviour.is_everywhere {
                    true => Ipv4Addr::UNSPECIFIED,
                    false => Ipv4Addr::LOCALHOST,
                };
                if behaviour.version == Version::Http3 {
                    let endpoint = http3::bind(config, at);
                    tell(endpoint.local_addr().expect("it is bound"));
                    return http3::accept(endpoint, &seen).await;
                }
                let listener = TcpListener::bind((at, 0)).await;
                let listener = listener.expect("a socket on loopback");
                tell(listener.local_addr().expect("it is bound"));
                let acceptor = TlsAcceptor::from(Arc::new(config));
                accept(listener, acceptor, behaviour, Arc::clone(&seen)).await;
            });
        });
        receiver.recv().expect("it starts")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where its resource is.
    pub fn url(&self) -> String {
        format!("https://{}/resource", self.address)
    }

    /// Where its resource is by the name of a host, which its certificate has if it ends as
    /// [`DOMAIN`].
    pub fn url_at(&self, host: &str) -> String {
        format!("https://{host}:{}/resource", self.port())
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    behaviour: Behaviour,
    seen: Arc<Seen>,
) {
    loop {
        let (stream, _) = listener.accept().await.expect("it is open");
        let number = seen.accept();
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            match number < behaviour.served_max {
                true => serve(stream, acceptor, behaviour, &seen).await,
                false => say_nothing(&stream).await,
            }
            seen.end();
        });
    }
}

/// Reads until the client has gone.
async fn say_nothing(stream: &TcpStream) {
    let mut buffer = [0; 4096];
    loop {
        // The socket fails when the client resets it, which is an end as well.
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, behaviour: Behaviour, seen: &Arc<Seen>) {
    stream.set_nodelay(true).expect("a TCP socket");
    // A sleep of no time ends with the next millisecond of the runtime's timer.
    if !behaviour.hesitates.is_zero() {
        tokio::time::sleep(behaviour.hesitates).await;
    }
    // A client that has gone meanwhile is what some of the faults are about.
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| answer(request, behaviour.thinks, Arc::clone(seen)));
    let stream = TokioIo::new(stream);
    // A client that is dropped says no goodbye.
    let _ = match behaviour.version {
        Version::Http1 => {
            let builder = hyper::server::conn::http1::Builder::new();
            builder.serve_connection(stream, service).await
        }
        Version::Http2 => {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.max_concurrent_streams(behaviour.streams_max);
            builder.serve_connection(stream, service).await
        }
        Version::Http3 => unreachable!("it comes over QUIC"),
    };
}

async fn answer(
    _: Request<Incoming>,
    thinks: Duration,
    seen: Arc<Seen>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !thinks.is_zero() {
        let working = seen.working.fetch_add(1, Ordering::SeqCst) + 1;
        seen.working_most.fetch_max(working, Ordering::SeqCst);
        tokio::time::sleep(thinks).await;
        seen.working.fetch_sub(1, Ordering::SeqCst);
    }
    Ok(Response::new(Full::new(Bytes::from_static(CONTENT))))
}

/// How it does TLS, and its certificate.
fn tls(behaviour: Behaviour) -> (rustls::ServerConfig, CertificateDer<'static>) {
    let names = [
        HOST.to_owned(),
        Ipv4Addr::LOCALHOST.to_string(),
        format!("*.{DOMAIN}"),
    ];
    let certified = rcgen::generate_simple_self_signed(names).expect("names of a certificate");
    let certificate = certified.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .expect("the key belongs to the certificate");
    config.alpn_protocols = vec![protocol(behaviour.version).to_vec()];
    if !behaviour.gives_tickets {
        config.send_tls13_tickets = 0;
    }
    (config, certificate)
}

/// The protocol's identifier.
fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::Http1 => b"http/1.1",
        Version::Http2 => b"h2",
        Version::Http3 => b"h3",
    }
}

/// The end of names that the certificate has beside that of loopback.
pub const DOMAIN: &str = "bench.test";
/// The content of every answer.
pub static CONTENT: &[u8] = &[7; 1024];
