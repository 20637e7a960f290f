//! `portway listen`.

use super::identity::ServerIdentity;
use super::values::{Framing, duration, positive_duration};
use clap::{Args, ValueEnum};
use portway::LocalEndpoint;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args, Debug)]
#[command(after_help = "\
For each socket one line goes to standard error: 'listening', the protocol, the address with the
port that was chosen. Without --echo the first connection is joined to standard input and output,
and the command ends with it.

Examples:
  portway listen 127.0.0.1:7000 --self-signed --echo
  portway listen '*:443' --cert chain.pem --key key.pem --client-ca clients.pem
  portway listen '[::1]:0' --security none > received
  portway listen 127.0.0.1:7000 --self-signed --alpn chat --protocols quic --echo
  portway listen 127.0.0.1:7000 --security none --protocols tcp,udp --echo --count 10")]
pub(crate) struct ListenArguments {
    /// Where to: address:port, an IPv6 address in square brackets; * is any address, port 0 any
    /// free port
    #[arg(value_name = "ADDR:PORT")]
    pub(crate) local: LocalEndpoint,
    /// Which protocols to accept, all on the same port: tls unless said otherwise, and quic where
    /// --alpn names what is spoken over it
    #[arg(long, value_enum, value_name = "A,B", value_delimiter = ',')]
    pub(crate) protocols: Vec<Protocol>,
    /// How messages are cut out of the byte stream
    #[arg(long, value_enum, default_value_t, value_name = "FRAMER")]
    pub(crate) framer: Framing,
    /// Send everything back to whom it came from, for any number of connections
    #[arg(long)]
    pub(crate) echo: bool,
    /// Accept the datagrams of QUIC instead of its streams; needs --alpn
    #[arg(long, conflicts_with = "protocols")]
    pub(crate) datagrams: bool,
    /// End after this many connections
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after one connection
    #[arg(long, conflicts_with = "count")]
    pub(crate) once: bool,
    /// How long to wait for more input after the peer has ended
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    pub(crate) linger: Duration,
    /// Over UDP, a peer that is silent for so long has ended
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = positive_duration)]
    pub(crate) idle: Duration,
    #[command(flatten)]
    pub(crate) security: ListenSecurity,
    /// Tell of every connection
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Protection, from the server's side.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Protection")]
pub(crate) struct ListenSecurity {
    /// How much protection to demand
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub(crate) security: ListenLevel,
    #[command(flatten)]
    pub(crate) identity: ServerIdentity,
    /// Demand a certificate that one in this file vouches for
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Accept these application protocols, the preferred one first
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) alpn: Vec<String>,
}

impl ListenSecurity {
    /// An argument that has no meaning without TLS, if there is one.
    pub(crate) fn tls_only_argument(&self) -> Option<&'static str> {
        let given = [
            ("--cert", self.identity.cert.is_some()),
            ("--self-signed", self.identity.self_signed),
            ("--client-ca", self.client_ca.is_some()),
            ("--alpn", !self.alpn.is_empty()),
        ];
        given
            .into_iter()
            .find_map(|(name, is_given)| is_given.then_some(name))
    }
}

/// How much protection a listener demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListenLevel {
    /// TLS, and nothing weaker
    #[default]
    Tls,
    /// No protection at all
    None,
}

/// A protocol to listen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// TLS over TCP
    Tls,
    /// QUIC; needs --alpn
    Quic,
    /// TCP without protection
    Tcp,
    /// UDP without protection
    Udp,
}
