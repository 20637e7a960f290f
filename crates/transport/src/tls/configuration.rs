//! rustls configurations from TLS parameters.
//!
//! Invariant: one configuration serves every connection with the same parameters, so nothing in it
//! may depend on a single connection.

use super::algorithm::Allowed;
use super::classify;
use super::engine::Clock;
use super::resolver::Resolver;
use super::session::{AgedTickets, ClientSessions};
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

/// A configuration for clients. ALPN is added for each connection.
pub(super) fn client(p: &TlsParameters, clock: &Clock) -> Result<ClientConfig, Failure> {
    p.check()?;
    let allowed = Allowed::of(&p.algorithms);
    let provider = Arc::clone(&allowed.provider);
    let callback = p.trust_callback.clone();
    let verifier = PolicyVerifier::of_servers(policy(&p.trust)?, callback, allowed.clone());
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
