//! Capsules on the data stream of a request (RFC 9297 §3).
//!
//! Invariant: a capsule that was cut off is an error at both ends; a long one is handed through in
//! pieces and never collected.

use bytes::{Bytes, BytesMut};
use portway_h3::SendError;
use portway_h3::capsule::{self, Capsule, CapsuleType, Decoder};
use portway_h3::error::StreamError;
use portway_h3::frame::Treatment;

use super::body::{ReceiveBody, SendBody};

/// The capsules that come in.
#[derive(Debug)]
pub struct ReceiveCapsules {
    body: ReceiveBody,
    decoder: Decoder,
    input: Bytes,
    whole_bytes_max: usize,
}

impl ReceiveCapsules {
    /// The capsules of `body`. Those of at most `whole_bytes_max` bytes are given whole, longer
    /// ones in pieces as they come.
    pub fn new(body: ReceiveBody, whole_bytes_max: usize) -> Self {
        ReceiveCapsules {
            body,
            decoder: Decoder::default(),
            input: Bytes::new(),
            whole_bytes_max,
        }
    }

    /// The next capsule of whatever type, or a piece of one; `None` at the end.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// Why the stream is cut off, or that it ends within a capsule.
    pub async fn next(&mut self) -> Option<Result<Capsule, StreamError>> {
        loop {
            let whole_bytes_max = self.whole_bytes_max as u64;
            let decoded =
                self.decoder
                    .decode(&mut self.input, |_, len| match len <= whole_bytes_max {
                        true => Treatment::Collect,
                        false => Treatment::Stream,
                    });
            if let Some(capsule) = decoded {
                return Some(Ok(capsule));
            }
            match self.body.data().await {
                Some(Ok(data)) => self.input = data,
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    let finished = self.decoder.finish();
                    // It is told once.
                    self.decoder = Decoder::default();
                    return finished.err().map(Err);
                }
            }
        }
    }
}

/// The capsules that go out.
///
/// Dropping it before [`SendCapsules::finish`] resets the stream.
#[derive(Debug)]
pub struct SendCapsules {
    body: SendBody,
    /// How much of a capsule that was begun is missing.
    missing: usize,
}

impl SendCapsules {
    /// Capsules into `body`.
    pub fn new(body: SendBody) -> Self {
        SendCapsules { body, missing: 0 }
    }

    /// Sends a whole capsule as soon as there is room.
    ///
    /// Cancel safety: a future that is dropped has sent nothing.
    ///
    /// # Errors
    /// As [`SendBody::send_data`]; another capsule is not complete.
    pub async fn send(&mut self, ty: CapsuleType, value: &[u8]) -> Result<(), SendError> {
        self.check_between()?;
        self.body.send_data(capsule::encode(ty, value)).await
    }

    /// Begins a capsule of `len` bytes, which [`SendCapsules::value`] sends.
    ///
    /// Cancel safety: a future that is dropped has sent nothing.
    ///
    /// # Errors
    /// As [`SendCapsules::send`].
    pub async fn begin(&mut self, ty: CapsuleType, len: usize) -> Result<(), SendError> {
        self.check_between()?;
        let mut header = BytesMut::with_capacity(16);
        capsule::encode_header(ty, len, &mut header);
        self.body.send_data(header.freeze()).await?;
        self.missing = len;
        Ok(())
    }

    /// Sends a piece of the value of the capsule that was begun.
    ///
    /// Cancel safety: a future that is dropped has sent nothing.
    ///
    /// # Errors
    /// As [`SendBody::send_data`]; the capsule would be longer than was said.
    pub async fn value(&mut self, piece: Bytes) -> Result<(), SendError> {
        let len = piece.len();
        if len > self.missing {
            return Err(SendError::OutOfOrder("more than the capsule's length"));
        }
        self.body.send_data(piece).await?;
        self.missing -= len;
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// A capsule is not complete, or the stream is over.
    pub fn finish(self) -> Result<(), SendError> {
        self.check_between()?;
        self.body.finish()
    }

    fn check_between(&self) -> Result<(), SendError> {
        match self.missing {
            0 => Ok(()),
            _ => Err(SendError::OutOfOrder("the capsule before is not complete")),
        }
    }
}
