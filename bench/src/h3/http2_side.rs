//! HTTP/2 over TLS by hyper, as an application that keeps its connection uses it.

use super::web::{self, Asks, Web, content};
use crate::carrier::HOST;
use crate::quic::{Identity, STREAMS_MAX};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder as ClientBuilder, SendRequest};
use hyper::server::conn::http2::Builder as ServerBuilder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// hyper's HTTP/2.
pub struct Http2;

/// A connection.
#[derive(Clone)]
pub struct Client {
    sender: SendRequest<Empty<Bytes>>,
}

impl Web for Http2 {
    type Client = Client;

    fn start(identity: &Identity, at: IpAddr) -> SocketAddr {
        let listener = std::net::TcpListener::bind((at, 0)).expect("a socket of this host");
        listener.set_nonblocking(true).expect("a socket");
        // What it accepts inherits it.
        use_cubic(&listener);
        let address = listener.local_addr().expect("it is bound");
        let listener = TcpListener::from_std(listener).expect("a runtime");
        let acceptor = TlsAcceptor::from(identity.credentials().server());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("it is open");
                tokio::spawn(serve(stream, acceptor.clone()));
            }
        });
        address
    }

    async fn connect(identity: &Identity, from: IpAddr, to: SocketAddr) -> Client {
        let socket = match from {
            IpAddr::V4(_) => TcpSocket::new_v4(),
            IpAddr::V6(_) => TcpSocket::new_v6(),
        }
        .expect("a socket");
        socket
            .bind((from, 0).into())
            .expect("an address of this host");
        use_cubic(&socket);
        let stream = socket.connect(to).await.expect("our own server");
        stream.set_nodelay(true).expect("a TCP socket");
        let connector = TlsConnector::from(identity.credentials().client());
        let name = ServerName::try_from(HOST).expect("a DNS name");
        let stream = connector.connect(name, stream).await;
        let stream = TokioIo::new(stream.expect("our own server"));
        let mut builder = ClientBuilder::new(TokioExecutor::new());
        builder
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(STREAMS_MAX as usize);
        let (sender, driver) = builder.handshake(stream).await.expect("our own server");
        tokio::spawn(driver);
        Client { sender }
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor) {
    stream.set_nodelay(true).expect("a TCP socket");
    let stream = acceptor.accept(stream).await.expect("our own client");
    let mut builder = ServerBuilder::new(TokioExecutor::new());
    builder
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .auto_date_header(false);
    let serving = builder.serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that is dropped says no goodbye.
    let _ = serving.await;
}

async fn answer(request: Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let received = request.into_body().collect().await.expect("a request");
    assert!(received.to_bytes().is_empty(), "it has no content");
    Ok(web::response(Full::new(content())))
}

impl Asks for Client {
    async fn get(&self, fields: &HeaderMap) -> usize {
        let mut sender = self.sender.clone();
        let sent = sender.send_request(web::request(fields, Empty::new()));
        let response = sent.await.expect("an answer");
        assert!(response.status().is_success());
        let content = response.into_body().collect().await.expect("an answer");
        content.to_bytes().len()
    }
}

/// Controls congestion as all others do, whatever the system's default is.
fn use_cubic(socket: &impl AsRawFd) {
    const NAME: &[u8] = b"cubic";
    // SAFETY: the socket is open, and the name is there during the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_CONGESTION,
            NAME.as_ptr().cast(),
            NAME.len() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "the kernel has CUBIC");
}

/// As QUIC's.
const STREAM_WINDOW: u32 = 1_250_000;
const CONNECTION_WINDOW: u32 = 16 << 20;
