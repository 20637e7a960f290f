//! A small authority, and certificates that clients must refuse.
#![allow(
    clippy::unwrap_used,
    reason = "a test's support that fails is a failed test"
)]

use crate::support::NAME;
use portway::Security;
use portway::security::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn identity(
        &self,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Arc<Identity> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Arc::new(Identity::new(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        ))
    }

    /// What a client demands that believes this authority only.
    pub(crate) fn client(&self) -> Security {
        Security::tls().with_roots([self.certificate.clone()])
    }

    pub(crate) fn roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    /// Servers that a client of this authority must refuse, with a word of the reason.
    pub(crate) fn unacceptable(&self) -> Vec<(&'static str, &'static str, Arc<Identity>)> {
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        let expire = |params: &mut CertificateParams| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        };
        let stranger = Authority::new("Stranger");
        vec![
            (
                "name",
                "not valid for server.example",
                self.identity("other.example", server.clone(), |_| {}),
            ),
            (
                "expired",
                "expired on 2002-01-01",
                self.identity(NAME, server.clone(), expire),
            ),
            (
                "authority",
                "unknown authority",
                stranger.identity(NAME, server, |_| {}),
            ),
            (
                "purpose",
                "not meant for server authentication",
                self.identity(NAME, ExtendedKeyUsagePurpose::ClientAuth, |_| {}),
            ),
        ]
    }
}
