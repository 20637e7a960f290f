//! `portway explain`.

use super::connect::NetworkArguments;
use super::{SecurityArguments, SecurityLevel};
use clap::Args;
use portway::RemoteEndpoint;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  portway explain example.com
  portway explain example.com --port 8443 --alpn h2 --svg race.svg
  portway explain example.com --dry-run --property interface=require:eth0
  portway explain example.com --record race.json
  portway explain --replay race.json --json")]
pub(crate) struct ExplainArguments {
    /// Which host: a name or an address, with a port behind it or not
    #[arg(value_name = "HOST", required_unless_present = "replay")]
    pub(crate) host: Option<String>,
    /// The port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// The service: https unless a port is given, http with --security none
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Plan and resolve, but connect to nothing
    #[arg(long, conflicts_with_all = ["record", "replay", "svg"])]
    pub(crate) dry_run: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the race's waterfall to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write everything that decided the race to this file
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,
    /// Run the race of this file again, without a network
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) security: SecurityArguments,
    #[command(flatten)]
    pub(crate) network: NetworkArguments,
    /// Tell every decision of the race as it is made
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl ExplainArguments {
    /// The remote endpoint, or why there is none.
    pub(crate) fn remote(&self) -> Result<RemoteEndpoint, String> {
        let host = self.host.as_deref().unwrap_or_default();
        let is_plain = self.port.is_none() && self.service.is_none();
        let endpoint = match (host.parse::<RemoteEndpoint>(), self.port, &self.service) {
            (Ok(endpoint), None, None) => endpoint,
            (Ok(_), ..) => return Err("the port is given twice".to_owned()),
            (Err(_), port, service) => {
                let mut endpoint = RemoteEndpoint::host_name(host);
                if let Some(port) = port {
                    endpoint = endpoint.port(port);
                }
                if let Some(service) = service {
                    endpoint = endpoint.service(service);
                }
                match (is_plain, self.security.security) {
                    (false, _) => endpoint,
                    (true, SecurityLevel::None) => endpoint.service("http"),
                    (true, _) => endpoint.service("https"),
                }
            }
        };
        endpoint.validate().map_err(|error| error.to_string())?;
        Ok(endpoint)
    }
}
