//! portway's side of the comparison.

use crate::carrier::{Carrier, Credentials, endpoint};
use crate::workload::{Messenger, serve};
use bytes::Bytes;
use portway::{
    Connection, Context, LengthPrefixed, Listener, LocalEndpoint, Preconnection, RealConfig,
    RealEnvironment, ReceiveError, Security, StackId, TransportProperties,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

impl Messenger for Connection {
    async fn send(&mut self, message: Bytes) {
        let receipt = Connection::send(self, message).await;
        drop(receipt.expect("the peer is there"));
    }

    async fn receive(&mut self) -> Option<Bytes> {
        match Connection::receive(self).await {
            Ok(message) => Some(message.into_bytes()),
            Err(ReceiveError::Finished | ReceiveError::Closed(_)) => None,
            // A client that is dropped resets connections with unread answers.
            Err(ReceiveError::Failed(_)) => None,
            Err(error) => panic!("the peer frames well: {error}"),
        }
    }
}

/// A context over the real environment.
pub fn context() -> Context {
    Context::new(Arc::new(RealEnvironment::new(RealConfig::default())))
}

/// What a client of messages asks for.
pub fn to(
    context: &Context,
    address: SocketAddr,
    carrier: Carrier,
    credentials: &Credentials,
) -> Preconnection {
    bare(context, address, carrier, credentials).framer(LengthPrefixed::u32())
}

/// The same without framers: the byte stream alone.
pub fn bare(
    context: &Context,
    address: SocketAddr,
    carrier: Carrier,
    credentials: &Credentials,
) -> Preconnection {
    stated(
        context,
        address,
        carrier,
        credentials.portway_client(carrier),
    )
}

/// The same, with the certificate chain verified at each connect.
pub fn without_memory(
    context: &Context,
    address: SocketAddr,
    carrier: Carrier,
    credentials: &Credentials,
) -> Preconnection {
    let security = credentials.portway_client(carrier);
    let security = security.with_tls(|tls| tls.with_accepted_chains_max(0));
    stated(context, address, carrier, security)
}

fn stated(
    context: &Context,
    address: SocketAddr,
    carrier: Carrier,
    security: Security,
) -> Preconnection {
    Preconnection::new(security)
        .context(context)
        .remote(endpoint(address).for_stack(match carrier {
            Carrier::Tcp => StackId::TCP,
            Carrier::Tls => StackId::TLS,
        }))
        .properties(stream_properties())
}

/// Opens a listener on the loopback address.
pub async fn listen(context: &Context, carrier: Carrier, credentials: &Credentials) -> Listener {
    Preconnection::new(credentials.portway_server(carrier))
        .context(context)
        .local(LocalEndpoint::address(Ipv4Addr::LOCALHOST))
        .properties(stream_properties())
        .framer(LengthPrefixed::u32())
        .listen()
        .await
        .expect("a listener on loopback")
}

/// Accepts and serves connections for as long as the listener works.
pub async fn accept_all(mut listener: Listener) {
    while let Some(connection) = listener.accept().await {
        tokio::spawn(serve(connection));
    }
}

fn stream_properties() -> TransportProperties {
    TransportProperties::reliable_inorder_stream()
}
