//! What lets a short message pass a simple framer without being taken apart.
//!
//! Invariant: a shortcut says what [`Framer`](super::Framer)'s own methods would do, and changes
//! nothing; whoever cannot use one asks the framer.

/// The bytes before a message, held inline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; Header::BYTES_MAX],
    len: usize,
}

impl Header {
    /// The longest header.
    pub const BYTES_MAX: usize = 16;

    /// Nothing before the message.
    pub const EMPTY: Header = Header {
        bytes: [0; Header::BYTES_MAX],
        len: 0,
    };

    /// A header of these bytes; `None` when there are too many.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut header = Header::EMPTY;
        header.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        header.len = bytes.len();
        Some(header)
    }

    #[inline]
    pub(super) fn of<const N: usize>(bytes: [u8; N]) -> Self {
        const { assert!(N <= Header::BYTES_MAX) };
        let mut header = Header::EMPTY;
        header.bytes[..N].copy_from_slice(&bytes);
        header.len = N;
        header
    }

    /// The first `count` bytes of this one.
    #[inline]
    pub(super) fn first(mut self, count: usize) -> Self {
        self.len = count.min(self.len);
        self
    }

    /// The last `count` bytes of this one.
    pub(super) fn last(self, count: usize) -> Self {
        let mut header = Header::EMPTY;
        let count = count.min(self.len);
        header.bytes[..count].copy_from_slice(&self.bytes[self.len - count..self.len]);
        header.len = count;
        header
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The bytes with what fills them up: a copy of constant size costs less than one of `len`.
    #[inline]
    pub(crate) fn filled(&self) -> &[u8; Header::BYTES_MAX] {
        &self.bytes
    }
}

/// A message that is there to its end, as it lies at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The bytes before it, which are dropped.
    pub header_bytes: usize,
    /// The bytes of the message.
    pub bytes: usize,
}
