//! Queues whose first entries need no allocation, as most messages have a few pieces only.
//!
//! Invariant: first in, first out; memory for more than the first entries is given back as soon
//! as the queue is empty.

use std::collections::VecDeque;

use bytes::Bytes;

/// A queue with `N` places of its own.
#[derive(Debug)]
pub(crate) struct Queue<T, const N: usize> {
    near: [Option<T>; N],
    /// Where the first of the near ones is, and how many there are.
    first: usize,
    len: usize,
    /// What came when there was no place; it comes after the near ones.
    far: Option<VecDeque<T>>,
}

impl<T, const N: usize> Default for Queue<T, N> {
    fn default() -> Self {
        Queue {
            near: [const { None }; N],
            first: 0,
            len: 0,
            far: None,
        }
    }
}

impl<T, const N: usize> Queue<T, N> {
    #[inline]
    pub(crate) fn push_back(&mut self, entry: T) {
        match &mut self.far {
            Some(far) => far.push_back(entry),
            None if self.len < N => {
                self.near[(self.first + self.len) % N] = Some(entry);
                self.len += 1;
            }
            None => self.far = Some(VecDeque::from([entry])),
        }
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        if self.len > 0 {
            let entry = self.near[self.first].take();
            self.first = (self.first + 1) % N;
            self.len -= 1;
            return entry;
        }
        let far = self.far.as_mut()?;
        let entry = far.pop_front();
        if far.is_empty() {
            self.far = None;
        }
        entry
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<&T> {
        match self.len {
            0 => self.far.as_ref()?.front(),
            _ => self.near[self.first].as_ref(),
        }
    }

    #[inline]
    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        match (&mut self.far, self.len) {
            (Some(far), _) => far.back_mut(),
            (None, 0) => None,
            (None, len) => self.near[(self.first + len - 1) % N].as_mut(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0 && self.far.is_none()
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        while self.pop_front().is_some() {}
    }
}

/// Bytes that wait to be written, side by side.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    near: [Bytes; PIECES_NEAR],
    len: usize,
    /// All of them, when there are more than have a place.
    far: Option<VecDeque<Bytes>>,
}

/// A field section with the header of a frame, content, and a piece more.
const PIECES_NEAR: usize = 3;

impl Pieces {
    #[inline]
    pub(crate) fn push(&mut self, piece: Bytes) {
        if let Some(far) = &mut self.far {
            far.push_back(piece);
        } else if let Some(place) = self.near.get_mut(self.len) {
            *place = piece;
            self.len += 1;
        } else {
            let near = std::mem::take(&mut self.near).into_iter();
            self.far = Some(near.chain([piece]).collect());
            self.len = 0;
        }
    }

    /// All pieces, the first one first.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [Bytes] {
        match &mut self.far {
            Some(far) => far.make_contiguous(),
            None => &mut self.near[..self.len],
        }
    }

    /// Drops the pieces in front of which nothing is left.
    #[inline]
    pub(crate) fn drop_written(&mut self) {
        if let Some(far) = &mut self.far {
            while far.front().is_some_and(Bytes::is_empty) {
                far.pop_front();
            }
            if far.is_empty() {
                self.far = None;
            }
            return;
        }
        let is_left = |piece: &Bytes| !piece.is_empty();
        let pieces = &mut self.near[..self.len];
        let written = pieces.iter().position(is_left).unwrap_or(pieces.len());
        pieces.rotate_left(written);
        self.len -= written;
        // What is left of a written piece holds its memory.
        for place in &mut self.near[self.len..][..written] {
            *place = Bytes::new();
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0 && self.far.is_none()
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        for place in &mut self.near[..self.len] {
            *place = Bytes::new();
        }
        self.len = 0;
        self.far = None;
    }
}

#[cfg(test)]
mod tests {
    use super::{PIECES_NEAR, Pieces, Queue};
    use bytes::{Buf, Bytes};
    use std::collections::VecDeque;

    #[test]
    fn entries_come_out_in_their_order_however_many_wait() {
        let mut queue = Queue::<u32, 3>::default();
        let mut model = VecDeque::new();
        let mut next = 0;
        for round in 0..40u32 {
            for _ in 0..round * 7 % 6 {
                queue.push_back(next);
                model.push_back(next);
                next += 1;
            }
            for _ in 0..round * 5 % 7 {
                assert_eq!(queue.front(), model.front());
                assert_eq!(queue.back_mut(), model.back_mut());
                assert_eq!(queue.pop_front(), model.pop_front());
                assert_eq!(queue.is_empty(), model.is_empty());
            }
        }
        assert!(next > 80, "there was something to do");
        queue.push_back(next);
        queue.clear();
        assert!(queue.is_empty() && queue.pop_front().is_none());
    }

    #[test]
    fn more_entries_than_have_a_place_leave_no_memory_behind() {
        let mut queue = Queue::<u32, 2>::default();
        for entry in 0..5 {
            queue.push_back(entry);
        }
        assert!(queue.far.is_some());
        while queue.pop_front().is_some() {}
        assert!(queue.far.is_none());
    }

    #[test]
    fn pieces_are_written_bit_by_bit() {
        for count in 1..3 * PIECES_NEAR {
            for step in 1..4 {
                let mut pieces = Pieces::default();
                (0..count).for_each(|at| pieces.push(Bytes::from(vec![at as u8; 3])));
                let mut written = Vec::new();
                while !pieces.is_empty() {
                    let mut room = step;
                    for piece in pieces.as_mut_slice() {
                        let taken = room.min(piece.len());
                        written.extend_from_slice(&piece[..taken]);
                        piece.advance(taken);
                        room -= taken;
                    }
                    pieces.drop_written();
                }
                let all: Vec<u8> = (0..count).flat_map(|at| [at as u8; 3]).collect();
                assert_eq!(written, all);
                assert!(pieces.far.is_none());
            }
        }
    }

    #[test]
    fn what_was_written_is_not_held() {
        let whole = Bytes::from(vec![7; 10]);
        let mut pieces = Pieces::default();
        pieces.push(whole.clone());
        pieces.push(Bytes::from_static(b"x"));
        pieces.as_mut_slice()[0].advance(10);
        pieces.drop_written();
        assert!(whole.is_unique());
        assert_eq!(pieces.as_mut_slice(), [Bytes::from_static(b"x")]);
    }
}
