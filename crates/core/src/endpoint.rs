//! Endpoints (RFC 9622 §6.1): what the application says of this side and of the other one.
//!
//! Invariant: at most one identifier of each type; a second call to a setter replaces the first
//! value. A host name that is an address in text form is an address.

mod error;
mod name;
mod parse;
mod service;

#[cfg(test)]
mod tests;

pub use error::EndpointError;

use crate::stack::{StackId, WireProtocol};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The other side, by name or by address.
///
/// ```
/// use portway_core::RemoteEndpoint;
///
/// let remote = RemoteEndpoint::host_name("example.com").service("https");
/// assert_eq!(remote.resolved_port(), Some(443));
/// assert_eq!("[fe80::1%eth0]:443".parse::<RemoteEndpoint>()?.interface_name(), Some("eth0"));
/// # Ok::<(), portway_core::endpoint::EndpointError>(())
/// ```
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
    /// A host to be resolved; a name that is not fully qualified is looked up in the system's
    /// search domains.
    ///
    /// The name is checked by [`RemoteEndpoint::validate`], which every plan calls. International
    /// names are given in their ASCII form (`xn--…`).
    pub fn host_name(name: impl Into<String>) -> Self {
        let name = name.into();
        let endpoint = RemoteEndpoint::default();
        match parse::address_literal(&name) {
            Some((address, zone)) => RemoteEndpoint {
                address: Some(address),
                interface: zone.map(str::to_owned),
                ..endpoint
            },
            None => RemoteEndpoint {
                host_name: Some(name),
                ..endpoint
            },
        }
    }

    /// An address, which is then the only one connected to.
    pub fn address(address: impl Into<IpAddr>) -> Self {
        RemoteEndpoint {
            address: Some(address.into()),
            ..Default::default()
        }
    }

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

    /// Sets the name that the peer is known by, beside an address that is connected to.
    #[must_use]
    pub fn with_host_name(mut self, name: impl Into<String>) -> Self {
        self.host_name = Some(name.into());
        self
    }

    /// Sets the interface that is the scope zone of the address (RFC 9622 §6.1.2).
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Makes this the endpoint for one stack only (RFC 9622 §6.1.3).
    #[must_use]
    pub fn for_stack(mut self, stack: StackId) -> Self {
        self.stack = Some(stack);
        self
    }

    /// The host name, if one was given.
    pub fn host(&self) -> Option<&str> {
        self.host_name.as_deref()
    }

    /// The address, if one was given.
    pub fn ip_address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The port: the one that was given, or else the service's. An SRV name has none before it is
    /// resolved.
    pub fn resolved_port(&self) -> Option<u16> {
        self.port
            .or_else(|| service::port(self.service.as_deref()?))
    }

    /// The service, if one was given.
    pub fn service_name(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The name to ask for SRV records, when the service is an SRV name and there is a host.
    pub fn srv_name(&self) -> Option<String> {
        let service = self.service.as_deref().filter(|s| service::is_srv(s))?;
        Some(format!("{service}.{}", self.host()?))
    }

    /// The transport that the service is offered over, when it is an SRV name.
    pub fn srv_wire(&self) -> Option<WireProtocol> {
        service::srv_wire(self.service.as_deref()?)
    }

    /// The interface, if one was given.
    pub fn interface_name(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// The stack that this endpoint is for; `None` is every stack.
    pub fn stack(&self) -> Option<&StackId> {
        self.stack.as_ref()
    }

    /// Whether this endpoint may be used with the stack.
    pub fn serves(&self, stack: &StackId) -> bool {
        self.stack.as_ref().is_none_or(|own| own == stack)
    }

    /// Checks that connections can be accepted from this endpoint, which needs no port.
    ///
    /// # Errors
    /// The first thing that is missing or wrong.
    pub fn validate_as_constraint(&self) -> Result<(), EndpointError> {
        match (&self.host_name, self.address) {
            (None, None) => return Err(EndpointError::NoHost),
            (Some(name), _) => name::check(name)?,
            (None, Some(_)) => {}
        }
        if let Some(address) = self.address {
            check_remote_address(address, self.interface.is_some())?;
        }
        service::check(self.service.as_deref())
    }

    /// Checks that one can connect to this endpoint.
    ///
    /// # Errors
    /// The first thing that is missing or wrong.
    pub fn validate(&self) -> Result<(), EndpointError> {
        self.validate_as_constraint()?;
        let is_srv = self.service.as_deref().is_some_and(service::is_srv);
        match self.resolved_port() {
            Some(0) => Err(EndpointError::PortZero),
            None if is_srv && self.host_name.is_some() => Ok(()),
            None => Err(EndpointError::NoPort),
            Some(_) => Ok(()),
        }
    }
}

impl LocalEndpoint {
    /// Whatever the system chooses.
    pub fn any() -> Self {
        LocalEndpoint::default()
    }

    /// This address.
    pub fn address(address: impl Into<IpAddr>) -> Self {
        LocalEndpoint {
            address: Some(address.into()),
            ..Default::default()
        }
    }

    /// Sets the port; zero is one of the system's choice, as is leaving it out.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets the service whose port is used, an IANA name such as `https`.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Sets the interface that everything from this endpoint is bound to.
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Makes this the endpoint for one stack only (RFC 9622 §6.1.3).
    #[must_use]
    pub fn for_stack(mut self, stack: StackId) -> Self {
        self.stack = Some(stack);
        self
    }

    /// The address, if one was given.
    pub fn ip_address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The port: the one that was given, or else the service's.
    pub fn resolved_port(&self) -> Option<u16> {
        self.port
            .or_else(|| service::port(self.service.as_deref()?))
    }

    /// The service, if one was given.
    pub fn service_name(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The interface, if one was given.
    pub fn interface_name(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// The stack that this endpoint is for; `None` is every stack.
    pub fn stack(&self) -> Option<&StackId> {
        self.stack.as_ref()
    }

    /// Whether this endpoint may be used with the stack.
    pub fn serves(&self, stack: &StackId) -> bool {
        self.stack.as_ref().is_none_or(|own| own == stack)
    }

    /// Checks that one can bind to this endpoint.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), EndpointError> {
        if let Some(address) = self.address.filter(is_multicast) {
            return Err(EndpointError::Multicast { address });
        }
        service::check(self.service.as_deref())?;
        match self.service.as_deref().filter(|s| service::is_srv(s)) {
            // An SRV name is resolved at a host, and this side is none.
            Some(service) if self.port.is_none() => Err(EndpointError::UnknownService {
                service: service.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

impl From<SocketAddr> for RemoteEndpoint {
    fn from(address: SocketAddr) -> Self {
        RemoteEndpoint::address(address.ip()).port(address.port())
    }
}

impl From<SocketAddr> for LocalEndpoint {
    fn from(address: SocketAddr) -> Self {
        LocalEndpoint::address(address.ip()).port(address.port())
    }
}

impl fmt::Display for RemoteEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self
            .address
            .map(|address| bracketed(address, &self.interface));
        match (&self.host_name, address) {
            (Some(name), Some(address)) => write!(f, "{name} at {address}")?,
            (Some(name), None) => f.write_str(name)?,
            (None, Some(address)) => f.write_str(&address)?,
            (None, None) => f.write_str("nowhere")?,
        }
        write_port_and_stack(f, self.port, self.service.as_deref(), self.stack.as_ref())
    }
}

impl fmt::Display for LocalEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, &self.interface) {
            (Some(address), _) => f.write_str(&bracketed(address, &self.interface))?,
            (None, Some(interface)) => write!(f, "%{interface}")?,
            (None, None) => f.write_str("*")?,
        }
        write_port_and_stack(f, self.port, self.service.as_deref(), self.stack.as_ref())
    }
}

fn write_port_and_stack(
    f: &mut fmt::Formatter<'_>,
    port: Option<u16>,
    service: Option<&str>,
    stack: Option<&StackId>,
) -> fmt::Result {
    match (port, service) {
        (Some(port), _) => write!(f, ":{port}")?,
        (None, Some(service)) => write!(f, ":{service}")?,
        (None, None) => {}
    }
    stack.map_or(Ok(()), |stack| write!(f, " for {stack}"))
}

fn bracketed(address: IpAddr, interface: &Option<String>) -> String {
    let zone = interface
        .iter()
        .fold(String::new(), |_, name| format!("%{name}"));
    match address {
        IpAddr::V4(address) => format!("{address}{zone}"),
        IpAddr::V6(address) => format!("[{address}{zone}]"),
    }
}

fn check_remote_address(address: IpAddr, has_interface: bool) -> Result<(), EndpointError> {
    if address.is_unspecified() {
        return Err(EndpointError::Unspecified { address });
    }
    if is_multicast(&address) {
        return Err(EndpointError::Multicast { address });
    }
    match address {
        // RFC 4007: such an address means something on its link only.
        IpAddr::V6(v6) if v6.is_unicast_link_local() && !has_interface => {
            Err(EndpointError::NoScopeZone { address })
        }
        _ => Ok(()),
    }
}

fn is_multicast(address: &IpAddr) -> bool {
    address.is_multicast()
}
