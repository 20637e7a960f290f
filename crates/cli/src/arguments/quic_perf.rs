//! `portway quic-perf`.

use super::identity::ServerIdentity;
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "\
The protocol is that of the QUIC working group's perf: a client opens a stream, says in eight bytes
how much it wants back, sends what it likes, and the server answers. The ALPN is `perf`.

Examples:
  portway quic-perf server 127.0.0.1:7443 --self-signed
  portway quic-perf client 127.0.0.1:7443 --insecure --download 100000000
  portway quic-perf client 127.0.0.1:7443 --insecure --requests 10000 --parallel 32")]
pub(crate) struct QuicPerfArguments {
    #[command(subcommand)]
    pub(crate) role: PerfRole,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PerfRole {
    /// Answer clients until it is ended
    Server(PerfServer),
    /// Measure a server
    Client(PerfClient),
}

#[derive(Args, Debug)]
pub(crate) struct PerfServer {
    /// Where to listen; port 0 is any free port
    #[arg(value_name = "ADDR:PORT")]
    pub(crate) local: SocketAddr,
    #[command(flatten)]
    pub(crate) identity: ServerIdentity,
    /// End after this many connections have ended
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct PerfClient {
    /// The server's address
    #[arg(value_name = "ADDR:PORT")]
    pub(crate) remote: SocketAddr,
    /// Believe only servers that a certificate in this file vouches for (PEM or DER)
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,
    /// Believe any server
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Ask for and check this name instead of the address
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// Bytes that each request asks for
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) download: u64,
    /// Bytes that each request sends
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) upload: u64,
    /// How many requests, each on a stream of its own
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: u64,
    /// How many of them at a time
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) parallel: u64,
}
