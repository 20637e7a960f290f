//! Both ends of a connection in one program: `cargo run --package portway --example hello`.
//!
//! What is said of the connection is the same for every protocol that can keep it.

use portway::{
    Completion, LengthPrefixed, LocalEndpoint, Preconnection, RemoteEndpoint, Security,
    TransportProperties,
};
use portway_transport::tls::self_signed;
use std::error::Error;
use std::net::Ipv4Addr;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // The server shows a certificate that it made itself; the client believes in exactly that one.
    let identity = self_signed(&["localhost".to_owned()])?;
    let certificate = identity.chain[0].clone();
    let mut listener = Preconnection::new(Security::tls().with_identity(identity))
        .local(LocalEndpoint::address(Ipv4Addr::LOCALHOST))
        .framer(LengthPrefixed::u32())
        .listen()
        .await?;
    let port = listener.port();
    let server = tokio::spawn(async move {
        let connection = listener.accept().await.ok_or("the listener stopped")?;
        let question = connection.receive().await?;
        let answer = format!("{}, world", String::from_utf8_lossy(&question));
        drop(connection.send(answer).await?);
        connection.close().await?;
        Ok::<(), Box<dyn Error + Send + Sync>>(())
    });

    let connection = Preconnection::new(Security::tls().with_roots([certificate]))
        .remote(RemoteEndpoint::host_name("localhost").port(port))
        .properties(TransportProperties::reliable_message())
        .framer(LengthPrefixed::u32())
        .initiate()
        .await?;
    let receipt = connection.send("hello").await?;
    let reply = connection.receive().await?;
    println!("{}", String::from_utf8_lossy(&reply));
    assert_eq!(receipt.await, Completion::Sent);
    connection.close().await?;
    server.await?.map_err(|error| error.to_string())?;
    Ok(())
}
