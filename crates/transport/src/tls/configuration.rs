//! rustls configurations from TLS parameters.
//!
//! Invariant: one configuration serves every connection with the same parameters, so nothing in it
//! may depend on a single connection.

use super::algorithm::Allowed;
use super::classify;
use super::early::EARLY_BYTES_MAX;
use super::engine::Clock;
use super::quic::{EarlyData, QuicServerTls};
use super::resolver::Resolver;
use super::session::{AgedTickets, ClientSessions, EarlyPromise, NoTickets, ServerSessions};
use super::verifier::PolicyVerifier;
use portway_core::security::{ClientAuthentication, TlsParameters, TlsVersion, Trust};
use portway_core::{Failure, FailureKind, Origin};
use portway_security::ChainPolicy;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, KeyLogFile, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::UnixTime;
use std::sync::{Arc, LazyLock};

/// The configurations of clients with and without early data, which share their sessions.
pub(super) struct ClientConfigs {
    pub(super) without_early_data: Arc<ClientConfig>,
    pub(super) with_early_data: Arc<ClientConfig>,
}

impl From<ClientConfig> for ClientConfigs {
    fn from(config: ClientConfig) -> Self {
        let mut early = config.clone();
        early.enable_early_data = true;
        ClientConfigs {
            without_early_data: Arc::new(config),
            with_early_data: Arc::new(early),
        }
    }
}

/// A configuration for clients. ALPN is added for each connection.
pub(super) fn client(p: &TlsParameters, clock: &Clock) -> Result<ClientConfig, Failure> {
    p.check()?;
    let allowed = Allowed::of(&p.algorithms);
    let provider = Arc::clone(&allowed.provider);
    let callback = p.trust_callback.clone();
    let verifier = PolicyVerifier::of_servers(
        policy(&p.trust)?,
        callback,
        allowed.clone(),
        p.accepted_chains_max,
    );
    let resolver = Resolver::new(p, allowed, false)?;
    let time = time(clock);
    let mut config = ClientConfig::builder_with_details(provider, Arc::clone(&time))
        .with_protocol_versions(&versions(p))
        .map_err(|error| classify::configuration(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(resolver));
    config.resumption = match p.resumption.sessions_max {
        0 => Resumption::disabled(),
        _ => Resumption::store(Arc::new(ClientSessions::new(&p.resumption, &time))),
    };
    if p.key_log {
        config.key_log = Arc::new(KeyLogFile::new());
    }
    Ok(config)
}

/// A configuration for servers.
pub(super) fn server(
    p: &TlsParameters,
    alpn: &[Vec<u8>],
    clock: &Clock,
) -> Result<ServerConfig, Failure> {
    p.check()?;
    let allowed = Allowed::of(&p.algorithms);
    let provider = Arc::clone(&allowed.provider);
    let resolver = Resolver::new(p, allowed.clone(), !alpn.is_empty())?;
    if !resolver.has_choice() {
        return Err(invalid(
            "a TLS server needs a certificate and its key, or a callback that chooses them",
        ));
    }
    let verifier = match &p.client_authentication {
        ClientAuthentication::Optional(trust) => Some((trust, false)),
        ClientAuthentication::Required(trust) => Some((trust, true)),
        _ => None,
    };
    let verifier = match verifier {
        None => WebPkiClientVerifier::no_client_auth(),
        Some((trust, is_mandatory)) => Arc::new(PolicyVerifier::of_clients(
            policy(trust)?,
            p.trust_callback.clone(),
            allowed,
            p.accepted_chains_max,
            is_mandatory,
        )),
    };
    let time = time(clock);
    let mut config = ServerConfig::builder_with_details(provider, Arc::clone(&time))
        .with_protocol_versions(&versions(p))
        .map_err(|error| classify::configuration(&error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = alpn.to_vec();
    // Sessions live in the tickets that clients keep, so a server stores none.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if p.resumption.sessions_max == 0 {
        config.send_tls13_tickets = 0;
    } else {
        let tickets =
            aws_lc_rs::Ticketer::new().map_err(|error| classify::configuration(&error))?;
        config.ticketer = match p.resumption.lifetime {
            None => tickets,
            Some(lifetime) => Arc::new(AgedTickets::new(tickets, lifetime, &time)),
        };
    }
    if p.key_log {
        config.key_log = Arc::new(KeyLogFile::new());
    }
    Ok(config)
}

/// A configuration for servers over a byte carrier that take early data. They keep the sessions
/// themselves and let each be resumed once, since a ticket could be replayed (RFC 8446 §8.1).
pub(super) fn early_server(
    p: &TlsParameters,
    alpn: &[Vec<u8>],
    clock: &Clock,
) -> Result<ServerConfig, Failure> {
    let mut config = server(p, alpn, clock)?;
    if p.resumption.sessions_max > 0 {
        config.max_early_data_size = EARLY_BYTES_MAX;
        // What is heard early may be answered before the client has finished.
        config.send_half_rtt_data = true;
        // rustls accepts early data only of sessions that the server keeps.
        config.ticketer = Arc::new(NoTickets);
        let sessions = Arc::new(ServerSessions::new(&p.resumption, &time(clock)));
        config.session_storage = sessions.promising(EarlyPromise::default());
    }
    Ok(config)
}

/// The configurations for QUIC clients with these application protocols.
pub(super) fn quic_client(
    p: &TlsParameters,
    alpn: &[Vec<u8>],
    clock: &Clock,
) -> Result<ClientConfigs, Failure> {
    check_for_quic(p, alpn)?;
    let mut config = client(p, clock)?;
    config.alpn_protocols = alpn.to_vec();
    Ok(config.into())
}

/// A configuration for QUIC servers with these application protocols.
pub(super) fn quic_server(
    p: &TlsParameters,
    alpn: &[Vec<u8>],
    early_data: EarlyData,
    clock: &Clock,
) -> Result<QuicServerTls, Failure> {
    check_for_quic(p, alpn)?;
    let mut config = server(p, alpn, clock)?;
    if early_data == EarlyData::Refused || p.resumption.sessions_max == 0 {
        return Ok(QuicServerTls::new(config, None));
    }
    // RFC 9001 §4.6.1: QUIC limits early data by its own means, so TLS shows the largest value.
    config.max_early_data_size = u32::MAX;
    // rustls accepts early data only of sessions that the server keeps.
    config.ticketer = Arc::new(NoTickets);
    let sessions = ServerSessions::new(&p.resumption, &time(clock));
    Ok(QuicServerTls::new(config, Some(Arc::new(sessions))))
}

fn check_for_quic(p: &TlsParameters, alpn: &[Vec<u8>]) -> Result<(), Failure> {
    p.check()?;
    // RFC 9001 §4.2: nothing below TLS 1.3 can protect QUIC.
    if !p.usable_versions().any(|it| it == TlsVersion::Tls13) {
        return Err(Failure::new(
            Origin::Local,
            FailureKind::Unsupported,
            format!(
                "QUIC needs TLS 1.3, which versions from {} to {} with the algorithms that are \
                 allowed do not give",
                p.min_version, p.max_version
            ),
        ));
    }
    // RFC 9001 §8.1: QUIC is not used without agreement on the application protocol.
    if alpn.is_empty() {
        return Err(invalid("QUIC needs an application protocol (ALPN)"));
    }
    Ok(())
}

/// The usable versions, the newest first.
fn versions(p: &TlsParameters) -> Vec<&'static SupportedProtocolVersion> {
    p.usable_versions()
        .rev()
        .filter_map(|version| match version {
            TlsVersion::Tls12 => Some(&TLS12),
            TlsVersion::Tls13 => Some(&TLS13),
            _ => None,
        })
        .collect()
}

fn policy(trust: &Trust) -> Result<ChainPolicy, Failure> {
    match trust {
        Trust::Platform => PLATFORM
            .clone()
            .map_err(|detail| Failure::new(Origin::Local, FailureKind::Unsupported, detail)),
        Trust::Roots(roots) => {
            ChainPolicy::roots(roots).map_err(|error| invalid(format!("trust roots: {error}")))
        }
        Trust::Pinned(pins) if pins.is_empty() => Err(invalid("no certificate is pinned")),
        Trust::Pinned(pins) => Ok(ChainPolicy::Pinned(Arc::clone(pins))),
        Trust::DangerousAnyone => Ok(ChainPolicy::DangerousAnyone),
        other => Err(invalid(format!("trust of this kind is unknown: {other:?}"))),
    }
}

fn invalid(detail: impl Into<String>) -> Failure {
    Failure::new(Origin::Local, FailureKind::InvalidRequest, detail)
}

fn time(clock: &Clock) -> Arc<dyn TimeProvider> {
    match clock {
        Clock::System => Arc::new(rustls::time_provider::DefaultTimeProvider),
        Clock::Given(now) => Arc::new(GivenTime(Arc::clone(now))),
    }
}

struct GivenTime(Arc<dyn Fn() -> UnixTime + Send + Sync>);

impl std::fmt::Debug for GivenTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GivenTime")
    }
}

impl TimeProvider for GivenTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some((self.0)())
    }
}

/// The platform's anchors, read once a process.
static PLATFORM: LazyLock<Result<ChainPolicy, String>> = LazyLock::new(|| {
    let loaded = rustls_native_certs::load_native_certs();
    ChainPolicy::usable_roots(&loaded.certs).map_err(|error| match loaded.errors.first() {
        Some(cause) => format!("the platform's trust store: {error}: {cause}"),
        None => format!("the platform's trust store: {error}"),
    })
});
