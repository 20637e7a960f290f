//! A leaf of a race over QUIC.
//!
//! Invariant: as for every leaf, what comes back has its security class.

use super::early::{EarlySend, EarlyStream};
use super::{QuicCarrier, crypto};
use crate::context::Context;
use crate::driver::ProgressSink;
use crate::environment::{TcpOptions, UdpBind};
use crate::established::{Carrier, Established};
use crate::quic::{
    ClientConfig, Connecting, Connection, ConnectionError, Endpoint, EndpointOptions,
};
use crate::tls::{EarlyData, restock_key_shares};
use portway_core::race::{Leaf, Progress};
use portway_core::security::TlsParameters;
use portway_core::stack::CarrierKind;
use portway_core::{Failure, FailureKind, Origin};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;

/// How a leaf is connected.
pub(crate) struct Connect<'a> {
    /// The address to bind, when it was fixed.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: &'a TlsParameters,
    pub(crate) options: &'a TcpOptions,
    pub(crate) progress: Option<&'a ProgressSink>,
    /// What may leave before the handshake is complete.
    pub(crate) early: Option<&'a EarlySend>,
}

/// Connects a leaf.
pub(crate) async fn connect(
    context: &Context,
    leaf: Leaf,
    connect: Connect<'_>,
) -> Result<Established, Failure> {
    let Connect {
        local,
        tls,
        options,
        progress,
        early,
    } = connect;
    let environment = context.environment();
    let mut bind = UdpBind::to(leaf.remote);
    if let Some(local) = local {
        bind.local = local;
    }
    bind.path = leaf.path;
    bind.dscp = options.dscp;
    let endpoint = Endpoint::bind(environment.clone(), bind, &EndpointOptions::default(), None)?;
    context.watch_endpoint(&endpoint);
    let (host, ip) = (leaf.host_name.as_deref(), leaf.remote.ip());
    let is_datagrams = context
        .stack(&leaf.stack)
        .is_some_and(|stack| stack.carrier == CarrierKind::Datagrams);
    let early = early.filter(|_| !is_datagrams);
    // Without something to send early, the hello does not ask for it.
    let early_data = match early {
        Some(_) => EarlyData::Allowed,
        None => EarlyData::Refused,
    };
    let tls = context
        .tls()
        .quic_client(tls, host, ip, &leaf.alpn, early_data)?;
    let name = tls.server_name();
    let mut config = ClientConfig::new(crypto::client(tls));
    config.transport.times.keep_alive = options.keep_alive.flatten();
    {
        let history = context.history();
        if let Some(rtt) = history.rtts.get(&leaf.remote.ip()) {
            config.transport.times.initial_rtt = *rtt;
        }
        // RFC 9000 §8.1.3: a token of another network would tell the server who comes from there.
        config.tokens = Some(history.address_tokens());
    }
    let connecting = endpoint
        .connect(&config, leaf.remote, &name)
        .map_err(|error| error.failure())?;
    let unready = connecting.connection();
    // RFC 9623 §5.3: each leaf sends the same early data, protected by a ticket of its own.
    let begun = early.and_then(|early| EarlyStream::begin(unready.as_ref()?, early));
    let connection = handshake(connecting, progress).await.map_err(|error| {
        let failure = unready
            .as_ref()
            .map(|early| crypto::failure_of(early, &error));
        named(failure.unwrap_or_else(|| error.failure()), &leaf)
    })?;
    if let Some(progress) = progress {
        let rtt = Some(connection.rtt());
        progress.report(Progress::TransportConnected { rtt });
    }
    let protection = crypto::protection(&connection);
    let mut quic = QuicCarrier::new(environment, &endpoint, connection);
    if quic.connection().is_early_data_accepted() == Some(true) {
        quic.early = begun;
    }
    if is_datagrams && quic.connection().datagram_size_max().is_none() {
        return Err(Failure::new(
            Origin::Quic,
            FailureKind::Unsupported,
            format!("{} takes no datagrams", leaf.remote),
        ));
    }
    Ok(Established {
        carrier: match is_datagrams {
            true => Carrier::Datagrams(quic.datagrams(None)),
            false => Carrier::Quic(quic),
        },
        protection: Some(protection),
        leaf,
    })
}

/// Waits for the handshake and tells when the peer has answered at all.
async fn handshake(
    mut connecting: Connecting,
    progress: Option<&ProgressSink>,
) -> Result<Connection, ConnectionError> {
    // The first flight leaves, and then the server has the word.
    tokio::task::yield_now().await;
    restock_key_shares();
    let mut is_answered = progress.is_none();
    poll_fn(|context| {
        let polled = Pin::new(&mut connecting).poll(context);
        if polled.is_pending()
            && !is_answered
            && connecting.poll_answered(context).is_ready()
            && let Some(progress) = progress
        {
            is_answered = true;
            progress.report(Progress::PeerAnswered);
        }
        polled
    })
    .await
}

/// Says whom it was about.
fn named(mut failure: Failure, leaf: &Leaf) -> Failure {
    failure.detail = format!("cannot connect to {}: {}", leaf.remote, failure.detail);
    failure
}
