//! Other clients upon our connector: hyper-util's, and tonic's way with it.

use super::relay::{protected, proxy};
use super::server::{Made, Server, Speaks, answer, raw};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::TokioExecutor;
use portway_http::client::{Connector, ErrorClass, Phase, Proxy, Timeouts};
use portway_http::pool::Version;
use std::error::Error as _;
use std::time::Duration;
use tower_service::Service;

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
const ONE: &[&[u8]] = &[b"http/1.1"];

pub(crate) fn hyper_client(connector: Connector) -> HyperClient<Connector, Full<Bytes>> {
    HyperClient::builder(TokioExecutor::new()).build(connector)
}

#[tokio::test]
async fn the_client_of_hyper_uses_our_connector_for_both_versions() {
    for (protocols, version) in [(BOTH, http::Version::HTTP_2), (ONE, http::Version::HTTP_11)] {
        let made = Made::for_names(&["localhost"]);
        let echo = |request: http::Request<hyper::body::Incoming>| async move {
            let content = request.into_body().collect().await.expect("it comes whole");
            answer(200, content.to_bytes())
        };
        let server = Server::start_with(&made, Speaks::Tls(protocols), 10, echo).await;
        let client = hyper_client(Connector::new().security(made.security()));
        let url = format!("https://localhost:{}/", server.address.port());
        let long = Bytes::from("x".repeat(300_000));
        let request = http::Request::post(url)
            .body(Full::new(long.clone()))
            .unwrap();
        let response = client.request(request).await.unwrap();
        assert_eq!(response.version(), version);
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            long
        );
    }
}

#[tokio::test]
async fn cleartext_is_connected_and_what_cannot_be_says_why() {
    let server = Server::start(Speaks::Http1, 1, |_| async { answer(200, "plain") }).await;
    let client = hyper_client(Connector::new());
    let response = client.get(server.url("/").parse().unwrap()).await.unwrap();
    let content = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(content, "plain");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let url = format!("http://{address}/").parse().unwrap();
    let error = client.get(url).await.unwrap_err();
    let ours = error.source().and_then(|error| error.downcast_ref());
    let ours: &portway_http::client::Error = ours.expect("it is ours");
    assert_eq!(ours.class(), ErrorClass::Connect);
    assert!(ours.report().is_some(), "each attempt is told");
    let made = Made::for_names(&["localhost"]);
    let strange = Server::start_with(&made, Speaks::Tls(&[b"h2"]), 1, |_| async {
        answer(200, "nobody asks")
    });
    let url = format!("https://localhost:{}/", strange.await.address.port());
    let error = client.get(url.parse().unwrap()).await.unwrap_err();
    let ours: Option<&portway_http::client::Error> =
        error.source().and_then(|error| error.downcast_ref());
    assert_eq!(ours.map(|it| it.class()), Some(ErrorClass::Certificate));
}

#[tokio::test]
async fn a_connector_offers_the_versions_that_it_is_told_to() {
    let made = Made::for_names(&["localhost"]);
    let protocols: &[&[u8]] = &[b"http/1.1", b"h2"];
    let server = Server::start_with(&made, Speaks::Tls(protocols), 1, |_| async {
        answer(200, "nobody asks")
    })
    .await;
    let mut connector = Connector::new()
        .security(made.security())
        .versions(Version::Http2);
    let uri = format!("https://localhost:{}/", server.address.port());
    let stream = connector.call(uri.parse().unwrap()).await.unwrap();
    assert_eq!(stream.remote().port(), server.address.port());
    let alpn = stream.protection().and_then(|it| it.alpn.clone());
    assert_eq!(alpn.as_deref(), Some(&b"h2"[..]));
}

pub(crate) async fn text(client: &HyperClient<Connector, Full<Bytes>>, url: &str) -> String {
    let answered = client.get(url.parse().expect("it is valid")).await;
    let body = answered.expect("an answer").into_body();
    let content = body.collect().await.expect("it comes whole").to_bytes();
    String::from_utf8(content.into()).expect("text")
}

#[tokio::test]
async fn other_clients_go_through_proxies_too() {
    let made = Made::for_names(&["localhost"]);
    let server = Server::start_with(&made, Speaks::Tls(BOTH), 10, |_| async {
        answer(200, "beyond")
    })
    .await;
    let (address, heard) = proxy(|_, head| match head.starts_with("CONNECT") {
        true => String::new(),
        false => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nforwarded".to_owned(),
    })
    .await;
    let by = Proxy::parse(&format!("http://{address}")).unwrap();
    let connector = Connector::new().security(made.security());
    let client = hyper_client(connector.proxy(by));
    let target = format!("localhost:{}", server.address.port());
    assert_eq!(text(&client, &format!("https://{target}/")).await, "beyond");
    assert_eq!(text(&client, "http://one.test/a").await, "forwarded");
    let heard = heard.all();
    let tunnel = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n");
    assert_eq!(heard[0], tunnel);
    let line = "GET http://one.test/a HTTP/1.1\r\n";
    assert!(heard[1].starts_with(line), "{}", heard[1]);
}

#[tokio::test]
async fn a_tunnel_of_http2_is_moved_as_long_as_it_is_used() {
    let made = Made::for_names(&["localhost", "127.0.0.1"]);
    let server = Server::start_with(&made, Speaks::Tls(ONE), 10, |_| async {
        answer(200, "x".repeat(300_000))
    })
    .await;
    let (address, heard) = protected(&made, &[b"h2"]).await;
    let by = Proxy::parse(&format!("https://{address}")).unwrap();
    let connector = Connector::new().security(made.security()).proxy(by);
    let client = hyper_client(connector);
    let url = format!("https://localhost:{}/", server.address.port());
    for _ in 0..2 {
        assert_eq!(text(&client, &url).await.len(), 300_000);
    }
    assert_eq!(heard.all().len(), 1, "one tunnel for both");
}

#[tokio::test]
async fn a_connector_keeps_its_limits_of_time() {
    let address = raw(|_, stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let uri: http::Uri = format!("https://{address}/").parse().unwrap();
    let brief = Some(Duration::from_millis(50));
    let mut handshake = Timeouts::default();
    handshake.handshake = brief;
    let mut total = Timeouts::default();
    total.total = brief;
    for (timeouts, phase) in [(handshake, Phase::Handshake), (total, Phase::Total)] {
        let mut connector = Connector::new().timeouts(timeouts);
        let error = connector.call(uri.clone()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::TimedOut(phase));
    }
}
