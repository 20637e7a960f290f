//! What a handshake has negotiated, in portway's words.
//!
//! Invariant: nothing is told before the handshake is complete, unless early data is all that it
//! is told about.

use portway_core::security::{Group, Protection, TlsVersion};
use rustls::{CipherSuite, CommonState, HandshakeKind, ProtocolVersion};

/// The protection of a connection whose handshake is complete.
pub(super) fn describe(common: &CommonState, server_name: Option<&str>) -> Option<Protection> {
    if common.is_handshaking() {
        return None;
    }
    describe_now(common, server_name)
}

/// What a server has settled that takes early data: everything but that its client is there.
pub(super) fn describe_early(
    common: &CommonState,
    server_name: Option<&str>,
) -> Option<Protection> {
    common.alpn_protocol()?;
    describe_now(common, server_name)
}

/// What is settled by now, whether the handshake is complete or not.
pub(super) fn describe_now(common: &CommonState, server_name: Option<&str>) -> Option<Protection> {
    let version = match common.protocol_version()? {
        ProtocolVersion::TLSv1_3 => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    };
    let suite = common.negotiated_cipher_suite()?.suite();
    let mut protection = Protection::new(version, name(suite));
    protection.group = common.negotiated_key_exchange_group().map(|group| {
        match Group::from_code(group.name().into()) {
            Some(known) => known.as_str().to_owned(),
            None => format!("{:?}", group.name()),
        }
    });
    protection.alpn = common.alpn_protocol().map(<[u8]>::to_vec);
    protection.peer_certificates = common.peer_certificates().unwrap_or_default().to_vec();
    protection.server_name = server_name.map(str::to_owned);
    protection.is_resumed = common.handshake_kind() == Some(HandshakeKind::Resumed);
    Some(protection)
}

/// A suite's registered name; rustls marks those of TLS 1.3 by a name of its own.
fn name(suite: CipherSuite) -> String {
    let known = suite.as_str();
    match known.map(|name| (name, name.strip_prefix("TLS13_"))) {
        Some((_, Some(name))) => ["TLS_", name].concat(),
        Some((name, None)) => name.to_owned(),
        None => format!("{suite:?}"),
    }
}
