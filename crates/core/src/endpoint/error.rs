//! What can be wrong with an endpoint.

use std::net::IpAddr;

/// What is wrong with an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is neither a host name nor an address.
    #[error("neither a host name nor an address is given")]
    NoHost,
    /// The host name cannot exist.
    #[error("{name:?} is not a host name: {problem}")]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is neither a port nor a service.
    #[error("neither a port nor a service is given")]
    NoPort,
    /// Port zero cannot be connected to.
    #[error("port 0 cannot be connected to")]
    PortZero,
    /// The service is not one that portway knows a port of.
    #[error("no port is known for the service {service:?}")]
    UnknownService {
        /// The service.
        service: String,
    },
    /// The address stands for no host in particular.
    #[error("{address} stands for no host in particular")]
    Unspecified {
        /// The address.
        address: IpAddr,
    },
    /// Multicast is not supported yet.
    #[error("{address} is a multicast group, and multicast is not supported yet")]
    Multicast {
        /// The group.
        address: IpAddr,
    },
    /// A link-local address without its interface.
    #[error("{address} is a link-local address and needs its interface, as in {address}%eth0")]
    NoScopeZone {
        /// The address.
        address: IpAddr,
    },
    /// The text is not an endpoint.
    #[error("{text:?} is not of the form host:port or [address]:port: {problem}")]
    Unreadable {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}
