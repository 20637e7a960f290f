//! `portway connect`.

use super::SecurityArguments;
use super::values::{Framing, PropertyArgument, duration, positive_duration};
use clap::Args;
use portway::RemoteEndpoint;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Args, Debug)]
#[command(after_help = "\
Standard input goes to the peer and what the peer sends to standard output. When the input ends,
so does this side's direction; the command ends with the peer.

Examples:
  portway connect example.com:443 --alpn http/1.1
  portway connect 127.0.0.1:7000 --insecure --framer line
  portway connect mail.example:25 --security none -v
  echo hello | portway connect 127.0.0.1:7000 --insecure --alpn chat --sibling 3
  echo hello | portway connect 127.0.0.1:7000 --udp --security none --replies 1")]
pub(crate) struct ConnectArguments {
    /// Where to: host:port or address:port, an IPv6 address in square brackets; a service name may
    /// stand for the port
    #[arg(value_name = "HOST:PORT")]
    pub(crate) remote: RemoteEndpoint,
    /// How input becomes messages
    #[arg(long, value_enum, default_value_t, value_name = "FRAMER")]
    pub(crate) framer: Framing,
    /// Send datagrams over UDP, one for each line; needs --security none
    #[arg(long)]
    pub(crate) udp: bool,
    /// Send the datagrams of QUIC, one for each line; needs --alpn
    #[arg(long, conflicts_with = "udp")]
    pub(crate) datagrams: bool,
    /// Open so many more connections of the same group, streams of the same transport over QUIC,
    /// and send the whole input over each
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with_all = ["udp", "datagrams"])]
    pub(crate) sibling: u16,
    /// End after this many messages were received
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) replies: Option<u64>,
    /// How long to wait for more input after the peer has ended, and over UDP for more datagrams
    /// after the input has
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    pub(crate) linger: Duration,
    #[command(flatten)]
    pub(crate) security: SecurityArguments,
    #[command(flatten)]
    pub(crate) network: NetworkArguments,
    /// Tell every decision of the race, and what was agreed on
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// How the way to the peer is found.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArguments {
    /// Ask this DNS server and nobody else
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) resolver: Option<SocketAddr>,
    /// Give up after this time: seconds, or a number with ms, s or m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive_duration)]
    pub(crate) timeout: Duration,
    /// Set a transport property of RFC 9622; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE")]
    pub(crate) properties: Vec<PropertyArgument>,
}
