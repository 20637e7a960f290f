//! Choosing a connection's configuration by what its client says first.
//!
//! Invariant: what a chooser sees is what the client's packets say and nothing is proven yet.

use super::hello::ClientHello;
use super::options::ServerConfig;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A client that wants to connect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IncomingClient {
    /// What it says.
    pub hello: ClientHello,
    /// Where it says that it is.
    pub remote: SocketAddr,
    /// The address that it came to, when the system says.
    pub local: Option<IpAddr>,
    /// Whether it has shown that it receives at its address.
    pub is_address_validated: bool,
}

/// What to do with a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Choice {
    /// Goes on with this configuration. Equal ones should be clones of one `Arc`, since what is
    /// made of them is kept by that.
    Accept(Arc<ServerConfig>),
    /// Tells the client that it is refused.
    Refuse,
    /// Does not answer.
    Ignore,
}

/// Chooses for each client. It runs on the endpoint's task, without any lock of the endpoint, and
/// must not block.
#[derive(Clone)]
pub struct Chooser(Arc<dyn Fn(&IncomingClient) -> Choice + Send + Sync>);

impl Chooser {
    /// Asks `choose` about each client.
    pub fn new(choose: impl Fn(&IncomingClient) -> Choice + Send + Sync + 'static) -> Self {
        Chooser(Arc::new(choose))
    }

    pub(super) fn choose(&self, client: &IncomingClient) -> Choice {
        (self.0)(client)
    }
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chooser")
    }
}
