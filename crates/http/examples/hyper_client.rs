//! hyper's client with portway's connector, which is the one line that changes.
//!
//! `cargo run -p portway-http --example hyper_client -- https://example.com/`

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portway_http::client::Connector;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("say a URL")?;
    // Was: Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let client: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build(Connector::new());
    let response = client.get(url.parse()?).await?;
    println!("{:?} {}", response.version(), response.status());
    let content = response.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&content));
    Ok(())
}
