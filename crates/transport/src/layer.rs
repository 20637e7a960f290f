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

    /// Whether some of what could be read since this was asked last is early data, which somebody
    /// may have replayed.
    fn take_is_early_data(&mut self) -> bool {
        false
    }

    /// Whether early data was taken, this side's or the peer's; `None` when there was none.
    fn is_early_data_accepted(&self) -> Option<bool> {
        None
    }

    /// Turns plaintext into wire bytes at the end of `out`.
    ///
    /// # Errors
    /// The layer is dead or not ready.
    fn write(&mut self, plaintext: &[&[u8]], out: &mut BytesMut) -> Result<(), Failure>;

    /// As [`ByteLayer::write`], into memory that is used again and again.
    ///
    /// # Errors
    /// As [`ByteLayer::write`].
    fn seal(&mut self, plaintext: &[&[u8]], out: &mut Sealed) -> Result<(), Failure> {
        let mut bytes = BytesMut::new();
        self.write(plaintext, &mut bytes)?;
        out.append(bytes.len(), |room| {
            room.copy_from_slice(&bytes);
            Ok(bytes.len())
        })
    }

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

    /// The peer has the word: a moment to do what a later connection would begin with.
    fn on_waiting(&mut self) {}

    /// Where the layer stands.
    fn status(&self) -> LayerStatus;

    /// What was negotiated, once the handshake is complete; `None` for a layer without protection.
    fn protection(&self) -> Option<Protection> {
        None
    }
}

/// Wire bytes in memory that stays initialised, so that filling it again costs nothing more.
#[derive(Debug, Default)]
pub struct Sealed {
    /// Longer than what it holds.
    memory: Vec<u8>,
    len: usize,
}

impl Sealed {
    /// Nothing, without memory.
    pub const fn new() -> Self {
        Sealed {
            memory: Vec::new(),
            len: 0,
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[..self.len]
    }

    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends what `fill` writes to a room of `bytes`; it says how much that is.
    ///
    /// # Errors
    /// Those of `fill`, and then nothing is appended.
    pub fn append<E>(
        &mut self,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let end = self.len + bytes;
        if self.memory.len() < end {
            self.memory.resize(end, 0);
        }
        self.len += fill(&mut self.memory[self.len..end])?.min(bytes);
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn what_is_sealed_is_what_was_filled_in() {
        let mut sealed = Sealed::new();
        let fill = |byte: u8, count: usize| {
            move |room: &mut [u8]| {
                room[..count].fill(byte);
                Ok::<_, Infallible>(count)
            }
        };
        sealed.append(8, fill(1, 3)).expect("it cannot fail");
        sealed.append(4, fill(2, 4)).expect("it cannot fail");
        assert_eq!(sealed.bytes(), [1, 1, 1, 2, 2, 2, 2]);
        assert_eq!(sealed.append(4, |_| Err("no")), Err("no"));
        assert_eq!(sealed.bytes().len(), 7, "nothing is appended by a failure");
        sealed.clear();
        assert!(sealed.bytes().is_empty());
        sealed.append(2, fill(3, 1)).expect("it cannot fail");
        assert_eq!(sealed.bytes(), [3], "old bytes do not come back");
    }
}
