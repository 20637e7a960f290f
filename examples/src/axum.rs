//! An axum program: the line that served it by `axum::serve` now serves it by HTTP/3, too.
//!
//! Instead of
//!
//! ```text
//! axum::serve(tokio::net::TcpListener::bind(address).await?, app).await?;
//! ```
//!
//! `cargo run -p portway-examples --bin axum -- 127.0.0.1:8443` serves until its standard input
//! ends; try `curl -k https://127.0.0.1:8443/`. Without an address it asks itself by all versions.

use axum::Router;
use axum::extract::{Extension, Path};
use axum::routing::get;
use portway::http::Client;
use portway::http::pool::Version;
use portway::http::server::{ConnectionInfo, Server};
use portway::{Security, self_signed};
use rustls_pki_types::CertificateDer;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::AsyncReadExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let given: Option<SocketAddr> = match std::env::args().nth(1) {
        Some(address) => Some(address.parse()?),
        None => None,
    };
    let address = given.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
    let identity = self_signed(&["localhost".to_owned(), address.ip().to_string()])?;
    let app = Router::new()
        .route("/", get(|| async { "hello\n" }))
        .route("/hello/{name}", get(greet));

    let certificate = identity.chain[0].clone();
    let serving = Server::new(address).identities(identity).serve(app)?;

    println!("https://{}/", serving.address());
    match given {
        Some(_) => {
            tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
        }
        None => ask(serving.address(), certificate).await?,
    }
    let left = serving.drain(Duration::from_secs(10)).await;
    println!("{} requests were cut off", left.requests);
    Ok(())
}

async fn greet(
    Path(name): Path<String>,
    version: http::Version,
    connection: Extension<ConnectionInfo>,
) -> String {
    format!(
        "hello {name}, by {version:?} from {}",
        connection.peer().ip()
    )
}

/// What a client of each version is told.
async fn ask(
    address: SocketAddr,
    certificate: CertificateDer<'static>,
) -> Result<(), Box<dyn Error>> {
    let security = Security::tls().with_roots([certificate]);
    let client = Client::builder().security(security).build();
    for version in [Version::Http1, Version::Http2, Version::Http3] {
        let url = format!("https://{address}/hello/you");
        let response = client.get(url).versions(version).send().await?;
        if response.version() != version {
            return Err(format!("{} came instead of {version}", response.version()).into());
        }
        println!("{}", response.text().await?);
    }
    Ok(())
}
