//! Collects values of binary protocols and sends them over a connection.

use super::WriteError;
use super::number::LengthPrefix;
use crate::connection::Connection;
use crate::error::{SendError, TrySendError};
use crate::receipt::Receipt;
use bytes::{Bytes, BytesMut};
use portway_core::framer::ByteOrder;
use portway_core::message::{Message, MessageContext};
use std::future::poll_fn;

impl Connection {
    /// A writer of numbers, texts and slices to this connection. With framers, every
    /// [`BinaryWriter::store`] is one message.
    pub fn binary_writer(&self) -> BinaryWriter {
        BinaryWriter {
            connection: self.clone(),
            unstored: BytesMut::new(),
            order: ByteOrder::Big,
            buffer_bytes_max: BUFFER_BYTES_MAX,
            last: None,
        }
    }
}

/// Collects numbers, texts and slices, and sends them as the bytes of a connection.
///
/// What is written waits here until [`BinaryWriter::store`] hands it to the connection. A writer
/// that is dropped drops what it holds; [`BinaryWriter::detach`] gives it back.
///
/// See [`BinaryReader`](super::BinaryReader) for an example.
#[derive(Debug)]
pub struct BinaryWriter {
    connection: Connection,
    /// What was written and not stored.
    unstored: BytesMut,
    order: ByteOrder,
    buffer_bytes_max: usize,
    /// Of what was stored last; sends complete in their order.
    last: Option<Receipt>,
}

impl BinaryWriter {
    /// Limits what waits to be stored; 1 MiB unless said.
    #[must_use]
    pub fn with_buffer_bytes_max(mut self, bytes: usize) -> Self {
        self.buffer_bytes_max = bytes;
        self
    }

    /// The order of the bytes of numbers from now on; big-endian unless said.
    pub fn set_byte_order(&mut self, order: ByteOrder) {
        self.order = order;
    }

    /// The order of the bytes of numbers.
    pub fn byte_order(&self) -> ByteOrder {
        self.order
    }

    /// The connection below.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// How many bytes were written and not stored.
    pub fn unstored_len(&self) -> usize {
        self.unstored.len()
    }

    /// What was written and not stored.
    pub fn unstored(&self) -> &[u8] {
        &self.unstored
    }

    /// Writes `bytes`.
    ///
    /// # Errors
    /// [`WriteError::BufferFull`].
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.put(&[bytes])
    }

    /// Writes `text` as UTF-8. How many bytes it takes is `text.len()`.
    ///
    /// # Errors
    /// [`WriteError::BufferFull`].
    pub fn write_str(&mut self, text: &str) -> Result<(), WriteError> {
        self.put(&[text.as_bytes()])
    }

    /// Writes how many `bytes` there are, and then the bytes.
    ///
    /// # Errors
    /// [`WriteError::TooLongForPrefix`] or [`WriteError::BufferFull`].
    pub fn write_prefixed<P: LengthPrefix>(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let Some((prefix, count)) = P::encode(bytes.len(), self.order) else {
            return Err(WriteError::TooLongForPrefix {
                bytes: bytes.len(),
                prefix_bits: 8 * P::BYTES,
            });
        };
        self.put(&[&prefix[..count], bytes])
    }

    /// Writes how many bytes of UTF-8 `text` takes, and then the text.
    ///
    /// # Errors
    /// [`WriteError::TooLongForPrefix`] or [`WriteError::BufferFull`].
    pub fn write_prefixed_str<P: LengthPrefix>(&mut self, text: &str) -> Result<(), WriteError> {
        self.write_prefixed::<P>(text.as_bytes())
    }

    /// Hands what was written to the connection, which sends it in order, and says how many bytes
    /// that were. Waits while the connection has no room.
    ///
    /// Cancel safety: what was not handed over is still here when the future is dropped.
    ///
    /// # Errors
    /// [`WriteError::Send`]; what was written is still here.
    pub async fn store(&mut self) -> Result<usize, WriteError> {
        let count = self.unstored.len();
        if count == 0 {
            return Ok(0);
        }
        let permit = self.connection.reserve(count).await;
        let permit = permit.map_err(WriteError::Send)?;
        // Nothing is awaited from here on, so nothing can be dropped in between.
        let bytes = self.unstored.split().freeze();
        let mut message = Message::from(bytes.clone());
        if self.connection.expires_messages() {
            // A part of a stream that expired would be missing from its middle.
            message.context = MessageContext::new();
            let properties = message.context.properties_mut();
            *properties = properties.with_lifetime(None);
        }
        match permit.send(message) {
            Ok(receipt) => {
                self.last = Some(receipt);
                Ok(count)
            }
            Err(error) => {
                self.unstored = BytesMut::from(bytes);
                Err(WriteError::Send(match error {
                    TrySendError::Refused { error, .. } => *error,
                    full @ TrySendError::Full(_) => SendError::Failed(full.failure()),
                }))
            }
        }
    }

    /// Stores, and waits until the system has taken everything that was stored.
    ///
    /// Cancel safety: as [`BinaryWriter::store`]; flushing again waits for the same.
    ///
    /// # Errors
    /// [`WriteError::Send`]; what was not stored is still here, and what was stored may be lost.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        self.store().await?;
        let last = &mut self.last;
        let sent = poll_fn(|context| Receipt::poll_last(last, context)).await;
        sent.map_err(WriteError::Send)
    }

    /// Gives the connection back, with what was written and not stored.
    pub fn detach(self) -> (Connection, Bytes) {
        (self.connection, self.unstored.freeze())
    }

    /// Puts all of `parts` in, or none.
    pub(super) fn put(&mut self, parts: &[&[u8]]) -> Result<(), WriteError> {
        let needed = parts.iter().map(|part| part.len()).sum();
        let room = self.buffer_bytes_max.saturating_sub(self.unstored.len());
        if needed > room {
            return Err(WriteError::BufferFull { needed, room });
        }
        parts
            .iter()
            .for_each(|part| self.unstored.extend_from_slice(part));
        Ok(())
    }
}

impl Connection {
    /// Whether messages that state no lifetime have one.
    fn expires_messages(&self) -> bool {
        let group = self.shared().lock();
        group.details.defaults.message.lifetime().is_some()
    }
}

const BUFFER_BYTES_MAX: usize = 1024 * 1024;
