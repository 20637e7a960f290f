//! Connecting to one address.
//!
//! Invariant: a value type; each connect takes a snapshot, and a ticket of its own.

use super::{TransportOptions, context_or_default, parameters};
use portway_core::security::SecurityParameters;
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::context::Context;
use portway_transport::environment::UdpBind;
use portway_transport::quic::{
    ClientConfig, ClientCrypto, Connecting, Connection, ConnectionError, Endpoint, EndpointOptions,
};
use portway_transport::tls::EarlyData;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// What connections are made with.
#[derive(Clone)]
pub struct Connector {
    context: Option<Context>,
    security: SecurityParameters,
    server_name: Option<String>,
    transport: TransportOptions,
    local: Option<SocketAddr>,
    endpoint: Option<Endpoint>,
    early_data: EarlyData,
}

impl Connector {
    /// Connections with this protection, which must name an application protocol.
    pub fn new(security: SecurityParameters) -> Self {
        Connector {
            context: None,
            security,
            server_name: None,
            transport: TransportOptions::default(),
            local: None,
            endpoint: None,
            early_data: EarlyData::Refused,
        }
    }

    /// Uses `context` instead of the process-wide one; sessions are kept there.
    #[must_use]
    pub fn context(mut self, context: &Context) -> Self {
        self.context = Some(context.clone());
        self
    }

    /// The name that is asked for and that the server must prove; its address otherwise.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The limits, times and default codes of the connection.
    #[must_use]
    pub fn transport(mut self, transport: TransportOptions) -> Self {
        self.transport = transport;
        self
    }

    /// The address to bind.
    #[must_use]
    pub fn local(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// Connects over the socket of `endpoint`, which other connections may share, instead of a
    /// socket of its own. Such connections move together with [`Endpoint::rebind`].
    #[must_use]
    pub fn endpoint(mut self, endpoint: &Endpoint) -> Self {
        self.endpoint = Some(endpoint.clone());
        self
    }

    /// Lets a later connection to the same server send before the handshake has ended, see
    /// [`Connector::connect_early`].
    #[must_use]
    pub fn early_data(mut self) -> Self {
        self.early_data = EarlyData::Allowed;
        self
    }

    /// Connects; ready when the handshake is complete.
    ///
    /// Cancel safety: dropping the future abandons the connection.
    ///
    /// # Errors
    /// Who refused or was not acceptable, and why.
    pub async fn connect(&self, remote: SocketAddr) -> Result<Connection, Failure> {
        let connecting = self.start(remote)?;
        connecting.await.map_err(|error| error.failure())
    }

    /// Connects; ready at once when a ticket of an earlier connection allows early data. What is
    /// sent before [`Connection::handshake_confirmed`] can be replayed by others, and is lost when
    /// the server does not take it.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect_early(&self, remote: SocketAddr) -> Result<Connection, Failure> {
        match self.start(remote)?.into_early() {
            Ok(connection) => Ok(connection),
            Err(connecting) => {
                let connected: Result<Connection, ConnectionError> = connecting.await;
                connected.map_err(|error| error.failure())
            }
        }
    }

    fn start(&self, remote: SocketAddr) -> Result<Connecting, Failure> {
        let context = context_or_default(self.context.as_ref());
        let tls = parameters(&self.security)?;
        if tls.alpn.is_empty() {
            return Err(no_protocol());
        }
        let name = self.server_name.as_deref();
        let engine = context.tls();
        let crypto = engine.quic_client(tls, name, remote.ip(), &tls.alpn, self.early_data)?;
        let name = crypto.server_name();
        let mut config = ClientConfig::new(ClientCrypto::new(crypto));
        config.transport = self.transport.clone();
        config.tokens = Some(context.history().address_tokens());
        let any = match remote {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let bind = UdpBind::on(self.local.unwrap_or(any));
        let environment = context.environment().clone();
        let options = EndpointOptions::default();
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => Endpoint::bind(environment, bind, &options, None)?,
        };
        let connecting = endpoint.connect(&config, remote, &name);
        connecting.map_err(|error| error.failure())
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("security", &self.security)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// RFC 9001 §8.1: without an agreement by ALPN a connection must not be used.
pub(super) fn no_protocol() -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::InvalidRequest,
        "QUIC needs an application protocol (ALPN), and none is named",
    )
}
