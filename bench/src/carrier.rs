//! The carriers that both sides use, with one certificate for all of them.
//!
//! Invariant: both sides offer the same versions and suites of the same provider, and neither
//! resumes sessions, so that handshakes are alike.

use portway::{RemoteEndpoint, Security};
use portway_core::security::{Identity, Resumption};
use rustls::client::Resumption as ClientResumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;

/// What messages travel over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TCP alone.
    Tcp,
    /// TLS 1.3 over TCP.
    Tls,
}

impl Carrier {
    /// Both.
    pub const ALL: [Carrier; 2] = [Carrier::Tcp, Carrier::Tls];

    /// As it stands in names.
    pub fn name(self) -> &'static str {
        match self {
            Carrier::Tcp => "TCP",
            Carrier::Tls => "TLS",
        }
    }

    /// The carrier of a name, in any case.
    pub fn named(name: &str) -> Option<Carrier> {
        Carrier::ALL
            .into_iter()
            .find(|carrier| carrier.name().eq_ignore_ascii_case(name))
    }
}

/// A certificate for [`HOST`] with its key, made once a process or read from its parent.
pub struct Credentials {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

/// The name in the certificate.
pub const HOST: &str = "localhost";

impl Credentials {
    /// A fresh certificate.
    pub fn generate() -> Self {
        let certified = rcgen::generate_simple_self_signed([HOST.to_owned()])
            .expect("the name can stand in a certificate");
        Credentials {
            certificate: certified.cert.der().clone(),
            key: certified.signing_key.serialize_der(),
        }
    }

    /// Writes both to a directory.
    ///
    /// # Errors
    /// The system's error.
    pub fn save(&self, directory: &std::path::Path) -> std::io::Result<()> {
        std::fs::write(directory.join("certificate.der"), &self.certificate)?;
        std::fs::write(directory.join("key.der"), &self.key)
    }

    /// Reads what [`Credentials::save`] wrote.
    ///
    /// # Errors
    /// The system's error.
    pub fn load(directory: &std::path::Path) -> std::io::Result<Self> {
        Ok(Credentials {
            certificate: std::fs::read(directory.join("certificate.der"))?.into(),
            key: std::fs::read(directory.join("key.der"))?,
        })
    }

    /// The certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// portway's identity of servers.
    pub fn identity(&self) -> Identity {
        Identity::new(vec![self.certificate.clone()], self.private_key())
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// rustls's configuration of clients.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate.clone())
            .expect("the certificate is well-formed");
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = ClientResumption::disabled();
        Arc::new(config)
    }

    /// rustls's configuration of servers.
    pub fn server(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.private_key())
            .expect("the key belongs to the certificate");
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// portway's parameters of clients.
    pub fn portway_client(&self, carrier: Carrier) -> Security {
        match carrier {
            Carrier::Tcp => Security::disabled(),
            Carrier::Tls => Security::tls()
                .with_roots([self.certificate.clone()])
                .with_server_name(HOST)
                .with_tls(|tls| tls.with_resumption(Resumption::disabled())),
        }
    }

    /// portway's parameters of servers.
    pub fn portway_server(&self, carrier: Carrier) -> Security {
        match carrier {
            Carrier::Tcp => Security::disabled(),
            Carrier::Tls => Security::tls()
                .with_identity(self.identity())
                .with_tls(|tls| tls.with_resumption(Resumption::disabled())),
        }
    }
}

/// A remote endpoint that needs no resolution.
pub fn endpoint(address: SocketAddr) -> RemoteEndpoint {
    RemoteEndpoint::from(address)
}
