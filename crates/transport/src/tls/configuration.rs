//! rustls configurations from TLS parameters.
//!
//! Invariant: one configuration serves every connection with the same parameters, so nothing in it
//! may depend on a single connection.

use super::classify;
use super::engine::Clock;
use super::observed::Observed;
use super::verifier::PolicyVerifier;
use portway_core::security::{ClientAuthentication, Identity, TlsParameters, TlsVersion, Trust};
use portway_core::{Failure, FailureKind, Origin};
use portway_security::ChainPolicy;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, KeyLogFile, ServerConfig, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::UnixTime;
use std::sync::{Arc, LazyLock};

/// A configuration for clients. ALPN is added for each connection.
pub(super) fn client(p: &TlsParameters, clock: &Clock) -> Result<ClientConfig, Failure> {
    let provider = Arc::clone(&PROVIDER);
    let verifier = PolicyVerifier::of_servers(policy(&p.trust)?, &provider);
    let resolver = ClientResolver(certified_key(p.identity.as_deref())?);
    let mut config = ClientConfig::builder_with_details(Arc::clone(&provider), time(clock))
        .with_protocol_versions(versions(p)?)
        .map_err(|error| classify::configuration(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(resolver));
    config.resumption = match p.resumption.sessions_max {
        0 => Resumption::disabled(),
        sessions_max => Resumption::in_memory_sessions(sessions_max),
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
    let provider = Arc::clone(&PROVIDER);
    let Some(key) = certified_key(p.identity.as_deref())? else {
        return Err(invalid("a TLS server needs a certificate and its key"));
    };
    let verifier = match &p.client_authentication {
        ClientAuthentication::Optional(trust) => Some((trust, false)),
        ClientAuthentication::Required(trust) => Some((trust, true)),
        _ => None,
    };
    let verifier = match verifier {
        None => WebPkiClientVerifier::no_client_auth(),
        Some((trust, is_mandatory)) => Arc::new(PolicyVerifier::of_clients(
            policy(trust)?,
            &provider,
            is_mandatory,
        )),
    };
    let resolver = ServerResolver {
        key,
        is_alpn_demanded: !alpn.is_empty(),
    };
    let mut config = ServerConfig::builder_with_details(provider, time(clock))
        .with_protocol_versions(versions(p)?)
        .map_err(|error| classify::configuration(&error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = alpn.to_vec();
    // Sessions live in the tickets that clients keep, so a server stores none.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if p.resumption.sessions_max == 0 {
        config.send_tls13_tickets = 0;
    } else {
        config.ticketer =
            aws_lc_rs::Ticketer::new().map_err(|error| classify::configuration(&error))?;
    }
    if p.key_log {
        config.key_log = Arc::new(KeyLogFile::new());
    }
    Ok(config)
}

fn versions(p: &TlsParameters) -> Result<&'static [&'static SupportedProtocolVersion], Failure> {
    static ONLY_TLS12: &[&SupportedProtocolVersion] = &[&TLS12];
    static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&TLS13];
    static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    match (p.min_version, p.max_version) {
        (TlsVersion::Tls12, TlsVersion::Tls12) => Ok(ONLY_TLS12),
        (TlsVersion::Tls12, TlsVersion::Tls13) => Ok(BOTH),
        (TlsVersion::Tls13, TlsVersion::Tls13) => Ok(ONLY_TLS13),
        (min, max) => Err(invalid(format!(
            "no TLS version lies between {min:?} and {max:?}"
        ))),
    }
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

fn certified_key(identity: Option<&Identity>) -> Result<Option<Arc<CertifiedKey>>, Failure> {
    identity
        .map(|identity| {
            CertifiedKey::from_der(identity.chain.clone(), identity.key.clone_key(), &PROVIDER)
                .map(Arc::new)
                .map_err(|error| classify::configuration(&error))
        })
        .transpose()
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

/// Gives the client's certificate, if there is one, and notes that it was asked for.
#[derive(Debug)]
struct ClientResolver(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for ClientResolver {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Observed::note(|observed| observed.is_certificate_requested = true);
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// Gives the server's certificate and notes what the client hello says.
#[derive(Debug)]
struct ServerResolver {
    key: Arc<CertifiedKey>,
    is_alpn_demanded: bool,
}

impl ResolvesServerCert for ServerResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_alpn_missing = self.is_alpn_demanded && hello.alpn().is_none();
        Observed::note(|observed| {
            observed.server_name = hello.server_name().map(str::to_owned);
            observed.is_alpn_missing = is_alpn_missing;
        });
        (!is_alpn_missing).then(|| Arc::clone(&self.key))
    }
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// The platform's anchors, read once a process.
static PLATFORM: LazyLock<Result<ChainPolicy, String>> = LazyLock::new(|| {
    let loaded = rustls_native_certs::load_native_certs();
    ChainPolicy::usable_roots(&loaded.certs).map_err(|error| match loaded.errors.first() {
        Some(cause) => format!("the platform's trust store: {error}: {cause}"),
        None => format!("the platform's trust store: {error}"),
    })
});
