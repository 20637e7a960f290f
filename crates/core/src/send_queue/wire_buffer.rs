//! Bytes on their way to the wire, and where in them each send ends.
//!
//! Invariant: bytes leave in the order in which they came. Small pieces are copied together into
//! one staging area, so that many small messages are one slice of a vectored write; large ones
//! stay where they are. A mark is due when every byte before it has been taken.

use crate::framer::Header;
use crate::message::Chunks;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::IoSlice;

/// An ordered run of bytes with marks. Framers write into it, a socket or a byte layer takes
/// from it.
#[derive(Debug, Default)]
pub struct WireBuffer {
    /// Copied bytes, of which `staged[..staged_taken]` have left.
    staged: Vec<u8>,
    staged_taken: usize,
    /// Pieces that were not copied, each with the staged bytes that go before it.
    pieces: VecDeque<Piece>,
    /// The staged bytes behind the last piece.
    staged_last: usize,
    len: usize,
    /// Bytes that have left, as far as marks need to know.
    taken: u64,
    /// The sends that end in this buffer, by the value of `taken` that completes them.
    marks: VecDeque<u64>,
}

#[derive(Debug)]
struct Piece {
    staged_before: usize,
    bytes: Bytes,
}

impl WireBuffer {
    /// An empty buffer, which owns no memory.
    pub const fn new() -> Self {
        WireBuffer {
            staged: Vec::new(),
            staged_taken: 0,
            pieces: VecDeque::new(),
            staged_last: 0,
            len: 0,
            taken: 0,
            marks: VecDeque::new(),
        }
    }

    /// The number of bytes that have not left.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether every byte has left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a copy of `bytes`, for headers and trailers.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.staged.extend_from_slice(bytes);
        self.staged_last += bytes.len();
        self.len += bytes.len();
    }

    /// Adds `bytes`: a copy when they are at most [`COPIED_BYTES_MAX`], themselves otherwise.
    #[inline]
    pub fn put_bytes(&mut self, bytes: Bytes) {
        if bytes.len() <= COPIED_BYTES_MAX {
            self.put_slice(&bytes);
        } else {
            self.len += bytes.len();
            self.pieces.push_back(Piece {
                staged_before: std::mem::take(&mut self.staged_last),
                bytes,
            });
        }
    }

    /// Adds `header` and a copy of the bytes behind it.
    #[inline]
    pub fn put_copy(&mut self, header: &Header, bytes: &[u8]) {
        let end = self.staged.len() + header.bytes().len();
        self.staged.reserve(Header::BYTES_MAX + bytes.len());
        self.staged.extend_from_slice(header.filled());
        self.staged.truncate(end);
        self.staged.extend_from_slice(bytes);
        let added = header.bytes().len() + bytes.len();
        self.staged_last += added;
        self.len += added;
    }

    /// Adds `header` and every piece of `chunks`.
    #[inline]
    pub fn put_message(&mut self, header: &Header, chunks: Chunks) {
        match chunks.as_short_piece(COPIED_BYTES_MAX) {
            Some(piece) => self.put_copy(header, piece),
            None => {
                self.put_slice(header.bytes());
                self.put_chunks(chunks);
            }
        }
    }

    /// Adds every piece of `chunks`.
    #[inline]
    pub fn put_chunks(&mut self, chunks: Chunks) {
        let (first, rest) = chunks.into_parts();
        self.put_bytes(first);
        if !rest.is_empty() {
            rest.into_iter().for_each(|piece| self.put_bytes(piece));
        }
    }

    /// Marks the end of a send: it is complete when every byte that is now here has left.
    pub fn mark(&mut self) {
        self.marks.push_back(self.taken + self.len as u64);
    }

    /// The number of marks that are not yet due.
    pub fn marks(&self) -> usize {
        self.marks.len()
    }

    /// The first bytes that have not left, empty only when there are none.
    #[inline]
    pub fn first_slice(&self) -> &[u8] {
        match self.pieces.front() {
            Some(piece) if piece.staged_before == 0 => &piece.bytes,
            Some(piece) => &self.staged[self.staged_taken..][..piece.staged_before],
            None => &self.staged[self.staged_taken..],
        }
    }

    /// Fills `out` with the bytes that have not left, in order, as far as its slots go, and
    /// returns how many slots were used.
    pub fn slices<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        for (slot, slice) in out.iter_mut().zip(self.iter()) {
            *slot = IoSlice::new(slice);
            used += 1;
        }
        used
    }

    /// The bytes that have not left, in order; no slice is empty.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut staged = &self.staged[self.staged_taken..];
        let pieces = self.pieces.iter().flat_map(move |piece| {
            let (before, after) = staged.split_at(piece.staged_before);
            staged = after;
            [before, &piece.bytes[..]]
        });
        let last = &self.staged[self.staged.len() - self.staged_last..];
        pieces
            .chain(std::iter::once(last))
            .filter(|slice| !slice.is_empty())
    }

    /// Takes note that `count` bytes have left and returns how many sends that completed.
    ///
    /// # Panics
    /// When `count` is more than [`WireBuffer::len`].
    #[inline]
    pub fn advance(&mut self, count: usize) -> usize {
        assert!(count <= self.len, "more bytes left than there were");
        self.len -= count;
        self.taken += count as u64;
        if self.len == 0 {
            self.clear_bytes();
        } else {
            self.drop_front(count);
        }
        match self.marks.is_empty() {
            true => 0,
            false => self.take_due_marks(),
        }
    }

    /// Removes and returns the number of marks with no byte before them, such as that of an
    /// empty message on a stream without framers.
    pub fn take_due_marks(&mut self) -> usize {
        let mut due = 0;
        while self.marks.front().is_some_and(|end| *end <= self.taken) {
            self.marks.pop_front();
            due += 1;
        }
        due
    }

    /// Moves the bytes out as chunks; marks must have been set only on what has left.
    pub fn take_chunks(&mut self) -> Chunks {
        debug_assert!(self.marks.is_empty(), "a mark would lose its bytes");
        let mut staged = Bytes::from(std::mem::take(&mut self.staged));
        bytes::Buf::advance(&mut staged, self.staged_taken);
        let mut chunks = Chunks::new();
        for piece in self.pieces.drain(..) {
            chunks.push(staged.split_to(piece.staged_before));
            chunks.push(piece.bytes);
        }
        chunks.push(staged);
        self.len = 0;
        self.staged_taken = 0;
        self.staged_last = 0;
        chunks
    }

    /// Drops all bytes and marks, and returns how many marks there were.
    pub fn clear(&mut self) -> usize {
        self.len = 0;
        self.clear_bytes();
        let marks = self.marks.len();
        self.marks.clear();
        marks
    }

    /// Gives back the memory that an empty buffer keeps for its next bytes.
    pub fn release_memory(&mut self) {
        if self.len == 0 {
            self.staged = Vec::new();
            self.pieces = VecDeque::new();
        }
        self.marks.shrink_to_fit();
    }

    /// The memory that is kept for copied bytes.
    pub fn retained_bytes(&self) -> usize {
        self.staged.capacity()
    }

    #[inline]
    fn clear_bytes(&mut self) {
        if !self.pieces.is_empty() {
            self.pieces.clear();
        }
        self.staged.clear();
        self.staged_taken = 0;
        self.staged_last = 0;
        if self.staged.capacity() > RETAINED_BYTES_MAX {
            self.staged = Vec::new();
        }
    }

    /// Drops `count` bytes, fewer than there are, from the front.
    fn drop_front(&mut self, mut count: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            let staged = piece.staged_before.min(count);
            piece.staged_before -= staged;
            self.staged_taken += staged;
            count -= staged;
            if count < piece.bytes.len() {
                bytes::Buf::advance(&mut piece.bytes, count);
                return;
            }
            count -= piece.bytes.len();
            self.pieces.pop_front();
        }
        self.staged_taken += count;
        self.staged_last -= count;
    }
}

/// Up to this size a payload is copied behind its header: the copy costs less than one more
/// slice of a vectored write.
pub const COPIED_BYTES_MAX: usize = 1024;

/// What an empty buffer keeps for its next bytes at most.
const RETAINED_BYTES_MAX: usize = 16 * 1024;
