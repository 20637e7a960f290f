//! One step of rustls's unbuffered interface, the same for both roles.
//!
//! Invariant: whatever rustls hands out (plaintext, records to send) is stored before it is asked
//! for more.

use super::early::{self, Early};
use crate::layer::Sealed;
use bytes::BytesMut;
use rustls::Error;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

/// What to do when plaintext may be sent.
#[derive(Clone, Copy)]
pub(super) enum Task<'a> {
    /// Nothing: only input is looked at.
    Receive,
    /// Encrypt this.
    Encrypt(&'a [u8]),
    /// Say that nothing more will be sent.
    CloseNotify,
}

/// What follows a step.
pub(super) enum Next {
    /// Another step, at once.
    Again,
    /// Nothing before more input comes; the task is done.
    Wait,
    /// The peer has sent close_notify. Another step.
    PeerClosed,
    /// The keys may not protect more.
    Exhausted,
    /// The connection has failed; an alert may be queued.
    Failed(Error),
}

/// Where records that are to be sent are appended.
pub(super) trait Records {
    /// Appends what `fill` writes to a room of `bytes`; it says how much that is. When it fails,
    /// nothing is appended.
    fn append<E>(
        &mut self,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E>;
}

impl Records for BytesMut {
    fn append<E>(
        &mut self,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let start = self.len();
        self.resize(start + bytes, 0);
        let filled = fill(&mut self[start..]);
        self.truncate(start + *filled.as_ref().unwrap_or(&0));
        filled.map(drop)
    }
}

impl Records for Sealed {
    fn append<E>(
        &mut self,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        Sealed::append(self, bytes, fill)
    }
}

/// Handles what rustls said and returns how many bytes of input it consumed.
pub(super) fn take<Data: early::Role>(
    status: UnbufferedStatus<'_, '_, Data>,
    task: Task<'_>,
    (plaintext, early): (&mut BytesMut, &mut Option<Box<Early>>),
    out: &mut impl Records,
) -> (usize, Next) {
    let mut consumed = status.discard;
    let next = match status.state {
        Err(error) => Next::Failed(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    plaintext.extend_from_slice(record.payload);
                    consumed += record.discard;
                }
                Some(Err(error)) => break Next::Failed(error),
                None => break Next::Again,
            }
        },
        Ok(ConnectionState::EncodeTlsData(chunk)) => {
            encode(chunk, out);
            Next::Again
        }
        Ok(ConnectionState::TransmitTlsData(mut sent)) => {
            if let Some(early) = early {
                Data::send(&mut sent, early, out);
            }
            sent.done();
            Next::Again
        }
        Ok(ConnectionState::PeerClosed) => Next::PeerClosed,
        Ok(ConnectionState::WriteTraffic(traffic)) => match perform(traffic, task, out) {
            Ok(()) => Next::Wait,
            Err(Exhausted) => Next::Exhausted,
        },
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Next::Wait,
        Ok(ConnectionState::ReadEarlyData(read)) => match Data::receive(read, early, plaintext) {
            Some(bytes) => {
                consumed += bytes;
                Next::Again
            }
            None => Next::Failed(Error::General("early data from a server".into())),
        },
        Ok(_) => Next::Failed(Error::General("an unknown state of TLS".into())),
    };
    (consumed, next)
}

/// rustls refuses to encrypt.
struct Exhausted;

fn perform<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    task: Task<'_>,
    out: &mut impl Records,
) -> Result<(), Exhausted> {
    match task {
        Task::Receive => Ok(()),
        Task::Encrypt(plaintext) => {
            let estimate = super::record::encrypted_bytes_max(plaintext.len());
            append(out, estimate, |space| traffic.encrypt(plaintext, space))
        }
        Task::CloseNotify => append(out, ALERT_BYTES_MAX, |space| {
            traffic.queue_close_notify(space)
        }),
    }
}

/// Appends what `fill` writes; it is called again if the space was too small.
fn append(
    out: &mut impl Records,
    estimate: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Exhausted> {
    let mut space = estimate;
    loop {
        match out.append(space, &mut fill) {
            Ok(()) => return Ok(()),
            Err(EncryptError::InsufficientSize(error)) if error.required_size > space => {
                space = error.required_size;
            }
            Err(_) => return Err(Exhausted),
        }
    }
}

fn encode<Data>(mut chunk: EncodeTlsData<'_, Data>, out: &mut impl Records) {
    // The first call only asks for the size.
    if let Err(EncodeError::InsufficientSize(error)) = chunk.encode(&mut []) {
        // With that room it succeeds.
        let _ = out.append(error.required_size, |room| chunk.encode(room));
    }
}

/// Suffices for an encrypted alert and a key update that waits before it.
const ALERT_BYTES_MAX: usize = 128;
