//! Bytes of a hostile peer through the TLS layer of either role.
//!
//! Invariant: no panic, and nothing is held beyond the handshake's limit.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use portway_core::SecurityParameters;
use portway_transport::layer::ByteLayer;
use portway_transport::tls::{TlsEngine, TlsLayer, self_signed};
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

fuzz_target!(|input: (bool, u8, Vec<u8>)| {
    let (is_client, piece, bytes) = input;
    let mut layer = layer(is_client);
    let (mut wire, mut out) = (BytesMut::new(), BytesMut::new());
    layer.start(&mut out).expect("a first flight");
    for piece in bytes.chunks(usize::from(piece).max(1)) {
        wire.extend_from_slice(piece);
        if layer.on_wire(&mut wire, &mut out).is_err() {
            return;
        }
        assert!(
            wire.len() <= bytes.len() && out.len() < 1 << 20,
            "grows without a limit"
        );
    }
    // A truncated stream is told as such, or was never begun.
    let _ = layer.on_end();
});

fn layer(is_client: bool) -> TlsLayer {
    static SETUP: OnceLock<(TlsEngine, SecurityParameters)> = OnceLock::new();
    let (engine, parameters) = SETUP.get_or_init(|| {
        let identity = self_signed(&["localhost".to_owned()]).expect("an identity");
        (
            TlsEngine::new(),
            SecurityParameters::tls().with_identity(Arc::new(identity)),
        )
    });
    let tls = parameters.tls_parameters().expect("protected");
    let made = match is_client {
        true => engine.client(tls, Some("localhost"), Ipv4Addr::LOCALHOST.into(), &[]),
        false => engine.server(tls, &[]),
    };
    made.expect("a layer")
}
