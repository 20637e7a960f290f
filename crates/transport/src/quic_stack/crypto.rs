//! TLS of a QUIC connection: from parameters to what the driver takes, and back to what was
//! negotiated.
//!
//! Invariant: QUIC has the guarantees of TLS 1.3 with the same parameters (RFC 9001 §4).

use crate::quic::{ClientCrypto, Connection, ConnectionError, ServerCrypto};
use crate::tls::{QuicClientTls, QuicServerTls};
use portway_core::Failure;
use portway_core::security::{Protection, TlsVersion};
use std::sync::Arc;

pub(super) fn client(tls: Arc<QuicClientTls>) -> ClientCrypto {
    ClientCrypto::new(tls)
}

pub(super) fn server(tls: Arc<QuicServerTls>) -> ServerCrypto {
    ServerCrypto::new(tls)
}

/// What was negotiated. A server that has handed a connection over with early data knows it
/// before the handshake is complete.
pub(crate) fn protection(connection: &Connection) -> Protection {
    let handshake = connection.handshake();
    let negotiated = handshake.and_then(|it| it.protection.or(it.early_protection));
    // A connection that was not made by an engine tells no more than that.
    negotiated.unwrap_or_else(|| Protection::new(TlsVersion::Tls13, ""))
}

/// Why a handshake failed, in TLS's own words where TLS has ended it.
pub(crate) fn failure_of(connection: &Connection, error: &ConnectionError) -> Failure {
    let handshake = connection.handshake();
    let words = handshake.and_then(|handshake| match error {
        ConnectionError::TransportClosedLocally { .. } => handshake.failure,
        ConnectionError::TransportClosedByPeer { code, .. } => handshake.peer_failure(*code),
        _ => None,
    });
    words.unwrap_or_else(|| error.failure())
}
