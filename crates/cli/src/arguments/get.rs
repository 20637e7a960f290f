//! `portway get`: the options that users of curl type, with curl's meaning.

use super::access::AccessArguments;
use super::values::{ResolveArgument, positive_duration};
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args, Debug)]
#[command(
    disable_help_flag = true,
    after_help = "\
Exit codes, as curl has them: 0 it worked, 3 the URL is wrong, 5 the proxy's name was not resolved,
6 the name was not resolved, 7 no connection, 22 --fail and the status is 400 or above, 23 the
output cannot be written, 26 a file to send cannot be read, 28 a time limit, 33 the rest that was
asked for did not come, 35 TLS failed, 47 too many redirects, 56 the answer broke off or breaks the
protocol, or the proxy opened no tunnel, 60 the certificate was not accepted, 61 the content cannot
be decompressed, 97 the SOCKS proxy said no; 1 anything else, 2 the arguments are wrong.

Examples:
  portway get https://example.com/ -v
  portway get -L -O https://example.com/archive.tar.gz
  portway get --json '{\"a\": 1}' https://api.example/things -w '%{http_code}\\n'
  portway get --parallel https://one.example/ https://two.example/ -o one -o two"
)]
pub(crate) struct GetArguments {
    /// What to get: http://... or https://...
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<String>,
    #[command(flatten)]
    pub(crate) request: GetRequest,
    #[command(flatten)]
    pub(crate) output: GetOutput,
    #[command(flatten)]
    pub(crate) transfer: GetTransfer,
    #[command(flatten)]
    pub(crate) trust: GetTrust,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
    /// Tell what happens: the race, the connection, both heads, and how long each phase took
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// What is asked.
#[derive(Args, Debug)]
#[command(next_help_heading = "Request")]
pub(crate) struct GetRequest {
    /// Use this method
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// Send this content with POST; @FILE reads it from there, several are joined by &
    #[arg(short, long, value_name = "DATA", conflicts_with = "json")]
    pub(crate) data: Vec<String>,
    /// Send this JSON with POST; @FILE reads it from there
    #[arg(long, value_name = "JSON")]
    pub(crate) json: Option<String>,
    /// Send a form of several parts with POST: name=text, name=@FILE, name=<FILE, each with
    /// ;type=TYPE and ;filename=NAME if need be
    #[arg(short = 'F', long, value_name = "NAME=CONTENT", conflicts_with_all = ["data", "json"])]
    pub(crate) form: Vec<String>,
    /// Send this file with PUT, or standard input for -; a URL that ends in / takes its name
    #[arg(
        short = 'T',
        long,
        value_name = "FILE",
        conflicts_with_all = ["data", "json", "form", "head"]
    )]
    pub(crate) upload_file: Option<PathBuf>,
    /// Send these cookies, or those of a file that curl or a browser has written
    #[arg(short = 'b', long, value_name = "DATA|FILE")]
    pub(crate) cookie: Vec<String>,
    /// Ask for compressed content, and decompress it
    #[arg(long)]
    pub(crate) compressed: bool,
    /// Send this header field; without a value behind the colon, none of that name
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Ask for the head alone
    #[arg(short = 'I', long, conflicts_with_all = ["data", "json", "form"])]
    pub(crate) head: bool,
    /// Speak this version of HTTP; without, whatever is best of what the server offers
    #[arg(long, value_enum, value_name = "VERSION")]
    pub(crate) http: Option<HttpVersion>,
    /// What may be spoken instead
    #[arg(
        long,
        value_enum,
        default_value = "exact",
        requires = "http",
        value_name = "POLICY"
    )]
    pub(crate) policy: Policy,
}

/// Where the answer goes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct GetOutput {
    /// Write to this file instead of standard output; repeated, one for each URL
    #[arg(short, long, value_name = "FILE", conflicts_with = "remote_name")]
    pub(crate) output: Vec<PathBuf>,
    /// Write to a file named as the last part of the URL
    #[arg(short = 'O', long)]
    pub(crate) remote_name: bool,
    /// Go on where the output file ends
    #[arg(long = "continue", conflicts_with = "continue_at")]
    pub(crate) continues: bool,
    /// Go on behind so many bytes, or where the output file ends for -
    #[arg(short = 'C', long, value_name = "OFFSET")]
    pub(crate) continue_at: Option<String>,
    /// Keep the cookies in this file afterwards; - is standard output
    #[arg(short = 'c', long, value_name = "FILE")]
    pub(crate) cookie_jar: Option<PathBuf>,
    /// Write all that happens to this file, with the time of each line
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Draw no progress bars
    #[arg(short, long)]
    pub(crate) silent: bool,
    /// Write the head of the response too
    #[arg(short, long)]
    pub(crate) include: bool,
    /// A status of 400 or above is a failure, and its content is not written
    #[arg(short, long)]
    pub(crate) fail: bool,
    /// Write this afterwards, with variables such as %{http_code} and %{time_total}
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) write_out: Option<String>,
}

/// How it is fetched.
#[derive(Args, Debug)]
#[command(next_help_heading = "Transfer")]
pub(crate) struct GetTransfer {
    /// Follow redirects
    #[arg(short = 'L', long)]
    pub(crate) location: bool,
    /// Follow so many redirects at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) max_redirs: usize,
    /// Give up a connection that is not there after this time: seconds, or a number with ms, s, m
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub(crate) connect_timeout: Option<Duration>,
    /// Give up a URL after this time, or each try of it with --retry
    #[arg(short, long, value_name = "TIME", value_parser = positive_duration)]
    pub(crate) max_time: Option<Duration>,
    /// Try so many times more after a time limit or a status of 408, 429, 500, 502, 503, 504
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) retry: u32,
    /// Begin no further try of a URL later than so long after the first one
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub(crate) retry_max_time: Option<Duration>,
    /// Get all URLs at the same time
    #[arg(short = 'Z', long)]
    pub(crate) parallel: bool,
    /// Take these addresses for a host, whatever its port, instead of asking for them
    #[arg(long, value_name = "HOST:PORT:ADDRESS[,ADDRESS]...")]
    pub(crate) resolve: Vec<ResolveArgument>,
    /// Connect to this socket of the file system instead of the URL's host, without any proxy
    #[arg(long, value_name = "PATH", conflicts_with = "abstract_unix_socket")]
    pub(crate) unix_socket: Option<PathBuf>,
    /// Connect to this abstract socket of Linux instead of the URL's host, without any proxy
    #[arg(long, value_name = "NAME")]
    pub(crate) abstract_unix_socket: Option<OsString>,
    /// Ask this DNS server and nobody else
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) resolver: Option<SocketAddr>,
}

/// Who is believed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Protection")]
pub(crate) struct GetTrust {
    /// Believe only servers that a certificate in this file vouches for (PEM or DER)
    #[arg(long, alias = "ca", value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) cacert: Option<PathBuf>,
    /// Believe any server: encrypted, but to whom nobody knows
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,
    /// Show this certificate chain if the server asks for one (PEM or DER)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
}

/// A version of HTTP by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HttpVersion {
    /// HTTP/1.1
    #[value(name = "1.1")]
    One,
    /// HTTP/2; in cleartext without asking whether the server speaks it
    #[value(name = "2")]
    Two,
    /// HTTP/3; without asking whether the server offers it
    #[value(name = "3")]
    Three,
}

/// What may be spoken instead of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// Nothing else
    Exact,
    /// A lower one, where the server does not speak that one
    OrLower,
    /// A higher one, where the server offers it
    OrHigher,
}
