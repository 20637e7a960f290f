//! A certificate authority that lives as long as the demo.

use crate::error::CommandError;
use portway::security::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub(super) struct Authority {
    /// The authority's own certificate.
    pub(super) root: CertificateDer<'static>,
    /// What it vouches for.
    pub(super) identity: Identity,
}

impl Authority {
    /// An authority with one certificate, for `name`.
    pub(super) fn new(name: &str) -> Result<Authority, CommandError> {
        Authority::make(name)
            .map_err(|error| CommandError::failed(format!("no certificate for {name}: {error}")))
    }

    fn make(name: &str) -> Result<Authority, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "portway demo authority");
        let root = params.self_signed(&key)?.der().clone();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Authority {
            root,
            identity: Identity::new(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            ),
        })
    }
}
