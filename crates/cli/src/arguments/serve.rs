//! `portway serve`.

use super::identity::ServerIdentity;
use super::values::{duration, listen_address};
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args, Debug)]
#[command(after_help = "\
For each address one line goes to standard error: 'listening', the versions of HTTP, the URL with
the port that was chosen. SIGTERM and SIGINT end it in good order: requests that are under way are
answered. Names that begin with a dot are not served, nor what lies outside of the directory,
wherever a link leads.

Sockets that a service manager hands over (LISTEN_FDS) are served, TCP and UDP; with TCP only,
HTTP/3 opens its own at the same port.

Exit codes: 0 it was ended by a signal and everything was answered, 1 it could not be started or
requests were cut off, 2 the arguments are wrong.

Examples:
  portway serve
  portway serve site --listen '[::]:8443' --listen 0.0.0.0:8443 --self-signed --log
  portway serve site --listen 0.0.0.0:443 --cert chain.pem --key key.pem --threads 0
  portway serve --listen 127.0.0.1:0 --self-signed --http 3 --echo")]
pub(crate) struct ServeArguments {
    /// The directory to serve
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Where to listen, repeated for several: without an address on this machine only, with a colon
    /// alone on all of IPv4; port 0 is any free port. 8080, unless sockets were handed over
    #[arg(short, long, value_name = "[ADDR:]PORT", value_parser = listen_address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// The versions of HTTP to speak; 3 needs a certificate. All that can be, unless said otherwise
    #[arg(long, value_enum, value_name = "A,B", value_delimiter = ',')]
    pub(crate) http: Vec<ServedVersion>,
    #[command(flatten)]
    pub(crate) identity: ServerIdentity,
    /// Demand a client's certificate that one in this file vouches for
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Answer for this name only, repeated for several; '*.' stands for one label. Others get 421
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<String>,
    /// Answer at /echo: with a request's content, or with its head when it has none
    #[arg(long)]
    pub(crate) echo: bool,
    /// Tell of every request, and of connections that end badly, on standard error
    #[arg(long)]
    pub(crate) log: bool,
    /// Serve on so many threads, each with sockets of its own; 0 is one a processor
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) threads: u16,
    /// How long requests may go on after a signal
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) drain: Duration,
}

/// A version of HTTP by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServedVersion {
    /// HTTP/1.1
    #[value(name = "1.1")]
    One,
    /// HTTP/2; in cleartext by prior knowledge
    #[value(name = "2")]
    Two,
    /// HTTP/3
    #[value(name = "3")]
    Three,
}
