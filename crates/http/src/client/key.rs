//! Where a request goes: its URL taken apart, and the key of the connections that may carry it.

use super::alternatives::Origin;
use super::error::Error;
use portway_core::RemoteEndpoint;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use url::{Host, Url};

/// What connections must have in common to carry the same requests. Trust, identity and context
/// are those of the client, which has a pool of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) is_protected: bool,
    host: Arc<str>,
    address: Option<IpAddr>,
    port: u16,
    /// The name to ask for and to check instead of the host's.
    pub(super) server_name: Option<Arc<str>>,
}

impl Key {
    pub(super) fn of(url: &Url, server_name: Option<Arc<str>>) -> Result<Key, Error> {
        let is_protected = match url.scheme() {
            "https" => true,
            "http" => false,
            other => {
                return Err(Error::invalid(format!(
                    "{other}: is no scheme that this client speaks"
                )));
            }
        };
        let (host, address) = match url.host() {
            Some(Host::Domain(name)) => (name.to_owned(), None),
            Some(Host::Ipv4(address)) => (address.to_string(), Some(address.into())),
            Some(Host::Ipv6(address)) => (address.to_string(), Some(address.into())),
            None => return Err(Error::invalid(format!("{url} names no host"))),
        };
        Ok(Key {
            is_protected,
            host: host.into(),
            address,
            port: url.port_or_known_default().unwrap_or(443),
            server_name,
        })
    }

    /// The endpoint of a race.
    pub(super) fn remote(&self) -> RemoteEndpoint {
        let endpoint = match self.address {
            Some(address) => RemoteEndpoint::address(address),
            None => RemoteEndpoint::host_name(&*self.host),
        };
        endpoint.port(self.port)
    }

    /// The host, without the brackets of an address.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The origin as RFC 6454 §6.2 writes it, without the scheme's own port.
    pub(super) fn origin_text(&self) -> String {
        let text = self.to_string();
        let usual = if self.is_protected { ":443" } else { ":80" };
        text.strip_suffix(usual).unwrap_or(&text).to_owned()
    }

    /// What speaks of alternative services, where they are used at all: RFC 8164 lets them be used
    /// with http by consent only, which nobody gives.
    pub(super) fn origin(&self) -> Option<Origin> {
        self.is_protected.then(|| Origin {
            host: self.host.to_string(),
            port: self.port,
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_protected { "https" } else { "http" };
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "{scheme}://[{address}]:{}", self.port),
            _ => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}
