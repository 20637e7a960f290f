//! The bytes of a message, in one piece or in several.
//!
//! Invariant: the first piece is held inline, so a message in one piece allocates nothing, and
//! only the first piece of [`Chunks`] can be empty.

use bytes::{Bytes, BytesMut};

/// Bytes in one or more pieces that together are one message, or a part of one.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Chunks {
    /// No bytes.
    pub const fn new() -> Self {
        Chunks {
            first: Bytes::new(),
            rest: Vec::new(),
        }
    }

    /// The number of bytes in all pieces.
    #[inline]
    pub fn len(&self) -> usize {
        self.first.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Adds a piece at the end; an empty one is dropped.
    pub fn push(&mut self, piece: Bytes) {
        if self.first.is_empty() {
            self.first = piece;
        } else if !piece.is_empty() {
            self.rest.push(piece);
        }
    }

    /// The pieces in order. None of them is empty.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first)
            .filter(|piece| !piece.is_empty())
            .chain(&self.rest)
    }

    /// The bytes, when they are in one piece of at most `max`.
    #[inline]
    pub fn as_short_piece(&self, max: usize) -> Option<&[u8]> {
        (self.rest.is_empty() && self.first.len() <= max).then_some(&self.first)
    }

    /// The first piece, which may be empty, and the others.
    #[inline]
    pub(crate) fn into_parts(self) -> (Bytes, Vec<Bytes>) {
        (self.first, self.rest)
    }

    /// All bytes in one piece: without a copy when there is only one, else with one copy.
    pub fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for piece in self.iter() {
            whole.extend_from_slice(piece);
        }
        whole.freeze()
    }
}

impl From<Bytes> for Chunks {
    fn from(piece: Bytes) -> Self {
        Chunks {
            first: piece,
            rest: Vec::new(),
        }
    }
}

impl From<BytesMut> for Chunks {
    fn from(piece: BytesMut) -> Self {
        piece.freeze().into()
    }
}

impl From<Vec<u8>> for Chunks {
    fn from(piece: Vec<u8>) -> Self {
        Bytes::from(piece).into()
    }
}

impl From<String> for Chunks {
    fn from(piece: String) -> Self {
        Bytes::from(piece).into()
    }
}

impl From<&str> for Chunks {
    fn from(piece: &str) -> Self {
        piece.as_bytes().into()
    }
}

impl From<&[u8]> for Chunks {
    fn from(piece: &[u8]) -> Self {
        Bytes::copy_from_slice(piece).into()
    }
}

impl From<Vec<Bytes>> for Chunks {
    fn from(pieces: Vec<Bytes>) -> Self {
        pieces.into_iter().collect()
    }
}

impl FromIterator<Bytes> for Chunks {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut chunks = Chunks::new();
        for piece in pieces {
            chunks.push(piece);
        }
        chunks
    }
}

impl Extend<Bytes> for Chunks {
    fn extend<I: IntoIterator<Item = Bytes>>(&mut self, pieces: I) {
        for piece in pieces {
            self.push(piece);
        }
    }
}

impl IntoIterator for Chunks {
    type Item = Bytes;
    type IntoIter = ChunksIter;

    fn into_iter(self) -> ChunksIter {
        ChunksIter {
            first: (!self.first.is_empty()).then_some(self.first),
            rest: self.rest.into_iter(),
        }
    }
}

/// Equal when the bytes are, however they are cut.
impl PartialEq for Chunks {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .flat_map(|piece| piece.iter())
                .eq(other.iter().flat_map(|piece| piece.iter()))
    }
}

impl Eq for Chunks {}

/// The pieces of a [`Chunks`], in order and by value.
#[derive(Debug)]
pub struct ChunksIter {
    first: Option<Bytes>,
    rest: std::vec::IntoIter<Bytes>,
}

impl Iterator for ChunksIter {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| self.rest.next())
    }
}
