//! What a server shows of itself, for every command that has a server.

use crate::error::CommandError;
use clap::Args;
use portway::security::Identity;
use portway_transport::tls::{load_identity, self_signed};
use std::path::PathBuf;

/// A certificate with its key, from files or made now.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerIdentity {
    /// The certificate chain to show, end entity first (PEM or DER)
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        conflicts_with = "self_signed"
    )]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Make a certificate for localhost and the address; clients need --insecure
    #[arg(long)]
    pub(crate) self_signed: bool,
}

impl ServerIdentity {
    /// What was stated, if anything was; one that is made now is for `names`.
    pub(crate) fn load(
        &self,
        names: impl FnOnce() -> Vec<String>,
    ) -> Result<Option<Identity>, CommandError> {
        Ok(match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(load_identity(cert, key)?),
            _ if self.self_signed => Some(self_signed(&names())?),
            _ => None,
        })
    }
}
