//! What can be said on the command line.
//!
//! Invariant: everything that one argument alone can get wrong is refused here, with exit code 2;
//! what several contradict in is refused where they are used, likewise.

mod access;
mod connect;
mod demo;
mod explain;
mod get;
mod identity;
mod listen;
mod quic_perf;
mod security;
mod serve;
mod values;

pub(crate) use access::AccessArguments;
pub(crate) use connect::{ConnectArguments, NetworkArguments};
pub(crate) use demo::DemoArguments;
pub(crate) use explain::ExplainArguments;
pub(crate) use get::{GetArguments, GetOutput, GetRequest, GetTransfer, HttpVersion, Policy};
pub(crate) use listen::{ListenArguments, ListenLevel, ListenSecurity, Protocol};
pub(crate) use quic_perf::{PerfClient, PerfRole, PerfServer, QuicPerfArguments};
pub(crate) use security::{SecurityArguments, SecurityLevel};
pub(crate) use serve::{ServeArguments, ServedVersion};
pub(crate) use values::{Framing, PropertyArgument, ResolveArgument};

use clap::{Parser, Subcommand};

/// Say what a connection needs; portway finds the protocol and the path.
#[derive(Debug, Parser)]
#[command(
    name = "portway",
    version,
    arg_required_else_help = true,
    after_help = "\
Exit codes: 0 it worked, 1 it did not, 2 the arguments are wrong; get has those of curl.
Each command has examples: portway help COMMAND"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what would be tried and why, then try it and tell how it went
    Explain(ExplainArguments),
    /// Connect, and join the connection to standard input and output
    Connect(ConnectArguments),
    /// Get URLs over HTTP, with the options of curl
    Get(Box<GetArguments>),
    /// Accept connections: one for standard input and output, or any number to echo
    Listen(ListenArguments),
    /// Serve a directory over HTTP/1.1, 2 and 3
    Serve(ServeArguments),
    /// Show all of it on this machine: names, a dead address family, a race, a file
    Demo(DemoArguments),
    /// Measure QUIC between two machines: throughput and requests
    QuicPerf(QuicPerfArguments),
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
