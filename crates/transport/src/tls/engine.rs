//! The maker of TLS layers: it keeps rustls configurations and, with them, sessions.
//!
//! Invariant: sessions are shared only by connections with equal parameters of the same engine, so
//! a session that was made under weaker rules is never resumed under stricter ones.

use super::configuration::{self, ClientConfigs};
use super::key_share;
use super::layer::TlsLayer;
use super::quic::{EarlyData, QuicClientTls, QuicServerTls};
use bytes::Bytes;
use portway_core::security::{ClientAuthentication, Identity, TlsParameters, Trust};
use portway_core::{Failure, FailureKind, Origin};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Makes TLS layers for one context.
///
/// Configurations are kept by parameters; parameters are equal when their certificates are, but
/// cloned parameters (which share them) are compared faster. Callbacks and keys in modules are
/// equal only to their clones. Each configuration keeps at most `Resumption::sessions_max` sessions
/// as a client, rounded up to a multiple of the eight that a server may have; as a server it keeps
/// none, since its tickets carry the sessions, unless it takes early data.
pub struct TlsEngine {
    limits: TlsLimits,
    clock: Clock,
    clients: Mutex<Cache<ClientConfigs>>,
    servers: Mutex<Cache<ServerConfig>>,
    quic_clients: Mutex<Cache<ClientConfigs>>,
    quic_servers: Mutex<Cache<QuicServerTls>>,
}

impl TlsEngine {
    /// An engine with the default limits and the system's clock for certificate validity.
    pub fn new() -> TlsEngine {
        TlsEngine {
            limits: TlsLimits::default(),
            clock: Clock::System,
            clients: Mutex::default(),
            servers: Mutex::default(),
            quic_clients: Mutex::default(),
            quic_servers: Mutex::default(),
        }
    }

    /// The same engine with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: TlsLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same engine with another clock; configurations made before are dropped.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self.clients = Mutex::default();
        self.servers = Mutex::default();
        self.quic_clients = Mutex::default();
        self.quic_servers = Mutex::default();
        self
    }

    /// Makes what the clients with these parameters share, which the first of them would make
    /// otherwise: reading the platform's trust anchors takes some milliseconds. So is the key share
    /// that it begins with.
    ///
    /// # Errors
    /// As [`TlsEngine::client`].
    pub fn prepare_client(&self, p: &TlsParameters) -> Result<(), Failure> {
        let configs = self.client_configs(p)?;
        let provider = configs.without_early_data.crypto_provider();
        if let Some(first) = provider.kx_groups.first() {
            key_share::prepare(*first);
        }
        Ok(())
    }

    /// A client's layer. The name that is sent and checked is the parameters' server name, else
    /// `host_name`, else the address of `remote`, which is checked only.
    ///
    /// # Errors
    /// The parameters contradict themselves, a certificate or key cannot be used, the name is not
    /// a DNS name, or the platform has no trust anchors.
    pub fn client(
        &self,
        p: &TlsParameters,
        host_name: Option<&str>,
        remote: IpAddr,
        alpn: &[Vec<u8>],
    ) -> Result<TlsLayer, Failure> {
        self.client_layer(p, host_name, remote, alpn, EarlyData::Refused)
    }

    /// As [`TlsEngine::client`], with data that leaves with the first flight when there is a ticket
    /// that allows it. It may be replayed by others, and the server may refuse it;
    /// [`TlsLayer::early_rest`] tells. The ticket is used up, and none of another attempt.
    ///
    /// RFC 8446 §4.2.10: a server refuses early data of another application protocol than the
    /// ticket's; then it is sent again like all that is refused.
    ///
    /// # Errors
    /// As [`TlsEngine::client`].
    pub fn client_early(
        &self,
        p: &TlsParameters,
        host_name: Option<&str>,
        remote: IpAddr,
        alpn: &[Vec<u8>],
        data: Bytes,
    ) -> Result<TlsLayer, Failure> {
        let layer = self.client_layer(p, host_name, remote, alpn, EarlyData::Allowed)?;
        Ok(layer.with_early_data(data))
    }

    fn client_layer(
        &self,
        p: &TlsParameters,
        host_name: Option<&str>,
        remote: IpAddr,
        alpn: &[Vec<u8>],
        early_data: EarlyData,
    ) -> Result<TlsLayer, Failure> {
        let name = server_name(p.server_name.as_deref().or(host_name), remote)?;
        let configs = self.client_configs(p)?;
        let config = match early_data {
            EarlyData::Refused => &configs.without_early_data,
            EarlyData::Allowed => &configs.with_early_data,
        };
        TlsLayer::client(Arc::clone(config), name, alpn, self.limits.clone())
    }

    fn client_configs(&self, p: &TlsParameters) -> Result<Arc<ClientConfigs>, Failure> {
        let key = (&[][..], EarlyData::Refused);
        locked(&self.clients).find_or_make(p, key, &self.limits, || {
            Ok(ClientConfigs::from(configuration::client(p, &self.clock)?))
        })
    }

    /// A server's layer.
    ///
    /// # Errors
    /// As [`TlsEngine::client`]; a server also needs an identity.
    pub fn server(&self, p: &TlsParameters, alpn: &[Vec<u8>]) -> Result<TlsLayer, Failure> {
        self.server_taking(p, alpn, EarlyData::Refused)
    }

    /// As [`TlsEngine::server`], with early data taken or not. Where it is, the layer is ready as
    /// soon as it has some, and whoever reads asks
    /// [`take_is_early_data`](crate::layer::ByteLayer::take_is_early_data); 16 KiB are taken from a
    /// client, and sessions are kept here, each to be resumed once. From clients that must show a
    /// certificate none is taken.
    ///
    /// # Errors
    /// As [`TlsEngine::server`].
    pub fn server_taking(
        &self,
        p: &TlsParameters,
        alpn: &[Vec<u8>],
        early_data: EarlyData,
    ) -> Result<TlsLayer, Failure> {
        let early_data = match p.client_authentication {
            ClientAuthentication::None => early_data,
            _ => EarlyData::Refused,
        };
        let key = (alpn, early_data);
        let config =
            locked(&self.servers).find_or_make(p, key, &self.limits, || match early_data {
                EarlyData::Refused => configuration::server(p, alpn, &self.clock),
                EarlyData::Allowed => configuration::early_server(p, alpn, &self.clock),
            })?;
        TlsLayer::server(config, !alpn.is_empty(), self.limits.clone())
    }

    /// As [`TlsEngine::server`], for clients that need not name an application protocol. One that
    /// names none of these is refused all the same.
    ///
    /// # Errors
    /// As [`TlsEngine::server`].
    pub fn server_with_optional_alpn(
        &self,
        p: &TlsParameters,
        alpn: &[Vec<u8>],
    ) -> Result<TlsLayer, Failure> {
        Ok(self.server(p, alpn)?.with_optional_alpn())
    }

    /// TLS of one QUIC client. The name is as for [`TlsEngine::client`]; sessions are kept apart
    /// from those of TLS over TCP and from those with other application protocols, since they carry
    /// QUIC's parameters and early data is of one protocol. Each connection takes a ticket of its
    /// own.
    ///
    /// # Errors
    /// As [`TlsEngine::client`]; also when the parameters exclude TLS 1.3 or name no application
    /// protocol.
    pub fn quic_client(
        &self,
        p: &TlsParameters,
        host_name: Option<&str>,
        remote: IpAddr,
        alpn: &[Vec<u8>],
        early_data: EarlyData,
    ) -> Result<Arc<QuicClientTls>, Failure> {
        let name = server_name(p.server_name.as_deref().or(host_name), remote)?;
        // Not part of the key: a ticket of a connection without early data lets the next one
        // send some.
        let key = (alpn, EarlyData::Refused);
        let configs = locked(&self.quic_clients).find_or_make(p, key, &self.limits, || {
            configuration::quic_client(p, alpn, &self.clock)
        })?;
        let config = match early_data {
            EarlyData::Refused => &configs.without_early_data,
            EarlyData::Allowed => &configs.with_early_data,
        };
        Ok(Arc::new(QuicClientTls::new(Arc::clone(config), name)))
    }

    /// TLS of QUIC servers with these parameters. Where early data is allowed, the server keeps
    /// the sessions itself and lets each be resumed once, since a ticket could be replayed.
    ///
    /// # Errors
    /// As [`TlsEngine::quic_client`]; a server also needs an identity.
    pub fn quic_server(
        &self,
        p: &TlsParameters,
        alpn: &[Vec<u8>],
        early_data: EarlyData,
    ) -> Result<Arc<QuicServerTls>, Failure> {
        let key = (alpn, early_data);
        locked(&self.quic_servers).find_or_make(p, key, &self.limits, || {
            configuration::quic_server(p, alpn, early_data, &self.clock)
        })
    }
}

impl Default for TlsEngine {
    fn default() -> Self {
        TlsEngine::new()
    }
}

impl fmt::Debug for TlsEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsEngine")
            .field("clients", &locked(&self.clients).entries.len())
            .field("servers", &locked(&self.servers).entries.len())
            .field("quic_clients", &locked(&self.quic_clients).entries.len())
            .field("quic_servers", &locked(&self.quic_servers).entries.len())
            .finish_non_exhaustive()
    }
}

/// Bounds on what a peer can make a TLS layer hold.
///
/// rustls bounds the rest: a record (18 KiB), a handshake message (64 KiB), key updates without
/// data (32), empty records in a row, warnings and renegotiation requests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsLimits {
    /// Bytes from the wire before the handshake must be complete.
    pub handshake_bytes_max: usize,
    /// Configurations that an engine keeps for each role; the one used longest ago goes first.
    pub configurations_max: usize,
}

impl Default for TlsLimits {
    fn default() -> Self {
        TlsLimits {
            handshake_bytes_max: 128 * 1024,
            configurations_max: 64,
        }
    }
}

/// The clock by which certificates are valid or not.
#[derive(Clone)]
#[non_exhaustive]
pub enum Clock {
    /// The system's.
    System,
    /// One of the caller's.
    Given(Arc<dyn Fn() -> UnixTime + Send + Sync>),
}

struct Cache<C> {
    entries: Vec<Entry<C>>,
}

struct Entry<C> {
    parameters: TlsParameters,
    alpn: Vec<Vec<u8>>,
    early_data: EarlyData,
    config: Arc<C>,
}

impl<C> Default for Cache<C> {
    fn default() -> Self {
        Cache {
            entries: Vec::new(),
        }
    }
}

impl<C> Cache<C> {
    /// The entry used last is the last one.
    fn find_or_make(
        &mut self,
        p: &TlsParameters,
        (alpn, early_data): (&[Vec<u8>], EarlyData),
        limits: &TlsLimits,
        make: impl FnOnce() -> Result<C, Failure>,
    ) -> Result<Arc<C>, Failure> {
        let found = self.entries.iter().rposition(|entry| {
            entry.alpn == alpn && entry.early_data == early_data && is_same(&entry.parameters, p)
        });
        if let Some(index) = found {
            self.entries[index..].rotate_left(1);
        } else {
            let config = Arc::new(make()?);
            if self.entries.len() >= limits.configurations_max.max(1) {
                self.entries.remove(0);
            }
            self.entries.push(Entry {
                parameters: p.clone(),
                alpn: alpn.to_vec(),
                early_data,
                config,
            });
        }
        let last = self.entries.last().expect("found or just pushed");
        Ok(Arc::clone(&last.config))
    }
}

/// ALPN and server name are apart: they belong to a connection, not to a configuration.
fn is_same(a: &TlsParameters, b: &TlsParameters) -> bool {
    a.min_version == b.min_version
        && a.max_version == b.max_version
        && a.key_log == b.key_log
        && a.accepted_chains_max == b.accepted_chains_max
        && a.resumption == b.resumption
        && is_same_trust(&a.trust, &b.trust)
        && a.algorithms == b.algorithms
        && a.trust_callback == b.trust_callback
        && a.challenge_callback == b.challenge_callback
        && a.pre_shared_key == b.pre_shared_key
        && is_same_identity(a.identity.as_ref(), b.identity.as_ref())
        && a.further_identities.len() == b.further_identities.len()
        && a.further_identities
            .iter()
            .zip(&b.further_identities)
            .all(|(a, b)| is_same_identity(Some(a), Some(b)))
        && match (&a.client_authentication, &b.client_authentication) {
            (ClientAuthentication::None, ClientAuthentication::None) => true,
            (ClientAuthentication::Optional(a), ClientAuthentication::Optional(b))
            | (ClientAuthentication::Required(a), ClientAuthentication::Required(b)) => {
                is_same_trust(a, b)
            }
            _ => false,
        }
}

fn is_same_trust(a: &Trust, b: &Trust) -> bool {
    match (a, b) {
        (Trust::Platform, Trust::Platform) | (Trust::DangerousAnyone, Trust::DangerousAnyone) => {
            true
        }
        (Trust::Roots(a), Trust::Roots(b)) | (Trust::Pinned(a), Trust::Pinned(b)) => {
            are_same_certificates(a, b)
        }
        _ => false,
    }
}

fn are_same_certificates(
    a: &Arc<[CertificateDer<'static>]>,
    b: &Arc<[CertificateDer<'static>]>,
) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

fn is_same_identity(a: Option<&Arc<Identity>>, b: Option<&Arc<Identity>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || (a.chain == b.chain && a.key.is_same(&b.key)),
        _ => false,
    }
}

fn server_name(name: Option<&str>, remote: IpAddr) -> Result<ServerName<'static>, Failure> {
    // RFC 6066 §3: the name is sent without the dot that ends an absolute one; an address literal
    // is never sent, rustls sees to that.
    match name.map(|name| name.strip_suffix('.').unwrap_or(name)) {
        None => Ok(ServerName::from(remote)),
        Some(name) => ServerName::try_from(name)
            .map(|name| name.to_owned())
            .map_err(|_| {
                Failure::new(
                    Origin::Local,
                    FailureKind::InvalidRequest,
                    format!("{name:?} is not a name that a certificate can prove"),
                )
            }),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding the lock leaves a cache that is merely incomplete.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
