//! Name resolution of the real environment.
//!
//! Invariant: an address in text form, `localhost` and a name with fixed addresses never reach a
//! resolver; every other question ends within the configured deadline.

mod config;
mod convert;
mod hosts;
mod system;

pub use config::{DnsConfig, DnsSource};

use crate::environment::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use hosts::Hosts;
use portway_core::Failure;
use portway_core::dns::{Answer, Question};
use portway_core::failure::{FailureKind, Origin};
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

/// Answers questions as its configuration says, with a cache of its own.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    config: Arc<DnsConfig>,
    /// Those of the configuration, for which no file is looked at.
    fixed: Arc<Hosts>,
    sources: Arc<Mutex<Option<Sources>>>,
}

/// What the configuration and the system's files lead to.
#[derive(Clone, Debug)]
struct Sources {
    stamp: Stamp,
    hosts: Arc<Hosts>,
    /// Made for the first name that is not known.
    servers: Arc<OnceLock<Known>>,
}

/// The servers to ask, or why there are none; `None` leaves everything to the system's own
/// resolution.
type Known = Result<Option<Arc<Servers>>, String>;

/// When the system's files were changed last.
type Stamp = [Option<SystemTime>; 2];

struct Servers {
    resolver: TokioResolver,
    ndots: usize,
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers").finish_non_exhaustive()
    }
}

impl Resolver {
    pub(super) fn new(config: DnsConfig) -> Self {
        let mut fixed = Hosts::default();
        fixed.extend(&config.hosts);
        Resolver {
            config: Arc::new(config),
            fixed: Arc::new(fixed),
            sources: Arc::default(),
        }
    }

    pub(super) fn resolve(&self, question: Question) -> BoxFuture<Result<Answer, Failure>> {
        if let Some(answer) = self.fixed.answer(&question.name, question.kind) {
            return Box::pin(ready(Ok(answer)));
        }
        let resolver = self.clone();
        Box::pin(async move {
            let sources = resolver.sources();
            if let Some(answer) = sources.hosts.answer(&question.name, question.kind) {
                return Ok(answer);
            }
            let deadline = resolver.config.deadline;
            let servers = sources.servers.get_or_init(|| resolver.servers());
            let servers = servers
                .clone()
                .map_err(|reason| convert::failed(&question, &reason))?;
            let answer = resolver.ask(servers, &question);
            match tokio::time::timeout(deadline, answer).await {
                Ok(result) => result,
                Err(_) => Err(convert::timed_out(&question)),
            }
        })
    }

    /// The addresses of a name that the configuration fixes.
    pub(super) fn fixed_addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.fixed.addresses(name)
    }

    async fn ask(
        &self,
        servers: Option<Arc<Servers>>,
        question: &Question,
    ) -> Result<Answer, Failure> {
        let records_max = self.config.records_max;
        let is_given = matches!(self.config.source, DnsSource::Servers(_));
        match servers {
            // RFC 6762 §3: names below `.local` belong to multicast DNS, which the system may do.
            Some(servers) if is_given || !is_link_local(&question.name) => {
                servers.ask(question, records_max).await
            }
            _ => system::resolve(question.clone(), records_max).await,
        }
    }

    /// The present sources; the files are read again when they have changed.
    fn sources(&self) -> Sources {
        let stamp = self.stamp();
        let mut kept = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sources) = kept.as_ref().filter(|sources| sources.stamp == stamp) {
            return sources.clone();
        }
        let mut hosts = Hosts::default();
        if self.config.reads_hosts_file
            && let Ok(text) = std::fs::read_to_string(HOSTS_FILE)
        {
            hosts.extend_from_file(&text);
        }
        let sources = Sources {
            stamp,
            hosts: Arc::new(hosts),
            servers: Arc::default(),
        };
        *kept = Some(sources.clone());
        sources
    }

    fn stamp(&self) -> Stamp {
        let changed = |path: &str| {
            std::fs::metadata(path)
                .and_then(|data| data.modified())
                .ok()
        };
        [
            (self.config.source == DnsSource::SystemServers)
                .then(|| changed(RESOLV_CONF))
                .flatten(),
            self.config
                .reads_hosts_file
                .then(|| changed(HOSTS_FILE))
                .flatten(),
        ]
    }

    fn servers(&self) -> Known {
        let (mut config, mut options) = match &self.config.source {
            DnsSource::SystemResolution => return Ok(None),
            DnsSource::SystemServers => match hickory_resolver::system_conf::read_system_conf() {
                Ok((mut config, options)) => {
                    // The domain of the host's own name is no search domain unless it is listed.
                    config.domain = None;
                    (config, options)
                }
                Err(_) => return Ok(None),
            },
            DnsSource::Servers(servers) => {
                let servers = servers.iter().copied().map(server).collect();
                (
                    ResolverConfig::from_parts(None, Vec::new(), servers),
                    ResolverOpts::default(),
                )
            }
        };
        for domain in &self.config.search {
            let domain = Name::from_str_relaxed(domain)
                .map_err(|error| format!("the search domain {domain} is no name: {error}"))?;
            config.search.push(domain);
        }
        self.set_limits(&mut options);
        let ndots = options.ndots;
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Some(Arc::new(Servers { resolver, ndots })))
    }

    fn set_limits(&self, options: &mut ResolverOpts) {
        let config = &self.config;
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = config.cache_entries;
        options.positive_max_ttl = Some(config.positive_ttl_max);
        options.negative_max_ttl = Some(config.negative_ttl_max);
        if let Some(timeout) = config.try_timeout {
            options.timeout = timeout;
        }
        if let Some(attempts) = config.attempts {
            options.attempts = attempts;
        }
    }
}

impl Servers {
    async fn ask(&self, question: &Question, records_max: usize) -> Result<Answer, Failure> {
        let Some(kind) = convert::record_type(question.kind) else {
            return Err(Failure::new(
                Origin::Dns,
                FailureKind::Unsupported,
                format!("records of type {:?} are not asked for", question.kind),
            ));
        };
        let mut name = Name::from_str_relaxed(&question.name).map_err(|error| {
            Failure::new(
                Origin::Dns,
                FailureKind::InvalidRequest,
                format!("{} is no name: {error}", question.name),
            )
        })?;
        // Search domains are for short names only: elsewhere, a typing error would ask for names
        // that nobody meant.
        if usize::from(name.num_labels()) > self.ndots {
            name.set_fqdn(true);
        }
        let lookup = match self.resolver.lookup(name.clone(), kind).await {
            Ok(lookup) => lookup,
            Err(error) => {
                if let Some(end) = convert::end_without_proof(&error)
                    && self.is_alias(end).await
                {
                    let reason = "the aliases form a loop or are too many";
                    return Err(convert::failed(question, reason));
                }
                return convert::outcome(&error, question);
            }
        };
        if name.is_fqdn() {
            convert::answer(lookup.answers(), &name, question, records_max)
        } else {
            // The query of the answer says which search domain it was found in.
            convert::answer(
                lookup.answers(),
                lookup.query().name(),
                question,
                records_max,
            )
        }
    }
}

impl Servers {
    /// Whether `name` stands for another one. hickory follows a limited number of aliases, then
    /// answers as if there were no data.
    async fn is_alias(&self, name: Name) -> bool {
        let lookup = self.resolver.lookup(name, RecordType::CNAME).await;
        lookup.is_ok_and(|found| !found.answers().is_empty())
    }
}

fn is_link_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.rsplit('.')
        .next()
        .is_some_and(|label| label.eq_ignore_ascii_case("local"))
}

fn server(address: SocketAddr) -> NameServerConfig {
    let mut udp = ConnectionConfig::udp();
    udp.port = address.port();
    let mut tcp = ConnectionConfig::tcp();
    tcp.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS_FILE: &str = "/etc/hosts";

#[cfg(test)]
mod tests {
    use super::*;
    use portway_core::dns::{AnswerData, RecordKind};
    use std::net::{IpAddr, Ipv4Addr};

    #[tokio::test]
    async fn what_is_fixed_is_answered_without_a_look_at_the_systems_files() {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
        let resolver = Resolver::new(DnsConfig::default().with_host("fixed.example", [address]));
        for (name, kind, found) in [
            ("Fixed.Example.", RecordKind::A, vec![address]),
            ("fixed.example", RecordKind::Aaaa, vec![]),
            ("192.0.2.7", RecordKind::A, vec![address]),
        ] {
            let name = name.to_owned();
            let answer = resolver.resolve(Question { name, kind }).await;
            assert_eq!(answer.unwrap().data, AnswerData::Addresses(found));
        }
        assert!(resolver.sources.lock().unwrap().is_none());
    }
}
