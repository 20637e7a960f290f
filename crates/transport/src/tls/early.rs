//! Early data of one TLS connection over a byte carrier: what a client says before the handshake is
//! complete, and what a server has heard by then.
//!
//! Invariant: what a client has sent early counts as sent only when the server has taken it;
//! whoever reads what a server has received early can know that it was.

use super::record;
use super::step::Records;
use bytes::{Buf, Bytes, BytesMut};
use rustls::client::ClientConnectionData;
use rustls::server::ServerConnectionData;
use rustls::unbuffered::{ReadEarlyData, TransmitTlsData};

/// What leaves or arrives early.
#[derive(Debug)]
pub(super) enum Early {
    /// A client's.
    Leaving {
        /// What has not left.
        rest: Bytes,
        /// Whether some has.
        has_left: bool,
        /// Whether the server has taken it; false until that is known.
        is_taken: bool,
    },
    /// A server's.
    Arrived {
        /// Whether some has come that nobody was told about.
        is_untold: bool,
    },
}

impl Early {
    pub(super) fn leaving(data: Bytes) -> Self {
        Early::Leaving {
            rest: data,
            has_left: false,
            is_taken: false,
        }
    }

    /// The client's handshake is complete; `flight` is what it has sent last.
    pub(super) fn on_handshake_complete(&mut self, flight: &[u8]) {
        if let Early::Leaving {
            has_left, is_taken, ..
        } = self
        {
            *is_taken = *has_left && record::ends_early_data(flight);
        }
    }

    /// Whether it was taken, by this side or by the peer; `None` when there was none.
    pub(super) fn is_accepted(&self) -> Option<bool> {
        match self {
            Early::Leaving {
                has_left, is_taken, ..
            } => has_left.then_some(*is_taken),
            Early::Arrived { .. } => Some(true),
        }
    }

    /// Whether a server has received some.
    pub(super) fn has_arrived(&self) -> bool {
        matches!(self, Early::Arrived { .. })
    }

    /// What a client still has to send of its early data, when the server has taken the rest.
    pub(super) fn rest(&self) -> Option<Bytes> {
        match self {
            Early::Leaving { rest, is_taken, .. } => is_taken.then(|| rest.clone()),
            Early::Arrived { .. } => None,
        }
    }

    /// Whether a server has received some since this was asked last.
    pub(super) fn take_is_untold(&mut self) -> bool {
        match self {
            Early::Leaving { .. } => false,
            Early::Arrived { is_untold } => std::mem::take(is_untold),
        }
    }
}

/// What a connection of one role does with early data.
pub(super) trait Role: Sized {
    /// The first flight is about to leave, and early data may go with it.
    fn send(sent: &mut TransmitTlsData<'_, Self>, early: &mut Early, out: &mut impl Records);

    /// Early data has come, which goes to the end of `plaintext`. Says how much of the input it has
    /// consumed, or nothing when this role receives none.
    fn receive(
        read: ReadEarlyData<'_, '_, Self>,
        early: &mut Option<Box<Early>>,
        plaintext: &mut BytesMut,
    ) -> Option<usize>;
}

impl Role for ClientConnectionData {
    fn send(sent: &mut TransmitTlsData<'_, Self>, early: &mut Early, out: &mut impl Records) {
        let Early::Leaving { rest, has_left, .. } = early else {
            return;
        };
        let Some(mut encrypter) = sent.may_encrypt_early_data() else {
            return;
        };
        if *has_left || rest.is_empty() {
            return;
        }
        let piece = &rest[..rest.len().min(LEAVING_BYTES_MAX)];
        let room = record::encrypted_bytes_max(piece.len());
        let mut written = 0;
        // RFC 8446 §4.2.10: no more leaves than the ticket allows; rustls counts, and says what it
        // has written, which is one record.
        let outcome = out.append(room, |space| {
            written = encrypter.encrypt(piece, space).map_err(drop)?;
            Ok::<_, ()>(written)
        });
        let taken = record::plaintext_bytes(written);
        if outcome.is_ok() && taken > 0 {
            rest.advance(taken);
            *has_left = true;
        }
    }

    fn receive(
        _: ReadEarlyData<'_, '_, Self>,
        _: &mut Option<Box<Early>>,
        _: &mut BytesMut,
    ) -> Option<usize> {
        None
    }
}

impl Role for ServerConnectionData {
    fn send(_: &mut TransmitTlsData<'_, Self>, _: &mut Early, _: &mut impl Records) {}

    fn receive(
        mut read: ReadEarlyData<'_, '_, Self>,
        early: &mut Option<Box<Early>>,
        plaintext: &mut BytesMut,
    ) -> Option<usize> {
        *early = Some(Box::new(Early::Arrived { is_untold: true }));
        let mut consumed = 0;
        // rustls ends a connection whose client sends more than its ticket allows.
        while let Some(Ok(record)) = read.next_record() {
            plaintext.extend_from_slice(record.payload);
            consumed += record.discard;
        }
        Some(consumed)
    }
}

/// What a ticket of ours lets its client send early, and so what a server keeps of it.
pub(super) const EARLY_BYTES_MAX: u32 = 16 * 1024;

/// What a client sends early, in one record. RFC 8446 §4.2.10: a server that refuses early data
/// skips as much of it as it would take at most. rustls counts that after encryption, and again
/// each time it is asked before the client's Finished is there, at least three times; eight are
/// allowed for. One that takes none any more skips as much as fits here.
const LEAVING_BYTES_MAX: usize = EARLY_BYTES_MAX as usize / 8 - record::PROTECTION_BYTES;
