//! Proxies: which there are, and which requests go through them (RFC 9110 §7.3.2, §9.3.6).
//!
//! Invariant: what is tunnelled is protected inside of the tunnel as it would be without; a proxy's
//! credentials go to the proxy alone, and a target's never to the proxy but in cleartext requests
//! that it forwards.
//!
//! | file | holds |
//! |---|---|
//! | `rules.rs`, `bypass.rs` | which request goes through which proxy |
//! | `route.rs` | the way to a target: to the proxy, through it, and TLS inside |
//! | `trunks.rs`, `trunk.rs` | connections that carry tunnels side by side |
//! | `connect.rs`, `socks.rs` | how a proxy is asked |
//! | `piped.rs`, `fate.rs` | a tunnel as a carrier, and what became of it |
//! | `fault.rs` | what goes wrong |

mod bypass;
mod connect;
mod fate;
mod fault;
mod piped;
mod route;
mod rules;
mod socks;
mod trunk;
mod trunks;

pub(super) use fate::Fate;
pub use fault::{Party, ProxyFault, ProxyLie, SocksFailure};
pub(super) use route::Route;
pub use rules::Proxies;
pub(super) use trunks::Trunks;

use super::credentials::Credentials;
use super::error::Error;
use crate::pool::{Version, Versions};
use portway_core::SecurityParameters;
use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};
use url::Url;

/// A proxy.
///
/// ```
/// use portway_http::client::{Client, Credentials, Proxies, Proxy};
///
/// # fn main() -> Result<(), portway_http::client::Error> {
/// let proxy = Proxy::parse("http://proxy.example:3128")?
///     .credentials(Credentials::password("me", "secret"));
/// let client = Client::builder()
///     .proxy(Proxies::all(proxy).bypass("localhost, .internal.example, 10.0.0.0/8"))
///     .build();
/// # drop(client);
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proxy(Arc<Inner>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Inner {
    kind: Kind,
    host: Arc<str>,
    address: Option<IpAddr>,
    port: u16,
    versions: Versions,
    credentials: Option<Credentials>,
    trust: Option<Trust>,
}

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Http,
    Https,
    /// SOCKS5 that is told addresses.
    Socks,
    /// SOCKS5 that is told names.
    SocksNames,
}

impl Proxy {
    /// A proxy by its URL: `http://` and `https://` (HTTP in cleartext or in TLS), `socks5://`
    /// (names are resolved here) and `socks5h://` (names are resolved by the proxy); without a
    /// scheme, `http://`. The port is 80, 443 or 1080 unless named. User and password before the
    /// host are shown by Basic, or by SOCKS5's method for them.
    ///
    /// # Errors
    /// It is no such URL, or has a path.
    pub fn parse(url: &str) -> Result<Proxy, Error> {
        let wrong = |why: &str| Error::invalid(format!("the proxy {}: {why}", without_user(url)));
        let text = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        let mut parsed = Url::parse(&text).map_err(|error| wrong(&error.to_string()))?;
        let (kind, port) = match parsed.scheme() {
            "http" => (Kind::Http, 80),
            "https" => (Kind::Https, 443),
            "socks5" => (Kind::Socks, 1080),
            "socks5h" => (Kind::SocksNames, 1080),
            _ => return Err(wrong("its scheme is none of http, https, socks5, socks5h")),
        };
        let is_bare = matches!(parsed.path(), "" | "/")
            && parsed.query().is_none()
            && parsed.fragment().is_none();
        if !is_bare {
            return Err(wrong("nothing follows host and port"));
        }
        let credentials = Credentials::take_from(&mut parsed);
        let host = parsed.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Proxy(Arc::new(Inner {
            kind,
            host: host.into(),
            address: host.parse().ok(),
            port: parsed.port().unwrap_or(port),
            versions: Versions::of([Version::Http1, Version::Http2]),
            credentials,
            trust: None,
        })))
    }

    /// What the proxy is shown when it asks, or at once with [`Credentials::basic`]. SOCKS5 takes
    /// user and password of any kind.
    #[must_use]
    pub fn credentials(self, credentials: Credentials) -> Self {
        self.change(|inner| inner.credentials = Some(credentials))
    }

    /// How an `https://` proxy is protected, for which it may see a certificate of ours. Unless
    /// said, whom the client believes is believed here too; its identity, its name for servers and
    /// [`Trust::DangerousAnyone`](portway_core::security::Trust::DangerousAnyone) are not for
    /// proxies.
    #[must_use]
    pub fn security(self, security: SecurityParameters) -> Self {
        let id = NEXT_TRUST.fetch_add(1, atomic::Ordering::Relaxed);
        self.change(|inner| inner.trust = Some(Trust { id, security }))
    }

    /// The versions of HTTP that are spoken with an `https://` proxy: HTTP/1.1 and 2 unless said.
    /// HTTP/3 is spoken where nothing else is allowed.
    #[must_use]
    pub fn versions(self, versions: impl Into<Versions>) -> Self {
        let versions = versions.into();
        self.change(|inner| inner.versions = versions)
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(super) fn is_protected(&self) -> bool {
        self.0.kind == Kind::Https
    }

    /// Whether it can be asked for resources in cleartext.
    pub(super) fn forwards(&self) -> bool {
        matches!(self.0.kind, Kind::Http | Kind::Https)
    }

    pub(super) fn host(&self) -> &Arc<str> {
        &self.0.host
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port
    }

    pub(super) fn own_credentials(&self) -> Option<&Credentials> {
        self.0.credentials.as_ref()
    }

    /// Whether one connection to it may carry several tunnels.
    fn carries_several(&self) -> bool {
        !self.tunnel_versions().multiplexed().is_empty()
    }

    /// The versions that it is asked for tunnels over.
    fn tunnel_versions(&self) -> Versions {
        let versions = match self.0.kind {
            Kind::Https => self.0.versions,
            _ => Version::Http1.into(),
        };
        // One that is to be found by UDP alone is not asked for by TCP.
        match versions == Versions::from(Version::Http3) {
            true => versions,
            false => versions.without(Version::Http3.into()),
        }
    }

    fn own_security(&self) -> Option<&SecurityParameters> {
        self.0.trust.as_ref().map(|trust| &trust.security)
    }
}

impl fmt::Display for Proxy {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.kind {
            Kind::Http => "http",
            Kind::Https => "https",
            Kind::Socks => "socks5",
            Kind::SocksNames => "socks5h",
        };
        match self.0.address {
            Some(IpAddr::V6(address)) => write!(f, "{scheme}://[{address}]:{}", self.0.port),
            _ => write!(f, "{scheme}://{}:{}", self.0.host, self.0.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Parameters that are equal to their own copies only.
#[derive(Clone)]
struct Trust {
    id: u64,
    security: SecurityParameters,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Trust {}

impl PartialOrd for Trust {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Trust {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

/// A URL in a message, which others may read.
pub(super) fn without_user(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

static NEXT_TRUST: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_proxies_are_read() {
        let rows = [
            ("proxy.test", "http://proxy.test:80"),
            ("proxy.test:3128/", "http://proxy.test:3128"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("https://Proxy.test", "https://proxy.test:443"),
            ("socks5://127.0.0.1", "socks5://127.0.0.1:1080"),
            ("socks5h://[::1]:80", "socks5h://[::1]:80"),
        ];
        for (text, read) in rows {
            assert_eq!(Proxy::parse(text).unwrap().to_string(), read, "{text}");
        }
        let proxy = Proxy::parse("socks5://u:p%20w@127.0.0.1").unwrap();
        let login = proxy.own_credentials().unwrap().user_and_password();
        assert_eq!(login, Some(("u", "p w")));
        assert_eq!(proxy.address(), Some([127, 0, 0, 1].into()));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_telling_the_password() {
        for text in [
            "",
            "http://",
            "socks4://host",
            "ftp://host",
            "http://u:secret@host/path",
            "http://u:secret@host?query",
            "socks5://u:secret@",
            "http://u:secret@host:99999",
        ] {
            let error = Proxy::parse(text).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn proxies_are_alike_when_everything_is() {
        let proxy = |text| Proxy::parse(text).unwrap();
        assert_eq!(proxy("http://a:1"), proxy("http://a:1/"));
        let others = [
            proxy("https://a:1"),
            proxy("http://a:2"),
            proxy("http://u:p@a:1"),
            proxy("http://a:1").security(SecurityParameters::tls()),
            proxy("http://a:1").versions(Version::Http1),
        ];
        for other in others {
            assert_ne!(proxy("http://a:1"), other);
        }
        let own = proxy("https://a").security(SecurityParameters::tls());
        assert_eq!(own, own.clone());
    }
}
