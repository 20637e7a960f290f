//! Listening for QUIC.
//!
//! Invariant: what is handed over has completed its handshake, or has brought early data that was
//! asked for.

use super::crypto;
use crate::context::Context;
use crate::environment::UdpBind;
use crate::listen::ListenLimits;
use crate::quic::{Endpoint, EndpointOptions, ServerConfig};
use crate::tls::EarlyData;
use portway_core::Failure;
use portway_core::security::TlsParameters;
use portway_core::stack::StackDescriptor;
use std::net::SocketAddr;

/// Opens an endpoint that accepts connections of `stack`.
pub(crate) fn bind(
    context: &Context,
    stack: &StackDescriptor,
    local: SocketAddr,
    tls: &TlsParameters,
    limits: &ListenLimits,
    early_data: EarlyData,
) -> Result<Endpoint, Failure> {
    let alpn = stack.carried(&tls.alpn);
    let tls = context.tls().quic_server(tls, &alpn, early_data)?;
    let mut config = ServerConfig::new(crypto::server(tls));
    config.transport.times.handshake = limits.handshake_timeout;
    // Early data that waited for the rest of the handshake would have gained nothing.
    config.hands_over_early = early_data == EarlyData::Allowed;
    config.incoming.backlog = limits.pending_max.max(1);
    let bind = UdpBind::on(local);
    let environment = context.environment().clone();
    let options = EndpointOptions::default();
    let endpoint = Endpoint::bind(environment, bind, &options, Some(config))?;
    context.watch_endpoint(&endpoint);
    Ok(endpoint)
}
