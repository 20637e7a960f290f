//! The servers, each the whole program.
//!
//! Invariant: a server tells its address and its certificate on a line, and ends with its input.

use super::super::server::CONTENT;
use crate::carrier::Credentials;
use crate::clock::pin;
use crate::quic::runtime;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::{Buf, Bytes};
use h3::quic::BidiStream;
use h3::server::RequestStream;
use http_body_util::BodyExt;
use portway_http::server::Server;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tower_service::Service;

/// Serves by `stack` until the standard input ends; `form` is `one` for a runtime of one thread,
/// or `two`: what the stack offers for two processors.
pub fn serve(stack: &str, form: &str) {
    let (sender, ended) = oneshot::channel();
    if form == "one" {
        pin(0);
    }
    std::thread::spawn(move || {
        // What is read is nothing; the end counts, and so does a failure.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = sender.send(());
    });
    match stack {
        "portway" => runtime().block_on(ours(form, None, ended)),
        "portway-h3" => runtime().block_on(ours(form, Some(Credentials::generate()), ended)),
        "axum" => their_runtime(form).block_on(async {
            let listener = TcpListener::bind(LOOPBACK).await.expect("a socket");
            tell(listener.local_addr().expect("it is bound"), &[]);
            let listener = axum::serve::ListenerExt::tap_io(listener, |socket| {
                socket.set_nodelay(true).expect("a TCP socket");
            });
            let serving = tokio::spawn(async { axum::serve(listener, app()).await });
            ended.await.expect("the thread tells");
            serving.abort();
        }),
        "h3" => their_runtime(form).block_on(async {
            tokio::spawn(serve_h3(Credentials::generate()));
            ended.await.expect("the thread tells");
        }),
        _ => panic!("no such server: {stack}"),
    }
}

/// The application of all of them, made ready as axum makes it when it serves itself.
fn app() -> Router {
    let app = Router::new().route("/resource", get(|| async { Bytes::from_static(CONTENT) }));
    app.with_state(())
}

async fn ours(form: &str, credentials: Option<Credentials>, ended: oneshot::Receiver<()>) {
    let mut server = Server::new(LOOPBACK);
    let mut certificate = Vec::new();
    if let Some(credentials) = credentials {
        certificate = credentials.certificate().to_vec();
        server = server.identities(credentials.identity());
    }
    let serving = match form {
        "one" => server.serve(app()),
        _ => server.serve_sharded(2, app()),
    };
    let serving = serving.expect("a server");
    tell(serving.address(), &certificate);
    ended.await.expect("the thread tells");
    serving.drain(Duration::ZERO).await;
}

fn their_runtime(form: &str) -> Runtime {
    match form {
        "one" => runtime(),
        _ => Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime"),
    }
}

/// A server on h3 and h3-quinn, as their examples have it, with the router behind it.
async fn serve_h3(credentials: Credentials) {
    let mut tls = (*credentials.server()).clone();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let tls: quinn::crypto::rustls::QuicServerConfig = tls.try_into().expect("it has suites");
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let endpoint = quinn::Endpoint::server(config, LOOPBACK).expect("a socket");
    let address = endpoint.local_addr().expect("it is bound");
    tell(address, &credentials.certificate());
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await.expect("our own client");
            let connection = h3_quinn::Connection::new(connection);
            let built = h3::server::builder().build(connection).await;
            let mut connection = built.expect("our own client");
            let app = app();
            while let Ok(Some(resolver)) = connection.accept().await {
                let app = app.clone();
                tokio::spawn(async move {
                    let resolved = resolver.resolve_request().await;
                    let (request, stream) = resolved.expect("a request");
                    answer(app, request, stream).await;
                });
            }
        });
    }
}

async fn answer<S: BidiStream<Bytes>>(
    mut app: Router,
    request: http::Request<()>,
    mut stream: RequestStream<S, Bytes>,
) {
    let mut content = Vec::new();
    while let Some(mut piece) = stream.recv_data().await.expect("a request") {
        content.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    let request = request.map(|()| Body::from(content));
    let response = app.call(request).await.expect("it cannot fail");
    let (head, mut body) = response.into_parts();
    let sent = stream.send_response(http::Response::from_parts(head, ()));
    sent.await.expect("it is read");
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.expect("it is there").into_data() {
            stream.send_data(data).await.expect("it is read");
        }
    }
    stream.finish().await.expect("it is read");
}

/// Where it is, for the process that started this one.
fn tell(address: SocketAddr, certificate: &[u8]) {
    let hex: String = certificate
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!("{address} certificate:{hex}");
    std::io::stdout().flush().expect("somebody reads");
}

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
