//! Through the library.

mod binary;
mod http1;
mod key_log;
mod plain;
mod postgres;
mod tls_client;
mod tls_early;
mod tls_server;
mod upgrade;

use crate::authority::{Authority, NAME};
use portway::security::TlsVersion;
use portway::{
    Connection, Context, Listener, LocalEndpoint, Preconnection, RealConfig, RealEnvironment,
    ReceiveError, Security,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

pub(crate) const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

/// openssl's name of a version.
pub(crate) fn flag(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::Tls12 => "-tls1_2",
        _ => "-tls1_3",
    }
}

/// A client that believes the authority and nobody else.
fn client_security(authority: &Authority, version: TlsVersion) -> Security {
    Security::tls()
        .with_trust(authority.trust())
        .with_server_name(NAME)
        .with_min_version(version)
        .with_max_version(version)
}

fn server_security(authority: &Authority) -> Security {
    Security::tls().with_identity(authority.server.identity())
}

/// A context of its own, so that tests share no sessions.
fn context() -> Context {
    Context::new(Arc::new(RealEnvironment::new(RealConfig::default())))
}

fn preconnection(security: Security) -> Preconnection {
    Preconnection::new(security).context(&context())
}

async fn connect(preconnection: &Preconnection, address: SocketAddr) -> Connection {
    let initiate = preconnection.clone().remote(address).initiate();
    initiate.await.expect("a connection")
}

/// A listener on loopback with a port that the system chose.
async fn listen(preconnection: &Preconnection) -> (Listener, String) {
    let local = LocalEndpoint::address(Ipv4Addr::LOCALHOST);
    let listening = preconnection.clone().local(local).listen().await;
    let listener = listening.expect("a listener");
    let address = format!("127.0.0.1:{}", listener.port());
    (listener, address)
}

/// Receives until `end` has come, and gives all of it.
async fn read_until(connection: &Connection, end: &str) -> Result<String, ReceiveError> {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let part = connection.receive_partial(1, 64 * 1024).await?;
        all.extend_from_slice(&part.data);
        if part.is_end {
            return Err(ReceiveError::Finished);
        }
    }
    Ok(String::from_utf8(all).expect("text"))
}

/// Whether the peer ends its direction with nothing before.
async fn is_finished(connection: &Connection) -> bool {
    match connection.receive_partial(1, 64 * 1024).await {
        Ok(part) => part.is_end && part.data.is_empty(),
        Err(error) => error == ReceiveError::Finished,
    }
}

async fn say(connection: &Connection, text: &str) {
    let receipt = connection.send(text).await.expect("accepted");
    receipt.await.into_result().expect("sent");
}
