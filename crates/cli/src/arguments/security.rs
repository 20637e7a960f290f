//! What a client demands of its protection.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How much protection is demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SecurityLevel {
    /// TLS, and nothing weaker
    #[default]
    Tls,
    /// No protection at all
    None,
    /// TLS where the peer offers it, without proof of who it is; cleartext where it does not
    Opportunistic,
}

/// Protection, from the client's side.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Protection")]
pub(crate) struct SecurityArguments {
    /// How much protection to demand
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub(crate) security: SecurityLevel,
    /// Believe only servers that a certificate in this file vouches for (PEM or DER)
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,
    /// Believe any server: encrypted, but to whom nobody knows
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Offer these application protocols, the preferred one first
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) alpn: Vec<String>,
    /// Show this certificate chain if asked for one
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Ask for and check this name instead of the host's
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
}

impl SecurityArguments {
    /// An argument that has no meaning without TLS, if there is one.
    pub(crate) fn tls_only_argument(&self) -> Option<&'static str> {
        let given = [
            ("--ca", self.ca.is_some()),
            ("--insecure", self.insecure),
            ("--alpn", !self.alpn.is_empty()),
            ("--cert", self.cert.is_some()),
            ("--server-name", self.server_name.is_some()),
        ];
        given
            .into_iter()
            .find_map(|(name, is_given)| is_given.then_some(name))
    }
}
