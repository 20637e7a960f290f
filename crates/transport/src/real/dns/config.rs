//! How names are resolved.
//!
//! Invariant: whatever is set, every question ends within `deadline`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where answers come from and within which limits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DnsConfig {
    /// Who is asked.
    pub source: DnsSource,
    /// Names with fixed addresses. They are known completely: nobody is asked for anything else
    /// about them.
    pub hosts: HashMap<String, Vec<IpAddr>>,
    /// Whether the names of `/etc/hosts` are known as well; one of `hosts` has the addresses that
    /// it has there, and no others.
    pub reads_hosts_file: bool,
    /// Domains that short names are tried in, after those of the system's configuration.
    pub search: Vec<String>,
    /// How long one try may take; `None` takes the system's configuration, or 5 s.
    pub try_timeout: Option<Duration>,
    /// How often a server is asked again; `None` takes the system's configuration, or 2.
    pub attempts: Option<usize>,
    /// How long a question may take in all, aliases and search domains included.
    pub deadline: Duration,
    /// How many answers are kept.
    pub cache_entries: u64,
    /// How long an answer is kept at most.
    pub positive_ttl_max: Duration,
    /// How long the absence of a name or record is kept at most.
    pub negative_ttl_max: Duration,
    /// How many records of one answer are used at most.
    pub records_max: usize,
}

impl Default for DnsConfig {
    fn default() -> Self {
        DnsConfig {
            source: DnsSource::default(),
            hosts: HashMap::new(),
            reads_hosts_file: true,
            search: Vec::new(),
            try_timeout: None,
            attempts: None,
            deadline: Duration::from_secs(15),
            cache_entries: 1024,
            positive_ttl_max: Duration::from_secs(24 * 60 * 60),
            // RFC 2308 §5 finds one to three hours sensible; a short outage should be shorter.
            negative_ttl_max: Duration::from_secs(5 * 60),
            records_max: 64,
        }
    }
}

impl DnsConfig {
    /// Asks these servers, and nobody else; `/etc/hosts` is not read.
    pub fn servers(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        DnsConfig {
            source: DnsSource::Servers(servers.into_iter().collect()),
            reads_hosts_file: false,
            ..DnsConfig::default()
        }
    }

    /// The same configuration with a name whose addresses are fixed.
    #[must_use]
    pub fn with_host(
        mut self,
        name: impl Into<String>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        self.hosts.entry(name.into()).or_default().extend(addresses);
        self
    }
}

/// Who is asked for names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsSource {
    /// The servers of `/etc/resolv.conf`, read again when it changes. The system's own resolution
    /// takes over where that file names none, and for `.local`.
    #[default]
    SystemServers,
    /// These servers, over UDP and for long answers TCP.
    Servers(Vec<SocketAddr>),
    /// The system's own resolution (nsswitch, multicast DNS): addresses only.
    SystemResolution,
}
