//! QUIC with peers that we did not write: aioquic and quiche, each behind lines of text, and
//! ngtcp2's examples.
//!
//! Invariant: a cell that could not be tried is named with its reason and never counts as passed.

mod hostile;
mod http3;
mod matrix;
pub(crate) mod ngtcp2;
mod scenarios;
mod scripted;
mod streams;

use crate::authority::{Authority, NAME};
use crate::page::Page;
use portway::quic::{Connection, Connector, Endpoint, EndpointOptions, Listener, ListenerOptions};
use portway::{Context, RealConfig, RealEnvironment, Security};
use portway_transport::environment::UdpBind;
use std::net::SocketAddr;
use std::sync::Arc;

const ALPN: &str = "portway";

const PAGE: Page = Page {
    path: "docs/interop-quic.md",
    head: "\
# Interoperability of QUIC

Made by `tests/interop/quic`, which tries every cell and fails when one does not hold as it stands
here. The role is ours. The matrices run over loopback. The scenarios are those of the public QUIC
interop runner in network namespaces, over a link of two TUN devices that delays, drops, corrupts,
translates and rate-limits (`tests/src/link.rs`); most start from its 15 ms, 10 Mbit/s and 25
packets. Sizes are a tenth of the runner's; `PORTWAY_LONG=1` has all of them, and five seeds.
",
    sections: &[
        "aioquic",
        "ngtcp2",
        "quiche",
        "scenarios at both ends",
        "scenarios with aioquic at the far end",
        "scenarios with aioquic at the near end",
        "scenarios with ngtcp2 at the far end",
        "scenarios with ngtcp2 at the near end",
        "scenarios with quiche at the far end",
        "scenarios with quiche at the near end",
    ],
};

/// A context of its own, so that tests share no sessions.
pub(crate) fn context() -> Context {
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

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The bytes that the script makes and checks. They are copied from block to block: a test that
/// computes each of very many does not answer its peer meanwhile, which then goes away.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    const BLOCK: usize = 251 << 8;
    let block: Vec<u8> = (0..BLOCK.min(count)).map(|at| (at % 251) as u8).collect();
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let len = BLOCK.min(count - all.len());
        all.extend_from_slice(&block[..len]);
    }
    all
}

/// An endpoint of a client that can move.
pub(crate) fn movable(context: &Context) -> Endpoint {
    let environment = context.environment().clone();
    let bind = UdpBind::on(loopback());
    Endpoint::bind(environment, bind, &EndpointOptions::default(), None).expect("a socket")
}

/// Its socket is another one from now on.
pub(crate) fn move_on(endpoint: &Endpoint) {
    let moved = endpoint.rebind(UdpBind::on(loopback()));
    moved.expect("another socket");
}

pub(crate) async fn accepted(listener: &Listener) -> Connection {
    let accepted = listener.accept().await.expect("it listens");
    accepted.expect("a handshake")
}

/// Waits for all of several futures.
pub(crate) async fn all_of(futures: impl Iterator<Item = impl Future<Output = ()>>) {
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
