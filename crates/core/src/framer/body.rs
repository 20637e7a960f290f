//! The body of a message whose length is known, taken out of the input whole or in parts.
//!
//! Invariant: what is taken is never more than what arrived, and nothing is reserved for what
//! was only declared.

use super::Frame;
use crate::{Failure, FailureKind, Origin};
use bytes::BytesMut;

/// How much of a message a receive wants (RFC 9622 §9.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The smallest part of an incomplete message that is worth delivering.
    pub min_incomplete: usize,
    /// The most bytes to deliver at once; a longer message comes in parts.
    pub max: usize,
}

impl Demand {
    /// Whole messages only, of any length: the default of RFC 9622.
    pub const WHOLE: Demand = Demand {
        min_incomplete: usize::MAX,
        max: usize::MAX,
    };

    /// Whatever is there.
    pub const ANY: Demand = Demand {
        min_incomplete: 1,
        max: usize::MAX,
    };

    /// Parts of at least `min_incomplete` bytes, and never more than `max` at once. A `max` of
    /// zero counts as one.
    pub fn new(min_incomplete: usize, max: usize) -> Self {
        Demand {
            min_incomplete,
            max: max.max(1),
        }
    }

    /// How many bytes to deliver when `available` are there of a message of which `remaining`
    /// are still to be delivered (`None`: unknown); `None` to wait.
    #[inline]
    pub fn take(self, available: usize, remaining: Option<u64>) -> Option<usize> {
        let fits = remaining.is_some_and(|rest| rest <= self.max as u64);
        if let Some(rest) = remaining.filter(|rest| fits && *rest <= available as u64) {
            return Some(rest as usize);
        }
        let part = match remaining {
            Some(rest) => rest.min(available as u64) as usize,
            None => available,
        };
        // RFC 9622 §9.3.1: a message above the maximum comes in parts, also when only whole
        // messages were asked for; then as large as allowed.
        let enough = self.min_incomplete.min(self.max).max(1);
        (part >= enough).then_some(part.min(self.max))
    }
}

impl Default for Demand {
    fn default() -> Self {
        Demand::WHOLE
    }
}

/// The rest of a message whose header said how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    length: u64,
    remaining: u64,
}

impl Body {
    /// A body of which nothing was taken.
    pub fn new(length: u64) -> Self {
        Body {
            length,
            remaining: length,
        }
    }

    /// Takes what `demand` asks for from the front of `input`, or says how many more bytes it
    /// takes.
    ///
    /// # Errors
    /// `Err` is the number of bytes that are missing, at least one.
    #[inline]
    pub fn take(&mut self, input: &mut BytesMut, demand: Demand) -> Result<Frame, usize> {
        match demand.take(input.len(), Some(self.remaining)) {
            Some(count) => {
                self.remaining -= count as u64;
                Ok(Frame::new(input.split_to(count), self.remaining == 0))
            }
            None => {
                let wanted = (self.remaining.min(demand.max as u64) as usize)
                    .min(demand.min_incomplete.max(1));
                Err(wanted - input.len())
            }
        }
    }

    /// The failure of a message that ended while `unread` bytes of its body were there.
    pub fn cut_short(&self, unread: usize) -> Failure {
        let there = self.length - self.remaining + unread as u64;
        ended_within_message(there, Some(self.length))
    }
}

/// A message that claims more than is allowed.
pub(super) fn too_long(claimed: u64, max: u64) -> Failure {
    Failure::new(
        Origin::Framing,
        FailureKind::LimitReached,
        format!("message of {claimed} bytes is longer than the limit of {max}"),
    )
}

/// Input that ends within a message.
pub(super) fn ended_within_message(there: u64, length: Option<u64>) -> Failure {
    let detail = match length {
        Some(length) => format!("input ended after {there} of {length} bytes of a message"),
        None => format!("input ended after {there} bytes of a message"),
    };
    Failure::new(Origin::Framing, FailureKind::Reset, detail)
}

/// Bytes that no peer with the same framer sends.
pub(super) fn violation(detail: impl Into<String>) -> Failure {
    Failure::new(Origin::Framing, FailureKind::ProtocolViolation, detail)
}

/// A message of ours that the framer cannot represent.
pub(super) fn unframeable(detail: impl Into<String>) -> Failure {
    Failure::new(Origin::Local, FailureKind::InvalidRequest, detail)
}
