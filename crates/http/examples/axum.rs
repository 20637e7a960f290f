//! An axum program: the line that served it by `axum::serve` now serves it by HTTP/3, too.
//!
//! Instead of
//!
//! ```text
//! axum::serve(tokio::net::TcpListener::bind(address).await?, app).await?;
//! ```
//!
//! Try it with `cargo run -p portway-http --example axum -- 127.0.0.1:8443`, then
//! `curl -k https://127.0.0.1:8443/`. It ends in good order when its standard input does.

use axum::Router;
use axum::extract::{Extension, Path};
use axum::routing::get;
use portway_http::server::{ConnectionInfo, Server};
use portway_transport::tls::self_signed;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => "127.0.0.1:0".parse()?,
    };
    let identity = self_signed(&["localhost".to_owned(), address.ip().to_string()])?;
    let app = Router::new()
        .route("/", get(|| async { "hello\n" }))
        .route("/hello/{name}", get(greet));

    let serving = Server::new(address).identities(identity).serve(app)?;

    println!("https://{}/", serving.address());
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
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
        "hello {name}, by {version:?} from {}\n",
        connection.peer().ip()
    )
}
