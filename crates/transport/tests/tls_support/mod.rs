//! A small authority and an in-memory pair of TLS layers for the TLS tests.
//!
//! Invariant: bytes move between the two layers only through [`Pair`], in pieces of a given size.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

use bytes::BytesMut;
use portway_core::Failure;
use portway_core::security::{
    Identity, IdentityKey, SignatureAlgorithm, SigningKey, TlsParameters, TlsVersion, Trust,
};
use portway_transport::layer::{ByteLayer, LayerStatus};
use portway_transport::tls::{TlsEngine, TlsLayer};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const NAME: &str = "server.example";

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        Authority::with_key(name, KeyPair::generate().unwrap())
    }

    pub(crate) fn with_key(name: &str, key: KeyPair) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// An identity with the defaults changed by `change`.
    pub(crate) fn identity(
        &self,
        names: &[&str],
        purpose: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        self.identity_of(KeyPair::generate().unwrap(), names, purpose, change)
    }

    /// An identity with this key.
    pub(crate) fn identity_of(
        &self,
        key: KeyPair,
        names: &[&str],
        purpose: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![purpose];
        params
            .distinguished_name
            .push(DnType::CommonName, "end entity");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            identity: Arc::new(Identity::new(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )),
        }
    }

    pub(crate) fn server(&self) -> Issued {
        self.identity(
            &[NAME, "127.0.0.1"],
            ExtendedKeyUsagePurpose::ServerAuth,
            |_| {},
        )
    }

    pub(crate) fn client(&self) -> Issued {
        self.identity(
            &["client.example"],
            ExtendedKeyUsagePurpose::ClientAuth,
            |_| {},
        )
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::Roots(Arc::from([self.certificate.clone()]))
    }
}

/// An identity, also as PEM.
pub(crate) struct Issued {
    pub(crate) identity: Arc<Identity>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

/// A P-256 key in a module: it signs, and nobody sees it.
pub(crate) struct Module {
    pair: KeyPair,
    pub(crate) signatures: AtomicUsize,
}

impl Module {
    /// The same identity with its key in a module.
    pub(crate) fn take_in(issued: &Issued) -> (Arc<Module>, Arc<Identity>) {
        let module = Arc::new(Module {
            pair: KeyPair::from_pem(&issued.key_pem).unwrap(),
            signatures: AtomicUsize::new(0),
        });
        let identity = Identity::new(issued.identity.chain.clone(), Arc::clone(&module));
        (module, Arc::new(identity))
    }
}

impl SigningKey for Module {
    fn algorithms(&self) -> &[SignatureAlgorithm] {
        &[SignatureAlgorithm::EcdsaSecp256r1Sha256]
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, Failure> {
        assert_eq!(algorithm, SignatureAlgorithm::EcdsaSecp256r1Sha256);
        self.signatures.fetch_add(1, Ordering::Relaxed);
        Ok(rcgen::SigningKey::sign(&self.pair, message).unwrap())
    }
}

/// The key of an identity that has it here.
pub(crate) fn key_of(identity: &Identity) -> PrivateKeyDer<'static> {
    match &identity.key {
        IdentityKey::Der(key) => key.clone_key(),
        other => panic!("the key is elsewhere: {other:?}"),
    }
}

/// Parameters of both sides that fit each other.
pub(crate) fn parameters(authority: &Authority) -> (TlsParameters, TlsParameters) {
    let mut client = TlsParameters::default();
    client.trust = authority.trust();
    let mut server = TlsParameters::default();
    server.identity = Some(authority.server().identity);
    (client, server)
}

pub(crate) fn only(parameters: &mut TlsParameters, version: TlsVersion) {
    parameters.min_version = version;
    parameters.max_version = version;
}

/// Two layers with what is between them.
pub(crate) struct Pair {
    pub(crate) client: TlsLayer,
    pub(crate) server: TlsLayer,
    pub(crate) to_client: BytesMut,
    pub(crate) to_server: BytesMut,
    pub(crate) client_wire: BytesMut,
    pub(crate) server_wire: BytesMut,
    pub(crate) piece_max: usize,
    pub(crate) client_result: Result<(), Failure>,
    pub(crate) server_result: Result<(), Failure>,
}

impl Pair {
    pub(crate) fn new(client: &TlsParameters, server: &TlsParameters) -> Pair {
        Pair::with_alpn(client, server, &[], &[])
    }

    pub(crate) fn with_alpn(
        client: &TlsParameters,
        server: &TlsParameters,
        client_alpn: &[&[u8]],
        server_alpn: &[&[u8]],
    ) -> Pair {
        let engine = TlsEngine::new();
        Pair::of(&engine, client, server, client_alpn, server_alpn)
    }

    pub(crate) fn of(
        engine: &TlsEngine,
        client: &TlsParameters,
        server: &TlsParameters,
        client_alpn: &[&[u8]],
        server_alpn: &[&[u8]],
    ) -> Pair {
        let owned = |list: &[&[u8]]| list.iter().map(|p| p.to_vec()).collect::<Vec<_>>();
        let client = engine
            .client(client, Some(NAME), LOOPBACK, &owned(client_alpn))
            .unwrap();
        let server = engine.server(server, &owned(server_alpn)).unwrap();
        Pair {
            client,
            server,
            to_client: BytesMut::new(),
            to_server: BytesMut::new(),
            client_wire: BytesMut::new(),
            server_wire: BytesMut::new(),
            piece_max: usize::MAX,
            client_result: Ok(()),
            server_result: Ok(()),
        }
    }

    pub(crate) fn start(&mut self) -> &mut Self {
        self.client.start(&mut self.to_server).unwrap();
        self.server.start(&mut self.to_client).unwrap();
        self.settle()
    }

    /// Moves bytes until none are left; a failed side takes no more.
    pub(crate) fn settle(&mut self) -> &mut Self {
        loop {
            let mut is_idle = true;
            if !self.to_server.is_empty() && self.server_result.is_ok() {
                let piece = self.to_server.len().min(self.piece_max);
                self.server_wire
                    .extend_from_slice(&self.to_server.split_to(piece));
                self.server_result = self
                    .server
                    .on_wire(&mut self.server_wire, &mut self.to_client);
                is_idle = false;
            }
            if !self.to_client.is_empty() && self.client_result.is_ok() {
                let piece = self.to_client.len().min(self.piece_max);
                self.client_wire
                    .extend_from_slice(&self.to_client.split_to(piece));
                self.client_result = self
                    .client
                    .on_wire(&mut self.client_wire, &mut self.to_server);
                is_idle = false;
            }
            if is_idle {
                return self;
            }
        }
    }

    pub(crate) fn expect_ready(&mut self) -> &mut Self {
        self.client_result.clone().unwrap();
        self.server_result.clone().unwrap();
        assert_eq!(self.client.status(), LayerStatus::Ready);
        assert_eq!(self.server.status(), LayerStatus::Ready);
        self
    }

    pub(crate) fn ready(client: &TlsParameters, server: &TlsParameters) -> Pair {
        let mut pair = Pair::new(client, server);
        pair.start().expect_ready();
        pair
    }

    /// Sends from the client and returns what the server reads.
    pub(crate) fn client_says(&mut self, slices: &[&[u8]]) -> Vec<u8> {
        self.client.write(slices, &mut self.to_server).unwrap();
        self.settle();
        read_all(&mut self.server)
    }

    pub(crate) fn server_says(&mut self, slices: &[&[u8]]) -> Vec<u8> {
        self.server.write(slices, &mut self.to_client).unwrap();
        self.settle();
        read_all(&mut self.client)
    }
}

pub(crate) fn read_all(layer: &mut TlsLayer) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = layer.read(usize::MAX) {
        all.extend_from_slice(&bytes);
    }
    all
}

pub(crate) const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];
