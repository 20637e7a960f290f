//! QUIC with peers that we did not write: aioquic, which a script drives, and ngtcp2's examples.
//!
//! Invariant: a cell that could not be tried is named with its reason and never counts as passed.

mod http3;
mod matrix;
mod ngtcp2;
mod page;
mod scenarios;
mod scripted;
mod streams;

use crate::authority::{Authority, NAME};
use portway::quic::{Connection, Connector, Listener, ListenerOptions};
use portway::{Context, RealConfig, RealEnvironment, Security};
use std::net::SocketAddr;
use std::sync::Arc;

const ALPN: &str = "portway";

/// A context of its own, so that tests share no sessions.
fn context() -> Context {
    Context::new(Arc::new(RealEnvironment::new(RealConfig::default())))
}

fn client_security(authority: &Authority) -> Security {
    Security::tls()
        .with_trust(authority.trust())
        .with_alpn([ALPN])
}

/// Our client, which believes the authority.
fn connector(authority: &Authority, context: &Context) -> Connector {
    Connector::new(client_security(authority))
        .context(context)
        .server_name(NAME)
}

/// Our server with the authority's certificate.
fn listener(authority: &Authority, local: SocketAddr, options: ListenerOptions) -> Listener {
    let security = Security::tls()
        .with_identity(authority.server.identity())
        .with_alpn([ALPN]);
    Listener::bind_with(local, security, options).expect("a port")
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The bytes that the script makes and checks.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

async fn accepted(listener: &Listener) -> Connection {
    let accepted = listener.accept().await.expect("it listens");
    accepted.expect("a handshake")
}

/// Waits for all of several futures.
async fn all_of(futures: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        match futures.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}
