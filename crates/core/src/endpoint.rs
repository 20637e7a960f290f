//! Endpoints (RFC 9622 §6.1): what the application says of this side and of the other one.
//!
//! At most one identifier of each type; a second call to a setter replaces the first value.

use crate::stack::StackId;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// The other side, by name or by address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemoteEndpoint {
    pub(crate) host_name: Option<String>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) service: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) interface: Option<String>,
    pub(crate) stack: Option<StackId>,
}

/// This side. Everything that is left out is the system's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LocalEndpoint {
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) service: Option<String>,
    pub(crate) interface: Option<String>,
    pub(crate) stack: Option<StackId>,
}

impl RemoteEndpoint {
    /// A host to be resolved.
    pub fn host_name(name: impl Into<String>) -> Self {
        RemoteEndpoint {
            host_name: Some(name.into()),
            ..Default::default()
        }
    }

    /// An address, which is then the only one connected to.
    pub fn address(address: IpAddr) -> Self {
        RemoteEndpoint {
            address: Some(address),
            ..Default::default()
        }
    }
}

impl From<SocketAddr> for RemoteEndpoint {
    fn from(address: SocketAddr) -> Self {
        RemoteEndpoint::address(address.ip()).port(address.port())
    }
}

impl RemoteEndpoint {
    /// Sets the port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets the service, an IANA name such as `https` or an SRV name such as `_xmpp-client._tcp`.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }
}
