//! Loopback listeners and identities for the tests of the interface.

use portway::property::SelectionProperty;
use portway::{
    Connection, LengthPrefixed, Listener, LocalEndpoint, MessageProperties, Preconnection,
    RemoteEndpoint, Security, TransportProperties,
};
use portway_transport::tls::self_signed;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Security parameters of a server and of a client that trusts it, for `localhost`.
pub(crate) fn tls_pair() -> (Security, Security) {
    let identity = self_signed(&["localhost".to_owned()]).expect("an identity");
    let roots = vec![identity.chain[0].clone()];
    let server = Security::tls().with_identity(Arc::new(identity));
    let client = Security::tls()
        .with_roots(roots)
        .with_server_name("localhost");
    (server, client)
}

pub(crate) fn loopback() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

/// Length-prefixed messages over a byte stream.
pub(crate) fn framed(security: Security) -> Preconnection {
    Preconnection::new(security).framer(LengthPrefixed::u32())
}

/// Messages that UDP may carry.
pub(crate) fn datagrams() -> Preconnection {
    Preconnection::new(Security::disabled())
        .properties(
            TransportProperties::unreliable_datagram().prohibit(SelectionProperty::Reliability),
        )
        .message_defaults(MessageProperties::new().with_safely_replayable(true))
}

pub(crate) async fn listen(preconnection: &Preconnection) -> (Listener, SocketAddr) {
    let local = LocalEndpoint::address(loopback());
    let listener = preconnection
        .clone()
        .local(local)
        .listen()
        .await
        .expect("a listener");
    let address = SocketAddr::new(loopback(), listener.port());
    (listener, address)
}

/// A connected pair: the client's side first.
pub(crate) async fn pair(
    server: &Preconnection,
    client: &Preconnection,
) -> (Connection, Connection) {
    let (mut listener, address) = listen(server).await;
    let client = client.clone().remote(RemoteEndpoint::from(address));
    let (initiated, accepted) = tokio::join!(client.initiate().into_future(), listener.accept());
    (
        initiated.expect("a connection"),
        accepted.expect("an accepted connection"),
    )
}

use std::future::IntoFuture;
