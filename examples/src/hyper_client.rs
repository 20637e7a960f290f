//! hyper's client with portway's connector, which is the one line that changes.
//!
//! `cargo run -p portway-examples --bin hyper_client -- https://example.com/` gets that page;
//! without a URL, what a server of its own answers, with whose certificate it is content.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portway::http::client::Connector;
use portway::http::server::{Server, Serving};
use portway::{Security, self_signed};
use std::error::Error;
use std::net::Ipv4Addr;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (connector, url, _serving) = match std::env::args().nth(1) {
        Some(url) => (Connector::new(), url, None),
        None => serve()?,
    };
    // Was: Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.get(url.parse()?).await?;
    println!("{:?} {}", response.version(), response.status());
    let content = response.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&content));
    Ok(())
}

/// A server, and a connector that trusts it.
fn serve() -> Result<(Connector, String, Option<Serving>), Box<dyn Error>> {
    let identity = self_signed(&["localhost".to_owned()])?;
    let roots = identity.chain.clone();
    let security = Security::tls().with_roots(roots);
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    let server = Server::new((Ipv4Addr::LOCALHOST, 0).into()).identities(identity);
    let serving = server.serve(app)?;
    let url = format!("https://localhost:{}/", serving.address().port());
    Ok((Connector::new().security(security), url, Some(serving)))
}
