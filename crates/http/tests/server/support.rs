//! Clients of every version over loopback.

use axum::Router;
use axum::extract::Extension;
use axum::routing::{get, post};
use bytes::Bytes;
use http::Request;
use portway_core::security::{Identity, SecurityParameters, TlsParameters, Trust};
use portway_http::Client;
use portway_http::h3::{ClientConnection, Options, ReceiveBody};
use portway_http::pool::Version;
use portway_http::server::{ConnectionInfo, Server};
use portway_transport::RealEnvironment;
use portway_transport::environment::UdpBind;
use portway_transport::quic::{ClientConfig, ClientCrypto, Endpoint, EndpointOptions};
use portway_transport::real::Config;
use portway_transport::tls::{EarlyData, TlsEngine, self_signed};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// The certificate of every server here.
pub(crate) fn identity() -> Arc<Identity> {
    static IDENTITY: OnceLock<Arc<Identity>> = OnceLock::new();
    let names = || ["127.0.0.1".to_owned(), "localhost".to_owned()];
    Arc::clone(IDENTITY.get_or_init(|| self_signed(&names()).expect("a key").into()))
}

/// Trust in [`identity`].
pub(crate) fn pin() -> Trust {
    Trust::Pinned(Arc::from([identity().chain[0].clone()]))
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// A server with a certificate on a free port.
pub(crate) fn protected() -> Server {
    Server::new(loopback()).identities(identity())
}

/// Says what it knows of the connection, and returns content.
pub(crate) fn app() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/info",
            get(
                |version: http::Version, info: Extension<ConnectionInfo>| async move {
                    let alpn = info.alpn().unwrap_or_default();
                    let alpn = String::from_utf8(alpn).expect("a name");
                    let name = info.server_name().unwrap_or_default();
                    let tls = info
                        .tls_version()
                        .map_or(String::new(), |it| it.to_string());
                    let peer = info.peer().ip();
                    let local = info.local();
                    format!("{version:?} {alpn} [{name}] {tls} {peer} {local}")
                },
            ),
        )
        .route("/echo", post(|body: Bytes| async move { body }))
}

/// A client of HTTP/1.1 and 2 that trusts [`identity`].
pub(crate) fn client() -> Client {
    let security = SecurityParameters::tls().with_trust(pin());
    Client::builder().security(security).build()
}

/// Fetches by one version exactly.
pub(crate) async fn fetch(client: &Client, url: &str, version: Version) -> String {
    let response = client.get(url).versions(version).send().await;
    let response = response.expect("an answer");
    response.text().await.expect("it is whole")
}

/// A client of HTTP/3 that trusts [`identity`].
pub(crate) async fn http3(remote: SocketAddr) -> ClientConnection {
    let tls = TlsParameters::default().with_trust(pin());
    let engine = TlsEngine::new();
    let alpn = [b"h3".to_vec()];
    let crypto = engine.quic_client(
        &tls,
        Some("localhost"),
        remote.ip(),
        &alpn,
        EarlyData::Refused,
    );
    let config = ClientConfig::new(ClientCrypto::new(crypto.expect("a pin")));
    let endpoint = Endpoint::bind(
        Arc::new(RealEnvironment::new(Config::default())),
        UdpBind::on(loopback()),
        &EndpointOptions::default(),
        None,
    );
    let endpoint = endpoint.expect("a socket");
    let connecting = endpoint.connect(&config, remote, "localhost");
    let connection = connecting.expect("it can begin").await.expect("a server");
    ClientConnection::new(&connection, &Options::default()).expect("a client")
}

/// Fetches over HTTP/3 and gives all of it.
pub(crate) async fn fetch3(
    client: &ClientConnection,
    request: Request<Bytes>,
) -> http::Response<Bytes> {
    let pending = client.send(request).await.expect("sent");
    let response = pending.response().await.expect("an answer");
    let (head, body) = response.into_parts();
    http::Response::from_parts(head, whole(body).await)
}

pub(crate) async fn whole(body: ReceiveBody) -> Bytes {
    body.read_all(1 << 24).await.expect("it is whole").0
}

pub(crate) fn get3(path: &str) -> Request<Bytes> {
    let uri = format!("https://localhost{path}");
    Request::get(uri).body(Bytes::new()).expect("a request")
}
