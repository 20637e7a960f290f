//! Sans-IO byte layers: what stands between a byte carrier and the framers.
//!
//! Invariant: a layer that is taken off gives back every byte that was read and not consumed;
//! whoever takes it off decides whether such bytes are passed on or refused.

use bytes::{Bytes, BytesMut};
use portway_core::Failure;
use portway_core::security::Protection;

/// One layer of a stack: TLS, later a proxy's handshake.
///
/// Bytes from the wire go in with [`ByteLayer::on_wire`]; plaintext comes out with
/// [`ByteLayer::read`]. Plaintext goes in with [`ByteLayer::write`]; wire bytes come out in the
/// buffer that is passed along. A layer never blocks and knows no time.
pub trait ByteLayer: Send {
    /// Consumes what it can of `wire` and leaves the rest for the next call, which must find it
    /// there unchanged, with more at its end. Anything that must be answered (handshake, key
    /// update, alert) is appended to `out`, alerts even on failure.
    ///
    /// # Errors
    /// The peer broke the layer's rules or was not acceptable. The layer is then dead.
    fn on_wire(&mut self, wire: &mut BytesMut, out: &mut BytesMut) -> Result<(), Failure>;

    /// As [`ByteLayer::on_wire`], and appends what can be read then to `plaintext`.
    ///
    /// # Errors
    /// As [`ByteLayer::on_wire`]; what was readable before is in `plaintext` all the same.
    fn on_wire_into(
        &mut self,
        wire: &mut BytesMut,
        plaintext: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<(), Failure> {
        let outcome = self.on_wire(wire, out);
        while let Some(bytes) = self.read(usize::MAX) {
            plaintext.extend_from_slice(&bytes);
        }
        outcome
    }

    /// Appends wire bytes that are due without input, such as the first flight.
    ///
    /// # Errors
    /// As [`ByteLayer::on_wire`].
    fn start(&mut self, out: &mut BytesMut) -> Result<(), Failure>;

    /// Plaintext that has arrived, up to `max` bytes, or `None` when nothing is there.
    fn read(&mut self, max: usize) -> Option<Bytes>;

    /// Turns plaintext into wire bytes at the end of `out`.
    ///
    /// # Errors
    /// The layer is dead or not ready.
    fn write(&mut self, plaintext: &[&[u8]], out: &mut BytesMut) -> Result<(), Failure>;

    /// Appends this layer's orderly end of the sending direction, such as close_notify.
    fn close(&mut self, out: &mut BytesMut);

    /// The carrier has ended. Called once, after the last [`ByteLayer::on_wire`].
    ///
    /// # Errors
    /// The peer had not ended its direction in this layer's own way, so data may be missing. What
    /// was decrypted before can still be read.
    fn on_end(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Where the layer stands.
    fn status(&self) -> LayerStatus;

    /// What was negotiated, once the handshake is complete; `None` for a layer without protection.
    fn protection(&self) -> Option<Protection> {
        None
    }
}

/// Where a layer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerStatus {
    /// The handshake goes on; nothing can be written.
    Handshaking,
    /// Plaintext flows both ways.
    Ready,
    /// The peer has ended its direction in an orderly way.
    PeerClosed,
    /// The layer failed and cannot be used.
    Failed,
}
