//! Reads values of binary protocols out of a connection.

use super::ReadError;
use super::number::LengthPrefix;
use crate::connection::{ByteStream, Connection};
use crate::error::ReceiveError;
use bytes::{Buf, Bytes, BytesMut};
use portway_core::framer::ByteOrder;

impl Connection {
    /// A reader of numbers, texts and slices out of this connection's bytes. With framers,
    /// message boundaries are lost.
    pub fn binary_reader(&self) -> BinaryReader {
        BinaryReader::begun_with(self.clone(), Bytes::new())
    }
}

/// Reads numbers, texts and slices out of a connection's bytes.
///
/// A read takes its value whole or not at all: one that fails, or whose future is dropped, leaves
/// everything that has come for the next one. What was received and not consumed stays here until
/// [`BinaryReader::detach`] gives it back with the connection. Others must not receive meanwhile.
///
/// Unless told otherwise it takes no more out of the connection than a read asks for, so that a
/// reader without unconsumed bytes can be detached and the connection upgraded to TLS, which
/// refuses bytes that are already there.
///
/// ```no_run
/// # async fn example(connection: portway::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let mut writer = connection.binary_writer();
/// writer.write_u8(7)?;
/// writer.write_prefixed_str::<u16>("a name")?;
/// writer.flush().await?;
///
/// let mut reader = connection.binary_reader().with_read_bytes_max(64 * 1024);
/// let kind = reader.read_u8().await?;
/// let text = reader.read_prefixed_string::<u16>().await?;
/// let (connection, unconsumed) = reader.detach();
/// # drop((kind, text, connection, unconsumed));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct BinaryReader {
    connection: Connection,
    /// What was received and not consumed.
    loaded: BytesMut,
    order: ByteOrder,
    read_bytes_max: usize,
    read_ahead_bytes: usize,
    has_ended: bool,
    /// Whether what is here began as early data.
    is_early_data: bool,
}

impl BinaryReader {
    /// A reader of `unconsumed`, which was taken out of the connection before, and then of what
    /// the connection gives.
    pub fn begun_with(connection: Connection, unconsumed: impl Into<Bytes>) -> Self {
        BinaryReader {
            connection,
            loaded: BytesMut::from(unconsumed.into()),
            order: ByteOrder::Big,
            read_bytes_max: READ_BYTES_MAX,
            read_ahead_bytes: 0,
            has_ended: false,
            is_early_data: false,
        }
    }

    /// Limits what one read may ask for, and with it what may be here; 1 MiB unless said.
    #[must_use]
    pub fn with_read_bytes_max(mut self, bytes: usize) -> Self {
        self.read_bytes_max = bytes;
        self
    }

    /// Lets a read that needs more from the connection take so many bytes in advance, if they
    /// have come. None unless said.
    #[must_use]
    pub fn with_read_ahead(mut self, bytes: usize) -> Self {
        self.read_ahead_bytes = bytes;
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

    /// Whether what was received last, or anything else that is here unconsumed, is of a message
    /// that began as early data: an attacker may have sent that again (RFC 8446 §8). Without
    /// framers all that a connection receives is one message.
    pub fn is_early_data(&self) -> bool {
        self.is_early_data
    }

    /// The connection below.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// How many bytes were received and not consumed. So many can be read without waiting.
    pub fn unconsumed_len(&self) -> usize {
        self.loaded.len()
    }

    /// What was received and not consumed.
    pub fn unconsumed(&self) -> &[u8] {
        &self.loaded
    }

    /// Waits until at least `count` bytes are here unconsumed.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`ReadError::Ended`] when the stream ends before, [`ReadError::TooLong`] when `count` is
    /// more than one read may ask for, [`ReadError::Receive`] when the connection fails.
    pub async fn load_exact(&mut self, count: usize) -> Result<(), ReadError> {
        self.check(count as u64)?;
        while self.loaded.len() < count {
            let missing = count - self.loaded.len();
            let in_advance = self.read_ahead_bytes.min(self.read_bytes_max - count);
            if self.receive(missing.saturating_add(in_advance)).await? == 0 {
                return Err(ReadError::Ended {
                    wanted: count,
                    available: self.loaded.len(),
                });
            }
        }
        Ok(())
    }

    /// Waits for at least one byte more than is here, takes up to `max` more, and says how many
    /// came: none only at the end of the stream, or when `max` is zero.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] when more would be here than one read may ask for,
    /// [`ReadError::Receive`] when the connection fails.
    pub async fn load_partial(&mut self, max: usize) -> Result<usize, ReadError> {
        self.check((self.loaded.len() as u64).saturating_add(max as u64))?;
        match max {
            0 => Ok(0),
            _ => self.receive(max).await,
        }
    }

    /// Reads `count` bytes.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`BinaryReader::load_exact`].
    pub async fn read_bytes(&mut self, count: usize) -> Result<Bytes, ReadError> {
        self.load_exact(count).await?;
        Ok(self.loaded.split_to(count).freeze())
    }

    /// Reads as many bytes as the number before them says.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`BinaryReader::load_exact`], for number and bytes together.
    pub async fn read_prefixed<P: LengthPrefix>(&mut self) -> Result<Bytes, ReadError> {
        let count = self.load_prefixed::<P>().await?;
        self.loaded.advance(P::BYTES);
        Ok(self.loaded.split_to(count).freeze())
    }

    /// Reads a text of `count` bytes of UTF-8.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`BinaryReader::load_exact`], and [`ReadError::NotText`].
    pub async fn read_string(&mut self, count: usize) -> Result<String, ReadError> {
        self.load_exact(count).await?;
        self.take_string(0, count)
    }

    /// Reads a text of as many bytes of UTF-8 as the number before it says.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`BinaryReader::load_exact`], and [`ReadError::NotText`].
    pub async fn read_prefixed_string<P: LengthPrefix>(&mut self) -> Result<String, ReadError> {
        let count = self.load_prefixed::<P>().await?;
        self.take_string(P::BYTES, count)
    }

    /// Reads up to and with the next `terminator`, and gives what is before it. Without
    /// [`BinaryReader::with_read_ahead`] each byte is asked for by itself.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`BinaryReader::load_exact`], for bytes and terminator together.
    pub async fn read_until(&mut self, terminator: u8) -> Result<Bytes, ReadError> {
        let mut looked_at = 0;
        loop {
            let fresh = &self.loaded[looked_at..];
            if let Some(before) = fresh.iter().position(|byte| *byte == terminator) {
                let found = self.loaded.split_to(looked_at + before).freeze();
                self.loaded.advance(1);
                return Ok(found);
            }
            looked_at = self.loaded.len();
            self.load_exact(looked_at + 1).await?;
        }
    }

    /// Fills `out`, which may be longer than one read may ask for otherwise.
    ///
    /// Cancel safety: what was put into `out` before the future is dropped is consumed. Use
    /// [`BinaryReader::load_exact`] before where that matters.
    ///
    /// # Errors
    /// As [`BinaryReader::load_exact`], but never [`ReadError::TooLong`]; what came is in `out`.
    pub async fn read_into(&mut self, out: &mut [u8]) -> Result<(), ReadError> {
        let mut filled = 0;
        loop {
            let here = self.loaded.len().min(out.len() - filled);
            self.loaded.copy_to_slice(&mut out[filled..][..here]);
            filled += here;
            let missing = out.len() - filled;
            if missing == 0 {
                return Ok(());
            }
            if self.receive(missing).await? == 0 {
                return Err(ReadError::Ended {
                    wanted: out.len(),
                    available: filled,
                });
            }
        }
    }

    /// Gives the connection back, with what was received and not consumed.
    pub fn detach(self) -> (Connection, Bytes) {
        (self.connection, self.loaded.freeze())
    }

    /// Goes on as a byte stream, which begins with what was received and not consumed.
    pub fn into_byte_stream(self) -> ByteStream {
        let is_early_data = self.is_early_data;
        let (connection, unconsumed) = self.detach();
        ByteStream::with_unread(connection, unconsumed, is_early_data)
    }

    pub(super) async fn take_array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        self.load_exact(N).await?;
        let mut out = [0; N];
        self.loaded.copy_to_slice(&mut out);
        Ok(out)
    }

    /// Waits for a number and as many bytes as it says.
    async fn load_prefixed<P: LengthPrefix>(&mut self) -> Result<usize, ReadError> {
        self.load_exact(P::BYTES).await?;
        let declared = P::decode(&self.loaded[..P::BYTES], self.order);
        self.check(declared.saturating_add(P::BYTES as u64))?;
        let count = usize::try_from(declared).expect("checked to be within the limit");
        self.load_exact(P::BYTES + count).await?;
        Ok(count)
    }

    /// Takes `count` bytes of text, and `before` bytes that stand before them.
    fn take_string(&mut self, before: usize, count: usize) -> Result<String, ReadError> {
        let text = std::str::from_utf8(&self.loaded[before..][..count]);
        let text = text.map_err(ReadError::NotText)?.to_owned();
        self.loaded.advance(before + count);
        Ok(text)
    }

    fn check(&self, asked: u64) -> Result<(), ReadError> {
        match asked <= self.read_bytes_max as u64 {
            true => Ok(()),
            false => Err(ReadError::TooLong {
                asked,
                max: self.read_bytes_max,
            }),
        }
    }

    /// Takes up to `max` bytes out of the connection and says how many; none at its end.
    async fn receive(&mut self, max: usize) -> Result<usize, ReadError> {
        while !self.has_ended {
            let part = match self.connection.receive_partial(1, max).await {
                Ok(part) => {
                    let is_early = part.context.is_early_data();
                    self.is_early_data =
                        is_early || (self.is_early_data && !self.loaded.is_empty());
                    part.data
                }
                Err(ReceiveError::Finished) => {
                    self.has_ended = true;
                    break;
                }
                Err(error) => return Err(ReadError::Receive(error)),
            };
            let count = part.len();
            match self.loaded.is_empty() {
                true => self.loaded = BytesMut::from(part),
                false => self.loaded.extend_from_slice(&part),
            }
            // Only messages of a framer are empty, and they are no end.
            if count > 0 {
                return Ok(count);
            }
        }
        Ok(0)
    }
}

const READ_BYTES_MAX: usize = 1024 * 1024;
