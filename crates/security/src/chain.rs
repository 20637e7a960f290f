//! Whether a peer's certificate chain is acceptable.
//!
//! Invariant: a chain is accepted only for a purpose, at a time, and (for servers) under a name,
//! all three given by the caller. Revocation is not looked at yet.

use crate::date::Date;
use crate::distinguished_name;
use rustls_pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
};
use std::fmt;
use std::sync::Arc;
use webpki::{EndEntityCert, KeyUsage};

/// Who may vouch for a peer, prepared for use.
#[derive(Clone)]
#[non_exhaustive]
pub enum ChainPolicy {
    /// A chain to one of these anchors.
    Anchors(Arc<[TrustAnchor<'static>]>),
    /// An end-entity certificate that is one of these, byte for byte. The pin replaces the chain,
    /// the name and the dates (RFC 9622 §6.3.3): the application has said whom it means.
    Pinned(Arc<[CertificateDer<'static>]>),
    /// Any certificate at all. The peer is not authenticated.
    DangerousAnyone,
}

impl fmt::Debug for ChainPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainPolicy::Anchors(anchors) => write!(f, "Anchors({})", anchors.len()),
            ChainPolicy::Pinned(pins) => write!(f, "Pinned({})", pins.len()),
            ChainPolicy::DangerousAnyone => f.write_str("DangerousAnyone"),
        }
    }
}

impl ChainPolicy {
    /// A policy of chains to `roots`.
    ///
    /// # Errors
    /// A root that is not a certificate, or no root at all.
    pub fn roots(roots: &[CertificateDer<'static>]) -> Result<Self, ChainError> {
        let anchors = roots
            .iter()
            .map(|root| {
                webpki::anchor_from_trusted_cert(root)
                    .map(|anchor| anchor.to_owned())
                    .map_err(|error| ChainError::Malformed(error.to_string()))
            })
            .collect::<Result<Arc<[_]>, _>>()?;
        if anchors.is_empty() {
            return Err(ChainError::NoAnchors);
        }
        Ok(ChainPolicy::Anchors(anchors))
    }

    /// As [`ChainPolicy::roots`], but passes over what cannot be used, as a platform's store may
    /// hold certificates that are too old to be read.
    ///
    /// # Errors
    /// Nothing usable is left.
    pub fn usable_roots(roots: &[CertificateDer<'static>]) -> Result<Self, ChainError> {
        let anchors: Arc<[_]> = roots
            .iter()
            .filter_map(|root| webpki::anchor_from_trusted_cert(root).ok())
            .map(|anchor| anchor.to_owned())
            .collect();
        if anchors.is_empty() {
            return Err(ChainError::NoAnchors);
        }
        Ok(ChainPolicy::Anchors(anchors))
    }

    /// The DER-encoded names of the anchors, without their outer sequence.
    pub fn anchor_names(&self) -> impl Iterator<Item = &[u8]> {
        let anchors: &[TrustAnchor<'static>] = match self {
            ChainPolicy::Anchors(anchors) => anchors,
            _ => &[],
        };
        anchors.iter().map(|anchor| anchor.subject.as_ref())
    }

    /// Checks the chain that a peer presented; `name` is what it must be valid for, if anything.
    ///
    /// # Errors
    /// What was wrong, the first thing only.
    pub fn verify(
        &self,
        presented: Presented<'_>,
        purpose: Purpose,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<(), ChainError> {
        let certificate = EndEntityCert::try_from(presented.end_entity)
            .map_err(|error| ChainError::Malformed(error.to_string()))?;
        let anchors = match self {
            ChainPolicy::Anchors(anchors) => anchors,
            ChainPolicy::Pinned(pins) => {
                return if pins.iter().any(|pin| pin == presented.end_entity) {
                    Ok(())
                } else {
                    Err(ChainError::NotPinned {
                        subject: distinguished_name::shown(certificate.subject()),
                    })
                };
            }
            ChainPolicy::DangerousAnyone => return Ok(()),
        };
        let usage = match purpose {
            Purpose::ServerAuthentication => KeyUsage::server_auth(),
            Purpose::ClientAuthentication => KeyUsage::client_auth(),
        };
        certificate
            .verify_for_usage(
                algorithms,
                anchors,
                presented.intermediates,
                now,
                usage,
                None,
                None,
            )
            .map_err(|error| classify(error, &presented, purpose, &certificate))?;
        if let Some(name) = name {
            certificate
                .verify_is_valid_for_subject_name(name)
                .map_err(|error| classify(error, &presented, purpose, &certificate))?;
        }
        Ok(())
    }
}

/// Whether a certificate is for this host name or address. Nothing else of it is judged.
pub fn is_valid_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let name = ServerName::try_from(name);
    let certificate = EndEntityCert::try_from(certificate);
    match (certificate, name) {
        (Ok(certificate), Ok(name)) => certificate.verify_is_valid_for_subject_name(&name).is_ok(),
        _ => false,
    }
}

/// What a peer presented.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The peer's own certificate.
    pub end_entity: &'a CertificateDer<'a>,
    /// Whatever else it sent, in any order.
    pub intermediates: &'a [CertificateDer<'a>],
}

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// A server proves itself to a client.
    ServerAuthentication,
    /// A client proves itself to a server.
    ClientAuthentication,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Purpose::ServerAuthentication => "server authentication",
            Purpose::ClientAuthentication => "client authentication",
        })
    }
}

/// Why a chain is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The verification time is after the end of validity.
    #[error("the certificate expired on {}, it is now {}", Date(*not_after), Date(*now))]
    Expired {
        /// The end of validity.
        not_after: UnixTime,
        /// The verification time.
        now: UnixTime,
    },
    /// The verification time is before the start of validity.
    #[error("the certificate is not valid before {}, it is now {}", Date(*not_before), Date(*now))]
    NotYetValid {
        /// The start of validity.
        not_before: UnixTime,
        /// The verification time.
        now: UnixTime,
    },
    /// The certificate is for somebody else.
    #[error(
        "the certificate is not valid for {expected}, only for {}",
        list(presented)
    )]
    NameMismatch {
        /// The name that was asked for.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// No anchor vouches for the chain.
    #[error("the certificate is issued by an unknown authority, {issuer}")]
    UnknownAuthority {
        /// The issuer of the last certificate that was presented.
        issuer: String,
    },
    /// The certificate may not be used for this.
    #[error("the certificate is not meant for {purpose}")]
    WrongPurpose {
        /// What it was used for.
        purpose: Purpose,
    },
    /// A signature in the chain does not verify.
    #[error("a signature in the certificate chain is wrong")]
    BadSignature,
    /// The certificate was revoked.
    #[error("the certificate is revoked")]
    Revoked,
    /// Something presented or configured is not a certificate.
    #[error("the certificate is malformed: {0}")]
    Malformed(String),
    /// The certificate is none of the pinned ones.
    #[error("the certificate of {subject} is none of the pinned ones")]
    NotPinned {
        /// The subject that was presented.
        subject: String,
    },
    /// There is no anchor to chain to.
    #[error("there is no usable trust anchor")]
    NoAnchors,
    /// Another rule of chain validation was broken.
    #[error("the certificate chain is unacceptable: {0}")]
    Unacceptable(String),
}

fn list(names: &[String]) -> String {
    const SHOWN_MAX: usize = 8;
    if names.is_empty() {
        return "no name at all".into();
    }
    let mut text = names[..names.len().min(SHOWN_MAX)].join(", ");
    if names.len() > SHOWN_MAX {
        text.push_str(", and more");
    }
    text.chars().filter(|c| !c.is_control()).collect()
}

fn classify(
    error: webpki::Error,
    presented: &Presented<'_>,
    purpose: Purpose,
    certificate: &EndEntityCert<'_>,
) -> ChainError {
    use webpki::Error;
    match error {
        Error::CertExpired { time, not_after } => ChainError::Expired {
            not_after,
            now: time,
        },
        Error::CertNotValidYet { time, not_before } => ChainError::NotYetValid {
            not_before,
            now: time,
        },
        Error::CertNotValidForName(context) => ChainError::NameMismatch {
            expected: context.expected.to_str().into_owned(),
            presented: context.presented.iter().map(|name| plain(name)).collect(),
        },
        Error::UnknownIssuer => ChainError::UnknownAuthority {
            issuer: last_issuer(presented, certificate),
        },
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            ChainError::WrongPurpose { purpose }
        }
        Error::InvalidSignatureForPublicKey => ChainError::BadSignature,
        Error::CertRevoked => ChainError::Revoked,
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => {
            ChainError::Malformed(error.to_string())
        }
        Error::CaUsedAsEndEntity => {
            ChainError::Unacceptable("an authority's certificate is used by an end entity".into())
        }
        other => ChainError::Unacceptable(other.to_string()),
    }
}

/// webpki names alternatives as `DnsName("a.example")`; a person wants the name alone.
fn plain(name: &str) -> String {
    match name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
    {
        Some(inner) => inner.trim_matches('"').to_owned(),
        None => name.to_owned(),
    }
}

fn last_issuer(presented: &Presented<'_>, certificate: &EndEntityCert<'_>) -> String {
    let last = presented
        .intermediates
        .last()
        .and_then(|der| EndEntityCert::try_from(der).ok());
    distinguished_name::shown(match &last {
        Some(last) => last.issuer(),
        None => certificate.issuer(),
    })
}
