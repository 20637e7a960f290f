//! A certificate authority of one test, with its files.
//!
//! Invariant: the files are gone when the test is.

use portway::security::{Identity, Trust};
use portway_transport::tls::{load_certificates, load_identity};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The name that servers have.
pub(crate) const NAME: &str = "localhost";

/// An authority with a server and a client.
pub(crate) struct Authority {
    directory: PathBuf,
    pub(crate) root: String,
    pub(crate) server: Files,
    pub(crate) client: Files,
    /// A server whose certificate fills several packets.
    pub(crate) large: Files,
}

/// A certificate and its key as PEM files.
pub(crate) struct Files {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("interop-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = format!("Root {count}");
        params.distinguished_name.push(DnType::CommonName, name);
        let root = params.self_signed(&key).expect("a root");
        let issuer = Issuer::new(params, key);
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("a file");
            path.to_str().expect("a path of text").to_owned()
        };
        let issue = |name: &str, names: &[&str], purpose| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(names).expect("names");
            params.extended_key_usages = vec![purpose];
            params.distinguished_name.push(DnType::CommonName, NAME);
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            Files {
                cert: write(&format!("{name}.crt"), &certificate.pem()),
                key: write(&format!("{name}.key"), &key.serialize_pem()),
            }
        };
        let many: Vec<String> = (0..200)
            .map(|at| format!("name-{at}.server.example"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).chain([NAME]).collect();
        Authority {
            large: issue("large", &many, ExtendedKeyUsagePurpose::ServerAuth),
            root: write("root.crt", &root.pem()),
            server: issue(
                "server",
                &[NAME, "127.0.0.1"],
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
            client: issue(
                "client",
                &["client.example"],
                ExtendedKeyUsagePurpose::ClientAuth,
            ),
            directory,
        }
    }

    /// Believes this authority only.
    pub(crate) fn trust(&self) -> Trust {
        Trust::Roots(
            load_certificates(Path::new(&self.root))
                .expect("a root")
                .into(),
        )
    }

    /// A path for one more file.
    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.directory.join(name);
        path.to_str().expect("a path of text").to_owned()
    }
}

impl Files {
    pub(crate) fn identity(&self) -> Identity {
        load_identity(Path::new(&self.cert), Path::new(&self.key)).expect("an identity")
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
