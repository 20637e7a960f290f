//! `portway get` over HTTP/3, and the version that it comes to.

#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

mod support;

use bytes::Bytes;
use http::Response;
use portway_core::security::TlsParameters;
use portway_http::h3::{Options, ServerConnection};
use portway_transport::RealEnvironment;
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::quic::{Endpoint, EndpointOptions, ServerConfig, ServerCrypto};
use portway_transport::real;
use portway_transport::tls::{EarlyData, TlsEngine, load_identity};
use std::net::SocketAddr;
use std::sync::Arc;
use support::{Authority, run};

/// A server of HTTP/3 for `127.0.0.1`, which lives as long as the test.
fn serve(authority: &Authority) -> SocketAddr {
    let (cert, key) = authority.issue("127.0.0.1");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let identity = load_identity(cert.as_ref(), key.as_ref()).unwrap();
            let parameters = TlsParameters::default().with_identity(identity);
            let alpn = [b"h3".to_vec()];
            let tls = TlsEngine::new().quic_server(&parameters, &alpn, EarlyData::Refused);
            let config = ServerConfig::new(ServerCrypto::new(tls.unwrap()));
            let environment: Arc<dyn Environment> =
                Arc::new(RealEnvironment::new(real::Config::default()));
            let bind = UdpBind::on("127.0.0.1:0".parse().unwrap());
            let options = EndpointOptions::default();
            let endpoint = Endpoint::bind(environment, bind, &options, Some(config)).unwrap();
            tell.send(endpoint.local_address()).unwrap();
            while let Some(accepted) = endpoint.accept().await {
                let Ok(quic) = accepted else { continue };
                let connection = ServerConnection::new(&quic, &Options::default()).unwrap();
                tokio::spawn(async move {
                    while let Ok(Some(incoming)) = connection.accept().await {
                        let path = incoming.request.uri().path().to_owned();
                        let _ = incoming.responder.send(Response::new(Bytes::from(path)));
                    }
                });
            }
        });
    });
    told.recv().unwrap()
}

#[test]
fn http3_is_spoken_when_asked_for_and_the_race_is_shown() {
    let authority = Authority::new("get-http3");
    let url = format!("https://{}/path", serve(&authority));
    let root = authority.root();
    let format = "|%{http_version} %{http_code}|";
    let got = run(&[
        "get", &url, "--http", "3", "--cacert", &root, "-v", "-w", format,
    ]);
    let got = got
        .expect(0)
        .says(&["HTTP/3: it was asked for", "quic 127.0.0.1", "< HTTP/3 200"]);
    assert_eq!(got.text(), "/path|3 200|");
    let lower = ["--http", "3", "--policy", "or-lower"];
    let lower = run(&[&["get", &url, "--cacert", &root], &lower[..]].concat());
    assert_eq!(lower.expect(0).text(), "/path");
    // Nobody listens for TCP there, and nothing offers HTTP/3.
    run(&["get", &url, "--cacert", &root]).expect(7);
    run(&[
        "get",
        &url,
        "--cacert",
        &root,
        "--http",
        "2",
        "--policy",
        "or-higher",
    ])
    .expect(7);
    run(&["get", &url, "--policy", "exact"])
        .expect(2)
        .says(&["--http"]);
}

#[test]
fn the_certificate_is_judged_over_quic_too() {
    let authority = Authority::new("get-http3-trust");
    let url = format!("https://{}/", serve(&authority));
    let other = Authority::new("get-http3-other");
    run(&["get", &url, "--http", "3", "--cacert", &other.root()]).expect(60);
    run(&["get", &url, "--http", "3", "-k"]).expect(0);
}
