//! Which identity a handshake shows, and what was learnt when it was asked for one.
//!
//! Invariant: the challenge callback comes before the identities among the parameters, and whatever
//! goes wrong here ends the handshake with its own reason.

use super::algorithm::{Allowed, named};
use super::classify::{self, Role};
use super::key::{self, KeyCache};
use super::observed::{Observed, Refusal};
use portway_core::security::{ChallengeCallback, IdentityChallenge, TlsParameters};
use portway_core::{Failure, FailureKind, Origin};
use portway_security::suitability::{is_for_server, is_of_authority};
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, SignatureScheme};
use std::sync::Arc;

/// Chooses for either role.
#[derive(Debug)]
pub(super) struct Resolver {
    own: Vec<Arc<CertifiedKey>>,
    callback: Option<ChallengeCallback>,
    chosen: KeyCache,
    allowed: Allowed,
    is_alpn_demanded: bool,
}

impl Resolver {
    pub(super) fn new(
        p: &TlsParameters,
        allowed: Allowed,
        is_alpn_demanded: bool,
    ) -> Result<Resolver, Failure> {
        let own = p.identity.iter().chain(&p.further_identities);
        let own = own.map(|identity| key::certified(identity, &allowed).map(Arc::new));
        let own = own.collect::<Result<_, _>>()?;
        Ok(Resolver {
            own,
            callback: p.challenge_callback.clone(),
            chosen: KeyCache::default(),
            allowed,
            is_alpn_demanded,
        })
    }

    /// Whether there is anything to choose from.
    pub(super) fn has_choice(&self) -> bool {
        !self.own.is_empty() || self.callback.is_some()
    }

    fn choose(
        &self,
        challenge: &IdentityChallenge<'_>,
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let chosen = self.callback.as_ref().and_then(|it| it.ask(challenge));
        let Some(identity) = chosen else {
            return self.suitable(challenge, schemes);
        };
        match self.chosen.certified(&identity, &self.allowed) {
            Ok(key) => Some(key),
            Err(failure) => {
                refuse(failure, AlertDescription::InternalError);
                None
            }
        }
    }

    /// The first of the own identities that suits the peer, or else the first that it can verify.
    fn suitable(
        &self,
        challenge: &IdentityChallenge<'_>,
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let first = self.own.first();
        if self.own.len() < 2 {
            return first.cloned();
        }
        let can_sign = |own: &&Arc<CertifiedKey>| own.key.choose_scheme(schemes).is_some();
        let verifiable = || self.own.iter().filter(can_sign);
        let meant = verifiable().find(|own| is_meant(own, challenge));
        meant.or(verifiable().next()).or(first).cloned()
    }
}

/// Whether a peer asks for this identity.
fn is_meant(own: &CertifiedKey, challenge: &IdentityChallenge<'_>) -> bool {
    match challenge {
        IdentityChallenge::ByServer { authorities, .. } => {
            authorities.is_empty() || is_of_authority(&own.cert, authorities)
        }
        IdentityChallenge::ByClient { server_name, .. } => {
            server_name.is_none_or(|name| is_for_server(&own.cert[0], name))
        }
        _ => true,
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Observed::note(|observed| observed.is_certificate_requested = true);
        self.choose(
            &IdentityChallenge::ByServer {
                authorities,
                signature_algorithms: &named(schemes),
            },
            schemes,
        )
    }

    fn has_certs(&self) -> bool {
        self.has_choice()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let server_name = hello.server_name();
        let mut may_lack_alpn = false;
        Observed::note(|observed| {
            observed.server_name = server_name.map(str::to_owned);
            may_lack_alpn = observed.may_lack_alpn;
        });
        if self.is_alpn_demanded && !may_lack_alpn && hello.alpn().is_none() {
            // RFC 7301 §3.2 has an alert that says what is wrong; rustls would deny access.
            refuse(
                classify::alpn_missing(Role::Server),
                AlertDescription::NoApplicationProtocol,
            );
            return None;
        }
        let alpn: Vec<&[u8]> = match (&self.callback, hello.alpn()) {
            (Some(_), Some(protocols)) => protocols.collect(),
            _ => Vec::new(),
        };
        let key = self.choose(
            &IdentityChallenge::ByClient {
                server_name,
                alpn: &alpn,
                signature_algorithms: &named(hello.signature_schemes()),
            },
            hello.signature_schemes(),
        );
        if key.is_none() {
            let detail = match server_name {
                Some(name) => format!("there is no identity for the server name {name}"),
                None => "there is no identity for a client that names no server".to_owned(),
            };
            let failure = Failure::new(Origin::Local, FailureKind::Refused, detail);
            refuse(failure, AlertDescription::UnrecognisedName);
        }
        key
    }
}

/// Ends the handshake; the first reason counts.
fn refuse(failure: Failure, alert: AlertDescription) {
    Observed::note(|observed| {
        observed.refusal.get_or_insert(Refusal { failure, alert });
    });
}
