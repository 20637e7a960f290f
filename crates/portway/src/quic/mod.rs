//! QUIC itself, for those who write a protocol over it: listeners, connections and streams.
//!
//! An application that only needs messages uses a [`Preconnection`](crate::Preconnection), whose
//! races try QUIC beside TLS over TCP. Here nothing is raced and nothing is chosen for the
//! application: what can be done is what RFC 9000 can do.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use portway::quic::{self, Connector, Listener};
//! use portway::{Security, self_signed};
//!
//! let identity = self_signed(&["localhost".to_owned()])?;
//! let root = identity.chain[0].clone();
//! let server = Security::tls().with_identity(identity).with_alpn(["chat"]);
//! let listener = Listener::bind("127.0.0.1:0".parse()?, server)?;
//! let client = Security::tls().with_roots([root]).with_alpn(["chat"]);
//! let connector = Connector::new(client).server_name("localhost");
//! let connecting = connector.connect(listener.local_address());
//! let (client, server) = tokio::join!(connecting, listener.accept());
//! let (mut send, mut receive) = client?.open_bi().await?;
//! send.write_and_finish("hello".into()).await?;
//! let (_, mut hello) = server.expect("it listens")?.accept_bi().await?;
//! assert_eq!(hello.read_to_end(100).await?, b"hello");
//! # let _ = receive.read(&mut []).await?;
//! # Ok(()) }
//! ```

mod connector;
mod listener;
mod port;

pub use connector::Connector;
pub use listener::{Listener, ListenerOptions};
pub use portway_transport::quic::{
    AcceptError, AddressTokens, AddressValidation, Choice, Chooser, ClientHello, Congestion,
    ConnectError, Connection, ConnectionError, DatagramError, DatagramLimits, DefaultCodes,
    Endpoint, EndpointOptions, IncomingClient, IncomingLimits, MtuOptions, PathEvent, PathEvents,
    PathState, ReadsClosed, ReceiveStream, SendStream, ServerConfig, Side, Statistics, StreamError,
    StreamId, StreamKind, StreamLimits, Times, TransportOptions, VarInt, WritesClosed,
};

use portway_core::security::{SecurityParameters, TlsParameters};
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::context::Context;
use portway_transport::environment::UdpBind;
use portway_transport::quic::ServerCrypto;
use portway_transport::tls::EarlyData;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Whether QUIC can be used on this side of a connection, or why it cannot: the system must give
/// UDP sockets, and TLS 1.3 must be among the versions and algorithms of `security`.
///
/// # Errors
/// What is missing.
pub fn is_supported(
    context: &Context,
    side: Side,
    security: &SecurityParameters,
) -> Result<(), Failure> {
    let tls = parameters(security)?;
    match side {
        Side::Client => {
            let any = Ipv4Addr::LOCALHOST.into();
            let engine = context.tls();
            engine.quic_client(tls, None, any, &tls.alpn, EarlyData::Refused)?;
        }
        Side::Server => {
            context
                .tls()
                .quic_server(tls, &tls.alpn, EarlyData::Refused)?;
        }
    }
    let any = UdpBind::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).for_packets();
    let socket = context.environment().udp_bind(any);
    socket.map(drop).map_err(|error| {
        Failure::new(
            Origin::System,
            FailureKind::Unsupported,
            format!("the system gives no UDP socket: {error}"),
        )
    })
}

/// What connections are accepted with: the identity and application protocols of `security`, and
/// `transport`. A [`Chooser`] prepares one for each kind of client and returns clones.
///
/// # Errors
/// The parameters cannot be used by a QUIC server, such as for want of a certificate.
pub fn server_config(
    context: &Context,
    security: &SecurityParameters,
    transport: TransportOptions,
    early_data: EarlyData,
) -> Result<ServerConfig, Failure> {
    let tls = parameters(security)?;
    let engine = context.tls();
    let crypto = engine.quic_server(tls, &tls.alpn, early_data)?;
    let mut config = ServerConfig::new(ServerCrypto::new(crypto));
    config.transport = transport;
    config.hands_over_early = early_data == EarlyData::Allowed;
    Ok(config)
}

/// QUIC is never without TLS.
fn parameters(security: &SecurityParameters) -> Result<&TlsParameters, Failure> {
    security.tls_parameters().ok_or_else(|| {
        Failure::new(
            Origin::Local,
            FailureKind::InvalidRequest,
            "QUIC is always encrypted, and security is disabled",
        )
    })
}

/// The context that was given, or that of the process.
fn context_or_default(context: Option<&Context>) -> Context {
    context.cloned().unwrap_or_else(crate::default_context)
}

/// A configuration that is shared by the connections that it was chosen for.
type SharedConfig = Arc<ServerConfig>;
