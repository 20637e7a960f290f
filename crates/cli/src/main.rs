//! The portway command: `explain`, `connect`, `get`, `listen`, `serve`, `demo` and `quic-perf`.
//!
//! Invariant: every way out goes through [`main`], which alone decides the exit code.

mod arguments;
mod client;
mod connect;
mod demo;
mod echo;
mod error;
mod explain;
mod get;
mod listen;
mod message_mode;
mod output;
mod quic_perf;
mod serve;
mod session;
mod waterfall;

use arguments::{Arguments, Command};
use clap::Parser;
use error::{CommandError, EXIT_USAGE};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output, which may be closed: not our failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE));
        }
    };
    match run(arguments.command) {
        Ok(()) | Err(CommandError::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            ExitCode::from(error.code())
        }
    }
}

fn run(command: Command) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::failed(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Explain(arguments) => explain::run(arguments).await,
            Command::Connect(arguments) => connect::run(arguments).await,
            Command::Get(arguments) => get::run(*arguments).await,
            Command::Listen(arguments) => listen::run(arguments).await,
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::QuicPerf(arguments) => quic_perf::run(arguments).await,
        }
    });
    // A read of standard input cannot be taken back, so nobody waits for it.
    runtime.shutdown_background();
    outcome
}
