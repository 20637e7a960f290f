//! One connection for several origins: allowed and refused.

use super::http3_server::{Http3Server, say};
use super::server::{Made, Server, Speaks, acceptor, answer, raw};
use super::until;
use bytes::Bytes;
use http::{Request, Response};
use portway_http::Client;
use portway_http::client::{Reason, VersionPolicy};
use portway_http::pool::Version;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const H2: &[&[u8]] = &[b"h2", b"http/1.1"];
const BOTH: &[&str] = &["127.0.0.1", "localhost", "two.test"];

fn client(made: &Made) -> Client {
    Client::builder().security(made.security()).build()
}

/// A server over QUIC that agrees to everything.
fn http3_server(made: &Made) -> Http3Server {
    let address = "127.0.0.1:0".parse().expect("an address");
    Http3Server::start(made, address, |i| async move { say(i, "yes") })
}

fn at(host: &str, server: SocketAddr) -> String {
    format!("https://{host}:{}/", server.port())
}

async fn get(client: &Client, url: &str, version: Version) -> (Reason, u16) {
    let request = client.get(url).version(version, VersionPolicy::Exact);
    let response = request.send().await.expect("an answer");
    let found = (
        response.connection().reason.clone(),
        response.status().as_u16(),
    );
    response.bytes().await.expect("whole");
    found
}

fn is_shared(reason: &Reason) -> bool {
    matches!(reason, Reason::Shared(_))
}

#[tokio::test]
async fn a_name_that_leads_to_the_same_address_shares_the_connection_of_http2() {
    let made = Made::for_names(BOTH);
    let server = Server::start_with(&made, Speaks::Tls(H2), 100, |_| async {
        answer(200, "yes")
    })
    .await;
    let client = client(&made);
    let own = get(&client, &server.url("/"), Version::Http2).await;
    assert!(!is_shared(&own.0));
    let other = at("localhost", server.address);
    for _ in 0..2 {
        let (reason, _) = get(&client, &other, Version::Http2).await;
        let expected = format!("https://127.0.0.1:{}", server.address.port());
        assert_eq!(reason, Reason::Shared(expected));
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_certificate_for_one_name_only_is_no_connection_for_another() {
    let made = Made::for_names(&["127.0.0.1"]);
    let server = Server::start_with(&made, Speaks::Tls(H2), 100, |_| async {
        answer(200, "yes")
    })
    .await;
    let client = client(&made);
    get(&client, &server.url("/"), Version::Http2).await;
    let refused = client.get(at("localhost", server.address)).send().await;
    assert!(
        refused.is_err(),
        "it has to prove its name on a connection of its own"
    );
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn another_port_or_version_or_asked_name_is_another_connection() {
    let made = Made::for_names(BOTH);
    let yes = |_: Request<hyper::body::Incoming>| async { answer(200, "yes") };
    let server = Server::start_with(&made, Speaks::Tls(H2), 100, yes).await;
    let beside = Server::start_with(&made, Speaks::Tls(H2), 100, yes).await;
    let client = client(&made);
    get(&client, &server.url("/"), Version::Http2).await;
    assert!(!is_shared(
        &get(&client, &at("localhost", beside.address), Version::Http2)
            .await
            .0
    ));
    let other = at("localhost", server.address);
    assert!(!is_shared(&get(&client, &other, Version::Http1).await.0));
    let named = client
        .get(&other)
        .server_name("two.test")
        .send()
        .await
        .expect("an answer");
    assert!(!is_shared(&named.connection().reason));
    assert_eq!((server.accepted(), beside.accepted()), (3, 1));
}

#[tokio::test]
async fn http3_shares_by_address_too() {
    let made = Made::for_names(BOTH);
    let server = http3_server(&made);
    let client = client(&made);
    get(&client, &server.url("/"), Version::Http3).await;
    let (reason, _) = get(&client, &at("localhost", server.address), Version::Http3).await;
    assert!(is_shared(&reason));
    assert_eq!(server.connections().len(), 1);
    // What the connection says is told for both.
    let shutting_down = server.connections()[0].clone();
    shutting_down.shutdown().await;
    until(|| client.counts() == Default::default()).await;
}

#[tokio::test]
async fn origins_that_http3_tells_need_no_name_resolution() {
    let made = Made::for_names(BOTH);
    let server = http3_server(&made);
    let client = client(&made);
    let mut response = client.get(server.url("/"));
    response = response.version(Version::Http3, VersionPolicy::Exact);
    response
        .send()
        .await
        .expect("an answer")
        .bytes()
        .await
        .expect("whole");
    let port = server.address.port();
    let origin = format!("https://two.test:{port}");
    let unproved = format!("https://three.test:{port}");
    server.connections()[0]
        .send_origins(&[&origin, &unproved])
        .expect("it is open");

    let two = at("two.test", server.address);
    loop {
        let request = client
            .get(&two)
            .version(Version::Http3, VersionPolicy::Exact);
        // Until then the name is asked for, which nobody knows.
        if let Ok(response) = request.send().await {
            assert!(is_shared(&response.connection().reason));
            break;
        }
    }
    let three = client.get(at("three.test", server.address));
    let three = three
        .version(Version::Http3, VersionPolicy::Exact)
        .send()
        .await;
    assert!(three.is_err(), "the certificate does not speak for it");
    let unsaid = client.get(at("localhost", server.address));
    let unsaid = unsaid
        .version(Version::Http3, VersionPolicy::Exact)
        .send()
        .await;
    let unsaid = unsaid.expect("a connection of its own");
    assert!(
        !is_shared(&unsaid.connection().reason),
        "the server did not name it"
    );
    assert_eq!(server.connections().len(), 2);
}

#[tokio::test]
async fn a_misdirected_request_gets_a_connection_of_its_own() {
    let made = Made::for_names(BOTH);
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let server = Server::start_with(&made, Speaks::Tls(H2), 100, move |request| {
        let is_other = request.uri().host() == Some("localhost");
        let is_first = is_other && counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            match is_first {
                true => answer(421, "not me"),
                false => answer(200, "yes"),
            }
        }
    })
    .await;
    let client = client(&made);
    get(&client, &server.url("/"), Version::Http2).await;
    let (reason, status) = get(&client, &at("localhost", server.address), Version::Http2).await;
    assert_eq!(status, 200);
    assert!(!is_shared(&reason));
    get(&client, &server.url("/"), Version::Http2).await;
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert_eq!(server.accepted(), 2, "and the other origin keeps its own");
}

/// Writes frames of its own behind the first write of the server's, which are its settings.
struct Injecting<S> {
    inner: S,
    has_begun: bool,
    extra: Vec<u8>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Injecting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Injecting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let this = &mut *self;
        while this.has_begun && !this.extra.is_empty() {
            let written = Pin::new(&mut this.inner).poll_write(context, &this.extra);
            let written = std::task::ready!(written)?;
            this.extra.drain(..written);
        }
        this.has_begun = true;
        Pin::new(&mut this.inner).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("it is short");
    [&[0, 0, length, kind, 0, 0, 0, 0, 0], payload].concat()
}

fn counted(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("it is short");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// HTTP/2 that says this in frames that hyper does not know.
async fn saying(
    made: &Made,
    frames: impl Fn(SocketAddr) -> Vec<u8> + Send + Sync + 'static,
) -> SocketAddr {
    let acceptor = acceptor(made, H2);
    let frames = Arc::new(frames);
    raw(move |_, stream| {
        let (acceptor, frames) = (acceptor.clone(), frames.clone());
        async move {
            let extra = frames(stream.local_addr().expect("it is bound"));
            let Ok(inner) = acceptor.accept(stream).await else {
                return;
            };
            let io = Injecting {
                inner,
                has_begun: false,
                extra,
            };
            let mut connection = h2::server::handshake(io).await.expect("HTTP/2");
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let mut body = respond
                    .send_response(Response::new(()), false)
                    .expect("open");
                body.send_data(Bytes::from_static(b"yes"), true)
                    .expect("open");
            }
        }
    })
    .await
}

#[tokio::test]
async fn origins_that_http2_tells_need_no_name_resolution_and_exclude_others() {
    let made = Made::for_names(BOTH);
    let address = saying(&made, |address| {
        frame(
            12,
            &counted(&format!("https://two.test:{}", address.port())),
        )
    })
    .await;
    let client = client(&made);
    get(&client, &at("127.0.0.1", address), Version::Http2).await;
    assert!(is_shared(
        &get(&client, &at("two.test", address), Version::Http2)
            .await
            .0
    ));
    assert!(!is_shared(
        &get(&client, &at("localhost", address), Version::Http2)
            .await
            .0
    ));
}

#[tokio::test]
async fn the_altsvc_frame_of_http2_is_heard_for_the_connections_own_origin() {
    for (host, known) in [("127.0.0.1", 1), ("two.test", 0)] {
        let made = Made::for_names(BOTH);
        let address = saying(&made, move |address| {
            let origin = format!("https://{host}:{}", address.port());
            frame(10, &[&counted(&origin)[..], b"h3=\":9\""].concat())
        })
        .await;
        let client = client(&made);
        get(&client, &at("127.0.0.1", address), Version::Http2).await;
        assert_eq!(client.alternatives().len(), known, "{host}");
    }
}
