//! Where a request goes: its URL taken apart, and the key of the connections that may carry it.

use super::alternatives::Origin;
use super::error::Error;
use super::proxy::Proxy;
use super::socket::shown;
use portway_core::RemoteEndpoint;
use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use url::{Host, Url};

/// What connections must have in common to carry the same requests. Trust, identity and context
/// are those of the client, which has a pool of its own. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Arc<Parts>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Parts {
    pub(super) is_protected: bool,
    host: Arc<str>,
    address: Option<IpAddr>,
    port: u16,
    /// The name to ask for and to check instead of the host's.
    pub(super) server_name: Option<Arc<str>>,
    /// What it is reached through.
    proxy: Option<Proxy>,
    /// Whether the proxy is asked for resources of whatever origin, instead of for a tunnel.
    is_forwarded: bool,
    /// The socket of the file system through which it is reached.
    socket: Option<Arc<Path>>,
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
            // As the URL has written it already.
            Some(Host::Ipv4(address)) => (
                url.host_str().unwrap_or_default().to_owned(),
                Some(address.into()),
            ),
            Some(Host::Ipv6(address)) => (address.to_string(), Some(address.into())),
            None => return Err(Error::invalid(format!("{url} names no host"))),
        };
        Ok(Key(Arc::new(Parts {
            is_protected,
            host: host.into(),
            address,
            port: url.port_or_known_default().unwrap_or(443),
            server_name,
            proxy: None,
            is_forwarded: false,
            socket: None,
        })))
    }

    /// A proxy itself, with nothing beyond it.
    pub(super) fn to_proxy(proxy: &Proxy) -> Key {
        Key(Arc::new(Parts {
            is_protected: proxy.is_protected(),
            host: proxy.host().clone(),
            address: proxy.address(),
            port: proxy.port(),
            server_name: None,
            proxy: None,
            is_forwarded: false,
            socket: None,
        }))
    }

    /// The same through this socket.
    pub(super) fn through(mut self, socket: &Arc<Path>) -> Key {
        Arc::make_mut(&mut self.0).socket = Some(socket.clone());
        self
    }

    /// The same through a tunnel of this proxy.
    pub(super) fn tunnelled(mut self, proxy: &Proxy) -> Key {
        Arc::make_mut(&mut self.0).proxy = Some(proxy.clone());
        self
    }

    /// Any origin in cleartext, by requests that this proxy forwards.
    pub(super) fn forwarded(proxy: &Proxy) -> Key {
        let mut key = Key::to_proxy(proxy);
        let parts = Arc::make_mut(&mut key.0);
        parts.is_protected = false;
        parts.proxy = Some(proxy.clone());
        parts.is_forwarded = true;
        key
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    pub(super) fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Whether its own address is connected to.
    pub(super) fn is_direct(&self) -> bool {
        self.proxy.is_none() && self.socket.is_none()
    }

    pub(super) fn is_forwarded(&self) -> bool {
        self.is_forwarded
    }

    /// The host, where it is an address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Host and port, as CONNECT names a target.
    pub(super) fn authority(&self) -> String {
        match self.address {
            Some(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// The endpoint of a race.
    pub(super) fn remote(&self) -> RemoteEndpoint {
        let endpoint = match self.address {
            Some(address) => RemoteEndpoint::address(address),
            // No address in text form, which an URL would have had as one.
            None => RemoteEndpoint::default().with_host_name(&*self.host),
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
        // What is beyond a tunnel or a socket is not reached by UDP.
        let has_any = self.is_protected && self.is_direct();
        has_any.then(|| Origin {
            host: self.host.to_string(),
            port: self.port,
        })
    }
}

impl Deref for Key {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        // Nearly always it is the same one.
        match Arc::ptr_eq(&self.0, &other.0) {
            true => Ordering::Equal,
            false => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_protected { "https" } else { "http" };
        if let Some(path) = &self.socket {
            return write!(f, "{scheme}://{} at {}", self.authority(), shown(path));
        }
        match (&self.proxy, self.is_forwarded) {
            (None, _) => write!(f, "{scheme}://{}", self.authority()),
            (Some(proxy), true) => write!(f, "http through {proxy}"),
            (Some(proxy), false) => write!(f, "{scheme}://{} through {proxy}", self.authority()),
        }
    }
}
