//! From arguments to the Preconnection of a client.

use crate::arguments::ResolveArgument;
use crate::arguments::{NetworkArguments, PropertyArgument, SecurityArguments, SecurityLevel};
use crate::error::CommandError;
use portway::security::Trust;
use portway::{Context, RealConfig, RealEnvironment, Security, TransportProperties};
use portway_transport::real::DnsConfig;
use portway_transport::tls::{load_certificates, load_identity};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What connections of this command share.
pub(crate) fn context(network: &NetworkArguments) -> Context {
    context_with(network.resolver)
}

/// The same with this resolver, if there is one.
pub(crate) fn context_with(resolver: Option<SocketAddr>) -> Context {
    context_knowing(resolver, &[])
}

/// The same, which knows these hosts without asking.
pub(crate) fn context_knowing(resolver: Option<SocketAddr>, known: &[ResolveArgument]) -> Context {
    let mut dns = match resolver {
        Some(server) => DnsConfig::servers([server]),
        None => DnsConfig::default(),
    };
    for host in known {
        dns = dns.with_host(&*host.host, host.addresses.iter().copied());
    }
    let config = RealConfig::default().with_dns(dns);
    Context::new(Arc::new(RealEnvironment::new(config)))
}

/// Waits a little for the peers of QUIC to be told of the end: they would wait for their whole idle
/// time otherwise.
pub(crate) async fn say_goodbye(context: &Context) {
    let _ = tokio::time::timeout(GOODBYE, context.quic_closed()).await;
}

/// The protection that was asked for.
pub(crate) fn security(arguments: &SecurityArguments) -> Result<Security, CommandError> {
    let mut security = match arguments.security {
        SecurityLevel::Tls => Security::tls(),
        SecurityLevel::Opportunistic => Security::opportunistic(),
        SecurityLevel::None => {
            return match arguments.tls_only_argument() {
                None => Ok(Security::disabled()),
                Some(name) => Err(CommandError::usage(format!(
                    "{name} has no meaning with --security none"
                ))),
            };
        }
    };
    if let Some(file) = &arguments.ca {
        security = security.with_roots(load_certificates(file)?);
    }
    if arguments.insecure {
        security = security.with_trust(Trust::DangerousAnyone);
    }
    if let (Some(cert), Some(key)) = (&arguments.cert, &arguments.key) {
        security = security.with_identity(load_identity(cert, key)?);
    }
    if let Some(name) = &arguments.server_name {
        security = security.with_server_name(name);
    }
    Ok(security.with_alpn(arguments.alpn.iter().map(String::as_str)))
}

/// Sets what was asked for by name.
pub(crate) fn set_properties(
    mut properties: TransportProperties,
    arguments: &[PropertyArgument],
) -> Result<TransportProperties, CommandError> {
    for argument in arguments {
        properties
            .set(argument.name.as_str(), argument.value.as_str())
            .map_err(|error| CommandError::usage(error.to_string()))?;
    }
    Ok(properties)
}

/// Longer than a connection is kept for the last words of its peer.
const GOODBYE: Duration = Duration::from_millis(1500);
