//! A key that tells whether it has opened a packet.
//!
//! Invariant: what it does is what the key inside does.

use bytes::BytesMut;
use quinn_proto::crypto::{CryptoError, PacketKey};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// The key of the peer's packets of one level.
pub(super) struct Opening {
    key: Box<dyn PacketKey>,
    has_opened: Arc<AtomicBool>,
}

impl Opening {
    /// Sets `has_opened` with the first packet that is authentic.
    pub(super) fn new(key: Box<dyn PacketKey>, has_opened: Arc<AtomicBool>) -> Self {
        Opening { key, has_opened }
    }
}

impl PacketKey for Opening {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        self.key.encrypt(packet, buf, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        self.key.decrypt(packet, header, payload)?;
        self.has_opened.store(true, Relaxed);
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.key.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.key.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.key.integrity_limit()
    }
}
