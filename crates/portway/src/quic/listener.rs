//! Listening for connections of some application protocols.
//!
//! Invariant: what is handed over has completed its handshake, unless early data was allowed.

use super::connector::no_protocol;
use super::port::{Choosing, Delivery, Port, Route};
use super::{
    AcceptError, AddressValidation, Choice, Connection, IncomingClient, ServerConfig,
    TransportOptions, context_or_default, parameters, server_config,
};
use portway_core::Failure;
use portway_core::security::SecurityParameters;
use portway_transport::context::Context;
use portway_transport::tls::EarlyData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, mpsc};

/// What a listener accepts with.
#[derive(Clone)]
#[non_exhaustive]
pub struct ListenerOptions {
    /// The context; the process-wide one by default.
    pub context: Option<Context>,
    /// The limits, times and default codes of its connections.
    pub transport: TransportOptions,
    /// Connections that wait to be accepted; more are closed. 64.
    pub backlog: usize,
    /// Whether early data is taken; connections with it are handed over at once.
    pub early_data: bool,
    /// When clients must show first that they receive at their addresses (Retry). The port has
    /// that of the listener that opened it.
    pub address_validation: AddressValidation,
    chooser: Option<Choosing>,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        ListenerOptions {
            context: None,
            transport: TransportOptions::default(),
            backlog: 64,
            early_data: false,
            address_validation: AddressValidation::UnderLoad,
            chooser: None,
        }
    }
}

impl ListenerOptions {
    /// Asks `choose` about each client before it is accepted: by its name, protocols and address
    /// it gets a configuration of its own, made by [`server_config`], or the listener's (`None`).
    /// Its protocols must be among the listener's. It must not block.
    #[must_use]
    pub fn choose(
        mut self,
        choose: impl Fn(&IncomingClient) -> Option<Choice> + Send + Sync + 'static,
    ) -> Self {
        self.chooser = Some(Arc::new(choose));
        self
    }

    fn config(&self, security: &SecurityParameters) -> Result<ServerConfig, Failure> {
        let context = context_or_default(self.context.as_ref());
        let early_data = match self.early_data {
            true => EarlyData::Allowed,
            false => EarlyData::Refused,
        };
        let transport = self.transport.clone();
        let mut config = server_config(&context, security, transport, early_data)?;
        config.address_validation = self.address_validation;
        Ok(config)
    }
}

/// Accepts QUIC connections of its application protocols. Other listeners of the same context may
/// have others on the same port.
///
/// Dropping it stops accepting; connections live on.
pub struct Listener {
    port: Arc<Port>,
    id: u64,
    ready: Mutex<mpsc::Receiver<Delivery>>,
}

impl Listener {
    /// Listens on `local` with the identity and application protocols of `security`.
    ///
    /// # Errors
    /// As [`Listener::bind_with`].
    pub fn bind(local: SocketAddr, security: SecurityParameters) -> Result<Listener, Failure> {
        Listener::bind_with(local, security, ListenerOptions::default())
    }

    /// As [`Listener::bind`], with options.
    ///
    /// # Errors
    /// No application protocol or no certificate is named, another listener of the port has one
    /// of the protocols, or the system refuses the socket.
    pub fn bind_with(
        local: SocketAddr,
        security: SecurityParameters,
        options: ListenerOptions,
    ) -> Result<Listener, Failure> {
        let protocols = parameters(&security)?.alpn.clone();
        if protocols.is_empty() {
            return Err(no_protocol());
        }
        let config = options.config(&security)?;
        let (sender, ready) = mpsc::channel(options.backlog.max(1));
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let route = Route {
            id,
            protocols,
            config: Arc::new(config.clone()),
            chooser: options.chooser,
            sender,
        };
        let context = context_or_default(options.context.as_ref());
        Ok(Listener {
            port: Port::join(&context, local, &config, route)?,
            id,
            ready: Mutex::new(ready),
        })
    }

    /// The address that it listens on, with the port that the system chose.
    pub fn local_address(&self) -> SocketAddr {
        self.port.local_address()
    }

    /// The next connection, or a handshake that failed; the next call goes on. `None` when the
    /// socket has failed for good.
    ///
    /// Cancel safety: no connection is lost when the future is dropped.
    pub async fn accept(&self) -> Option<Result<Connection, AcceptError>> {
        self.ready.lock().await.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.port.leave(self.id);
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("local", &self.local_address())
            .finish_non_exhaustive()
    }
}

/// Tells the listeners of a port apart.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);
